// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pointers by key, for who looks up far more often than anything changes.
//!
//! ```text
//! header  tables (2), slots in use (2), keys, whether a change is under way,
//!         FOT entries that are durable, hash key (1 + W)
//! ```
//!
//! [`super::ptr_table`] has the rest of the layout, [`super::ptr_change`] the changes,
//! [`super::ptr_batch`] those of many keys at once.
//!
//! Unlike in a [`super::HashMap`] a slot is one key's as long as its table lives,
//! and a change of it is one store of a pointer: no log, and nothing that a reader
//! could see half done. Only a rebuilt table is another one; the word that leads to
//! it counts up, and a reader that finds it changed looks again.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::*, fence},
};

use twz_abi::PtrBits;

use super::{
    CORRUPT,
    header::killable,
    ptr_change::{Change, address, most},
    ptr_table::{Found, GONE, PLACE, Probe, Slot, Table, place_in, place_of, slots_of},
};
use crate::{
    Field, Persist, Ptr, Writer,
    error::{Error, Result},
    ptr::{again, bits_for},
    raw::{object as memory, translate::Home},
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
    pub(super) tables: [Field<u64>; 2],
    pub(super) used: [AtomicU64; 2],
    pub(super) len: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) durable: AtomicU64,
    pub(super) seed: AtomicU64,
    pub(super) mix: [AtomicU64; W],
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
    pub(super) fn probe<'k>(&self, key: &'k [u8]) -> Probe<'k, W> {
        if let Some(words) = short(key) {
            return Probe { key, kind: 0, hash: self.hash(words.into_iter()), words };
        }
        let (chunks, rest) = key.as_chunks();
        let rest = rest.iter().fold(key.len() as u64, |word, &byte| word << 8 | byte as u64);
        let words = chunks.iter().map(|&chunk| u64::from_le_bytes(chunk)).chain([rest]);
        Probe { key, kind: 1, hash: self.hash(words) & !PLACE, words: [0; W] }
    }
}

impl<T: Persist, const W: usize> PtrMap<T, W> {
    #[inline(always)]
    pub(super) fn table(&self, home: Home, kind: usize, word: u64) -> Result<Table<'_, T, W>> {
        let slots = match memory::slice(self, home.own(), place_of(word), slots_of(word)) {
            Some(slots) => slots,
            None => self.grown(word)?,
        };
        Ok(Table { map: self, kind, word, slots })
    }

    /// Whether it has a hash key, and nothing speaks against its counts.
    #[inline(always)]
    pub(super) fn is_settled(&self) -> bool {
        let used = self.used.each_ref().map(|used| used.load(Relaxed));
        self.busy.load(Relaxed) == 0
            && self.mix[0].load(Relaxed) != 0
            && self.len.load(Relaxed) <= used[0].saturating_add(used[1])
    }

    #[inline(always)]
    pub(super) fn home(&self) -> Result<Home> {
        Home::of(address(self)).ok_or(Error::NotInObject)
    }

    /// What `look` makes of the pointer of a key of `8 * W` bytes, or `Some(None)` if
    /// there is no such key; `None` if that takes more than a glance. [`PtrMap::with`]
    /// takes its time.
    #[inline(always)]
    pub(crate) fn glance<'a, R>(
        &'a self,
        key: &[u8],
        look: impl Fn(Home, &'a Ptr<T>, PtrBits) -> Option<R>,
    ) -> Option<Option<R>> {
        let home = Home::of(address(self))?;
        let word = self.tables[0].get();
        fence(Acquire);
        let seen = match self.seek(home, word, short(key)?)? {
            (_, slot, bits) if bits.0 > GONE.0 => Some(look(home, &slot.value, bits)?),
            _ => None,
        };
        fence(Acquire);
        (self.tables[0].get() == word).then_some(seen)
    }

    /// How many slots a table has, the one that the search for a key of `8 * W` bytes
    /// ends at, and its pointer: null if the key has no slot. `None` if that takes more.
    #[inline(always)]
    fn seek(
        &self,
        home: Home,
        word: u64,
        words: [u64; W],
    ) -> Option<(usize, &Slot<T, W>, PtrBits)> {
        let slots: &[Slot<T, W>] = memory::slice(self, home.own(), place_of(word), slots_of(word))?;
        let first = place_in(slots, self.hash(words.into_iter()));
        for slot in slots.get(first..)? {
            let bits = slot.value.bits();
            if bits.0 == 0 || slot.words() == words {
                return Some((slots.len(), slot, bits));
            }
        }
        None
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
        let home = self.home()?;
        for _ in 0..ROUNDS {
            let word = self.tables[kind & 1].get();
            fence(Acquire);
            let seen = self.table(home, kind, word).and_then(&look);
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
        match self.glance(key, memory::follow_from) {
            Some(seen) => Ok(seen),
            None => self.with(key, Ptr::lea),
        }
    }

    /// Whether a key is there; its pointer is not followed.
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        match self.glance(key, |_, _, _| Some(())) {
            Some(seen) => Ok(seen.is_some()),
            None => Ok(self.with(key, |_| Ok(()))?.is_some()),
        }
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
    #[inline]
    pub fn insert<O>(&self, writer: &Writer<'_, O>, key: &[u8], value: &T) -> Result<bool> {
        match self.insert_quickly(writer, key, address(value)) {
            Some(new) => Ok(new),
            None => self.insert_slowly(writer, key, address(value)),
        }
    }

    /// The same for a key of `8 * W` bytes, if it need not survive a power cut, there is
    /// room for it, and all is as it mostly is; `None` if nothing was done.
    #[inline(always)]
    fn insert_quickly<O>(&self, writer: &Writer<'_, O>, key: &[u8], value: usize) -> Option<bool> {
        let change = Change::quick(self, writer)?;
        let words = short(key)?;
        let (slots, slot, old) = self.seek(change.home, self.tables[0].get(), words)?;
        let (new, fresh) = (old.0 <= GONE.0, old.0 == 0);
        if fresh && self.used[0].load(Relaxed) >= most(slots) {
            return None;
        }
        let bits = change.home.bits_to_store(value)?;
        killable();
        slot.set_words(words);
        change.point(slot, bits, (new as u64, fresh as u64), 0).is_ok().then_some(new)
    }

    #[inline(never)]
    fn insert_slowly<O>(&self, writer: &Writer<'_, O>, key: &[u8], value: usize) -> Result<bool> {
        let change = Change::begin(self, writer)?;
        let probe = self.probe(key);
        // Twice to find it full; with nobody else at work that will do.
        for _ in 0..3 {
            let table = change.table(probe.kind)?;
            match table.find(&probe) {
                Some(Found::Its(slot)) => {
                    let new = !slot.is_live();
                    change.point(slot, bits_for(slot, value)?, (new as u64, 0), 0)?;
                    return Ok(new);
                }
                Some(Found::Free(slot))
                    if self.used[probe.kind & 1].load(Relaxed) < most(table.slots.len()) =>
                {
                    killable();
                    slot.set_words(match probe.kind {
                        0 => probe.words,
                        _ => [probe.hash | change.keep(key)?; W],
                    });
                    change.point(slot, bits_for(slot, value)?, (1, 1), probe.kind)?;
                    return Ok(true);
                }
                // Full by its count, which may be wrong.
                Some(Found::Free(_)) if change.recount(&table) => {}
                _ => change.rebuild(&table, 0)?,
            }
        }
        Err(CORRUPT)
    }

    /// Takes a key away; returns whether it was there.
    pub fn remove<O>(&self, writer: &Writer<'_, O>, key: &[u8]) -> Result<bool> {
        let change = Change::begin(self, writer)?;
        let probe = self.probe(key);
        match change.table(probe.kind)?.find(&probe) {
            Some(Found::Its(slot)) if slot.is_live() => {
                change.point(slot, GONE, (u64::MAX, 0), 0)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Makes room for so many keys of `8 * W` bytes.
    pub fn reserve<O>(&self, writer: &Writer<'_, O>, keys: u64) -> Result<()> {
        let change = Change::begin(self, writer)?;
        let table = change.table(0)?;
        if most(table.slots.len()) < keys { change.rebuild(&table, keys) } else { Ok(()) }
    }
}

/// The words of a key of `8 * W` bytes.
#[inline(always)]
fn short<const W: usize>(key: &[u8]) -> Option<[u64; W]> {
    let (chunks, _) = key.as_chunks();
    (key.len() == 8 * W).then(|| std::array::from_fn(|i| u64::from_le_bytes(chunks[i])))
}
