// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tail of an object that is not mapped in any slot: for operations that
//! change an atomic word of it from outside (resize), while other processes do.

use std::{os::fd::BorrowedFd, sync::atomic::AtomicU64};

use memmap2::{MmapOptions, MmapRaw};
use twz_abi::{PAGE, TAIL_START};

use crate::error::{Error, Result};

/// The tail page of an object, mapped for writing.
pub struct TailPage(MmapRaw);

impl TailPage {
    /// Maps page 0 of a tail file, which must be open for reading and writing.
    pub fn map(fd: BorrowedFd<'_>) -> Result<Self> {
        use std::os::fd::AsRawFd as _;
        let map = MmapOptions::new().len(PAGE as usize).map_raw(fd.as_raw_fd());
        map.map(Self).map_err(|error| Error::Io {
            doing: "map an object's tail",
            path: None,
            error,
        })
    }

    /// The word at a slot offset inside the tail page.
    pub fn word(&self, offset: u64) -> Result<&AtomicU64> {
        if !(TAIL_START..TAIL_START + PAGE).contains(&offset) || !offset.is_multiple_of(8) {
            return Err(Error::BadPointer { why: "outside the tail page" });
        }
        let at = (offset - TAIL_START) as usize;
        // SAFETY: inside the mapping, which lives as long as `self`; a multiple
        // of 8; any bits are a value of an atomic.
        Ok(unsafe { &*(self.0.as_mut_ptr().add(at) as *const AtomicU64) })
    }
}
