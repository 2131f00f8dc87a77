// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The journal of a store: two slots, each holding one redo transaction.
//!
//! A transaction is committed by one fence: its record is checksummed as a
//! whole, so it is either all there or not there. FORMAT.md says why two slots
//! are enough and in what order recovery replays them.

use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, FormatError, PAGE};

/// First word of a journal slot in use: "TWZJRNL1".
pub const JOURNAL_MAGIC: u64 = u64::from_le_bytes(*b"TWZJRNL1");

/// Begins a slot of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JournalHeader {
    /// [`JOURNAL_MAGIC`].
    pub magic: u64,
    /// Number of the transaction; its lowest bit is the slot it stands in.
    pub sequence: u64,
    /// Bytes of entries after this header.
    pub len: u32,
    /// CRC-32 of magic, sequence, len and all the entries, in that order.
    pub checksum: u32,
}
layout!(JournalHeader, 24, 8, { magic: 0, sequence: 8, len: 16, checksum: 20 });

/// One write of a transaction; its bytes follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JournalEntry {
    /// Byte offset in the pool; a multiple of 4.
    pub target: u64,
    /// Bytes to write; a multiple of 4, not 0.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(JournalEntry, 16, 8, { target: 0, len: 8, reserved: 12 });

impl JournalHeader {
    /// The bytes the checksum covers before the entries.
    pub fn covered(&self) -> &[u8] {
        &self.as_bytes()[..20]
    }

    /// Whether the header alone makes sense in a slot of `slot_bytes`. The
    /// checksum is the caller's to compute, for it covers what follows.
    pub fn check(&self, slot: u64, slot_bytes: u64) -> Result<(), FormatError> {
        if self.magic != JOURNAL_MAGIC {
            return Err(FormatError::Magic { what: "journal record", found: self.magic });
        }
        if self.sequence & 1 != slot {
            return Err(FormatError::Range { what: "journal sequence", found: self.sequence });
        }
        if self.len as u64 > slot_bytes - 24 || self.len % 4 != 0 {
            return Err(FormatError::Range { what: "journal length", found: self.len as u64 });
        }
        Ok(())
    }
}

impl JournalEntry {
    /// Whether the write lies inside a pool of `pages` pages, spares the
    /// superblocks, and has its bytes within the `rest` that follow.
    pub fn check(&self, pages: u64, rest: u64) -> Result<(), FormatError> {
        let (target, len) = (self.target, self.len as u64);
        if self.reserved != 0 {
            return Err(FormatError::Reserved { what: "journal entry" });
        }
        if target % 4 != 0 || target < 2 * PAGE || target >= pages * PAGE {
            return Err(FormatError::Range { what: "journal target", found: target });
        }
        if len == 0 || len % 4 != 0 || len > rest || len > pages * PAGE - target {
            return Err(FormatError::Range { what: "journal entry length", found: len });
        }
        Ok(())
    }
}
