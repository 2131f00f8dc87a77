// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Views: objects that say which object each slot of an address space shows.
//!
//! A view's data is an array of entries, one a slot. Storing an entry is enough
//! to map: the next touch of the slot finds it at the fault.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, FormatError, ObjectId, Rights, DATA_START};

/// Bytes in an entry.
pub const ENTRY_SIZE: u64 = 32;

/// Most slots a view can have; entries lie in the first pages of its data.
pub const MAX_SLOTS: u32 = 16384;

/// One slot of a view. `id` is written before `word`, which publishes it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ViewEntry {
    /// The object that the slot shows.
    pub id: ObjectId,
    /// State in byte 0 (0 free, 1 live), flags in byte 1, [`Rights`] in bytes 4 to 7; atomic.
    pub word: u64,
    /// Zero.
    pub reserved: u64,
}
layout!(ViewEntry, 32, 8, { id: 0, word: 16, reserved: 24 });

/// What a live entry says, once checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// The object.
    pub id: ObjectId,
    /// The view's protection, which is intersected with the context's rights.
    pub protection: Rights,
}

impl ViewEntry {
    /// A live entry.
    pub const fn new(id: ObjectId, protection: Rights) -> Self {
        Self { id, word: Self::live_word(protection), reserved: 0 }
    }

    /// The word of a live entry with this protection.
    pub const fn live_word(protection: Rights) -> u64 {
        1 | (protection.0 as u64) << 32
    }

    /// Where entry `slot` lies in the view's slot.
    pub const fn offset(slot: u32) -> u64 {
        DATA_START + ENTRY_SIZE * slot as u64
    }

    /// What the entry says: `None` where the slot is free.
    pub fn check(&self) -> Result<Option<SlotView>, FormatError> {
        match self.word & 0xff {
            0 => return Ok(None),
            1 => {}
            other => return Err(FormatError::Range { what: "view entry state", found: other }),
        }
        let protection = Rights((self.word >> 32) as u32);
        if self.word & 0xffff_ff00 != 0 || self.reserved != 0 {
            return Err(FormatError::Reserved { what: "view entry" });
        }
        if !protection.check() {
            return Err(FormatError::Range { what: "view entry protection", found: self.word });
        }
        if !self.id.is_valid() {
            return Err(FormatError::Range { what: "view entry id", found: self.id.lo });
        }
        Ok(Some(SlotView { id: self.id, protection }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        assert_eq!(ViewEntry::default().check(), Ok(None));
        let id = ObjectId::from_u128(3 << 64 | 4);
        let good = ViewEntry::new(id, Rights::READ);
        assert_eq!(good.check(), Ok(Some(SlotView { id, protection: Rights::READ })));
        assert!(ViewEntry { reserved: 1, ..good }.check().is_err());
        assert!(ViewEntry { word: good.word | 1 << 60, ..good }.check().is_err());
        assert!(ViewEntry { word: good.word | 1 << 9, ..good }.check().is_err());
        assert!(ViewEntry { id: ObjectId::NULL, ..good }.check().is_err());
    }
}
