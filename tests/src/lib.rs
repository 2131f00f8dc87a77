// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites share: pools in temporary directories, the types they are
//! filled with, and worker processes (`src/bin/worker.rs`).

use std::path::PathBuf;

use twz::{EmbeddedPool, Field, InitOptions, Persist, Ptr, PtrSlice, Space};

/// One value, and a way on to the next.
#[derive(Persist)]
#[repr(C)]
pub struct Node {
    /// The value.
    pub value: Field<u64>,
    /// The next node, in this object or another.
    pub next: Ptr<Node>,
}

impl Node {
    /// A node with nothing after it.
    pub fn new(value: u64) -> Self {
        Self { value: Field::new(value), next: Ptr::null() }
    }
}

/// An object that points to many others.
#[derive(Persist)]
#[repr(C)]
pub struct Hub {
    /// The pointers.
    pub spokes: PtrSlice<Ptr<Node>>,
}

/// A pool that is removed again with its directory.
pub struct TempPool {
    dir: tempfile::TempDir,
}

impl TempPool {
    /// Makes one, where the system keeps temporary files.
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Makes one below `parent`.
    pub fn within(parent: &std::path::Path) -> Self {
        let dir = tempfile::tempdir_in(parent).expect("a temporary directory can be made");
        EmbeddedPool::init(&dir.path().join("pool"), &InitOptions::default())
            .expect("a pool can be made");
        Self { dir }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("pool")
    }

    /// Opens it.
    pub fn open(&self) -> Space {
        Space::open(self.path()).expect("the pool opens")
    }
}

impl Default for TempPool {
    fn default() -> Self {
        Self::new()
    }
}

/// For a test that cannot be run on this machine: notes it in the file that
/// `TWZ_SKIPS` names, where scripts/test.sh takes it off the passed ones. Without
/// that file the test fails, so that none is ever counted as passed for this.
pub fn skip(test: &str, why: &str) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("TWZ_SKIPS") else {
        panic!("{test}: {why}; set TWZ_SKIPS to a file that shall list such tests");
    };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let noted = file.and_then(|mut file| writeln!(file, "{test}: {why}"));
    noted.expect("the file that TWZ_SKIPS names can be written");
}

/// What a check of the pool finds wrong, as text; nothing if all is well. What a
/// killed process leaves lying about, and says so, is not wrong.
pub fn check_pool(path: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |problem: twz::check::Problem| {
        if problem.severity == twz::check::Severity::Error {
            found.push(format!("{}: {}", problem.where_, problem.what));
        }
    };
    if let Err(error) = twz::check::check(path, &Default::default(), &mut |_| {}, &mut report) {
        found.push(error.to_string());
    }
    found
}
