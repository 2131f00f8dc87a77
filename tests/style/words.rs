// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words that must not be in the tree, and what to write instead.

use crate::{
    Problem, enforce, lex, problem,
    tree::{File, is_test},
};

/// What panics, and what answers. The names are split so that this file may hold them.
const PANICS: [(&str, &str); 6] = [
    (".unwrap()", "return the error with `?`, or match"),
    (".expect(", "return the error with `?`, or match"),
    ("panic!", "return an error: no panic is reachable from bytes"),
    (concat!("to", "do!"), "write it, or do not offer it"),
    ("unimplemented!", "write it, or do not offer it"),
    (concat!("db", "g!"), "remove it"),
];

/// Notes to oneself.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Where only one person's machine keeps things.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// The one place that Cargo.lock may name.
const REGISTRY: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";

fn panics(path: &str, text: &str) -> Vec<Problem> {
    let decides = path.starts_with("kmod/abi/src/") || path.starts_with("kmod/core/src/");
    if !decides || is_test(path) {
        return Vec::new();
    }
    let code = lex::without_tests(&lex::code(text));
    let mut found = Vec::new();
    for (word, instead) in PANICS {
        for (at, _) in code.match_indices(word) {
            // `core::panic!` is one, `some_panic!` is another macro.
            let another = !word.starts_with('.')
                && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !another {
                found
                    .push(problem(lex::line_of(&code, at), format!("no `{word}` here: {instead}")));
            }
        }
    }
    found
}

fn notes(text: &str) -> Vec<Problem> {
    let found = NOTES.iter().flat_map(|note| {
        lex::words(text, note).map(move |at| {
            problem(
                lex::line_of(text, at),
                format!("no {note}: do it, or open an issue and name it"),
            )
        })
    });
    found.collect()
}

fn machine_paths(text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for path in MACHINE_PATHS {
        for (at, _) in text.match_indices(path) {
            let relative =
                text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}*)".contains(c));
            if !relative {
                let advice =
                    format!("`{path}` is a path of one machine: say it relative to the repository");
                found.push(problem(lex::line_of(text, at), advice));
            }
        }
    }
    found
}

fn registries(text: &str) -> Vec<Problem> {
    let elsewhere = |line: &str| line.strip_prefix("source = ").is_some_and(|s| s != REGISTRY);
    text.lines()
        .enumerate()
        .filter(|(_, line)| elsewhere(line))
        .map(|(i, _)| problem(i + 1, "only crates.io may be named here"))
        .collect()
}

#[test]
fn nothing_that_decides_panics() {
    enforce(File::is_rust, |file| panics(&file.path, &file.text));
}

#[test]
fn no_notes_to_oneself() {
    enforce(|_| true, |file| notes(&file.text));
}

#[test]
fn no_paths_of_one_machine() {
    enforce(|_| true, |file| machine_paths(&file.text));
}

#[test]
fn crates_come_from_crates_io() {
    enforce(|file| file.path == "Cargo.lock", |file| registries(&file.text));
}

#[test]
fn a_panic_is_found() {
    let text = "fn a() {\n    // .unwrap()\n    b().unwrap();\n}\n#[cfg(test)]\nmod t {\n fn c() { d().unwrap() }\n}\n";
    let found = panics("kmod/core/src/a.rs", text);
    assert_eq!((found.len(), found[0].line), (1, 3));
    assert_eq!(panics("libtwz/src/a.rs", text), []);
    assert_eq!(panics("kmod/core/src/a/tests.rs", text), []);
    assert_eq!(panics("kmod/abi/src/a.rs", "fn a() { core::panic!() }").len(), 1);
}

#[test]
fn a_note_is_found() {
    let text = format!("fine\n// {}: later\nmktemp a.{}{}\n", NOTES[0], NOTES[2], NOTES[2]);
    assert_eq!(notes(&text).len(), 1);
    assert_eq!(notes(&text)[0].line, 2);
}

#[test]
fn a_machine_path_is_found() {
    let text = format!("cd {}me\ncd target{}me\n", MACHINE_PATHS[0], MACHINE_PATHS[0]);
    assert_eq!(machine_paths(&text).len(), 1);
}

#[test]
fn another_registry_is_found() {
    assert_eq!(registries("source = \"registry+https://example.org/index\"\n").len(), 1);
    assert_eq!(registries(&format!("source = {REGISTRY}\n")), []);
}
