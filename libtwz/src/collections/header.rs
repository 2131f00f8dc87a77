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
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
};

use twz_abi::{ObjectId, Rights};

use super::CORRUPT;
use crate::{
    Object, Persist, Ptr, Writer,
    error::{Error, Result},
    ptr::writable,
    raw::{
        object::place,
        translate::Translation,
        value::{put_together, take_apart, unit_of},
    },
    space::Core,
    translate::{home_of, target_of},
};

/// Where a test kills a writer: before everything it stores.
#[cfg(test)]
use super::tests::killable;
#[cfg(not(test))]
#[inline(always)]
fn killable() {}

/// Entries of the log.
const LOG: usize = 4;
/// Times that a reader starts over.
const ROUNDS: u32 = 1 << 20;
const PENDING: u64 = 7;

/// The first word of a log entry.
const OFFSET: u64 = (1 << 40) - 1;
const LEN_SHIFT: u32 = 40;
const LEN: u64 = (1 << 20) - 1;
/// The second word is the place that the new value is to be copied from.
const COPY: u64 = 1 << 62;
/// It is a word of the header; the offset is its number.
const HEADER: u64 = 1 << 63;

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
        Memory { words, log, home: Cell::new(home), renewed: Cell::new(false) }
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
            let seen = look(&self.memory(home, (state & PENDING) as usize));
            fence(Ordering::Acquire);
            if self.state.load(Ordering::Relaxed) == state {
                return seen;
            }
            if round % 32 == 0 {
                std::thread::yield_now();
            }
        }
        Err(Error::Busy { what: "the container keeps changing while it is read; try again" })
    }

    /// A reference to a value of the contents.
    pub fn reference<T: Persist>(&self, offset: u64) -> Result<&T> {
        let memory = self.memory(self.home()?, 0);
        memory.at::<AtomicU8>(offset)?;
        // By now the translation is as new as need be.
        place(self, memory.home.get(), offset)
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
        if pending != 0 {
            self.memory(core.refresh(slot)?, pending).apply()?;
            next(&self.state, 0);
        }
        let (state, log) = (&self.state, &self.log);
        let memory = self.memory(home, 0);
        let (made, doomed) = (std::vec::Vec::new(), std::vec::Vec::new());
        Ok(Change { core, slot, memory, state, log, entries: 0, made, doomed })
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

/// A container's words and contents, as one reader or writer looks at them.
pub(super) struct Memory<'a> {
    words: &'a [AtomicU64],
    /// Entries in force.
    log: &'a [AtomicU64],
    home: Cell<Translation>,
    renewed: Cell<bool>,
}

impl<'a> Memory<'a> {
    /// A word of the header.
    #[inline(always)]
    pub fn word(&self, index: usize) -> u64 {
        for entry in self.log.chunks_exact(2) {
            let what = entry[0].load(Ordering::Relaxed);
            if what & HEADER != 0 && what & OFFSET == index as u64 {
                return entry[1].load(Ordering::Relaxed);
            }
        }
        self.words[index].load(Ordering::Acquire)
    }

    /// A place of the contents.
    #[inline(always)]
    fn at<T: Persist>(&self, offset: u64) -> Result<&'a T> {
        match place(self.words, self.home.get(), offset) {
            Ok(value) => Ok(value),
            Err(error) => self.renew(error).and_then(|home| place(self.words, home, offset)),
        }
    }

    /// The data may have grown since its end was remembered.
    #[cold]
    fn renew(&self, error: Error) -> Result<Translation> {
        if self.renewed.replace(true) {
            return Err(error);
        }
        let (core, own) = home_of(self.words)?;
        let slot = core.arena().slot_of(self.home.get().base()).ok_or(Error::NotInObject)?;
        core.arena().forget_slot(own);
        self.home.set(core.refresh(slot)?);
        Ok(self.home.get())
    }

    /// `size` bytes, a power of two up to 8, as they are in memory.
    #[inline(always)]
    fn load(&self, offset: u64, size: u64) -> Result<u64> {
        Ok(match size {
            1 => self.at::<AtomicU8>(offset)?.load(Ordering::Relaxed) as u64,
            2 => self.at::<AtomicU16>(offset)?.load(Ordering::Relaxed) as u64,
            4 => self.at::<AtomicU32>(offset)?.load(Ordering::Relaxed) as u64,
            _ => self.at::<AtomicU64>(offset)?.load(Ordering::Acquire),
        })
    }

    #[inline(always)]
    fn store(&self, offset: u64, size: u64, value: u64) -> Result<()> {
        killable();
        match size {
            1 => self.at::<AtomicU8>(offset)?.store(value as u8, Ordering::Relaxed),
            2 => self.at::<AtomicU16>(offset)?.store(value as u16, Ordering::Relaxed),
            4 => self.at::<AtomicU32>(offset)?.store(value as u32, Ordering::Relaxed),
            _ => self.at::<AtomicU64>(offset)?.store(value, Ordering::Relaxed),
        }
        Ok(())
    }

    /// The same as the log would have it.
    #[inline(always)]
    fn unit(&self, offset: u64, size: u64) -> Result<u64> {
        // Each word is loaded once: a writer may be putting others there.
        let logged = self.log.chunks_exact(2).find_map(|entry| {
            let (what, value) =
                (entry[0].load(Ordering::Relaxed), entry[1].load(Ordering::Relaxed));
            let (at, len) = (what & OFFSET, what >> LEN_SHIFT & LEN);
            let covers = what & HEADER == 0 && (at..at + len).contains(&offset);
            covers.then(|| (what, value, offset - at))
        });
        if let Some((what, value, within)) = logged {
            return match what & COPY {
                0 => Ok(value),
                _ => self.load((value & OFFSET) + within, size),
            };
        }
        self.load(offset, size)
    }

    /// A value of the contents.
    #[inline(always)]
    pub fn value<T: Persist>(&self, offset: u64) -> Result<T> {
        put_together(|at| self.unit(offset + at, unit_of::<T>()))
    }

    /// Whether the value at `offset` has the same bytes as this one.
    #[inline(always)]
    pub fn same<T: Persist>(&self, offset: u64, value: &T) -> Result<bool> {
        let mut same = true;
        take_apart(value, |at, unit| {
            same = same && self.unit(offset + at, unit_of::<T>())? == unit;
            Ok(())
        })?;
        Ok(same)
    }

    /// Bytes of the contents from `offset` on, a multiple of 8.
    pub fn bytes(&self, offset: u64, len: u64) -> Result<std::vec::Vec<u8>> {
        // Refuses a length that no object has before making room for it.
        if len != 0 {
            self.at::<AtomicU8>(offset.saturating_add(len - 1))?;
        }
        let mut bytes = std::vec::Vec::with_capacity(len as usize + 8);
        if self.log.is_empty() {
            for at in (0..len / 8).map(|i| i * 8) {
                bytes.extend_from_slice(&self.load(offset + at, 8)?.to_le_bytes());
            }
        }
        for at in bytes.len() as u64..len {
            bytes.push(self.unit(offset + at, 1)? as u8);
        }
        Ok(bytes)
    }

    /// Does what the log says. Doing it twice does no harm.
    fn apply(&self) -> Result<()> {
        for entry in self.log.chunks_exact(2) {
            let (what, value) =
                (entry[0].load(Ordering::Relaxed), entry[1].load(Ordering::Relaxed));
            let (at, len) = (what & OFFSET, what >> LEN_SHIFT & LEN);
            if what & HEADER != 0 {
                killable();
                self.words.get(at as usize).ok_or(CORRUPT)?.store(value, Ordering::Release);
            } else if what & COPY == 0 {
                self.store(at, len, value)?;
            } else {
                let unit = 1 << (at | value | len | 8).trailing_zeros();
                for i in (0..len).step_by(unit as usize) {
                    self.store(at + i, unit, self.load((value & OFFSET) + i, unit)?)?;
                }
            }
        }
        Ok(())
    }
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
}

impl Change<'_> {
    /// Takes a block for what will be visible after the commit.
    pub fn alloc(&mut self, len: u64, align: u64) -> Result<u64> {
        killable();
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
        take_apart(value, |at, unit| self.memory.store(offset + at, unit_of::<T>(), unit))
    }

    /// Copies words to memory that nobody can see yet.
    pub fn copy_words(&self, from: u64, to: u64, words: u64) -> Result<()> {
        (0..words * 8)
            .step_by(8)
            .try_for_each(|at| self.memory.store(to + at, 8, self.memory.load(from + at, 8)?))
    }

    /// Stores a word of the header that nobody looks at yet.
    pub fn store_word(&self, index: usize, value: u64) {
        killable();
        self.memory.words[index].store(value, Ordering::Release);
    }

    /// Says what a word of the header is to become.
    #[inline]
    pub fn set_word(&mut self, index: usize, value: u64) -> Result<()> {
        self.note(HEADER | index as u64, value)
    }

    /// Says what a value of the contents is to become.
    pub fn set_value<T: Persist>(&mut self, offset: u64, value: &T) -> Result<()> {
        let len = size_of::<T>() as u64;
        if offset > OFFSET || len > LEN {
            return Err(Error::Unsupported("a value in a container has less than 1 MiB"));
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
    pub fn publish(mut self, index: usize, value: u64) {
        self.made.clear();
        killable();
        self.memory.words[index].store(value, Ordering::Release);
    }

    /// Makes the change.
    pub fn commit(mut self) -> Result<()> {
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
