// SPDX-License-Identifier: MIT OR Apache-2.0
//! The writer's lock of an object: one word in its meta record, swapped from 0
//! to the owner and back. Who waits for long looks whether the owner is still
//! alive, and takes a dead one's place, after seeing to what it left half done.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use twz_abi::{META_START, Meta, ObjectId, Rights, log::Owner};

use crate::{
    backend::Word,
    error::{Error, Result},
    raw::children,
    slots::Hold,
    space::{Core, Space},
    tx::no_slot,
};

/// Looks at the word before going to sleep.
const SPINS: u32 = 100;
/// How long to sleep before looking whether the owner is alive.
const NAP: Duration = Duration::from_millis(20);

/// How long to wait for a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it is there.
    Endless,
    /// So long, for fear of a circle.
    Most(Duration),
}

impl Core {
    /// The words of a slot's meta record from its lock on: lock, log, place.
    #[inline]
    pub(crate) fn lock_words(&self, slot: u32) -> Result<&[AtomicU64]> {
        let at = META_START + core::mem::offset_of!(Meta, lock) as u64;
        self.arena().tail_words(slot, at, 4)
    }

    /// Whether a thread has the lock of a mapped slot's object.
    #[inline]
    pub(crate) fn has_lock(&self, slot: u32, me: Owner) -> Result<bool> {
        let word = self.lock_words(slot)?.first().ok_or_else(no_slot)?;
        Ok(Owner(word.load(Ordering::Relaxed)).alone() == me)
    }

    /// Takes the lock of a mapped, writable slot's object; `false` if patience
    /// has run out. The caller holds the slot.
    #[inline]
    pub(crate) fn lock_slot(&self, slot: u32, me: Owner, patience: Patience) -> Result<bool> {
        let Some(word) = self.lock_words(slot)?.first() else { return Err(Error::NoSlot) };
        match word.compare_exchange(0, me.0, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(true),
            Err(_) => self.wait_for(word, slot, me, patience),
        }
    }

    #[cold]
    fn wait_for(&self, word: &AtomicU64, slot: u32, me: Owner, patience: Patience) -> Result<bool> {
        let start = Instant::now();
        let mut spins = 0;
        // Who has slept cannot know whether it was the last one to.
        let mut mine = me.0;
        loop {
            let seen = word.load(Ordering::Relaxed);
            if seen == 0 {
                match word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => return Ok(true),
                    Err(_) => continue,
                }
            }
            let owner = Owner(seen).alone();
            if owner == me {
                return Err(Error::Busy {
                    what: "this thread holds the object's lock already; use the writer it has",
                });
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            if !self.is_alive(owner)? {
                self.settle(slot)?;
                if word.compare_exchange(seen, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return Ok(true);
                }
                continue;
            }
            if matches!(patience, Patience::Most(most) if start.elapsed() >= most) {
                return Ok(false);
            }
            let marked = seen | Owner::WAITERS;
            if seen != marked
                && word
                    .compare_exchange(seen, marked, Ordering::Relaxed, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            self.nap(slot, word, marked);
            mine = me.0 | Owner::WAITERS;
        }
    }

    /// Gives a lock back, if it is `me` who has it.
    #[inline]
    pub(crate) fn unlock_slot(&self, slot: u32, me: Owner) {
        let Some(word) = self.lock_words(slot).ok().and_then(<[_]>::first) else { return };
        if word.compare_exchange(me.0, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.unlock_and_wake(slot, word, me);
        }
    }

    #[cold]
    fn unlock_and_wake(&self, slot: u32, word: &AtomicU64, me: Owner) {
        let waited = me.0 | Owner::WAITERS;
        if word.compare_exchange(waited, 0, Ordering::Release, Ordering::Relaxed).is_ok()
            && let Some(place) = self.lock_place(slot, word)
        {
            let _ = self.backend().wake(&place, 1);
        }
    }

    fn lock_place<'a>(&self, slot: u32, word: &'a AtomicU64) -> Option<Word<'a>> {
        let offset = META_START + core::mem::offset_of!(Meta, lock) as u64;
        Some(Word { id: self.arena().info(slot)?.id(), offset, word })
    }

    /// Sleeps until the lock changes, or for a while.
    fn nap(&self, slot: u32, word: &AtomicU64, seen: u64) {
        let slept = match self.lock_place(slot, word) {
            Some(place) => self.backend().wait(&place, seen, Some(NAP)).is_ok(),
            None => false,
        };
        if !slept {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// An object's lock, held by this thread.
pub(crate) struct Held {
    space: Space,
    slot: u32,
    me: Owner,
    locked: bool,
    forks: u32,
}

impl Held {
    /// Waits for the lock of an object.
    pub(crate) fn wait(space: &Space, id: ObjectId) -> Result<Self> {
        let core = space.core();
        let me = core.me()?;
        let slot = core.slot_for(id, Rights(Rights::READ.0 | Rights::WRITE.0), Hold::Pin)?;
        // From here on dropping undoes it.
        let forks = children::forks();
        let mut held = Self { space: space.clone(), slot, me, locked: false, forks };
        let granted =
            core.arena().info(slot).is_some_and(|info| info.granted().contains(Rights::WRITE));
        if !granted && !core.try_widen(slot) {
            return Err(Error::denied(id, Rights::WRITE));
        }
        held.locked = core.lock_slot(slot, me, Patience::Endless)?;
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let core = self.space.core();
        // What a forked child has is a copy: the lock is its parent's.
        if self.locked && self.forks == children::forks() && !super::commit::is_dead() {
            core.unlock_slot(self.slot, self.me);
        }
        core.unpin(self.slot);
    }
}
