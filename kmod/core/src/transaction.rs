// SPDX-License-Identifier: GPL-2.0 OR MIT
//! One change of a store in the making: [`Transaction`].
//!
//! Words and records that a change sets are held here, a small fixed number of
//! them, and reads inside the change see them. Bulk goes straight to the
//! journal's slot, and is not read again by the same change. New pages are
//! written in place, since nothing refers to them yet. `commit` follows the
//! protocol of FORMAT.md; `abort` forgets.
//!
//! A change must not journal a write to a page that it also frees: the next
//! transaction may hand the page out while this one can still be replayed.

use twz_abi::{record::state, record::RECORD_SIZE, ObjectRecord, PAGE};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    journal::{Entries, Held, CHUNK, ENTRY, HEADER},
    media::Media,
    store::{RecordNo, Store},
};

/// Words a change can hold.
const WORDS: usize = 64;

/// Records a change can hold.
const RECORDS: usize = 4;

/// Bytes of journal that what is held can take, with the state.
pub(crate) const RESERVE: u64 = WORDS as u64 * (ENTRY + 8)
    + RECORDS as u64 * (ENTRY + RECORD_SIZE)
    + (ENTRY + core::mem::size_of::<twz_abi::superblock::PoolState>() as u64);

/// Words that must be free for one more step of a long change.
const STEP_WORDS: usize = 20;

/// Bytes of journal that must be free for one more step of a long change.
const STEP_BYTES: u64 = 1024;

/// What the change has set so far.
pub(crate) struct Transaction {
    words: [Word; WORDS],
    used: usize,
    records: [(u32, ObjectRecord); RECORDS],
    held: usize,
    /// Bytes were written in place that must be durable before the commit.
    pub(crate) fresh: bool,
}

/// A word and where it is. Those of 4 bytes have the lowest bit of `place` set:
/// words are aligned to 4.
#[derive(Clone, Copy)]
struct Word {
    place: u64,
    value: u64,
}

impl Word {
    fn at(&self) -> u64 {
        self.place & !1
    }

    /// Its bytes, as many as it has.
    fn bytes<'b>(&self, buffer: &'b mut [u8; 8]) -> &'b [u8] {
        *buffer = self.value.to_le_bytes();
        let len = if self.place & 1 != 0 { 4 } else { 8 };
        buffer.get(..len).unwrap_or(&[])
    }
}

impl Transaction {
    pub(crate) fn new() -> Self {
        Self {
            words: [Word { place: 0, value: 0 }; WORDS],
            used: 0,
            records: [(0, ObjectRecord::new_zeroed()); RECORDS],
            held: 0,
            fresh: false,
        }
    }

    fn clear(&mut self) {
        (self.used, self.held, self.fresh) = (0, 0, false);
    }

    /// Whether the change has set this record.
    pub(crate) fn holds(&self, r: RecordNo) -> bool {
        self.records.iter().take(self.held).any(|(n, _)| *n == r.0)
    }

    fn words(&self) -> impl Iterator<Item = &Word> {
        self.words.iter().take(self.used)
    }

    fn find(&self, at: u64) -> Option<u64> {
        self.words().find(|w| w.at() == at).map(|w| w.value)
    }

    fn set(&mut self, word: Word) -> Result<()> {
        let used = self.used;
        if let Some(old) = self.words.iter_mut().take(used).find(|w| w.at() == word.at()) {
            *old = word;
            return Ok(());
        }
        let free = self.words.get_mut(used).ok_or(TOO_LONG)?;
        *free = word;
        self.used += 1;
        Ok(())
    }
}

/// A change that is longer than any should be; a bug, but not a panic.
const TOO_LONG: StoreError =
    StoreError::Corrupt { what: "a transaction has too many parts", at: 0 };

impl<M: Media> Store<M> {
    /// Does `change` and commits it, or does nothing at all. A `change` may
    /// commit by itself on the way, if what it leaves there is consistent.
    pub(crate) fn transact<R>(&mut self, change: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.writable()?;
        match change(self).and_then(|result| self.commit().map(|()| result)) {
            Ok(result) => Ok(result),
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// The 8-byte word at `at`, as the open change leaves it.
    pub(crate) fn word(&self, at: u64) -> Result<u64> {
        match self.txn.find(at) {
            Some(value) => Ok(value),
            None => self.word_on_media(at),
        }
    }

    /// The 8-byte word at `at`, as it is on the medium.
    pub(crate) fn word_on_media(&self, at: u64) -> Result<u64> {
        let mut word = [0; 8];
        self.media.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// The 4-byte word at `at`, as the open change leaves it.
    pub(crate) fn half(&self, at: u64) -> Result<u32> {
        if let Some(value) = self.txn.find(at) {
            return Ok(value as u32);
        }
        let mut half = [0; 4];
        self.media.read(at, &mut half)?;
        Ok(u32::from_le_bytes(half))
    }

    /// Sets the 8-byte word at `at`.
    pub(crate) fn set_word(&mut self, at: u64, value: u64) -> Result<()> {
        self.txn.set(Word { place: at, value })
    }

    /// Sets the 4-byte word at `at`.
    pub(crate) fn set_half(&mut self, at: u64, value: u32) -> Result<()> {
        self.txn.set(Word { place: at | 1, value: value as u64 })
    }

    /// Sets bytes, a multiple of 4, that the open change does not read again.
    pub(crate) fn set_bytes(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if self.journal.room() < ENTRY + bytes.len() as u64 + RESERVE {
            return Err(TOO_LONG);
        }
        let result = self.journal.append(&mut self.media, at, bytes);
        self.watch(result)
    }

    /// Writes to a page that the open change has allocated: in place.
    pub(crate) fn write_fresh(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.media.write(at, bytes)?;
        self.media.flush(at, bytes.len() as u64)?;
        self.txn.fresh = true;
        Ok(())
    }

    /// Zeroes pages that the open change has allocated.
    pub(crate) fn zero_fresh(&mut self, page: u64, count: u64) -> Result<()> {
        self.media.zero(page * PAGE, count * PAGE)?;
        self.txn.fresh = true;
        Ok(())
    }

    /// Record `r`, checked, as the open change leaves it.
    pub(crate) fn record(&self, r: RecordNo) -> Result<ObjectRecord> {
        let held = self.txn.records.iter().take(self.txn.held).find(|(n, _)| *n == r.0);
        if let Some((_, record)) = held {
            return Ok(*record);
        }
        if r.0 as u64 >= self.state.unused_record {
            return Err(StoreError::NoRecord { record: r.0 });
        }
        let at = self.geo.record_at(r.0);
        let mut record = ObjectRecord::new_zeroed();
        self.media.read(at, record.as_mut_bytes())?;
        record.check().map_err(StoreError::damaged(at))?;
        Ok(record)
    }

    /// As [`Self::held`], with no change open, of a record that was checked since
    /// the store was opened: its sum is not made again. Nobody but the store
    /// writes to its table, and a medium that loses bytes says so when read.
    pub(crate) fn held_again(&self, r: RecordNo, into: &mut ObjectRecord) -> Result<()> {
        if r.0 as u64 >= self.state.unused_record {
            return Err(StoreError::NoRecord { record: r.0 });
        }
        self.media.read(self.geo.record_at(r.0), into.as_mut_bytes())?;
        match into.state {
            state::LIVE | state::DYING => Ok(()),
            _ => Err(StoreError::NoRecord { record: r.0 }),
        }
    }

    /// Record `r` if there is an object in it that has not been deleted.
    pub(crate) fn live(&self, r: RecordNo) -> Result<ObjectRecord> {
        let record = self.record(r)?;
        if record.state != state::LIVE {
            return Err(StoreError::NoRecord { record: r.0 });
        }
        Ok(record)
    }

    /// The same of an object that may have been deleted: to who holds it, it is
    /// there until [`Store::reclaim`].
    pub(crate) fn held(&self, r: RecordNo) -> Result<ObjectRecord> {
        let record = self.record(r)?;
        match record.state {
            state::LIVE | state::DYING => Ok(record),
            _ => Err(StoreError::NoRecord { record: r.0 }),
        }
    }

    /// Sets record `r`; its checksum is made at the commit.
    pub(crate) fn put_record(&mut self, r: RecordNo, record: &ObjectRecord) -> Result<()> {
        let held = self.txn.held;
        if let Some((_, old)) = self.txn.records.iter_mut().take(held).find(|(n, _)| *n == r.0) {
            *old = *record;
            return Ok(());
        }
        let free = self.txn.records.get_mut(held).ok_or(TOO_LONG)?;
        *free = (r.0, *record);
        self.txn.held += 1;
        Ok(())
    }

    /// Whether one more step of a long change fits; if not, commit first.
    pub(crate) fn room(&self) -> bool {
        self.txn.used + STEP_WORDS <= WORDS && self.journal.room() >= RESERVE + STEP_BYTES
    }

    /// Makes the change count.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let counted = self.state != self.committed;
        let streamed = self.journal.len();
        if !counted && self.txn.used == 0 && self.txn.held == 0 && streamed == 0 {
            if core::mem::take(&mut self.txn.fresh) {
                self.media.fence()?;
            }
            return Ok(());
        }
        // One that fails may have happened all the same.
        self.changes = self.changes.wrapping_add(1);
        let result = self.commit_parts(streamed, counted);
        self.watch(result)
    }

    /// Forgets the change.
    pub(crate) fn abort(&mut self) {
        // What was flushed in place is there all the same.
        let fresh = self.txn.fresh;
        self.txn.clear();
        self.txn.fresh = fresh;
        self.journal.reset();
        self.state = self.committed;
    }

    fn commit_parts(&mut self, streamed: u64, counted: bool) -> Result<()> {
        self.journal_parts(counted)?;
        if self.txn.fresh {
            self.media.fence()?;
        }
        self.journal.seal(&mut self.media)?;
        self.media.fence()?;
        self.apply_streamed(streamed)?;
        self.apply_held(counted)?;
        self.journal.advance();
        self.txn.clear();
        self.committed = self.state;
        Ok(())
    }

    /// Adds to the journal what was held back so far.
    fn journal_parts(&mut self, counted: bool) -> Result<()> {
        let (journal, media) = (&mut self.journal, &mut self.media);
        for word in self.txn.words.iter().take(self.txn.used) {
            journal.append(media, word.at(), word.bytes(&mut [0; 8]))?;
        }
        for (n, record) in self.txn.records.iter_mut().take(self.txn.held) {
            record.checksum = record.compute_checksum();
            journal.append(media, self.geo.record_at(*n), record.as_bytes())?;
        }
        if counted {
            self.state.checksum = self.state.compute_checksum();
            journal.append(media, self.geo.state_at(), self.state.as_bytes())?;
        }
        Ok(())
    }

    /// Does in place what went straight to the journal.
    fn apply_streamed(&mut self, streamed: u64) -> Result<()> {
        let sequence = (self.journal.slot_at() != self.geo.slot_at(0)) as u64;
        let mut entries = Entries::new(&self.geo, Held { sequence, len: streamed });
        let mut buffer = [0; CHUNK];
        while let Some((entry, from)) = entries.next(&self.media, &self.geo)? {
            let bytes = buffer.get_mut(..entry.len as usize).ok_or(TOO_LONG)?;
            self.media.read(from, bytes)?;
            self.media.write(entry.target, bytes)?;
            self.media.flush(entry.target, entry.len as u64)?;
        }
        Ok(())
    }

    /// Does in place what was held.
    fn apply_held(&mut self, counted: bool) -> Result<()> {
        let media = &mut self.media;
        for word in self.txn.words.iter().take(self.txn.used) {
            let mut buffer = [0; 8];
            let bytes = word.bytes(&mut buffer);
            media.write(word.at(), bytes)?;
            media.flush(word.at(), bytes.len() as u64)?;
        }
        for (n, record) in self.txn.records.iter().take(self.txn.held) {
            let at = self.geo.record_at(*n);
            media.write(at, record.as_bytes())?;
            media.flush(at, RECORD_SIZE)?;
        }
        if counted {
            let at = self.geo.state_at();
            media.write(at, self.state.as_bytes())?;
            media.flush(at, self.state.as_bytes().len() as u64)?;
        }
        Ok(())
    }

    /// A medium that fails inside a commit leaves open whether it happened: the
    /// store stops.
    fn watch(&mut self, result: Result<()>) -> Result<()> {
        if result.is_err() {
            self.stopped = true;
        }
        result
    }
}

const _: () = assert!(HEADER == core::mem::size_of::<twz_abi::journal::JournalHeader>() as u64);
const _: () = assert!(ENTRY == core::mem::size_of::<twz_abi::journal::JournalEntry>() as u64);
const _: () = assert!(PAGE as usize % CHUNK == 0);
