// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written to the log, and in which order: recording, committing and
//! aborting. FORMAT.md, section "Log", has the rules; `DURABILITY.md` counts
//! the fences.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{self, Acquire},
    fence,
};

use twz_abi::log::{
    Entry, GUARD_MOVING, Kind, MOST_WORDS, RECORD_ALIGN, RECORD_WORDS, check_start, mix,
    stored_mark,
};

use super::{
    log::{LAST_SEQUENCE, MOST_ROOM, head},
    session::Session,
};
use crate::{
    error::{Error, Result},
    raw::{object::words, words::store_bytes},
    space::Core,
};

/// What was changed in place is copied into the record up to so many bytes:
/// that takes less time than the fence it saves.
const COPIED: u64 = 2048;

#[cfg(test)]
pub(crate) use super::tests::is_dead;
/// Where a test kills who commits: before everything it stores.
#[cfg(test)]
pub(super) use super::tests::killable;
/// Whether a test has killed the process that this thread is.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn is_dead() -> bool {
    false
}
#[cfg(not(test))]
#[inline(always)]
pub(super) fn killable() {}

#[cold]
pub(super) fn too_large() -> Error {
    Error::Unsupported("a transaction changes at most 128 MiB, log included")
}

#[inline]
fn store_all(to: &[AtomicU64], from: &[u64]) {
    for (to, from) in to.iter().zip(from) {
        to.store(*from, Ordering::Relaxed);
    }
}

impl Session {
    /// Sees to it that the record has room for `more` words after what it has.
    pub(super) fn make_room(&mut self, core: &Core, more: u64) -> Result<()> {
        let end = self.position + self.used + more;
        if end * 8 <= self.log.room() {
            return Ok(());
        }
        self.make_room_slow(core, more)
    }

    #[cold]
    fn make_room_slow(&mut self, core: &Core, more: u64) -> Result<()> {
        if self.used + more > MOST_WORDS || (self.used + more) * 8 > MOST_ROOM {
            return Err(too_large());
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
            self.log.head(core)?[head::FLOOR].store(self.sequence, Ordering::Release);
        }
        self.position = 0;
        self.log.head(core)?[head::POSITION].store(0, Ordering::Release);
        Ok(())
    }

    /// Makes the table empty. No object names this log any more afterwards. Nothing
    /// of this has to be durable: an object names the new generation once that is.
    pub(super) fn empty_table(&mut self, core: &Core) -> Result<()> {
        self.start_over(core)?;
        let head = self.log.head(core)?;
        self.generation = self.generation.wrapping_add(1);
        self.places = 0;
        head[head::TABLE].store((self.generation as u64) << 32, Ordering::Release);
        self.log.records(core)?[1].store(0, Ordering::Relaxed);
        if self.sequence >= LAST_SEQUENCE {
            self.sequence = 0;
            head[head::FLOOR].store(0, Ordering::Relaxed);
            head[head::STATE].store(0, Ordering::Release);
        }
        self.hints.clear();
        Ok(())
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
        let copy = durable && self.may_copy();
        if durable && !copy {
            self.flush_places(core)?;
        }
        self.build(core, copy)?;
        let len = self.record.len() as u64;
        self.make_room(core, len - self.used)?;
        if self.fence_first && durable {
            core.fence();
        }
        let all = self.log.records(core)?;
        let words = all.get(self.position as usize..).unwrap_or_default();
        let Some(words) = words.get(..len as usize) else { return Err(too_large()) };
        let head = self.log.head(core)?;
        killable();
        head[head::STATE].store(self.sequence << 1 | 1, Ordering::Release);
        killable();
        if !durable {
            store_all(&words[self.used as usize..], &self.record[self.used as usize..]);
            words[1].store(self.record[1], Ordering::Relaxed);
            killable();
            words[0].store(stored_mark(self.sequence, self.position), Ordering::Release);
            killable();
            return Ok(len);
        }
        let start = check_start(self.log.id, self.generation, self.sequence, self.position);
        self.record[0] = self.record[1..].iter().fold(start, |sum, &word| mix(sum, word));
        if self.used == RECORD_WORDS {
            let whole = len.next_multiple_of(RECORD_ALIGN) as usize;
            self.record.resize(whole, 0);
            let words = all.get(self.position as usize..self.position as usize + whole);
            core.method().stream(words.unwrap_or_default(), &self.record)?;
        } else {
            // What comes before is in the log already.
            store_all(&words[self.used as usize..], &self.record[self.used as usize..]);
            store_all(&words[..2], &self.record[..2]);
            self.log.flush_words(core, self.position, 2)?;
            self.log.flush_words(core, self.position + self.used, len - self.used)?;
        }
        core.fence();
        self.fence_first = false;
        killable();
        Ok(len)
    }

    /// Whether what was changed in place is little enough to be copied.
    #[inline]
    fn may_copy(&self) -> bool {
        let recorded: u64 = self.recorded.iter().map(|recorded| recorded.range.len + 24).sum();
        let fresh: u64 = self.fresh.iter().map(|fresh| fresh.len + 24).sum();
        recorded + fresh <= COPIED
    }

    #[cold]
    fn flush_places(&mut self, core: &Core) -> Result<()> {
        for range in self.recorded.iter().map(|r| &r.range).chain(&self.fresh) {
            let base = self.object(range.object)?.own.base();
            core.method().flush(base + range.offset as usize, range.len as usize)?;
        }
        self.fence_first = true;
        if self.position != 0 {
            // Earlier records say what these places were, and are not to be replayed over
            // what this one leaves there.
            core.flush_homes(&self.log, self.position, None)?;
            core.fence();
            self.log.head(core)?[head::FLOOR].store(self.sequence, Ordering::Release);
            self.log.flush(core, twz_abi::DATA_START, 64)?;
        }
        Ok(())
    }

    /// Puts the record together, but for its check.
    #[inline]
    fn build(&mut self, core: &Core, copy: bool) -> Result<()> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.extend([0, 0]);
        if self.used != RECORD_WORDS {
            let from = self.position + RECORD_WORDS;
            let undo = self.log.records(core)?.get(from as usize..);
            let undo = undo.and_then(|undo| undo.get(..(self.used - RECORD_WORDS) as usize));
            record.extend(undo.unwrap_or_default().iter().map(|w| w.load(Ordering::Relaxed)));
        }
        let places = if copy { self.put_places(core, &mut record) } else { Ok(()) };
        self.put_bits(&mut record);
        self.put_words(&mut record);
        record[1] = self.sequence << 24 | record.len() as u64 & MOST_WORDS;
        self.record = record;
        places
    }

    #[inline]
    fn place_of(&self, number: u32) -> u32 {
        self.joined.get(number as usize).and_then(|joined| joined.place).unwrap_or_default()
    }

    /// What was changed in place, and is in new blocks.
    fn put_places(&mut self, core: &Core, record: &mut Vec<u64>) -> Result<()> {
        for i in 0..self.recorded.len() + self.fresh.len() {
            let range = match self.recorded.get(i) {
                Some(recorded) => recorded.range,
                None => match self.fresh.get(i - self.recorded.len()) {
                    Some(&fresh) => fresh,
                    None => continue,
                },
            };
            let object = self.place_of(range.object);
            let (mut at, end) = (range.offset, range.offset + range.len);
            if at % 8 != 0 {
                let len = (end - at).min(8 - at % 8);
                let mask = ((0xffu16 >> (8 - len)) << (at % 8)) as u8;
                let entry = Entry { kind: Kind::Bytes, object, len: mask as u32, offset: at & !7 };
                record.extend([
                    entry.pack(),
                    self.word(core, range.object, at)?.load(Ordering::Acquire),
                ]);
                at += len;
            }
            if at < end {
                let entry = Entry { kind: Kind::Words, object, len: (end - at) as u32, offset: at };
                record.push(entry.pack());
                let own = self.object(range.object)?.own;
                match words(core, own, at, (end - at).div_ceil(8)) {
                    Ok(all) => record.extend(all.iter().map(|word| word.load(Ordering::Acquire))),
                    // Not all of it is data, or was when the end was looked at.
                    Err(_) => {
                        while at < end {
                            record.push(self.word(core, range.object, at)?.load(Ordering::Acquire));
                            at += 8;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn put_bits(&self, record: &mut Vec<u64>) {
        for bits in self.bits.iter().filter(|bits| bits.mask != 0) {
            let kind = if bits.set { Kind::Set } else { Kind::Clear };
            let object = self.place_of(bits.object);
            let entry = Entry { kind, object, len: 8, offset: bits.offset };
            record.extend([entry.pack(), bits.mask]);
        }
    }

    /// What was written; words in a row under one header, the last of them maybe
    /// not all of one.
    #[inline]
    fn put_words(&self, record: &mut Vec<u64>) {
        // Where the header of an open run is, and the key that would go on with it.
        let (mut header, mut next) = (0, u64::MAX);
        for word in self.shadow.words() {
            // The first bytes of a word and no others, if that.
            let first = word.mask.count_ones();
            let leading = !word.guard && word.mask.trailing_ones() == first && first != 0;
            if word.key == next && leading {
                record[header] += (first as u64) << 30;
                record.push(word.value);
                next = if first == 8 { word.key + 1 } else { u64::MAX };
            } else if word.mask != 0 {
                let (kind, len) = match word {
                    word if word.guard => (Kind::Guard, 8),
                    _ if leading => (Kind::Words, first),
                    word => (Kind::Bytes, word.mask as u32),
                };
                let object = self.place_of((word.key >> 27) as u32);
                let offset = (word.key << 3) & 0x3fff_ffff;
                header = record.len();
                record.extend([Entry { kind, object, len, offset }.pack(), word.value]);
                next = if leading && first == 8 { word.key + 1 } else { u64::MAX };
            }
            // A longer run would not fit into the header's length.
            if record.len() - header > 1 << 14 {
                next = u64::MAX;
            }
        }
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
        // After a power cut it may be undone once more, to what is there already: the
        // next record lies over it, and is durable before anything else is.
        self.log.records(core)?[self.position as usize + 1].store(0, Ordering::Release);
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
        let (records, floor) = (log.records(self)?, log.head(self)?[head::FLOOR].load(Acquire));
        let mut homes = super::homes::Homes::new(self, log);
        let mut at = 0;
        while at < end {
            let Some(head) = records.get(at as usize + 1) else { break };
            let head = head.load(Acquire);
            let len = head & MOST_WORDS;
            if len < RECORD_WORDS || at + len > end.next_multiple_of(RECORD_ALIGN) {
                break;
            }
            let words = records.get(at as usize..(at + len) as usize).unwrap_or_default();
            if head >> 24 >= floor {
                homes.flush(words, only)?;
            }
            at += len.next_multiple_of(RECORD_ALIGN);
        }
        homes.finish()
    }
}
