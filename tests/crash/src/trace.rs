// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run as the medium sees it: [`Event`]s, and [`Recorder`], the medium that
//! writes them down.
//!
//! Every store is written down as the aligned 8-byte words that it changes, in
//! ascending order of address; every flush and fence with the line of the
//! engine that asked for it ([`Site`]), so that one can be taken out later.
//! Nothing an engine does depends on flushes and fences: a trace without some
//! of them is the trace of an engine without them.

use std::{fmt, panic::Location};

use twz_core::{Media, MediaError};
use zerocopy::IntoBytes as _;

/// A line of the engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(pub &'static Location<'static>);

impl Site {
    /// Who calls.
    #[track_caller]
    pub fn caller() -> Self {
        Self(Location::caller())
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0.file();
        let short = file.find("kmod/").or(file.find("libtwz/")).or(file.find("tests/"));
        write!(f, "{}:{}", &file[short.unwrap_or(0)..], self.0.line())
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What happens to a medium.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The 8 bytes at `8 * word` become `value`.
    Store {
        /// Which word.
        word: u32,
        /// What it is now.
        value: u64,
        /// Who stored it.
        site: Site,
    },
    /// Words from `first` on, short of `end`, are on their way.
    Flush {
        /// The first of them.
        first: u32,
        /// The one after the last.
        end: u32,
        /// Who asked for it.
        site: Site,
    },
    /// What was flushed before is durable.
    Fence {
        /// Who asked for it.
        site: Site,
    },
    /// An operation has returned.
    Done,
}

/// The words that `len` bytes at `at` are in.
pub fn words_of(at: u64, len: u64) -> (u32, u32) {
    ((at / 8) as u32, (at + len).div_ceil(8) as u32)
}

/// Calls `each` with every aligned word that writing `from` at `at` gives a
/// value, and that value.
pub fn each_word(words: &[u64], at: u64, from: &[u8], mut each: impl FnMut(u32, u64)) {
    let (mut at, mut from) = (at as usize, from);
    while !from.is_empty() {
        let (word, within) = (at / 8, at % 8);
        let n = from.len().min(8 - within);
        let (now, later) = from.split_at(n);
        let value = match n {
            8 => u64::from_le_bytes(now.try_into().unwrap()),
            _ => {
                let mut bytes = words[word].to_le_bytes();
                bytes[within..within + n].copy_from_slice(now);
                u64::from_le_bytes(bytes)
            }
        };
        each(word as u32, value);
        (at, from) = (at + n, later);
    }
}

/// A medium that writes down what happens to it.
#[derive(Clone)]
pub struct Recorder {
    words: Vec<u64>,
    /// What has happened.
    pub events: Vec<Event>,
}

impl Recorder {
    /// A medium of these words.
    pub fn new(words: Vec<u64>) -> Self {
        Self { words, events: Vec::new() }
    }

    /// What is on it now.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// An operation has returned.
    pub fn done(&mut self) {
        self.events.push(Event::Done);
    }

    fn store(&mut self, at: u64, from: &[u8], site: Site) {
        let Self { words, events } = self;
        each_word(words, at, from, |word, value| events.push(Event::Store { word, value, site }));
        words.as_mut_bytes()[at as usize..][..from.len()].copy_from_slice(from);
    }

    fn flushed(&mut self, at: u64, len: u64, site: Site) {
        let (first, end) = words_of(at, len);
        self.events.push(Event::Flush { first, end, site });
    }

    fn within(&self, at: u64, len: u64) -> Result<(), MediaError> {
        match at.checked_add(len).is_some_and(|end| end <= self.len()) {
            true => Ok(()),
            false => Err(MediaError::Range { at, len }),
        }
    }
}

impl Media for Recorder {
    fn len(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        self.within(at, into.len() as u64)?;
        into.copy_from_slice(&self.words.as_bytes()[at as usize..][..into.len()]);
        Ok(())
    }

    #[track_caller]
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        self.within(at, from.len() as u64)?;
        self.store(at, from, Site::caller());
        Ok(())
    }

    #[track_caller]
    fn flush(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        self.within(at, len)?;
        self.flushed(at, len, Site::caller());
        Ok(())
    }

    #[track_caller]
    fn fence(&mut self) -> Result<(), MediaError> {
        self.events.push(Event::Fence { site: Site::caller() });
        Ok(())
    }

    #[track_caller]
    fn zero(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        self.within(at, len)?;
        let site = Site::caller();
        self.store(at, &vec![0; len as usize], site);
        self.flushed(at, len, site);
        Ok(())
    }

    #[track_caller]
    fn compare_exchange(&mut self, at: u64, old: u64, new: u64) -> Result<u64, MediaError> {
        self.within(at, 8)?;
        let found = self.words[at as usize / 8];
        if found == old {
            self.store(at, &new.to_le_bytes(), Site::caller());
        }
        Ok(found)
    }
}
