// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The bytes of objects: `read` and `write`.
//!
//! Bytes of pages that are there are written in place, not through the
//! journal: a power cut tears them at 8 bytes, as it tears stores through a
//! mapping. Pages that come to be are durable before anything points to them.

use twz_abi::{
    meta,
    record::{map_flags, MapWord, FANOUT},
    ObjectRecord, DATA_START, META_START, PAGE, SLOT, SLOT_PAGES, TAIL_START,
};
use zerocopy::IntoBytes as _;

use crate::{
    error::{Resource, Result, StoreError},
    ident::ContentHash,
    journal::CHUNK,
    map::{huge_fits, place_of, Branch, Place, TAIL_PAGE},
    media::Media,
    store::{RecordNo, Store},
    tail::{meta_of, pages_for},
};

/// Bytes of a huge run.
const RUN: usize = (FANOUT * PAGE) as usize;

impl<M: Media> Store<M> {
    /// Copies bytes of the object's slot from `at` on. Holes read as zeros; the
    /// meta record is there whether its page is or not.
    pub fn read(&self, r: RecordNo, at: u64, into: &mut [u8]) -> Result<()> {
        let record = self.held(r)?;
        let (mut at, mut into) = (at, into);
        in_slot(at, into.len(), SLOT)?;
        while !into.is_empty() {
            let (page, within) = (at / PAGE, at % PAGE);
            let n = into.len().min((PAGE - within) as usize);
            let (now, later) = into.split_at_mut(n);
            match self.page_in(&record, page)? {
                Some(pool_page) => self.media.read(pool_page * PAGE + within, now)?,
                None if page == TAIL_PAGE => read_empty_tail(&record, within, now),
                None => now.fill(0),
            }
            at += n as u64;
            into = later;
        }
        Ok(())
    }

    /// Writes bytes of the object's slot from `at` on: within its data, or in
    /// its FOT, or in the words of its meta record that are the programs' own
    /// (bounds, heap and generation; see [`Store::set_meta`]). What is there is
    /// flushed when this returns, and durable after the next [`Store::sync`] or
    /// change. If the pool fills up on the way, what was written so far stays.
    pub fn write(&mut self, r: RecordNo, at: u64, from: &[u8]) -> Result<()> {
        let record = self.mutable(r)?;
        self.write_to(r, &record, at, from)
    }

    /// As [`Store::write`], for who fills an immutable object with the data
    /// that its id covers, and then calls [`Store::verify_content`].
    pub fn fill(&mut self, r: RecordNo, at: u64, from: &[u8]) -> Result<()> {
        let record = self.held(r)?;
        if record.kind == meta::kind::NAMES {
            return Err(StoreError::Directory { id: record.id });
        }
        self.write_to(r, &record, at, from)
    }

    fn write_to(&mut self, r: RecordNo, record: &ObjectRecord, at: u64, from: &[u8]) -> Result<()> {
        if at >= META_START && !from.is_empty() {
            return self.write_meta(r, record, at, from);
        }
        self.in_object(record, at, from.len(), META_START)?;
        self.transact(|s| s.store_bytes(r, at, from))
    }

    /// Refuses an immutable object whose data are not those its id covers.
    pub fn verify_content(&self, r: RecordNo) -> Result<()> {
        let record = self.held(r)?;
        if record.flags & meta::flags::IMMUTABLE == 0 {
            return Ok(());
        }
        let (mut hash, mut buffer) = (ContentHash::new(), [0; CHUNK]);
        for at in (0..record.size).step_by(CHUNK) {
            let n = (record.size - at).min(CHUNK as u64) as usize;
            let chunk = buffer.get_mut(..n).unwrap_or(&mut []);
            self.read(r, DATA_START + at, chunk)?;
            hash.update(chunk);
        }
        if hash.finish() != record.content {
            return Err(StoreError::ContentMismatch { id: record.id });
        }
        Ok(())
    }

    /// Writes bytes, in as many transactions as it takes.
    fn store_bytes(&mut self, r: RecordNo, at: u64, from: &[u8]) -> Result<()> {
        let (mut at, mut from) = (at, from);
        while !from.is_empty() {
            let (page, within) = (at / PAGE, at % PAGE);
            self.own_nodes(r, page)?;
            if !self.room() {
                self.commit()?;
            }
            let huge = from.get(..RUN).filter(|_| within == 0 && page % FANOUT == 0);
            let n = match huge {
                Some(run) if self.store_run(r, page, Some(run))? => RUN,
                _ => {
                    let n = from.len().min((PAGE - within) as usize);
                    let covered = n as u64 == PAGE;
                    let (pool_page, fresh) = self.own_page(r, page, covered)?;
                    let (now, _) = from.split_at(n);
                    let to = pool_page * PAGE + within;
                    self.media.write(to, now)?;
                    self.media.flush(to, n as u64)?;
                    self.txn.fresh |= fresh;
                    n
                }
            };
            at += n as u64;
            from = from.get(n..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Makes a huge run of the hole from slot page `first` on, with these bytes
    /// or zeros, in the open change. Returns whether it could.
    pub(crate) fn store_run(
        &mut self,
        r: RecordNo,
        first: u64,
        bytes: Option<&[u8]>,
    ) -> Result<bool> {
        let Some(Place::Below(i, 0)) = place_of(first) else { return Ok(false) };
        if !huge_fits(i) {
            return Ok(false);
        }
        self.own_nodes(r, first)?;
        if let Some(root) = self.root_of(&self.record(r)?)? {
            if self.branch(root, i)? != Branch::Hole {
                return Ok(false);
            }
        }
        if !self.room() {
            self.commit()?;
        }
        let run = match self.alloc_run() {
            Err(StoreError::Full { what: Resource::Pages }) => return Ok(false),
            other => other?,
        };
        match bytes {
            Some(bytes) => {
                self.media.write(run * PAGE, bytes)?;
                self.media.flush(run * PAGE, RUN as u64)?;
            }
            None => self.zero_fresh(run, FANOUT)?,
        }
        self.txn.fresh = true;
        let root = self.make_root(r)?;
        let word = MapWord::new(run, map_flags::HUGE, SLOT_PAGES + i);
        self.set_node_word(root, i, word)?;
        Ok(true)
    }

    /// Refuses bytes that are neither in the object's data nor between its FOT
    /// and `last`. The last page of the data counts as a whole.
    pub(crate) fn in_object(
        &self,
        record: &ObjectRecord,
        at: u64,
        len: usize,
        last: u64,
    ) -> Result<()> {
        let end = DATA_START + pages_for(record.size) * PAGE;
        if in_slot(at, len, end).is_ok() {
            return Ok(());
        }
        in_slot(at, len, last)?;
        if at < TAIL_START - self.fot_pages(record)? * PAGE {
            return Err(StoreError::Range { at, len: len as u64 });
        }
        Ok(())
    }
}

/// Refuses bytes outside of a slot's data, which end at `end`.
fn in_slot(at: u64, len: usize, end: u64) -> Result<()> {
    let fits = at.checked_add(len as u64).is_some_and(|last| last <= end);
    match fits && at >= DATA_START {
        true => Ok(()),
        false => Err(StoreError::Range { at, len: len as u64 }),
    }
}

/// Bytes of a tail page that is not there.
fn read_empty_tail(record: &ObjectRecord, within: u64, into: &mut [u8]) {
    let meta = meta_of(record);
    let at = META_START - TAIL_START;
    for (i, to) in (within..).zip(into.iter_mut()) {
        let byte = i.checked_sub(at).and_then(|n| meta.as_bytes().get(n as usize));
        *to = byte.copied().unwrap_or(0);
    }
}
