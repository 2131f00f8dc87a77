// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of a [`super::PtrMap`]: open addressing, and no slot moves.
//!
//! ```text
//! table   slots in a row; a key is looked for from slot hash * slots >> 64 on, up
//!         to one that is null: so a larger table has its keys in the same order
//! slot    pointer (null: free; 8: its key was removed), key (W words)
//! key     in the first table the key, of 8 * W bytes; in the second 34 bits of its
//!         hash, and 30 that say where its length and its bytes are
//! word    what leads to a table: 20 bits of count, 20 of slots / 64, 24 of place / 64
//! ```

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use twz_abi::PtrBits;

use super::{CORRUPT, PtrMap};
use crate::{
    Persist, Ptr,
    error::Result,
    ptr::again,
    raw::{object as memory, translate::Translation},
    translate::target_of,
};

/// The pointer of a key that was removed: nobody's data begins there.
pub const GONE: PtrBits = PtrBits(8);
/// The part of a long key's word that says where it is.
pub const PLACE: u64 = (1 << 30) - 1;
/// Slots that a walk takes at least in one go.
pub const BATCH: usize = 64;

/// A place for a key.
#[repr(C)]
pub struct Slot<T, const W: usize> {
    pub value: Ptr<T>,
    pub key: [AtomicU64; W],
}

crate::persist::persist_leaf!([T: Persist, const W: usize] Slot<T, W>, "PtrMap slot", T);

impl<T, const W: usize> Slot<T, W> {
    /// Whether a key is there.
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        self.value.bits().0 > GONE.0
    }

    /// The key's words.
    #[inline(always)]
    pub fn words(&self) -> [u64; W] {
        self.key.each_ref().map(|word| word.load(Relaxed))
    }

    /// Makes it a key's, while it is null.
    pub fn set_words(&self, words: [u64; W]) {
        self.key.iter().zip(words).for_each(|(word, new)| word.store(new, Relaxed));
    }
}

/// A key that is looked for.
pub struct Probe<'k, const W: usize> {
    pub key: &'k [u8],
    /// Which table.
    pub kind: usize,
    pub hash: u64,
    pub words: [u64; W],
}

/// The slot that the search for a key ends at.
pub enum Found<'a, T, const W: usize> {
    /// The key's own. Only this one a reader may look at: a free one may be another
    /// key's by then.
    Its(&'a Slot<T, W>),
    /// The key has none, and can have this one.
    Free(&'a Slot<T, W>),
}

/// A table, as the word says that leads to it.
pub struct Table<'a, T, const W: usize> {
    pub map: &'a PtrMap<T, W>,
    pub kind: usize,
    pub word: u64,
    pub slots: &'a [Slot<T, W>],
}

/// Where a table is.
pub fn place_of(word: u64) -> u64 {
    (word & 0xff_ffff) << 6
}

/// How many slots it has.
pub fn slots_of(word: u64) -> u64 {
    (word >> 24 & 0xf_ffff) << 6
}

/// The word of a table that comes after the one of `old`.
pub fn word_of(at: u64, slots: u64, old: u64) -> u64 {
    ((old >> 44) + 1) << 44 | slots >> 6 << 24 | at >> 6
}

/// The number of the first slot where a hash is looked for.
#[inline(always)]
pub fn place_in<S>(slots: &[S], hash: u64) -> usize {
    ((hash as u128 * slots.len() as u128) >> 64) as usize
}

impl<'a, T: Persist, const W: usize> Table<'a, T, W> {
    /// The first slot where a hash is looked for.
    #[inline(always)]
    pub fn home(&self, hash: u64) -> usize {
        place_in(self.slots, hash)
    }

    /// What `look` makes of the first slot from there on of which it makes something.
    #[inline(always)]
    pub fn from<R>(&self, hash: u64, look: impl Fn(&'a Slot<T, W>) -> Option<R>) -> Option<R> {
        let (before, after) = self.slots.split_at(self.home(hash));
        after.iter().find_map(&look).or_else(|| before.iter().find_map(&look))
    }

    /// Where a key is, or where to put it; nowhere if the table is full.
    #[inline(always)]
    pub fn find(&self, probe: &Probe<'_, W>) -> Option<Found<'a, T, W>> {
        match self.kind {
            0 => self.from(probe.hash, |slot| match slot.value.bits().0 {
                0 => Some(Found::Free(slot)),
                _ => (0..W)
                    .all(|i| slot.key[i].load(Relaxed) == probe.words[i])
                    .then_some(Found::Its(slot)),
            }),
            _ => self.find_long(probe),
        }
    }

    #[inline(never)]
    pub fn find_long(&self, probe: &Probe<'_, W>) -> Option<Found<'a, T, W>> {
        self.from(probe.hash, |slot| match slot.value.bits().0 {
            0 => Some(Found::Free(slot)),
            _ => {
                let word = slot.key.first().map_or(0, |word| word.load(Relaxed));
                let same = word & !PLACE == probe.hash
                    && self.long(word).is_ok_and(|key| key == probe.key);
                same.then_some(Found::Its(slot))
            }
        })
    }

    /// The bytes of a long key.
    pub fn long(&self, word: u64) -> Result<&'a [u8]> {
        let read = |own: Translation| {
            let len = memory::place_slice::<u8, _>(self.map, own, word & PLACE, 8)?;
            let len = len.try_into().map(u64::from_le_bytes).map_err(|_| CORRUPT)?;
            memory::place_slice(self.map, own, (word & PLACE) + 8, len)
        };
        let own = target_of(self.map, PtrBits::NULL)?;
        read(own).or_else(|_| read(again(self.map, PtrBits::NULL)?))
    }

    /// The hash of a slot's key.
    pub fn hash(&self, slot: &Slot<T, W>) -> u64 {
        match self.kind {
            0 => self.map.hash(slot.words().into_iter()),
            _ => slot.key[0].load(Relaxed) & !PLACE,
        }
    }

    /// The key of a slot.
    pub fn key(&self, slot: &Slot<T, W>) -> Result<Vec<u8>> {
        match self.kind {
            0 => Ok(slot.words().iter().flat_map(|word| word.to_le_bytes()).collect()),
            _ => self.long(slot.key[0].load(Relaxed)).map(<[u8]>::to_vec),
        }
    }

    /// Slots with keys from the place of a hash on, up to a slot that is null: it parts
    /// what has a lower hash from what has a higher one. And where that is, as a hash;
    /// if it is nowhere, keys come too that went round from the end of the table.
    pub fn batch(&self, from: u64) -> (Vec<&'a Slot<T, W>>, Option<u64>) {
        let start = self.home(from);
        let end = self.slots.iter().skip(start + BATCH).position(|slot| slot.value.is_null());
        let end = end.map(|end| start + BATCH + end);
        let all = || self.slots.iter().enumerate();
        let here = all().take(end.unwrap_or(self.slots.len())).skip(start);
        let round = all().take_while(|(_, slot)| end.is_none() && !slot.value.is_null());
        let here = here.map(|(at, slot)| (start..at + 1, slot));
        let round = round.map(|(at, slot)| (start.max(at + 1)..self.slots.len(), slot));
        let own = here
            .chain(round)
            .filter(|(homes, slot)| slot.is_live() && homes.contains(&self.home(self.hash(slot))));
        let next = |end| ((end as u128) << 64).div_ceil(self.slots.len() as u128) as u64;
        (own.map(|(_, slot)| slot).collect(), end.map(next))
    }

    /// How many slots have a pointer, and how many are not null.
    pub fn count(&self) -> (u64, u64) {
        self.slots.iter().fold((0, 0), |(live, used), slot| {
            (live + slot.is_live() as u64, used + !slot.value.is_null() as u64)
        })
    }
}
