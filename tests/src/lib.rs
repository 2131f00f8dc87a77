// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites share: pools in temporary directories, the types they are
//! filled with, and worker processes (`src/bin/worker.rs`).

use std::path::PathBuf;

use twz::{Field, Persist, Ptr, PtrSlice};

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

/// Where the tests of the library get their pools, which these get theirs from too.
#[path = "../../libtwz/tests/common/pool.rs"]
pub mod pool;

/// By the name that it has there.
pub mod common {
    pub use crate::pool;
}

pub use pool::{TempPool, on_kernel, skip};

/// The program of `src/bin/worker.rs`: `built` is where it was built, and
/// `TWZ_WORKER` where it was taken to since.
pub fn worker(built: &str) -> PathBuf {
    std::env::var_os("TWZ_WORKER").map_or_else(|| built.into(), PathBuf::from)
}

/// What a check of the pool finds wrong, as text; nothing if all is well. What a
/// killed process leaves lying about, and says so, is not wrong. (The kernel's is
/// checked when its module is unloaded, in the suites of `tests/vm`.)
pub fn check_pool(path: &std::path::Path) -> Vec<String> {
    if on_kernel() {
        return Vec::new();
    }
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
