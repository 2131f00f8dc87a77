// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What a fault asks for when a translation is not enough: `touch` makes pages
//! be there, zeroed if they are new, and copied if they are shared and are to be
//! written.
//!
//! Pages that are touched together are one transaction: they are taken in a row
//! where the pool has them in a row, zeroed and flushed in one go, and linked by
//! one entry of the journal. Two fences serve all of them.

use twz_abi::{
    meta,
    record::{MapWord, FANOUT},
    ObjectRecord, PAGE,
};
use zerocopy::IntoBytes as _;

use crate::{
    error::{Resource, Result, StoreError},
    map::{place_of, Place, Translation, TAIL_PAGE},
    media::Media,
    span::{Span, Under, SPAN},
    store::{RecordNo, Store},
    tail::pages_for,
};

/// Shared pages that are copied in one step: each has a count of its own.
const COPIES: usize = 16;

/// What a touch has to do to a page.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    Nothing,
    Zeros,
    Copy,
}

impl Need {
    fn of(found: &Translation, write: bool) -> Self {
        match found {
            Translation::Hole => Self::Zeros,
            Translation::Page { shared: true, .. } if write => Self::Copy,
            Translation::Page { .. } => Self::Nothing,
        }
    }
}

impl<M: Media> Store<M> {
    /// Makes a page of the object's slot be there, zeroed if it is new, and if
    /// it is to be written, be this object's alone. A directory's pages are
    /// only looked at.
    pub fn touch(&mut self, r: RecordNo, page: u64, write: bool) -> Result<Translation> {
        let mut out = [Translation::Hole];
        self.touch_into(r, page, write, &mut out)?;
        let [found] = out;
        Ok(found)
    }

    /// As [`Store::touch`] for up to `count` pages from `page` on, in one
    /// transaction. Returns how many of them are there now: at least one, and no
    /// more than the object has there, or one node of the map, or 64; fewer, if
    /// the pool is full behind them. A directory's holes stay: 0 if it begins
    /// with one.
    pub fn touch_many(&mut self, r: RecordNo, page: u64, count: u64, write: bool) -> Result<usize> {
        let mut out = [Translation::Hole; SPAN];
        let count = count.clamp(1, SPAN as u64) as usize;
        self.touch_into(r, page, write, out.get_mut(..count).unwrap_or(&mut []))
    }

    /// As [`Store::touch_many`] for as many pages as `out` has places, which say
    /// afterwards where they are. Those past the number returned say nothing.
    pub fn touch_into(
        &mut self,
        r: RecordNo,
        page: u64,
        write: bool,
        out: &mut [Translation],
    ) -> Result<usize> {
        let record = match write {
            true => self.mutable(r)?,
            false => self.held(r)?,
        };
        let inside = self.pages_from(&record, page)?;
        let span = self.span(&record, page)?;
        let count = self.translate_span(&record, page, &span, out)?;
        let count = count.min(inside.max(1) as usize);
        let out = out.get_mut(..count).unwrap_or(&mut []);
        let ready = out.iter().take_while(|t| Need::of(t, write) == Need::Nothing).count();
        if ready == count || (record.kind == meta::kind::NAMES && !write) {
            return Ok(ready);
        }
        if inside == 0 {
            return Err(StoreError::Range { at: page.saturating_mul(PAGE), len: 1 });
        }
        let result = match span.shared {
            true => self.transact(|s| s.touch_unshared(r, page, write, out)),
            false => self.transact(|s| s.touch_span(r, record, &span, page, write, out)),
        };
        match result {
            Err(StoreError::Full { what: Resource::Pages }) if ready > 0 => Ok(ready),
            other => other,
        }
    }

    /// As [`Store::touch`] for writing, but makes the 2 MiB around `page` a huge
    /// run if nothing is there yet and the pool has one.
    pub fn touch_huge(&mut self, r: RecordNo, page: u64) -> Result<Translation> {
        let record = self.mutable(r)?;
        let first = page / FANOUT * FANOUT;
        self.in_object(&record, page.saturating_mul(PAGE), 1, twz_abi::SLOT)?;
        if first + FANOUT <= pages_for(record.size) + 1 {
            self.transact(|s| s.store_run(r, first, None))?;
        }
        self.touch(r, page, true)
    }

    /// Touches pages below nodes that are shared: which become the object's own.
    fn touch_unshared(
        &mut self,
        r: RecordNo,
        page: u64,
        write: bool,
        out: &mut [Translation],
    ) -> Result<usize> {
        self.own_nodes(r, page)?;
        let record = self.record(r)?;
        let span = self.span(&record, page)?;
        self.translate_span(&record, page, &span, out)?;
        self.touch_span(r, record, &span, page, write, out)
    }

    /// Makes what `out` says is missing, in the open change, which has nothing
    /// in it yet. The nodes are the object's own.
    fn touch_span(
        &mut self,
        r: RecordNo,
        record: ObjectRecord,
        span: &Span,
        page: u64,
        write: bool,
        out: &mut [Translation],
    ) -> Result<usize> {
        let made = match (&span.under, place_of(page)) {
            (Under::Nothing, Some(Place::Below(i, _))) => Some(self.make_leaf(r, i)?),
            _ => None,
        };
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.touch_some(&record, page + done as u64, write, rest) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(StoreError::Full { what: Resource::Pages }) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let out = out.get(..done).unwrap_or(&[]);
        match (&span.under, made) {
            (Under::Record, _) => self.link_direct(r, record, page, out)?,
            (Under::Leaf(leaf), _) => self.link_below(*leaf, false, page, out)?,
            (Under::Nothing, Some(leaf)) => self.link_below(leaf, true, page, out)?,
            _ => {}
        }
        Ok(done)
    }

    /// Does one step: the first of `out`, and those after it that need the same.
    /// Returns how many that were; 0 if this change can take no more.
    fn touch_some(
        &mut self,
        record: &ObjectRecord,
        page: u64,
        write: bool,
        out: &mut [Translation],
    ) -> Result<usize> {
        let Some(need) = out.first().map(|first| Need::of(first, write)) else { return Ok(0) };
        let alike = out.iter().take_while(|t| Need::of(t, write) == need).count();
        if need == Need::Nothing {
            return Ok(alike);
        }
        if !self.room() {
            return Ok(0);
        }
        let most = if need == Need::Copy { alike.min(COPIES) } else { alike };
        let (first, count) = self.alloc_some(most as u64)?;
        match need {
            Need::Zeros if page == TAIL_PAGE => self.write_new_tail(record, first)?,
            Need::Zeros => self.zero_fresh(first, count)?,
            _ => {}
        }
        for (to, pool_page) in out.iter_mut().zip(first..first + count) {
            if let Translation::Page { pool_page: old, .. } = *to {
                self.copy_page(old, pool_page)?;
                self.release_page(old)?;
            }
            *to = Translation::Page { pool_page, shared: false, huge: false };
        }
        Ok(count as usize)
    }

    /// Maps pages by the record, in the open change.
    fn link_direct(
        &mut self,
        r: RecordNo,
        mut record: ObjectRecord,
        page: u64,
        pages: &[Translation],
    ) -> Result<()> {
        for (found, place) in pages.iter().zip(page..) {
            let Translation::Page { pool_page, .. } = *found else { continue };
            let word = MapWord::new(pool_page, 0, place);
            match place_of(place) {
                Some(Place::Tail) => record.tail = word,
                Some(Place::Direct(i)) => {
                    if let Some(slot) = record.direct.get_mut(i) {
                        *slot = word;
                    }
                }
                _ => {}
            }
        }
        self.put_record(r, &record)
    }

    /// Maps pages by a leaf, in the open change, all of them at once.
    fn link_below(
        &mut self,
        leaf: u64,
        fresh: bool,
        page: u64,
        pages: &[Translation],
    ) -> Result<()> {
        let mut words = [MapWord::HOLE; SPAN];
        for ((word, found), place) in words.iter_mut().zip(pages).zip(page..) {
            if let Translation::Page { pool_page, .. } = *found {
                *word = MapWord::new(pool_page, 0, place);
            }
        }
        let at = leaf * PAGE + page % FANOUT * 8;
        let words = words.get(..pages.len()).unwrap_or(&[]);
        match words {
            _ if fresh => self.write_fresh(at, words.as_bytes()),
            // It need not be read back from the journal.
            [word] => self.set_word(at, word.0),
            _ => self.set_bytes(at, words.as_bytes()),
        }
    }
}
