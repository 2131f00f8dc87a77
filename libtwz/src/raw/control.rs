// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control page of a pool, mapped by everyone who has the pool open.

use std::{
    fs::File,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};
use twz_abi::PAGE;

use crate::error::{Error, Result};

/// The mapped page.
pub struct ControlPage(MmapRaw);

impl ControlPage {
    /// Maps the page at `offset` of a pool file.
    pub fn map(file: &File, offset: u64, write: bool) -> Result<Self> {
        let fail = |error| Error::Io { doing: "map the pool's control page", path: None, error };
        if file.metadata().map_err(fail)?.len() < offset + PAGE {
            return Err(Error::Format {
                what: "pool file".into(),
                error: twz_abi::FormatError::Short { what: "control page" },
            });
        }
        let mut options = MmapOptions::new();
        options.offset(offset).len(PAGE as usize);
        let fd = file.as_raw_fd();
        let map = if write { options.map_raw(fd) } else { options.map_raw_read_only(fd) };
        map.map(Self).map_err(fail)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < PAGE as usize / 8);
        // SAFETY: inside the mapped page, aligned; any bits are a value. Pages
        // mapped read-only are never stored to: writers check first.
        unsafe { &*(self.0.as_mut_ptr() as *const AtomicU64).add(index) }
    }

    /// The first word.
    pub fn magic(&self) -> u64 {
        self.word(0).load(Ordering::Relaxed)
    }

    /// The generation that all processes see.
    pub fn generation(&self) -> &AtomicU64 {
        self.word(1)
    }

    /// The same for names.
    pub fn names(&self) -> &AtomicU64 {
        self.word(2)
    }
}
