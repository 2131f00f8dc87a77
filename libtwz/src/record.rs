// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of bytes that never change once they are there: what a pointer of 8
//! bytes can lead to when the length is not known beforehand.
//!
//! A [`Record`] is a length and, after it, the bytes. [`Records`] is the root of
//! an object that holds nothing else. They are added one after the other, by any
//! number of threads and processes at once, without a lock: a place is taken by
//! one compare-and-swap, and nobody can know of it before it is written. A kill
//! in between leaves a gap. Nothing is given back, so who has the bytes of a
//! record keeps them; what is still wanted is copied to a new object, and the old
//! one is deleted. Bytes that change are a [`crate::collections::Vec`].
//!
//! ```
//! use twz::{EmbeddedPool, InitOptions, NewObject, Ptr, Record, Space};
//!
//! # fn main() -> twz::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("pool");
//! EmbeddedPool::init(&path, &InitOptions::default())?;
//! let space = Space::open(&path)?;
//! let diary = space.create_records(&NewObject::default())?;
//! let last = space.create(Ptr::<Record>::null())?;
//! last.root().store(diary.append(b"nothing happened")?)?;
//! assert_eq!(last.root().bytes()?, Some(&b"nothing happened"[..]));
//! # Ok(())
//! # }
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::{DATA_START, PtrBits, SLOT};

use crate::{
    NewObject, Object, Ptr, Space,
    collections::PtrMap,
    error::{Error, Result},
    object,
    ptr::{again, writable},
    raw::{
        arena::SLOT_BYTES,
        object::{self as memory, place},
        translate::{Home, Translation},
    },
    translate::target_of,
};

/// Bytes of the length before a record's bytes.
const HEAD: u64 = 8;
/// The least and the most that data grows beyond what a record needs.
const AHEAD: std::ops::RangeInclusive<u64> = 4 * 1024..=4 * 1024 * 1024;

/// Bytes in an object, with how many there are before them.
#[repr(C)]
pub struct Record {
    len: AtomicU64,
}

crate::persist::persist_leaf!(Record, "Record");

/// The root of an object of [`Record`]s.
#[repr(C)]
pub struct Records {
    /// Slot offset of the next one.
    end: AtomicU64,
}

crate::persist::persist_leaf!(Records, "Records");

const BAD_END: Error = Error::BadPointer { why: "the records' end is no place in their object" };

/// Takes a place, if nobody else has taken it.
#[inline(always)]
fn take(next: &AtomicU64, at: u64, room: u64) -> bool {
    next.compare_exchange_weak(at, at + room, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// What a record of so many bytes takes up.
fn room_for(len: usize) -> u64 {
    (HEAD + len as u64).next_multiple_of(8)
}

impl Record {
    /// The bytes.
    pub fn bytes(&self) -> Result<&[u8]> {
        let own = target_of(self, PtrBits::NULL)?;
        self.within(own).or_else(|_| self.within(again(self, PtrBits::NULL)?))
    }

    fn within(&self, own: Translation) -> Result<&[u8]> {
        let offset = ((&raw const *self) as usize & (SLOT_BYTES - 1)) as u64;
        memory::place_slice(self, own, offset + HEAD, self.len.load(Ordering::Acquire))
    }
}

impl Ptr<Record> {
    /// The bytes of the record it points to, or `None` for null. The same as
    /// [`Ptr::get`] and [`Record::bytes`], in one step.
    #[inline(always)]
    pub fn bytes(&self) -> Result<Option<&[u8]>> {
        match memory::follow_run(self, self.bits()) {
            Some(bytes) => Ok(Some(bytes)),
            None => self.bytes_slow(),
        }
    }

    #[cold]
    #[inline(never)]
    fn bytes_slow(&self) -> Result<Option<&[u8]>> {
        self.get()?.map(Record::bytes).transpose()
    }
}

impl<const W: usize> PtrMap<Record, W> {
    /// The bytes of a key's record. The same as [`PtrMap::get`] and [`Record::bytes`],
    /// in one step.
    #[inline(always)]
    pub fn bytes(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        match self.glance(key, memory::follow_run_from) {
            Some(bytes) => Ok(bytes),
            None => self.bytes_slow(key),
        }
    }

    #[inline(never)]
    fn bytes_slow(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        self.with(key, Ptr::bytes).map(Option::flatten)
    }
}

impl Space {
    /// Makes an object of records. It has no heap.
    pub fn create_records(&self, new: &NewObject) -> Result<Object<Records>> {
        let start = object::heap_after(size_of::<Records>() as u64);
        object::create(self, new, Records { end: AtomicU64::new(start) }, false)
    }
}

impl Object<Records> {
    /// Bytes of data that are taken.
    pub fn used(&self) -> u64 {
        self.root().end.load(Ordering::Acquire).saturating_sub(DATA_START)
    }

    /// Adds a record. Where changes survive power cuts ([`crate::Durability`]) it
    /// is on its way to the medium: a [`Space::fence`] has to come before
    /// anything that leads to it.
    #[inline]
    pub fn append(&self, bytes: &[u8]) -> Result<&Record> {
        match self.append_quickly(bytes) {
            Some(record) => Ok(record),
            None => self.append_slowly(bytes),
        }
    }

    /// The same if it need not survive a power cut, and there is room; else `None`.
    #[inline(always)]
    fn append_quickly(&self, bytes: &[u8]) -> Option<&Record> {
        let (next, room) = (&self.root().end, room_for(bytes.len()));
        let own = Home::of((&raw const *next) as usize)?.own();
        if self.space().core().durable() {
            return None;
        }
        loop {
            let at = next.load(Ordering::Relaxed);
            if !own.writable() || at % 8 != 0 || at >= SLOT || own.place(at, room).is_none() {
                return None;
            }
            if take(next, at, room) {
                memory::write_run(self, own, at, bytes).then_some(())?;
                return place(self, own, at).ok();
            }
        }
    }

    #[inline(never)]
    fn append_slowly(&self, bytes: &[u8]) -> Result<&Record> {
        let core = self.space().core();
        let (next, room) = (&self.root().end, room_for(bytes.len()));
        let mut own = core.own(self.slot())?;
        let at = loop {
            let at = next.load(Ordering::Relaxed);
            // What is past the end is not there, and so is not overwritten.
            if at.saturating_add(room) > own.end() || !own.writable() {
                own = self.grow(at, room)?;
            }
            if take(next, at, room) {
                break at;
            }
            std::hint::spin_loop();
        };
        if !memory::write_run(self, own, at, bytes) {
            return Err(BAD_END);
        }
        if core.durable() {
            // The record, and that its place is taken: both before anybody can
            // find it, in whatever order.
            self.flush(at - DATA_START, room)?;
            self.flush(0, size_of::<Records>() as u64)?;
        }
        place(self, own, at)
    }

    /// Makes the data reach further, ahead of what is needed if that can be.
    #[cold]
    fn grow(&self, at: u64, room: u64) -> Result<Translation> {
        let (core, slot) = (self.space().core(), self.slot());
        writable(self.root())?;
        let own = core.own(slot)?;
        let end = at.saturating_add(room);
        if room > SLOT {
            return Err(Error::BadSize(room));
        }
        if !(DATA_START..SLOT).contains(&at) || !at.is_multiple_of(8) {
            return Err(BAD_END);
        }
        if own.end() >= end {
            return Ok(own);
        }
        let ahead = (at / 4).clamp(*AHEAD.start(), *AHEAD.end());
        let own = match core.heap_reach(slot, own.end(), end + ahead) {
            Err(Error::ObjectFull { .. }) => core.heap_reach(slot, own.end(), end)?,
            other => other?,
        };
        if core.durable() {
            // That it is this long, too.
            self.sync()?;
        }
        Ok(own)
    }
}
