// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cache lines on their way to the medium: flush and fence, by whatever
//! instruction the processor has, or `msync` where a page cache lies between.
//! `DURABILITY.md` says what each means on each medium.
//!
//! **Hooks.** With the cargo feature `crash-hooks` (off by default, and then
//! nothing of it is compiled) a tool that plays power cuts sees every flush and
//! every fence, in the thread that makes it, before the instruction, and the line
//! of the library that asked for it:
//!
//! ```text
//! twz::crash_hooks::observe(flush: fn(address: usize, len: usize, by: Line), fence: fn(by: Line),
//!                           sync: fn(object: ObjectId, by: Line))
//! twz::crash_hooks::pretend_boot(id: u64)     the machine was started anew
//! ```
//!
//! A store that is neither flushed nor fenced may still reach the medium. What
//! `msync` writes is reported as a flush of whole pages and a fence. The boot
//! is what parts "its process died" from "the power went": recovery of an image
//! wants one that differs from the recording's.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// How stores are made to reach the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Stores are as durable as they get: tmpfs, or caches that power cannot empty.
    Nothing = 1,
    /// `clwb`: writes a line back and keeps it.
    Clwb = 2,
    /// `clflushopt`: writes a line back and drops it.
    Clflushopt = 3,
    /// `clflush`: the same, one after the other.
    Clflush = 4,
    /// `msync` of the pages.
    Msync = 5,
}

impl Method {
    /// What `TWZ_PERSIST` asks for, if it asks for anything.
    pub fn forced() -> Result<Option<Self>> {
        match std::env::var("TWZ_PERSIST").as_deref() {
            Err(_) | Ok("" | "auto") => Ok(None),
            Ok("none") => Ok(Some(Self::Nothing)),
            Ok("clwb") if Self::processor() == Self::Clwb => Ok(Some(Self::Clwb)),
            Ok("clflushopt") if Self::processor() != Self::Clflush => Ok(Some(Self::Clflushopt)),
            Ok("clflush") => Ok(Some(Self::Clflush)),
            Ok("msync") => Ok(Some(Self::Msync)),
            Ok("clwb" | "clflushopt") => {
                Err(Error::Unsupported("this processor has not the instruction TWZ_PERSIST names"))
            }
            Ok(_) => Err(Error::Unsupported(
                "TWZ_PERSIST is one of auto, none, clwb, clflushopt, clflush, msync",
            )),
        }
    }

    /// The best instruction that this processor has. Asked once.
    pub fn processor() -> Self {
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        match KNOWN.load(Ordering::Relaxed) {
            2 => Self::Clwb,
            3 => Self::Clflushopt,
            4 => Self::Clflush,
            _ => {
                let found = ask_processor();
                KNOWN.store(found as u8, Ordering::Relaxed);
                found
            }
        }
    }

    /// What persistent memory wants: a flush, unless power cannot empty the caches.
    pub fn persistent_memory() -> Self {
        if caches_survive() { Self::Nothing } else { Self::processor() }
    }

    /// Sends what was stored to these addresses on its way. They are mapped.
    #[inline]
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn flush(self, address: usize, len: usize) -> Result<()> {
        if self == Self::Nothing || len == 0 {
            return Ok(());
        }
        if self == Self::Msync {
            return write_pages(address, len);
        }
        hook_flush(address, len);
        let mut line = address & !(LINE - 1);
        while line < address + len {
            flush_line(self, line);
            line += LINE;
        }
        Ok(())
    }

    /// Stores words to memory that begins and ends with a line, and sends them on
    /// their way, past the caches if that can be: nobody is going to read them.
    #[inline]
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn stream(self, to: &[AtomicU64], from: &[u64]) -> Result<()> {
        #[cfg(target_arch = "x86_64")]
        if matches!(self, Self::Clwb | Self::Clflushopt) && to.len() >= from.len() {
            for (to, from) in to.iter().zip(from) {
                // SAFETY: a store of 8 bytes to a word that may be stored to; it
                // is not ordered with others before the fence that follows.
                unsafe { std::arch::x86_64::_mm_stream_si64(to.as_ptr().cast(), *from as i64) };
            }
            hook_flush(to.as_ptr() as usize, 8 * from.len());
            return Ok(());
        }
        for (to, from) in to.iter().zip(from) {
            to.store(*from, Ordering::Relaxed);
        }
        self.flush(to.as_ptr() as usize, 8 * from.len())
    }

    /// What was flushed before is durable before anything is stored after.
    #[inline]
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn fence(self) {
        match self {
            Self::Nothing | Self::Msync => {}
            // Ordered by itself.
            Self::Clflush => hook_fence(),
            Self::Clwb | Self::Clflushopt => {
                hook_fence();
                store_fence();
            }
        }
    }
}

/// Whether a shared mapping of a file can be `MAP_SYNC`: then it is persistent
/// memory itself that is mapped, and the file's own blocks are durable before a
/// store to them can be made.
pub fn maps_synchronously(file: std::os::fd::BorrowedFd<'_>) -> bool {
    use std::os::fd::AsRawFd as _;
    let flags = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
    // SAFETY: a new mapping, which nobody uses, and which goes at once.
    unsafe {
        let len = twz_abi::PAGE as usize;
        let at = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, file.as_raw_fd(), 0);
        at != libc::MAP_FAILED && libc::munmap(at, len) == 0
    }
}

/// Whether all regions of persistent memory say that their domain reaches over
/// the processor's caches.
fn caches_survive() -> bool {
    let Ok(devices) = std::fs::read_dir("/sys/bus/nd/devices") else { return false };
    let mut domains = devices
        .flatten()
        .filter_map(|device| std::fs::read_to_string(device.path().join("persistence_domain")).ok())
        .peekable();
    domains.peek().is_some() && domains.all(|domain| domain.trim() == "cpu_cache")
}

#[cfg(target_arch = "x86_64")]
fn ask_processor() -> Method {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(0).eax < 7 {
        return Method::Clflush;
    }
    let features = __cpuid_count(7, 0).ebx;
    match (features & 1 << 24 != 0, features & 1 << 23 != 0) {
        (true, _) => Method::Clwb,
        (_, true) => Method::Clflushopt,
        _ => Method::Clflush,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn ask_processor() -> Method {
    Method::Msync
}

#[inline(always)]
fn flush_line(method: Method, line: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: these instructions change no memory and no register; on an address
    // that is not mapped they fault as a load does. The processor has the one
    // that is used: `Method` was chosen by what it says of itself.
    unsafe {
        match method {
            Method::Clwb => {
                std::arch::asm!("clwb [{}]", in(reg) line, options(nostack, preserves_flags));
            }
            Method::Clflushopt => {
                std::arch::asm!("clflushopt [{}]", in(reg) line, options(nostack, preserves_flags));
            }
            _ => std::arch::asm!("clflush [{}]", in(reg) line, options(nostack, preserves_flags)),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (method, line);
}

#[inline(always)]
fn store_fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: orders stores, and does nothing else.
    unsafe {
        std::arch::asm!("sfence", options(nostack, preserves_flags));
    }
}

/// Writes pages back, and waits until they are on the medium.
#[cold]
#[cfg_attr(feature = "crash-hooks", track_caller)]
fn write_pages(address: usize, len: usize) -> Result<()> {
    const PAGE: usize = twz_abi::PAGE as usize;
    let start = address & !(PAGE - 1);
    let end = (address + len).next_multiple_of(PAGE);
    hook_flush(start, end - start);
    hook_fence();
    // SAFETY: `msync` reads mapped memory, and refuses what is not mapped.
    match unsafe { libc::msync(start as *mut _, end - start, libc::MS_SYNC) } {
        0 => Ok(()),
        _ => Err(Error::os("write pages of an object back")),
    }
}

#[cfg(not(feature = "crash-hooks"))]
#[inline(always)]
fn hook_flush(_address: usize, _len: usize) {}
#[cfg(not(feature = "crash-hooks"))]
#[inline(always)]
fn hook_fence() {}

#[cfg(feature = "crash-hooks")]
use hooks::{fence as hook_fence, flush as hook_flush};

/// See the top of the file.
#[cfg(feature = "crash-hooks")]
pub mod hooks {
    use std::{
        panic::Location,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    /// Where a flush or a fence is asked for.
    pub type Line = &'static Location<'static>;

    /// What is called for a flush: the address, how many bytes, and by whom.
    type OnFlush = fn(usize, usize, Line);
    /// What is called for a fence.
    type OnFence = fn(by: Line);
    /// What is called when an object was synced, all of it.
    type OnSync = fn(twz_abi::ObjectId, Line);

    static OBSERVER: OnceLock<(OnFlush, OnFence, OnSync)> = OnceLock::new();
    static BOOT: AtomicU64 = AtomicU64::new(0);

    /// Has these called for every flush, every fence and every object that was synced
    /// of this process from now on. Only the first call counts.
    pub fn observe(flush: OnFlush, fence: OnFence, sync: OnSync) {
        let _ = OBSERVER.set((flush, fence, sync));
    }

    /// Pretends that the machine was started anew as boot `id`, which is not 0.
    pub fn pretend_boot(id: u64) {
        BOOT.store(id, Ordering::Relaxed);
    }

    #[track_caller]
    pub(super) fn flush(address: usize, len: usize) {
        if let Some((flush, ..)) = OBSERVER.get() {
            flush(address, len, Location::caller());
        }
    }

    #[track_caller]
    pub(super) fn fence() {
        if let Some((_, fence, _)) = OBSERVER.get() {
            fence(Location::caller());
        }
    }

    #[track_caller]
    pub(crate) fn sync(object: twz_abi::ObjectId) {
        if let Some((.., sync)) = OBSERVER.get() {
            sync(object, Location::caller());
        }
    }

    pub(super) fn boot() -> Option<u64> {
        Some(BOOT.load(Ordering::Relaxed)).filter(|&id| id != 0)
    }
}

/// Which start of the machine this is: a number that no other has, not 0.
pub fn boot() -> u64 {
    #[cfg(feature = "crash-hooks")]
    if let Some(pretended) = hooks::boot() {
        return pretended;
    }
    static KNOWN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *KNOWN.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut digits = text.bytes().filter_map(|byte| (byte as char).to_digit(16));
        digits.by_ref().take(16).fold(0, |id, digit| id << 4 | digit as u64) | 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_leaves_memory_as_it_is() {
        let bytes = vec![7u8; 10_000];
        let all = [Method::Nothing, Method::processor(), Method::Clflush];
        for method in all {
            for (at, len) in [(0, 1), (63, 2), (1, 9_999), (5, 0)] {
                method.flush(bytes.as_ptr() as usize + at, len).unwrap();
                method.fence();
            }
        }
        assert!(bytes.iter().all(|&byte| byte == 7));
    }

    #[test]
    fn a_boot_stays_what_it_is() {
        assert_ne!(boot(), 0);
        assert_eq!(boot(), boot());
    }
}
