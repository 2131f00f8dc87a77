// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a file opens: its licence, and what it is.

use crate::{Problem, enforce, problem, tree::File};

/// Which licence holds below which folder; the first that matches.
const LICENCES: [(&str, &str); 4] = [
    ("kmod/abi/", "GPL-2.0 OR MIT"),
    ("kmod/core/", "GPL-2.0 OR MIT"),
    ("kmod/", "GPL-2.0"),
    ("", "MIT OR Apache-2.0"),
];

fn licence(path: &str) -> &'static str {
    LICENCES.iter().find(|(folder, _)| path.starts_with(folder)).map_or("", |(_, licence)| licence)
}

/// Whether a file of this kind carries a licence line.
fn is_licensed(file: &File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    ["rs", "sh", "c", "h", "toml", "py"].iter().any(|ext| file.is(ext))
        || matches!(name, "Makefile" | "Kbuild")
        || file.is_shell()
}

/// One of the first three lines says which licence this is under.
fn spdx(path: &str, text: &str) -> Vec<Problem> {
    let want = format!("SPDX-License-Identifier: {}", licence(path));
    let mut opening = text.lines().take(3).map(|line| line.trim_end_matches("*/").trim_end());
    if opening.any(|line| line.ends_with(&want)) {
        return Vec::new();
    }
    vec![problem(1, format!("open the file with a comment that says `{want}`"))]
}

/// A `//!` says what the file is before any code does.
fn module_doc(text: &str) -> Vec<Problem> {
    let first = text
        .lines()
        .find(|line| line.starts_with("//!") || !(line.is_empty() || line.starts_with(['/', '#'])));
    if first.is_some_and(|line| line.starts_with("//!")) {
        return Vec::new();
    }
    vec![problem(1, "say what this file is in a `//!` comment at its top")]
}

/// The licence a manifest states is the one its folder is under.
fn manifest_licence(path: &str, text: &str) -> Vec<Problem> {
    let want = licence(path);
    let otherwise = |line: &str| {
        line.strip_prefix("license = ").is_some_and(|stated| stated.trim_matches('"') != want)
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| otherwise(line))
        .map(|(i, _)| problem(i + 1, format!("the licence here is {want}")))
        .collect()
}

#[test]
fn every_source_file_names_its_licence() {
    enforce(is_licensed, |file| spdx(&file.path, &file.text));
}

#[test]
fn every_rust_file_says_what_it_is() {
    enforce(File::is_rust, |file| module_doc(&file.text));
}

#[test]
fn a_manifest_says_what_its_files_say() {
    enforce(File::is_manifest, |file| manifest_licence(&file.path, &file.text));
}

#[test]
fn a_missing_or_wrong_licence_is_found() {
    assert_eq!(spdx("libtwz/a.rs", "//! A.\n").len(), 1);
    assert_eq!(spdx("kmod/a.rs", "// SPDX-License-Identifier: MIT OR Apache-2.0\n").len(), 1);
    assert_eq!(spdx("kmod/core/a.rs", "// SPDX-License-Identifier: GPL-2.0\n").len(), 1);
    assert_eq!(spdx("kmod/a.c", "/* SPDX-License-Identifier: GPL-2.0 */\n"), []);
    assert_eq!(spdx("a.sh", "#!/bin/sh\n# SPDX-License-Identifier: MIT OR Apache-2.0\n"), []);
}

#[test]
fn a_manifest_that_says_otherwise_is_found() {
    assert_eq!(
        manifest_licence("kmod/abi/Cargo.toml", "[package]\nlicense = \"MIT\"\n")[0].line,
        2
    );
    assert_eq!(manifest_licence("twzd/Cargo.toml", "license.workspace = true\n"), []);
}

#[test]
fn a_missing_module_doc_is_found() {
    assert_eq!(module_doc("// SPDX\nuse a;\n//! Late.\n").len(), 1);
    assert_eq!(module_doc("// SPDX\n/// Of the item.\nfn a() {}\n").len(), 1);
    assert_eq!(module_doc("// SPDX\n#![no_main]\n\n//! What it is.\n"), []);
}
