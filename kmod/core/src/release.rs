// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Giving pages back: of a range of an object (`trim`), or all of them.
//!
//! This is long work, done in bounded transactions, each of which carries the
//! record it is about so that recovery finds it. No transaction writes to a
//! page that it frees: a node's words become holes in transactions before the
//! one that frees the node. It takes a [`Budget`], and when that is used up it
//! commits and can be taken up again later: what was done is not there any more.

use twz_abi::{
    record::{MapWord, DIRECT, FANOUT},
    superblock::GROUP_PAGES,
    PAGE,
};

use crate::{
    error::Result,
    journal::CHUNK,
    map::{Branch, TAIL_PAGE},
    media::{Media, ZEROS},
    span::SPAN,
    store::{RecordNo, Store},
};

/// The first page below the root.
pub(crate) const FIRST_BELOW: u64 = DIRECT as u64 + 1;

/// How much may be done before others get their turn: pages given back and
/// nodes looked at, roughly.
pub(crate) struct Budget(u64);

impl Budget {
    /// So much; at least something, so that there is progress.
    pub(crate) fn of(pages: u64) -> Self {
        Self(pages.max(1))
    }

    /// As much as it takes.
    pub(crate) fn unlimited() -> Self {
        Self(u64::MAX)
    }

    fn spend(&mut self, pages: u64) {
        self.0 = self.0.saturating_sub(pages);
    }

    fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// What became of a leaf's words.
struct Cleared {
    /// The open change has written to the leaf.
    busy: bool,
    /// The first word that was not looked at; past the last one if all were.
    next: u64,
}

impl<M: Media> Store<M> {
    /// Makes holes of slot pages `first` to `last`, short of the tail page, and
    /// commits. The nodes at the ends of the range are the object's own. Returns
    /// the page to go on at: past `last` when all is done.
    pub(crate) fn trim(
        &mut self,
        r: RecordNo,
        first: u64,
        last: u64,
        budget: &mut Budget,
    ) -> Result<u64> {
        let end = last.saturating_add(1);
        self.trim_direct(r, first, last)?;
        if is_whole(first, last) {
            let done = self.drop_root(r, budget)?;
            self.step(r)?;
            // What is gone already costs the next call next to nothing.
            return Ok(if done { end } else { FIRST_BELOW });
        }
        let (low, high) = (first.max(FIRST_BELOW), last.min(TAIL_PAGE - 1));
        let mut next = end;
        if let Some(root) = self.root_of(&self.record(r)?)?.filter(|_| low <= high) {
            for i in low / FANOUT..=high / FANOUT {
                if budget.is_spent() {
                    next = low.max(i * FANOUT);
                    break;
                }
                let low = low.max(i * FANOUT);
                let high = high.min(i * FANOUT + FANOUT - 1);
                let stopped = self.trim_branch(r, root, i, (low, high), budget)?;
                if let Some(page) = stopped {
                    next = page;
                    break;
                }
            }
        }
        self.step(r)?;
        Ok(next)
    }

    /// Makes holes of slot pages `low` to `high`, all below word `i` of the root.
    /// Returns where it stopped, if it did.
    fn trim_branch(
        &mut self,
        r: RecordNo,
        root: u64,
        i: u64,
        (low, high): (u64, u64),
        budget: &mut Budget,
    ) -> Result<Option<u64>> {
        let whole = is_whole_branch(i, low, high);
        let leaf = match self.branch(root, i)? {
            Branch::Hole => return Ok(None),
            _ if whole => {
                let done = self.drop_branch(r, root, i, budget)?;
                return Ok(if done { None } else { Some(low) });
            }
            Branch::Leaf(leaf) => leaf,
            Branch::Huge(run) => {
                self.commit()?;
                self.split_run(root, i, run)?;
                match self.branch(root, i)? {
                    Branch::Leaf(leaf) => leaf,
                    _ => return Ok(None),
                }
            }
        };
        let cleared = self.clear_leaf(r, leaf, i, (low % FANOUT, high % FANOUT), budget)?;
        let next = i * FANOUT + cleared.next;
        Ok(Some(next).filter(|&next| next <= high))
    }

    /// Gives back everything an object has: its record has holes only, then.
    /// Returns whether that is done.
    pub(crate) fn drop_pages(&mut self, r: RecordNo, budget: &mut Budget) -> Result<bool> {
        self.trim_direct(r, 1, DIRECT as u64)?;
        let mut record = self.record(r)?;
        if let Some(tail) = self.data_word(record.tail, TAIL_PAGE)? {
            self.release_page(tail)?;
            record.tail = MapWord::HOLE;
            self.put_record(r, &record)?;
        }
        self.drop_root(r, budget)
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

    fn drop_root(&mut self, r: RecordNo, budget: &mut Budget) -> Result<bool> {
        let Some(root) = self.root_of(&self.record(r)?)? else { return Ok(true) };
        if self.shares(root)? == 0 {
            let mut busy = false;
            for i in 0..FANOUT {
                if self.branch(root, i)? == Branch::Hole {
                    continue;
                }
                if budget.is_spent() || !self.drop_branch(r, root, i, budget)? {
                    self.step(r)?;
                    return Ok(false);
                }
                busy = true;
            }
            if busy {
                self.step(r)?;
            }
        }
        self.release_page(root)?;
        let mut record = self.record(r)?;
        record.root = MapWord::HOLE;
        self.put_record(r, &record)?;
        Ok(true)
    }

    /// Makes a hole of word `i` of a root that is the object's own. Returns
    /// whether that is done.
    fn drop_branch(&mut self, r: RecordNo, root: u64, i: u64, budget: &mut Budget) -> Result<bool> {
        self.make_room(r)?;
        match self.branch(root, i)? {
            Branch::Hole => return Ok(true),
            Branch::Huge(run) => self.release_run(run)?,
            Branch::Leaf(leaf) => {
                if self.shares(leaf)? == 0 {
                    let cleared = self.clear_leaf(r, leaf, i, (0, FANOUT - 1), budget)?;
                    if cleared.next < FANOUT {
                        return Ok(false);
                    }
                    if cleared.busy {
                        self.step(r)?;
                    }
                }
                self.release_page(leaf)?;
            }
        }
        // Not before: the smallest budget does something.
        budget.spend(1);
        self.set_node_word(root, i, MapWord::HOLE)?;
        Ok(true)
    }

    /// Makes holes of words `first` to `last` of leaf `i`, which is the
    /// object's own.
    fn clear_leaf(
        &mut self,
        r: RecordNo,
        leaf: u64,
        i: u64,
        (first, last): (u64, u64),
        budget: &mut Budget,
    ) -> Result<Cleared> {
        let mut cleared = Cleared { busy: false, next: first };
        while cleared.next <= last && !budget.is_spent() {
            self.make_room(r)?;
            let j = cleared.next;
            let mut words = [MapWord::HOLE; SPAN];
            let count = (last + 1 - j).min(SPAN as u64) as usize;
            let words = words.get_mut(..count).unwrap_or(&mut []);
            let at = leaf * PAGE + j * 8;
            self.read_words(at, words)?;
            let done = self.release_words(words, i * FANOUT + j)?;
            let words = words.get(..done as usize).unwrap_or(&[]);
            if let Some(from) = words.iter().position(|word| !word.is_hole()) {
                let zeros = ZEROS.get(from * 8..words.len() * 8).unwrap_or(&[]);
                self.set_bytes(at + from as u64 * 8, zeros)?;
                cleared.busy = true;
                budget.spend(done - from as u64);
            }
            cleared.next += done;
        }
        Ok(cleared)
    }

    /// Gives back the pages of these words, the first of which is at `place`:
    /// all of them or as many as the open change can take. Returns how many words
    /// were done. Pages in a row go at once.
    fn release_words(&mut self, words: &[MapWord], place: u64) -> Result<u64> {
        let (mut first, mut count, mut done) = (0, 0, 0);
        for (&word, place) in words.iter().zip(place..) {
            if let Some(page) = self.data_word(word, place)? {
                let next = page == first + count && page % GROUP_PAGES != 0;
                if self.shares(page)? != 0 {
                    if !self.room() {
                        break;
                    }
                    self.release_page(page)?;
                } else if next && count > 0 {
                    count += 1;
                } else {
                    if !self.room() {
                        break;
                    }
                    self.release_row(first, count)?;
                    (first, count) = (page, 1);
                }
            }
            done += 1;
        }
        self.release_row(first, count)?;
        Ok(done)
    }

    /// Commits if the next step might not fit.
    fn make_room(&mut self, r: RecordNo) -> Result<()> {
        match self.room() {
            true => Ok(()),
            false => self.step(r),
        }
    }

    /// Commits what was done so far, with the record it is about.
    pub(crate) fn step(&mut self, r: RecordNo) -> Result<()> {
        let record = self.record(r)?;
        self.put_record(r, &record)?;
        self.commit()
    }
}

/// Whether slot pages `first` to `last` are all that are below a root.
pub(crate) fn is_whole(first: u64, last: u64) -> bool {
    first <= FIRST_BELOW && last.saturating_add(1) >= TAIL_PAGE
}

/// Whether slot pages `low` to `high` are all that are below its word `i`.
pub(crate) fn is_whole_branch(i: u64, low: u64, high: u64) -> bool {
    low <= FIRST_BELOW.max(i * FANOUT) && high >= (TAIL_PAGE - 1).min(i * FANOUT + FANOUT - 1)
}

const _: () = assert!(SPAN * 8 == CHUNK);
