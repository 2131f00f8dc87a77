// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peers `pmemobj` and `pmemobj_call`: PMDK's 16-byte pointers followed by
//! pmemobj_direct, inline as its header has it, and called. See pmemobj.c.

use std::{
    ffi::{CString, c_char, c_void},
    os::unix::ffi::OsStrExt as _,
};

use super::chase::{Course, Runner, value};
use crate::{error::Failed, machine, race::Contender};

/// PMDK's pointer.
#[derive(Clone, Copy)]
#[repr(C)]
struct Oid {
    pool: u64,
    offset: u64,
}

/// Bytes that one of PMDK's pointers takes.
pub const POINTER_BYTES: usize = size_of::<Oid>();

/// Bytes of a node there.
const NODE: u64 = 64;

// SAFETY: as pmemobj.c defines them.
unsafe extern "C" {
    fn bench_pm_make(path: *const c_char, count: u64, first: *mut Oid) -> *mut c_void;
    fn bench_pm_close(pool: *mut c_void);
    fn bench_pm_put(at: Oid, value: u64, next: Oid);
    fn bench_pm_chase(at: *mut Oid, steps: u64) -> u64;
    fn bench_pm_chase_called(at: *mut Oid, steps: u64) -> u64;
}

/// One pool of nodes for each object of a course, linked.
pub struct Pools {
    pools: Vec<*mut c_void>,
    first: Vec<Oid>,
    _directory: tempfile::TempDir,
}

impl Pools {
    /// Makes them.
    pub fn build(course: &Course) -> Result<Self, Failed> {
        let directory = machine::scratch()?;
        let (mut pools, mut first) = (Vec::new(), Vec::new());
        for i in 0..course.case.objects {
            let path = directory.path().join(format!("pool{i}"));
            let path = CString::new(path.as_os_str().as_bytes())?;
            let mut oid = Oid { pool: 0, offset: 0 };
            // SAFETY: a path that ends in NUL, and an oid to be written.
            let pool =
                unsafe { bench_pm_make(path.as_ptr(), course.nodes_each() as u64, &mut oid) };
            if pool.is_null() {
                return Err(Failed::new("libpmemobj could not make a pool; is there room for it?"));
            }
            pools.push(pool);
            first.push(oid);
        }
        let made = Self { pools, first, _directory: directory };
        for (from, to) in course.links() {
            let (at, next) = (made.oid(course, from), made.oid(course, to));
            // SAFETY: both are nodes of pools that are open.
            unsafe { bench_pm_put(at, value(from), next) };
        }
        Ok(made)
    }

    fn oid(&self, course: &Course, node: usize) -> Oid {
        let (object, place) = course.place(node);
        let first = self.first[object];
        Oid { offset: first.offset + place as u64 * NODE, ..first }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        for &pool in &self.pools {
            // SAFETY: open, and closed only here.
            unsafe { bench_pm_close(pool) };
        }
    }
}

/// Follows PMDK's pointers.
pub struct Direct<'a> {
    name: &'static str,
    chase: unsafe extern "C" fn(*mut Oid, u64) -> u64,
    at: Oid,
    runner: Runner<'a>,
    _pools: &'a Pools,
}

impl<'a> Direct<'a> {
    /// Inline.
    pub fn inline(pools: &'a Pools, course: &Course, runner: Runner<'a>) -> Self {
        let at = pools.oid(course, runner.start());
        Self { name: "pmemobj", chase: bench_pm_chase, at, runner, _pools: pools }
    }

    /// Called.
    pub fn called(pools: &'a Pools, course: &Course, runner: Runner<'a>) -> Self {
        let at = pools.oid(course, runner.start());
        Self { name: "pmemobj_call", chase: bench_pm_chase_called, at, runner, _pools: pools }
    }
}

impl Contender for Direct<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, steps: u64) -> Result<(), Failed> {
        // SAFETY: the pools are open, and `build` linked every node to one.
        let sum = unsafe { (self.chase)(&mut self.at, steps) };
        self.runner.arrived(steps, sum)
    }
}
