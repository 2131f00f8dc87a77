// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Checking the object table: each record, that every live one is on the chain
//! of its id and every other on its list, and on it once.

use twz_abi::{meta, record::state, record::RECORD_SIZE, ObjectId, ObjectRecord};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{
    scratch::{flags, Of},
    Checker, Problem,
};
use crate::{
    error::{Result, StoreError},
    ident::Identity,
    media::Media,
    store::RecordNo,
    table::head_of,
};

/// Records of a chain that each is compared with for its id.
const LOOK_BACK: usize = 16;

impl<M: Media> Checker<'_, M> {
    /// Each record by itself, with the page map in it.
    pub(super) fn records(&mut self) -> Result<()> {
        for n in 0..self.used() {
            match self.store.record(RecordNo(n as u32)) {
                Ok(record) => self.one_record(n, record)?,
                Err(StoreError::Media(why)) => return Err(why.into()),
                Err(why) => {
                    self.tell(Problem::Record { record: n as u32, why });
                    self.scratch.mark(n, flags::FREE);
                    self.put_record(n, free_record())?;
                }
            }
        }
        Ok(())
    }

    /// Whether chains lead to the live records; a repair makes them anew if not.
    pub(super) fn chains(&mut self) -> Result<bool> {
        let before = self.summary.problems;
        for head in 0..self.store.geo.heads {
            self.one_chain(head)?;
        }
        for n in 0..self.used() {
            if self.scratch.has(n, flags::LIVE) && !self.scratch.has(n, flags::CHAINED) {
                self.tell(Problem::List { what: "a record is not on its chain", record: n });
            }
        }
        let sound = self.summary.problems == before;
        if self.mend && !sound {
            self.make_chains()?;
        }
        Ok(sound)
    }

    /// That the free list and the dying list hold what they should.
    pub(super) fn lists(&mut self) -> Result<()> {
        let before = self.summary.problems;
        let state = self.store.state;
        self.one_list(state.free_record, flags::FREE)?;
        self.one_list(state.dying_record, flags::DYING)?;
        for n in 0..self.used() {
            let listed = self.scratch.has(n, flags::LISTED);
            if self.scratch.has(n, flags::FREE | flags::DYING) && !listed {
                self.tell(Problem::List { what: "a record is not on its list", record: n });
            }
        }
        if self.mend && self.summary.problems != before {
            self.make_lists()?;
        }
        Ok(())
    }

    /// How many records there are to look at.
    pub(super) fn used(&self) -> u64 {
        self.store.state.unused_record.min(self.store.geo.records)
    }

    /// How many records have this flag.
    pub(super) fn records_with(&self, flag: u32) -> u64 {
        (0..self.used()).filter(|&n| self.scratch.has(n, flag)).count() as u64
    }

    /// One more than the last record that was ever written.
    pub(super) fn last_record(&mut self) -> Result<u64> {
        self.store.state.unused_record = self.store.geo.records;
        for n in (0..self.store.geo.records).rev() {
            match self.store.record(RecordNo(n as u32)) {
                Ok(_) => return Ok(n + 1),
                Err(StoreError::Media(why)) => return Err(why.into()),
                Err(_) => {}
            }
        }
        Ok(0)
    }

    /// Writes a record, if this is a repair.
    pub(super) fn put_record(&mut self, n: u64, mut record: ObjectRecord) -> Result<()> {
        record.checksum = record.compute_checksum();
        self.put(self.store.geo.record_at(n as u32), record.as_bytes())
    }

    fn one_record(&mut self, n: u64, record: ObjectRecord) -> Result<()> {
        match record.state {
            state::LIVE => self.scratch.mark(n, flags::LIVE),
            state::DYING => self.scratch.mark(n, flags::DYING),
            _ => {
                self.scratch.mark(n, flags::FREE);
                return Ok(());
            }
        }
        if record.kind == meta::kind::NAMES && record.state == state::LIVE {
            self.scratch.mark(n, flags::DIRECTORY);
        }
        if let Err(why) = Identity::from(&record).verify(record.id) {
            self.tell(Problem::Record { record: n as u32, why });
        }
        self.page_map(n, record)
    }

    fn one_chain(&mut self, head: u64) -> Result<()> {
        let mut next = self.store.half(self.store.geo.head_at(head))?;
        let (mut recent, mut at) = ([ObjectId::NULL; LOOK_BACK], 0);
        while let Some(n) = next.checked_sub(1) {
            let (n, what) = (n as u64, "a chain leads to what is not on it");
            if n >= self.used() || !self.scratch.has(n, flags::LIVE) {
                self.tell(Problem::List { what, record: n });
                return Ok(());
            }
            if self.scratch.has(n, flags::CHAINED) {
                self.tell(Problem::List { what: "a record is on chains twice", record: n });
                return Ok(());
            }
            let record = self.store.record(RecordNo(n as u32))?;
            if head_of(&self.store.geo, record.id) != head {
                self.tell(Problem::List { what, record: n });
                return Ok(());
            }
            self.scratch.mark(n, flags::CHAINED);
            if recent.contains(&record.id) {
                self.tell(Problem::Duplicate { id: record.id, record: n as u32 });
            }
            if let Some(slot) = recent.get_mut(at % LOOK_BACK) {
                *slot = record.id;
            }
            at += 1;
            next = record.next;
        }
        Ok(())
    }

    fn one_list(&mut self, first: u32, kind: u32) -> Result<()> {
        let (mut next, mut before) = (first, 0);
        while let Some(n) = next.checked_sub(1) {
            let n = n as u64;
            if n >= self.used() || !self.scratch.has(n, kind) || self.scratch.has(n, flags::LISTED)
            {
                let what = "a list leads to what is not on it";
                self.tell(Problem::List { what, record: n });
                return Ok(());
            }
            self.scratch.mark(n, flags::LISTED);
            let record = match self.store.record(RecordNo(n as u32)) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                Err(_) => return Ok(()), // Told already.
                Ok(record) => record,
            };
            if kind == flags::DYING && record.names != before {
                self.tell(Problem::List { what: "the dying list is cut", record: n });
            }
            (next, before) = (record.next, n as u32 + 1);
        }
        Ok(())
    }

    fn make_chains(&mut self) -> Result<()> {
        for head in 0..self.store.geo.heads {
            self.put(self.store.geo.head_at(head), &[0; 4])?;
        }
        for n in 0..self.used() {
            if !self.scratch.has(n, flags::LIVE) {
                continue;
            }
            let mut record = self.store.record(RecordNo(n as u32))?;
            record.next = 0;
            self.put_record(n, record)?;
            if self.store.search_chain(record.id)?.is_some() {
                // Its pages are given back with the others on the dying list.
                self.scratch.unmark(n, flags::LIVE | flags::DIRECTORY);
                self.scratch.mark(n, flags::DYING);
                record.state = state::DYING;
                self.put_record(n, record)?;
                continue;
            }
            let head = self.store.geo.head_at(head_of(&self.store.geo, record.id));
            record.next = self.store.half(head)?;
            self.put_record(n, record)?;
            self.put(head, &(n as u32 + 1).to_le_bytes())?;
        }
        Ok(())
    }

    fn make_lists(&mut self) -> Result<()> {
        let (mut free, mut dying) = (0, 0);
        for n in 0..self.used() {
            let this = n as u32 + 1;
            if self.scratch.has(n, flags::FREE) {
                self.put_record(n, ObjectRecord { next: free, ..free_record() })?;
                free = this;
            } else if self.scratch.has(n, flags::DYING) {
                let record = self.store.record(RecordNo(n as u32))?;
                self.put_record(n, ObjectRecord { next: dying, names: 0, ..record })?;
                if let Some(before) = dying.checked_sub(1) {
                    let record = self.store.record(RecordNo(before))?;
                    self.put_record(before as u64, ObjectRecord { names: this, ..record })?;
                }
                dying = this;
            }
        }
        (self.store.state.free_record, self.store.state.dying_record) = (free, dying);
        Ok(())
    }

    /// Names that were counted for record `n`.
    pub(super) fn names_of(&self, n: u64) -> u32 {
        self.scratch.record(n, Of::Names)
    }
}

fn free_record() -> ObjectRecord {
    ObjectRecord { state: state::FREE, ..ObjectRecord::new_zeroed() }
}

const _: () = assert!(RECORD_SIZE == core::mem::size_of::<ObjectRecord>() as u64);
