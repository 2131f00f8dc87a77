// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many keys of a [`super::PtrMap`] set at once, for who waits for a medium: a key by
//! itself is [`super::ptr_change`]'s, which waits twice for each.
//!
//! A new key is several words, and what is stored and not yet waited for reaches the
//! medium in any order. So all new keys get their slots first, with the pointer of a key
//! that was removed: whatever part of such a slot a power cut leaves, nobody's key is
//! there. When they are durable come the pointers, each of which is one word.

use std::{collections::HashSet, sync::atomic::Ordering::*};

use super::{
    CORRUPT, PtrMap,
    header::killable,
    ptr_change::{Change, address, most},
    ptr_table::{Found, GONE, Probe, Slot, Table},
};
use crate::{Persist, Writer, error::Result, ptr::bits_for, raw::persist::Method};

/// A slot, and what its pointer is to be.
type Place<'a, T, const W: usize> = (&'a Slot<T, W>, twz_abi::PtrBits);

/// A key, and the address of what it is to lead to.
type Pair<'k, const W: usize> = (Probe<'k, W>, usize);

impl<T: Persist, const W: usize> PtrMap<T, W> {
    /// Sets the pointers of many keys, the later of two that are the same. Where they are
    /// to survive a power cut, they do when it has returned, and it has waited for the
    /// medium a few times for all of them. If it fails, or is cut off, any of the keys
    /// are set.
    pub fn insert_all<O>(&self, writer: &Writer<'_, O>, pairs: &[(&[u8], &T)]) -> Result<()> {
        let change = Change::begin(self, writer)?;
        if !change.durable {
            return pairs.iter().try_for_each(|(k, v)| self.insert(writer, k, v).map(|_| ()));
        }
        // From the last one on: an earlier one of the same key is never there.
        let pairs = pairs.iter().rev().map(|(key, value)| (self.probe(key), address(*value)));
        change.set_all(&pairs.collect::<Vec<_>>())
    }
}

impl<'a, O, T: Persist, const W: usize> Change<'a, O, T, W> {
    /// The first of two that are the same.
    fn set_all(&self, pairs: &[Pair<'_, W>]) -> Result<()> {
        let map = self.map;
        let tables = [self.with_room(0, pairs)?, self.with_room(1, pairs)?];
        let mut kept = self.keep_new(&tables[1], pairs)?.into_iter();
        let (mut places, mut fresh) = (Vec::with_capacity(pairs.len()), [vec![], vec![]]);
        let (mut seen, mut index) = (HashSet::new(), 0);
        for (probe, value) in pairs {
            let slot = match tables[probe.kind & 1].find(probe).ok_or(CORRUPT)? {
                Found::Its(slot) => slot,
                Found::Free(slot) => {
                    map.busy.store(1, Release);
                    killable();
                    slot.set_words(match probe.kind {
                        0 => probe.words,
                        _ => [probe.hash | kept.next().ok_or(CORRUPT)?; W],
                    });
                    killable();
                    slot.value.put_unasked(GONE);
                    fresh[probe.kind & 1].push((slot, GONE));
                    slot
                }
            };
            if seen.insert(address(slot)) {
                let bits = bits_for(slot, *value)?;
                index = index.max(bits.index() as u64);
                places.push((slot, bits));
            }
        }
        let entry = index > map.durable.load(Relaxed);
        if entry {
            self.object.sync()?;
            map.durable.store(index, Relaxed);
        }
        let new = places.iter().any(|(slot, _)| !slot.is_live());
        if new {
            map.busy.store(1, Release);
        }
        let counts = fresh.each_ref().map(|fresh| fresh.len() as u64);
        if new || entry {
            self.send(&fresh.concat())?;
            self.object.space().fence();
        }
        self.point_all(&places, counts)
    }

    /// The step in which the keys are there. `fresh` slots of each table are to be counted.
    fn point_all(&self, places: &[Place<'a, T, W>], fresh: [u64; 2]) -> Result<()> {
        let (map, mut new) = (self.map, 0);
        for (slot, bits) in places {
            killable();
            new += !slot.is_live() as u64;
            slot.value.put_unasked(*bits);
        }
        for (count, more) in std::iter::once((&map.len, new)).chain(map.used.iter().zip(fresh)) {
            killable();
            count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
        }
        self.send(places)?;
        self.object.space().fence();
        killable();
        // If this is not there after a power cut, all is counted anew.
        map.busy.store(0, Release);
        Ok(())
    }

    /// A table with room for those of its keys that it has not.
    fn with_room(&self, kind: usize, pairs: &[Pair<'_, W>]) -> Result<Table<'a, T, W>> {
        let mut table = self.table(kind)?;
        let new = pairs.iter().filter(|(probe, _)| is_new(&table, probe)).count() as u64;
        let full = |table: &Table<'a, T, W>| {
            self.map.used[kind & 1].load(Relaxed) + new > most(table.slots.len())
        };
        if new != 0 && full(&table) && (!self.recount(&table) || full(&table)) {
            let (live, _) = table.count();
            self.rebuild(&table, live + new)?;
            table = self.table(kind)?;
        }
        Ok(table)
    }

    /// Puts the long keys into the object that are not there yet, each once: where they are.
    fn keep_new(&self, table: &Table<'a, T, W>, pairs: &[Pair<'_, W>]) -> Result<Vec<u64>> {
        let mut seen = HashSet::new();
        let new = pairs.iter().map(|(probe, _)| probe).filter(|probe| is_new(table, probe));
        let keys: Vec<_> = new.map(|probe| probe.key).filter(|key| seen.insert(*key)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // As one, which is one wait.
        let space = self.object.space();
        space.transaction(|_| keys.iter().map(|key| self.keep(key)).collect())
    }

    /// Sends slots and the header on their way: where a call does that, in one.
    fn send(&self, places: &[Place<'a, T, W>]) -> Result<()> {
        if self.object.space().core().method() != Method::Msync {
            places.iter().try_for_each(|(slot, _)| self.flush(*slot))?;
            return self.flush(self.map);
        }
        let of = |start: usize, len: usize| (start, start + len);
        let slots = places.iter().map(|(slot, _)| of(address(*slot), size_of::<Slot<T, W>>()));
        let header = of(address(self.map), size_of_val(self.map));
        let (start, end) =
            slots.fold(header, |(low, high), (start, end)| (low.min(start), high.max(end)));
        self.object.flush(self.data_offset(start), (end - start) as u64)
    }
}

/// Whether a key belongs into a table and has no slot there.
fn is_new<T: Persist, const W: usize>(table: &Table<'_, T, W>, probe: &Probe<'_, W>) -> bool {
    probe.kind == table.kind && !matches!(table.find(probe), Some(Found::Its(_)))
}
