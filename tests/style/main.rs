// SPDX-License-Identifier: MIT OR Apache-2.0
//! The house rules, as a test. One file per family of rules; each rule is a
//! pure function over text that returns what is wrong with it, so that beside
//! the `#[test]` that runs it over the tree stands one that shows it failing.

mod headers;
mod layers;
mod layout;
mod lex;
mod safety;
mod size;
mod tree;
mod words;

/// What a rule has to say: where, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    advice: String,
}

/// A problem at a 1-based line.
fn problem(line: usize, advice: impl Into<String>) -> Problem {
    Problem { line, advice: advice.into() }
}

/// Runs a rule over the files that it is for, and fails with every place that
/// breaks it. A rule that is for no file at all is broken itself.
fn enforce(which: impl Fn(&tree::File) -> bool, rule: impl Fn(&tree::File) -> Vec<Problem>) {
    let files: Vec<&tree::File> = tree::files().iter().filter(|file| which(file)).collect();
    assert!(!files.is_empty(), "the rule found no file to look at");
    let broken: Vec<String> = files
        .iter()
        .flat_map(|file| {
            rule(file).into_iter().map(|p| format!("{}:{}: {}", file.path, p.line, p.advice))
        })
        .collect();
    assert!(broken.is_empty(), "{} to fix\n{}", broken.len(), broken.join("\n"));
}
