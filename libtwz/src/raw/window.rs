// SPDX-License-Identifier: MIT OR Apache-2.0
//! One slot as a place to map an object's files into. Backends get a window
//! and nothing else of the address space; see [`crate::backend`].

use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    sync::atomic::Ordering,
};

use nix::errno::Errno;
use twz_abi::{DATA_START, PAGE, Rights, SLOT, TAIL_START};

use super::arena::{Arena, SLOT_BYTES};
use crate::error::{Error, Result};

/// A slot of an arena, to map into. Whoever holds one has claimed the slot
/// (its state is busy), so no other thread maps into it.
pub struct SlotWindow<'a> {
    arena: &'a Arena,
    slot: u32,
}

impl<'a> SlotWindow<'a> {
    /// The window of a slot that the caller has claimed.
    pub(crate) fn claimed(arena: &'a Arena, slot: u32) -> Self {
        debug_assert!(slot != 0 && slot < arena.slots());
        Self { arena, slot }
    }

    fn map(
        &self,
        offset: u64,
        len: u64,
        fd: BorrowedFd<'_>,
        at: u64,
        rights: Rights,
        flags: i32,
    ) -> Result<()> {
        if offset < DATA_START
            || !offset.is_multiple_of(PAGE)
            || !len.is_multiple_of(PAGE)
            || len > SLOT - offset
        {
            return Err(Error::BadPointer {
                why: "a mapping has to lie in its slot, after the null page",
            });
        }
        let mut prot = 0;
        if rights.contains(Rights::READ) {
            prot |= libc::PROT_READ;
        }
        if rights.contains(Rights::WRITE) {
            prot |= libc::PROT_WRITE;
        }
        if rights.contains(Rights::EXEC) {
            prot |= libc::PROT_EXEC;
        }
        let address = self.arena.address(self.slot) + offset as usize;
        // SAFETY: 1. the range lies in this slot (checked above), which is part
        // of the reservation; 2. what was mapped there before is either nothing
        // or the same object with other rights or fewer pages, since the slot is
        // claimed, so references into it go on meaning the same bytes, or fault.
        let map = |flags: i32| unsafe {
            let (fd, flags) = (fd.as_raw_fd(), libc::MAP_FIXED | flags);
            libc::mmap(address as *mut _, len as usize, prot, flags, fd, at as i64)
        };
        if prot & libc::PROT_WRITE != 0 && self.arena.maps_synchronously() {
            if map(libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC) != libc::MAP_FAILED {
                return Ok(());
            }
            match Errno::last() {
                Errno::EOPNOTSUPP | Errno::EINVAL => self.arena.refuse_synchronous(),
                _ => return Err(Error::os("map an object")),
            }
        }
        let done = map(libc::MAP_SHARED | flags);
        if done == libc::MAP_FAILED { Err(Error::os("map an object")) } else { Ok(()) }
    }

    /// Maps a file's bytes from 0 as the object's data. The mapping reaches
    /// past the end of the file, so that growth needs no new one.
    pub fn map_data(&self, fd: BorrowedFd<'_>, fot_pages: u32, rights: Rights) -> Result<()> {
        let end = TAIL_START - fot_pages as u64 * PAGE;
        self.map(DATA_START, end - DATA_START, fd, 0, rights, 0)
    }

    /// Maps page 0 of a tail file.
    pub fn map_tail(&self, fd: BorrowedFd<'_>, rights: Rights) -> Result<()> {
        let rights = rights.without(Rights::EXEC);
        self.map(TAIL_START, PAGE, fd, 0, rights, libc::MAP_POPULATE)
    }

    /// Maps the runs of FOT pages below the tail page that make up `pages`
    /// pages or more; returns how many there are now.
    pub fn map_fot(
        &self,
        fd: BorrowedFd<'_>,
        from: u32,
        pages: u32,
        rights: Rights,
    ) -> Result<u32> {
        let rights = rights.without(Rights::EXEC);
        let mut run = from + 1;
        while run <= pages {
            // Pages `run` to `2 run - 1` lie in the file in the slot's order.
            let offset = TAIL_START - (2 * run as u64 - 1) * PAGE;
            self.map(offset, run as u64 * PAGE, fd, run as u64 * PAGE, rights, 0)?;
            run *= 2;
        }
        Ok(run - 1)
    }

    /// The slot.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Has the kernel show the slot anew; see [`Arena::show_slot`].
    pub fn show(&self, view: BorrowedFd<'_>, execute: bool) -> Result<()> {
        self.arena.show_slot(self.slot, view, execute)
    }

    /// Whether the slot was mapped to be executed, as far as that is allowed.
    pub fn executes(&self) -> bool {
        self.arena.info(self.slot).is_some_and(|info| {
            Rights(info.requested.load(Ordering::Relaxed)).contains(Rights::EXEC)
        })
    }

    /// Takes everything out of the slot again.
    pub fn clear(&self) -> Result<()> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: exactly this slot. The caller has made sure that no handle
        // pins it, so that no reference into it is left; or the slot stays its
        // object's, without a right, and a touch by way of a reference faults.
        let done = unsafe {
            libc::mmap(
                self.arena.address(self.slot) as *mut _,
                SLOT_BYTES,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if done == libc::MAP_FAILED { Err(Error::os("unmap an object")) } else { Ok(()) }
    }
}
