// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The meta record: what an object carries about itself, in the last 512 bytes
//! of its slot. The FOT grows down from it ([`crate::fot`]).

use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    checksum::crc32, layout::layout, FormatError, ObjectId, Rights, FORMAT_VERSION, MAX_DATA,
};

/// First word of a meta record: "TWZMETA1".
pub const META_MAGIC: u64 = u64::from_le_bytes(*b"TWZMETA1");

/// Object flags: they are part of what the id is made from.
pub mod flags {
    /// The contents never change, and the id covers them.
    pub const IMMUTABLE: u32 = 1;
    /// The bits that have a meaning.
    pub const KNOWN: u32 = IMMUTABLE;
}

/// What an object is used for. An open set: an unknown kind is an object whose
/// contents this code does not interpret.
pub mod kind {
    /// Bytes; a file.
    pub const BYTES: u32 = 0;
    /// A typed root, named by its fingerprint.
    pub const TYPED: u32 = 1;
    /// A view: an array of [`crate::ViewEntry`].
    pub const VIEW: u32 = 2;
    /// A directory of names: an array of [`crate::name::NamePage`].
    pub const NAMES: u32 = 3;
    /// A security context.
    pub const CONTEXT: u32 = 4;
    /// A log of transactions: [`crate::log`].
    pub const LOG: u32 = 5;
    /// A program that is to go on after a power cut: [`crate::thread`].
    pub const THREAD: u32 = 6;
    /// A public key: [`crate::security::Key`].
    pub const KEY: u32 = 8;
    /// A secret key, sealed or not: nothing that the kernel reads.
    pub const SECRET: u32 = 9;
    /// The process slots of a pool that has no directory: [`crate::log::ProcessSlot`].
    pub const PROCESSES: u32 = 7;
    /// A part of a file that is longer than an object: FORMAT.md, "Longer than an object".
    pub const PART: u32 = 10;

    /// Whether objects of a kind are there for the library's sake, and not because
    /// a program asked for one.
    pub const fn is_housekeeping(kind: u32) -> bool {
        matches!(kind, LOG | PROCESSES | PART)
    }
}

/// The meta record. Its first 128 bytes are written once, at creation, under a
/// checksum; the words after them change while programs run and are accessed
/// as single 8-byte atomics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Meta {
    /// [`META_MAGIC`].
    pub magic: u64,
    /// [`FORMAT_VERSION`] of the writer.
    pub version: u32,
    /// Incompat features of this object alone: none yet.
    pub incompat: u32,
    /// [`flags`].
    pub flags: u32,
    /// [`Rights`] that everybody has.
    pub default_rights: u32,
    /// [`kind`].
    pub kind: u32,
    /// Zero.
    pub reserved0: u32,
    /// The object's id, which is a hash of the next fields.
    pub id: ObjectId,
    /// What makes ids of equal objects differ.
    pub nonce: [u8; 16],
    /// The object that holds the owner's public key, or null.
    pub owner: ObjectId,
    /// SHA-256 of the data of an immutable object, else zero.
    pub content: [u8; 32],
    /// Fingerprint of the root's type, or 0 for bytes.
    pub fingerprint: u64,
    /// Zero.
    pub reserved1: u32,
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
    /// Bytes of data; atomic.
    pub size: u64,
    /// How far data and FOT have grown towards each other; atomic. See [`Bounds`].
    pub bounds: u64,
    /// Where the heap's header is, or 0; atomic. See [`heap_word`].
    pub heap: u64,
    /// Counts changes of meaning that no pointer shows (retarget); atomic.
    pub generation: u64,
    /// Who may change it now; atomic. See [`crate::log::Owner`].
    pub lock: u64,
    /// The log of the last transaction that took part in it, or null; see
    /// [`crate::log::place_word`].
    pub log: ObjectId,
    /// Its number in that log's table, with a check over both; or 0.
    pub log_place: u64,
    /// Grants on it of an earlier epoch are void; atomic. See [`epoch_word`].
    pub epoch: u64,
    /// Zero.
    pub reserved2: [u8; 312],
}
layout!(Meta, 512, 8, {
    magic: 0, version: 8, incompat: 12, flags: 16, default_rights: 20, kind: 24, reserved0: 28,
    id: 32, nonce: 48, owner: 64, content: 80, fingerprint: 112, reserved1: 120, checksum: 124,
    size: 128, bounds: 136, heap: 144, generation: 152, lock: 160, log: 168, log_place: 184,
    epoch: 192, reserved2: 200,
});

/// Bytes of the section that never changes.
pub const SEALED_SECTION: usize = 128;

/// The word for [`Meta::heap`]: the slot offset of the heap's header, which is a
/// multiple of 64, in the low half, and a check in the high half that costs one
/// multiplication, since every allocation makes it.
pub const fn heap_word(offset: u64) -> u64 {
    match offset {
        0 => 0,
        _ => offset | (!(offset as u32).wrapping_mul(0x9e37_79b1) as u64) << 32,
    }
}

/// Where a word of [`Meta::heap`] says the heap's header is.
pub fn heap_offset(word: u64) -> Result<Option<u64>, FormatError> {
    let offset = word & 0xffff_ffff;
    let range = (crate::DATA_START..crate::TAIL_START).contains(&offset) && offset % 64 == 0;
    match word {
        0 => Ok(None),
        _ if range && heap_word(offset) == word => Ok(Some(offset)),
        _ => Err(FormatError::Range { what: "heap offset", found: word }),
    }
}

/// The highest epoch there is.
pub const MAX_EPOCH: u64 = u32::MAX as u64;

/// The word for [`Meta::epoch`]: the epoch in the low half and its CRC-32 in the
/// high half, so that no flipped bit makes old grants good again; 0 is epoch 0.
pub fn epoch_word(epoch: u64) -> u64 {
    match epoch.min(MAX_EPOCH) {
        0 => 0,
        epoch => epoch | (crc32(&(epoch as u32).to_le_bytes()) as u64) << 32,
    }
}

/// The epoch that a word of [`Meta::epoch`] says.
pub fn epoch_of(word: u64) -> Result<u64, FormatError> {
    match epoch_word(word & MAX_EPOCH) == word {
        true => Ok(word & MAX_EPOCH),
        false => Err(FormatError::Range { what: "object epoch", found: word }),
    }
}

/// Pages that the data and the FOT have taken of a slot, packed so that one
/// compare-and-swap keeps them from meeting: data pages in the low half,
/// FOT pages beyond the tail page in the high half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pages of data, counted from the one after the null page.
    pub data_pages: u32,
    /// Pages of FOT below the tail page.
    pub fot_pages: u32,
}

impl Bounds {
    /// From the word in [`Meta::bounds`].
    pub const fn unpack(word: u64) -> Self {
        Self { data_pages: word as u32, fot_pages: (word >> 32) as u32 }
    }

    /// To the word in [`Meta::bounds`].
    pub const fn pack(self) -> u64 {
        self.data_pages as u64 | (self.fot_pages as u64) << 32
    }

    /// Whether both fit in a slot, with the null page and the tail page, and
    /// the FOT's pages are whole runs (see [`crate::fot::sidecar_page`]).
    pub const fn fits(self) -> bool {
        self.fot_pages < crate::SLOT_PAGES as u32
            && (self.fot_pages + 1).is_power_of_two()
            && self.data_pages as u64 + self.fot_pages as u64 + 2 <= crate::SLOT_PAGES
    }
}

impl Meta {
    /// The checksum of the section that never changes.
    pub fn compute_checksum(&self) -> u32 {
        crc32(&self.as_bytes()[..SEALED_SECTION - 4])
    }

    /// Whether these bytes are a meta record that this code may act on. Whether
    /// the id was earned is `twz_core::ident`'s question.
    pub fn check(&self) -> Result<(), FormatError> {
        if self.magic != META_MAGIC {
            return Err(FormatError::Magic { what: "meta record", found: self.magic });
        }
        if self.version == 0 || self.version > FORMAT_VERSION {
            return Err(FormatError::Version { what: "object", found: self.version });
        }
        let computed = self.compute_checksum();
        if computed != self.checksum {
            let stored = self.checksum;
            return Err(FormatError::Checksum { what: "meta record", stored, computed });
        }
        if self.incompat != 0 {
            return Err(FormatError::Feature { unknown: self.incompat as u64 });
        }
        if self.reserved0 != 0 || self.reserved1 != 0 || self.reserved2 != [0; 312] {
            return Err(FormatError::Reserved { what: "meta record" });
        }
        if self.flags & !flags::KNOWN != 0 {
            return Err(FormatError::Range { what: "object flags", found: self.flags as u64 });
        }
        if !Rights(self.default_rights).check() {
            let found = self.default_rights as u64;
            return Err(FormatError::Range { what: "default rights", found });
        }
        if !self.id.is_valid() {
            return Err(FormatError::Range { what: "object id", found: self.id.lo });
        }
        self.check_moving()
    }

    /// The words that change while programs run.
    fn check_moving(&self) -> Result<(), FormatError> {
        if self.size > MAX_DATA {
            return Err(FormatError::Range { what: "object size", found: self.size });
        }
        if !Bounds::unpack(self.bounds).fits() {
            return Err(FormatError::Range { what: "object bounds", found: self.bounds });
        }
        self.check_log()?;
        epoch_of(self.epoch)?;
        heap_offset(self.heap).map(|_| ())
    }

    /// The log that it names. While it names none, what is in [`Meta::log`]
    /// means nothing.
    pub fn check_log(&self) -> Result<(), FormatError> {
        if self.log_place != 0 && crate::log::place_of(self.log, self.log_place).is_none() {
            return Err(FormatError::Range {
                what: "object's place in a log",
                found: self.log_place,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_bit_flip_of_an_epoch_is_noticed() {
        for epoch in [0, 1, 2, 77, 1 << 20, MAX_EPOCH] {
            assert_eq!(epoch_of(epoch_word(epoch)), Ok(epoch));
            for bit in 0..64 {
                assert!(epoch_of(epoch_word(epoch) ^ 1 << bit).is_err(), "{epoch} bit {bit}");
            }
        }
    }

    #[test]
    fn every_single_bit_flip_of_a_heap_word_is_noticed() {
        for offset in [4096, 4160, 1 << 20, crate::TAIL_START - 64] {
            assert_eq!(heap_offset(heap_word(offset)), Ok(Some(offset)));
            for bit in 0..64 {
                assert!(heap_offset(heap_word(offset) ^ 1 << bit).is_err(), "bit {bit}");
            }
        }
        assert_eq!(heap_offset(0), Ok(None));
    }
}
