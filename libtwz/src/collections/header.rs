// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all containers begin with: the words that say where the contents are,
//! and how a change of several words is made as if it were one.
//!
//! A change prepares whatever nobody can see yet (a new block, an element past
//! the end). Then it writes into the *log* which visible words are to become
//! what, at most four, and stores `state`: from that instant the change has
//! happened. Then it does what the log says, and stores `state` again:
//!
//! ```text
//! state   bits 63..3  counts up with every change
//!         bits 2..0   entries of the log that are in force
//! ```
//!
//! A reader that finds entries in force looks at the log first, so it sees the
//! change done, whether its writer is slow, or dead. At the end it looks at
//! `state` again, and starts over if it has moved: what it has read may then be
//! of two states, or no longer a part of the container. The next writer first
//! finishes what a dead one has left in the log.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering, fence},
};

use twz_abi::{ObjectId, Rights};

pub(super) use super::memory::Memory;
use super::{
    logged::{self, IN_TRANSACTION, Logged, MOVING},
    memory::{COPY, HEADER, LEN, LEN_SHIFT, OFFSET},
};
use crate::{
    Object, Persist, Ptr, Writer,
    error::{Error, Result},
    ptr::writable,
    raw::{
        translate::Translation,
        value::{take_apart, unit_of},
    },
    space::Core,
    translate::{home_of, target_of},
};

/// Where a test kills a writer: before everything it stores.
#[cfg(test)]
pub(super) use super::tests::killable;
#[cfg(not(test))]
#[inline(always)]
pub(super) fn killable() {}

/// Entries of the log.
const LOG: usize = 4;
/// Times that a reader starts over.
const ROUNDS: u32 = 1 << 20;
const PENDING: u64 = 7;

/// The beginning of a container with `N` words of its own.
#[repr(C)]
pub(super) struct Header<const N: usize> {
    home: Ptr<u8>,
    state: AtomicU64,
    log: [AtomicU64; 2 * LOG],
    words: [AtomicU64; N],
}

impl<const N: usize> Header<N> {
    /// Of an empty container.
    pub const fn new() -> Self {
        Self {
            home: Ptr::null(),
            state: AtomicU64::new(0),
            log: [const { AtomicU64::new(0) }; 2 * LOG],
            words: [const { AtomicU64::new(0) }; N],
        }
    }

    fn memory(&self, home: Translation, pending: usize) -> Memory<'_> {
        let (words, log) = (&self.words, &self.log[..2 * pending.min(LOG)]);
        Memory { words, log, home: Cell::new(home), renewed: Cell::new(false), logged: None }
    }

    /// The contents as this thread's own transaction has them, if it has any.
    #[cold]
    fn within(&self, home: Translation) -> Result<Memory<'_>> {
        let (core, own) = home_of(self)?;
        let slot = core.arena().slot_of(home.base()).ok_or(Error::NotInObject)?;
        let mut memory = self.memory(home, 0);
        memory.logged = Logged::reading(core, own, slot, &self.state);
        if memory.logged.is_some() {
            memory.log = &self.log;
        }
        Ok(memory)
    }

    /// The object that the contents are in.
    #[inline(always)]
    fn home(&self) -> Result<Translation> {
        target_of(&self.home, self.home.bits())
    }

    /// Looks, as often as it takes to see one state.
    #[inline]
    pub fn read<R>(&self, mut look: impl FnMut(&Memory<'_>) -> Result<R>) -> Result<R> {
        let home = self.home()?;
        for round in 1..ROUNDS {
            let state = self.state.load(Ordering::Acquire);
            let pending = state & PENDING;
            if pending == MOVING {
                self.pause(round)?;
                continue;
            }
            let seen = match pending {
                IN_TRANSACTION => look(&self.within(home)?),
                _ => look(&self.memory(home, pending as usize)),
            };
            fence(Ordering::Acquire);
            if self.state.load(Ordering::Relaxed) == state {
                return seen;
            }
            self.pause(round)?;
        }
        Err(Error::Busy { what: "the container keeps changing while it is read; try again" })
    }

    #[inline]
    fn pause(&self, round: u32) -> Result<()> {
        if round.is_multiple_of(32) {
            std::thread::yield_now();
        }
        if round.is_multiple_of(4096) {
            // Whoever changes it may be dead.
            let (core, own) = home_of(self)?;
            logged::rescue(core, own)?;
        }
        Ok(())
    }

    /// A reference to a value of the contents.
    pub fn reference<T: Persist>(&self, offset: u64) -> Result<&T> {
        self.memory(self.home()?, 0).at(offset)
    }

    /// Begins a change, after finishing one that was broken off.
    pub fn change<'a, O>(&'a self, writer: &Writer<'_, O>) -> Result<Change<'a>> {
        let (core, own_slot) = home_of(self)?;
        let own = core.arena().info(own_slot).ok_or(Error::NoSlot)?.id();
        if writer.object().id() != own {
            return Err(Error::Unsupported(
                "a container is changed under the lock of the object it lies in",
            ));
        }
        writable(self)?;
        let slot = core.arena().slot_of(self.home()?.base()).ok_or(Error::NotInObject)?;
        let mut home = core.own(slot)?;
        if !home.writable() && core.try_widen(slot) {
            home = core.translate(slot, 0)?;
        }
        if !home.writable() {
            let id = core.arena().info(slot).map_or(ObjectId::NULL, |info| info.id());
            return Err(Error::denied(id, Rights::WRITE));
        }
        let pending = (self.state.load(Ordering::Acquire) & PENDING) as usize;
        if (1..=LOG).contains(&pending) {
            self.memory(core.refresh(slot)?, pending).apply()?;
            next(&self.state, 0);
        }
        let begun = logged::Change::begin(core, writer, [own_slot, slot], &self.state)?;
        let (state, log) = (&self.state, &self.log);
        let mut memory = self.memory(home, 0);
        if let Some(begun) = &begun {
            (memory.log, memory.logged) = (&self.log, Some(begun.logged.clone()));
        }
        let (made, doomed) = (std::vec::Vec::new(), std::vec::Vec::new());
        Ok(Change { core, slot, memory, state, log, entries: 0, made, doomed, begun })
    }

    /// Has the contents come from the heap of `object`; only for a container
    /// that has none yet, as `unused` finds.
    pub fn set_home<O, H>(
        &self,
        writer: &Writer<'_, O>,
        object: &Object<H>,
        unused: impl FnOnce(&Memory<'_>) -> bool,
    ) -> Result<()> {
        let change = self.change(writer)?;
        if !unused(&change.memory) {
            return Err(Error::Busy {
                what: "a container that has contents stays in its object; clear it first",
            });
        }
        let to = crate::Global { id: object.id(), offset: twz_abi::DATA_START };
        self.home.store_global(to, Rights(Rights::READ.0 | Rights::WRITE.0))
    }
}

/// Moves `state` on, with `entries` in force.
#[inline(always)]
fn next(state: &AtomicU64, entries: usize) {
    killable();
    let count = (state.load(Ordering::Relaxed) >> 3).wrapping_add(1);
    state.store(count << 3 | entries as u64, Ordering::Release);
    // What is stored from here on is seen after this.
    fence(Ordering::Release);
}

/// A change that is being prepared. Dropped before [`Change::commit`], it has
/// not happened.
pub(super) struct Change<'a> {
    core: &'a Core,
    slot: u32,
    pub memory: Memory<'a>,
    state: &'a AtomicU64,
    log: &'a [AtomicU64; 2 * LOG],
    entries: usize,
    made: std::vec::Vec<u64>,
    doomed: std::vec::Vec<u64>,
    /// The transaction that it is, or is a part of.
    begun: Option<logged::Change<'a>>,
}

impl Change<'_> {
    /// Takes a block for what will be visible after the commit.
    pub fn alloc(&mut self, len: u64, align: u64) -> Result<u64> {
        killable();
        if let Some(begun) = &self.begun {
            let block = begun.alloc(len, align.max(16))?;
            self.memory.home.set(self.core.own(self.slot)?);
            return Ok(block);
        }
        let block = self.core.heap_alloc(self.slot, len, align.max(16))?;
        self.memory.home.set(self.core.own(self.slot)?);
        self.made.push(block);
        Ok(block)
    }

    /// Gives a block back once the change has happened.
    pub fn free(&mut self, block: u64) {
        self.doomed.push(block);
    }

    /// Writes to memory that nobody can see yet.
    #[inline]
    pub fn init<T: Persist>(&self, offset: u64, value: &T) -> Result<()> {
        if let Some(begun) = self.begun.as_ref().filter(|begun| !begun.is_new(offset)) {
            return begun.write(offset, value);
        }
        take_apart(value, |at, unit| self.memory.store(offset + at, unit_of::<T>(), unit))
    }

    /// Copies words to memory that nobody can see yet.
    pub fn copy_words(&self, from: u64, to: u64, words: u64) -> Result<()> {
        (0..words * 8).step_by(8).try_for_each(|at| {
            let value = self.memory.unit(from + at, 8)?;
            match self.begun.as_ref().filter(|begun| !begun.is_new(to + at)) {
                Some(begun) => begun.write_unit(to + at, 8, value),
                None => self.memory.store(to + at, 8, value),
            }
        })
    }

    /// Stores a word of the header that nobody looks at yet.
    pub fn store_word(&self, index: usize, value: u64) -> Result<()> {
        if let Some(begun) = &self.begun {
            return begun.set_word(&self.memory.words[index], value);
        }
        killable();
        self.memory.words[index].store(value, Ordering::Release);
        Ok(())
    }

    /// Says what a word of the header is to become.
    #[inline]
    pub fn set_word(&mut self, index: usize, value: u64) -> Result<()> {
        if let Some(begun) = &self.begun {
            return begun.set_word(&self.memory.words[index], value);
        }
        self.note(HEADER | index as u64, value)
    }

    /// Says what a value of the contents is to become.
    pub fn set_value<T: Persist>(&mut self, offset: u64, value: &T) -> Result<()> {
        let len = size_of::<T>() as u64;
        if offset > OFFSET || len > LEN {
            return Err(Error::Unsupported("a value in a container has less than 1 MiB"));
        }
        if let Some(begun) = &self.begun {
            return begun.write(offset, value);
        }
        let what = offset | len << LEN_SHIFT;
        match len {
            0 => Ok(()),
            _ if len == unit_of::<T>() => {
                let mut only = 0;
                take_apart(value, |_, unit| {
                    only = unit;
                    Ok(())
                })?;
                self.note(what, only)
            }
            _ => {
                let staged = self.alloc(len, align_of::<T>() as u64)?;
                self.init(staged, value)?;
                self.free(staged);
                self.note(what | COPY, staged)
            }
        }
    }

    fn note(&mut self, what: u64, value: u64) -> Result<()> {
        let Some([first, second]) = self.log.get(2 * self.entries..2 * self.entries + 2) else {
            return Err(Error::Unsupported("a change of a container has at most four words"));
        };
        killable();
        first.store(what, Ordering::Relaxed);
        killable();
        second.store(value, Ordering::Relaxed);
        self.entries += 1;
        Ok(())
    }

    /// Stores one word of the header at once. Only for a change that takes
    /// nothing from what a reader may be looking at.
    #[inline]
    pub fn publish(mut self, index: usize, value: u64) -> Result<()> {
        if self.begun.is_some() {
            self.set_word(index, value)?;
            return self.commit();
        }
        self.made.clear();
        killable();
        self.memory.words[index].store(value, Ordering::Release);
        Ok(())
    }

    /// Makes the change.
    pub fn commit(mut self) -> Result<()> {
        if let Some(mut begun) = self.begun.take() {
            self.doomed.drain(..).for_each(|block| begun.free(block));
            return begun.commit();
        }
        next(self.state, self.entries);
        // It has happened: from here on nothing may be undone.
        self.made.clear();
        self.memory.log = &self.log[..2 * self.entries];
        self.memory.apply()?;
        next(self.state, 0);
        for block in std::mem::take(&mut self.doomed) {
            killable();
            // A block that is none was never ours: the change stands all the same.
            let _ = self.core.heap_free(self.slot, block);
        }
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody knows how far it got: as after a kill, the blocks are lost.
            return;
        }
        for block in self.made.drain(..) {
            let _ = self.core.heap_free(self.slot, block);
        }
    }
}
