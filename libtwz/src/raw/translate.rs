// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hot path: from a pointer's bits and the address it lies at, to an address.
//!
//! Each slot has a row of words, one for each of the first 512 entries of its
//! object's FOT, that says where the entry's target is mapped. A slot's base is
//! 1 GiB aligned, so the low 30 bits of a word are free to hold where the
//! target's data ends, and its top bit says that the mapping is read-only:
//!
//! ```text
//! bit 63    read-only
//! 62..30    base of the target's slot
//! 29..0     slot offset of the end of the target's data
//! ```
//!
//! Word 0 of a row is the object itself. A word of 0 means "not known", and the
//! slow path ([`crate::space`]) fills it in. Rows are dropped as a whole when
//! the pool's generation has moved. In instructions: a local pointer costs a
//! mask, an add and a check against one cached word; a foreign one two cached
//! loads more, and the comparison of two words that sit in every core's cache.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use twz_abi::{DATA_START, PtrBits, SLOT};

use super::arena::{ARENA, Arena, ROW_WORDS, ROWS, SLOT_BYTES, STORE_WORDS, STORES, arena_of};

const READ_ONLY: u64 = 1 << 63;
const END_MASK: u64 = SLOT - 1;
const BASE_MASK: u64 = !(READ_ONLY | END_MASK);
/// FOT entries that a row can hold.
const CACHED: usize = 512;

/// Where a slot's object is mapped and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation(u64);

impl Translation {
    /// A target at `base` whose data ends at slot offset `end`.
    pub fn new(base: usize, end: u64, writable: bool) -> Self {
        Self(base as u64 & BASE_MASK | end & END_MASK | if writable { 0 } else { READ_ONLY })
    }

    /// First address of the target's slot.
    #[inline(always)]
    pub fn base(self) -> usize {
        (self.0 & BASE_MASK) as usize
    }

    /// Slot offset of the end of the target's data.
    #[inline(always)]
    pub fn end(self) -> u64 {
        self.0 & END_MASK
    }

    /// Whether the mapping may be stored through.
    #[inline(always)]
    pub fn writable(self) -> bool {
        self.0 & READ_ONLY == 0
    }

    /// The address of `len` bytes at `offset`, if they lie in the data.
    #[inline(always)]
    pub fn place(self, offset: u64, len: u64) -> Option<usize> {
        // `offset` has 40 bits and `len` is the size of a type: no overflow.
        (offset >= DATA_START && offset + len <= self.end()).then(|| self.base() + offset as usize)
    }
}

/// A word of the tables in slot 0, by its address.
#[inline(always)]
fn word(address: usize) -> &'static AtomicU64 {
    // SAFETY: callers compute `address` from the base of a live arena, inside
    // its metadata, which is readable and writable and never unmapped while
    // the arena lives; and it is a multiple of 8. The lifetime is that of the
    // expression it is used in: no caller keeps it.
    unsafe { &*(address as *const AtomicU64) }
}

/// The translation of `bits` as found in an object at `address`, if cached and
/// still good. `None` sends the caller to the slow path.
///
/// `address` must lie in a live arena: the caller has a reference to it.
#[inline(always)]
pub fn cached(address: usize, bits: PtrBits) -> Option<Translation> {
    let arena = address & !(ARENA - 1);
    let slot = (address & (ARENA - 1)) / SLOT_BYTES;
    let row = arena + ROWS + slot * (ROW_WORDS * 8);
    let index = bits.index() as usize;
    if index == 0 {
        // The base needs no load: only the end does, off the critical path.
        let own = word(row).load(Ordering::Relaxed);
        let base = (address & !(SLOT_BYTES - 1)) as u64;
        return (own != 0).then_some(Translation(base | own & !BASE_MASK));
    }
    if index >= CACHED
        || word(arena).load(Ordering::Relaxed) != word(arena + 4096 + 8).load(Ordering::Relaxed)
    {
        return None;
    }
    let target = word(row + index * 8).load(Ordering::Acquire);
    (target != 0).then_some(Translation(target))
}

/// Whether an address lies in a live arena, outside its slot 0.
#[inline(always)]
pub fn in_object(address: usize) -> bool {
    match arena_of(address) {
        Some(base) => address - base >= SLOT_BYTES,
        None => false,
    }
}

/// Whether the mapping that `address` lies in may be stored through. Private
/// memory may; in an object the slot's own translation says.
#[inline(always)]
pub fn may_store(address: usize) -> Option<bool> {
    match in_object(address) {
        false => Some(true),
        true => cached(address, PtrBits::NULL).map(Translation::writable),
    }
}

/// What to remember of a slow translation, with the generation it was made under.
pub struct Pending {
    generation: u64,
    epoch: u64,
}

impl Arena {
    /// Call before a slow translation: takes note of the generation, and drops
    /// what is cached if it has moved.
    pub fn begin_translation(&self) -> Pending {
        let epoch = self.epoch().load(Ordering::Acquire);
        let generation = self.generation().load(Ordering::Acquire);
        if self.seen().load(Ordering::Acquire) != generation {
            self.forget_translations();
            self.seen().store(generation, Ordering::Release);
        }
        Pending { generation, epoch }
    }

    /// Whether what was noted then still holds.
    fn still(&self, pending: &Pending) -> bool {
        // Pairs with `forget_all` and with a bumped generation: either they
        // come after the store this follows, and drop it, or we see them here.
        fence(Ordering::SeqCst);
        self.generation().load(Ordering::Acquire) == pending.generation
            && self.epoch().load(Ordering::Acquire) == pending.epoch
    }

    /// Remembers a slow translation, unless what it rests on has changed
    /// meanwhile.
    pub fn remember(&self, pending: &Pending, slot: u32, index: u32, target: Translation) {
        let Some(word) = self.row(slot).get(index as usize).filter(|_| (index as usize) < CACHED)
        else {
            return;
        };
        word.store(target.0, Ordering::Release);
        if !self.still(pending) {
            word.store(0, Ordering::Release);
        }
    }

    /// Forgets what a slot's own words say, as its object has been resized.
    pub fn forget_slot(&self, slot: u32) {
        for word in self.row(slot) {
            word.store(0, Ordering::Release);
        }
    }
}

/// The FOT index through which the object at `address` reaches the slot of
/// `target`, if a store went there before and nothing has changed since.
///
/// Both addresses must lie in live arenas.
#[inline(always)]
pub fn cached_store(address: usize, target: usize) -> Option<u32> {
    let arena = address & !(ARENA - 1);
    if target & !(ARENA - 1) != arena {
        return None;
    }
    let (from, to) = ((address & (ARENA - 1)) / SLOT_BYTES, (target & (ARENA - 1)) / SLOT_BYTES);
    if from == to {
        return Some(0);
    }
    if word(arena).load(Ordering::Relaxed) != word(arena + 4096 + 8).load(Ordering::Relaxed) {
        return None;
    }
    let known =
        word(arena + STORES + (from * STORE_WORDS + to % STORE_WORDS) * 8).load(Ordering::Relaxed);
    (known >> 32 == to as u64).then_some(known as u32)
}

impl Arena {
    /// Remembers through which entry a slot's object reaches another slot.
    pub fn remember_store(&self, pending: &Pending, from: u32, to: u32, index: u32) {
        let word = &self.stores(from)[to as usize % STORE_WORDS];
        word.store((to as u64) << 32 | index as u64, Ordering::Release);
        if !self.still(pending) {
            word.store(0, Ordering::Release);
        }
    }
}
