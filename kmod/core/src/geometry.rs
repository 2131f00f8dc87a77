// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Where things are in a store: what [`Geometry`] keeps of the superblock.
//!
//! A superblock is a page, too much to carry around; this is the part of it
//! that operations need. Its regions were checked, so that every offset
//! computed here lies in the pool and cannot overflow.

use twz_abi::{features, record, superblock, FormatError, ObjectId, Superblock, PAGE};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    media::Media,
};

/// The regions and constants of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The pool's own random id.
    pub pool_id: [u8; 16],
    /// Seed of the object table's hash.
    pub hash_seed: u64,
    /// Seconds since 1970 at creation.
    pub created: u64,
    /// Pages in the pool.
    pub pages: u64,
    /// First page of the journal.
    pub journal_page: u64,
    /// Pages of the journal.
    pub journal_pages: u64,
    /// The page of the pool's state.
    pub state_page: u64,
    /// First page of the chain heads.
    pub heads_page: u64,
    /// How many heads; a power of two.
    pub heads: u64,
    /// First page of the records.
    pub records_page: u64,
    /// How many records.
    pub records: u64,
    /// First page of the group counts.
    pub groups_page: u64,
    /// First page of the bitmap.
    pub bitmap_page: u64,
    /// First page of the share counts.
    pub refs_page: u64,
    /// First page that can be allocated.
    pub data_page: u64,
    /// The root directory.
    pub root_names: ObjectId,
    /// Text for people, NUL-padded.
    pub label: [u8; 64],
    /// Whether all features that matter for writing are known.
    pub writable: bool,
    /// Which of the two superblocks counts.
    pub current: u64,
    /// Whether the other superblock is in order too.
    pub both: bool,
}

impl Geometry {
    /// Reads both superblocks, takes the better, and checks it against the medium.
    pub fn load<M: Media>(media: &M) -> Result<Self> {
        let (first, second) = (Self::slot(media, 0), Self::slot(media, 1));
        let (both, found) = match (first, second) {
            (Ok(a), Ok(b)) if b.1 > a.1 => (true, b.0),
            (Ok(a), Ok(_)) => (true, a.0),
            (Ok(a), Err(_)) => (false, a.0),
            (Err(_), Ok(b)) => (false, b.0),
            // Of two refusals, tell the one that says more than "not a pool".
            (Err(StoreError::Format(FormatError::Magic { .. })), Err(why)) => return Err(why),
            (Err(why), Err(_)) => return Err(why),
        };
        let need = found.pages * PAGE;
        if media.len() < need {
            return Err(StoreError::TooSmall { need, have: media.len() });
        }
        Ok(Self { both, ..found })
    }

    /// What the superblock in `slot` says, and its sequence.
    #[inline(never)] // A superblock is a page of stack; it goes when this returns.
    pub(crate) fn slot<M: Media>(media: &M, slot: u64) -> Result<(Self, u64)> {
        let mut sb = Superblock::new_zeroed();
        if media.len() < 2 * PAGE {
            return Err(StoreError::TooSmall { need: 2 * PAGE, have: media.len() });
        }
        media.read(slot * PAGE, sb.as_mut_bytes())?;
        let access = sb.check().map_err(StoreError::Format)?;
        if sb.sequence & 1 != slot {
            let found = sb.sequence;
            return Err(StoreError::Format(FormatError::Range {
                what: "superblock sequence",
                found,
            }));
        }
        if sb.kind != superblock::kind::STORE {
            return Err(StoreError::Format(FormatError::Range {
                what: "pool kind (a directory pool is not one file)",
                found: sb.kind as u64,
            }));
        }
        if !sb.root_names.is_valid() {
            let found = sb.root_names.lo;
            return Err(StoreError::Format(FormatError::Range { what: "root directory", found }));
        }
        Ok((Self::from_superblock(&sb, slot, access), sb.sequence))
    }

    fn from_superblock(sb: &Superblock, slot: u64, access: features::Access) -> Self {
        Self {
            pool_id: sb.pool_id,
            hash_seed: sb.hash_seed,
            created: sb.created,
            pages: sb.pages,
            journal_page: sb.journal_page,
            journal_pages: sb.journal_pages,
            state_page: sb.state_page,
            heads_page: sb.heads_page,
            heads: sb.heads,
            records_page: sb.records_page,
            records: sb.records,
            groups_page: sb.groups_page,
            bitmap_page: sb.bitmap_page,
            refs_page: sb.refs_page,
            data_page: sb.data_page,
            root_names: sb.root_names,
            label: sb.label,
            writable: access == features::Access::ReadWrite,
            current: slot,
            both: false,
        }
    }

    /// The label without its padding.
    pub fn label(&self) -> &[u8] {
        let end = self.label.iter().position(|&b| b == 0).unwrap_or(self.label.len());
        self.label.get(..end).unwrap_or(&[])
    }

    /// How many groups there are.
    pub fn groups(&self) -> u64 {
        superblock::groups_for(self.pages)
    }

    /// Bytes of one journal slot.
    pub(crate) fn slot_bytes(&self) -> u64 {
        self.journal_pages / 2 * PAGE
    }

    pub(crate) fn slot_at(&self, sequence: u64) -> u64 {
        self.journal_page * PAGE + (sequence & 1) * self.slot_bytes()
    }

    pub(crate) fn state_at(&self) -> u64 {
        self.state_page * PAGE
    }

    pub(crate) fn head_at(&self, head: u64) -> u64 {
        self.heads_page * PAGE + head * 4
    }

    pub(crate) fn record_at(&self, record: u32) -> u64 {
        self.records_page * PAGE + record as u64 * record::RECORD_SIZE
    }

    pub(crate) fn group_at(&self, group: u64) -> u64 {
        self.groups_page * PAGE + group * 8
    }

    /// The bitmap word with the bit of `page`.
    pub(crate) fn bits_at(&self, page: u64) -> u64 {
        self.bitmap_page * PAGE + page / 64 * 8
    }

    pub(crate) fn refs_at(&self, page: u64) -> u64 {
        self.refs_page * PAGE + page * 4
    }

    /// Whether `page` is one that objects can have.
    pub(crate) fn is_data(&self, page: u64) -> bool {
        (self.data_page..self.pages).contains(&page)
    }
}
