// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making an object's data reach further, while other processes do the same.
//!
//! A resize sets a size, so of two that grow the slower one could cut off what
//! the faster one already uses. This only ever grows: it has the file system
//! allocate what it wants, which extends the file and changes nothing else.
//!
//! It is also where storage comes from. A store to a hole on a full disk is a
//! SIGBUS, so whatever the heap is going to store to is backed first, and a
//! full disk is an error of the allocation.

use std::sync::atomic::Ordering;

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};
use twz_abi::{DATA_START, META_START, Meta, PAGE, meta::Bounds};

use crate::{
    error::{Error, Result},
    raw::translate::Translation,
    space::Core,
};

/// The least and the most that data grows beyond what is needed.
const STEP: std::ops::RangeInclusive<u64> = 8 * 1024..=1024 * 1024;

impl Core {
    /// Makes sure that the data reaches at least to slot offset `end`, and
    /// never makes it shorter. What is new has storage from `from` on.
    #[cold]
    pub(crate) fn heap_reach(&self, slot: u32, from: u64, end: u64) -> Result<Translation> {
        let own = self.refresh(slot)?;
        if own.end() >= end {
            return Ok(own);
        }
        let start = own.end();
        let ahead = (start.saturating_sub(from) / 2).clamp(*STEP.start(), *STEP.end());
        let wanted = [end.saturating_add(ahead), end].map(|end| end.next_multiple_of(PAGE));
        if !self.claim_data(slot, wanted[0])? && !self.claim_data(slot, wanted[1])? {
            let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
            return Err(Error::ObjectFull { id, what: "its heap would meet its FOT" });
        }
        // What is claimed by now, by whomever, may be used by all.
        let pages = Bounds::unpack(self.bounds(slot)?.load(Ordering::Acquire)).data_pages as u64;
        let size = (pages * PAGE).min(wanted[0] - DATA_START).max(wanted[1] - DATA_START);
        super::meanwhile("the data is extended");
        match self.extend_data(slot, start.max(from), size) {
            // Not so far ahead, then.
            Err(_) if size > wanted[1] - DATA_START => {
                self.extend_data(slot, start.max(from), wanted[1] - DATA_START)?
            }
            other => other?,
        }
        let own = self.refresh(slot)?;
        if own.end() >= end { Ok(own) } else { self.reach(slot, end) }
    }

    /// Claims the pages up to `end`, unless the FOT has them.
    fn claim_data(&self, slot: u32, end: u64) -> Result<bool> {
        let pages = ((end - DATA_START) / PAGE).min(u32::MAX as u64) as u32;
        let claimed =
            self.bounds(slot)?.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let now = Bounds::unpack(word);
                let new = Bounds { data_pages: now.data_pages.max(pages), ..now };
                new.fits().then(|| new.pack())
            });
        Ok(claimed.is_ok())
    }

    /// Makes the data reach over a heap's header without giving that storage:
    /// most of it is tables that stay zero. What is stored to is backed.
    pub(super) fn heap_header(&self, slot: u32, end: u64) -> Result<Translation> {
        let own = self.refresh(slot)?;
        let end = end.next_multiple_of(PAGE);
        if own.end() < end {
            if !self.claim_data(slot, end)? {
                let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
                return Err(Error::ObjectFull { id, what: "its heap would meet its FOT" });
            }
            self.extend_data(slot, end - PAGE, end - DATA_START)?;
        }
        self.refresh(slot)
    }

    /// Gives storage to slot offsets `start` to `end`, which are data already.
    pub(super) fn back(&self, slot: u32, start: u64, end: u64) -> Result<()> {
        let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        self.backend().reserve(id, start - DATA_START, end - DATA_START)
    }

    /// Extends the file to `size` bytes, or leaves it as long as it is, with
    /// storage from slot offset `start` on.
    fn extend_data(&self, slot: u32, start: u64, size: u64) -> Result<()> {
        let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        let file = self.backend().open_data(id, twz_abi::Rights::WRITE)?;
        let from = (start - DATA_START).min(size - PAGE);
        loop {
            match fallocate(&file, FallocateFlags::empty(), from as i64, (size - from) as i64) {
                Ok(()) => break,
                Err(Errno::EINTR) => {}
                // `reach` is the caller's way out.
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(()),
                Err(errno) => {
                    let error = errno.into();
                    return Err(Error::Io { doing: "grow an object", path: None, error });
                }
            }
        }
        let at = META_START + core::mem::offset_of!(Meta, size) as u64;
        if let [word, ..] = self.arena().tail_words(slot, at, 1)? {
            word.fetch_max(size, Ordering::AcqRel);
        }
        Ok(())
    }
}
