// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Logs of transactions, and the words in a meta record that lead to one.
//!
//! A log is an object of kind [`crate::meta::kind::LOG`]. Its data is a header,
//! a table of the objects that take part, and records; FORMAT.md, section
//! "Log", says how they are written and what recovery makes of them.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, FormatError, ObjectId, DATA_START, PAGE};

/// First word of a log's data: "TWZTXLG1".
pub const LOG_MAGIC: u64 = u64::from_le_bytes(*b"TWZTXLG1");
/// Version of logs that this code writes, and the only one it recovers.
pub const LOG_VERSION: u32 = 1;
/// Objects that a log's table has room for.
pub const PLACES: u32 = 1024;
/// Slot offset of the table.
pub const TABLE: u64 = DATA_START + PAGE;
/// Slot offset of the records.
pub const RECORDS: u64 = TABLE + PLACES as u64 * 16;
/// Words at the start of a record: its check, then its sequence and length.
pub const RECORD_WORDS: u64 = 2;
/// Records begin at multiples of so many words: a cache line.
pub const RECORD_ALIGN: u64 = 8;
/// Most words of a record.
pub const MOST_WORDS: u64 = (1 << 24) - 1;

/// The header of a log. All of it but magic and version are atomic words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LogHeader {
    /// [`LOG_MAGIC`].
    pub magic: u64,
    /// [`LOG_VERSION`].
    pub version: u32,
    /// Zero.
    pub reserved: u32,
    /// Who may write to the log: an [`Owner`], or 0.
    pub owner: u64,
    /// The start of the machine that the words below are of.
    pub boot: u64,
    /// Sequence of the last transaction << 1, and 1 while it may be half done.
    pub state: u64,
    /// The word, counted from [`RECORDS`], where its record begins.
    pub position: u64,
    /// What records with a lower sequence did is in place for good: after a power cut
    /// they are not to be done again.
    pub floor: u64,
    /// Generation of the table << 32, and how many places of it are taken.
    pub table: u64,
    /// The next log of the same process slot, or null.
    pub next: ObjectId,
}
layout!(LogHeader, 80, 8, {
    magic: 0, version: 8, reserved: 12, owner: 16, boot: 24, state: 32, position: 40, floor: 48,
    table: 56, next: 64,
});

impl LogHeader {
    /// Whether this code may act on the log.
    pub fn check(magic: u64, version: u32) -> Result<(), FormatError> {
        if magic != LOG_MAGIC {
            return Err(FormatError::Magic { what: "transaction log", found: magic });
        }
        if version != LOG_VERSION {
            return Err(FormatError::Version { what: "transaction log", found: version });
        }
        Ok(())
    }
}

/// Who holds a lock or a log: a process by its slot and incarnation, and one of
/// its threads.
///
/// ```text
/// bits 63..32  incarnation, not 0
/// bit  31      somebody waits
/// bits 30..12  thread
/// bits 11..0   process slot, from 1
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub u64);

impl Owner {
    /// Nobody.
    pub const NOBODY: Self = Self(0);
    /// Set while somebody waits.
    pub const WAITERS: u64 = 1 << 31;
    /// Process slots that there can be.
    pub const SLOTS: u32 = 1 << 12;
    /// Threads that are told apart.
    pub const THREADS: u32 = 1 << 19;

    /// A thread of a process.
    pub const fn new(slot: u32, incarnation: u32, thread: u32) -> Self {
        let low = (slot % Self::SLOTS) | ((thread % Self::THREADS) << 12);
        Self((incarnation as u64) << 32 | low as u64)
    }

    /// The process slot.
    pub const fn slot(self) -> u32 {
        self.0 as u32 % Self::SLOTS
    }

    /// Which of the processes that had the slot.
    pub const fn incarnation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The same without the mark that somebody waits.
    pub const fn alone(self) -> Self {
        Self(self.0 & !Self::WAITERS)
    }
}

/// A process slot in the file of process slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessSlot {
    /// A random number that the process chose; not 0.
    pub incarnation: u32,
    /// Zero.
    pub reserved: u32,
    /// The first log of the slot, or null.
    pub log: ObjectId,
    /// Zero.
    pub reserved1: u64,
}
layout!(ProcessSlot, 32, 8, { incarnation: 0, reserved: 4, log: 8, reserved1: 24 });

/// What an entry of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Bytes as they were: a check follows, then the words that they lie in.
    Undo = 1,
    /// Words as they are to be, of the last one maybe only the first bytes.
    Words = 2,
    /// Some bytes of a word; `len` has a bit for each.
    Bytes = 3,
    /// Bits of a word to be set.
    Set = 4,
    /// Bits of a word to be cleared.
    Clear = 5,
    /// A word that readers look at before and after.
    Guard = 6,
}

/// The header of an entry.
///
/// ```text
/// bits 63..60  kind        bits 49..30  len: bytes, or a mask
/// bits 59..50  object      bits 29..0   slot offset
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The object's place in the table.
    pub object: u32,
    /// Bytes, or a mask.
    pub len: u32,
    /// Where in the object's slot.
    pub offset: u64,
}

impl Entry {
    /// Most bytes of one entry: a multiple of 8.
    pub const MOST: u64 = (1 << 20) - 8;

    /// To a word.
    pub const fn pack(self) -> u64 {
        (self.kind as u64) << 60
            | (self.object as u64 & 0x3ff) << 50
            | (self.len as u64 & 0xf_ffff) << 30
            | self.offset & 0x3fff_ffff
    }

    /// From a word; `None` where there is no entry.
    pub const fn unpack(word: u64) -> Option<Self> {
        let kind = match word >> 60 {
            1 => Kind::Undo,
            2 => Kind::Words,
            3 => Kind::Bytes,
            4 => Kind::Set,
            5 => Kind::Clear,
            6 => Kind::Guard,
            _ => return None,
        };
        let (object, len) = ((word >> 50) as u32 & 0x3ff, (word >> 30) as u32 & 0xf_ffff);
        Some(Self { kind, object, len, offset: word & 0x3fff_ffff })
    }

    /// Words after the header.
    pub const fn words(self) -> u64 {
        match self.kind {
            Kind::Undo => 1 + (self.offset % 8 + self.len as u64).div_ceil(8),
            Kind::Words => (self.len as u64).div_ceil(8),
            _ => 1,
        }
    }
}

/// The low bits of a guard word while what it guards is being changed.
pub const GUARD_MOVING: u64 = 7;

const K: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of a check: no CRC, as what is logged may end in one.
#[inline(always)]
pub const fn mix(sum: u64, word: u64) -> u64 {
    let p = (sum ^ word).wrapping_mul(K);
    p ^ p >> 29
}

/// Where the check of a record or an undo entry begins: of this log, this
/// generation of its table, this sequence and this position, and no other.
pub const fn check_start(log: ObjectId, generation: u32, sequence: u64, position: u64) -> u64 {
    let sum = mix(mix(0xcbf2_9ce4_8422_2325, log.lo), log.hi);
    mix(mix(mix(sum, generation as u64), sequence), position)
}

/// What stands in place of a check where no power cut is to be survived: that
/// all was stored before it.
pub const fn stored_mark(sequence: u64, position: u64) -> u64 {
    mix(mix(0x5354_4f52_4544_0001, sequence), position)
}

/// The word of [`crate::Meta::log_place`].
pub const fn place_word(log: ObjectId, index: u32, generation: u32) -> u64 {
    let place = (index & 0x3ff) as u64 | (generation as u64 & 0x3f_ffff) << 10;
    let sum = mix(mix(mix(!0, log.lo), log.hi), place);
    place | (sum >> 32 | 1) << 32
}

/// The index and generation that a place word names, if it is one of this log.
pub const fn place_of(log: ObjectId, word: u64) -> Option<(u32, u32)> {
    let (index, generation) = (word as u32 & 0x3ff, word as u32 >> 10);
    if place_word(log, index, generation) == word {
        Some((index, generation))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        for kind in [Kind::Undo, Kind::Words, Kind::Bytes, Kind::Set, Kind::Clear, Kind::Guard] {
            let entry = Entry { kind, object: 1023, len: 0xffff8, offset: 0x3fff_ffff };
            assert_eq!(Entry::unpack(entry.pack()), Some(entry));
        }
        assert_eq!(Entry::unpack(0), None);
        assert_eq!(Entry::unpack(u64::MAX), None);
    }

    #[test]
    fn owners_come_back() {
        let owner = Owner::new(4095, u32::MAX, Owner::THREADS - 1);
        assert_eq!((owner.slot(), owner.incarnation()), (4095, u32::MAX));
        assert_eq!(owner.alone(), owner);
        assert_eq!(Owner(owner.0 | Owner::WAITERS).alone(), owner);
    }

    #[test]
    fn a_place_is_of_one_log_and_every_flip_of_it_is_noticed() {
        let log = ObjectId { lo: 5, hi: 7 };
        let word = place_word(log, 17, 99);
        assert_eq!(place_of(log, word), Some((17, 99)));
        assert_eq!(place_of(ObjectId { lo: 5, hi: 8 }, word), None);
        assert_eq!(place_of(log, 0), None);
        for bit in 0..64 {
            assert_eq!(place_of(log, word ^ 1 << bit), None, "bit {bit}");
        }
    }
}
