// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file of counters, mapped.

use core::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{Acquire, Release},
};

use crate::{raw::sys, stats::SIZE};

const COUNTERS: usize = SIZE / 8;

static SHARED: AtomicPtr<[AtomicU64; COUNTERS]> = AtomicPtr::new(core::ptr::null_mut());

/// Maps what `TWZ_POSIX_STATS` names, if it is a file that is long enough.
pub fn open(path: *const libc::c_char) {
    let flags = libc::O_RDWR | libc::O_CLOEXEC;
    let Some(fd) = sys::open(path, flags) else { return };
    if sys::stat(fd).is_some_and(|stat| stat.is_file && stat.size >= SIZE as u64)
        && let Some(base) = sys::map(fd, SIZE, true)
    {
        SHARED.store(base as *mut [AtomicU64; COUNTERS], Release);
    }
    sys::close(fd);
}

/// The counters, if anybody wants them.
#[inline(always)]
pub fn shared() -> Option<&'static [AtomicU64; COUNTERS]> {
    // SAFETY: null, or a mapping of that many bytes, page-aligned, that is never undone and
    // that everybody who has it changes by atomic operations. Who shortens the file kills
    // himself: it is made by `twz run --stats`, for this, and has no other reader.
    unsafe { SHARED.load(Acquire).as_ref() }
}
