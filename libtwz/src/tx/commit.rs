// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written to the log, and in which order: recording, committing and
//! aborting. FORMAT.md, section "Log", has the rules; `DURABILITY.md` counts
//! the fences.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use twz_abi::log::{
    Entry, GUARD_MOVING, Kind, MOST_WORDS, RECORD_ALIGN, RECORD_WORDS, stored_mark,
};

use super::{
    log::{MOST_ROOM, head, record_check, undo_check},
    range::{InPlace, Range, each_word},
    session::{Recorded, Session},
    shadow::key_of,
};
use crate::{
    error::{Error, Result},
    raw::words::store_bytes,
    space::Core,
};

/// What was changed in place is copied into the record up to so many bytes:
/// that takes less time than the fence it saves.
const COPIED: u64 = 2048;

/// Where a test kills who commits: before everything it stores.
#[cfg(test)]
pub(super) use super::tests::killable;
#[cfg(not(test))]
#[inline(always)]
pub(super) fn killable() {}

const TOO_LARGE: Error = Error::Unsupported("a transaction changes at most 128 MiB, log included");

/// Puts words into a record, one after the other.
struct Pen<'a> {
    words: &'a [AtomicU64],
    at: usize,
}

impl Pen<'_> {
    #[inline(always)]
    fn put(&mut self, word: u64) -> Result<()> {
        // `make_room` has counted; a mistake there is no write elsewhere.
        self.words.get(self.at).ok_or(TOO_LARGE)?.store(word, Ordering::Relaxed);
        self.at += 1;
        Ok(())
    }
}

impl Session {
    /// Sees to it that the record has room for `more` words after what it has.
    fn make_room(&mut self, core: &Core, more: u64) -> Result<()> {
        let end = self.position + self.used + more;
        if end * 8 <= self.log.room() {
            return Ok(());
        }
        self.make_room_slow(core, more)
    }

    #[cold]
    fn make_room_slow(&mut self, core: &Core, more: u64) -> Result<()> {
        if self.used + more > MOST_WORDS || (self.used + more) * 8 > MOST_ROOM {
            return Err(TOO_LARGE);
        }
        if self.used == RECORD_WORDS && self.position != 0 {
            self.start_over(core)?;
        }
        let end = (self.position + self.used + more) * 8;
        if end > self.log.room() { self.log.grow(core, end) } else { Ok(()) }
    }

    /// Makes everything that was committed durable in place, so that the log can
    /// be written from its start again.
    fn start_over(&mut self, core: &Core) -> Result<()> {
        if core.durable() {
            core.flush_homes(&self.log, self.position, None)?;
            core.fence();
            let head = self.log.head(core)?;
            head[head::FLOOR].store(self.sequence, Ordering::Relaxed);
            self.log.flush(core, twz_abi::DATA_START, 64)?;
        }
        self.position = 0;
        self.log.head(core)?[head::POSITION].store(0, Ordering::Release);
        Ok(())
    }

    /// Makes the table empty. No object names this log any more afterwards.
    pub(super) fn empty_table(&mut self, core: &Core) -> Result<()> {
        self.start_over(core)?;
        let head = self.log.head(core)?;
        self.generation = self.generation.wrapping_add(1);
        self.places = 0;
        head[head::TABLE].store((self.generation as u64) << 32, Ordering::Release);
        self.log.records(core)?[1].store(0, Ordering::Relaxed);
        self.hints.clear();
        if core.durable() {
            self.log.flush(core, twz_abi::DATA_START, 64)?;
            self.log.flush_words(core, 0, 2)?;
            core.fence();
        }
        Ok(())
    }

    /// Records a range, so that it can be changed in place.
    pub fn record(&mut self, core: &Core, range: Range) -> Result<()> {
        self.record_all(core, &[range])
    }

    /// Records ranges, with one fence for all of them.
    pub fn record_all(&mut self, core: &Core, ranges: &[Range]) -> Result<()> {
        let from = self.used;
        for &range in ranges {
            if range.len == 0 || self.in_place(range) == InPlace::Yes {
                continue;
            }
            self.check_range(core, range)?;
            self.take_part(core, range.object)?;
            let (mut at, mut left) = (range.offset, range.len);
            while left != 0 {
                let len = left.min(Entry::MOST);
                self.note_undo(core, Range { offset: at, len, ..range })?;
                (at, left) = (at + len, left - len);
            }
        }
        if self.used == from {
            return Ok(());
        }
        if core.durable() {
            // The head of the record, too, the first time.
            let start = if from == RECORD_WORDS { 0 } else { from };
            self.log.flush_words(core, self.position + start, self.used - start)?;
            core.fence();
        }
        for &range in ranges {
            self.take_back_writes(core, range)?;
        }
        Ok(())
    }

    /// What was to be written to a range at the commit is stored in place now.
    fn take_back_writes(&mut self, core: &Core, range: Range) -> Result<()> {
        if range.len == 0 || self.shadow.words().is_empty() {
            return Ok(());
        }
        each_word(range.offset, range.len, |offset, mask| {
            let key = key_of(range.object, offset);
            let Some(word) = self.shadow.find(key).filter(|word| word.mask & mask != 0) else {
                return Ok(());
            };
            store_bytes(self.word(core, range.object, offset)?, word.value, word.mask & mask);
            let rest = word.mask & !mask;
            self.shadow.forget(key);
            if rest != 0 {
                self.shadow.write(key, word.value, rest, word.guard);
            }
            Ok(())
        })
    }

    fn note_undo(&mut self, core: &Core, range: Range) -> Result<()> {
        let object = self.object(range.object)?.place.unwrap_or_default();
        let entry = Entry { kind: Kind::Undo, object, len: range.len as u32, offset: range.offset };
        self.make_room(core, 1 + entry.words())?;
        let at = self.position + self.used;
        let records = self.log.records(core)?;
        if self.used == RECORD_WORDS {
            let head = self.log.head(core)?;
            killable();
            records[self.position as usize + 1].store(self.sequence << 24, Ordering::Relaxed);
            killable();
            head[head::STATE].store(self.sequence << 1 | 1, Ordering::Release);
        }
        let mut pen = Pen { words: records, at: at as usize };
        killable();
        pen.put(entry.pack())?;
        let check = pen.at;
        pen.at += 1;
        each_word(range.offset, range.len, |offset, _| {
            let value = self.word(core, range.object, offset)?.load(Ordering::Acquire);
            pen.put(value)
        })?;
        let vouch = if core.durable() {
            let bytes = records.get(check + 1..pen.at).unwrap_or_default();
            undo_check(self.log.id, self.generation, self.sequence, at, entry.pack(), bytes)
        } else {
            stored_mark(self.sequence, at)
        };
        killable();
        records[check].store(vouch, Ordering::Release);
        self.used += 1 + entry.words();
        self.recorded.push(Recorded { range, at });
        Ok(())
    }

    /// Puts a recorded range back as it was.
    pub fn put_back(&mut self, core: &Core, recorded: Recorded) -> Result<()> {
        let Recorded { range, at } = recorded;
        let records = self.log.records(core)?;
        let mut from = at as usize + 2;
        each_word(range.offset, range.len, |offset, mask| {
            let value = records.get(from).ok_or(TOO_LARGE)?.load(Ordering::Relaxed);
            from += 1;
            killable();
            store_bytes(self.word(core, range.object, offset)?, value, mask);
            Ok(())
        })
    }

    /// Makes everything that the transaction does happen, as one.
    #[inline]
    pub fn commit(&mut self, core: &Core) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let durable = core.durable();
        let words = match self.write_record(core, durable) {
            Ok(words) => words,
            Err(error) => {
                // Whatever of it is in the log is not to be taken for committed.
                if let Some(check) = self.log.records(core)?.get(self.position as usize) {
                    check.store(0, Ordering::Release);
                }
                return Err(error);
            }
        };
        // It has happened. What follows can be done by anybody.
        self.apply(core);
        let head = self.log.head(core)?;
        if durable {
            self.position += words.next_multiple_of(RECORD_ALIGN);
            killable();
            head[head::POSITION].store(self.position, Ordering::Release);
        }
        killable();
        head[head::STATE].store(self.sequence << 1, Ordering::Release);
        Ok(())
    }

    /// Writes the record, and makes it durable. Until its check is there,
    /// nothing has happened.
    #[inline]
    fn write_record(&mut self, core: &Core, durable: bool) -> Result<u64> {
        let places = self.recorded.iter().map(|r| r.range).chain(self.fresh.iter().copied());
        let copied: u64 = places.clone().map(|range| range.len + 24).sum();
        let copy = durable && copied <= COPIED;
        if durable && !copy {
            for range in places {
                let base = self.object(range.object)?.own.base();
                core.method().flush(base + range.offset as usize, range.len as usize)?;
            }
            self.fence_first = true;
        }
        let more = 2 * (self.shadow.words().len() + self.bits.len()) as u64
            + if copy { copied / 4 } else { 0 };
        self.make_room(core, more)?;
        if self.fence_first && durable {
            core.fence();
        }
        let all = self.log.records(core)?;
        let records = all.get(self.position as usize..).unwrap_or_default();
        let mut pen = Pen { words: records, at: self.used as usize };
        if copy {
            self.put_places(core, &mut pen)?;
        }
        self.put_bits(&mut pen)?;
        self.put_words(&mut pen)?;
        let len = pen.at as u64;
        let head = self.log.head(core)?;
        killable();
        head[head::STATE].store(self.sequence << 1 | 1, Ordering::Release);
        killable();
        records[1].store(self.sequence << 24 | len, Ordering::Relaxed);
        let vouch = if durable {
            let words = records.get(..len as usize).unwrap_or_default();
            record_check(self.log.id, self.generation, self.sequence, self.position, words)
        } else {
            stored_mark(self.sequence, self.position)
        };
        killable();
        records[0].store(vouch, Ordering::Release);
        if durable {
            self.log.flush_words(core, self.position, len)?;
            core.fence();
        }
        killable();
        Ok(len)
    }

    fn place_of(&self, number: u32) -> u32 {
        self.joined.get(number as usize).and_then(|joined| joined.place).unwrap_or_default()
    }

    /// What was changed in place, and is in new blocks.
    fn put_places(&mut self, core: &Core, pen: &mut Pen<'_>) -> Result<()> {
        for i in 0..self.recorded.len() + self.fresh.len() {
            let range = match self.recorded.get(i) {
                Some(recorded) => recorded.range,
                None => match self.fresh.get(i - self.recorded.len()) {
                    Some(&fresh) => fresh,
                    None => continue,
                },
            };
            let object = self.place_of(range.object);
            each_word(range.offset, range.len, |offset, mask| {
                let value = self.word(core, range.object, offset)?.load(Ordering::Acquire);
                let (kind, len) = match mask {
                    0xff => (Kind::Words, 8),
                    _ => (Kind::Bytes, mask as u32),
                };
                pen.put(Entry { kind, object, len, offset }.pack())?;
                pen.put(value)
            })?;
        }
        Ok(())
    }

    fn put_bits(&self, pen: &mut Pen<'_>) -> Result<()> {
        for bits in self.bits.iter().filter(|bits| bits.mask != 0) {
            let kind = if bits.set { Kind::Set } else { Kind::Clear };
            let object = self.place_of(bits.object);
            pen.put(Entry { kind, object, len: 8, offset: bits.offset }.pack())?;
            pen.put(bits.mask)?;
        }
        Ok(())
    }

    /// What was written; words in a row under one header.
    #[inline]
    fn put_words(&self, pen: &mut Pen<'_>) -> Result<()> {
        let words = self.shadow.words();
        let mut i = 0;
        while let Some(first) = words.get(i) {
            let run = match first {
                word if word.mask == 0 => {
                    i += 1;
                    continue;
                }
                word if word.mask != 0xff || word.guard => 1,
                _ => words
                    .get(i..)
                    .unwrap_or_default()
                    .iter()
                    .zip(first.key..)
                    .take_while(|(word, key)| word.key == *key && word.mask == 0xff && !word.guard)
                    .take(1 << 10)
                    .count(),
            };
            let (kind, len) = match first {
                word if word.guard => (Kind::Guard, 8),
                word if word.mask != 0xff => (Kind::Bytes, word.mask as u32),
                _ => (Kind::Words, run as u32 * 8),
            };
            let object = self.place_of((first.key >> 27) as u32);
            let offset = (first.key << 3) & 0x3fff_ffff;
            pen.put(Entry { kind, object, len, offset }.pack())?;
            for word in words.get(i..i + run).unwrap_or_default() {
                pen.put(word.value)?;
            }
            i += run;
        }
        Ok(())
    }

    /// Does what was committed, in place. A place that is gone by now, because
    /// the object was shrunk, gets nothing.
    fn apply(&mut self, core: &Core) {
        let count = self.shadow.words().len();
        let each = |session: &Self, i: usize| session.shadow.words().get(i).copied();
        let place = |key: u64| ((key >> 27) as u32, (key << 3) & 0x3fff_ffff);
        let mut guards = false;
        for i in 0..count {
            let Some(word) = each(self, i).filter(|word| word.guard) else { continue };
            let (number, offset) = place(word.key);
            guards = true;
            killable();
            if let Ok(word) = self.word(core, number, offset) {
                word.fetch_or(GUARD_MOVING, Ordering::AcqRel);
            }
        }
        if guards {
            fence(Ordering::SeqCst);
        }
        for i in 0..self.bits.len() {
            let Some(bits) = self.bits.get(i).copied() else { continue };
            let Ok(word) = self.word(core, bits.object, bits.offset) else { continue };
            killable();
            match bits.set {
                true => word.fetch_or(bits.mask, Ordering::SeqCst),
                false => word.fetch_and(!bits.mask, Ordering::SeqCst),
            };
        }
        for i in 0..count {
            let Some(word) = each(self, i).filter(|word| word.mask != 0 && !word.guard) else {
                continue;
            };
            let (number, offset) = place(word.key);
            killable();
            if let Ok(home) = self.word(core, number, offset) {
                store_bytes(home, word.value, word.mask);
            }
        }
        for i in 0..if guards { count } else { 0 } {
            let Some(word) = each(self, i).filter(|word| word.guard) else { continue };
            let (number, offset) = place(word.key);
            killable();
            if let Ok(home) = self.word(core, number, offset) {
                home.store(word.value, Ordering::Release);
            }
        }
    }

    /// Makes it as if it had never begun.
    pub fn abort(&mut self, core: &Core) -> Result<()> {
        core.return_runs(self, 0)?;
        if self.used == RECORD_WORDS {
            return Ok(());
        }
        for at in (0..self.recorded.len()).rev() {
            let Some(recorded) = self.recorded.get(at).copied() else { break };
            self.put_back(core, recorded)?;
        }
        let head = self.log.head(core)?;
        if core.durable() {
            for recorded in &self.recorded {
                let base = self.object(recorded.range.object)?.own.base();
                let (offset, len) = (recorded.range.offset, recorded.range.len);
                core.method().flush(base + offset as usize, len as usize)?;
            }
            core.fence();
        }
        killable();
        self.log.records(core)?[self.position as usize + 1].store(0, Ordering::Release);
        if core.durable() {
            head[head::FLOOR].store(self.sequence, Ordering::Relaxed);
            self.log.flush_words(core, self.position, 2)?;
            self.log.flush(core, twz_abi::DATA_START, 64)?;
            core.fence();
        }
        killable();
        head[head::STATE].store(self.sequence << 1, Ordering::Release);
        Ok(())
    }
}

impl Core {
    /// Makes what records did durable in place: all of them up to word `end`,
    /// or only to the object at one place of the table.
    pub(super) fn flush_homes(
        &self,
        log: &super::log::Log,
        end: u64,
        only: Option<u32>,
    ) -> Result<()> {
        let records = log.records(self)?;
        let mut homes = super::homes::Homes::new(self, log);
        let mut at = 0;
        while at < end {
            let Some(head) = records.get(at as usize + 1) else { break };
            let len = head.load(Ordering::Acquire) & MOST_WORDS;
            if len < RECORD_WORDS || at + len > end.next_multiple_of(RECORD_ALIGN) {
                break;
            }
            let words = records.get(at as usize..(at + len) as usize).unwrap_or_default();
            homes.flush(words, only)?;
            at += len.next_multiple_of(RECORD_ALIGN);
        }
        homes.finish()
    }
}
