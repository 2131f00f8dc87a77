// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allocator inside an object, for any number of processes and threads at
//! once, each of which may be killed at any instant.
//!
//! The data is cut into chunks of 64 KiB. A table has a word for each, which
//! says what it is used for ([`chunk`]): nothing, blocks of one size
//! ([`small`]), or a run that is one block ([`run`]). Blocks in a chunk have a
//! bit each, in a bitmap outside of it. All that decides is single words,
//! changed by compare-and-swap: there is no lock to be left held, and a kill
//! leaves at most the block that was being taken or given back unused for ever.
//! Everything else is a hint. FORMAT.md, section "Heap", is the normative text.
//!
//! Zeros are an empty heap, so a new object needs no preparation, and an
//! object's file stays sparse.

mod check;
mod chunk;
mod classes;
mod pending;
mod room;
mod run;
mod small;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub use check::HeapReport;
use chunk::{Chunk, Use};
use classes::{CHUNK, SIZES, class_for};
use twz_abi::{META_START, Meta, PtrBits, Rights, TAIL_START, meta};

use crate::{
    error::{Error, Result},
    object::Object,
    raw::{
        object as memory,
        translate::{self, Translation},
        value,
    },
    space::Core,
};

/// Words of the header before the chunk table.
const HEAD_WORDS: u64 = 8 + HINTS + DIRECTORY;
/// Header word: no chunk from here on was ever used.
const TOP: usize = 0;
/// Header word: a hint that no chunk below is free.
const LOW: usize = 1;
/// Where the header's words per class begin: chunk << 16 | bitmap word, a hint.
const HINT: usize = 8;
const HINTS: u64 = 64;
/// Where the directory of bitmaps begins: for each 64 chunks, the chunk that
/// has their bitmaps.
const DIRECTORY_AT: usize = HINT + HINTS as usize;
const DIRECTORY: u64 = 256;
const TABLE_CHUNKS: u64 = 1 << 14;
/// Bytes of the header: words, chunk table, and the bitmaps of group 0.
const HEADER: u64 = HEAD_WORDS * 8 + TABLE_CHUNKS * 4 + GROUP * BITMAP;
/// Chunks in a group.
const GROUP: u64 = 64;
/// Bytes of a chunk's bitmap.
const BITMAP: u64 = 512;
/// Chunks that lie below the tail page as a whole.
const CHUNKS: u32 = (TAIL_START / CHUNK) as u32;

/// Where a test lets somebody else act in between.
#[cfg(test)]
use tests::meanwhile;
#[cfg(not(test))]
#[inline(always)]
fn meanwhile(_: &str) {}

/// What a block that is not there gets.
const NOT_A_BLOCK: Error =
    Error::BadPointer { why: "no block that is in use begins there in the object's heap" };
const CORRUPT: Error = Error::BadPointer { why: "the object's heap is corrupt" };

/// The heap of an object: raw memory, for what [`Object::alloc`] does not do.
/// Offsets are slot offsets.
pub struct Heap<'a, T>(&'a Object<T>);

impl<T> Object<T> {
    /// The object's heap.
    pub fn heap(&self) -> Heap<'_, T> {
        Heap(self)
    }
}

impl<T> Heap<'_, T> {
    /// Takes `len` bytes aligned to `align`, a power of two of at most 64 KiB.
    /// What is in them is undefined.
    pub fn alloc(&self, len: u64, align: u64) -> Result<u64> {
        self.0.space().core().heap_alloc(self.0.slot(), len, align)
    }

    /// Gives a block back. Whatever is not the start of a block in use is refused.
    pub fn free(&self, offset: u64) -> Result<()> {
        self.0.space().core().heap_free(self.0.slot(), offset)
    }

    /// Bytes that a block has room for.
    pub fn size(&self, offset: u64) -> Result<u64> {
        self.0.space().core().heap_size(self.0.slot(), offset)
    }

    /// Makes a block hold `len` bytes: where it is, if that can be, or else at
    /// the place that is returned, with its contents, and the old one is free.
    pub fn grow(&self, offset: u64, len: u64) -> Result<u64> {
        self.0.space().core().heap_grow(self.0.slot(), offset, len)
    }

    /// What is in use. Walks the whole heap; others may be changing it.
    pub fn report(&self) -> Result<HeapReport> {
        self.0.space().core().heap_stats(self.0.slot())
    }

    /// The same, and an error if the heap is not as it should be. Only while
    /// nobody else changes it.
    pub fn check(&self) -> Result<HeapReport> {
        self.0.space().core().heap_check(self.0.slot())
    }
}

impl Core {
    /// A slot's own translation, from the cache where that is good enough.
    #[inline(always)]
    pub(crate) fn own(&self, slot: u32) -> Result<Translation> {
        match translate::cached(self.arena().address(slot), PtrBits::NULL) {
            Some(own) => Ok(own),
            None => self.translate(slot, 0),
        }
    }

    /// Takes `len` bytes aligned to `align` from the heap of a slot's object.
    #[inline]
    pub(crate) fn heap_alloc(&self, slot: u32, len: u64, align: u64) -> Result<u64> {
        let heap = View::writing(self, slot)?;
        if !align.is_power_of_two() || align > CHUNK {
            return Err(Error::Unsupported("a heap aligns to powers of two up to 65536"));
        }
        match class_for(len.max(1), align) {
            Some(class) => heap.alloc_small(class),
            None => heap.alloc_run(len),
        }
    }

    /// Gives a block back.
    #[inline]
    pub(crate) fn heap_free(&self, slot: u32, offset: u64) -> Result<()> {
        let heap = View::writing(self, slot)?;
        let chunk = heap.number_of(offset)?;
        match heap.chunk(chunk).usage() {
            Use::Small(class) => heap.free_small(chunk, class, offset),
            Use::Large(_) if offset.is_multiple_of(CHUNK) => heap.free_run(chunk),
            _ => Err(NOT_A_BLOCK),
        }
    }

    /// Bytes that a block has room for.
    pub(crate) fn heap_size(&self, slot: u32, offset: u64) -> Result<u64> {
        let heap = View::reading(self, slot)?;
        let chunk = heap.number_of(offset)?;
        match heap.chunk(chunk).usage() {
            Use::Small(class) if heap.has_block(chunk, class, offset)? => Ok(SIZES[class]),
            Use::Large(chunks) if offset.is_multiple_of(CHUNK) => Ok(chunks as u64 * CHUNK),
            _ => Err(NOT_A_BLOCK),
        }
    }

    /// Makes a block hold `len` bytes, in place or elsewhere.
    pub(crate) fn heap_grow(&self, slot: u32, offset: u64, len: u64) -> Result<u64> {
        let old = self.heap_size(slot, offset)?;
        if len <= old {
            return Ok(offset);
        }
        let heap = View::writing(self, slot)?;
        if offset.is_multiple_of(CHUNK)
            && let Use::Large(_) = heap.chunk((offset / CHUNK) as u32).usage()
            && heap.extend_run((offset / CHUNK) as u32, len)?
        {
            return Ok(offset);
        }
        // As aligned as the old one was.
        let align = 1 << offset.trailing_zeros().min(old.trailing_zeros()).min(16);
        let new = self.heap_alloc(slot, len, align)?;
        // What is moved may be another process's, past the end that is known here.
        let own = match self.own(slot)? {
            own if own.place(offset, old).is_some() => own,
            _ => self.refresh(slot)?,
        };
        value::move_bytes(own, offset, new, old)?;
        self.heap_free(slot, offset)?;
        Ok(new)
    }
}

/// A heap as mapped in a slot.
#[derive(Clone, Copy)]
struct View<'a> {
    core: &'a Core,
    slot: u32,
    own: Translation,
    /// Slot offset of the header.
    base: u64,
    /// The first chunk that can be used.
    first: u32,
    words: &'a [AtomicU64],
    table: &'a [AtomicU32],
}

impl<'a> View<'a> {
    /// A heap to change. Makes the data reach over the header.
    #[inline(always)]
    fn writing(core: &'a Core, slot: u32) -> Result<Self> {
        let mut own = core.own(slot)?;
        if !own.writable() {
            own = Self::widened(core, slot)?;
        }
        let base = Self::base(core, slot)?;
        if own.end() < base + HEADER {
            own = core.heap_header(slot, base + HEADER)?;
            core.back(slot, base, base + HEAD_WORDS * 8)?;
        }
        Self::over(core, slot, own, base)
    }

    /// A heap to look at.
    fn reading(core: &'a Core, slot: u32) -> Result<Self> {
        let mut own = core.own(slot)?;
        let base = Self::base(core, slot)?;
        if own.end() < base + HEADER {
            own = core.refresh(slot)?;
        }
        Self::over(core, slot, own, base)
    }

    #[inline(always)]
    fn over(core: &'a Core, slot: u32, own: Translation, base: u64) -> Result<Self> {
        let words = memory::words(core, own, base, HEAD_WORDS)?;
        let table = memory::place_slice(core, own, base + HEAD_WORDS * 8, TABLE_CHUNKS)?;
        let first = (base + HEADER).div_ceil(CHUNK) as u32;
        Ok(Self { core, slot, own, base, first, words, table })
    }

    #[cold]
    fn widened(core: &Core, slot: u32) -> Result<Translation> {
        if core.try_widen(slot) {
            let own = core.translate(slot, 0)?;
            if own.writable() {
                return Ok(own);
            }
        }
        let id = core.arena().info(slot).ok_or(Error::NoSlot)?.id();
        Err(Error::denied(id, Rights::WRITE))
    }

    /// Where the header lies, as the meta record says.
    #[inline(always)]
    fn base(core: &Core, slot: u32) -> Result<u64> {
        let at = META_START + core::mem::offset_of!(Meta, heap) as u64;
        let base = match core.arena().tail_words(slot, at, 1)? {
            [word, ..] => word.load(Ordering::Acquire),
            [] => 0,
        };
        match meta::heap_offset(base) {
            Ok(Some(base)) => Ok(base),
            Ok(None) => Err(Error::Unsupported("an object of plain bytes has no heap")),
            Err(_) => Err(CORRUPT),
        }
    }

    /// The word of a chunk that [`View::number_of`] or a scan gave.
    #[inline(always)]
    fn chunk(&self, number: u32) -> Chunk {
        Chunk(self.table[number as usize].load(Ordering::SeqCst))
    }

    /// Changes a chunk's word, if it is still as it was seen.
    #[inline(always)]
    fn change(&self, number: u32, old: Chunk, new: Chunk) -> bool {
        self.table[number as usize]
            .compare_exchange(old.0, new.0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The chunk that a block at `offset` would lie in.
    #[inline(always)]
    fn number_of(&self, offset: u64) -> Result<u32> {
        match offset / CHUNK {
            number if number >= self.first as u64 && number < CHUNKS as u64 => Ok(number as u32),
            _ => Err(NOT_A_BLOCK),
        }
    }

    /// Backs what taking a chunk stores to: its word, its bitmap if it has one
    /// yet, and `bytes` of the chunk itself.
    #[cold]
    fn back_chunk(&self, number: u32, bytes: u64) -> Result<()> {
        let word = self.base + HEAD_WORDS * 8 + number as u64 * 4;
        self.core.back(self.slot, word, word + 4)?;
        if let Some(bits) = self.bitmap(number)?.and_then(|bits| bits.first()) {
            let at = (&raw const *bits) as u64 - self.core.arena().address(self.slot) as u64;
            self.core.back(self.slot, at, at + BITMAP)?;
        }
        let start = number as u64 * CHUNK;
        self.core.back(self.slot, start, start + bytes)
    }

    /// One past the last chunk that was ever used.
    fn top(&self) -> u32 {
        (self.words[TOP].load(Ordering::Acquire) as u32).clamp(self.first.min(CHUNKS), CHUNKS)
    }

    /// The bitmap of a chunk, if its group has bitmaps.
    #[inline(always)]
    fn bitmap(&self, number: u32) -> Result<Option<&'a [AtomicU64]>> {
        let (group, within) = (number as usize / GROUP as usize, number as u64 % GROUP * BITMAP);
        let at = match group {
            0 => self.base + HEADER - GROUP * BITMAP,
            _ => match self.words[DIRECTORY_AT + group].load(Ordering::Acquire) {
                0 => return Ok(None),
                host if host < CHUNKS as u64 => host * CHUNK,
                _ => return Err(CORRUPT),
            },
        };
        let mut own = self.own;
        if at + GROUP * BITMAP > own.end() {
            // Another, or we ourselves, made the data reach further.
            own = self.core.refresh(self.slot)?;
        }
        memory::words(self.core, own, at + within, BITMAP / 8).map(Some)
    }
}
