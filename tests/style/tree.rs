// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files the rules look at: what git tracks or would track, as text.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// A text file of the repository.
pub struct File {
    /// From the top of the repository, with `/` between.
    pub path: String,
    /// What is in it.
    pub text: String,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl File {
    /// Whether the path ends in `.EXT`.
    pub fn is(&self, ext: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == ext)
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.is("rs")
    }

    /// Whether it is a crate's manifest.
    pub fn is_manifest(&self) -> bool {
        self.path.ends_with("Cargo.toml")
    }

    /// Whether it is a shell script: by its name, or by its first line.
    pub fn is_shell(&self) -> bool {
        let first = self.text.lines().next().unwrap_or_default();
        self.is("sh") || first.starts_with("#!") && first.ends_with("sh")
    }
}

/// Whether a path is test code as a whole.
pub fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
        || path.ends_with("_tests.rs")
}

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file, read once.
pub fn files() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
        let paths = from_git().unwrap_or_else(|| {
            let mut found = Vec::new();
            walk(&root(), "", &mut found);
            found
        });
        let mut files: Vec<File> = paths.into_iter().filter_map(read).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    });
    &FILES
}

/// A file that is there and is text.
fn read(path: String) -> Option<File> {
    let at = root().join(&path);
    let executable = fs::metadata(&at).ok()?.permissions().mode() & 0o100 != 0;
    Some(File { text: fs::read_to_string(at).ok()?, path, executable })
}

/// What git tracks, and what it would with the next `git add`.
fn from_git() -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()?;
    let paths: Vec<String> =
        String::from_utf8(listed.stdout).ok()?.split_terminator('\0').map(str::to_owned).collect();
    // Unpacked inside somebody else's repository, git answers about theirs.
    paths.iter().any(|path| path == "Cargo.toml").then_some(paths)
}

/// Without git: everything but what a build leaves behind.
fn walk(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let built = matches!(
                path.as_str(),
                "target" | ".git" | "tests/fuzz/corpus" | "tests/fuzz/artifacts"
            );
            if !built {
                walk(&entry.path(), &format!("{path}/"), found);
            }
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn the_tree_is_found() {
    assert!(files().iter().any(|file| file.path == "tests/style/tree.rs"));
    assert!(files().iter().all(|file| !file.path.starts_with("target/")));
}

#[test]
fn the_walk_finds_what_git_finds() {
    let mut walked = Vec::new();
    walk(&root(), "", &mut walked);
    for path in ["Cargo.toml", "tests/style/tree.rs"] {
        assert!(walked.iter().any(|p| p == path), "{path} is missing from the walk");
    }
}

#[test]
fn tests_are_told_from_code() {
    assert!(is_test("tests/style/main.rs"));
    assert!(is_test("kmod/core/src/store/tests.rs"));
    assert!(!is_test("kmod/core/src/store.rs"));
}
