// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Object records: what a store knows of an object, and where its pages are.
//!
//! A directory pool has none of this: there the file system knows.

use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    checksum::crc32, layout::layout, meta::MAX_EPOCH, FormatError, ObjectId, Rights, MAX_DATA,
};

/// Bytes in a record.
pub const RECORD_SIZE: u64 = 256;

/// Slot pages 1 to `DIRECT` are mapped by the record itself.
pub const DIRECT: usize = 8;

/// Words in a map node: pages of a leaf, or leaves of a root.
pub const FANOUT: u64 = 512;

/// States of a record.
pub mod state {
    /// Not in use; `next` links the free list.
    pub const FREE: u32 = 0;
    /// An object; `next` links its hash chain.
    pub const LIVE: u32 = 1;
    /// Deleted, its pages not all given back yet; `next` links the dying list.
    pub const DYING: u32 = 2;
}

/// One object of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ObjectRecord {
    /// The object's id.
    pub id: ObjectId,
    /// As in the meta record.
    pub nonce: [u8; 16],
    /// As in the meta record.
    pub owner: ObjectId,
    /// As in the meta record.
    pub content: [u8; 32],
    /// As in the meta record.
    pub flags: u32,
    /// As in the meta record.
    pub default_rights: u32,
    /// As in the meta record.
    pub kind: u32,
    /// [`state`].
    pub state: u32,
    /// As in the meta record.
    pub fingerprint: u64,
    /// Bytes of data.
    pub size: u64,
    /// Next record of the list that `state` says, plus 1; 0 ends it.
    pub next: u32,
    /// Names bound to the object.
    pub names: u32,
    /// Slot pages 1 to 8.
    pub direct: [MapWord; DIRECT],
    /// The tail page.
    pub tail: MapWord,
    /// The root node of every other page, or a hole.
    pub root: MapWord,
    /// As in the meta record, and the one that counts.
    pub epoch: u64,
    /// Zero.
    pub reserved: [u8; 44],
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
}
layout!(ObjectRecord, 256, 8, {
    id: 0, nonce: 16, owner: 32, content: 48, flags: 80, default_rights: 84, kind: 88, state: 92,
    fingerprint: 96, size: 104, next: 112, names: 116, direct: 120, tail: 184, root: 192,
    epoch: 200, reserved: 208, checksum: 252,
});

/// Where a page of an object is: a page number with flags and a check of its
/// own, so that a map page can change by one word and still notice a flipped
/// bit. Zero is a hole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct MapWord(pub u64);
layout!(MapWord, 8, 8, {});

/// Flags of a map word.
pub mod map_flags {
    /// The page is a node: 512 map words.
    pub const NODE: u64 = 1 << 40;
    /// In a root: 512 consecutive data pages, aligned to 512, and no leaf.
    pub const HUGE: u64 = 1 << 41;
    /// The bits that have a meaning.
    pub const KNOWN: u64 = NODE | HUGE;
}

/// What each byte of a map word's low 48 bits and of the low 24 of its place
/// adds to the low half of the CRC-32 of both, as u64. The first byte's has what
/// 16 zero bytes add, too.
static CHECK_PARTS: [[u16; 256]; 9] = check_parts();

const fn check_parts() -> [[u16; 256]; 9] {
    let mut parts = [[0; 256]; 9];
    let mut i = 0;
    while i < 9 {
        // The place begins at byte 8.
        let at = if i < 6 { i } else { i + 2 };
        let mut byte = 0;
        while byte < 256 {
            let mut crc = if i == 0 { after_zeros(!0, 16) ^ !0 } else { 0 };
            crc ^= after_zeros(byte as u32, 16 - at);
            parts[i][byte] = crc as u16;
            byte += 1;
        }
        i += 1;
    }
    parts
}

/// What `n` bytes of zeros make of a CRC-32 in the making.
const fn after_zeros(mut crc: u32, n: usize) -> u32 {
    let mut bits = n * 8;
    while bits > 0 {
        crc = crc >> 1 ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 };
        bits -= 1;
    }
    crc
}

impl MapWord {
    /// Nothing here: zeros.
    pub const HOLE: Self = Self(0);

    /// A word for pool page `page` at place `place`: a slot page number for
    /// what maps data, `SLOT_PAGES + i` for word `i` of a root, and
    /// `2 * SLOT_PAGES` for the record's root word.
    pub fn new(page: u64, flags: u64, place: u64) -> Self {
        let low = page | flags;
        Self(low | (Self::check_bits(low, place) as u64) << 48)
    }

    /// The pool page.
    pub const fn page(self) -> u64 {
        self.0 & ((1 << 40) - 1)
    }

    /// The flags.
    pub const fn flags(self) -> u64 {
        self.0 & 0xff << 40
    }

    /// Whether nothing is here.
    pub const fn is_hole(self) -> bool {
        self.0 == 0
    }

    fn check_bits(low: u64, place: u64) -> u16 {
        if place >= 1 << 24 {
            return crc32([low, place].as_bytes()) as u16;
        }
        // A fault makes these by the dozen. A CRC is linear: each byte that is
        // not always zero has its own part in it.
        let part = |i: usize, bytes: u64| CHECK_PARTS[i][bytes as u8 as usize];
        let low = part(0, low)
            ^ part(1, low >> 8)
            ^ part(2, low >> 16)
            ^ part(3, low >> 24)
            ^ part(4, low >> 32)
            ^ part(5, low >> 40);
        low ^ part(6, place) ^ part(7, place >> 8) ^ part(8, place >> 16)
    }

    /// The pool page and flags, or `None` for a hole.
    pub fn check(self, place: u64) -> Result<Option<(u64, u64)>, FormatError> {
        if self.is_hole() {
            return Ok(None);
        }
        let low = self.0 & ((1 << 48) - 1);
        let (stored, computed) = ((self.0 >> 48) as u32, Self::check_bits(low, place) as u32);
        if stored != computed {
            return Err(FormatError::Checksum { what: "page map", stored, computed });
        }
        if self.flags() & !map_flags::KNOWN != 0 || self.page() == 0 {
            return Err(FormatError::Range { what: "page map", found: self.0 });
        }
        Ok(Some((self.page(), self.flags())))
    }
}

impl ObjectRecord {
    /// The checksum of all that comes before it.
    pub fn compute_checksum(&self) -> u32 {
        crc32(&self.as_bytes()[..core::mem::offset_of!(ObjectRecord, checksum)])
    }

    /// Whether the record may be trusted as far as it goes by itself.
    pub fn check(&self) -> Result<(), FormatError> {
        let (stored, computed) = (self.checksum, self.compute_checksum());
        if stored != computed {
            return Err(FormatError::Checksum { what: "object record", stored, computed });
        }
        let range = |what, found| Err(FormatError::Range { what, found });
        match self.state {
            state::FREE => return Ok(()),
            state::LIVE | state::DYING => {}
            other => return range("object record state", other as u64),
        }
        if self.reserved != [0; 44] {
            return Err(FormatError::Reserved { what: "object record" });
        }
        if !self.id.is_valid() {
            return range("object id", self.id.lo);
        }
        if self.flags & !crate::meta::flags::KNOWN != 0 {
            return range("object flags", self.flags as u64);
        }
        if self.epoch > MAX_EPOCH {
            return Err(FormatError::Range { what: "object epoch", found: self.epoch });
        }
        if !Rights(self.default_rights).check() {
            return range("default rights", self.default_rights as u64);
        }
        if self.size > MAX_DATA {
            return range("object size", self.size);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_of_a_map_word_is_the_crc_of_it_and_its_place() {
        let mut x = 1u64;
        for n in 0..if cfg!(miri) { 300 } else { 100_000u64 } {
            x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ n;
            let (low, place) = (x >> 16, x.wrapping_mul(x) >> (n % 64));
            for place in [place, place % (1 << 24), n] {
                let crc = crc32([low, place].as_bytes()) as u16;
                assert_eq!(MapWord::check_bits(low, place), crc, "{low:x} {place:x}");
            }
        }
    }

    #[test]
    fn every_single_bit_flip_of_a_map_word_is_noticed() {
        for place in [0, 1, 511, 262_143, 262_145, 524_288] {
            let good = MapWord::new(0x12_3456_789a, map_flags::NODE, place);
            assert_eq!(good.check(place), Ok(Some((0x12_3456_789a, map_flags::NODE))));
            assert!(good.check(place + 1).is_err());
            for bit in 0..64 {
                assert!(MapWord(good.0 ^ 1 << bit).check(place).is_err(), "bit {bit}");
            }
        }
    }
}
