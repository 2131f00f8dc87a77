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
    /// Bytes of entries after this header; a multiple of 4.
    pub len: u64,
    /// [`JournalSum`] of all the entries, then magic, sequence and len.
    pub checksum: u64,
}
layout!(JournalHeader, 32, 8, { magic: 0, sequence: 8, len: 16, checksum: 24 });

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
    /// The bytes the checksum covers after the entries.
    pub fn covered(&self) -> &[u8] {
        &self.as_bytes()[..24]
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
        if self.len > slot_bytes.saturating_sub(32) || self.len % 4 != 0 {
            return Err(FormatError::Range { what: "journal length", found: self.len });
        }
        Ok(())
    }
}

impl JournalEntry {
    /// Whether the write lies inside a pool of `pages` pages, spares the
    /// superblocks, and has its bytes within the `rest` that follow.
    pub fn check(&self, pages: u64, rest: u64) -> Result<(), FormatError> {
        let (target, len, end) = (self.target, self.len as u64, pages.saturating_mul(PAGE));
        if self.reserved != 0 {
            return Err(FormatError::Reserved { what: "journal entry" });
        }
        if target % 4 != 0 || target < 2 * PAGE || target >= end {
            return Err(FormatError::Range { what: "journal target", found: target });
        }
        if len == 0 || len % 4 != 0 || len > rest || len > end - target {
            return Err(FormatError::Range { what: "journal entry length", found: len });
        }
        Ok(())
    }
}

/// The checksum of a transaction, fed piece by piece.
///
/// It is not the CRC of the rest of the format, for what it has to tell apart
/// is one transaction from a mixture of two. Entries hold structures that end
/// in their own CRC, and a CRC over such a structure is the same whatever the
/// structure: an outer CRC does not notice one exchanged for another. Each step
/// here is a bijection of the sum for every word and no linear one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSum(u64);

impl JournalSum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes, as u32 words; they are a multiple of 4.
    pub fn update(&mut self, bytes: &[u8]) {
        for word in bytes.chunks_exact(4) {
            let word = word.iter().rev().fold(0, |word, &b| word << 8 | b as u64);
            let product = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = product ^ product >> 29;
        }
    }

    /// The sum.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for JournalSum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::NameEntry, ObjectId};

    /// Found by cutting `bind` in `twz-core`'s crash tests: the header of an old
    /// entry with the bytes of a new one had a valid CRC.
    #[test]
    fn the_sum_tells_structures_with_a_crc_of_their_own_apart() {
        let id = ObjectId::from_u128(1 << 64 | 1);
        let (one, two) = (NameEntry::new(b"one", 1, id), NameEntry::new(b"other", 1, id));
        let (one, two) = (one.unwrap(), two.unwrap());
        let crc = |entry: &NameEntry| crate::checksum::crc32(entry.as_bytes());
        assert_eq!(crc(&one), crc(&two), "this is why it is not a CRC");
        let sum = |entry: &NameEntry| {
            let mut sum = JournalSum::new();
            sum.update(entry.as_bytes());
            sum.finish()
        };
        assert_ne!(sum(&one), sum(&two));
    }
}
