// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Changing an object's size: growing makes holes, shrinking gives pages back.
//!
//! One transaction changes the size. What a shrink then frees takes more of
//! them, which recovery finishes (`settle`). What could fail for want of pages
//! is done before the size changes.

use twz_abi::{ObjectRecord, MAX_DATA, PAGE, SLOT_PAGES};

use crate::{
    error::{Result, StoreError},
    map::{Translation, TAIL_PAGE},
    media::{Media, ZEROS},
    store::{RecordNo, Store},
    tail::pages_for,
};

impl<M: Media> Store<M> {
    /// Sets the bytes of data of an object. What it grows by reads as zeros.
    pub fn resize(&mut self, r: RecordNo, size: u64) -> Result<()> {
        let record = self.mutable(r)?;
        self.writable()?;
        let limit = (SLOT_PAGES - 2 - self.fot_pages(&record)?) * PAGE;
        if size > limit.min(MAX_DATA) {
            return Err(StoreError::Size { size, limit: limit.min(MAX_DATA) });
        }
        self.transact(|s| match size >= record.size {
            true => s.grow(r, &record, size),
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
            s.trim(r, first, last)
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

    fn shrink(&mut self, r: RecordNo, record: &ObjectRecord, size: u64) -> Result<()> {
        let first = pages_for(size) + 1;
        let last = TAIL_PAGE - 1 - self.fot_pages(record)?;
        // With the nodes at both ends its own, and no huge run across them, the
        // trim below needs no page.
        if first < last {
            for edge in [first, last] {
                self.own_edge(r, edge)?;
            }
        }
        self.commit()?;
        let mut record = self.record(r)?;
        record.size = size;
        self.put_record(r, &record)?;
        self.commit()?;
        self.settle(r)
    }

    /// Makes the nodes above a page at the end of a cut the object's own.
    fn own_edge(&mut self, r: RecordNo, page: u64) -> Result<()> {
        use crate::map::{place_of, Branch, Place};
        let Some(Place::Below(i, _)) = place_of(page) else { return Ok(()) };
        self.own_nodes(r, page)?;
        let Some(root) = self.root_of(&self.record(r)?)? else { return Ok(()) };
        match self.branch(root, i)? {
            Branch::Huge(run) => self.split_run(root, i, run),
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
