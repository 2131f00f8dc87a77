// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The foreign object table: how 64-bit pointers reach other objects.
//!
//! Entry `i` (from 1) lies at slot offset `META_START - 32 * i`, so the table
//! grows down from the meta record towards the data, and [`crate::meta::Bounds`]
//! keeps the two apart. How entries are inserted by several processes at once
//! is FORMAT.md, section "FOT"; `twz::fot` does it.

use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    checksum::crc32, layout::layout, pointer::MAX_FOT_INDEX, FormatError, ObjectId, Rights,
    META_START, PAGE, TAIL_START,
};

/// Bytes in an entry.
pub const ENTRY_SIZE: u64 = 32;

/// Entries that fit in the tail page, above which the FOT takes pages of its own.
pub const TAIL_ENTRIES: u32 = ((META_START - TAIL_START) / ENTRY_SIZE) as u32;

/// Entries in each page of the FOT below the tail page.
pub const PAGE_ENTRIES: u32 = (PAGE / ENTRY_SIZE) as u32;

/// One entry. `a` and `b` name the target and are written before `word`, which
/// publishes them; an entry whose word is zero does not exist.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FotEntry {
    /// Id: low half. Name: slot offset of the text. Alias: the primary's index.
    pub a: u64,
    /// Id: high half. Name: the resolver, 1 for the default. Alias: rights and flags, plus bit 63.
    pub b: u64,
    /// State, kind, flags, rights and index, in one atomic word. See [`FotWord`].
    pub word: u64,
    /// CRC-32 of `a` and `b` in the low half, zero in the high half.
    pub check: u64,
}
layout!(FotEntry, 32, 8, { a: 0, b: 8, word: 16, check: 24 });

/// How an entry names its target.
pub mod kind {
    /// By object id.
    pub const ID: u8 = 1;
    /// By a name, resolved when it is used.
    pub const NAME: u8 = 2;
    /// The same target as another entry, with other rights.
    pub const ALIAS: u8 = 3;
    /// What once named a target, and now stands for another entry (retarget).
    pub const FORWARD: u8 = 4;
}

/// State of an entry.
pub mod state {
    /// Not there, or not there yet.
    pub const FREE: u8 = 0;
    /// In use.
    pub const LIVE: u8 = 1;
}

/// Flags of an entry.
pub mod flags {
    /// Copy the target on first use, and name the copy from then on.
    pub const DERIVE: u8 = 1;
    /// The bits that have a meaning.
    pub const KNOWN: u8 = DERIVE;
}

/// The word of an entry, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FotWord {
    /// [`state`].
    pub state: u8,
    /// [`kind`].
    pub kind: u8,
    /// [`flags`].
    pub flags: u8,
    /// Requested [`Rights`], which may exceed the granted ones until used.
    pub rights: u8,
    /// Alias: the primary's index. Forward: the entry that took over. Else 0.
    pub index: u32,
}

impl FotWord {
    /// From [`FotEntry::word`], whose top byte is [`FotWord::check_byte`]'s.
    pub const fn unpack(word: u64) -> Self {
        let b = word.to_le_bytes();
        let index = (word >> 32) as u32 & MAX_FOT_INDEX;
        Self { state: b[0], kind: b[1], flags: b[2], rights: b[3], index }
    }

    /// To [`FotEntry::word`]. A free entry's word is 0.
    pub fn pack(self) -> u64 {
        let low = self.state as u64
            | (self.kind as u64) << 8
            | (self.flags as u64) << 16
            | (self.rights as u64) << 24
            | (self.index as u64 & MAX_FOT_INDEX as u64) << 32;
        low | (Self::check_byte(low) as u64) << 56
    }

    /// What the top byte of a word with these low 56 bits is: a word changes by
    /// one store, and still notices a flipped bit.
    pub fn check_byte(low: u64) -> u8 {
        match low {
            0 => 0,
            _ => crc32(&low.to_le_bytes()[..7]) as u8,
        }
    }
}

/// What a live entry says, once checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FotTarget {
    /// The object with this id.
    Id(ObjectId),
    /// The object that the text at this slot offset resolves to.
    Name {
        /// Slot offset of a name: a u16 length and that many bytes.
        text: u64,
        /// Which resolver; 1 is the default.
        resolver: u64,
    },
    /// Whatever that entry says.
    Entry(u32),
}

impl FotEntry {
    /// The checksum that belongs to `a` and `b`.
    pub fn compute_check(a: u64, b: u64) -> u64 {
        crc32([a, b].as_bytes()) as u64
    }

    /// An entry for an object.
    pub fn by_id(id: ObjectId, rights: Rights, flags: u8) -> Self {
        let word =
            FotWord { state: state::LIVE, kind: kind::ID, flags, rights: rights.0 as u8, index: 0 };
        Self { a: id.lo, b: id.hi, word: word.pack(), check: Self::compute_check(id.lo, id.hi) }
    }

    /// An entry for the name whose text lies at slot offset `text`.
    pub fn by_name(text: u64, resolver: u64, rights: Rights, flags: u8) -> Self {
        let word = FotWord {
            state: state::LIVE,
            kind: kind::NAME,
            flags,
            rights: rights.0 as u8,
            index: 0,
        };
        Self { a: text, b: resolver, word: word.pack(), check: Self::compute_check(text, resolver) }
    }

    /// An entry for the target of entry `primary`, with other rights or flags.
    pub fn alias(primary: u32, rights: Rights, flags: u8) -> Self {
        let (a, b) = (primary as u64, 1 << 63 | (flags as u64) << 8 | rights.0 as u64);
        let word = FotWord {
            state: state::LIVE,
            kind: kind::ALIAS,
            flags,
            rights: rights.0 as u8,
            index: primary,
        };
        Self { a, b, word: word.pack(), check: Self::compute_check(a, b) }
    }

    /// Whether the entry exists.
    pub const fn is_live(&self) -> bool {
        FotWord::unpack(self.word).state == state::LIVE
    }

    /// What a live entry says, or why it says nothing. An entry that was
    /// forwarded keeps its old `a` and `b`, so they are checked all the same.
    pub fn target(&self) -> Result<FotTarget, FormatError> {
        let word = FotWord::unpack(self.word);
        if word.state != state::LIVE {
            return Err(FormatError::Range { what: "FOT entry state", found: word.state as u64 });
        }
        let computed = Self::compute_check(self.a, self.b);
        if computed != self.check {
            let stored = self.check as u32;
            return Err(FormatError::Checksum {
                what: "FOT entry",
                stored,
                computed: computed as u32,
            });
        }
        if word.pack() != self.word {
            let (stored, computed) = ((self.word >> 56) as u32, (word.pack() >> 56) as u32);
            return Err(FormatError::Checksum { what: "FOT entry's word", stored, computed });
        }
        if word.flags & !flags::KNOWN != 0 || !Rights(word.rights as u32).check() {
            return Err(FormatError::Range { what: "FOT entry flags or rights", found: self.word });
        }
        match word.kind {
            kind::ID | kind::NAME if word.index != 0 => {
                Err(FormatError::Range { what: "FOT entry index", found: word.index as u64 })
            }
            kind::ID => {
                let id = ObjectId { lo: self.a, hi: self.b };
                if !id.is_valid() {
                    return Err(FormatError::Range { what: "FOT entry id", found: self.a });
                }
                Ok(FotTarget::Id(id))
            }
            kind::NAME => {
                if self.a < crate::DATA_START || self.a >= TAIL_START {
                    return Err(FormatError::Range { what: "FOT entry name", found: self.a });
                }
                Ok(FotTarget::Name { text: self.a, resolver: self.b })
            }
            kind::ALIAS | kind::FORWARD => {
                if word.index == 0 || word.index > MAX_FOT_INDEX {
                    return Err(FormatError::Range {
                        what: "FOT entry index",
                        found: word.index as u64,
                    });
                }
                Ok(FotTarget::Entry(word.index))
            }
            other => Err(FormatError::Range { what: "FOT entry kind", found: other as u64 }),
        }
    }
}

/// Slot offset of entry `index` (from 1).
pub const fn entry_offset(index: u32) -> u64 {
    META_START - ENTRY_SIZE * index as u64
}

/// How many FOT pages below the tail page entry `index` needs.
pub const fn pages_for(index: u32) -> u32 {
    if index <= TAIL_ENTRIES {
        0
    } else {
        (index - TAIL_ENTRIES).div_ceil(PAGE_ENTRIES)
    }
}

/// How many entries `pages` FOT pages below the tail page, and the tail page, hold.
pub const fn entries_in(pages: u32) -> u32 {
    TAIL_ENTRIES + pages * PAGE_ENTRIES
}

/// Which page of a sidecar file holds slot page `SLOT_PAGES - 1 - k`, the `k`th
/// page below the tail page (0 is the tail page itself). Pages are grouped in
/// runs of 1, 2, 4 ... that lie in the file in the order of the slot, so that
/// a long FOT is mapped by few calls.
pub const fn sidecar_page(k: u32) -> u32 {
    if k == 0 {
        return 0;
    }
    let run = 1 << (31 - k.leading_zeros());
    run + (2 * run - 1 - k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(TAIL_ENTRIES, 112);
        assert_eq!(entry_offset(112), TAIL_START);
        assert_eq!(pages_for(112), 0);
        assert_eq!(pages_for(113), 1);
        assert_eq!(pages_for(112 + 128), 1);
        assert_eq!(pages_for(112 + 129), 2);
        assert_eq!(entry_offset(113) / PAGE, crate::SLOT_PAGES - 2);
    }

    #[test]
    fn sidecar_pages_are_a_permutation_in_runs() {
        let pages: Vec<u32> = (0..8).map(sidecar_page).collect();
        assert_eq!(pages, [0, 1, 3, 2, 7, 6, 5, 4]);
    }

    #[test]
    fn every_single_bit_flip_of_a_live_entry_is_noticed() {
        let good = FotEntry::by_id(ObjectId::from_u128(7 << 64 | 9), Rights::READ, 0);
        assert_eq!(good.target(), Ok(FotTarget::Id(ObjectId::from_u128(7 << 64 | 9))));
        for bit in 0..256 {
            let mut bad = good;
            bad.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            assert!(bad.target().is_err(), "bit {bit}");
        }
    }
}
