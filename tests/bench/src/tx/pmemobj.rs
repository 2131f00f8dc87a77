// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `pmemobj`: the same transactions with libpmemobj. See pmemobj.c.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt as _,
};

use super::{Case, key};
use crate::{error::Failed, machine, race::Contender};

// SAFETY: as pmemobj.c defines them.
unsafe extern "C" {
    fn bench_tx_make(path: *const c_char) -> *mut c_void;
    fn bench_tx_close(pool: *mut c_void);
    fn bench_tx_two_words(pool: *mut c_void, times: u64) -> c_int;
    fn bench_tx_hundred_bytes(pool: *mut c_void, times: u64) -> c_int;
    fn bench_tx_alloc_free(pool: *mut c_void, times: u64) -> c_int;
    fn bench_tx_insert(pool: *mut c_void, key: u64, value: u64) -> c_int;
    fn bench_tx_get(pool: *mut c_void, key: u64, value: *mut u64) -> c_int;
}

/// A pool of libpmemobj's.
pub struct Pmemobj {
    pool: *mut c_void,
    case: Case,
    inserted: u64,
    _directory: tempfile::TempDir,
}

impl Pmemobj {
    /// Makes one.
    pub fn new(case: Case) -> Result<Self, Failed> {
        let directory = machine::scratch()?;
        let path = CString::new(directory.path().join("pool").as_os_str().as_bytes())?;
        // SAFETY: a path that ends in NUL.
        let pool = unsafe { bench_tx_make(path.as_ptr()) };
        if pool.is_null() {
            return Err(Failed::new("libpmemobj could not make a pool; is there room for it?"));
        }
        Ok(Self { pool, case, inserted: 0, _directory: directory })
    }

    fn insert(&mut self, times: u64) -> c_int {
        for i in self.inserted..self.inserted + times {
            // SAFETY: the pool is open.
            if unsafe { bench_tx_insert(self.pool, key(i), i) } != 0 {
                return -1;
            }
        }
        self.inserted += times;
        let mut found = 0;
        // SAFETY: the pool is open, and `found` is ours to be written.
        let missing = unsafe { bench_tx_get(self.pool, key(self.inserted - 1), &mut found) };
        if missing != 0 || found != self.inserted - 1 { -1 } else { 0 }
    }
}

impl Drop for Pmemobj {
    fn drop(&mut self) {
        // SAFETY: open, and closed only here.
        unsafe { bench_tx_close(self.pool) };
    }
}

impl Contender for Pmemobj {
    fn name(&self) -> &'static str {
        "pmemobj"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        // SAFETY: the pool is open.
        let done = unsafe {
            match self.case {
                Case::TwoWords => bench_tx_two_words(self.pool, operations),
                Case::HundredBytes => bench_tx_hundred_bytes(self.pool, operations),
                Case::AllocFree => bench_tx_alloc_free(self.pool, operations),
                Case::HashMapInsert => self.insert(operations),
            }
        };
        if done == 0 { Ok(()) } else { Err(Failed::new("libpmemobj's answer is wrong")) }
    }
}
