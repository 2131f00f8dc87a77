// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files by system calls, with the error numbers that they give.

use std::{
    mem::zeroed,
    os::fd::{AsRawFd, OwnedFd},
};

use crate::{
    errno::{Errno, Result},
    process::syscall,
};

/// A descriptor with the calls that files have.
pub struct File(pub OwnedFd);

impl File {
    fn raw(&self) -> usize {
        self.0.as_raw_fd() as usize
    }

    /// `read`.
    pub fn read(&self, into: &mut [u8]) -> Result<usize> {
        // The buffer is `into`.
        syscall(libc::SYS_read, [self.raw(), into.as_mut_ptr() as usize, into.len(), 0, 0, 0])
    }

    /// `write`.
    pub fn write(&self, from: &[u8]) -> Result<usize> {
        syscall(libc::SYS_write, [self.raw(), from.as_ptr() as usize, from.len(), 0, 0, 0])
    }

    /// `pread`.
    pub fn pread(&self, into: &mut [u8], at: u64) -> Result<usize> {
        let (address, len) = (into.as_mut_ptr() as usize, into.len());
        // The buffer is `into`.
        syscall(libc::SYS_pread64, [self.raw(), address, len, at as usize, 0, 0])
    }

    /// `pwrite`.
    pub fn pwrite(&self, from: &[u8], at: u64) -> Result<usize> {
        let (address, len) = (from.as_ptr() as usize, from.len());
        syscall(libc::SYS_pwrite64, [self.raw(), address, len, at as usize, 0, 0])
    }

    /// `lseek`.
    pub fn seek(&self, to: i64, whence: i32) -> Result<u64> {
        let arguments = [self.raw(), to as usize, whence as usize, 0, 0, 0];
        syscall(libc::SYS_lseek, arguments).map(|at| at as u64)
    }

    /// `ftruncate`.
    pub fn truncate(&self, size: u64) -> Result {
        syscall(libc::SYS_ftruncate, [self.raw(), size as usize, 0, 0, 0, 0]).map(|_| ())
    }

    /// `fallocate`.
    pub fn allocate(&self, mode: i32, from: u64, len: u64) -> Result {
        let arguments = [self.raw(), mode as usize, from as usize, len as usize, 0, 0];
        syscall(libc::SYS_fallocate, arguments).map(|_| ())
    }

    /// `fsync`.
    pub fn sync(&self) -> Result {
        syscall(libc::SYS_fsync, [self.raw(), 0, 0, 0, 0, 0]).map(|_| ())
    }

    /// `fstat`.
    pub fn stat(&self) -> libc::stat {
        // SAFETY: all zeros is a stat, and it is ours to be written.
        unsafe {
            let mut stat: libc::stat = zeroed();
            assert_eq!(libc::fstat(self.0.as_raw_fd(), &mut stat), 0, "{:?}", Errno::last());
            stat
        }
    }

    /// `flock`, without waiting.
    pub fn flock(&self, operation: i32) -> Result {
        let operation = operation | libc::LOCK_NB;
        syscall(libc::SYS_flock, [self.raw(), operation as usize, 0, 0, 0, 0]).map(|_| ())
    }

    /// A lock of an open file description on bytes, without waiting.
    pub fn lock(&self, kind: i32, from: i64, len: i64) -> Result {
        // SAFETY: all zeros is a flock.
        let mut lock: libc::flock = unsafe { zeroed() };
        (lock.l_type, lock.l_start, lock.l_len) = (kind as i16, from, len);
        let arguments = [self.raw(), libc::F_OFD_SETLK as usize, (&raw mut lock) as usize, 0, 0, 0];
        // The structure is `lock`.
        syscall(libc::SYS_fcntl, arguments).map(|_| ())
    }

    /// `fcntl(F_SETFL)`.
    pub fn set_flags(&self, flags: i32) -> Result {
        let arguments = [self.raw(), libc::F_SETFL as usize, flags as usize, 0, 0, 0];
        syscall(libc::SYS_fcntl, arguments).map(|_| ())
    }
}
