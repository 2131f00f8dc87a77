// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long things may get before they want to be two things.

use crate::{
    Problem, enforce, lex, problem,
    tree::{File, is_test},
};

const FILE_LINES: usize = 500;
const TEST_FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

fn file_length(path: &str, text: &str) -> Vec<Problem> {
    let limit = if is_test(path) { TEST_FILE_LINES } else { FILE_LINES };
    let lines = text.lines().count();
    if lines <= limit {
        return Vec::new();
    }
    vec![problem(limit + 1, format!("{lines} lines of at most {limit}: split it, one noun a file"))]
}

fn function_length(text: &str) -> Vec<Problem> {
    let code = lex::code(text);
    lex::functions(&code)
        .into_iter()
        .map(|(name, range)| (name, range.start, code[range].lines().count()))
        .filter(|(_, _, lines)| *lines > FUNCTION_LINES)
        .map(|(name, at, lines)| {
            let advice =
                format!("fn {name} has {lines} lines of at most {FUNCTION_LINES}: split it");
            problem(lex::line_of(&code, at), advice)
        })
        .collect()
}

#[test]
fn files_are_short() {
    enforce(File::is_rust, |file| file_length(&file.path, &file.text));
}

#[test]
fn functions_are_short() {
    enforce(File::is_rust, |file| function_length(&file.text));
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(file_length("a.rs", &"\n".repeat(501)).len(), 1);
    assert_eq!(file_length("a/tests.rs", &"\n".repeat(501)), []);
    assert_eq!(file_length("tests/a.rs", &"\n".repeat(801)).len(), 1);
}

#[test]
fn a_long_function_is_found() {
    let long = format!("fn short() {{}}\nfn long() {{\n{}}}\n", "a();\n".repeat(69));
    let found = function_length(&long);
    assert_eq!((found.len(), found[0].line), (1, 2));
    assert_eq!(function_length(&long.replacen("a();\n", "", 1)), []);
}
