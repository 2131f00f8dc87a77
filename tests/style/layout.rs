// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands where: the top of the repository, the README's map of it, and
//! the scripts.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    Problem, enforce, problem,
    tree::{File, files, root},
};

/// What the top of the repository holds, besides hidden files.
const TOP: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "examples",
    "kmod",
    "libtwz",
    "scripts",
    "tests",
    "twzd",
];

fn top_level<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let there: BTreeSet<&str> =
        paths.filter_map(|path| path.split('/').next()).filter(|n| !n.starts_with('.')).collect();
    let wanted = BTreeSet::from(TOP);
    let extra = there.difference(&wanted).map(|n| format!("{n}:1: move it: the top level is full"));
    let gone = wanted.difference(&there).map(|n| format!("{n}:1: it belongs here and is missing"));
    extra.chain(gone).collect()
}

/// The folders that hold source themselves, and those at the top, each by the
/// name the map uses: a crate's `src` is the crate.
fn source_folders<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    paths
        .filter(|path| !path.starts_with('.'))
        .filter(|path| [".rs", ".sh", ".c", ".h", ".py"].iter().any(|ext| path.ends_with(ext)))
        .filter_map(|path| path.rsplit_once('/').map(|(folder, _)| folder))
        .flat_map(|folder| {
            let top = folder.split('/').next().unwrap_or(folder);
            [top, folder.strip_suffix("/src").unwrap_or(folder)]
        })
        .collect()
}

/// The lines of the README's section "Code map", with their numbers.
fn code_map(readme: &str) -> Vec<(usize, &str)> {
    let is_map = |line: &str| line.starts_with('#') && line.to_lowercase().contains("code map");
    let mut lines = readme.lines().enumerate().skip_while(|(_, line)| !is_map(line));
    let level = lines
        .next()
        .map_or("", |(_, line)| &line[..line.len() - line.trim_start_matches('#').len()]);
    lines
        .take_while(|(_, line)| !line.starts_with('#') || line.starts_with(&format!("{level}#")))
        .map(|(i, line)| (i + 1, line))
        .collect()
}

/// The paths a line names: what it quotes with backticks and looks like one.
fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|quoted| {
        let first = quoted.split('/').next().unwrap_or_default();
        !quoted.contains([' ', '*', '{', ':', '(']) && TOP.contains(&first)
    })
}

/// Every path the map names exists; every folder with source in it is named.
fn map_problems(readme: &str, paths: &[&str]) -> Vec<Problem> {
    let map = code_map(readme);
    if map.is_empty() {
        return vec![problem(1, "add a section `## Code map`: to change X, open Y")];
    }
    let exists = |named: &str| {
        let named = named.trim_end_matches('/');
        paths
            .iter()
            .any(|p| *p == named || p.strip_prefix(named).is_some_and(|r| r.starts_with('/')))
    };
    let mut found = Vec::new();
    let mut named = BTreeSet::new();
    for (line, text) in &map {
        for path in named_paths(text) {
            named.insert(path.trim_end_matches('/'));
            if !exists(path) {
                found.push(problem(*line, format!("`{path}` is not there: correct the map")));
            }
        }
    }
    let unnamed = source_folders(paths.iter().copied()).into_iter().filter(|f| !named.contains(f));
    let heading = map[0].0;
    found
        .extend(unnamed.map(|f| problem(heading, format!("the map does not name `{f}/`: add it"))));
    found
}

fn script(executable: bool, text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    if !executable {
        found.push(problem(1, "make it executable: chmod +x"));
    }
    if !text.lines().any(|line| line == "set -euo pipefail") {
        found.push(problem(1, "a script stops at the first failure: `set -euo pipefail`"));
    }
    let bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let parsed = bash.and_then(|mut bash| {
        bash.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()))?;
        bash.wait_with_output()
    });
    match parsed {
        Ok(output) if output.status.success() => {}
        Ok(output) => found.push(problem(1, String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => found.push(problem(1, format!("bash -n did not run: {error}"))),
    }
    found
}

#[test]
fn the_top_level_is_what_it_is() {
    let wrong = top_level(files().iter().map(|file| file.path.as_str()));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_readme_maps_the_code() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let paths: Vec<&str> = files().iter().map(|file| file.path.as_str()).collect();
    let wrong: Vec<String> = map_problems(&readme, &paths)
        .into_iter()
        .map(|p| format!("README.md:{}: {}", p.line, p.advice))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn scripts_are_sound() {
    enforce(File::is_shell, |file| script(file.executable, &file.text));
}

#[test]
fn a_crowded_or_empty_top_level_is_found() {
    assert_eq!(top_level(TOP.into_iter().chain([".gitignore"])), [""; 0]);
    assert_eq!(top_level(TOP.into_iter().chain(["notes.txt"])).len(), 1);
    assert_eq!(top_level(TOP.into_iter().skip(1)).len(), 1);
}

#[test]
fn a_wrong_map_is_found() {
    let paths = ["kmod/abi/src/lib.rs", "scripts/run.sh", "README.md"];
    let map = |body: &str| {
        map_problems(&format!("# T\n## Code map\n{body}\n## Next\n`kmod/no`\n"), &paths)
    };
    assert_eq!(map("| `kmod/`, `kmod/abi/` and `scripts/run.sh` |\n### More\n`scripts`"), []);
    assert_eq!(map("`kmod` `kmod/abi/`")[0].advice, "the map does not name `scripts/`: add it");
    let gone = map("`kmod/` `kmod/abi/` `scripts/`\n`kmod/gone.rs`");
    assert_eq!((gone.len(), gone[0].line), (1, 4));
    assert_eq!(map_problems("# T\n", &paths).len(), 1);
}

#[test]
fn an_unsound_script_is_found() {
    let good = "#!/usr/bin/env bash\nset -euo pipefail\necho\n";
    assert_eq!(script(true, good), []);
    assert_eq!(script(false, good).len(), 1);
    assert_eq!(script(true, "echo\n").len(), 1);
    assert_eq!(script(true, &format!("{good}if\n")).len(), 1);
}
