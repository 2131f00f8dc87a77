// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What is done to a range of an object's pages, a bounded part of it at a time:
//! finding what is there, making it durable, and making holes of it.

use twz_abi::{
    record::{MapWord, FANOUT},
    ObjectRecord, PAGE, SLOT_PAGES,
};

use crate::{
    error::Result,
    media::Media,
    release::Budget,
    span::{data_end, Under, SPAN},
    store::{Mode, RecordNo, Store},
};

/// Pages that follow each other both in an object's slot and in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first page of the slot.
    pub page: u64,
    /// The page of the pool that it is.
    pub pool_page: u64,
    /// How many they are.
    pub count: u64,
}

impl<M: Media> Store<M> {
    /// The first pages that are there from slot page `page` on and before `end`:
    /// data, FOT and tail page alike. More may follow them without a hole.
    pub fn next_run(&self, record: &ObjectRecord, page: u64, end: u64) -> Result<Option<Run>> {
        let (mut page, end) = (page.max(1), end.min(SLOT_PAGES));
        while page < end {
            let span = self.span(record, page)?;
            let count = span.pages.min(end - page);
            match span.under {
                Under::Nothing => page += count,
                Under::Huge(run) => {
                    let pool_page = run + page % FANOUT;
                    return Ok(Some(Run { page, pool_page, count }));
                }
                Under::Record | Under::Leaf(_) => {
                    let count = count.min(SPAN as u64);
                    let mut words = [MapWord::HOLE; SPAN];
                    let words = words.get_mut(..count as usize).unwrap_or(&mut []);
                    self.span_words(record, page, &span, words)?;
                    if let Some(run) = self.run_of(words, page)? {
                        return Ok(Some(run));
                    }
                    page += count;
                }
            }
        }
        Ok(None)
    }

    /// The first page of an object's data that is no hole, from `page` on.
    pub fn next_data(&self, record: &ObjectRecord, page: u64) -> Result<Option<u64>> {
        Ok(self.next_run(record, page, data_end(record))?.map(|run| run.page))
    }

    /// The first page from `page` on that is a hole, or is past the data.
    pub fn next_hole(&self, record: &ObjectRecord, page: u64) -> Result<u64> {
        let (mut page, end) = (page.max(1), data_end(record));
        while let Some(run) = self.next_run(record, page, end)? {
            if run.page != page {
                break;
            }
            page += run.count;
        }
        Ok(page)
    }

    /// Makes durable what programs stored through mappings of slot pages `from`
    /// to `to`, data, FOT and tail page alike: about `limit` pages of it. Returns
    /// the page to go on at, `to` when all is done; what is before it is durable.
    pub fn flush_data(&mut self, r: RecordNo, from: u64, to: u64, limit: u64) -> Result<u64> {
        let record = self.held(r)?;
        if self.mode == Mode::ReadOnly {
            return Ok(to);
        }
        self.writable()?;
        let (mut page, mut left) = (from, limit.max(1));
        while page < to && left > 0 {
            let Some(run) = self.next_run(&record, page, to)? else {
                page = to;
                break;
            };
            let count = run.count.min(left);
            self.media.flush(run.pool_page * PAGE, count * PAGE)?;
            page = run.page + count;
            left -= count;
        }
        self.sync()?;
        Ok(page.min(to))
    }

    /// Makes holes of slot pages `from` to `to`, as far as they are data, and
    /// gives back `budget` pages of them or so. Returns the page to go on at,
    /// `to` when all is done. Nothing may have the pages mapped. A power cut
    /// leaves holes at some of them. The end of the last page of data that is
    /// past their size is data here; a page that is wanted in part is the
    /// caller's to write zeros to. It takes pages if nodes of the map are shared.
    pub fn punch(&mut self, r: RecordNo, from: u64, to: u64, budget: u64) -> Result<u64> {
        let record = self.mutable(r)?;
        let (first, end) = (from.max(1), to.min(data_end(&record)));
        let Some(last) = end.checked_sub(1).filter(|&last| first <= last) else {
            return Ok(to);
        };
        let next = self.transact(|s| {
            s.own_edges(r, first, last)?;
            s.commit()?;
            s.trim(r, first, last, &mut Budget::of(budget))
        })?;
        Ok(if next <= last { next } else { to })
    }

    /// The first pages in a row that these words map, the first of which is that
    /// of `page`.
    fn run_of(&self, words: &[MapWord], page: u64) -> Result<Option<Run>> {
        let mut found: Option<Run> = None;
        for (&word, page) in words.iter().zip(page..) {
            let here = self.data_word(word, page)?;
            match (found.as_mut(), here) {
                (None, None) => {}
                (None, Some(pool_page)) => found = Some(Run { page, pool_page, count: 1 }),
                (Some(run), Some(next)) if next == run.pool_page + run.count => run.count += 1,
                (Some(_), _) => break,
            }
        }
        Ok(found)
    }
}
