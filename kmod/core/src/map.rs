// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The page map: which pool page holds which page of an object's slot.
//!
//! Slot pages 1 to 8 and the tail page are in the record; every other one is
//! below the root node, in a leaf or in a huge run. What is not there is a
//! hole. [`Translation`] is the answer to a fault; `own_nodes` and `own_page`
//! make a page the object's alone (copy on write).

use twz_abi::{
    record::{map_flags, MapWord, DIRECT, FANOUT},
    ObjectRecord, PAGE, SLOT_PAGES,
};

use crate::{
    error::{Result, StoreError},
    journal::CHUNK,
    media::Media,
    store::{RecordNo, Store},
};

/// The place of the record's root word.
pub(crate) const ROOT_PLACE: u64 = 2 * SLOT_PAGES;

/// The tail page.
pub(crate) const TAIL_PAGE: u64 = SLOT_PAGES - 1;

/// What is at a page of an object's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// Nothing: it reads as zeros, or as an empty tail page.
    Hole,
    /// A page of the pool.
    Page {
        /// Its number.
        pool_page: u64,
        /// Another object has it too: it must not be written through.
        shared: bool,
        /// It is one of 512 in a row, both here and in the pool, aligned to 512.
        huge: bool,
    },
}

/// What a word of a root node says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Branch {
    Hole,
    Leaf(u64),
    Huge(u64),
}

/// Where the word for a slot page is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Direct(usize),
    Tail,
    /// Index in the root, index in the leaf.
    Below(u64, u64),
}

/// Where the word for `page` is; `None` if no page of an object is there.
pub(crate) fn place_of(page: u64) -> Option<Place> {
    match page {
        0 | SLOT_PAGES.. => None,
        TAIL_PAGE => Some(Place::Tail),
        n if n <= DIRECT as u64 => Some(Place::Direct(n as usize - 1)),
        n => Some(Place::Below(n / FANOUT, n % FANOUT)),
    }
}

impl<M: Media> Store<M> {
    /// What is at `page` of the object's slot. Reads only.
    pub fn translate(&self, r: RecordNo, page: u64) -> Result<Translation> {
        self.translate_in(&self.held(r)?, page)
    }

    /// The same, for who has the record: one that [`Store::stat`] returned, and
    /// that [`Store::changes`] says is not stale.
    pub fn translate_in(&self, record: &ObjectRecord, page: u64) -> Result<Translation> {
        let mut shared = false;
        let found = self.walk(record, page, |on_the_way| {
            shared = shared || self.shares(on_the_way)? != 0;
            Ok(())
        })?;
        Ok(match found {
            None => Translation::Hole,
            Some((pool_page, huge)) => Translation::Page { pool_page, shared, huge },
        })
    }

    /// The pool page at `page`, for who only reads it: whether it is shared
    /// makes no difference, and is not looked up.
    pub(crate) fn page_in(&self, record: &ObjectRecord, page: u64) -> Result<Option<u64>> {
        Ok(self.walk(record, page, |_| Ok(()))?.map(|(pool_page, _)| pool_page))
    }

    /// Goes down the map to `page`: its pool page, and whether it is in a huge
    /// run. Each pool page on the way that can be shared is shown to `pass`.
    fn walk(
        &self,
        record: &ObjectRecord,
        page: u64,
        mut pass: impl FnMut(u64) -> Result<()>,
    ) -> Result<Option<(u64, bool)>> {
        let outside = StoreError::Range { at: page.saturating_mul(PAGE), len: PAGE };
        let word = match place_of(page).ok_or(outside)? {
            Place::Direct(i) => record.direct.get(i).copied().unwrap_or_default(),
            Place::Tail => record.tail,
            Place::Below(i, j) => {
                let Some(root) = self.root_of(record)? else { return Ok(None) };
                pass(root)?;
                match self.branch(root, i)? {
                    Branch::Hole => return Ok(None),
                    Branch::Huge(run) => return Ok(Some((run + j, true))),
                    Branch::Leaf(leaf) => {
                        pass(leaf)?;
                        MapWord(self.word(leaf * PAGE + j * 8)?)
                    }
                }
            }
        };
        let Some(pool_page) = self.data_word(word, page)? else { return Ok(None) };
        pass(pool_page)?;
        Ok(Some((pool_page, false)))
    }

    /// The page of a word that maps data at slot page `place`.
    pub(crate) fn data_word(&self, word: MapWord, place: u64) -> Result<Option<u64>> {
        match self.map_word(word, place)? {
            None => Ok(None),
            Some((page, 0)) => Ok(Some(page)),
            Some((page, _)) => Err(misplaced(page)),
        }
    }

    /// The object's root node.
    pub(crate) fn root_of(&self, record: &ObjectRecord) -> Result<Option<u64>> {
        match self.map_word(record.root, ROOT_PLACE)? {
            None => Ok(None),
            Some((page, map_flags::NODE)) => Ok(Some(page)),
            Some((page, _)) => Err(misplaced(page)),
        }
    }

    /// What word `i` of a root node says.
    pub(crate) fn branch(&self, root: u64, i: u64) -> Result<Branch> {
        let word = MapWord(self.word(root * PAGE + i * 8)?);
        Ok(match self.map_word(word, SLOT_PAGES + i)? {
            None => Branch::Hole,
            Some((page, map_flags::NODE)) => Branch::Leaf(page),
            Some((page, map_flags::HUGE)) if self.can_be_huge(page, i) => Branch::Huge(page),
            Some((page, _)) => return Err(misplaced(page)),
        })
    }

    /// Makes the nodes above `page` the object's alone. Commits by itself: call
    /// it with no change open, or with one that may be committed.
    pub(crate) fn own_nodes(&mut self, r: RecordNo, page: u64) -> Result<()> {
        let Some(Place::Below(i, _)) = place_of(page) else { return Ok(()) };
        let Some(root) = self.own_root(r)? else { return Ok(()) };
        if let Branch::Leaf(leaf) = self.branch(root, i)? {
            if self.shares(leaf)? != 0 {
                self.commit()?;
                let copy = self.copy_node(leaf, i * FANOUT)?;
                let word = MapWord::new(copy, map_flags::NODE, SLOT_PAGES + i);
                self.set_node_word(root, i, word)?;
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Makes `page`, whose nodes are the object's own, a page of the object's
    /// own, in the open change: allocates it, or copies it if it is shared.
    /// Returns it and whether it is new. If `covered`, a new page's bytes are
    /// left to the caller.
    pub(crate) fn own_page(
        &mut self,
        r: RecordNo,
        page: u64,
        covered: bool,
    ) -> Result<(u64, bool)> {
        let record = self.record(r)?;
        let old = match self.translate_in(&record, page)? {
            Translation::Page { pool_page, shared: false, .. } => return Ok((pool_page, false)),
            Translation::Page { pool_page, .. } => Some(pool_page),
            Translation::Hole => None,
        };
        let new = self.alloc_page()?;
        match old {
            _ if covered => {}
            Some(old) => self.copy_page(old, new)?,
            None if page == TAIL_PAGE => self.write_new_tail(&record, new)?,
            None => self.zero_fresh(new, 1)?,
        }
        if let Some(old) = old {
            self.release_page(old)?;
        }
        self.link(r, page, new)?;
        Ok((new, true))
    }

    /// Copies a whole page to one that the open change has allocated.
    pub(crate) fn copy_page(&mut self, from: u64, to: u64) -> Result<()> {
        let mut buffer = [0; CHUNK];
        for at in (0..PAGE).step_by(CHUNK) {
            self.media.read(from * PAGE + at, &mut buffer)?;
            self.media.write(to * PAGE + at, &buffer)?;
        }
        self.media.flush(to * PAGE, PAGE)?;
        self.txn.fresh = true;
        Ok(())
    }

    /// Sets word `i` of a node: in place if the open change allocated the node.
    pub(crate) fn set_node_word(&mut self, node: u64, i: u64, word: MapWord) -> Result<()> {
        let at = node * PAGE + i * 8;
        if self.is_fresh(node)? {
            return self.write_fresh(at, &word.0.to_le_bytes());
        }
        self.set_word(at, word.0)
    }

    /// The object's root node, made if there is none.
    pub(crate) fn make_root(&mut self, r: RecordNo) -> Result<u64> {
        let mut record = self.record(r)?;
        if let Some(root) = self.root_of(&record)? {
            return Ok(root);
        }
        let root = self.new_node()?;
        record.root = MapWord::new(root, map_flags::NODE, ROOT_PLACE);
        self.put_record(r, &record)?;
        Ok(root)
    }

    /// Leaf `i` of the object, made if there is none.
    pub(crate) fn make_leaf(&mut self, r: RecordNo, i: u64) -> Result<u64> {
        let root = self.make_root(r)?;
        match self.branch(root, i)? {
            Branch::Leaf(leaf) => Ok(leaf),
            Branch::Huge(run) => Err(misplaced(run)),
            Branch::Hole => {
                let leaf = self.new_node()?;
                let word = MapWord::new(leaf, map_flags::NODE, SLOT_PAGES + i);
                self.set_node_word(root, i, word)?;
                Ok(leaf)
            }
        }
    }

    /// Maps `page` to `pool_page`.
    fn link(&mut self, r: RecordNo, page: u64, pool_page: u64) -> Result<()> {
        let word = MapWord::new(pool_page, 0, page);
        let mut record = self.record(r)?;
        let outside = StoreError::Range { at: page.saturating_mul(PAGE), len: PAGE };
        match place_of(page).ok_or(outside)? {
            Place::Direct(i) => {
                if let Some(slot) = record.direct.get_mut(i) {
                    *slot = word;
                }
            }
            Place::Tail => record.tail = word,
            Place::Below(i, j) => {
                let leaf = self.make_leaf(r, i)?;
                return self.set_node_word(leaf, j, word);
            }
        }
        self.put_record(r, &record)
    }

    fn new_node(&mut self) -> Result<u64> {
        let node = self.alloc_page()?;
        self.zero_fresh(node, 1)?;
        Ok(node)
    }

    /// The object's root, made its own as [`Self::own_nodes`] does. What a copied
    /// root points to is shared then.
    pub(crate) fn own_root(&mut self, r: RecordNo) -> Result<Option<u64>> {
        let Some(root) = self.root_of(&self.record(r)?)? else { return Ok(None) };
        if self.shares(root)? == 0 {
            return Ok(Some(root));
        }
        self.commit()?;
        // A huge run has no shares of its own, so it becomes a leaf first. That
        // changes nothing for whoever else has this root.
        for i in 0..FANOUT {
            if let Branch::Huge(run) = self.branch(root, i)? {
                self.split_run(root, i, run)?;
            }
        }
        let copy = self.copy_node(root, SLOT_PAGES)?;
        let mut record = self.record(r)?;
        record.root = MapWord::new(copy, map_flags::NODE, ROOT_PLACE);
        self.put_record(r, &record)?;
        self.commit()?;
        Ok(Some(copy))
    }

    /// Copies a node whose words have places from `first` on, in the open change.
    fn copy_node(&mut self, node: u64, first: u64) -> Result<u64> {
        let copy = self.alloc_page()?;
        self.copy_page(node, copy)?;
        for i in 0..FANOUT {
            let word = MapWord(self.word(node * PAGE + i * 8)?);
            if let Some((child, _)) = self.map_word(word, first + i)? {
                self.share_in_bulk(child)?;
            }
        }
        self.release_page(node)?;
        Ok(copy)
    }

    /// Replaces the huge word `i` of a root by a leaf, and commits.
    pub(crate) fn split_run(&mut self, root: u64, i: u64, run: u64) -> Result<()> {
        let leaf = self.alloc_page()?;
        let mut buffer = [0; CHUNK];
        let words = CHUNK as u64 / 8;
        for first in (0..FANOUT).step_by(words as usize) {
            for (j, bytes) in (first..).zip(buffer.chunks_exact_mut(8)) {
                let word = MapWord::new(run + j, 0, i * FANOUT + j);
                bytes.copy_from_slice(&word.0.to_le_bytes());
            }
            self.write_fresh(leaf * PAGE + first * 8, &buffer)?;
        }
        let word = MapWord::new(leaf, map_flags::NODE, SLOT_PAGES + i);
        self.set_node_word(root, i, word)?;
        self.commit()
    }

    fn map_word(&self, word: MapWord, place: u64) -> Result<Option<(u64, u64)>> {
        let at = word.page().saturating_mul(PAGE);
        match word.check(place).map_err(StoreError::damaged(at))? {
            Some((page, _)) if !self.geo.is_data(page) => Err(misplaced(page)),
            other => Ok(other),
        }
    }

    fn can_be_huge(&self, page: u64, i: u64) -> bool {
        page % FANOUT == 0 && page + FANOUT <= self.geo.pages && huge_fits(i)
    }
}

/// Whether a huge run can be at word `i` of a root: not where the null page,
/// the direct pages or the tail page are.
pub(crate) fn huge_fits(i: u64) -> bool {
    i != 0 && i < FANOUT - 1
}

/// A map word that cannot be where it is.
pub(crate) fn misplaced(page: u64) -> StoreError {
    StoreError::Corrupt { what: "a page map points where it cannot", at: page.saturating_mul(PAGE) }
}
