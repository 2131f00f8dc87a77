// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Several pages at once: `translate_many`, which goes down the map once for
//! all of them, and [`Extent`], which says what pages an object has.
//!
//! A fault brings its neighbours in as well. They are in the same node of the
//! map, so the record, the root and the node are checked once for all; the
//! words, and what says whether pages are shared, are read a line at a time.

use twz_abi::{
    record::{MapWord, DIRECT, FANOUT},
    ObjectRecord, PAGE, SLOT_PAGES,
};

use crate::{
    error::{Result, StoreError},
    journal::CHUNK,
    map::{place_of, Branch, Place, Translation, TAIL_PAGE},
    media::Media,
    store::Store,
    tail::pages_for,
};

/// How many pages are looked at or made at once, at most: their words are one
/// read, and one entry of the journal.
pub(crate) const SPAN: usize = CHUNK / 8;

/// Pages whose share counts are read at once.
const LINE: u64 = 16;

/// Which pages of its slot are an object's: page 1 up to `data_end_page`, and
/// `fot_first_page` up to the end of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first page after the data.
    pub data_end_page: u64,
    /// The first page of the FOT, at most the tail page.
    pub fot_first_page: u64,
}

/// What maps a page and its neighbours.
pub(crate) enum Under {
    /// The record itself.
    Record,
    /// Nothing: there is no leaf.
    Nothing,
    /// A leaf.
    Leaf(u64),
    /// A huge run, which begins at this pool page.
    Huge(u64),
}

/// The pages that one node maps, from a page on.
pub(crate) struct Span {
    pub(crate) under: Under,
    /// The node has another object's pages in it as well.
    pub(crate) shared: bool,
    /// How many pages it maps from the first one on.
    pub(crate) pages: u64,
}

/// Share counts, by the line.
struct Shares {
    first: u64,
    counts: [u8; LINE as usize * 4],
}

impl<M: Media> Store<M> {
    /// Which pages are the object's, as its tail page says it now. Programs can
    /// move where the FOT begins, so keep no more of this than the data's end.
    pub fn extent(&self, record: &ObjectRecord) -> Result<Extent> {
        Ok(Extent {
            data_end_page: data_end(record),
            fot_first_page: TAIL_PAGE - self.fot_pages(record)?.min(TAIL_PAGE),
        })
    }

    /// How many pages in a row are the object's from `page` on: data, or FOT
    /// with the tail page. 0 is a page that no fault may map. For a page of the
    /// data this reads nothing.
    pub fn pages_from(&self, record: &ObjectRecord, page: u64) -> Result<u64> {
        if page == 0 || page >= SLOT_PAGES {
            return Ok(0);
        }
        match data_end(record).checked_sub(page) {
            Some(left @ 1..) => return Ok(left),
            _ if page == TAIL_PAGE => return Ok(1),
            _ => {}
        }
        match page >= self.extent(record)?.fot_first_page {
            true => Ok(SLOT_PAGES - page),
            false => Ok(0),
        }
    }

    /// What is at the pages from `page` on, as [`Store::translate`] would say it
    /// of each; the record is one that [`Store::stat`] returned. Returns how many
    /// of `out` were filled, at least one: the pages that one node of the map has
    /// from `page` on, and 64 at most. Whether the pages are the object's is for
    /// [`Store::pages_from`] to say.
    pub fn translate_many(
        &self,
        record: &ObjectRecord,
        page: u64,
        out: &mut [Translation],
    ) -> Result<usize> {
        let span = self.span(record, page)?;
        self.translate_span(record, page, &span, out)
    }

    /// Goes down the map to the node that maps `page`.
    pub(crate) fn span(&self, record: &ObjectRecord, page: u64) -> Result<Span> {
        let outside = StoreError::Range { at: page.saturating_mul(PAGE), len: PAGE };
        let (i, j) = match place_of(page).ok_or(outside)? {
            Place::Direct(i) => {
                let pages = (DIRECT - i) as u64;
                return Ok(Span { under: Under::Record, shared: false, pages });
            }
            Place::Tail => return Ok(Span { under: Under::Record, shared: false, pages: 1 }),
            Place::Below(i, j) => (i, j),
        };
        let pages = (FANOUT - j).min(TAIL_PAGE - page);
        let Some(root) = self.root_of(record)? else {
            return Ok(Span { under: Under::Nothing, shared: false, pages });
        };
        let shared = self.shares(root)? != 0;
        Ok(match self.branch(root, i)? {
            Branch::Hole => Span { under: Under::Nothing, shared, pages },
            Branch::Huge(run) => Span { under: Under::Huge(run), shared, pages },
            Branch::Leaf(leaf) => {
                let shared = shared || self.shares(leaf)? != 0;
                Span { under: Under::Leaf(leaf), shared, pages }
            }
        })
    }

    /// Translates the first pages of a span, with no change open.
    pub(crate) fn translate_span(
        &self,
        record: &ObjectRecord,
        page: u64,
        span: &Span,
        out: &mut [Translation],
    ) -> Result<usize> {
        let count = out.len().min(SPAN).min(span.pages as usize);
        let out = out.get_mut(..count).unwrap_or(&mut []);
        match span.under {
            Under::Nothing => out.fill(Translation::Hole),
            Under::Huge(run) => {
                for (to, j) in out.iter_mut().zip(page % FANOUT..) {
                    let pool_page = run + j;
                    *to = Translation::Page { pool_page, shared: span.shared, huge: true };
                }
            }
            Under::Record | Under::Leaf(_) => {
                let mut words = [MapWord::HOLE; SPAN];
                let words = words.get_mut(..count).unwrap_or(&mut []);
                self.span_words(record, page, span, words)?;
                self.translate_words(words, page, span.shared, out)?;
            }
        }
        Ok(count)
    }

    /// The words of the first pages of a span, which are holes if it has none.
    pub(crate) fn span_words(
        &self,
        record: &ObjectRecord,
        page: u64,
        span: &Span,
        words: &mut [MapWord],
    ) -> Result<()> {
        match span.under {
            Under::Nothing | Under::Huge(_) => words.fill(MapWord::HOLE),
            Under::Leaf(leaf) => self.read_words(leaf * PAGE + page % FANOUT * 8, words)?,
            Under::Record => {
                for (to, place) in words.iter_mut().zip(page..) {
                    *to = match place_of(place) {
                        Some(Place::Tail) => record.tail,
                        Some(Place::Direct(i)) => record.direct.get(i).copied().unwrap_or_default(),
                        _ => MapWord::HOLE,
                    };
                }
            }
        }
        Ok(())
    }

    /// Reads consecutive words of a leaf from the medium.
    pub(crate) fn read_words(&self, at: u64, into: &mut [MapWord]) -> Result<()> {
        Ok(self.media.read(at, zerocopy::IntoBytes::as_mut_bytes(into))?)
    }

    /// Translates by these words, the first of which is that of `page`.
    fn translate_words(
        &self,
        words: &[MapWord],
        page: u64,
        node_shared: bool,
        out: &mut [Translation],
    ) -> Result<()> {
        // No page of the pool has this number.
        let mut shares = Shares { first: u64::MAX, counts: [0; LINE as usize * 4] };
        for ((to, &word), place) in out.iter_mut().zip(words).zip(page..) {
            *to = match self.data_word(word, place)? {
                None => Translation::Hole,
                Some(pool_page) => {
                    let shared = node_shared || self.is_shared(&mut shares, pool_page)?;
                    Translation::Page { pool_page, shared, huge: false }
                }
            };
        }
        Ok(())
    }

    /// Whether a page of the pool is shared, on the medium.
    fn is_shared(&self, shares: &mut Shares, page: u64) -> Result<bool> {
        let (first, i) = (page / LINE * LINE, (page % LINE) as usize * 4);
        if shares.first != first {
            self.media.read(self.geo.refs_at(first), &mut shares.counts)?;
            shares.first = first;
        }
        Ok(shares.counts.get(i..i + 4).is_some_and(|count| count != [0; 4]))
    }
}

/// The first page after an object's data.
pub(crate) fn data_end(record: &ObjectRecord) -> u64 {
    1 + pages_for(record.size)
}

// A line of share counts is a line of the table, however many pages there are.
const _: () = assert!(PAGE % (LINE * 4) == 0);
