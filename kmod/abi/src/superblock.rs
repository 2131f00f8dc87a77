// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The superblock of a pool, in two slots, and the pool's moving counters.

use zerocopy::IntoBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{checksum::crc32, features, layout::layout, FormatError, ObjectId, FORMAT_VERSION};

/// First word of a superblock: "TWZPOOL1".
pub const SUPER_MAGIC: u64 = u64::from_le_bytes(*b"TWZPOOL1");

/// First word of the control page of a directory pool: "TWZCTRL1".
pub const CONTROL_MAGIC: u64 = u64::from_le_bytes(*b"TWZCTRL1");

/// What kind of home a pool is.
pub mod kind {
    /// One range of bytes: a device or an image file.
    pub const STORE: u32 = 1;
    /// A directory of ordinary files.
    pub const DIRECTORY: u32 = 2;
}

/// The superblock. It stands at byte 0 and at byte 4096 of a pool; the valid
/// one with the higher sequence counts, and a change writes the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Superblock {
    /// [`SUPER_MAGIC`].
    pub magic: u64,
    /// [`FORMAT_VERSION`] of the writer.
    pub version: u32,
    /// [`kind`].
    pub kind: u32,
    /// Features that may be ignored.
    pub compat: u64,
    /// Features that must be known to write.
    pub ro_compat: u64,
    /// Features that must be known at all.
    pub incompat: u64,
    /// Counts superblock writes; its lowest bit is the slot this one stands in.
    pub sequence: u64,
    /// The pool's own random id.
    pub pool_id: [u8; 16],
    /// Seed of the object table's hash, so that ids cannot be chosen to collide.
    pub hash_seed: u64,
    /// Seconds since 1970 at creation.
    pub created: u64,
    /// Pages in the pool. The fields from here to `data_page` are zero in a directory pool.
    pub pages: u64,
    /// First page of the journal.
    pub journal_page: u64,
    /// Pages of the journal: two slots of half of them each.
    pub journal_pages: u64,
    /// The page that holds [`PoolState`].
    pub state_page: u64,
    /// First page of the object table's chain heads, u32 each.
    pub heads_page: u64,
    /// How many heads; a power of two.
    pub heads: u64,
    /// First page of the object records.
    pub records_page: u64,
    /// How many records.
    pub records: u64,
    /// First page of the per-group counts of free pages, u64 each.
    pub groups_page: u64,
    /// First page of the page bitmap.
    pub bitmap_page: u64,
    /// First page of the share counts, u32 a page.
    pub refs_page: u64,
    /// First page that can be allocated.
    pub data_page: u64,
    /// The root directory of names. Null in a directory pool.
    pub root_names: ObjectId,
    /// Directory pool: inode number of the file this stands in, so that a
    /// copied pool is noticed. Store: zero.
    pub home_inode: u64,
    /// Text for people, NUL-padded.
    pub label: [u8; 64],
    /// Zero.
    pub reserved: [u8; 3824],
    /// Zero.
    pub reserved1: u32,
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
}
layout!(Superblock, 4096, 8, {
    magic: 0, version: 8, kind: 12, compat: 16, ro_compat: 24, incompat: 32, sequence: 40,
    pool_id: 48, hash_seed: 64, created: 72, pages: 80, journal_page: 88, journal_pages: 96,
    state_page: 104, heads_page: 112, heads: 120, records_page: 128, records: 136,
    groups_page: 144, bitmap_page: 152, refs_page: 160, data_page: 168, root_names: 176,
    home_inode: 192, label: 200, reserved: 264, reserved1: 4088, checksum: 4092,
});

/// The counters of a store that change with every operation, written by the
/// journal. It stands at the start of the state page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PoolState {
    /// Objects that exist, directories among them.
    pub objects: u64,
    /// Pages that are free.
    pub free_pages: u64,
    /// Records from this number on were never used.
    pub unused_record: u64,
    /// First of the list of freed records, plus 1; 0 if there is none.
    pub free_record: u32,
    /// First of the list of records being deleted, plus 1; 0 if there is none.
    pub dying_record: u32,
    /// Directories that exist, the root directory among them.
    pub directories: u64,
    /// Zero.
    pub reserved: [u8; 16],
    /// Zero.
    pub reserved1: u32,
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
}
layout!(PoolState, 64, 8, {
    objects: 0, free_pages: 8, unused_record: 16, free_record: 24, dying_record: 28,
    directories: 32, reserved: 40, reserved1: 56, checksum: 60,
});

/// The control page of a directory pool, at byte 8192 of its pool file, which
/// every process that uses the pool maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Control {
    /// [`CONTROL_MAGIC`].
    pub magic: u64,
    /// Counts changes that make cached translations stale: entries retargeted,
    /// views invalidated, objects shrunk. Atomic.
    pub generation: u64,
    /// Counts changes of names. Atomic.
    pub names: u64,
}
layout!(Control, 24, 8, { magic: 0, generation: 8, names: 16 });

impl PoolState {
    /// The checksum of all that comes before it.
    pub fn compute_checksum(&self) -> u32 {
        crc32(&self.as_bytes()[..60])
    }

    /// Whether the counters may be trusted as far as they go by themselves.
    pub fn check(&self) -> Result<(), FormatError> {
        let (stored, computed) = (self.checksum, self.compute_checksum());
        if stored != computed {
            return Err(FormatError::Checksum { what: "pool state", stored, computed });
        }
        if self.reserved != [0; 16] || self.reserved1 != 0 {
            return Err(FormatError::Reserved { what: "pool state" });
        }
        Ok(())
    }
}

impl Superblock {
    /// The checksum of all that comes before it.
    pub fn compute_checksum(&self) -> u32 {
        crc32(&self.as_bytes()[..core::mem::offset_of!(Superblock, checksum)])
    }

    /// Whether this is a superblock this code may act on, and how. The order
    /// matters: magic, then checksum (a torn or rotten one is not "newer"),
    /// then version and features, then the fields.
    pub fn check(&self) -> Result<features::Access, FormatError> {
        if self.magic != SUPER_MAGIC {
            return Err(FormatError::Magic { what: "superblock", found: self.magic });
        }
        let (stored, computed) = (self.checksum, self.compute_checksum());
        if stored != computed {
            return Err(FormatError::Checksum { what: "superblock", stored, computed });
        }
        if self.version == 0 || self.version > FORMAT_VERSION {
            return Err(FormatError::Version { what: "pool", found: self.version });
        }
        let access = features::access(self.ro_compat, self.incompat)?;
        if self.reserved != [0; 3824] || self.reserved1 != 0 {
            return Err(FormatError::Reserved { what: "superblock" });
        }
        if !matches!(self.kind, kind::STORE | kind::DIRECTORY) {
            return Err(FormatError::Range { what: "pool kind", found: self.kind as u64 });
        }
        if self.kind == kind::STORE {
            self.check_regions()?;
        }
        Ok(access)
    }

    /// The regions of a store: in order, not overlapping, inside the pool, and
    /// as long as their counts say.
    fn check_regions(&self) -> Result<(), FormatError> {
        use crate::{record::RECORD_SIZE, PAGE};
        let bad = |what, found| Err(FormatError::Range { what, found });
        if self.pages > 1 << 40 {
            return bad("pool size", self.pages);
        }
        if !self.heads.is_power_of_two() || self.heads > 1 << 32 {
            return bad("object table heads", self.heads);
        }
        if self.records == 0 || self.records >= 1 << 32 {
            return bad("object records", self.records);
        }
        if self.journal_pages < 8 || self.journal_pages % 2 != 0 || self.journal_pages > 1 << 20 {
            return bad("journal size", self.journal_pages);
        }
        let pages = |bytes: u64| bytes.div_ceil(PAGE);
        let regions = [
            ("journal", self.journal_page, self.journal_pages),
            ("pool state", self.state_page, 1),
            ("object table", self.heads_page, pages(self.heads * 4)),
            ("object records", self.records_page, pages(self.records * RECORD_SIZE)),
            ("group counts", self.groups_page, pages(groups_for(self.pages) * 8)),
            ("page bitmap", self.bitmap_page, groups_for(self.pages)),
            ("share counts", self.refs_page, pages(self.pages * 4)),
        ];
        let mut end = 2;
        for (what, start, len) in regions {
            if start < end || start > self.pages || len > self.pages - start {
                return bad(what, start);
            }
            end = start + len;
        }
        if self.data_page < end || self.data_page > self.pages {
            return bad("first data page", self.data_page);
        }
        Ok(())
    }
}

/// Pages whose bits fill one page of the bitmap: a group.
pub const GROUP_PAGES: u64 = crate::PAGE * 8;

/// How many groups a pool of `pages` pages has.
pub const fn groups_for(pages: u64) -> u64 {
    pages.div_ceil(GROUP_PAGES)
}
