// SPDX-License-Identifier: MIT OR Apache-2.0
//! A crash image, and the medium that recovery runs on: [`Image`].
//!
//! There is one buffer. Going from one image to the next changes the few words
//! in which they differ ([`Image::set`]); what recovery writes is noted, and
//! taken back after it was judged ([`Image::rewind`]). So neither costs more
//! than what it touches, however large the pool is.
//!
//! Each page has a hash: the sum of a hash of each word's place and value, less
//! that of the words the buffer began with. It is kept up to date word by word,
//! and says whether an image, or what recovery made of one, was there before.
//! The hash of a word is 64 bits of two rounds of a 128-bit product, keyed by
//! the run's seed; two different images of `n` have the same with a chance of
//! about `n^2 / 2^65`, one in a billion for 100,000.

use std::cell::Cell;

use twz_core::{Media, MediaError};
use zerocopy::IntoBytes as _;

use crate::trace::{Event, Site, each_word, words_of};

/// Words of a page.
const PAGE_WORDS: u32 = 512;

/// The buffer.
pub struct Image {
    words: Vec<u64>,
    key: u64,
    /// Hash of each page, relative to what the buffer began with.
    pages: Vec<u64>,
    /// The sum of `pages`.
    total: u64,
    /// What recovery wrote: the word, what it was, what it is.
    undo: Vec<(u32, u64, u64)>,
    /// What recovery does, if that is wanted.
    trace: Option<Vec<Event>>,
    /// Pages that nothing may read now.
    closed: Vec<bool>,
    guarded: bool,
    peeked: Cell<Option<u64>>,
}

impl Image {
    /// A buffer with these words.
    pub fn new(words: Vec<u64>, seed: u64) -> Self {
        let pages = words.len().div_ceil(PAGE_WORDS as usize);
        Self {
            words,
            key: seed | 1,
            pages: vec![0; pages],
            total: 0,
            undo: Vec::new(),
            trace: None,
            closed: vec![false; pages],
            guarded: false,
            peeked: Cell::new(None),
        }
    }

    /// What is there.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// One word.
    pub fn word(&self, word: u32) -> u64 {
        self.words[word as usize]
    }

    /// Makes a word of the image `value`.
    pub fn set(&mut self, word: u32, value: u64) {
        let old = std::mem::replace(&mut self.words[word as usize], value);
        if old != value {
            let change = mix(self.key, word, value).wrapping_sub(mix(self.key, word, old));
            let page = &mut self.pages[(word / PAGE_WORDS) as usize];
            *page = page.wrapping_add(change);
            self.total = self.total.wrapping_add(change);
        }
    }

    /// The image's hash; not for use before what recovery wrote is taken back.
    pub fn hash(&self) -> u64 {
        self.total
    }

    /// The hash of each page as recovery left it.
    pub fn hashes_after(&self, into: &mut Vec<u64>) {
        into.clear();
        into.extend_from_slice(&self.pages);
        for &(word, old, new) in &self.undo {
            let change = mix(self.key, word, new).wrapping_sub(mix(self.key, word, old));
            let page = &mut into[(word / PAGE_WORDS) as usize];
            *page = page.wrapping_add(change);
        }
    }

    /// Makes a word `value` until the next rewind.
    pub fn pretend(&mut self, word: u32, value: u64) {
        let old = std::mem::replace(&mut self.words[word as usize], value);
        self.undo.push((word, old, value));
    }

    /// Takes back what was written through the medium.
    pub fn rewind(&mut self) {
        while let Some((word, old, _)) = self.undo.pop() {
            self.words[word as usize] = old;
        }
    }

    /// From now on notes what is done through the medium.
    pub fn start_trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// What was done since [`Self::start_trace`].
    pub fn take_trace(&mut self) -> Vec<Event> {
        self.trace.take().unwrap_or_default()
    }

    /// From now on a read of these pages is noted.
    pub fn guard(&mut self, closed: impl Iterator<Item = bool>) {
        for (page, closed) in self.closed.iter_mut().zip(closed) {
            *page = closed;
        }
        self.guarded = true;
        self.peeked.set(None);
    }

    /// Ends the guard; returns where a closed page was read, if one was.
    pub fn unguard(&mut self) -> Option<u64> {
        self.guarded = false;
        self.peeked.take()
    }

    fn within(&self, at: u64, len: u64) -> Result<(), MediaError> {
        match at.checked_add(len).is_some_and(|end| end <= self.words.len() as u64 * 8) {
            true => Ok(()),
            false => Err(MediaError::Range { at, len }),
        }
    }

    fn write(&mut self, at: u64, from: &[u8], site: Site) {
        let Self { words, undo, trace, .. } = self;
        each_word(words, at, from, |word, value| {
            if let Some(trace) = trace {
                trace.push(Event::Store { word, value, site });
            }
            let old = words[word as usize];
            if old != value {
                undo.push((word, old, value));
            }
        });
        words.as_mut_bytes()[at as usize..][..from.len()].copy_from_slice(from);
    }

    fn flush(&mut self, at: u64, len: u64, site: Site) {
        if let Some(trace) = &mut self.trace {
            let (first, end) = words_of(at, len);
            trace.push(Event::Flush { first, end, site });
        }
    }
}

fn mix(key: u64, word: u32, value: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = a as u128 * b as u128;
        product as u64 ^ (product >> 64) as u64
    };
    let place = (word as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    fold(fold(value ^ key, place ^ 0xa076_1d64_78bd_642f) ^ place, key ^ 0xe703_7ed1_a0b4_28db)
}

/// An image as a medium. (A type of its own, so that the engine's lines are
/// seen: through `&mut Image` they would all be that of one line in twz-core.)
pub struct Through<'a>(pub &'a mut Image);

impl Media for Through<'_> {
    fn len(&self) -> u64 {
        self.0.words.len() as u64 * 8
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        let image = &*self.0;
        image.within(at, into.len() as u64)?;
        if image.guarded && image.closed[(at / 4096) as usize] {
            image.peeked.set(Some(at));
        }
        into.copy_from_slice(&image.words.as_bytes()[at as usize..][..into.len()]);
        Ok(())
    }

    #[track_caller]
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        self.0.within(at, from.len() as u64)?;
        self.0.write(at, from, Site::caller());
        Ok(())
    }

    #[track_caller]
    fn flush(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        self.0.within(at, len)?;
        self.0.flush(at, len, Site::caller());
        Ok(())
    }

    #[track_caller]
    fn fence(&mut self) -> Result<(), MediaError> {
        if let Some(trace) = &mut self.0.trace {
            trace.push(Event::Fence { site: Site::caller() });
        }
        Ok(())
    }

    #[track_caller]
    fn zero(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        self.0.within(at, len)?;
        let site = Site::caller();
        self.0.write(at, &vec![0; len as usize], site);
        self.0.flush(at, len, site);
        Ok(())
    }
}
