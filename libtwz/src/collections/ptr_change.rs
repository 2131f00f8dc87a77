// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a [`super::PtrMap`] changes: one store of a pointer, with what has to be there
//! before it and what is counted after it; or a table that takes another one's place.
//! [`super::ptr_table`] has the layout, [`super::ptr_map`] who asks for a change.

use std::sync::atomic::{AtomicU64, Ordering::*};

use twz_abi::{DATA_START, PtrBits};

use super::{
    CORRUPT, PtrMap,
    header::killable,
    ptr_table::{BATCH, PLACE, Slot, Table, place_of, word_of},
};
use crate::{
    Object, Persist, Writer,
    error::{Error, Result},
    ptr::writable,
    raw::{object as memory, sys, translate::Home},
};

/// Where something is.
#[inline(always)]
pub fn address<A>(place: &A) -> usize {
    (&raw const *place) as usize
}

/// How many slots of so many may be in use.
#[inline(always)]
pub fn most(slots: usize) -> u64 {
    slots as u64 / 4 * 3
}

/// The right to change a map, which is in order.
pub struct Change<'a, O, T, const W: usize> {
    pub map: &'a PtrMap<T, W>,
    pub object: &'a Object<O>,
    pub home: Home,
    pub durable: bool,
}

impl<'a, O, T: Persist, const W: usize> Change<'a, O, T, W> {
    /// The right to a change that need not survive a power cut, if all is in order.
    #[inline(always)]
    pub fn quick(map: &'a PtrMap<T, W>, writer: &Writer<'a, O>) -> Option<Self> {
        let (object, home) = (writer.object(), Home::of(address(map))?);
        let ordinary = home.base() == object.address()
            && home.may_store()
            && writer.session().is_none()
            && !object.space().core().durable()
            && map.is_settled();
        ordinary.then_some(Self { map, object, home, durable: false })
    }

    pub fn begin(map: &'a PtrMap<T, W>, writer: &Writer<'a, O>) -> Result<Self> {
        let (object, home) = (writer.object(), map.home()?);
        if home.base() != object.address() {
            return Err(Error::NotInObject);
        }
        if writer.session().is_some() {
            return Err(Error::Unsupported("a PtrMap cannot be changed in a transaction"));
        }
        writable(map)?;
        let change = Self { map, object, home, durable: object.space().core().durable() };
        if !map.is_settled() {
            change.settle()?;
        }
        Ok(change)
    }

    #[inline(always)]
    pub fn table(&self, kind: usize) -> Result<Table<'a, T, W>> {
        self.map.table(self.home, kind, self.map.tables[kind & 1].get())
    }

    /// Counts a table's slots in use anew; whether there is room, other than was thought.
    #[cold]
    pub fn recount(&self, table: &Table<'a, T, W>) -> bool {
        let (count, (_, used)) = (&self.map.used[table.kind & 1], table.count());
        let room = used < most(table.slots.len()) && count.load(Relaxed) != used;
        if room {
            count.store(used, Relaxed);
        }
        room
    }

    /// Chooses the hash key, if there is none, or counts anew what one that was
    /// killed may have counted wrong.
    #[cold]
    fn settle(&self) -> Result<()> {
        let map = self.map;
        if map.mix[0].load(Relaxed) == 0 {
            for word in std::iter::once(&map.seed).chain(map.mix.iter().rev()) {
                // The factors odd and large; the first one last.
                word.store(u64::from_le_bytes(sys::random()?) | 1 | 1 << 63, Relaxed);
            }
            // The first key has them made durable before it is there.
            return Ok(());
        }
        let mut len = 0;
        for kind in 0..2 {
            let (live, used) = self.table(kind)?.count();
            map.used[kind].store(used, Relaxed);
            len += live;
        }
        map.len.store(len, Relaxed);
        if self.durable {
            // After a power cut nobody vouches for the old ones.
            self.flush(map)?;
            self.object.space().fence();
        }
        map.busy.store(0, Relaxed);
        Ok(())
    }

    /// The step in which a change happens; `counts` are to be added then, to the
    /// keys and to the slots in use of a table.
    #[inline(always)]
    pub fn point(
        &self,
        slot: &Slot<T, W>,
        bits: PtrBits,
        counts: (u64, u64),
        kind: usize,
    ) -> Result<()> {
        let map = self.map;
        killable();
        map.busy.store(1, Release);
        if self.durable {
            self.before(slot, bits)?;
        }
        killable();
        // It may be written, as the map may.
        slot.value.put_unasked(bits);
        let add = |word: &AtomicU64, by| {
            killable();
            word.store(word.load(Relaxed).wrapping_add(by), Relaxed)
        };
        add(&map.len, counts.0);
        add(&map.used[kind & 1], counts.1);
        if self.durable {
            self.flush(slot)?;
            self.flush(map)?;
            self.object.space().fence();
        }
        killable();
        // If this is not there after a power cut, all is counted anew.
        map.busy.store(0, Release);
        Ok(())
    }

    /// All that the pointer needs is durable before it is there.
    #[cold]
    fn before(&self, slot: &Slot<T, W>, bits: PtrBits) -> Result<()> {
        if bits.index() as u64 > self.map.durable.load(Relaxed) {
            // Its entry of the table, too.
            self.object.sync()?;
            self.map.durable.store(bits.index() as u64, Relaxed);
        }
        self.flush(slot)?;
        self.flush(self.map)?;
        self.object.space().fence();
        Ok(())
    }

    /// Sends something that is in the object on its way, where that matters.
    pub fn flush<V>(&self, value: &V) -> Result<()> {
        let at = self.data_offset(address(value));
        if self.durable { self.object.flush(at, size_of::<V>() as u64) } else { Ok(()) }
    }

    /// Where in the object's data an address is.
    pub fn data_offset(&self, address: usize) -> u64 {
        (address - self.object.address()) as u64 - DATA_START
    }

    /// Puts a long key into the object: where it is.
    pub fn keep(&self, key: &[u8]) -> Result<u64> {
        self.object.space().transaction(|tx| {
            let at = tx.take(self.object, 8 + key.len() as u64, 8)?;
            let own = self.object.space().core().own(self.object.slot())?;
            memory::write_bytes(own, at, &(key.len() as u64).to_le_bytes())?;
            memory::write_bytes(own, at + 8, key)?;
            Ok(at)
        })
    }

    /// Moves all keys to a table with room for so many, or for twice those there are.
    #[cold]
    pub fn rebuild(&self, old: &Table<'a, T, W>, keys: u64) -> Result<()> {
        let (map, live) = (self.map, old.count().0);
        let keys = keys.max(live * 2).min(1 << 30);
        let slots = (keys / 3 * 4 + BATCH as u64).next_multiple_of(64);
        map.busy.store(1, Release);
        self.object.space().transaction(|tx| {
            let at = tx.take(self.object, slots * size_of::<Slot<T, W>>() as u64, 64)?;
            let word = word_of(at, slots, old.word);
            let new = map.table(self.home, old.kind, word)?;
            // All of it may be written, as the map may.
            new.slots.iter().for_each(|slot| slot.value.put_unasked(PtrBits::NULL));
            for slot in old.slots.iter().filter(|slot| !slot.value.is_null()) {
                if slot.is_live() {
                    let to = new.from(old.hash(slot), |to| to.value.is_null().then_some(to));
                    let Some(to) = to else { return Err(CORRUPT) };
                    to.set_words(slot.words());
                    to.value.put_unasked(slot.value.bits());
                } else if old.kind == 1 {
                    tx.give(self.object, slot.key[0].load(Relaxed) & PLACE)?;
                }
            }
            if old.word != 0 {
                tx.give(self.object, place_of(old.word))?;
            }
            tx.set(&map.tables[old.kind], word)
        })?;
        killable();
        map.used[old.kind & 1].store(live, Relaxed);
        killable();
        map.len.store(live + self.table(1 - (old.kind & 1))?.count().0, Relaxed);
        killable();
        map.busy.store(0, Release);
        Ok(())
    }
}
