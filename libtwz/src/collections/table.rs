// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of a [`super::HashMap`]: open addressing, one block.
//!
//! ```text
//! block   fingerprint of key and value, number of slots (a power of two), slots
//! slot    tag, key, value, each as aligned as it must be, a word at least
//! tag     0 empty, 1 removed, else the key's hash with its low bits 10
//! ```
//!
//! A key is looked for from slot `hash / 4 mod slots` on, up to an empty slot.

use std::marker::PhantomData;

use super::{CORRUPT, header::Memory};
use crate::{Persist, error::Result, persist::fingerprint};

/// The slot never had a key, so no search goes past it.
pub const EMPTY: u64 = 0;
/// The slot has no key any more.
pub const REMOVED: u64 = 1;

/// What a hash is in a tag.
pub fn tag_of(hash: u64) -> u64 {
    hash & !3 | 2
}

/// A table, checked.
pub struct Table<K, V> {
    /// Its block, or 0 for the table of an empty map.
    pub at: u64,
    /// How many slots it has.
    pub slots: u64,
    _types: PhantomData<fn() -> (K, V)>,
}

/// What looking for a key found.
pub enum Found {
    /// The slot with the key.
    Key(u64),
    /// The slot to put it in, and its tag.
    Room(u64, u64),
}

const fn up(offset: u64, align: u64) -> u64 {
    let align = if align < 8 { 8 } else { align };
    offset.next_multiple_of(align)
}

const fn larger(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

impl<K: Persist + Copy, V: Persist> Table<K, V> {
    const FINGERPRINT: u64 =
        fingerprint("table", 0, 0, &[("key", K::FINGERPRINT, 0), ("value", V::FINGERPRINT, 0)]);
    /// Alignment of a block.
    pub const ALIGN: u64 = larger(16, larger(align_of::<K>() as u64, align_of::<V>() as u64));
    const KEY: u64 = up(8, align_of::<K>() as u64);
    const VALUE: u64 = up(Self::KEY + size_of::<K>() as u64, align_of::<V>() as u64);
    const SLOT: u64 = up(
        Self::VALUE + size_of::<V>() as u64,
        larger(align_of::<K>() as u64, align_of::<V>() as u64),
    );
    const SLOTS: u64 = Self::ALIGN;

    /// The table of a map that has none yet.
    pub fn none() -> Self {
        Self { at: 0, slots: 0, _types: PhantomData }
    }

    /// A table at `at` with so many slots.
    pub fn new(at: u64, slots: u64) -> Self {
        Self { at, slots, _types: PhantomData }
    }

    /// The table that the block at `at` is alleged to be.
    pub fn check(memory: &Memory<'_>, at: u64) -> Result<Self> {
        if at == 0 {
            return Ok(Self::none());
        }
        if at >= twz_abi::SLOT || memory.value::<u64>(at)? != Self::FINGERPRINT {
            return Err(CORRUPT);
        }
        let slots = memory.value::<u64>(at + 8)?;
        if !slots.is_power_of_two() || slots > twz_abi::SLOT / Self::SLOT {
            return Err(CORRUPT);
        }
        Ok(Self::new(at, slots))
    }

    /// The words at the start of a block.
    pub fn head(slots: u64) -> [u64; 2] {
        [Self::FINGERPRINT, slots]
    }

    /// Bytes of a block; `None` for more than any object has.
    pub fn bytes(slots: u64) -> Option<u64> {
        Some(slots.checked_mul(Self::SLOT)?.checked_add(Self::SLOTS)?.next_multiple_of(8))
    }

    /// Where a slot's tag is.
    pub fn tag(&self, slot: u64) -> u64 {
        self.at + Self::SLOTS + slot * Self::SLOT
    }

    /// Where a slot's key is.
    pub fn key(&self, slot: u64) -> u64 {
        self.tag(slot) + Self::KEY
    }

    /// Where a slot's value is.
    pub fn value(&self, slot: u64) -> u64 {
        self.tag(slot) + Self::VALUE
    }

    /// Looks for a key.
    pub fn find(&self, memory: &Memory<'_>, key: &K, hash: u64) -> Result<Option<Found>> {
        let (tag, mut room) = (tag_of(hash), None);
        for i in 0..self.slots {
            let slot = ((hash >> 2) + i) & (self.slots - 1);
            match memory.value::<u64>(self.tag(slot))? {
                EMPTY => return Ok(Some(room.unwrap_or(Found::Room(slot, EMPTY)))),
                REMOVED => room = room.or(Some(Found::Room(slot, REMOVED))),
                there if there == tag && memory.same(self.key(slot), key)? => {
                    return Ok(Some(Found::Key(slot)));
                }
                _ => {}
            }
        }
        Ok(room)
    }
}
