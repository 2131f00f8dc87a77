// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a file has holes, and making some: what [`crate::backend`] says of an object
//! whose data can be had as a file.

use std::os::fd::AsFd;

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    sys::stat::fstat,
    unistd::{Whence, lseek},
};

use crate::error::{Error, Result};

fn failed(errno: Errno) -> Error {
    Error::Io { doing: "find holes in an object", path: None, error: errno.into() }
}

/// The first byte from `at` on that may be no hole, or the first that is in one; the
/// length if there is none.
pub fn next(file: impl AsFd, at: u64, hole: bool) -> Result<u64> {
    let end = fstat(&file).map_err(failed)?.st_size as u64;
    let whence = if hole { Whence::SeekHole } else { Whence::SeekData };
    match lseek(&file, at.min(i64::MAX as u64) as i64, whence) {
        Ok(found) => Ok((found as u64).min(end)),
        Err(Errno::ENXIO) => Ok(end),
        Err(errno) => Err(failed(errno)),
    }
}

/// Makes a hole of bytes `from` to `to`, as far as the length goes.
pub fn punch(file: impl AsFd, from: u64, to: u64) -> Result<()> {
    let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let to = to.min(fstat(&file).map_err(failed)?.st_size as u64);
    match to.checked_sub(from).filter(|&len| len != 0) {
        Some(len) => fallocate(&file, how, from as i64, len as i64).map_err(failed),
        None => Ok(()),
    }
}
