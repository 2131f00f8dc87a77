// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The memory of a walk: a word for each page, three for each record, in bytes
//! that the caller lends.

use crate::{
    error::{Result, StoreError},
    geometry::Geometry,
};

/// Bytes that checking a pool takes.
pub fn scratch_needed(geo: &Geometry) -> u64 {
    geo.pages * 4 + geo.records * 12
}

/// What is remembered of a record.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// [`flags`].
    Flags,
    /// Names bound to it.
    Names,
    /// The directory that has its name, + 1.
    Parent,
}

/// Flags of a record.
pub(super) mod flags {
    pub(crate) const LIVE: u32 = 1;
    pub(crate) const DYING: u32 = 2;
    pub(crate) const FREE: u32 = 4;
    pub(crate) const CHAINED: u32 = 8;
    pub(crate) const LISTED: u32 = 16;
    pub(crate) const DIRECTORY: u32 = 32;
    pub(crate) const WALKED: u32 = 64;
    pub(crate) const REACHED: u32 = 128;
    pub(crate) const ADRIFT: u32 = 256;
}

/// The words. What lies outside reads as 0.
pub(super) struct Scratch<'a> {
    pages: &'a mut [u8],
    records: &'a mut [u8],
}

impl<'a> Scratch<'a> {
    pub(super) fn new(bytes: &'a mut [u8], geo: &Geometry) -> Result<Self> {
        let need = scratch_needed(geo);
        let len = usize::try_from(need).map_err(|_| StoreError::Scratch { need })?;
        let bytes = bytes.get_mut(..len).ok_or(StoreError::Scratch { need })?;
        bytes.fill(0);
        let (pages, records) = bytes.split_at_mut(geo.pages as usize * 4);
        Ok(Self { pages, records })
    }

    pub(super) fn page(&self, page: u64) -> u32 {
        get(self.pages, page)
    }

    pub(super) fn set_page(&mut self, page: u64, value: u32) {
        set(self.pages, page, value);
    }

    pub(super) fn record(&self, record: u64, of: Of) -> u32 {
        get(self.records, record.saturating_mul(3).saturating_add(of as u64))
    }

    pub(super) fn set_record(&mut self, record: u64, of: Of, value: u32) {
        set(self.records, record.saturating_mul(3).saturating_add(of as u64), value);
    }

    pub(super) fn has(&self, record: u64, flag: u32) -> bool {
        self.record(record, Of::Flags) & flag != 0
    }

    pub(super) fn mark(&mut self, record: u64, flag: u32) {
        let flags = self.record(record, Of::Flags);
        self.set_record(record, Of::Flags, flags | flag);
    }

    pub(super) fn unmark(&mut self, record: u64, flag: u32) {
        let flags = self.record(record, Of::Flags);
        self.set_record(record, Of::Flags, flags & !flag);
    }
}

fn get(words: &[u8], i: u64) -> u32 {
    let at = usize::try_from(i).unwrap_or(usize::MAX).saturating_mul(4);
    let word = words.get(at..at.saturating_add(4));
    word.and_then(|w| w.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn set(words: &mut [u8], i: u64, value: u32) {
    let at = usize::try_from(i).unwrap_or(usize::MAX).saturating_mul(4);
    if let Some(word) = words.get_mut(at..at.saturating_add(4)) {
        word.copy_from_slice(&value.to_le_bytes());
    }
}
