// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recording: what ranges of objects hold goes to the log, so that they can be
//! changed in place, by whatever means, and be put back.

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::log::{Entry, Kind, RECORD_WORDS, stored_mark};

use super::{
    commit::{killable, too_large},
    log::{head, undo_check},
    range::{InPlace, Range, each_word},
    session::{Recorded, Session},
    shadow::key_of,
};
use crate::{error::Result, raw::words::store_bytes, space::Core};

/// Puts words into the log, one after the other.
struct Pen<'a> {
    words: &'a [AtomicU64],
    at: usize,
}

impl Pen<'_> {
    #[inline(always)]
    fn put(&mut self, word: u64) -> Result<()> {
        // `make_room` has counted; a mistake there is no write elsewhere.
        self.words.get(self.at).ok_or_else(too_large)?.store(word, Ordering::Relaxed);
        self.at += 1;
        Ok(())
    }
}

impl Session {
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
            self.fence_first = false;
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
            let value = records.get(from).ok_or_else(too_large)?.load(Ordering::Relaxed);
            from += 1;
            killable();
            store_bytes(self.word(core, range.object, offset)?, value, mask);
            Ok(())
        })
    }
}
