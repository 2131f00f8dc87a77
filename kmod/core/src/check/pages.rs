// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Checking pages: each object's map, and then the bitmap, the group counts
//! and the share counts against what the maps have.
//!
//! A node that several maps have is entered once, so the walk is as long as the
//! pool is large, however its maps are tangled.

use twz_abi::{
    record::{state, MapWord, DIRECT, FANOUT},
    superblock::GROUP_PAGES,
    ObjectId, ObjectRecord, PAGE,
};

use super::{Checker, Problem};
use crate::{
    error::{Result, StoreError},
    map::{Branch, TAIL_PAGE},
    media::Media,
    tail::pages_for,
};

/// What a page is; the rest of its word counts the map words that have it.
const DATA: u32 = 1 << 30;
const NODE: u32 = 2 << 30;
/// A tail page, or one of a huge run: these are never shared.
const SOLE: u32 = 3 << 30;
const COUNT: u32 = DATA - 1;

/// What is known of the object whose map is walked.
#[derive(Clone, Copy)]
struct Owner {
    id: ObjectId,
    /// Its last page of data, and the first of its FOT.
    last: u64,
    fot: u64,
}

#[derive(PartialEq)]
enum Seen {
    First,
    Again,
    Otherwise,
}

impl<M: Media> Checker<'_, M> {
    /// The map in record `n`.
    pub(super) fn page_map(&mut self, n: u64, mut record: ObjectRecord) -> Result<()> {
        let mut owner = Owner { id: record.id, last: TAIL_PAGE, fot: TAIL_PAGE };
        if record.state == state::LIVE {
            owner.last = pages_for(record.size);
            owner.fot = match self.store.fot_pages(&record) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                pages => TAIL_PAGE.saturating_sub(pages.unwrap_or(0)),
            };
        }
        let was = record;
        for (page, slot) in (1..=DIRECT as u64).zip(record.direct.iter_mut()) {
            if !self.data(owner, *slot, page, DATA)? {
                *slot = MapWord::HOLE;
            }
        }
        if !self.data(owner, record.tail, TAIL_PAGE, SOLE)? {
            record.tail = MapWord::HOLE;
        }
        match self.store.root_of(&record) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Err(why) => {
                self.tell(Problem::Map { id: owner.id, page: DIRECT as u64 + 1, why });
                record.root = MapWord::HOLE;
            }
            Ok(Some(root)) => match self.see(root, NODE) {
                Seen::First => self.root(owner, root)?,
                Seen::Again => {}
                Seen::Otherwise => {
                    self.tell(Problem::Twice { id: owner.id, pool_page: root });
                    record.root = MapWord::HOLE;
                }
            },
            Ok(None) => {}
        }
        if record != was {
            self.put_record(n, record)?;
        }
        Ok(())
    }

    /// The bitmap, and the counts of free pages.
    pub(super) fn bitmap(&mut self) -> Result<()> {
        for group in 0..self.store.geo.groups() {
            let (first, mut free) = (group * GROUP_PAGES, 0);
            for page in (first..first + GROUP_PAGES).step_by(64) {
                free += self.bitmap_word(page)?;
            }
            let at = self.store.geo.group_at(group);
            let stored = self.store.word(at)?;
            if stored != free {
                self.tell(Problem::Count { what: "a group's free pages", stored, counted: free });
                self.put(at, &free.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// The share counts.
    pub(super) fn shares(&mut self) -> Result<()> {
        for page in 0..self.store.geo.pages {
            let stored = self.store.shares(page)?;
            let counted = (self.scratch.page(page) & COUNT).saturating_sub(1);
            if stored != counted {
                self.tell(Problem::Shares { page, stored, counted });
                self.put(self.store.geo.refs_at(page), &counted.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Compares 64 bits; returns how many of the pages are free.
    fn bitmap_word(&mut self, first: u64) -> Result<u64> {
        let at = self.store.geo.bits_at(first);
        let stored = self.store.word(at)?;
        let mut bits = 0;
        for page in first..first + 64 {
            let used = !self.store.geo.is_data(page) || self.scratch.page(page) != 0;
            let mask = 1 << (page - first);
            bits |= if used { mask } else { 0 };
            if (stored & mask != 0) != used {
                self.tell(Problem::Bitmap { page, used });
            }
        }
        if bits != stored {
            self.put(at, &bits.to_le_bytes())?;
        }
        Ok(bits.count_zeros() as u64)
    }

    fn root(&mut self, owner: Owner, root: u64) -> Result<()> {
        for i in 0..FANOUT {
            let at = root * PAGE + i * 8;
            let good = match self.store.branch(root, i) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                Err(why) => {
                    self.tell(Problem::Map { id: owner.id, page: i * FANOUT, why });
                    false
                }
                Ok(Branch::Hole) => true,
                Ok(Branch::Huge(run)) => self.run(owner, run, i * FANOUT),
                Ok(Branch::Leaf(leaf)) => self.leaf(owner, leaf, i * FANOUT)?,
            };
            if !good {
                self.put(at, &[0; 8])?;
            }
        }
        Ok(())
    }

    /// A leaf of slot pages from `first` on; whether it can stay.
    fn leaf(&mut self, owner: Owner, leaf: u64, first: u64) -> Result<bool> {
        let seen = self.see(leaf, NODE);
        if seen == Seen::Otherwise {
            self.tell(Problem::Twice { id: owner.id, pool_page: leaf });
            return Ok(false);
        }
        for j in 0..FANOUT {
            let (at, page) = (leaf * PAGE + j * 8, first + j);
            let word = MapWord(self.store.word(at)?);
            let placed = page > DIRECT as u64 && page != TAIL_PAGE;
            if word.is_hole() {
                continue;
            }
            if seen == Seen::Again {
                // It was walked, at this place if its first word is for it.
                let here = placed && word.check(page).is_ok();
                if !here {
                    self.tell(Problem::Twice { id: owner.id, pool_page: leaf });
                    self.unsee(leaf);
                }
                return Ok(here);
            }
            if !placed || !self.data(owner, word, page, DATA)? {
                if !placed {
                    self.tell(Problem::Twice { id: owner.id, pool_page: word.page() });
                }
                self.put(at, &[0; 8])?;
            }
        }
        Ok(true)
    }

    fn run(&mut self, owner: Owner, run: u64, first: u64) -> bool {
        let id = owner.id;
        if first + FANOUT - 1 > owner.last && first < owner.fot {
            self.tell(Problem::Beyond { id, page: first });
            return false;
        }
        if let Some(pool_page) = (run..run + FANOUT).find(|&p| self.scratch.page(p) != 0) {
            self.tell(Problem::Twice { id, pool_page });
            return false;
        }
        for page in run..run + FANOUT {
            self.see(page, SOLE);
        }
        true
    }

    /// A word that maps data at slot page `page`; whether it can stay.
    fn data(&mut self, owner: Owner, word: MapWord, page: u64, kind: u32) -> Result<bool> {
        let id = owner.id;
        let pool_page = match self.store.data_word(word, page) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Err(why) => {
                self.tell(Problem::Map { id, page, why });
                return Ok(false);
            }
            Ok(None) => return Ok(true),
            Ok(Some(pool_page)) => pool_page,
        };
        if page > owner.last && page < owner.fot {
            self.tell(Problem::Beyond { id, page });
            return Ok(false);
        }
        if self.see(pool_page, kind) == Seen::Otherwise {
            self.tell(Problem::Twice { id, pool_page });
            return Ok(false);
        }
        Ok(true)
    }

    fn see(&mut self, page: u64, kind: u32) -> Seen {
        let word = self.scratch.page(page);
        if word == 0 {
            self.scratch.set_page(page, kind | 1);
            return Seen::First;
        }
        if word & !COUNT != kind || kind == SOLE || word & COUNT == COUNT {
            return Seen::Otherwise;
        }
        self.scratch.set_page(page, word + 1);
        Seen::Again
    }

    fn unsee(&mut self, page: u64) {
        let word = self.scratch.page(page);
        self.scratch.set_page(page, word.saturating_sub(1));
    }
}
