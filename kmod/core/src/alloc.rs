// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The page allocator: a bitmap, a count of free pages for each group of
//! 32768, and how often each page is shared.
//!
//! The search goes on where the last one ended, looks at a group only if its
//! count says so, and takes words of 64 pages at a time. A page that the open
//! change frees is not handed out by the same change.

use twz_abi::{record::FANOUT, superblock::GROUP_PAGES};

use crate::{
    error::{Resource, Result, StoreError},
    journal::CHUNK,
    media::Media,
    store::Store,
};

const FULL: StoreError = StoreError::Full { what: Resource::Pages };

/// Pages whose bits are searched at once.
const CHUNK_PAGES: u64 = CHUNK as u64 * 8;

impl<M: Media> Store<M> {
    /// Takes a free page. Its bytes are whatever they were.
    pub(crate) fn alloc_page(&mut self) -> Result<u64> {
        Ok(self.alloc_some(1)?.0)
    }

    /// Takes the first free page and those that follow it in a row, `most` at
    /// most. Returns the first, and how many.
    pub(crate) fn alloc_some(&mut self, most: u64) -> Result<(u64, u64)> {
        if self.state.free_pages == 0 {
            return Err(FULL);
        }
        let (groups, start) = (self.geo.groups(), self.hint / GROUP_PAGES);
        // The first group twice: from the hint on, and at last from its start.
        for i in 0..=groups {
            let group = (start + i) % groups;
            let free = self.word(self.geo.group_at(group))?;
            if free == 0 {
                continue;
            }
            let (mut from, end) = (group * GROUP_PAGES, (group + 1) * GROUP_PAGES);
            if i == 0 {
                from = self.hint;
            }
            if let Some(page) = self.search(from, end)? {
                let most = most.min(free).min(self.state.free_pages);
                let count = self.free_from(page, end.min(page.saturating_add(most)))?;
                self.take(page, count)?;
                self.hint = page + count;
                return Ok((page, count));
            }
        }
        Err(FULL)
    }

    /// Takes 512 free pages in a row, aligned to 512, and returns the first.
    pub(crate) fn alloc_run(&mut self) -> Result<u64> {
        let (groups, start) = (self.geo.groups(), self.hint / GROUP_PAGES);
        for i in 0..groups {
            let group = (start + i) % groups;
            if self.word(self.geo.group_at(group))? < FANOUT {
                continue;
            }
            for run in 0..GROUP_PAGES / FANOUT {
                let page = group * GROUP_PAGES + run * FANOUT;
                if page + FANOUT <= self.geo.pages && self.run_is_free(page)? {
                    self.take(page, FANOUT)?;
                    self.hint = page + FANOUT;
                    return Ok(page);
                }
            }
        }
        Err(FULL)
    }

    /// One map word less points to `page`: a share less, or the page is free.
    pub(crate) fn release_page(&mut self, page: u64) -> Result<()> {
        match self.shares(page)?.checked_sub(1) {
            Some(fewer) => self.set_half(self.geo.refs_at(page), fewer),
            None => self.give(page, 1),
        }
    }

    /// Gives back a run from [`Self::alloc_run`], which is never shared by itself.
    pub(crate) fn release_run(&mut self, page: u64) -> Result<()> {
        self.give(page, FANOUT)
    }

    /// Gives back pages in a row, of one group and not shared; there may be none.
    pub(crate) fn release_row(&mut self, page: u64, count: u64) -> Result<()> {
        match count {
            0 => Ok(()),
            _ => self.give(page, count),
        }
    }

    /// How many map words beyond the first point to `page`.
    pub(crate) fn shares(&self, page: u64) -> Result<u32> {
        self.half(self.geo.refs_at(page))
    }

    /// One map word more points to `page`.
    pub(crate) fn share(&mut self, page: u64) -> Result<()> {
        let more = self.one_share_more(page)?;
        self.set_half(self.geo.refs_at(page), more)
    }

    /// As [`Self::share`], for pages that the open change does not look at again.
    pub(crate) fn share_in_bulk(&mut self, page: u64) -> Result<()> {
        let more = self.one_share_more(page)?;
        self.set_bytes(self.geo.refs_at(page), &more.to_le_bytes())
    }

    /// Whether the open change has allocated `page`.
    pub(crate) fn is_fresh(&self, page: u64) -> Result<bool> {
        Ok(self.word_on_media(self.geo.bits_at(page))? & bit(page) == 0)
    }

    fn one_share_more(&self, page: u64) -> Result<u32> {
        self.shares(page)?.checked_add(1).ok_or(StoreError::Full { what: Resource::Count })
    }

    /// The first free page from `from` on, below `end` and in the pool.
    fn search(&self, from: u64, end: u64) -> Result<Option<u64>> {
        let end = end.min(self.geo.pages);
        // Most often it is the very next one.
        if from < end && self.is_free(from)? {
            return Ok(Some(from));
        }
        let mut buffer = [0; CHUNK];
        let mut page = from / 64 * 64;
        while page < end {
            let pages = CHUNK_PAGES - page % CHUNK_PAGES;
            let chunk = buffer.get_mut(..pages as usize / 8).unwrap_or(&mut []);
            self.media.read(self.geo.bits_at(page), chunk)?;
            for bytes in chunk.chunks_exact(8) {
                let word = bytes.try_into().map_or(u64::MAX, u64::from_le_bytes);
                if word != u64::MAX {
                    let mut free = !(word | self.word(self.geo.bits_at(page))?);
                    if page < from {
                        free &= u64::MAX.checked_shl((from - page) as u32).unwrap_or(0);
                    }
                    let found = page + free.trailing_zeros() as u64;
                    if free != 0 && found < end && self.geo.is_data(found) {
                        return Ok(Some(found));
                    }
                }
                page += 64;
            }
        }
        Ok(None)
    }

    /// Whether `page` can be taken: it was free before the open change, too.
    fn is_free(&self, page: u64) -> Result<bool> {
        let at = self.geo.bits_at(page);
        let used = self.word_on_media(at)? | self.word(at)?;
        Ok(used & bit(page) == 0 && self.geo.is_data(page))
    }

    /// How many pages in a row are free from `page` on, which is, short of `end`.
    fn free_from(&self, page: u64, end: u64) -> Result<u64> {
        let end = end.min(self.geo.pages);
        let mut next = page + 1;
        while next < end {
            let at = self.geo.bits_at(next);
            let used = (self.word_on_media(at)? | self.word(at)?) >> (next % 64);
            let free = (used.trailing_zeros() as u64).min(64 - next % 64);
            next += free;
            if free == 0 || next % 64 != 0 {
                break;
            }
        }
        Ok(next.min(end).max(page + 1) - page)
    }

    fn run_is_free(&self, page: u64) -> Result<bool> {
        let mut bits = [0xff; FANOUT as usize / 8];
        self.media.read(self.geo.bits_at(page), &mut bits)?;
        if !self.geo.is_data(page) || bits.iter().any(|&b| b != 0) {
            return Ok(false);
        }
        for word in 0..FANOUT / 64 {
            if self.word(self.geo.bits_at(page + word * 64))? != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, page: u64, count: u64) -> Result<()> {
        self.flip(page, count, true)?;
        let at = self.geo.group_at(page / GROUP_PAGES);
        let wrong = StoreError::Corrupt { what: "a count of free pages is too low", at };
        let left = self.word(at)?.checked_sub(count).ok_or(wrong)?;
        self.set_word(at, left)?;
        self.state.free_pages = self.state.free_pages.checked_sub(count).ok_or(wrong)?;
        Ok(())
    }

    fn give(&mut self, page: u64, count: u64) -> Result<()> {
        self.flip(page, count, false)?;
        let at = self.geo.group_at(page / GROUP_PAGES);
        let more = self.word(at)?.saturating_add(count);
        let all = self.geo.pages - self.geo.data_page;
        if more > GROUP_PAGES || self.state.free_pages.saturating_add(count) > all {
            return Err(StoreError::Corrupt { what: "a count of free pages is too high", at });
        }
        self.set_word(at, more)?;
        self.state.free_pages += count;
        Ok(())
    }

    /// Sets or clears the bits of pages in a row.
    fn flip(&mut self, page: u64, count: u64, used: bool) -> Result<()> {
        let (mut page, mut left) = (page, count);
        while left > 0 {
            let n = left.min(64 - page % 64);
            let (at, mask) = (self.geo.bits_at(page), u64::MAX >> (64 - n) << (page % 64));
            let old = self.word(at)?;
            let before = if used { 0 } else { mask };
            if old & mask != before || !self.geo.is_data(page) {
                let what = "a page is free and in use at once";
                return Err(StoreError::Corrupt { what, at });
            }
            self.set_word(at, old ^ mask)?;
            (page, left) = (page + n, left - n);
        }
        Ok(())
    }
}

const fn bit(page: u64) -> u64 {
    1 << (page % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::{format, FormatOptions},
        media::Memory,
        store::Mode,
    };

    #[test]
    fn a_page_is_not_handed_out_by_the_change_that_frees_it() {
        let mut bytes = vec![0; 200 * 4096];
        format(&mut Memory::new(&mut bytes), &FormatOptions::plain()).unwrap();
        let mut store = Store::open(Memory::new(&mut bytes), Mode::ReadWrite).unwrap();
        let free = store.state.free_pages;
        let pages: Vec<u64> = (0..free).map(|_| store.alloc_page().unwrap()).collect();
        store.commit().unwrap();
        assert_eq!(store.alloc_page(), Err(FULL));
        store.release_page(pages[3]).unwrap();
        assert_eq!(store.alloc_page(), Err(FULL), "it can still be replayed into");
        store.commit().unwrap();
        assert_eq!(store.alloc_page(), Ok(pages[3]));
        assert!(store.is_fresh(pages[3]).unwrap());
        store.abort();
        assert_eq!(store.state.free_pages, 1);
    }

    #[test]
    fn pages_in_a_row_end_where_one_is_in_use() {
        let mut bytes = vec![0; 400 * 4096];
        format(&mut Memory::new(&mut bytes), &FormatOptions::plain()).unwrap();
        let mut store = Store::open(Memory::new(&mut bytes), Mode::ReadWrite).unwrap();
        let (first, free) = (store.alloc_page().unwrap(), store.state.free_pages);
        let wall = store.alloc_some(100).unwrap();
        assert_eq!(wall, (first + 1, 100), "over the ends of words");
        let rest = store.alloc_some(u64::MAX).unwrap();
        assert_eq!(rest, (first + 101, free - 100));
        assert_eq!((store.state.free_pages, store.alloc_some(1)), (0, Err(FULL)));
        store.commit().unwrap();
        for page in [first + 3, first + 4, first + 60] {
            store.release_page(page).unwrap();
        }
        store.commit().unwrap();
        assert_eq!(store.alloc_some(9), Ok((first + 3, 2)));
        assert_eq!(store.alloc_some(9), Ok((first + 60, 1)));
        assert_eq!(store.alloc_some(9), Err(FULL));
    }
}
