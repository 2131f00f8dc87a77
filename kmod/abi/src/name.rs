// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Names: what a component may be, and directories as objects.
//!
//! A directory object is a set of levels of pages. Level `l` is the `1 << l`
//! slot pages from page `1 << l` on, so level 0 is the first data page. A name
//! may lie in any level, on the page that its hash picks there; nothing ever
//! moves, and one entry is written by one journal transaction.

use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{checksum::crc32, layout::layout, FormatError, ObjectId};

/// Longest component of a path, in bytes.
pub const MAX_NAME: usize = 255;

/// Longest path, in bytes, that is given at once.
pub const MAX_PATH: usize = 4095;

/// Longest path, in bytes, of who puts it together name by name: a directory may be
/// deeper in others than anybody can say in one call.
pub const MAX_DEEP: usize = 16383;

/// Levels a directory can have.
pub const MAX_LEVELS: u32 = 17;

/// First word of a page of names: "TWZNAMES".
pub const PAGE_MAGIC: u64 = u64::from_le_bytes(*b"TWZNAMES");

/// Entries in a page.
pub const PAGE_ENTRIES: usize = 14;

/// What an entry binds its name to.
pub mod kind {
    /// Free.
    pub const FREE: u8 = 0;
    /// An object.
    pub const OBJECT: u8 = 1;
    /// Another directory.
    pub const DIRECTORY: u8 = 2;
}

/// One name and what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NameEntry {
    /// [`hash`] of the name.
    pub hash: u32,
    /// Bytes in the name.
    pub len: u16,
    /// [`kind`].
    pub kind: u8,
    /// Zero.
    pub reserved0: u8,
    /// The object or directory.
    pub id: ObjectId,
    /// The name, then zeros.
    pub name: [u8; 256],
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
    /// Zero.
    pub reserved1: u32,
}
layout!(NameEntry, 288, 8, {
    hash: 0, len: 4, kind: 6, reserved0: 7, id: 8, name: 24, checksum: 280, reserved1: 284,
});

/// One page of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NamePage {
    /// [`PAGE_MAGIC`], or 0 on a page never written.
    pub magic: u64,
    /// [`tag`] of each entry's name; 0 for a free entry. With the magic they fill
    /// one line, so that a lookup reads that and the entries it may mean.
    pub tags: [u32; PAGE_ENTRIES],
    /// The entries, free or not.
    pub entries: [NameEntry; PAGE_ENTRIES],
}
layout!(NamePage, 4096, 8, { magic: 0, tags: 8, entries: 64 });

/// The hash that places a name.
pub fn hash(name: &[u8]) -> u32 {
    crc32(name)
}

/// What a page's header says of an entry whose name has this [`hash`]. It is
/// never 0, which says that the entry is free.
pub const fn tag(hash: u32) -> u32 {
    match hash {
        0 => 1,
        other => other,
    }
}

/// The slot page of a directory on which level `level` keeps names of this hash.
pub const fn page_of(level: u32, hash: u32) -> u64 {
    // Each level looks at the hash through a different odd multiplier, so that
    // names that share a page on one level part on the next.
    let mixed = (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (level as u64) << 33 | 1) >> 20;
    (1 << level) + (mixed & ((1 << level) - 1))
}

/// Whether `name` may be a component of a path.
pub fn check_component(name: &[u8]) -> Result<(), FormatError> {
    let why = match name {
        [] => "a name is empty",
        b"." | b".." => "'.' and '..' are not names",
        _ if name.len() > MAX_NAME => "a name is longer than 255 bytes",
        _ if name.contains(&b'/') => "a name holds a '/'",
        _ if name.contains(&0) => "a name holds a NUL",
        _ => return Ok(()),
    };
    Err(FormatError::Name { why })
}

/// The components of an absolute or relative path, each checked. Empty ones
/// are dropped, as POSIX does with repeated slashes.
pub fn components(path: &[u8]) -> Result<impl Iterator<Item = &[u8]> + Clone, FormatError> {
    if path.len() > MAX_PATH {
        return Err(FormatError::Name { why: "a path is longer than 4095 bytes" });
    }
    deep_components(path)
}

/// The components of a path that may be longer than one that is given at once.
pub fn deep_components(path: &[u8]) -> Result<impl Iterator<Item = &[u8]> + Clone, FormatError> {
    if path.len() > MAX_DEEP {
        return Err(FormatError::Name { why: "a path is longer than 16383 bytes" });
    }
    let parts = path.split(|&c| c == b'/').filter(|c| !c.is_empty());
    for part in parts.clone() {
        check_component(part)?;
    }
    Ok(parts)
}

impl NameEntry {
    /// An entry that binds `name`, which must be a valid component.
    pub fn new(name: &[u8], kind: u8, id: ObjectId) -> Result<Self, FormatError> {
        check_component(name)?;
        let mut entry = Self {
            hash: hash(name),
            len: name.len() as u16,
            kind,
            reserved0: 0,
            id,
            name: [0; 256],
            checksum: 0,
            reserved1: 0,
        };
        for (to, from) in entry.name.iter_mut().zip(name) {
            *to = *from;
        }
        entry.checksum = entry.compute_checksum();
        Ok(entry)
    }

    /// The checksum of all that comes before it.
    pub fn compute_checksum(&self) -> u32 {
        crc32(&self.as_bytes()[..280])
    }

    /// The name, as far as `len` allows.
    pub fn bytes(&self) -> &[u8] {
        self.name.get(..self.len as usize).unwrap_or(&self.name)
    }

    /// Whether this is a free entry (`Ok(false)`) or a binding that may be
    /// trusted (`Ok(true)`).
    pub fn check(&self) -> Result<bool, FormatError> {
        if self.kind == kind::FREE {
            return match self.as_bytes().iter().all(|&b| b == 0) {
                true => Ok(false),
                false => Err(FormatError::Reserved { what: "free name entry" }),
            };
        }
        let computed = self.compute_checksum();
        if computed != self.checksum {
            let stored = self.checksum;
            return Err(FormatError::Checksum { what: "name entry", stored, computed });
        }
        if !matches!(self.kind, kind::OBJECT | kind::DIRECTORY) {
            return Err(FormatError::Range { what: "name entry kind", found: self.kind as u64 });
        }
        if self.len as usize > MAX_NAME {
            return Err(FormatError::Range { what: "name length", found: self.len as u64 });
        }
        check_component(self.bytes())?;
        if self.name.iter().skip(self.len as usize).any(|&b| b != 0)
            || self.reserved0 != 0
            || self.reserved1 != 0
        {
            return Err(FormatError::Reserved { what: "name entry" });
        }
        if self.hash != hash(self.bytes()) {
            return Err(FormatError::Range { what: "name hash", found: self.hash as u64 });
        }
        if !self.id.is_valid() {
            return Err(FormatError::Range { what: "name entry id", found: self.id.lo });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stay_in_their_level() {
        for level in 0..MAX_LEVELS {
            for h in [0, 1, 77, u32::MAX] {
                let page = page_of(level, h);
                assert!((1 << level..2 << level).contains(&page));
                assert!(page < crate::SLOT_PAGES - 1);
            }
        }
    }

    #[test]
    fn a_tag_is_never_that_of_a_free_entry() {
        assert_eq!([0, 1, 2, u32::MAX].map(tag), [1, 1, 2, u32::MAX]);
    }

    #[test]
    fn components_of_paths() {
        let parts: Vec<&[u8]> = components(b"//a/b c/").unwrap().collect();
        assert_eq!(parts, [&b"a"[..], b"b c"]);
        assert!(components(b"a/../b").is_err());
        assert!(components(&[b'/'; MAX_PATH]).is_ok());
        assert!(components(&[b'/'; MAX_PATH + 1]).is_err());
        assert!(deep_components(&[b'/'; MAX_DEEP]).is_ok());
        assert!(deep_components(&[b'/'; MAX_DEEP + 1]).is_err());
        assert!(components(&[b'a'; 256]).is_err());
    }

    #[test]
    fn every_single_bit_flip_of_an_entry_is_noticed() {
        let good =
            NameEntry::new(b"lists", kind::OBJECT, ObjectId::from_u128(1 << 64 | 1)).unwrap();
        assert_eq!(good.check(), Ok(true));
        for bit in 0..288 * 8 {
            let mut bad = good;
            bad.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            assert!(bad.check().is_err(), "bit {bit}");
        }
    }
}
