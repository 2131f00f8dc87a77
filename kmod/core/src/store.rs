// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The object store on a medium: the key type [`Store`], opening it, and what
//! it says about itself. What it does to objects is in the neighbours, one
//! noun a file: `object`, `data`, `resize`, `copy`, `delete`, `names`.
//!
//! A store has one owner, who calls it under one lock. Looking at it takes
//! `&self` and changes nothing; a change takes `&mut self`, and is there or
//! not there after a power cut, whatever instant that comes at.

use twz_abi::{journal::JournalHeader, superblock::PoolState, PAGE};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    geometry::Geometry,
    journal::{self, Journal},
    media::Media,
    recover,
    transaction::Transaction,
    verified::Verified,
};

/// Smallest journal slot a store can be written with: the longest indivisible
/// change, unsharing a node of 512 words, takes about 11 KiB.
pub(crate) const MIN_SLOT: u64 = 4 * PAGE;

/// Number of an object's record: how a store names an object once it is found.
/// It stays the object's until [`Store::reclaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordNo(pub u32);

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is written, so nothing can be recovered.
    ReadOnly,
    /// Recovers what was cut off, then reads and writes.
    ReadWrite,
}

/// What a store says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Objects that exist, directories among them.
    pub objects: u64,
    /// Directories that exist, the root directory among them.
    pub directories: u64,
    /// Records there are; each object takes one.
    pub records: u64,
    /// Records that no object has ever had.
    pub unused_records: u64,
    /// Pages of the pool, with its tables.
    pub pages: u64,
    /// Pages that objects can have.
    pub data_pages: u64,
    /// Those of them that are free.
    pub free_pages: u64,
    /// Whether deleted objects wait for [`Store::reclaim`].
    pub dying: bool,
}

/// An object store on a medium.
pub struct Store<M: Media> {
    pub(crate) media: M,
    pub(crate) mode: Mode,
    pub(crate) geo: Geometry,
    /// The counters, as the open transaction leaves them.
    pub(crate) state: PoolState,
    /// The counters as they are on the medium.
    pub(crate) committed: PoolState,
    pub(crate) journal: Journal,
    pub(crate) txn: Transaction,
    /// Where the search for a free page goes on.
    pub(crate) hint: u64,
    /// Directories whose ids were checked.
    pub(crate) verified: Verified,
    /// A change was cut by a failing medium; only opening again helps.
    pub(crate) stopped: bool,
    /// What [`Store::changes`] says.
    pub(crate) changes: u64,
}

impl<M: Media> Store<M> {
    /// Opens the store on `media`. For writing, a transaction that was cut off
    /// is finished, and objects that were being deleted are gone for good. This
    /// looks at no more objects than that.
    pub fn open(media: M, mode: Mode) -> Result<Self> {
        let geo = Geometry::load(&media)?;
        let mut store = Self::closed(media, geo, mode);
        store.start()?;
        Ok(store)
    }

    /// The store on `media`, whose geometry was loaded from it: closed until
    /// [`Store::start`]. For who puts it where it is to stay, one copy and no
    /// more, before anything deep is done: a kernel's stack is small.
    pub fn closed(media: M, geo: Geometry, mode: Mode) -> Self {
        let hint = geo.data_page;
        Self {
            media,
            mode,
            geo,
            state: PoolState::new_zeroed(),
            committed: PoolState::new_zeroed(),
            journal: Journal::new(&geo, 0),
            txn: Transaction::new(),
            hint,
            verified: Verified::new(),
            stopped: true,
            changes: 0,
        }
    }

    /// Opens a store that is [closed](Store::closed). If it fails, the store
    /// refuses all changes and knows no objects.
    pub fn start(&mut self) -> Result<()> {
        let geo = &self.geo;
        if self.mode == Mode::ReadWrite && !geo.writable {
            return Err(StoreError::ReadOnly);
        }
        if geo.slot_bytes() < MIN_SLOT {
            let found = geo.journal_pages;
            return Err(StoreError::Format(twz_abi::FormatError::Range {
                what: "journal size",
                found,
            }));
        }
        let newest = match self.mode {
            Mode::ReadWrite => recover::replay(&mut self.media, geo)?,
            Mode::ReadOnly => recover::refuse_unfinished(&self.media, geo)?,
        };
        let sequence = newest.map_or(1, |held| held.sequence.wrapping_add(1));
        self.journal = Journal::new(geo, sequence);
        self.state = Self::load_state(&self.media, geo)?;
        self.committed = self.state;
        self.stopped = false;
        if self.mode == Mode::ReadWrite {
            if let Err(error) = self.finish_what_was_cut(newest) {
                (self.state, self.stopped) = (PoolState::new_zeroed(), true);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A number that is another one after anything that can make a record, a
    /// [`crate::Translation`] or an [`crate::Extent`] stale that was had from
    /// this store. Programs move where an FOT begins through their mappings:
    /// that changes nothing here.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Gives the medium back.
    pub fn into_media(self) -> M {
        self.media
    }

    /// The medium, to look at.
    pub fn media(&self) -> &M {
        &self.media
    }

    /// The medium, to change what is not on it. Who changes what is on it
    /// changes the store behind its back.
    pub fn media_mut(&mut self) -> &mut M {
        &mut self.media
    }

    /// Where things are, and what the superblock says.
    pub fn geometry(&self) -> &Geometry {
        &self.geo
    }

    /// Objects, records and pages, counted.
    pub fn info(&self) -> Result<Info> {
        Ok(Info {
            objects: self.state.objects,
            directories: self.state.directories,
            records: self.geo.records,
            unused_records: self.geo.records - self.state.unused_record,
            pages: self.geo.pages,
            data_pages: self.geo.pages - self.geo.data_page,
            free_pages: self.state.free_pages,
            dying: self.state.dying_record != 0,
        })
    }

    /// Returns once all that was written is durable.
    pub fn sync(&mut self) -> Result<()> {
        Ok(self.media.fence()?)
    }

    /// Refuses if nothing may be written.
    pub(crate) fn writable(&self) -> Result<()> {
        if self.mode == Mode::ReadOnly {
            return Err(StoreError::ReadOnly);
        }
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        Ok(())
    }

    pub(crate) fn load_state(media: &M, geo: &Geometry) -> Result<PoolState> {
        let at = geo.state_at();
        let mut state = PoolState::new_zeroed();
        media.read(at, state.as_mut_bytes())?;
        state.check().map_err(StoreError::damaged(at))?;
        let list = |n: u32| n as u64 <= state.unused_record;
        if state.unused_record > geo.records
            || state.objects > state.unused_record
            || state.directories > state.objects
            || state.free_pages > geo.pages - geo.data_page
            || !list(state.free_record)
            || !list(state.dying_record)
        {
            return Err(StoreError::Corrupt { what: "the pool's counters are out of range", at });
        }
        Ok(state)
    }
}

// The smallest slot holds the longest indivisible transaction.
const _: () = assert!(
    MIN_SLOT
        >= core::mem::size_of::<JournalHeader>() as u64
            + 513 * (journal::ENTRY + 4)
            + crate::transaction::RESERVE
);
