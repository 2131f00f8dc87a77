// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pointers by key, for who looks up far more often than anything changes.
//!
//! ```text
//! header  tables (2), slots in use (2), keys, whether a change is under way,
//!         FOT entries that are durable, hash key (1 + W)
//! ```
//!
//! [`super::ptr_table`] has the rest of the layout.
//!
//! Unlike in a [`super::HashMap`] a slot is one key's as long as its table lives,
//! and a change of it is one store of a pointer: no log, and nothing that a reader
//! could see half done. Only a rebuilt table is another one; the word that leads to
//! it counts up, and a reader that finds it changed looks again.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::*, fence},
};

use twz_abi::{DATA_START, PtrBits};

use super::{
    CORRUPT,
    header::killable,
    ptr_table::{BATCH, Found, GONE, PLACE, Probe, Slot, Table, place_of, slots_of, word_of},
};
use crate::{
    Field, Object, Persist, Ptr, Writer,
    error::{Error, Result},
    ptr::{again, bits_for, writable},
    raw::{arena::SLOT_BYTES, object as memory, sys},
    translate::target_of,
};

/// Times that a reader looks again.
const ROUNDS: u32 = 1 << 20;

/// Keys, and what was made of the pointer of each.
type Rows<R> = Vec<(Vec<u8>, R)>;

/// Pointers by key, which may be any bytes; those of `8 * W` bytes are the fast
/// ones. See [`crate::collections`], with two differences: in a transaction it
/// cannot be changed, and its memory is always that of its own object.
#[repr(C)]
pub struct PtrMap<T, const W: usize> {
    tables: [Field<u64>; 2],
    used: [AtomicU64; 2],
    len: AtomicU64,
    busy: AtomicU64,
    durable: AtomicU64,
    seed: AtomicU64,
    mix: [AtomicU64; W],
    _type: PhantomData<fn() -> T>,
}

// Words only, each of which may be anything.
crate::persist::persist_leaf!([T: Persist, const W: usize] PtrMap<T, W>, "PtrMap", T);

impl<T, const W: usize> Default for PtrMap<T, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const W: usize> PtrMap<T, W> {
    /// An empty one.
    pub const fn new() -> Self {
        const { assert!(W > 0, "a key has a word at least") };
        Self {
            tables: [Field::new(0), Field::new(0)],
            used: [const { AtomicU64::new(0) }; 2],
            len: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            seed: AtomicU64::new(0),
            mix: [const { AtomicU64::new(0) }; W],
            _type: PhantomData,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> u64 {
        self.len.load(Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nobody can choose keys that collide without knowing the words it is made with.
    #[inline(always)]
    pub(super) fn hash(&self, words: impl Iterator<Item = u64>) -> u64 {
        words.enumerate().fold(self.seed.load(Relaxed), |hash, (i, word)| {
            let product = (hash ^ word) as u128 * self.mix[i % W].load(Relaxed) as u128;
            product as u64 ^ (product >> 64) as u64
        })
    }

    #[inline(always)]
    fn probe<'k>(&self, key: &'k [u8]) -> Probe<'k, W> {
        let (chunks, rest) = key.as_chunks();
        if key.len() == 8 * W {
            let words = std::array::from_fn(|i| u64::from_le_bytes(chunks[i]));
            return Probe { key, kind: 0, hash: self.hash(words.into_iter()), words };
        }
        let rest = rest.iter().fold(key.len() as u64, |word, &byte| word << 8 | byte as u64);
        let words = chunks.iter().map(|&chunk| u64::from_le_bytes(chunk)).chain([rest]);
        Probe { key, kind: 1, hash: self.hash(words) & !PLACE, words: [0; W] }
    }
}

impl<T: Persist, const W: usize> PtrMap<T, W> {
    #[inline(always)]
    fn table(&self, kind: usize, word: u64) -> Result<Table<'_, T, W>> {
        let own = target_of(self, PtrBits::NULL)?;
        let slots = match memory::place_slice(self, own, place_of(word), slots_of(word)) {
            Ok(slots) => slots,
            Err(_) => self.grown(word)?,
        };
        Ok(Table { map: self, kind, word, slots })
    }

    /// There is none yet, or past the end of the data that is known.
    #[cold]
    #[inline(never)]
    fn grown(&self, word: u64) -> Result<&[Slot<T, W>]> {
        match word {
            0 => Ok(&[]),
            _ => memory::place_slice(
                self,
                again(self, PtrBits::NULL)?,
                place_of(word),
                slots_of(word),
            ),
        }
    }

    /// What `look` makes of a table that was one all the while.
    #[inline(always)]
    fn read<'a, R>(
        &'a self,
        kind: usize,
        look: impl Fn(Table<'a, T, W>) -> Result<R>,
    ) -> Result<R> {
        for _ in 0..ROUNDS {
            let word = self.tables[kind & 1].get();
            fence(Acquire);
            let seen = self.table(kind, word).and_then(&look);
            fence(Acquire);
            if self.tables[kind & 1].get() == word {
                return seen;
            }
        }
        Err(Error::Busy { what: "the map keeps changing while it is read; try again" })
    }

    /// What `look` makes of a key's pointer, or `None` if there is no such key.
    /// It may be called more than once, and only its last answer counts.
    #[inline(always)]
    pub fn with<'a, R>(
        &'a self,
        key: &[u8],
        look: impl Fn(&'a Ptr<T>) -> Result<R>,
    ) -> Result<Option<R>> {
        let probe = self.probe(key);
        self.read(probe.kind, |table| match table.find(&probe) {
            Some(Found::Its(slot)) if slot.is_live() => match look(&slot.value) {
                // Removed since.
                Err(_) if !slot.is_live() => Ok(None),
                seen => seen.map(Some),
            },
            _ => Ok(None),
        })
    }

    /// What a key's pointer leads to.
    pub fn get(&self, key: &[u8]) -> Result<Option<&T>> {
        self.with(key, Ptr::lea)
    }

    /// Whether a key is there; its pointer is not followed.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        Ok(self.with(key, |_| Ok(()))?.is_some())
    }

    /// Some of the keys, with what `look` makes of their pointers, and from where to
    /// go on. A walk begins at 0 and is over when that is 0 again; it sees all keys
    /// that are there from its beginning to its end, whatever changes meanwhile.
    pub fn walk<'a, R>(
        &'a self,
        from: u64,
        look: impl Fn(&'a Ptr<T>) -> R,
    ) -> Result<(u64, Rows<R>)> {
        let kind = (from >> 63) as usize;
        self.read(kind, |table| {
            let (slots, next) = table.batch(from << 1);
            let mut found = Vec::new();
            for slot in slots {
                let seen = (table.key(slot)?, look(&slot.value));
                if slot.is_live() {
                    found.push(seen);
                }
            }
            let end = if kind == 0 { 1 << 63 } else { 0 };
            Ok((next.map_or(end, |next| (kind as u64) << 63 | next.div_ceil(2)), found))
        })
    }

    /// Sets the pointer of a key; returns whether the key is new.
    pub fn insert<O>(&self, writer: &Writer<'_, O>, key: &[u8], value: &T) -> Result<bool> {
        let change = Change::begin(self, writer)?;
        let probe = self.probe(key);
        // Once to find it full; with nobody else at work that will do.
        for _ in 0..2 {
            let table = self.table(probe.kind, self.tables[probe.kind].get())?;
            let most = table.slots.len() as u64 / 4 * 3;
            match table.find(&probe) {
                Some(Found::Its(slot)) => {
                    let new = !slot.is_live();
                    change.point(slot, bits_for(slot, address(value))?, (new as u64, 0), 0)?;
                    return Ok(new);
                }
                Some(Found::Free(slot)) if self.used[probe.kind].load(Relaxed) < most => {
                    killable();
                    slot.set_words(match probe.kind {
                        0 => probe.words,
                        _ => [probe.hash | change.keep(key)?; W],
                    });
                    change.point(slot, bits_for(slot, address(value))?, (1, 1), probe.kind)?;
                    return Ok(true);
                }
                _ => change.rebuild(&table, 0)?,
            }
        }
        Err(CORRUPT)
    }

    /// Takes a key away; returns whether it was there.
    pub fn remove<O>(&self, writer: &Writer<'_, O>, key: &[u8]) -> Result<bool> {
        let change = Change::begin(self, writer)?;
        let probe = self.probe(key);
        match self.table(probe.kind, self.tables[probe.kind].get())?.find(&probe) {
            Some(Found::Its(slot)) if slot.is_live() => {
                change.point(slot, GONE, (u64::MAX, 0), 0)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Makes room for so many keys of `8 * W` bytes.
    pub fn reserve<O>(&self, writer: &Writer<'_, O>, keys: u64) -> Result<()> {
        let table = self.table(0, self.tables[0].get())?;
        match table.slots.len() as u64 / 4 * 3 < keys {
            true => Change::begin(self, writer)?.rebuild(&table, keys),
            false => Ok(()),
        }
    }
}

fn address<A>(place: &A) -> usize {
    (&raw const *place) as usize
}

/// The right to change a map, which is in order.
struct Change<'a, O, T, const W: usize> {
    map: &'a PtrMap<T, W>,
    object: &'a Object<O>,
    durable: bool,
}

impl<'a, O, T: Persist, const W: usize> Change<'a, O, T, W> {
    #[inline(always)]
    fn begin(map: &'a PtrMap<T, W>, writer: &Writer<'a, O>) -> Result<Self> {
        let object = writer.object();
        if address(map) & !(SLOT_BYTES - 1) != object.address() {
            return Err(Error::NotInObject);
        }
        if writer.session().is_some() {
            return Err(Error::Unsupported("a PtrMap cannot be changed in a transaction"));
        }
        writable(map)?;
        let change = Self { map, object, durable: object.space().core().durable() };
        if map.busy.load(Relaxed) != 0 || map.mix[0].load(Relaxed) == 0 {
            change.settle()?;
        }
        Ok(change)
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
            return self.flush(map);
        }
        let mut len = 0;
        for kind in 0..2 {
            let (live, used) = map.table(kind, map.tables[kind].get())?.count();
            map.used[kind].store(used, Relaxed);
            len += live;
        }
        map.len.store(len, Relaxed);
        map.busy.store(0, Relaxed);
        Ok(())
    }

    /// The step in which a change happens; `counts` are to be added then, to the
    /// keys and to the slots in use of a table.
    #[inline(always)]
    fn point(
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
        slot.value.put(bits)?;
        let add = |word: &AtomicU64, by| {
            killable();
            word.store(word.load(Relaxed).wrapping_add(by), Relaxed)
        };
        add(&map.len, counts.0);
        add(&map.used[kind], counts.1);
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

    fn flush<V>(&self, value: &V) -> Result<()> {
        let at = (address(value) - self.object.address()) as u64 - DATA_START;
        if self.durable { self.object.flush(at, size_of::<V>() as u64) } else { Ok(()) }
    }

    /// Puts a long key into the object: where it is.
    fn keep(&self, key: &[u8]) -> Result<u64> {
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
    fn rebuild(&self, old: &Table<'a, T, W>, keys: u64) -> Result<()> {
        let (map, live) = (self.map, old.count().0);
        let keys = keys.max(live * 2).min(1 << 30);
        let slots = (keys / 3 * 4 + BATCH as u64).next_multiple_of(64);
        map.busy.store(1, Release);
        self.object.space().transaction(|tx| {
            let at = tx.take(self.object, slots * size_of::<Slot<T, W>>() as u64, 64)?;
            let word = word_of(at, slots, old.word);
            let new = map.table(old.kind, word)?;
            new.slots.iter().try_for_each(|slot| slot.value.clear())?;
            for slot in old.slots.iter().filter(|slot| !slot.value.is_null()) {
                if slot.is_live() {
                    let to = new
                        .from(old.hash(slot), |to| to.value.is_null().then_some(to))
                        .ok_or(CORRUPT)?;
                    to.set_words(slot.words());
                    to.value.put(slot.value.bits())?;
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
        map.used[old.kind].store(live, Relaxed);
        killable();
        map.busy.store(0, Release);
        Ok(())
    }
}
