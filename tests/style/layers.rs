// SPDX-License-Identifier: MIT OR Apache-2.0
//! Imports point left only: abi <- core <- { kmod, libtwz } <- { twzd, examples, posix }.

use crate::{Problem, enforce, lex, problem, tree::File};

const EVERYTHING: &[&str] =
    &["twz-abi", "twz-core", "twz-derive", "twz", "twzd", "twz-tests", "twz-trace"];

/// What each part may import of the workspace, itself included; the first
/// folder that matches.
const LAYERS: [(&str, &[&str]); 9] = [
    ("kmod/abi/", &["twz-abi"]),
    ("kmod/core/", &["twz-abi", "twz-core"]),
    ("kmod/", &["twz-abi", "twz-core"]),
    ("libtwz/derive/", &["twz-derive"]),
    ("libtwz/posix/", &["twz"]),
    ("libtwz/", &["twz-abi", "twz-core", "twz-derive", "twz"]),
    ("twzd/", &["twz", "twzd"]),
    ("examples/", &["twz"]),
    ("tests/", EVERYTHING),
];

fn layer(path: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, allowed)| *allowed)
}

fn is_ours(name: &str) -> bool {
    matches!(name, "twz" | "twzd") || name.starts_with("twz-")
}

fn refuse(line: usize, name: &str, allowed: &[&str]) -> Problem {
    let allowed = allowed.join(", ");
    problem(line, format!("{name} does not stand to the left of this part, only {allowed}"))
}

/// The workspace crates a manifest depends on, with their lines.
fn dependencies(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_table = false;
    for (i, line) in text.lines().map(str::trim).enumerate() {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_matches(['[', ']']);
            let (before, last) = table.rsplit_once('.').unwrap_or(("", table));
            in_table = last.ends_with("dependencies") && before != "workspace";
            if before.ends_with("dependencies") && !before.starts_with("workspace") {
                found.push((i + 1, last));
            }
        } else if in_table && let Some((key, value)) = line.split_once('=') {
            let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
            let name = key.trim().split('.').next().unwrap_or_default();
            found.push((i + 1, renamed.unwrap_or(name)));
        }
    }
    found.retain(|(_, name)| is_ours(name));
    found
}

fn manifest(path: &str, text: &str) -> Vec<Problem> {
    if !path.contains('/') {
        return Vec::new();
    }
    let Some(allowed) = layer(path) else {
        return vec![problem(1, "a crate in no layer: give it a line in tests/style/layers.rs")];
    };
    dependencies(text)
        .into_iter()
        .filter(|(_, name)| !allowed.contains(name))
        .map(|(line, name)| refuse(line, name, allowed))
        .collect()
}

fn imports(path: &str, text: &str) -> Vec<Problem> {
    let Some(allowed) = layer(path) else { return Vec::new() };
    let code = lex::code(text);
    ["twz-abi", "twz-core", "twz-derive"]
        .iter()
        .filter(|name| !allowed.contains(name))
        .flat_map(|name| {
            let word = name.replace('-', "_");
            let at: Vec<usize> = lex::words(&code, &word).collect();
            at.into_iter().map(|at| refuse(lex::line_of(&code, at), name, allowed))
        })
        .collect()
}

#[test]
fn manifests_point_left() {
    enforce(File::is_manifest, |file| manifest(&file.path, &file.text));
}

#[test]
fn imports_point_left() {
    enforce(File::is_rust, |file| imports(&file.path, &file.text));
}

#[test]
fn a_dependency_to_the_right_is_found() {
    let bad = [
        ("kmod/abi/Cargo.toml", "[dependencies]\ntwz-core.workspace = true\n"),
        ("kmod/core/Cargo.toml", "[dev-dependencies]\ntwz = { path = \"../../libtwz\" }\n"),
        ("examples/Cargo.toml", "[dependencies.twz-abi]\nworkspace = true\n"),
        ("twzd/Cargo.toml", "[target.'cfg(unix)'.dependencies]\ntwz-core = \"1\"\n"),
        ("twzd/Cargo.toml", "[dependencies]\ncore = { package = \"twz-core\" }\n"),
        ("gui/Cargo.toml", "[package]\n"),
    ];
    for (path, text) in bad {
        assert_eq!(manifest(path, text).len(), 1, "{path}: {text}");
    }
    assert_eq!(manifest("twzd/Cargo.toml", "[dependencies]\ntwz.workspace = true\n"), []);
    assert_eq!(manifest("Cargo.toml", "[workspace.dependencies]\ntwz-abi = \"1\"\n"), []);
}

#[test]
fn an_import_to_the_right_is_found() {
    assert_eq!(imports("twzd/src/a.rs", "use twz::Pool;\nuse twz_core::Store;\n")[0].line, 2);
    assert_eq!(imports("kmod/abi/src/a.rs", "use twz_core::Store;\n").len(), 1);
    assert_eq!(imports("kmod/core/src/a.rs", "use twz_abi::Id; // not twz_derive\n"), []);
}
