// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file in memory that can grow: mapped once, for as far as it may ever reach, so
//! that nothing moves. All that [`crate::UnixKvs`] needs `unsafe` for is here.
// UNSAFETY: mapping files is what POSIX offers instead of objects.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// As far as a file can reach: as an object of twzkvs.
pub const MOST: usize = 1 << 30;

/// A mapped file.
///
/// # Invariants
///
/// `MOST` bytes from `base` on are mapped, shared, readable and writable, until it is
/// dropped; the first `len` of them are in the file, which only grows.
pub struct Mapped {
    file: File,
    base: usize,
    len: AtomicUsize,
}

impl Mapped {
    /// Maps a file, which is made if `create` says so.
    pub fn open(path: &Path, create: bool) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(create).open(path)?;
        let (protection, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let (null, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let base = unsafe { libc::mmap(null, MOST, protection, shared, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapped = Self { file, base: base as usize, len: AtomicUsize::new(0) };
        mapped.look()?;
        Ok(mapped)
    }

    fn look(&self) -> io::Result<usize> {
        let len = (self.file.metadata()?.len() as usize).min(MOST);
        self.len.fetch_max(len, Ordering::AcqRel);
        Ok(len)
    }

    /// Whether these bytes are in the file; it may have grown in another process.
    #[inline(always)]
    fn has(&self, at: usize, len: usize) -> bool {
        let inside = |end: usize| at <= end && len <= end - at;
        inside(self.len.load(Ordering::Relaxed)) || self.look().is_ok_and(inside)
    }

    /// Words of the file.
    #[inline(always)]
    pub fn words(&self, at: usize, len: usize) -> Option<&[AtomicU64]> {
        if !at.is_multiple_of(8) || len > MOST / 8 || !self.has(at, len * 8) {
            return None;
        }
        // SAFETY: 1. `has` says that the bytes are in the file, and by the invariant
        // they are mapped while `self` lives; 2. `base` is that of a page and `at` a
        // multiple of 8; 3. any bits are a value, and others change them as atomics.
        Some(unsafe { std::slice::from_raw_parts((self.base + at) as *const AtomicU64, len) })
    }

    /// Bytes of the file that nobody changes any more.
    #[inline(always)]
    pub fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        if !self.has(at, len) {
            return None;
        }
        // SAFETY: 1. as in `words`; 2. bytes; 3. what is read is what a pointer was
        // stored to after it was written, and it is written once.
        Some(unsafe { std::slice::from_raw_parts((self.base + at) as *const u8, len) })
    }

    /// Writes bytes that nobody can know of yet.
    pub fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.reach(at, bytes.len())?;
        // SAFETY: in the file and mapped, as in `words`; `bytes` is private memory, or
        // a value of this store, which what is new does not overlap.
        unsafe { std::ptr::copy(bytes.as_ptr(), (self.base + at) as *mut u8, bytes.len()) };
        Ok(())
    }

    /// Makes the file reach so far, and somewhat further.
    #[inline]
    pub fn reach(&self, at: usize, len: usize) -> io::Result<()> {
        let end = at.checked_add(len).filter(|&end| end <= MOST);
        let end = end.ok_or(io::ErrorKind::StorageFull)?;
        if end <= self.len.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ahead = (end + (end / 4).clamp(4096, 4 << 20)).min(MOST);
        // SAFETY: no memory is involved; storage is allocated, or that is an error.
        match unsafe { libc::posix_fallocate(self.file.as_raw_fd(), 0, ahead as libc::off_t) } {
            0 => self.look().map(|_| ()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Makes bytes survive a power cut.
    pub fn sync(&self, at: usize, len: usize) -> io::Result<()> {
        let start = at & !4095;
        // SAFETY: within the mapping, by the invariant and `has`.
        let done = self.has(at, len)
            && unsafe {
                libc::msync((self.base + start) as *mut _, len + at - start, libc::MS_SYNC) == 0
            };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes the lock of the file, or gives it back.
    pub fn lock(&self, take: bool) -> io::Result<()> {
        let what = if take { libc::LOCK_EX } else { libc::LOCK_UN };
        // SAFETY: no memory is involved.
        match unsafe { libc::flock(self.file.as_raw_fd(), what) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `open` mapped, and references to it end with `self`.
        unsafe { libc::munmap(self.base as *mut _, MOST) };
    }
}
