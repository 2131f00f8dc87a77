// SPDX-License-Identifier: GPL-2.0
//! The medium: a DAX device, held by this module alone, as [`Media`].

use super::page::Frame;
use core::{ptr, sync::atomic::AtomicU64, sync::atomic::Ordering};
use kernel::{
    bindings,
    error::{code::*, from_err_ptr},
    prelude::*,
};
use twz_abi::PAGE;
use twz_core::{Media, MediaError};

/// Who holds the device: only the address counts.
static HOLDER: u8 = 0;

/// What the device tells its holder.
static NEWS: super::bindings::dax_holder_operations =
    super::bindings::dax_holder_operations { notify_failure: Some(notify_failure) };

/// A DAX device that is held.
///
/// # Invariants
///
/// `file` is the opened block device and `dax` its DAX device, both held. The
/// `len` bytes from `start` on are its memory, in pages from `first_frame` on,
/// until both are let go; unless the device fails, after which `Space::die` sees
/// to it that nothing here is called.
pub(crate) struct Pmem {
    file: *mut bindings::file,
    dax: *mut super::bindings::dax_device,
    start: *mut u8,
    first_frame: usize,
    len: u64,
}

// SAFETY: a device can be used and let go by any thread.
unsafe impl Send for Pmem {}
// SAFETY: what takes `&self` only reads, and reading while others write gives
// some bytes or other, which are checked like all that is read.
unsafe impl Sync for Pmem {}

impl Pmem {
    /// Opens a device, and keeps everybody else from using its DAX side.
    pub(crate) fn open(path: &CStr) -> Result<Self> {
        let holder = ptr::addr_of!(HOLDER).cast_mut().cast();
        // SAFETY: the path is a string; no operations are given, so none are called.
        let file = from_err_ptr(unsafe {
            bindings::bdev_file_open_by_path(path.as_char_ptr(), READ | WRITE, holder, ptr::null())
        })?;
        let mut offset = 0;
        // SAFETY: the file is an opened block device; the holder's operations are static.
        let dax = unsafe {
            super::bindings::fs_dax_get_by_bdev(
                bindings::file_bdev(file),
                &mut offset,
                holder,
                &NEWS,
            )
        };
        if dax.is_null() {
            pr_err!("this device has no DAX, or somebody else holds it\n");
            // SAFETY: opened above.
            unsafe { bindings::bdev_fput(file) };
            return Err(EBUSY);
        }
        // Everything from here on is let go by `drop`.
        let mut pmem = Self { file, dax, start: ptr::null_mut(), first_frame: 0, len: 0 };
        // SAFETY: opened above. The size is in sectors of 512 bytes.
        let pages = unsafe { (*bindings::file_bdev(file)).bd_nr_sectors } / 8;
        let (mut start, mut frame) = (ptr::null_mut(), 0);
        // SAFETY: the device is held; the results go to places of ours.
        let got = unsafe {
            let lock = super::bindings::dax_read_lock();
            let got = super::bindings::dax_direct_access(
                dax,
                (offset / PAGE) as _,
                pages as _,
                super::bindings::dax_access_mode_DAX_ACCESS,
                &mut start,
                &mut frame,
            );
            super::bindings::dax_read_unlock(lock);
            got
        };
        if got <= 0 || offset % PAGE != 0 || start.is_null() {
            pr_err!("this device gives no direct access to its memory\n");
            return Err(Error::from_errno(-(bindings::EOPNOTSUPP as i32)));
        }
        // INVARIANT: this is the device's memory, as much as is contiguous.
        pmem.start = start.cast();
        pmem.first_frame = frame as usize;
        pmem.len = (got as u64).min(pages as u64) * PAGE;
        Ok(pmem)
    }

    /// A page of the medium, to map.
    pub(crate) fn frame(&self, page: u64) -> Frame {
        // The store gives out pages of its pool only; of anything else, the first
        // page, which holds no secrets, is as good as any.
        let page = if page < self.len / PAGE { page } else { 0 };
        Frame(self.first_frame + page as usize)
    }

    /// Where `len` bytes at `at` are, if they are all on the medium.
    fn at(&self, at: u64, len: u64) -> Result<*mut u8, MediaError> {
        match at.checked_add(len).is_some_and(|end| end <= self.len) {
            // SAFETY: inside the memory (checked, and the type invariant).
            true => Ok(unsafe { self.start.add(at as usize) }),
            false => Err(MediaError::Range { at, len }),
        }
    }
}

impl Media for Pmem {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        let from = self.at(at, into.len() as u64)?;
        // SAFETY: both are valid for that many bytes and do not overlap; memory
        // that fails is reported, not run into.
        let left = unsafe {
            bindings::copy_mc_to_kernel(into.as_mut_ptr().cast(), from.cast(), into.len() as _)
        };
        match left {
            0 => Ok(()),
            _ => Err(MediaError::Io { at, code: EIO.to_errno() }),
        }
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        let to = self.at(at, from.len() as u64)?;
        // SAFETY: both are valid for that many bytes and do not overlap.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    fn flush(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        let start = self.at(at, len)?;
        if lacks(b"flush") {
            return Ok(());
        }
        // SAFETY: the lines around these bytes are the medium's.
        unsafe { super::bindings::arch_wb_cache_pmem(start.cast(), len as _) };
        Ok(())
    }

    fn fence(&mut self) -> Result<(), MediaError> {
        if lacks(b"fence") {
            return Ok(());
        }
        // SAFETY: orders stores, and nothing else.
        unsafe { core::arch::asm!("sfence", options(nostack, preserves_flags)) };
        Ok(())
    }

    fn zero(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        let start = self.at(at, len)?;
        if (start as usize | len as usize) % 64 != 0 || lacks(b"zeros") {
            // SAFETY: the medium's, all of them (checked).
            unsafe { ptr::write_bytes(start, 0, len as usize) };
            return if lacks(b"zeros") { Ok(()) } else { self.flush(at, len) };
        }
        // Past the caches: whole lines, that nobody reads soon, and nothing to flush.
        for line in (0..len as usize).step_by(64) {
            // SAFETY: 64 bytes of the medium's (checked).
            unsafe {
                core::arch::asm!(
                    "movnti [{to}], {zero}",
                    "movnti [{to} + 8], {zero}",
                    "movnti [{to} + 16], {zero}",
                    "movnti [{to} + 24], {zero}",
                    "movnti [{to} + 32], {zero}",
                    "movnti [{to} + 40], {zero}",
                    "movnti [{to} + 48], {zero}",
                    "movnti [{to} + 56], {zero}",
                    to = in(reg) start.add(line),
                    zero = in(reg) 0u64,
                    options(nostack, preserves_flags),
                );
            }
        }
        Ok(())
    }

    fn compare_exchange(&mut self, at: u64, old: u64, new: u64) -> Result<u64, MediaError> {
        let word = self.at(at, 8)?;
        if word as usize % 8 != 0 {
            return Err(MediaError::Range { at, len: 8 });
        }
        // SAFETY: the medium's, and aligned (checked). Programs that have it mapped
        // exchange it atomically too.
        let word = unsafe { AtomicU64::from_ptr(word.cast()) };
        let found = word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        Ok(found.unwrap_or_else(|found| found))
    }
}

impl Drop for Pmem {
    fn drop(&mut self) {
        let holder = ptr::addr_of!(HOLDER).cast_mut().cast();
        // SAFETY: by the type invariant, both are held, by this holder.
        unsafe {
            super::bindings::fs_put_dax(self.dax, holder);
            bindings::bdev_fput(self.file);
        }
    }
}

/// Whether a module for tests was loaded (`weaken=`) without one of what makes
/// stores durable: a `flush`, a `fence`, `zeros` that are. `tests/crash` catches each.
#[cfg(twz_weaken)]
fn lacks(what: &[u8]) -> bool {
    super::weakened() == what
}

/// Whether it was loaded without that: no other module can be.
#[cfg(not(twz_weaken))]
const fn lacks(_: &[u8]) -> bool {
    false
}

/// The device tells that it goes, or that memory failed.
///
/// # Safety
///
/// For the kernel to call; it looks at none of what it is handed.
unsafe extern "C" fn notify_failure(
    _: *mut super::bindings::dax_device,
    _offset: u64,
    _len: u64,
    _flags: kernel::ffi::c_int,
) -> kernel::ffi::c_int {
    if let Some(space) = super::space() {
        space.die();
    }
    0
}

/// `BLK_OPEN_READ` and `BLK_OPEN_WRITE`.
const READ: bindings::blk_mode_t = 1;
const WRITE: bindings::blk_mode_t = 2;
