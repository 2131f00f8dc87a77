// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Checking a store, and mending it: [`check`] and [`repair`].
//!
//! Both are one walk over everything, by a [`Checker`]: the superblocks, the
//! journal and the counters here, then records and chains (`records`), page
//! maps and what they say of every page (`pages`), tail pages with their FOTs
//! (`tails`), and names (`names`). `repair` also writes what it finds should be
//! there. What is wrong is told as [`Problem`]s.
//!
//! The walk needs memory, 4 bytes a page and 12 a record, which the caller
//! lends. It ends, and never panics, whatever the bytes are.
//!
//! What `repair` mends without loss: the other superblock, an unfinished
//! transaction or resize, chains and lists, the bitmap, group counts, share
//! counts, name counts, tags of names, the state, meta records. What it can only cut off: a
//! record that fails its checksum (its object is lost, its pages are freed), a
//! map word that is no map word or points to a page of another kind (it becomes
//! a hole), one of two objects with the same id, a name entry that fails its
//! checksum or has no object, an object's place in a log (a transaction that was
//! cut off in it is not finished). What it leaves: two bad superblocks, a lost root
//! directory, an object whose id is not its identity's (it is refused on use),
//! FOT entries (they are the program's), directories nobody names.

use twz_abi::superblock::PoolState;
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    geometry::Geometry,
    journal::{self, Held, Journal},
    media::{Media, MediaError},
    recover,
    store::{Mode, Store},
    transaction::Transaction,
    verified::Verified,
};

mod names;
mod pages;
mod problem;
mod records;
mod scratch;
mod tails;

pub use problem::Problem;
pub use scratch::scratch_needed;

use scratch::{flags, Scratch};

/// What a walk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects that exist.
    pub objects: u64,
    /// Pages that objects have.
    pub pages: u64,
    /// Problems that were reported.
    pub problems: u64,
}

/// Checks the store on `media`, which nobody may change meanwhile, and tells
/// `report` what is wrong. `scratch` has [`scratch_needed`] bytes.
pub fn check<M: Media>(
    media: &M,
    scratch: &mut [u8],
    report: &mut dyn FnMut(Problem),
) -> Result<Summary> {
    let geo = Geometry::load(media)?;
    let looking = Looking { media, geo, unfinished: None };
    let mut walk = Checker::new(looking, geo, scratch, report, false)?;
    walk.superblocks()?;
    walk.journal()?;
    // What opening it would put in place is no news of each place.
    walk.store.media.unfinished = recover::unfinished(media, &geo)?;
    walk.everything()
}

/// Checks the store on `media` and mends it; tells `report` what was wrong. One
/// that is cut off can be run again. The module says what cannot be mended.
pub fn repair<M: Media>(
    media: &mut M,
    scratch: &mut [u8],
    report: &mut dyn FnMut(Problem),
) -> Result<Summary> {
    let geo = Geometry::load(media)?;
    if !geo.writable {
        return Err(StoreError::ReadOnly);
    }
    let mut walk = Checker::new(&mut *media, geo, scratch, report, true)?;
    walk.superblocks()?;
    walk.replay()?;
    let summary = walk.everything()?;
    // Opening fences before all else, and finishes what was deleted.
    Store::open(media, Mode::ReadWrite)?;
    Ok(summary)
}

/// A walk over a store.
pub(crate) struct Checker<'a, M: Media> {
    store: Store<M>,
    scratch: Scratch<'a>,
    report: &'a mut dyn FnMut(Problem),
    /// Whether to write what should be there.
    mend: bool,
    summary: Summary,
}

impl<'a, M: Media> Checker<'a, M> {
    fn new(
        media: M,
        geo: Geometry,
        scratch: &'a mut [u8],
        report: &'a mut dyn FnMut(Problem),
        mend: bool,
    ) -> Result<Self> {
        let scratch = Scratch::new(scratch, &geo)?;
        let state = PoolState::new_zeroed();
        let store = Store {
            media,
            mode: Mode::ReadOnly,
            geo,
            state,
            committed: state,
            journal: Journal::new(&geo, 1),
            txn: Transaction::new(),
            hint: geo.data_page,
            verified: Verified::new(),
            stopped: false,
            changes: 0,
        };
        Ok(Self { store, scratch, report, mend, summary: Summary::default() })
    }

    fn everything(&mut self) -> Result<Summary> {
        self.state()?;
        self.records()?;
        let sound = self.chains()?;
        self.lists()?;
        self.tails()?;
        // Names are looked up by id: without chains there is nothing to say of them.
        if sound || self.mend {
            self.names()?;
        }
        self.bitmap()?;
        self.shares()?;
        self.counters()?;
        Ok(self.summary)
    }

    fn tell(&mut self, problem: Problem) {
        self.summary.problems += 1;
        (self.report)(problem);
    }

    /// Writes what should be there, if this is a repair.
    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if self.mend {
            self.store.media.write(at, bytes)?;
            self.store.media.flush(at, bytes.len() as u64)?;
        }
        Ok(())
    }

    fn superblocks(&mut self) -> Result<()> {
        for slot in 0..2 {
            if let Err(why) = Geometry::slot(&self.store.media, slot) {
                self.tell(Problem::Superblock { slot, why });
            }
        }
        if self.mend && !self.store.geo.both {
            crate::repair::mend_superblock(&mut self.store.media, &self.store.geo)?;
        }
        Ok(())
    }

    fn journal(&mut self) -> Result<()> {
        match recover::refuse_unfinished(&self.store.media, &self.store.geo) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Err(why) => self.tell(Problem::Journal { why }),
            Ok(_) => {}
        }
        Ok(())
    }

    /// Replays the journal, and then empties it: nothing of it may be replayed
    /// over what is mended. A cut may leave the newest record, which then takes
    /// back some of what was mended, as the cut itself may: no fence is needed.
    fn replay(&mut self) -> Result<()> {
        self.journal()?;
        match recover::replay(&mut self.store.media, &self.store.geo) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Err(why) => self.tell(Problem::Journal { why }),
            Ok(_) => {}
        }
        recover::empty(&mut self.store.media, &self.store.geo)
    }

    /// Reads the counters, or guesses the one that the walk starts from.
    fn state(&mut self) -> Result<()> {
        match Store::<M>::load_state(&self.store.media, &self.store.geo) {
            Ok(state) => self.store.state = state,
            Err(StoreError::Media(why)) => return Err(why.into()),
            Err(why) => {
                self.tell(Problem::State { why });
                self.store.state.unused_record = self.last_record()?;
            }
        }
        Ok(())
    }

    /// Compares the counters with what was counted.
    fn counters(&mut self) -> Result<()> {
        let (state, counted) = (self.store.state, self.counted()?);
        for (what, stored, counted) in [
            ("objects", state.objects, counted.objects),
            ("directories", state.directories, counted.directories),
            ("free pages", state.free_pages, counted.free_pages),
        ] {
            if stored != counted {
                self.tell(Problem::Count { what, stored, counted });
            }
        }
        let mut state = counted;
        state.checksum = state.compute_checksum();
        self.summary.objects = state.objects;
        self.put(self.store.geo.state_at(), state.as_bytes())
    }

    fn counted(&mut self) -> Result<PoolState> {
        let mut state = self.store.state;
        state.objects = self.records_with(flags::LIVE);
        state.directories = self.records_with(flags::DIRECTORY);
        state.free_pages = 0;
        for page in self.store.geo.data_page..self.store.geo.pages {
            state.free_pages += (self.scratch.page(page) == 0) as u64;
        }
        let all = self.store.geo.pages - self.store.geo.data_page;
        self.summary.pages = all - state.free_pages;
        Ok(state)
    }
}

/// A medium that is only looked at: as it will be when its journal is replayed.
struct Looking<'a, M> {
    media: &'a M,
    geo: Geometry,
    unfinished: Option<Held>,
}

impl<M: Media> Media for Looking<'_, M> {
    fn len(&self) -> u64 {
        self.media.len()
    }
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        self.media.read(at, into)?;
        let Some(held) = self.unfinished else { return Ok(()) };
        match journal::read_over(self.media, &self.geo, held, at, into) {
            Err(StoreError::Media(why)) => Err(why),
            // Nobody changes it: the entries are those that were found whole.
            _ => Ok(()),
        }
    }
    fn write(&mut self, at: u64, _from: &[u8]) -> Result<(), MediaError> {
        Err(MediaError::Io { at, code: 0 })
    }
    fn flush(&mut self, _at: u64, _len: u64) -> Result<(), MediaError> {
        Ok(())
    }
    fn fence(&mut self) -> Result<(), MediaError> {
        Ok(())
    }
}
