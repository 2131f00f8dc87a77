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

use twz_abi::{DATA_START, PtrBits, SLOT, pointer::OFFSET_BITS};

use super::arena::{
    ARENA, Arena, CONTROL, ROW_WORDS, ROWS, SLOT_BYTES, STORE_WORDS, STORES, arena_of,
};

const READ_ONLY: u64 = 1 << 63;
const END_MASK: u64 = SLOT - 1;
const BASE_MASK: u64 = !(READ_ONLY | END_MASK);
/// Where the pool's generation is: the second word of the control page.
const GENERATION: usize = CONTROL + 8;
/// Bytes of a row.
const ROW_BYTES: usize = ROW_WORDS * 8;
/// Where in a row the bases begin.
const BASES: usize = ROW_BYTES / 2;
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

/// The row of the slot that `address` lies in.
#[inline(always)]
fn row_of(address: usize) -> usize {
    // The slot's number times ROW_BYTES, which is two powers of 2: two shifts
    // side by side take half as long as a multiplication after a shift.
    const SLOTS: usize = ARENA / SLOT_BYTES - 1;
    const HIGH: u32 = SLOT_BYTES.ilog2() - ROW_BYTES.ilog2();
    const LOW: u32 = SLOT_BYTES.ilog2() - (ROW_BYTES - (1 << ROW_BYTES.ilog2())).ilog2();
    let high = (address >> HIGH) & (SLOTS << (SLOT_BYTES.ilog2() - HIGH));
    let low = (address >> LOW) & (SLOTS << (SLOT_BYTES.ilog2() - LOW));
    (address & !(ARENA - 1)) + ROWS + (high + low)
}

/// Whether what is cached of the arena at `arena` belongs to the pool's generation.
#[inline(always)]
fn current(arena: usize) -> bool {
    word(arena).load(Ordering::Relaxed) == word(arena + GENERATION).load(Ordering::Relaxed)
}

/// The slot that an address lies in, for who takes several steps from there.
///
/// # Invariants
///
/// The slot is one of an arena that was live when this was made, and so is while
/// something in the slot is borrowed.
#[derive(Clone, Copy)]
pub struct Home {
    base: usize,
    row: usize,
}

impl Home {
    /// `None` if the address is in no live arena: a value that was taken out of an
    /// object may hold a pointer, on the stack.
    #[inline(always)]
    pub fn of(address: usize) -> Option<Self> {
        arena_of(address)?;
        Some(Self { base: address & !(SLOT_BYTES - 1), row: row_of(address) })
    }

    /// First address of the slot.
    #[inline(always)]
    pub fn base(self) -> usize {
        self.base
    }

    /// Where the slot's own object goes: if that is not known, nowhere.
    #[inline(always)]
    pub fn own(self) -> Translation {
        Translation(word(self.row).load(Ordering::Relaxed))
    }

    /// Whether the slot's object is known to be one that may be stored to.
    #[inline(always)]
    pub fn may_store(self) -> bool {
        let own = self.own();
        own.0 != 0 && own.writable()
    }

    /// The address that `bits`, found in this slot, lead to, and how many bytes of data
    /// there are from there on, if `len` of them do lie in the target's data and the
    /// translation is cached and still good. `None` sends the caller to the slow path,
    /// which knows why.
    ///
    /// What the next step waits for is short: a local pointer takes one `and` of
    /// its own address, ready before the bits are, and an add; a foreign one a
    /// shift, a load, an `and` and an add. All else is compared on the side. A word
    /// of 0 ends the data at 0, so that nothing is inside it: no test of its own.
    #[inline(always)]
    pub fn resolve(self, bits: PtrBits, len: u64, align: u64) -> Option<(usize, u64)> {
        let index = bits.index() as usize;
        let (offset, base, end) = if index == 0 {
            (bits.0, self.base, self.own().end())
        } else {
            if index >= CACHED || !current(self.base & !(ARENA - 1)) {
                return None;
            }
            let base = word(self.row + BASES + index * 8).load(Ordering::Acquire) as usize;
            let target = Translation(word(self.row + index * 8).load(Ordering::Acquire));
            if target.base() != base {
                return None;
            }
            (bits.offset(), base, target.end())
        };
        let inside = offset >= DATA_START && offset % align == 0 && offset + len <= end;
        inside.then(|| (base + offset as usize, end - offset))
    }

    /// The bits that, stored in this slot, lead to `target`, which may be any address, if
    /// that is a place in a mapped object, this one may be written, and a store went from
    /// here to the target's object before and nothing has changed since. `None` sends the
    /// caller to the slow path.
    #[inline(always)]
    pub fn bits_to_store(self, target: usize) -> Option<PtrBits> {
        let arena = self.base & !(ARENA - 1);
        if (target ^ self.base) & !(ARENA - 1) != 0 || !self.may_store() {
            return None;
        }
        let from = (self.base & (ARENA - 1)) / SLOT_BYTES;
        let to = (target & (ARENA - 1)) / SLOT_BYTES;
        let offset = (target & (SLOT_BYTES - 1)) as u64;
        if from == to {
            return Some(PtrBits(offset));
        }
        let place = arena + STORES + (from * STORE_WORDS + to % STORE_WORDS) * 8;
        let known = word(place).load(Ordering::Relaxed);
        // Slot 0 has no objects; its number is also what an empty word holds.
        if to == 0 || known >> 32 != to as u64 || !current(arena) {
            return None;
        }
        Some(PtrBits(known << OFFSET_BITS | offset))
    }
}

/// The translation of `bits` as found in an object at `address`, if cached and
/// still good. `None` sends the caller to the slow path.
///
/// `address` must lie in a live arena: the caller has a reference to it.
#[inline(always)]
pub fn cached(address: usize, bits: PtrBits) -> Option<Translation> {
    let index = bits.index() as usize;
    if index != 0 && (index >= CACHED || !current(address & !(ARENA - 1))) {
        return None;
    }
    let target = word(row_of(address) + index * 8).load(Ordering::Acquire);
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
        true => may_store_in_object(address),
    }
}

/// The same for an address that lies in an object.
#[inline(always)]
pub fn may_store_in_object(address: usize) -> Option<bool> {
    let own = word(row_of(address)).load(Ordering::Relaxed);
    (own != 0).then_some(own & READ_ONLY == 0)
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
        self.row(slot)[index as usize + BASES / 8].store(target.base() as u64, Ordering::Release);
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
