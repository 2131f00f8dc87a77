// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arena: one reservation of addresses, cut into slots.
//!
//! An arena is aligned to its own size, so that from any address inside it the
//! arena, the slot and the place in the slot are found by masking. Slot 0 holds
//! what the process knows about the arena itself:
//!
//! ```text
//! +0        header                 generation last seen, epoch of slots
//! +4 KiB    control page           the pool's, shared by all its processes
//! +64 KiB   slot table             64 bytes a slot (SlotInfo)
//! +2 MiB    view                   32 bytes a slot; a view object, or private
//! +64 MiB   rows                   translations: 1040 words a slot (translate.rs)
//! +256 MiB  store cache            64 words a slot (translate.rs)
//! ```

use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use twz_abi::{ObjectId, Rights, SLOT, ioctl::CONTROL_OFFSET};

use crate::error::{Error, Result};

/// Bits of an address inside an arena.
pub const ARENA_BITS: u32 = 43;
/// Bytes of address space in an arena.
pub const ARENA: usize = 1 << ARENA_BITS;
/// Most slots an arena can have, slot 0 included.
pub const MAX_SLOTS: u32 = (ARENA >> SLOT.trailing_zeros()) as u32;
/// How many arenas fit in the address space of a process.
const PLACES: usize = 1 << (47 - ARENA_BITS);
/// Bytes of a slot, as an address.
pub const SLOT_BYTES: usize = SLOT as usize;

pub(super) const CONTROL: usize = 4 << 10;
const SLOT_TABLE: usize = 64 << 10;
const VIEW: usize = 2 << 20;
/// Bytes of the view area.
pub const VIEW_BYTES: usize = MAX_SLOTS as usize * 32;
pub(super) const ROWS: usize = 64 << 20;
/// Words in a row: 512 translations and the 512 bases in them, and 16 more so
/// that rows of neighbouring slots do not fall into the same cache sets.
pub(super) const ROW_WORDS: usize = 2 * 512 + 16;
pub(super) const STORES: usize = 256 << 20;
pub(super) const STORE_WORDS: usize = 64;
/// Bytes of slot 0 that are readable and writable.
const METADATA: usize = STORES + MAX_SLOTS as usize * STORE_WORDS * 8;

/// Which places hold a live arena; the fault handler and [`super::translate`] ask.
pub(super) static LIVE: [AtomicBool; PLACES] = [const { AtomicBool::new(false) }; PLACES];

/// State of a slot.
pub mod slot_state {
    /// Nothing is mapped.
    pub const EMPTY: u32 = 0;
    /// A thread is mapping or unmapping.
    pub const BUSY: u32 = 1;
    /// The object named by the info is mapped.
    pub const MAPPED: u32 = 2;
}

/// What the process knows of one slot.
#[repr(C, align(64))]
pub struct SlotInfo {
    /// [`slot_state`].
    pub state: AtomicU32,
    /// Rights the mapping has.
    pub granted: AtomicU32,
    /// The object: low and high half of its id.
    id: [AtomicU64; 2],
    /// Rights that were asked for.
    pub requested: AtomicU32,
    /// FOT pages below the tail page that are mapped.
    pub fot_pages: AtomicU32,
    /// Handles that need the slot to stay as it is.
    pub pins: AtomicU32,
    /// Whether a pointer has led here since the slot was last looked at for
    /// reuse: then references may go into it from any open object.
    pub reached: AtomicU32,
}

impl SlotInfo {
    /// The object.
    pub fn id(&self) -> ObjectId {
        let [lo, hi] = &self.id;
        ObjectId { lo: lo.load(Ordering::Relaxed), hi: hi.load(Ordering::Relaxed) }
    }

    /// Names the object; before `state` says so.
    pub fn set_id(&self, id: ObjectId) {
        self.id[0].store(id.lo, Ordering::Relaxed);
        self.id[1].store(id.hi, Ordering::Relaxed);
    }

    /// The rights the mapping has.
    pub fn granted(&self) -> Rights {
        Rights(self.granted.load(Ordering::Acquire))
    }
}

/// What [`Arena::show`] maps over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// What is reserved, or was mapped before.
    Mine,
    /// The holes that a child begins with.
    Nothing,
}

/// A reservation of addresses.
///
/// # Invariants
///
/// `base` is a multiple of [`ARENA`]; the first `slots` GiB from it belong to
/// this arena until it is dropped, and the first [`METADATA`] bytes are
/// readable and writable.
pub struct Arena {
    base: usize,
    slots: u32,
    /// Whether what is mapped to be written asks for `MAP_SYNC`, and whether that was
    /// refused once.
    synchronous: AtomicBool,
    refused: AtomicBool,
}

impl Arena {
    /// Reserves an arena. Where, differs from process to process on purpose:
    /// nothing may depend on it.
    pub fn reserve(most_slots: u32) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let start = std::process::id() as usize * 7 + NEXT.fetch_add(1, Ordering::Relaxed);
        let mut slots = most_slots.min(MAX_SLOTS);
        while slots >= 16 {
            for i in 0..PLACES - 1 {
                // Place 0 holds the program on some layouts; begin at 1.
                let base = (1 + (start + i) % (PLACES - 1)) << ARENA_BITS;
                if let Some(arena) = Self::reserve_at(base, slots) {
                    return Ok(arena);
                }
            }
            slots /= 2;
        }
        Err(Error::os("reserve address space"))
    }

    fn reserve_at(base: usize, slots: u32) -> Option<Self> {
        let len = slots as usize * SLOT_BYTES;
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_NORESERVE
            | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new anonymous mapping; NOREPLACE makes it fail rather than
        // touch what is there.
        let at = unsafe { libc::mmap(base as *mut _, len, libc::PROT_NONE, flags, -1, 0) };
        if at as usize != base {
            if at != libc::MAP_FAILED {
                // SAFETY: the kernel is too old for NOREPLACE and mapped it
                // elsewhere; nobody knows that mapping but us.
                unsafe { libc::munmap(at, len) };
            }
            return None;
        }
        // SAFETY: the range was reserved just above, and is ours.
        let ok = unsafe { libc::mprotect(at, METADATA, libc::PROT_READ | libc::PROT_WRITE) } == 0;
        let (synchronous, refused) = (AtomicBool::new(false), AtomicBool::new(false));
        let arena = Self { base, slots, synchronous, refused };
        if !ok {
            return None;
        }
        // SAFETY: as above. Dumps need neither the reservation nor the tables.
        unsafe { libc::madvise(at, len, libc::MADV_DONTDUMP) };
        LIVE[base >> ARENA_BITS].store(true, Ordering::Release);
        Some(arena)
    }

    /// From now on asks for `MAP_SYNC`: a store to persistent memory is durable once its
    /// line is written back only if the file system has the file's blocks for good before.
    pub fn map_synchronously(&self) {
        self.synchronous.store(true, Ordering::Relaxed);
    }

    /// Whether to ask for it.
    pub(super) fn maps_synchronously(&self) -> bool {
        self.synchronous.load(Ordering::Relaxed)
    }

    /// A file was mapped without: nothing but `msync` makes it durable.
    pub(super) fn refuse_synchronous(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether some file was.
    #[inline(always)]
    pub fn needs_msync(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The arena's first address.
    pub fn base(&self) -> usize {
        self.base
    }

    /// How many slots there are, slot 0 included.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// First address of a slot.
    pub fn address(&self, slot: u32) -> usize {
        self.base + slot as usize * SLOT_BYTES
    }

    /// The slot that an address lies in, if it is one of this arena's and not slot 0.
    pub fn slot_of(&self, address: usize) -> Option<u32> {
        if address & !(ARENA - 1) != self.base {
            return None;
        }
        let slot = ((address & (ARENA - 1)) / SLOT_BYTES) as u32;
        (slot != 0 && slot < self.slots).then_some(slot)
    }

    fn table<T>(&self, offset: usize, len: usize) -> &[T] {
        debug_assert!(offset + len * size_of::<T>() <= METADATA);
        // SAFETY: 1. inside the metadata, which is readable and writable (type
        // invariant); 2. aligned: every table offset is a multiple of 4096;
        // 3. T is an atomic or made of atomics, for which zeros are a value and
        // shared writing is allowed.
        unsafe { std::slice::from_raw_parts((self.base + offset) as *const T, len) }
    }

    /// What the process knows of a slot.
    pub fn info(&self, slot: u32) -> Option<&SlotInfo> {
        self.table(SLOT_TABLE, self.slots as usize).get(slot as usize)
    }

    /// The view: four words a slot.
    pub fn view_words(&self, slot: u32) -> Option<&[AtomicU64]> {
        self.table::<AtomicU64>(VIEW, self.slots as usize * 4).get(slot as usize * 4..)?.get(..4)
    }

    /// Translations of a slot.
    pub(super) fn row(&self, slot: u32) -> &[AtomicU64] {
        debug_assert!(slot < self.slots);
        self.table(ROWS + slot as usize * ROW_WORDS * 8, ROW_WORDS)
    }

    /// The store cache of a slot.
    pub(super) fn stores(&self, slot: u32) -> &[AtomicU64] {
        debug_assert!(slot < self.slots);
        self.table(STORES + slot as usize * STORE_WORDS * 8, STORE_WORDS)
    }

    /// The pool's generation, as all its processes see it.
    pub fn generation(&self) -> &AtomicU64 {
        &self.table::<AtomicU64>(CONTROL, 2)[1]
    }

    /// The pool's count of changes of names.
    pub fn names_generation(&self) -> &AtomicU64 {
        &self.table::<AtomicU64>(CONTROL, 3)[2]
    }

    /// Counts how often slots were taken back for reuse.
    pub(super) fn epoch(&self) -> &AtomicU64 {
        &self.table::<AtomicU64>(0, 2)[1]
    }

    /// The generation that cached translations belong to.
    pub(super) fn seen(&self) -> &AtomicU64 {
        &self.table::<AtomicU64>(0, 1)[0]
    }

    /// Maps the pool's control page where all look for the generation.
    pub fn map_control(&self, fd: BorrowedFd<'_>, offset: i64, write: bool) -> Result<()> {
        self.replace(CONTROL, 4096, Some((fd, offset)), write)
    }

    /// Maps a view object's entries over the private view.
    pub fn map_view(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.replace(VIEW, VIEW_BYTES, Some((fd, 0)), true)
    }

    /// Goes back to a private, empty view.
    pub fn reset_view(&self) -> Result<()> {
        self.replace(VIEW, VIEW_BYTES, None, true)
    }

    /// Lets the kernel fill the slots: maps the entries of a view, has `fill`
    /// see to them, and maps what `view` shows over all slots, and its control
    /// page. Where nothing is mapped, as in a child that was forked, all of it
    /// is taken away again if it fails; a child is begun without any of it.
    pub fn show(
        &self,
        entries: BorrowedFd<'_>,
        view: BorrowedFd<'_>,
        over: Over,
        fill: impl FnOnce(),
    ) -> Result<()> {
        let (read, write) = (libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE);
        let control = (CONTROL, 4096, read, view, CONTROL_OFFSET as i64);
        let slots = (self.slots as usize - 1) * SLOT_BYTES;
        let slots = (SLOT_BYTES, slots, write, view, SLOT as i64);
        let mut fill = Some(fill);
        let all = [(VIEW, VIEW_BYTES, write, entries, 0), control, slots];
        for (i, part) in all.into_iter().enumerate() {
            let mapped = self.place(part, over);
            if let Err(error) = mapped {
                if over == Over::Nothing {
                    all.iter().take(i).for_each(|&(offset, len, ..)| {
                        // SAFETY: mapped above where nothing was; nobody has been
                        // given a reference into it.
                        unsafe { libc::munmap((self.base + offset) as *mut _, len) };
                    });
                }
                return Err(error);
            }
            if let Some(fill) = fill.take() {
                fill();
            }
        }
        // The rest does not go to children by itself.
        // SAFETY: says something of a range that was mapped above.
        unsafe { libc::madvise((self.base + VIEW) as *mut _, VIEW_BYTES, libc::MADV_DONTFORK) };
        Ok(())
    }

    /// Maps what the view shows in one slot anew: with the right to execute, or
    /// as [`Arena::show`] does. What was mapped of it goes, and comes again when
    /// it is touched.
    ///
    /// Not all slots are mapped for execution, for then the kernel could not map
    /// 2 MiB at once of what may not be executed.
    pub fn show_slot(&self, slot: u32, view: BorrowedFd<'_>, execute: bool) -> Result<()> {
        debug_assert!(slot != 0 && slot < self.slots);
        let (at, more) = (slot as usize * SLOT_BYTES, if execute { libc::PROT_EXEC } else { 0 });
        let prot = libc::PROT_READ | libc::PROT_WRITE | more;
        self.place((at, SLOT_BYTES, prot, view, at as i64), Over::Mine)
    }

    fn place(&self, part: (usize, usize, i32, BorrowedFd<'_>, i64), over: Over) -> Result<()> {
        let (offset, len, prot, fd, at) = part;
        let fixed = match over {
            Over::Mine => libc::MAP_FIXED,
            Over::Nothing => libc::MAP_FIXED_NOREPLACE,
        };
        let address = self.base + offset;
        // SAFETY: inside the reservation, and it either replaces what is ours
        // there, to which there are no references (the caller has emptied the
        // slots), or nothing at all. What is mapped comes from the kernel's own
        // view of the same objects, so that references that a child has by
        // inheritance go on meaning the same bytes.
        let done = unsafe {
            let flags = libc::MAP_SHARED | fixed;
            libc::mmap(address as *mut _, len, prot, flags, fd.as_raw_fd(), at)
        };
        match done as usize == address {
            true => Ok(()),
            false => Err(Error::os("map what a view shows")),
        }
    }

    fn replace(
        &self,
        offset: usize,
        len: usize,
        file: Option<(BorrowedFd<'_>, i64)>,
        write: bool,
    ) -> Result<()> {
        let prot = libc::PROT_READ | if write { libc::PROT_WRITE } else { 0 };
        let (flags, fd, at) = match file {
            Some((fd, at)) => (libc::MAP_SHARED, fd.as_raw_fd(), at),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
        };
        // SAFETY: replaces a part of slot 0 that only holds atomics, which stay
        // readable; `write` is false only for tables this process never writes.
        let at = unsafe {
            libc::mmap((self.base + offset) as *mut _, len, prot, flags | libc::MAP_FIXED, fd, at)
        };
        if at == libc::MAP_FAILED { Err(Error::os("map a table of the arena")) } else { Ok(()) }
    }

    /// Drops every cached translation and store, and what threads are about to
    /// cache: slots are going to mean other objects.
    pub fn forget_all(&self) {
        self.epoch().fetch_add(1, Ordering::SeqCst);
        self.forget_translations();
    }

    /// Drops every cached translation and store.
    pub(super) fn forget_translations(&self) {
        let end = STORES + self.slots as usize * STORE_WORDS * 8;
        // SAFETY: private anonymous memory of slot 0, which reads as zeros
        // afterwards: "nothing cached".
        unsafe { libc::madvise((self.base + ROWS) as *mut _, end - ROWS, libc::MADV_DONTNEED) };
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        LIVE[self.base >> ARENA_BITS].store(false, Ordering::Release);
        // SAFETY: the whole reservation is ours (type invariant), and whoever
        // holds a reference into it also keeps the space, and so this, alive.
        unsafe {
            libc::munmap(
                ptr::with_exposed_provenance_mut(self.base),
                self.slots as usize * SLOT_BYTES,
            )
        };
    }
}

/// The base of the live arena that an address lies in.
#[inline(always)]
pub(super) fn arena_of(address: usize) -> Option<usize> {
    match LIVE.get(address >> ARENA_BITS) {
        Some(live) if live.load(Ordering::Relaxed) => Some(address & !(ARENA - 1)),
        _ => None,
    }
}
