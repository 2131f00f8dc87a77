// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings: [`Map`], which is any, and [`arena`], which lays a view over
//! addresses that are aligned as slots are.

use std::os::fd::{AsRawFd, RawFd};

use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_NONE};
use twz_abi::SLOT;

use crate::errno::{Errno, Result};

/// Bytes in a page, as sizes of memory are counted.
pub const PAGE: usize = twz_abi::PAGE as usize;

/// Bytes in a large page.
pub const HUGE: usize = 2 << 20;

/// Every protection.
pub const RWX: i32 = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;

/// Reading and writing.
pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// A mapping of this process; it goes when it is dropped.
pub struct Map {
    base: usize,
    len: usize,
}

/// `mmap` as it is.
pub fn mmap(
    at: usize,
    len: usize,
    protection: i32,
    flags: i32,
    fd: RawFd,
    offset: u64,
) -> Result<usize> {
    // SAFETY: where `MAP_FIXED` is given, `at` is inside a mapping of the test's own.
    let at = unsafe {
        libc::mmap(at as *mut libc::c_void, len, protection, flags, fd, offset as libc::off_t)
    };
    if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(at as usize) }
}

/// `munmap` as it is.
pub fn munmap(at: usize, len: usize) -> Result {
    // SAFETY: the range is inside a mapping of the test's own, which nothing refers to.
    Errno::check(unsafe { libc::munmap(at as *mut libc::c_void, len) } as libc::c_long).map(|_| ())
}

/// `mprotect` as it is.
pub fn mprotect(at: usize, len: usize, protection: i32) -> Result {
    // SAFETY: the range is inside a mapping of the test's own.
    let done = unsafe { libc::mprotect(at as *mut libc::c_void, len, protection) };
    Errno::check(done as libc::c_long).map(|_| ())
}

/// `madvise` as it is.
pub fn madvise(at: usize, len: usize, advice: i32) -> Result {
    // SAFETY: the range is inside a mapping of the test's own.
    let done = unsafe { libc::madvise(at as *mut libc::c_void, len, advice) };
    Errno::check(done as libc::c_long).map(|_| ())
}

/// Has every page of this process's own be there: a child of fork has none of what is its
/// program's file, and shares the others until it writes.
pub fn populate_own() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    // What is shared is objects; the names of what the kernel gives begin so.
    for line in maps.lines().filter(|line| !line.contains("[v")) {
        let advice = match line.split(' ').nth(1) {
            Some("rw-p") => libc::MADV_POPULATE_WRITE,
            Some("r--p" | "r-xp") => libc::MADV_POPULATE_READ,
            _ => continue,
        };
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (from, to) = range.expect("a range");
        let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).expect("an address"));
        madvise(from, to - from, advice).expect("populate");
    }
}

impl Map {
    /// A mapping of `len` bytes wherever there is room.
    pub fn new(
        fd: &impl AsRawFd,
        offset: u64,
        len: usize,
        protection: i32,
        flags: i32,
    ) -> Result<Self> {
        let base = mmap(0, len, protection, flags, fd.as_raw_fd(), offset)?;
        Ok(Self { base, len })
    }

    /// A shared mapping from the descriptor's beginning.
    pub fn shared(fd: &impl AsRawFd, len: usize, protection: i32) -> Result<Self> {
        Self::new(fd, 0, len, protection, MAP_SHARED)
    }

    /// Memory of nobody else.
    pub fn anonymous(len: usize, protection: i32) -> Result<Self> {
        let base = mmap(0, len, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)?;
        Ok(Self { base, len })
    }

    /// Memory that children share.
    pub fn inherited(len: usize) -> Result<Self> {
        let base = mmap(0, len, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)?;
        Ok(Self { base, len })
    }

    /// Address of byte `offset`.
    pub fn at(&self, offset: usize) -> usize {
        self.base + offset
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Changes its protection.
    pub fn protect(&self, protection: i32) -> Result {
        mprotect(self.base, self.len, protection)
    }

    /// The same without its first bytes, which go.
    pub fn from(self, offset: usize) -> Self {
        let rest = Self { base: self.base + offset, len: self.len - offset };
        if offset > 0 {
            let _ = munmap(self.base, offset);
        }
        self.forget();
        rest
    }

    /// Leaves the mapping to whoever has moved or replaced it.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let _ = munmap(self.base, self.len);
    }
}

/// Lays the first `slots` slots of a view's descriptor over addresses aligned to slots.
pub fn arena(view: &impl AsRawFd, slots: u32, protection: i32) -> Result<Map> {
    let (len, align) = (slots as usize * SLOT as usize, SLOT as usize);
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    let room = Map { base: mmap(0, len + align, PROT_NONE, flags, -1, 0)?, len: len + align };
    let base = room.base.next_multiple_of(align);
    mmap(base, len, protection, MAP_SHARED | MAP_FIXED, view.as_raw_fd(), 0)?;
    let end = room.base + room.len;
    if base > room.base {
        munmap(room.base, base - room.base)?;
    }
    munmap(base + len, end - (base + len))?;
    room.forget();
    Ok(Map { base, len })
}
