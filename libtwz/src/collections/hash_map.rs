// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values by key, in no order.
//!
//! ```text
//! header  table, length, slots that are not empty, hash key (2)
//! ```
//!
//! Keys are equal if their bytes are: a `Persist` type has no padding. The hash
//! is SipHash-1-3 of those bytes under a random key of the map's own, so that
//! nobody can choose keys that collide; it is the same on every machine.
//! [`super::table`] has the rest of the layout.

use std::marker::PhantomData;

use super::{
    header::{Change, Header, Memory},
    siphash::siphash,
    table::{EMPTY, Found, REMOVED, Table, tag_of},
};
use crate::{
    Object, Persist, Writer,
    error::{Error, Result},
    raw::{sys, value::take_apart, value::unit_of},
};

const TABLE: usize = 0;
const LENGTH: usize = 1;
const USED: usize = 2;
const HASH_KEY: usize = 3;
/// Entries that an iterator takes out at a time.
const BATCH: usize = 64;

/// Values by key. See [`crate::collections`].
#[repr(C)]
pub struct HashMap<K, V> {
    header: Header<5>,
    _types: PhantomData<fn() -> (K, V)>,
}

// Words only, each of which may be anything.
crate::persist::persist_leaf!([K: Persist, V: Persist] HashMap<K, V>, "HashMap", K, V);

impl<K, V> Default for HashMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> HashMap<K, V> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { header: Header::new(), _types: PhantomData }
    }
}

fn hash<K: Persist>(memory: &Memory<'_>, key: &K) -> u64 {
    let mut bytes = [0u8; 64];
    let mut long = std::vec::Vec::new();
    let mut len = 0;
    let unit = unit_of::<K>() as usize;
    let _ = take_apart(key, |_, value| {
        let value = value.to_le_bytes();
        match bytes.get_mut(len..len + unit) {
            Some(into) if long.is_empty() => into.copy_from_slice(&value[..unit]),
            _ => {
                if long.is_empty() {
                    long.extend_from_slice(&bytes[..len]);
                }
                long.extend_from_slice(&value[..unit]);
            }
        }
        len += unit;
        Ok(())
    });
    let key = [memory.word(HASH_KEY), memory.word(HASH_KEY + 1)];
    siphash(key, if long.is_empty() { &bytes[..len] } else { &long })
}

impl<K: Persist + Copy, V: Persist> HashMap<K, V> {
    /// Has the contents come from the heap of another object; only while there
    /// are none and never were.
    pub fn set_home<O, H>(&self, writer: &Writer<'_, O>, object: &Object<H>) -> Result<()> {
        self.header.set_home(writer, object, |memory| memory.word(TABLE) == 0)
    }

    fn table(memory: &Memory<'_>) -> Result<Table<K, V>> {
        Table::check(memory, memory.word(TABLE))
    }

    /// How many keys there are.
    pub fn len(&self) -> Result<u64> {
        self.header.read(|memory| Ok(memory.word(LENGTH)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The slot of a key.
    #[inline]
    fn slot(memory: &Memory<'_>, key: &K) -> Result<Option<(Table<K, V>, u64)>> {
        let table = Self::table(memory)?;
        match table.find(memory, key, hash(memory, key))? {
            Some(Found::Key(slot)) => Ok(Some((table, slot))),
            _ => Ok(None),
        }
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &K) -> Result<bool> {
        self.header.read(|memory| Ok(Self::slot(memory, key)?.is_some()))
    }

    /// A reference to the value of a key.
    pub fn get_ref(&self, key: &K) -> Result<Option<&V>> {
        let place = self
            .header
            .read(|memory| Ok(Self::slot(memory, key)?.map(|(table, slot)| table.value(slot))))?;
        place.map(|place| self.header.reference(place)).transpose()
    }

    /// Sets the value of a key; returns whether the key is new.
    pub fn insert<O>(&self, writer: &Writer<'_, O>, key: K, value: V) -> Result<bool> {
        let mut change = self.header.change(writer)?;
        let mut table = Self::table(&change.memory)?;
        if table.at == 0 {
            self.choose_key(&change)?;
        }
        let hash = hash(&change.memory, &key);
        let (length, mut used) = (change.memory.word(LENGTH), change.memory.word(USED));
        let (slot, there) = match table.find(&change.memory, &key, hash)? {
            Some(Found::Key(slot)) => {
                change.set_value(table.value(slot), &value)?;
                change.commit()?;
                return Ok(false);
            }
            Some(Found::Room(slot, REMOVED)) => (slot, REMOVED),
            Some(Found::Room(slot, there)) if used < table.slots / 8 * 7 => (slot, there),
            _ => {
                table = Self::rebuild(&mut change, &table)?;
                used = length;
                let free = Self::free_slot(&change.memory, &table, hash)?;
                (free, EMPTY)
            }
        };
        change.init(table.key(slot), &key)?;
        change.init(table.value(slot), &value)?;
        change.set_value(table.tag(slot), &tag_of(hash))?;
        change.set_word(LENGTH, length.saturating_add(1))?;
        change.set_word(USED, used.saturating_add((there == EMPTY) as u64))?;
        change.commit()?;
        Ok(true)
    }

    /// Nobody can have hashed anything yet.
    fn choose_key(&self, change: &Change<'_>) -> Result<()> {
        let random = sys::random::<16>()?;
        let (first, second) = random.split_at(8);
        for (i, half) in [first, second].into_iter().enumerate() {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(half);
            change.store_word(HASH_KEY + i, u64::from_le_bytes(bytes))?;
        }
        Ok(())
    }

    /// A table with room for at least twice the keys there are, with all of them.
    fn rebuild(change: &mut Change<'_>, old: &Table<K, V>) -> Result<Table<K, V>> {
        let keys = change.memory.word(LENGTH).min(old.slots);
        let slots = ((keys + 1) * 2).next_power_of_two().max(8);
        let bytes = Table::<K, V>::bytes(slots).ok_or(Error::BadSize(slots))?;
        let table = Table::<K, V>::new(change.alloc(bytes, Table::<K, V>::ALIGN)?, slots);
        change.init(table.at, &Table::<K, V>::head(slots))?;
        (0..slots).try_for_each(|slot| change.init(table.tag(slot), &EMPTY))?;
        for slot in 0..old.slots {
            let tag: u64 = change.memory.value(old.tag(slot))?;
            if tag == EMPTY || tag == REMOVED {
                continue;
            }
            let key: K = change.memory.value(old.key(slot))?;
            let to = Self::free_slot(&change.memory, &table, hash(&change.memory, &key))?;
            change.init(table.key(to), &key)?;
            change.init(table.value(to), &change.memory.value::<V>(old.value(slot))?)?;
            change.init(table.tag(to), &tag)?;
        }
        change.set_word(TABLE, table.at)?;
        if old.at != 0 {
            change.free(old.at);
        }
        Ok(table)
    }

    /// The first empty slot for a hash.
    fn free_slot(memory: &Memory<'_>, table: &Table<K, V>, hash: u64) -> Result<u64> {
        for i in 0..table.slots {
            let slot = ((hash >> 2) + i) & (table.slots - 1);
            if memory.value::<u64>(table.tag(slot))? == EMPTY {
                return Ok(slot);
            }
        }
        Err(super::CORRUPT)
    }

    /// Takes all keys away, and gives their memory back.
    pub fn clear<O>(&self, writer: &Writer<'_, O>) -> Result<()> {
        let mut change = self.header.change(writer)?;
        let table = Self::table(&change.memory)?;
        if table.at != 0 {
            change.free(table.at);
        }
        for word in [TABLE, LENGTH, USED] {
            change.set_word(word, 0)?;
        }
        change.commit()
    }
}

impl<K: Persist + Copy, V: Persist + Copy> HashMap<K, V> {
    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.header.read(|memory| match Self::slot(memory, key)? {
            Some((table, slot)) => memory.value(table.value(slot)).map(Some),
            None => Ok(None),
        })
    }

    /// Takes a key away; returns its value.
    pub fn remove<O>(&self, writer: &Writer<'_, O>, key: &K) -> Result<Option<V>> {
        let mut change = self.header.change(writer)?;
        let Some((table, slot)) = Self::slot(&change.memory, key)? else { return Ok(None) };
        let value = change.memory.value(table.value(slot))?;
        let after = (slot + 1) & (table.slots - 1);
        // With nothing after it, no search needs to pass it.
        let last = change.memory.value::<u64>(table.tag(after))? == EMPTY;
        change.set_value(table.tag(slot), if last { &EMPTY } else { &REMOVED })?;
        let length = change.memory.word(LENGTH).saturating_sub(1);
        change.set_word(LENGTH, length)?;
        let used = change.memory.word(USED).saturating_sub(last as u64);
        change.set_word(USED, used)?;
        change.commit()?;
        Ok(Some(value))
    }

    /// Keys and values from slot `from` of the table at `at`, and where to go on.
    fn batch(&self, at: Option<u64>, from: u64) -> Result<Batch<K, V>> {
        self.header.read(|memory| {
            let table = Self::table(memory)?;
            if at.is_some_and(|at| at != table.at) {
                return Err(Error::Busy {
                    what: "the map was rebuilt while it was walked; walk it under its lock",
                });
            }
            let (mut found, mut slot) = (std::vec::Vec::new(), from);
            while slot < table.slots && found.len() < BATCH {
                let tag: u64 = memory.value(table.tag(slot))?;
                if tag != EMPTY && tag != REMOVED {
                    found.push((memory.value(table.key(slot))?, memory.value(table.value(slot))?));
                }
                slot += 1;
            }
            Ok(Batch { table: table.at, next: (slot < table.slots).then_some(slot), found })
        })
    }

    /// All keys with their values, in no order. What changes meanwhile may be
    /// seen or not; if the table is rebuilt meanwhile, the last item is an error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, V)>> + '_ {
        let (mut table, mut next) = (None, Some(0));
        std::iter::from_fn(move || {
            let items: std::vec::Vec<Result<(K, V)>> = match self.batch(table, next?) {
                Ok(batch) => {
                    (table, next) = (Some(batch.table), batch.next);
                    batch.found.into_iter().map(Ok).collect()
                }
                Err(error) => {
                    next = None;
                    vec![Err(error)]
                }
            };
            Some(items)
        })
        .flatten()
    }
}

struct Batch<K, V> {
    table: u64,
    next: Option<u64>,
    found: std::vec::Vec<(K, V)>,
}
