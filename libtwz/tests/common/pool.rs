// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool that a test has for itself, on the backend that `TWZ_BACKEND` names:
//! the one place where tests get one. The library's own tests and the suites in
//! `tests/` include this file too.
//!
//! Left to itself that is a fresh directory. With `TWZ_BACKEND=kernel` it is the
//! one that the module serves, emptied first: such a run has `--test-threads=1`.
//! A test that is about a directory's files, or needs a compiler, begins with
//! [`embedded_only`].
#![allow(dead_code, unused_imports, unused_macros)]

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use twz::{
    Backend, Binding, Choice, EmbeddedPool, InitOptions, KernelPool, ObjectId, Space, kernel,
};

/// Whether the pools of the tests are the kernel's.
pub fn on_kernel() -> bool {
    Choice::from_env().expect("TWZ_BACKEND is a backend") == Choice::Kernel
}

/// A pool that no other test uses at the same time, and a directory that goes
/// with it.
pub struct TempPool {
    dir: tempfile::TempDir,
    /// Objects of earlier tests that nobody has the right to delete.
    old: HashSet<ObjectId>,
}

impl TempPool {
    /// Makes one, where the system keeps temporary files.
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Makes one in memory if possible, for tests that make thousands of objects.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        match tempfile::tempdir_in(memory) {
            Ok(_) => Self::within(memory),
            Err(_) => Self::new(),
        }
    }

    /// Makes one below `parent`.
    pub fn within(parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).expect("a temporary directory can be made");
        if on_kernel() {
            let pool = KernelPool::open(&kernel::device()).expect("the device opens");
            return Self { dir, old: empty(&pool) };
        }
        EmbeddedPool::init(&dir.path().join("pool"), &InitOptions::default())
            .expect("a pool can be made");
        Self { dir, old: HashSet::new() }
    }

    /// Where it is: a directory, or the device.
    pub fn path(&self) -> PathBuf {
        match on_kernel() {
            true => kernel::device(),
            false => self.dir.path().join("pool"),
        }
    }

    /// A directory for whatever else the test needs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where its names are as files, if they are.
    pub fn names(&self) -> Option<PathBuf> {
        (!on_kernel()).then(|| self.path().join("names"))
    }

    /// Opens it as a space.
    pub fn open(&self) -> Space {
        Space::open(self.path()).expect("the pool opens")
    }

    /// Opens it without mapping anything.
    pub fn backend(&self) -> Box<dyn Backend> {
        twz::open_pool(&self.path()).expect("the pool opens")
    }

    /// The objects that this test has made.
    pub fn objects(&self) -> Vec<ObjectId> {
        let mut found = Vec::new();
        let listed = self.backend().list(&mut |id| {
            found.push(id);
            Ok(())
        });
        listed.expect("the objects can be listed");
        found.retain(|id| !self.old.contains(id));
        found
    }
}

impl Default for TempPool {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes away all names and objects; says which objects cannot be deleted.
fn empty(pool: &dyn Backend) -> HashSet<ObjectId> {
    empty_directory(pool, "");
    let mut old = HashSet::new();
    let listed = pool.list(&mut |id| {
        old.insert(id);
        Ok(())
    });
    listed.expect("the objects can be listed");
    old.retain(|&id| match pool.delete(id) {
        Ok(()) | Err(twz::Error::NoObject(_)) => false,
        Err(twz::Error::Denied { .. }) => true,
        Err(error) => panic!("what an earlier test left cannot be deleted: {error}"),
    });
    old
}

fn empty_directory(pool: &dyn Backend, path: &str) {
    let mut names = Vec::new();
    let listed = pool.read_dir(path, &mut |name, binding| {
        names.push((format!("{path}/{name}"), binding));
        Ok(())
    });
    listed.expect("the names can be listed");
    for (path, binding) in names {
        let gone = match binding {
            Binding::Object(_) => pool.unbind(&path),
            Binding::Directory => {
                empty_directory(pool, &path);
                pool.remove_dir(&path)
            }
        };
        gone.expect("a name of an earlier test can be taken away");
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

/// Ends the test here, as skipped, if it is run on the kernel's pool.
#[macro_export]
macro_rules! embedded_only {
    ($why:literal) => {
        if $crate::common::pool::on_kernel() {
            fn here() {}
            let name = std::any::type_name_of_val(&here).trim_end_matches("::here");
            return $crate::common::pool::skip(name, concat!("on the kernel's pool: ", $why));
        }
    };
}
