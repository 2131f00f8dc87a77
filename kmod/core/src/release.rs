// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Giving pages back: of a range of an object (`trim`), or all of them.
//!
//! This is long work, done in bounded transactions, each of which carries the
//! record it is about so that recovery finds it. No transaction writes to a
//! page that it frees: a node's words become holes in transactions before the
//! one that frees the node.

use twz_abi::{
    record::{MapWord, DIRECT, FANOUT},
    PAGE,
};

use crate::{
    error::Result,
    map::{Branch, TAIL_PAGE},
    media::Media,
    store::{RecordNo, Store},
};

/// The first page below the root.
const FIRST_BELOW: u64 = DIRECT as u64 + 1;

impl<M: Media> Store<M> {
    /// Makes holes of slot pages `first` to `last`, short of the tail page. The
    /// nodes at the ends of the range are the object's own.
    pub(crate) fn trim(&mut self, r: RecordNo, first: u64, last: u64) -> Result<()> {
        self.trim_direct(r, first, last)?;
        if first <= FIRST_BELOW && last + 1 >= TAIL_PAGE {
            self.drop_root(r)?;
            return self.step(r);
        }
        let (first, last) = (first.max(FIRST_BELOW), last.min(TAIL_PAGE - 1));
        if first > last {
            return Ok(());
        }
        let Some(root) = self.root_of(&self.record(r)?)? else { return Ok(()) };
        for i in first / FANOUT..=last / FANOUT {
            let low = first.max(i * FANOUT);
            let high = last.min(i * FANOUT + FANOUT - 1);
            let whole = low <= FIRST_BELOW.max(i * FANOUT)
                && high >= (TAIL_PAGE - 1).min(i * FANOUT + FANOUT - 1);
            match self.branch(root, i)? {
                Branch::Hole => {}
                _ if whole => self.drop_branch(r, root, i)?,
                Branch::Huge(run) => {
                    self.commit()?;
                    self.split_run(root, i, run)?;
                    if let Branch::Leaf(leaf) = self.branch(root, i)? {
                        self.clear_leaf(r, leaf, i, low % FANOUT, high % FANOUT)?;
                    }
                }
                Branch::Leaf(leaf) => {
                    self.clear_leaf(r, leaf, i, low % FANOUT, high % FANOUT)?;
                }
            }
        }
        self.step(r)
    }

    /// Gives back everything an object has: its record has holes only, then.
    pub(crate) fn drop_pages(&mut self, r: RecordNo) -> Result<()> {
        self.trim_direct(r, 1, DIRECT as u64)?;
        let mut record = self.record(r)?;
        if let Some(tail) = self.data_word(record.tail, TAIL_PAGE)? {
            self.release_page(tail)?;
            record.tail = MapWord::HOLE;
            self.put_record(r, &record)?;
        }
        self.drop_root(r)
    }

    fn trim_direct(&mut self, r: RecordNo, first: u64, last: u64) -> Result<()> {
        for page in first.max(1)..=last.min(DIRECT as u64) {
            let mut record = self.record(r)?;
            let Some(slot) = record.direct.get_mut(page as usize - 1) else { break };
            if let Some(old) = self.data_word(core::mem::take(slot), page)? {
                self.release_page(old)?;
                self.put_record(r, &record)?;
                self.make_room(r)?;
            }
        }
        Ok(())
    }

    fn drop_root(&mut self, r: RecordNo) -> Result<()> {
        let Some(root) = self.root_of(&self.record(r)?)? else { return Ok(()) };
        if self.shares(root)? == 0 {
            let mut busy = false;
            for i in 0..FANOUT {
                if self.branch(root, i)? != Branch::Hole {
                    self.drop_branch(r, root, i)?;
                    busy = true;
                }
            }
            if busy {
                self.step(r)?;
            }
        }
        self.release_page(root)?;
        let mut record = self.record(r)?;
        record.root = MapWord::HOLE;
        self.put_record(r, &record)
    }

    /// Makes a hole of word `i` of a root that is the object's own.
    fn drop_branch(&mut self, r: RecordNo, root: u64, i: u64) -> Result<()> {
        self.make_room(r)?;
        match self.branch(root, i)? {
            Branch::Hole => return Ok(()),
            Branch::Huge(run) => self.release_run(run)?,
            Branch::Leaf(leaf) => {
                if self.shares(leaf)? == 0 && self.clear_leaf(r, leaf, i, 0, FANOUT - 1)? {
                    self.step(r)?;
                }
                self.release_page(leaf)?;
            }
        }
        self.set_node_word(root, i, MapWord::HOLE)
    }

    /// Makes holes of words `first` to `last` of leaf `i`, which is the
    /// object's own. Returns whether there was anything to do.
    fn clear_leaf(
        &mut self,
        r: RecordNo,
        leaf: u64,
        i: u64,
        first: u64,
        last: u64,
    ) -> Result<bool> {
        let mut busy = false;
        for j in first..=last {
            let at = leaf * PAGE + j * 8;
            let word = MapWord(self.word_on_media(at)?);
            if let Some(page) = self.data_word(word, i * FANOUT + j)? {
                self.make_room(r)?;
                self.release_page(page)?;
                self.set_bytes(at, &[0; 8])?;
                busy = true;
            }
        }
        Ok(busy)
    }

    /// Commits if the next step might not fit.
    fn make_room(&mut self, r: RecordNo) -> Result<()> {
        match self.room() {
            true => Ok(()),
            false => self.step(r),
        }
    }

    /// Commits what was done so far, with the record it is about.
    fn step(&mut self, r: RecordNo) -> Result<()> {
        let record = self.record(r)?;
        self.put_record(r, &record)?;
        self.commit()
    }
}
