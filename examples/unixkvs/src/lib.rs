// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `twzkvs` is, with what POSIX has: an index file and data files, mapped.
//!
//! ```text
//! index   header, paths of the data files, tables, keys that do not fit in a slot
//! data    records: length, bytes
//! slot    pointer (number of a path << 40 | offset), key (W words)
//! ```
//!
//! The structure and the way it is read are those of twzkvs and of the `PtrMap` that
//! it uses, so what is compared is what the systems give: here a pointer means
//! something only with this index's list of paths, the program opens and maps each
//! file itself, keeps apart what it has mapped, and rights are those of whole files.
//! A table that was outgrown stays in the file. [`Mapped`] holds all the `unsafe`.
#![deny(unsafe_code)]

mod map;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io::{self, ErrorKind},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::*, fence},
    },
};

use map::Mapped;

// Words of the header.
const TABLES: usize = 0;
const USED: usize = 2;
const LEN: usize = 4;
const END: usize = 5;
const DATA: usize = 6;
const BUSY: usize = 7;
const WIDTH: usize = 8;
const SEED: usize = 9;
const MIX: usize = 10;
const HEADER: usize = 64;
/// Paths, each of so many bytes with its length before them, and where they begin.
const PATHS: usize = 16;
const PATH: usize = 256;
const START: usize = HEADER * 8 + PATHS * PATH;
/// The pointer of a deleted key.
const GONE: u64 = 8;
const OFFSET: u64 = (1 << 40) - 1;
const PLACE: u64 = (1 << 30) - 1;

/// A store. Keys of just `8 * W` bytes are the fastest, but any will do.
pub struct UnixKvs<const W: usize = 2> {
    index: Mapped,
    data: [OnceLock<Mapped>; PATHS],
    durable: bool,
}

struct Probe<const W: usize> {
    kind: usize,
    hash: u64,
    words: [u64; W],
}

fn corrupt() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the store is corrupt")
}

impl<const W: usize> UnixKvs<W> {
    /// Makes one in a directory.
    pub fn create(directory: &Path, capacity: u64) -> io::Result<Self> {
        let mut kvs = Self::mapped(Mapped::open(&directory.join("index"), true)?);
        kvs.index.reach(0, START)?;
        let header = kvs.header()?;
        for word in &header[SEED..MIX + W] {
            word.store(RandomState::new().hash_one(W) | 1, Relaxed);
        }
        header[WIDTH].store(W as u64, Relaxed);
        header[END].store(START as u64, Relaxed);
        kvs.new_data(&directory.join("data"), 0)?;
        kvs.rebuild(0, capacity)?;
        kvs.rebuild(1, 0)?;
        Ok(kvs)
    }

    /// Opens the one in a directory.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let kvs = Self::mapped(Mapped::open(&directory.join("index"), false)?);
        match kvs.header()?[WIDTH].load(Relaxed) == W as u64 {
            true => Ok(kvs),
            false => Err(corrupt()),
        }
    }

    fn mapped(index: Mapped) -> Self {
        const { assert!(W > 0 && MIX + W < HEADER) };
        Self { index, data: Default::default(), durable: false }
    }

    /// Whether a put that has returned is to survive a power cut.
    pub fn set_durable(&mut self, durable: bool) {
        self.durable = durable;
    }

    /// How many keys there are.
    pub fn len(&self) -> u64 {
        self.header().map_or(0, |header| header[LEN].load(Relaxed))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn header(&self) -> io::Result<&[AtomicU64]> {
        self.index.words(0, HEADER).ok_or_else(corrupt)
    }

    #[inline(always)]
    fn hash(header: &[AtomicU64], words: impl Iterator<Item = u64>) -> u64 {
        words.enumerate().fold(header[SEED].load(Relaxed), |hash, (i, word)| {
            let product = (hash ^ word) as u128 * header[MIX + i % W].load(Relaxed) as u128;
            product as u64 ^ (product >> 64) as u64
        })
    }

    #[inline(always)]
    fn probe(header: &[AtomicU64], key: &[u8]) -> Probe<W> {
        let (chunks, rest) = key.as_chunks();
        if key.len() == 8 * W {
            let words: [u64; W] = std::array::from_fn(|i| u64::from_le_bytes(chunks[i]));
            return Probe { kind: 0, hash: Self::hash(header, words.into_iter()), words };
        }
        let rest = rest.iter().fold(key.len() as u64, |word, &byte| word << 8 | byte as u64);
        let words = chunks.iter().map(|&chunk| u64::from_le_bytes(chunk)).chain([rest]);
        Probe { kind: 1, hash: Self::hash(header, words) & !PLACE, words: [0; W] }
    }

    /// The slots of a table, each `W + 1` words.
    #[inline(always)]
    fn table(&self, word: u64) -> io::Result<&[AtomicU64]> {
        let slots = (word >> 24 & 0xf_ffff) as usize * 64;
        let place = (word & 0xff_ffff) as usize * 64;
        self.index.words(place, slots * (W + 1)).ok_or_else(corrupt)
    }

    #[inline(always)]
    fn home(table: &[AtomicU64], hash: u64) -> (&[AtomicU64], &[AtomicU64]) {
        let slots = table.len() / (W + 1);
        table.split_at(((hash as u128 * slots as u128) >> 64) as usize * (W + 1))
    }

    /// The slot with a key, or the one to put it in.
    #[inline(always)]
    fn find<'a>(
        &self,
        table: &'a [AtomicU64],
        probe: &Probe<W>,
        key: &[u8],
    ) -> Option<&'a [AtomicU64]> {
        let (before, after) = Self::home(table, probe.hash);
        let found = |slot: &&[AtomicU64]| {
            slot[0].load(Acquire) == 0
                || match probe.kind {
                    0 => (0..W).all(|i| slot[i + 1].load(Relaxed) == probe.words[i]),
                    _ => {
                        let word = slot[1].load(Relaxed);
                        word & !PLACE == probe.hash && self.long(word) == Some(key)
                    }
                }
        };
        let mut after = after.chunks_exact(W + 1);
        after.find(found).or_else(|| before.chunks_exact(W + 1).find(found))
    }

    fn long(&self, word: u64) -> Option<&[u8]> {
        let at = (word & PLACE) as usize;
        self.index.bytes(at + 8, self.index.words(at, 1)?[0].load(Relaxed) as usize)
    }

    /// The value of a key, where it lies.
    #[inline]
    pub fn get(&self, key: &[u8]) -> io::Result<Option<&[u8]>> {
        let header = self.header()?;
        let probe = Self::probe(header, key);
        loop {
            let word = header[TABLES + probe.kind].load(Acquire);
            let slot = self.find(self.table(word)?, &probe, key);
            let pointer = slot.map_or(0, |slot| slot[0].load(Acquire));
            fence(Acquire);
            if header[TABLES + probe.kind].load(Relaxed) == word {
                return if pointer > GONE { self.value(pointer).map(Some) } else { Ok(None) };
            }
        }
    }

    #[inline(always)]
    fn value(&self, pointer: u64) -> io::Result<&[u8]> {
        let (file, at) = ((pointer >> 40) as usize, (pointer & OFFSET) as usize);
        let data = match self.data.get(file).and_then(OnceLock::get) {
            Some(data) => data,
            None => self.open_data(file)?,
        };
        let len = data.words(at, 1).ok_or_else(corrupt)?[0].load(Acquire);
        data.bytes(at + 8, len as usize).ok_or_else(corrupt)
    }

    /// Opens the data file with a number, by the path in the index.
    #[cold]
    fn open_data(&self, file: usize) -> io::Result<&Mapped> {
        let cell = self.data.get(file).ok_or_else(corrupt)?;
        let at = HEADER * 8 + file * PATH;
        let len = self.index.words(at, 1).ok_or_else(corrupt)?[0].load(Relaxed) as usize;
        let path = self.index.bytes(at + 8, len.min(PATH - 8)).ok_or_else(corrupt)?;
        let mapped = Mapped::open(Path::new(std::ffi::OsStr::from_bytes(path)), false)?;
        Ok(cell.get_or_init(|| mapped))
    }

    fn new_data(&mut self, path: &Path, file: usize) -> io::Result<()> {
        let path: PathBuf = std::path::absolute(path)?;
        let bytes = path.as_os_str().as_bytes();
        if file >= PATHS || bytes.len() > PATH - 8 {
            return Err(io::Error::new(ErrorKind::StorageFull, "no room for another path"));
        }
        let data = Mapped::open(&path, true)?;
        // File 0 begins with an offset that is more than GONE.
        data.write(0, &64u64.to_le_bytes())?;
        let at = HEADER * 8 + file * PATH;
        self.index.write(at + 8, bytes)?;
        self.index.write(at, &(bytes.len() as u64).to_le_bytes())?;
        self.index.sync(at, PATH)?;
        self.header()?[DATA].store(file as u64, Release);
        self.data[file] = OnceLock::from(data);
        Ok(())
    }

    /// Adds a record to the data file in use: a pointer to it.
    fn append(&mut self, value: &[u8]) -> io::Result<u64> {
        let file = self.header()?[DATA].load(Relaxed) as usize;
        let data = match self.data.get(file).and_then(OnceLock::get) {
            Some(data) => data,
            None => self.open_data(file)?,
        };
        let end = &data.words(0, 1).ok_or_else(corrupt)?[0];
        let (at, room) = (end.load(Relaxed) as usize, (8 + value.len()).next_multiple_of(8));
        match data.reach(at, room) {
            Err(error) if error.kind() == ErrorKind::StorageFull && at > 64 => {
                let old = self.index.bytes(HEADER * 8 + 8, PATH - 8).ok_or_else(corrupt)?;
                let len = old.iter().position(|&byte| byte == 0).unwrap_or(old.len());
                let mut path = std::ffi::OsStr::from_bytes(&old[..len]).to_owned();
                path.push(format!(".{}", file + 1));
                self.new_data(Path::new(&path), file + 1)?;
                return self.append(value);
            }
            other => other?,
        }
        data.write(at + 8, value)?;
        data.words(at, 1).ok_or_else(corrupt)?[0].store(value.len() as u64, Release);
        end.store((at + room) as u64, Relaxed);
        if self.durable {
            data.sync(at, room)?;
            data.sync(0, 8)?;
        }
        Ok((file as u64) << 40 | at as u64)
    }

    /// Does something under the lock, with the counts as they should be.
    fn locked<R>(&mut self, body: impl FnOnce(&mut Self) -> io::Result<R>) -> io::Result<R> {
        self.index.lock(true)?;
        let done = self.settle().and_then(|()| body(self));
        self.index.lock(false)?;
        done
    }

    fn settle(&self) -> io::Result<()> {
        let header = self.header()?;
        if header[BUSY].load(Relaxed) == 0 {
            return Ok(());
        }
        let mut len = 0;
        for kind in 0..2 {
            let table = self.table(header[TABLES + kind].load(Relaxed))?;
            let slots = || table.chunks_exact(W + 1).map(|slot| slot[0].load(Relaxed));
            len += slots().filter(|&pointer| pointer > GONE).count() as u64;
            header[USED + kind]
                .store(slots().filter(|&pointer| pointer != 0).count() as u64, Relaxed);
        }
        header[LEN].store(len, Relaxed);
        header[BUSY].store(0, Release);
        Ok(())
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.put_all(std::iter::once((key, value)))
    }

    /// Sets the values of many keys, with one taking of the lock.
    pub fn put_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        pairs: impl Iterator<Item = (K, V)>,
    ) -> io::Result<()> {
        self.locked(|kvs| {
            for (key, value) in pairs {
                let pointer = kvs.append(value.as_ref())?;
                kvs.link(key.as_ref(), pointer)?;
            }
            Ok(())
        })
    }

    fn link(&mut self, key: &[u8], pointer: u64) -> io::Result<()> {
        let header = self.header()?;
        let probe = Self::probe(header, key);
        let table = self.table(header[TABLES + probe.kind].load(Relaxed))?;
        let used = &header[USED + probe.kind];
        match self.find(table, &probe, key) {
            Some(slot) if slot[0].load(Relaxed) != 0 => {
                let new = slot[0].load(Relaxed) == GONE;
                self.point(slot, pointer, (new as u64, 0), 0)
            }
            Some(slot) if (used.load(Relaxed) as usize) < table.len() / (W + 1) / 4 * 3 => {
                let words = match probe.kind {
                    0 => probe.words,
                    _ => [probe.hash | self.keep(key)?; W],
                };
                slot[1..].iter().zip(words).for_each(|(word, new)| word.store(new, Relaxed));
                self.point(slot, pointer, (1, 1), probe.kind)
            }
            _ => {
                self.rebuild(probe.kind, 0)?;
                self.link(key, pointer)
            }
        }
    }

    /// Takes a key away; whether it was there.
    pub fn delete(&mut self, key: &[u8]) -> io::Result<bool> {
        self.locked(|kvs| {
            let header = kvs.header()?;
            let probe = Self::probe(header, key);
            let table = kvs.table(header[TABLES + probe.kind].load(Relaxed))?;
            match kvs.find(table, &probe, key) {
                Some(slot) if slot[0].load(Relaxed) > GONE => {
                    kvs.point(slot, GONE, (u64::MAX, 0), 0).map(|()| true)
                }
                _ => Ok(false),
            }
        })
    }

    fn point(
        &self,
        slot: &[AtomicU64],
        pointer: u64,
        counts: (u64, u64),
        kind: usize,
    ) -> io::Result<()> {
        let header = self.header()?;
        let at = (slot.as_ptr() as usize).wrapping_sub(header.as_ptr() as usize);
        header[BUSY].store(1, Release);
        if self.durable {
            self.index.sync(0, HEADER * 8)?;
            self.index.sync(at, slot.len() * 8)?;
        }
        slot[0].store(pointer, Release);
        header[LEN].store(header[LEN].load(Relaxed).wrapping_add(counts.0), Relaxed);
        header[USED + kind]
            .store(header[USED + kind].load(Relaxed).wrapping_add(counts.1), Relaxed);
        if self.durable {
            self.index.sync(at, slot.len() * 8)?;
            self.index.sync(0, HEADER * 8)?;
        }
        header[BUSY].store(0, Release);
        Ok(())
    }

    /// Takes bytes of the index that nobody has yet.
    fn take(&self, len: usize) -> io::Result<usize> {
        let end = &self.header()?[END];
        let at = (end.load(Relaxed) as usize).next_multiple_of(64);
        self.index.reach(at, len)?;
        end.store((at + len) as u64, Relaxed);
        Ok(at)
    }

    fn keep(&self, key: &[u8]) -> io::Result<u64> {
        let at = self.take(8 + key.len())?;
        self.index.write(at, &(key.len() as u64).to_le_bytes())?;
        self.index.write(at + 8, key)?;
        if self.durable {
            self.index.sync(at, 8 + key.len())?;
        }
        Ok(at as u64)
    }

    /// Moves all keys to a table with room for so many, or for twice those there are.
    #[cold]
    fn rebuild(&mut self, kind: usize, keys: u64) -> io::Result<()> {
        let header = self.header()?;
        let word = header[TABLES + kind].load(Relaxed);
        let old = if word == 0 { &[] } else { self.table(word)? };
        let live = || old.chunks_exact(W + 1).filter(|slot| slot[0].load(Relaxed) > GONE);
        let count = live().count() as u64;
        let slots = (keys.max(count * 2).min(1 << 30) / 3 * 4 + 64).next_multiple_of(64);
        let at = self.take(slots as usize * 8 * (W + 1))? as u64;
        let word = ((word >> 44) + 1) << 44 | slots >> 6 << 24 | at >> 6;
        let new = self.table(word)?;
        new.iter().for_each(|word| word.store(0, Relaxed));
        for slot in live() {
            let words = slot[1..].iter().map(|word| word.load(Relaxed));
            let hash = match kind {
                0 => Self::hash(header, words),
                _ => slot[1].load(Relaxed) & !PLACE,
            };
            let (before, after) = Self::home(new, hash);
            let free = |slot: &&[AtomicU64]| slot[0].load(Relaxed) == 0;
            let free = after
                .chunks_exact(W + 1)
                .find(free)
                .or_else(|| before.chunks_exact(W + 1).find(free));
            for (to, from) in free.ok_or_else(corrupt)?.iter().zip(slot) {
                to.store(from.load(Relaxed), Relaxed);
            }
        }
        if self.durable {
            self.index.sync(at as usize, new.len() * 8)?;
        }
        header[USED + kind].store(count, Relaxed);
        header[TABLES + kind].store(word, Release);
        if self.durable { self.index.sync(0, HEADER * 8) } else { Ok(()) }
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = io::Result<(Vec<u8>, &[u8])>> {
        let tables = (0..2).filter_map(|kind| {
            let word = self.header().ok()?[TABLES + kind].load(Acquire);
            Some((kind, self.table(word).ok()?))
        });
        tables.flat_map(move |(kind, table)| {
            table.chunks_exact(W + 1).filter_map(move |slot| {
                let pointer = Some(slot[0].load(Acquire)).filter(|&pointer| pointer > GONE)?;
                let words = slot[1..].iter().map(|word| word.load(Relaxed));
                let key = match kind {
                    0 => words.flat_map(u64::to_le_bytes).collect(),
                    _ => self.long(slot[1].load(Relaxed)).unwrap_or_default().to_vec(),
                };
                Some(self.value(pointer).map(|value| (key, value)))
            })
        })
    }
}
