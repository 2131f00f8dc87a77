// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole chunks: runs of them as large blocks, and single ones for others.
//!
//! The chunks of a run are taken one by one, upwards, and the first says
//! "large" last: until then nobody can free the run, and after a kill they are
//! merely lost. Whoever meets a chunk that another has taken gives back what it
//! has and looks further on.

use std::sync::atomic::Ordering;

use super::{
    BITMAP, CHUNKS, CORRUPT, DIRECTORY_AT, GROUP, LOW, NOT_A_BLOCK, TOP, View,
    chunk::{Chunk, Use},
    classes::CHUNK,
    meanwhile,
};
use crate::{
    error::{Error, Result},
    raw::object as memory,
};

impl View<'_> {
    /// Takes a run of chunks for `len` bytes.
    #[cold]
    pub(super) fn alloc_run(&self, len: u64) -> Result<u64> {
        let chunks = len.div_ceil(CHUNK);
        if chunks >= CHUNKS as u64 {
            return Err(self.full());
        }
        let chunks = chunks.max(1) as u32;
        loop {
            let head = self.find_free(chunks)?;
            let end = (head + chunks) as u64 * CHUNK;
            if end > self.own.end() {
                self.core.heap_reach(self.slot, head as u64 * CHUNK, end)?;
            }
            self.back_chunk(head, end - head as u64 * CHUNK)?;
            self.back_chunk(head + chunks - 1, 0)?;
            meanwhile("a run is taken");
            if self.take_parts(head, chunks) == chunks {
                let part = self.chunk(head);
                self.change(head, part, part.used_for(Use::Large(chunks)));
                return Ok(head as u64 * CHUNK);
            }
        }
    }

    /// Takes up to `chunks` chunks from `from` on; all of them, or none.
    fn take_parts(&self, from: u32, chunks: u32) -> u32 {
        for i in 0..chunks {
            if !self.take_chunk(from + i, Use::Part) {
                // Nothing was written to them: they are as free as before.
                for mine in (from..from + i).rev() {
                    let part = self.chunk(mine);
                    self.change(mine, part, part.used_for(Use::Free));
                }
                self.freed(from);
                return 0;
            }
        }
        chunks
    }

    /// Takes one free chunk.
    pub(super) fn take_chunk(&self, number: u32, usage: Use) -> bool {
        self.take_chunk_as(number, |seen| seen.used_for(usage))
    }

    /// Takes one free chunk, and makes its word what `taken` says.
    pub(super) fn take_chunk_as(&self, number: u32, taken: impl Fn(Chunk) -> Chunk) -> bool {
        // First, so that no chunk in use is ever past the top.
        self.words[TOP].fetch_max(number as u64 + 1, Ordering::AcqRel);
        let seen = self.chunk(number);
        if seen.usage() != Use::Free || !self.change(number, seen, taken(seen)) {
            return false;
        }
        let low = self.words[LOW].load(Ordering::Relaxed);
        if low >= number as u64 || low < self.first as u64 {
            // A hint: another's free may be overwritten, and is found all the same.
            let next = if low > number as u64 { low } else { number as u64 + 1 };
            let _ =
                self.words[LOW].compare_exchange(low, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        true
    }

    /// Notes that a chunk has become free.
    pub(super) fn freed(&self, number: u32) {
        self.words[LOW].fetch_min(number as u64, Ordering::Relaxed);
    }

    /// Where `chunks` chunks in a row are free.
    pub(super) fn find_free(&self, chunks: u32) -> Result<u32> {
        let low = self.words[LOW].load(Ordering::Relaxed).min(CHUNKS as u64) as u32;
        if let Some(found) = self.free_from(low.max(self.first), chunks) {
            return Ok(found);
        }
        if let Some(found) = self.free_from(self.first, chunks) {
            return Ok(found);
        }
        // Chunks that are empty but kept for their class.
        for number in self.first..self.top() {
            if let Use::Small(_) = self.chunk(number).usage() {
                self.close(number)?;
            }
        }
        self.free_from(self.first, chunks).ok_or_else(|| self.full())
    }

    fn free_from(&self, from: u32, chunks: u32) -> Option<u32> {
        let mut found = 0;
        for number in from..CHUNKS {
            if self.chunk(number).usage() == Use::Free {
                found += 1;
                if found == chunks {
                    return Some(number + 1 - chunks);
                }
            } else {
                found = 0;
            }
        }
        None
    }

    /// Gives a run back.
    pub(super) fn free_run(&self, head: u32) -> Result<()> {
        let seen = self.chunk(head);
        let Use::Large(chunks) = seen.usage() else { return Err(NOT_A_BLOCK) };
        if head as u64 + chunks as u64 > CHUNKS as u64 {
            return Err(CORRUPT);
        }
        // The one who changes the head frees the run.
        if !self.change(head, seen, seen.used_for(Use::Part)) {
            return Err(NOT_A_BLOCK);
        }
        for number in (head..head + chunks).rev() {
            let part = self.chunk(number);
            // Anything else was not ours: the table has been tampered with.
            if part.usage() == Use::Part {
                self.change(number, part, part.given_back());
            }
        }
        self.freed(head);
        Ok(())
    }

    /// Makes a run longer where it is, if the chunks after it are free.
    pub(super) fn extend_run(&self, head: u32, len: u64) -> Result<bool> {
        let seen = self.chunk(head);
        let Use::Large(old) = seen.usage() else { return Err(NOT_A_BLOCK) };
        let new = len.div_ceil(CHUNK);
        if head as u64 + new > CHUNKS as u64 || new <= old as u64 {
            return Ok(false);
        }
        let (after, more) = (head + old, new as u32 - old);
        if (after..after + more).any(|number| self.chunk(number).usage() != Use::Free) {
            return Ok(false);
        }
        let end = (head as u64 + new) * CHUNK;
        if end > self.own.end() {
            self.core.heap_reach(self.slot, after as u64 * CHUNK, end)?;
        }
        self.back_chunk(after, end - after as u64 * CHUNK)?;
        self.back_chunk(after + more - 1, 0)?;
        if self.take_parts(after, more) != more {
            return Ok(false);
        }
        if self.change(head, seen, seen.used_for(Use::Large(new as u32))) {
            return Ok(true);
        }
        // Freed meanwhile, which is the caller's mistake.
        for number in (after..after + more).rev() {
            let part = self.chunk(number);
            self.change(number, part, part.used_for(Use::Free));
        }
        Err(NOT_A_BLOCK)
    }

    /// Gives the group of `number` bitmaps, in a chunk of their own.
    #[cold]
    pub(super) fn add_bitmaps(&self, number: u32) -> Result<()> {
        let host = self.find_free(1)?;
        let end = host as u64 * CHUNK + GROUP * BITMAP;
        let own = match end > self.own.end() {
            true => self.core.heap_reach(self.slot, host as u64 * CHUNK, end)?,
            false => self.own,
        };
        self.back_chunk(host, GROUP * BITMAP)?;
        if !self.take_chunk(host, Use::Bits) {
            return Ok(());
        }
        for word in memory::words(self.core, own, host as u64 * CHUNK, GROUP * BITMAP / 8)? {
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
        let entry = &self.words[DIRECTORY_AT + number as usize / GROUP as usize];
        if entry.compare_exchange(0, host as u64, Ordering::AcqRel, Ordering::Acquire).is_err() {
            let bits = self.chunk(host);
            self.change(host, bits, bits.given_back());
            self.freed(host);
        }
        Ok(())
    }

    pub(super) fn full(&self) -> Error {
        let info = self.core.arena().info(self.slot);
        let id = info.map_or(twz_abi::ObjectId::NULL, |info| info.id());
        Error::ObjectFull { id, what: "its heap has no room for a block of this size" }
    }
}
