// SPDX-License-Identifier: MIT OR Apache-2.0
//! Placeholder: bump allocation until the real heap lands.

use crate::{
    error::{Error, Result},
    space::Core,
};

impl Core {
    /// Allocates.
    pub(crate) fn heap_alloc(&self, slot: u32, len: u64, align: u64) -> Result<u64> {
        use std::sync::atomic::Ordering;
        let heap = self.arena().meta(slot)?.heap;
        if heap == 0 {
            return Err(Error::Unsupported("an object of plain bytes has no heap"));
        }
        let own = self.reach(slot, heap + 64)?;
        let top = &crate::raw::object::words(self, own, heap, 1)?[0];
        top.compare_exchange(0, heap + 64, Ordering::AcqRel, Ordering::Acquire).ok();
        let at = top.fetch_add(len.next_multiple_of(align.max(16)), Ordering::AcqRel);
        self.reach(slot, at + len)?;
        Ok(at)
    }

    /// Frees.
    pub(crate) fn heap_free(&self, _slot: u32, _offset: u64) -> Result<()> {
        Ok(())
    }
}
