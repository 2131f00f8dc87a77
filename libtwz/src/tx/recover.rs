// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of a transaction whose process died, or whose machine lost
//! power. Whoever comes upon an object that took part sees to the whole of it,
//! for all of its objects; anybody else's goes on meanwhile. All of this may be
//! cut off, and done again from the start.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use twz_abi::{
    FormatError, ObjectId,
    log::{Entry, Kind, MOST_WORDS, Owner, RECORD_ALIGN, RECORD_WORDS, check_start, mix, place_of},
};

use super::{
    commit::killable,
    homes::Homes,
    log::{LAST_SEQUENCE, Log, head, record_check, vouches},
};
use crate::{
    error::{Error, Result},
    raw::persist,
    space::Core,
};

/// What a killed process does not do.
#[cfg(test)]
pub(super) fn not_recovering() {
    RECOVERING.set(false);
}

/// The thread that a log's owner names while it recovers it.
const RECOVERER: u64 = 1 << 12;
const PAUSE: Duration = Duration::from_micros(200);

thread_local! {
    /// Whether this thread is recovering: then it opens objects as they are.
    static RECOVERING: Cell<bool> = const { Cell::new(false) };
}

/// The process of an owner, without a thread.
pub(super) fn process_of(owner: Owner) -> Owner {
    Owner::new(owner.slot(), owner.incarnation(), 0)
}

/// One record, checked.
struct Found {
    sequence: u64,
    /// Words of it if it was committed.
    committed: Option<u64>,
}

impl Core {
    /// Called for every object that is come upon: finishes or undoes the
    /// transaction that it last took part in, if nobody else will.
    #[inline]
    pub(crate) fn settle(&self, slot: u32) -> Result<()> {
        match self.lock_words(slot)? {
            [_, _, _, place] if place.load(Ordering::Acquire) == 0 => Ok(()),
            [_, lo, hi, place] => {
                let log =
                    ObjectId { lo: lo.load(Ordering::Acquire), hi: hi.load(Ordering::Acquire) };
                self.settle_log(log, place.load(Ordering::Acquire))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn settle_log(&self, id: ObjectId, place: u64) -> Result<()> {
        if RECOVERING.get() {
            return Ok(());
        }
        if place_of(id, place).is_none() {
            let error = FormatError::Range { what: "object's place in a log", found: place };
            let what = "which log an object's last transaction is in ('twz pool check --repair' \
                        takes the object as it is)";
            return Err(Error::Format { what: what.into(), error });
        }
        let log = match self.known_log(id) {
            Ok(log) => log,
            // It was deleted, and with it what it knew.
            Err(Error::NoObject(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        while self.needs_recovery(&log)? {
            self.recover(&log)?;
        }
        Ok(())
    }

    /// A log, mapped once for all.
    fn known_log(&self, id: ObjectId) -> Result<Log> {
        let lock = || self.logs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(log) = lock().get(&id) {
            return Ok(*log);
        }
        let log = Log::attach(self, id)?;
        lock().insert(id, log);
        Ok(log)
    }

    /// Waits while somebody else recovers the log; then, whether it is on us.
    fn needs_recovery(&self, log: &Log) -> Result<bool> {
        let words = log.head(self)?;
        loop {
            let owner = Owner(words[head::OWNER].load(Ordering::Acquire));
            let clean = words[head::BOOT].load(Ordering::Acquire) == persist::boot()
                && words[head::STATE].load(Ordering::Acquire) & 1 == 0;
            if clean {
                return Ok(false);
            }
            if owner == Owner::NOBODY || !self.is_alive(owner)? {
                return Ok(true);
            }
            if owner.0 & RECOVERER == 0 {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Makes a log this process's own: recovered, and free to be written.
    pub(super) fn claim_log(&self, log: &Log) -> Result<bool> {
        log.writable()?;
        let me = process_of(self.me()?);
        loop {
            if self.needs_recovery(log)? {
                self.recover(log)?;
                continue;
            }
            let owner = &log.head(self)?[head::OWNER];
            let seen = owner.load(Ordering::Acquire);
            if seen != 0 && self.is_alive(Owner(seen))? {
                return Ok(false);
            }
            if owner.compare_exchange(seen, me.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Ok(true);
            }
        }
    }

    fn recover(&self, log: &Log) -> Result<()> {
        log.writable()?;
        let owner = &log.head(self)?[head::OWNER];
        let seen = owner.load(Ordering::Acquire);
        if seen != 0 && self.is_alive(Owner(seen))? {
            return Ok(());
        }
        let me = process_of(self.me()?).0 | RECOVERER;
        if owner.compare_exchange(seen, me, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Ok(());
        }
        RECOVERING.set(true);
        let done = self.recover_claimed(*log);
        RECOVERING.set(false);
        // Where it failed, the next one shall try again.
        owner.store(0, Ordering::Release);
        done
    }

    fn recover_claimed(&self, mut log: Log) -> Result<()> {
        log.renew(self)?;
        let words = log.head(self)?;
        let load = |at: usize| words[at].load(Ordering::Acquire);
        let same_boot = load(head::BOOT) == persist::boot();
        let (state, records) = (load(head::STATE), log.records(self)?);
        let mut homes = Homes::new(self, &log);
        // Where the first record is that has nothing after it.
        let mut at = if same_boot { load(head::POSITION) } else { 0 };
        let mut last = if same_boot { (state >> 1).saturating_sub(1) } else { 0 };
        while let Some(found) = self.record_at(&log, at, same_boot)?.filter(|f| f.sequence > last) {
            let Some(len) = found.committed else {
                // Without an entry that its check vouches for it may be anything: what
                // was left of a longer record once looked like a sequence, too.
                if self.undo(&log, &mut homes, at, found.sequence, same_boot)? {
                    last = found.sequence;
                }
                break;
            };
            if found.sequence >= load(head::FLOOR) {
                homes.replay(records.get(at as usize..(at + len) as usize).unwrap_or_default())?;
            }
            last = found.sequence;
            at += len.next_multiple_of(RECORD_ALIGN);
            if same_boot {
                break;
            }
        }
        // After a power cut, whatever this space thinks of durability: what was
        // promised before is to be kept.
        let durable = self.durable() || !same_boot;
        if durable {
            self.flush_homes(&log, at, None)?;
            homes.finish()?;
            self.fence();
        }
        let margin = if same_boot { 1 } else { log.room() / 16 };
        let next = last.max(load(head::FLOOR)).max(state >> 1) + margin;
        self.reset(&log, next)
    }

    /// Empties a log of which everything is in place. Where the power is cut before
    /// this is durable, all is done again; it is before an object names the log anew.
    fn reset(&self, log: &Log, sequence: u64) -> Result<()> {
        // Under a new generation it can begin anew.
        let sequence = if sequence < LAST_SEQUENCE { sequence } else { 1 };
        let (words, records) = (log.head(self)?, log.records(self)?);
        killable();
        records[1].store(0, Ordering::Release);
        let generation = (log.generation(self)? as u64 + 1) << 32;
        for (at, value) in [
            (head::FLOOR, sequence),
            (head::TABLE, generation),
            (head::POSITION, 0),
            (head::STATE, sequence << 1),
            (head::BOOT, persist::boot()),
        ] {
            killable();
            words[at].store(value, Ordering::Release);
        }
        Ok(())
    }

    /// The record that begins at word `at`, if one does.
    fn record_at(&self, log: &Log, at: u64, same_boot: bool) -> Result<Option<Found>> {
        let all = log.records(self)?;
        let Some([check, second, ..]) = all.get(at as usize..) else { return Ok(None) };
        let second = second.load(Ordering::Acquire);
        let (sequence, len) = (second >> 24, second & MOST_WORDS);
        if sequence == 0 {
            return Ok(None);
        }
        let words = all.get(at as usize..(at + len) as usize);
        let committed = words.filter(|_| len >= RECORD_WORDS).is_some_and(|words| {
            let generation = log.generation(self).unwrap_or_default();
            let computed = record_check(log.id, generation, sequence, at, words);
            vouches(check.load(Ordering::Acquire), computed, sequence, at, same_boot)
        });
        Ok(Some(Found { sequence, committed: committed.then_some(len) }))
    }

    /// Puts back what the undo entries of a record say, newest first; whether there
    /// were any.
    fn undo(
        &self,
        log: &Log,
        homes: &mut Homes<'_>,
        record: u64,
        sequence: u64,
        same_boot: bool,
    ) -> Result<bool> {
        let (all, generation) = (log.records(self)?, log.generation(self)?);
        let mut found: Vec<(Entry, &[AtomicU64])> = Vec::new();
        let mut at = record + RECORD_WORDS;
        while let Some([header, check, rest @ ..]) = all.get(at as usize..) {
            let header = header.load(Ordering::Acquire);
            let Some(entry) = Entry::unpack(header).filter(|entry| entry.kind == Kind::Undo) else {
                break;
            };
            let Some(bytes) = rest.get(..entry.words() as usize - 1) else { break };
            let start = mix(check_start(log.id, generation, sequence, at), header);
            let computed =
                bytes.iter().fold(start, |sum, word| mix(sum, word.load(Ordering::Relaxed)));
            if !vouches(check.load(Ordering::Acquire), computed, sequence, at, same_boot) {
                break;
            }
            found.push((entry, bytes));
            at += 1 + entry.words();
        }
        let any = !found.is_empty();
        for (entry, bytes) in found.into_iter().rev() {
            homes.put_back(entry, bytes)?;
        }
        Ok(any)
    }

    /// Makes durable in place what a log did to the object in a slot, whose lock
    /// the caller has: the object is going to name another one.
    pub(super) fn leave_log(&self, slot: u32, id: ObjectId, place: (u32, u32)) -> Result<()> {
        self.settle(slot)?;
        if !self.durable() {
            return Ok(());
        }
        let log = match self.known_log(id) {
            Err(Error::NoObject(_)) => return Ok(()),
            other => other?,
        };
        let (index, generation) = place;
        // Another generation: all of it was in place before the table went.
        if log.generation(self)? & 0x3f_ffff == generation {
            let mut log = log;
            log.renew(self)?;
            let end = log.head(self)?[head::POSITION].load(Ordering::Acquire);
            self.flush_homes(&log, end, Some(index))?;
            self.fence();
        }
        Ok(())
    }
}
