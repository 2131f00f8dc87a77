// SPDX-License-Identifier: MIT OR Apache-2.0
//! The places that the entries of a log are about: finding the objects they lie
//! in, sending what was stored there on its way, and storing it again.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use twz_abi::{
    ObjectId, Rights,
    log::{Entry, GUARD_MOVING, Kind, PLACES, RECORD_WORDS, place_of},
};

use super::{commit::killable, log::Log, range::each_word};
use crate::{
    error::{Error, Result},
    raw::{
        persist::{LINE, Method},
        translate::Translation,
        words::store_bytes,
    },
    slots::Hold,
    space::Core,
};

/// An object that names the log, mapped.
#[derive(Clone, Copy)]
struct Home {
    id: ObjectId,
    slot: u32,
    own: Translation,
}

/// The objects of a log's table, as far as they were asked for.
pub(super) struct Homes<'a> {
    core: &'a Core,
    log: &'a Log,
    /// By place; `None` where it was not asked for yet.
    known: Vec<Option<Option<Home>>>,
    /// Lines that were flushed, by a hash: once each is enough, and to flush one
    /// again takes as long as to fetch it.
    flushed: Lines,
    last: Option<(u32, Home)>,
}

/// Lines that are kept in mind.
const LINES: usize = 1 << 12;

#[derive(Default)]
struct Lines(Vec<usize>);

impl Lines {
    /// Whether a line was not met before, as far as that is known.
    #[inline]
    fn first_time(&mut self, line: usize) -> bool {
        if self.0.is_empty() {
            self.0.resize(LINES, 0);
        }
        match self.0.get_mut((line / LINE).wrapping_mul(0x9e37_79b1) >> 7 & (LINES - 1)) {
            Some(known) => std::mem::replace(known, line) != line,
            None => true,
        }
    }
}

impl Drop for Homes<'_> {
    fn drop(&mut self) {
        for home in self.known.iter().flatten().flatten() {
            self.core.unpin(home.slot);
        }
    }
}

impl<'a> Homes<'a> {
    pub fn new(core: &'a Core, log: &'a Log) -> Self {
        Self {
            core,
            log,
            known: vec![None; PLACES as usize],
            flushed: Lines::default(),
            last: None,
        }
    }

    /// The object at a place of the table, if there is one that says so too.
    fn home(&mut self, place: u32) -> Result<Option<Home>> {
        if let Some(Some(known)) = self.known.get(place as usize) {
            return Ok(*known);
        }
        let found = self.look_up(place)?;
        if let Some(known) = self.known.get_mut(place as usize) {
            *known = Some(found);
        }
        Ok(found)
    }

    fn look_up(&self, place: u32) -> Result<Option<Home>> {
        let id = self.log.object(self.core, place)?;
        if !id.is_valid() {
            return Ok(None);
        }
        let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
        let slot = match self.core.slot_for(id, rights, Hold::Pin) {
            Err(Error::NoObject(_)) => return Ok(None),
            other => other?,
        };
        match self.names_this(slot, place) {
            Ok(true) => Ok(Some(Home { id, slot, own: self.core.refresh(slot)? })),
            other => {
                self.core.unpin(slot);
                other.map(|_| None)
            }
        }
    }

    /// Whether the object in a slot names this log and place, so that entries
    /// about it count.
    fn names_this(&self, slot: u32, place: u32) -> Result<bool> {
        let [_, lo, hi, word] = self.core.lock_words(slot)? else { return Ok(false) };
        let log = ObjectId { lo: lo.load(Ordering::Acquire), hi: hi.load(Ordering::Acquire) };
        let generation = self.log.generation(self.core)? & 0x3f_ffff;
        Ok(log == self.log.id
            && place_of(log, word.load(Ordering::Acquire)) == Some((place, generation)))
    }

    /// The home word of an entry's offset.
    fn word(&mut self, place: u32, offset: u64) -> Result<Option<&'a AtomicU64>> {
        let Some(home) = self.home(place)? else { return Ok(None) };
        if !home.own.writable() {
            return Err(Error::denied(home.id, Rights::WRITE));
        }
        // What lay past an end that was drawn in since is gone.
        Ok(self.core.arena().word(home.own, home.slot, offset).ok())
    }

    /// Visits the entries of a record: where each begins, and what it is.
    fn entries(
        words: &[AtomicU64],
        mut visit: impl FnMut(Entry, &[AtomicU64]) -> Result<()>,
    ) -> Result<()> {
        let mut at = RECORD_WORDS as usize;
        while let Some(entry) =
            words.get(at).and_then(|word| Entry::unpack(word.load(Ordering::Acquire)))
        {
            let end = at + 1 + entry.words() as usize;
            let Some(body) = words.get(at + 1..end) else { break };
            visit(entry, body)?;
            at = end;
        }
        Ok(())
    }

    /// Flushes what a record has stored, to all objects or to one.
    pub fn flush(&mut self, words: &[AtomicU64], only: Option<u32>) -> Result<()> {
        let method = self.core.method();
        Self::entries(words, |entry, _| {
            if entry.kind == Kind::Undo || only.is_some_and(|only| only != entry.object) {
                return Ok(());
            }
            let home = match self.last {
                Some((place, home)) if place == entry.object => home,
                _ => {
                    let Some(home) = self.home(entry.object)? else { return Ok(()) };
                    self.last.insert((entry.object, home)).1
                }
            };
            if method == Method::Msync {
                return Ok(());
            }
            let len = if entry.kind == Kind::Words { entry.len as usize } else { 8 };
            let start = home.own.base() + entry.offset as usize;
            let mut line = start & !(LINE - 1);
            while line < start + len {
                // What lay past an end that was drawn in since is gone.
                let inside = |line: usize| {
                    let at = line.max(start) - home.own.base();
                    self.core.arena().word(home.own, home.slot, at as u64).is_ok()
                };
                if self.flushed.first_time(line) && inside(line) {
                    method.flush(line, LINE)?;
                }
                line += LINE;
            }
            Ok(())
        })
    }

    /// After all were flushed: pages go back an object at a time.
    pub fn finish(&mut self) -> Result<()> {
        if self.core.method() == Method::Msync {
            for home in self.known.iter().flatten().flatten() {
                self.core.backend().sync(home.id)?;
            }
        }
        Ok(())
    }

    /// Does what a committed record says. Doing it twice does no harm.
    pub fn replay(&mut self, words: &[AtomicU64]) -> Result<()> {
        Self::entries(words, |entry, _| {
            if entry.kind == Kind::Guard
                && let Some(home) = self.word(entry.object, entry.offset)?
            {
                killable();
                home.fetch_or(GUARD_MOVING, Ordering::AcqRel);
            }
            Ok(())
        })?;
        fence(Ordering::SeqCst);
        Self::entries(words, |entry, body| {
            if matches!(entry.kind, Kind::Undo | Kind::Guard) {
                return Ok(());
            }
            for (i, value) in (0..).zip(body) {
                let Some(home) = self.word(entry.object, entry.offset + 8 * i)? else { continue };
                let value = value.load(Ordering::Relaxed);
                killable();
                match entry.kind {
                    Kind::Set => drop(home.fetch_or(value, Ordering::SeqCst)),
                    Kind::Clear => drop(home.fetch_and(!value, Ordering::SeqCst)),
                    Kind::Bytes => store_bytes(home, value, entry.len as u8),
                    // The last word may not be meant as a whole.
                    _ => match (entry.len as u64).saturating_sub(8 * i) {
                        left @ 1..8 => store_bytes(home, value, 0xff >> (8 - left)),
                        _ => home.store(value, Ordering::Relaxed),
                    },
                }
            }
            Ok(())
        })?;
        Self::entries(words, |entry, body| {
            if entry.kind == Kind::Guard
                && let (Some(home), [value]) = (self.word(entry.object, entry.offset)?, body)
            {
                killable();
                home.store(value.load(Ordering::Relaxed), Ordering::Release);
            }
            Ok(())
        })
    }

    /// Puts bytes of an undo entry back, and flushes them.
    pub fn put_back(&mut self, entry: Entry, bytes: &[AtomicU64]) -> Result<()> {
        let mut values = bytes.iter();
        each_word(entry.offset, entry.len as u64, |offset, mask| {
            let (Some(value), Some(home)) = (values.next(), self.word(entry.object, offset)?)
            else {
                return Ok(());
            };
            killable();
            store_bytes(home, value.load(Ordering::Relaxed), mask);
            if self.core.method() != Method::Msync {
                self.core.method().flush((&raw const *home) as usize, 8)?;
            }
            Ok(())
        })
    }
}
