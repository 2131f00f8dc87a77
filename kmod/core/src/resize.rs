// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Changing an object's size: growing makes holes, shrinking gives pages back.
//!
//! One transaction changes the size. What a shrink cuts off is freed after it:
//! little of it at once, which recovery finishes (`settle`), and much of it by
//! way of the dying list (`detach`). What could fail for want of pages is done
//! before the size changes.

use twz_abi::{record::FANOUT, ObjectRecord, MAX_DATA, PAGE, SLOT_PAGES};

use crate::{
    error::{Result, StoreError},
    map::{place_of, Branch, Place, Translation, TAIL_PAGE},
    media::{Media, ZEROS},
    release::{is_whole, Budget, FIRST_BELOW},
    store::{RecordNo, Store},
    tail::pages_for,
};

/// Pages that a shrink gives back by itself, at most.
const AT_ONCE: u64 = 64;

impl<M: Media> Store<M> {
    /// Sets the bytes of data of an object. What it grows by reads as zeros.
    pub fn resize(&mut self, r: RecordNo, size: u64) -> Result<()> {
        match self.resize_detached(r, size)? {
            Some(cut) => self.reclaim(cut),
            None => Ok(()),
        }
    }

    /// As [`Store::resize`], but what a shrink cuts off keeps its pages if they
    /// can be many: they are under the record returned until [`Store::reclaim`]
    /// or [`Store::reclaim_some`] gives them back, or, after a power cut, the
    /// next opening. So a shrink takes a few transactions however large it is,
    /// and the object has its new size, with holes behind it, when this returns.
    pub fn resize_detached(&mut self, r: RecordNo, size: u64) -> Result<Option<RecordNo>> {
        let record = self.mutable(r)?;
        self.writable()?;
        let limit = (SLOT_PAGES - 2 - self.fot_pages(&record)?) * PAGE;
        if size > limit.min(MAX_DATA) {
            return Err(StoreError::Size { size, limit: limit.min(MAX_DATA) });
        }
        self.transact(|s| match size >= record.size {
            true => s.grow(r, &record, size).map(|()| None),
            false => s.shrink(r, &record, size),
        })
    }

    /// Finishes a resize, wherever it was cut: frees pages past the end, and
    /// brings the meta record in line.
    pub(crate) fn settle(&mut self, r: RecordNo) -> Result<()> {
        self.transact(|s| {
            let record = s.record(r)?;
            let first = pages_for(record.size) + 1;
            let last = TAIL_PAGE.saturating_sub(1 + s.fot_pages(&record)?);
            s.sync_meta(&record)?;
            s.trim(r, first, last, &mut Budget::unlimited()).map(|_| ())
        })
    }

    fn grow(&mut self, r: RecordNo, record: &ObjectRecord, size: u64) -> Result<()> {
        self.blank_rest(r, record)?;
        let (pages, mut record) = (pages_for(size) as u32, self.record(r)?);
        self.sync_bounds(&record, |old| old.max(pages))?;
        self.txn.fresh |= !record.tail.is_hole();
        record.size = size;
        self.put_record(r, &record)?;
        self.commit()?;
        self.sync_meta(&record)
    }

    fn shrink(&mut self, r: RecordNo, old: &ObjectRecord, size: u64) -> Result<Option<RecordNo>> {
        let first = pages_for(size) + 1;
        let last = TAIL_PAGE - 1 - self.fot_pages(old)?;
        // With the nodes at both ends its own, and no huge run across them, what
        // follows needs no page.
        if !is_whole(first, last) {
            self.own_edges(r, first, last)?;
        }
        self.commit()?;
        let mut record = self.record(r)?;
        record.size = size;
        if pages_for(old.size) + 1 > first + AT_ONCE {
            match self.detach(r, record, first, last) {
                // Without a page or a record to spare it takes longer.
                Err(StoreError::Full { .. }) => self.abort(),
                Err(error) => return Err(error),
                Ok(cut) => {
                    self.commit()?;
                    self.sync_meta(&self.record(r)?)?;
                    return Ok(Some(cut));
                }
            }
        }
        self.put_record(r, &record)?;
        self.commit()?;
        self.settle(r).map(|()| None)
    }

    /// Makes the nodes above both ends of a range of pages the object's own, if
    /// the range has only a part of what they map.
    pub(crate) fn own_edges(&mut self, r: RecordNo, first: u64, last: u64) -> Result<()> {
        if first > last || last < FIRST_BELOW || self.own_root(r)?.is_none() {
            return Ok(());
        }
        if first > FIRST_BELOW && first % FANOUT != 0 {
            self.own_edge(r, first)?;
        }
        if last + 1 < TAIL_PAGE && (last + 1) % FANOUT != 0 {
            self.own_edge(r, last)?;
        }
        Ok(())
    }

    fn own_edge(&mut self, r: RecordNo, page: u64) -> Result<()> {
        let Some(Place::Below(i, _)) = place_of(page) else { return Ok(()) };
        self.own_nodes(r, page)?;
        let Some(root) = self.root_of(&self.record(r)?)? else { return Ok(()) };
        match self.branch(root, i)? {
            Branch::Huge(run) => {
                self.commit()?;
                self.split_run(root, i, run)
            }
            _ => Ok(()),
        }
    }

    /// Zeroes what lies between the end of the data and the end of their last
    /// page: a program that maps the page can have written there.
    fn blank_rest(&mut self, r: RecordNo, record: &ObjectRecord) -> Result<()> {
        let (page, within) = (1 + record.size / PAGE, record.size % PAGE);
        if within == 0 || self.translate_in(record, page)? == Translation::Hole {
            return Ok(());
        }
        self.own_nodes(r, page)?;
        let (pool_page, fresh) = self.own_page(r, page, false)?;
        let rest = ZEROS.get(within as usize..).unwrap_or(&[]);
        let at = pool_page * PAGE + within;
        self.media.write(at, rest)?;
        self.media.flush(at, rest.len() as u64)?;
        self.txn.fresh |= fresh;
        Ok(())
    }
}
