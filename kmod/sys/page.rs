// SPDX-License-Identifier: GPL-2.0
//! Pages as the processor's tables know them ([`Frame`]), and pages of the
//! module's own to show to programs ([`KernelPage`]).

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{alloc::AllocError, bindings};

/// The number of a page of memory. Who has one may map it: only [`KernelPage`]
/// and [`super::Pmem`] give them out.
#[derive(Clone, Copy)]
pub(crate) struct Frame(pub(super) usize);

/// A page of memory, zeroed, that programs may be shown.
///
/// # Invariants
///
/// `address` is a page of the direct map, from `get_zeroed_page`, that is this
/// value's alone.
pub(crate) struct KernelPage {
    address: usize,
}

impl KernelPage {
    pub(crate) fn new() -> Result<Self, AllocError> {
        // SAFETY: no preconditions in a context that may sleep.
        match unsafe { bindings::get_zeroed_page_noprof(bindings::GFP_KERNEL) } {
            0 => Err(AllocError),
            // INVARIANT: just taken.
            address => Ok(Self { address }),
        }
    }

    pub(crate) fn frame(&self) -> Frame {
        // SAFETY: set once, at boot.
        let start = unsafe { bindings::page_offset_base };
        // By the type invariant, in the direct map.
        Frame((self.address - start) >> 12)
    }

    /// Sets the 8-byte word `index`.
    pub(crate) fn set(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Ordering::Release);
        }
    }

    /// Adds to the 8-byte word `index`.
    pub(crate) fn add(&self, index: usize, more: u64) {
        if let Some(word) = self.word(index) {
            word.fetch_add(more, Ordering::AcqRel);
        }
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        // SAFETY: inside the page (checked), aligned, and by the type invariant
        // ours; everybody reads and writes it atomically.
        (index < 512).then(|| unsafe { &*(self.address as *const AtomicU64).add(index) })
    }
}

impl Drop for KernelPage {
    fn drop(&mut self) {
        // SAFETY: by the type invariant. Whoever maps it holds a descriptor of
        // the module, and pages go after the last of those.
        unsafe { bindings::free_pages(self.address, 0) };
    }
}
