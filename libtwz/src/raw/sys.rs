// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls that nix has no safe form of.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::error::{Error, Result};

/// Fills an array with random bytes from the kernel.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer is ours and N long.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    if got == N as isize { Ok(bytes) } else { Err(Error::os("get random bytes")) }
}

/// Makes `to` share all the extents of `from`, if the file system can.
pub fn reflink(to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> bool {
    const FICLONE: libc::c_ulong = 0x4004_9409;
    // SAFETY: FICLONE takes a descriptor by value and touches no memory.
    unsafe { libc::ioctl(to.as_raw_fd(), FICLONE, from.as_raw_fd()) == 0 }
}

/// Now, on a clock that costs no system call and may lag by some milliseconds.
pub fn coarse_now() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
