// SPDX-License-Identifier: MIT OR Apache-2.0
//! Blocks taken and given back by a transaction: nothing happens before it
//! commits, so that nothing is lost when it does not.
//!
//! Transactions have the object's lock, so two of them never take blocks of it
//! at once. Those who allocate without one are kept away from their chunks by a
//! bit in the chunk's word: who has set a block's bit looks at that word again,
//! and clears the bit if the chunk is not for them. So a transaction can choose
//! a block whose bit is clear, remember it, and have the bit set by its commit.

use std::sync::atomic::Ordering;

use super::{
    CORRUPT, HEAD_WORDS, NOT_A_BLOCK, View,
    chunk::{Chunk, Use},
    classes::{CHUNK, SIZES, class_for},
    small::{valid_bits, words_of},
};
use crate::{
    error::{Error, Result},
    space::Core,
    tx::no_slot,
    tx::session::{Bits, Freed, Session},
};

/// Entries that are looked at for one that a bit can be added to.
const NEAR: usize = 8;

impl Core {
    /// Takes `len` bytes aligned to `align` once the transaction commits.
    #[inline]
    pub(crate) fn heap_alloc_in(
        &self,
        session: &mut Session,
        number: u32,
        len: u64,
        align: u64,
    ) -> Result<u64> {
        session.take_part(self, number)?;
        let heap = View::writing(self, session.object(number)?.slot)?;
        if !align.is_power_of_two() || align > CHUNK {
            return Err(Error::Unsupported("a heap aligns to powers of two up to 65536"));
        }
        match class_for(len.max(1), align) {
            Some(class) => heap.choose_small(session, number, class),
            None => heap.choose_run(session, number, len),
        }
    }

    /// Gives a block back once the transaction commits.
    pub(crate) fn heap_free_in(
        &self,
        session: &mut Session,
        number: u32,
        offset: u64,
    ) -> Result<()> {
        session.take_part(self, number)?;
        let heap = View::writing(self, session.object(number)?.slot)?;
        let chunk = heap.number_of(offset)?;
        match heap.chunk(chunk).usage() {
            Use::Small(class) => {
                let (word, mask) = heap.bit_of(chunk, class, offset)?;
                let at = heap.offset_of(word);
                let mut now = word.load(Ordering::Acquire);
                for bits in session.bits.iter().filter(|b| b.object == number && b.offset == at) {
                    now = if bits.set { now | bits.mask } else { now & !bits.mask };
                }
                if now & mask == 0 {
                    return Err(NOT_A_BLOCK);
                }
                note(session, Bits { object: number, offset: at, mask, set: false });
            }
            _ if offset.is_multiple_of(CHUNK) => heap.drop_run(session, number, chunk)?,
            _ => return Err(NOT_A_BLOCK),
        }
        session.freed.push(Freed { object: number, offset });
        Ok(())
    }

    /// Sees to the chunks of blocks that a committed transaction gave back.
    #[inline]
    pub(crate) fn give_back(&self, session: &mut Session) -> Result<()> {
        while let Some(freed) = session.freed.pop() {
            let Ok(joined) = session.object(freed.object).copied() else { continue };
            let heap = View::writing(self, joined.slot)?;
            let number = heap.number_of(freed.offset)?;
            let seen = heap.chunk(number);
            let Use::Small(class) = seen.usage() else {
                heap.freed(number);
                continue;
            };
            heap.after_free(number, class, freed.offset, true)?;
            let hinted = session.hints.iter().any(|h| h.0 == joined.id && h.2 == number);
            if seen.is_in_transactions() && !hinted && heap.is_clear(number, class)? {
                let seen = heap.chunk(number);
                heap.change(number, seen, seen.given_back());
                heap.freed(number);
            }
        }
        Ok(())
    }

    /// Undoes what a transaction that does not commit has taken of chunks.
    pub(crate) fn return_runs(&self, session: &mut Session, from: usize) -> Result<()> {
        while session.runs.len() > from {
            let Some((object, head, chunks)) = session.runs.pop() else { break };
            let Ok(joined) = session.object(object) else { continue };
            let heap = View::writing(self, joined.slot)?;
            for number in (head..head.saturating_add(chunks)).rev() {
                heap.return_part(number);
            }
            heap.freed(head);
        }
        Ok(())
    }
}

/// Adds to what the commit is to do to bitmaps.
fn note(session: &mut Session, new: Bits) {
    if !session.is_nested() {
        let near = session.bits.len().saturating_sub(NEAR);
        let recent = session.bits.get_mut(near..).unwrap_or_default();
        let last = recent
            .iter_mut()
            .rev()
            .find(|bits| bits.object == new.object && bits.offset == new.offset);
        // Set and cleared have to stay in their order.
        if let Some(bits) = last.filter(|bits| bits.set == new.set) {
            bits.mask |= new.mask;
            return;
        }
    }
    session.bits.push(new);
}

impl View<'_> {
    /// Where in the slot a word of the heap lies.
    fn offset_of<T>(&self, word: &T) -> u64 {
        (&raw const *word) as u64 - self.core.arena().address(self.slot) as u64
    }

    /// Chooses a block of a class.
    #[inline]
    fn choose_small(&self, session: &mut Session, number: u32, class: usize) -> Result<u64> {
        let id = session.object(number)?.id;
        let known = session.hints.iter().position(|hint| hint.0 == id && hint.1 == class);
        let (mut chunk, mut from) = match known.and_then(|at| session.hints.get(at)) {
            Some(&(_, _, chunk, word)) => (chunk, word as usize),
            None => (0, 0),
        };
        let offset = match self.choose_block(session, number, (chunk, class, from))? {
            Some((offset, word)) => {
                from = word;
                offset
            }
            None => {
                let (found, offset, word) = self.choose_elsewhere(session, number, class, chunk)?;
                (chunk, from) = (found, word);
                offset
            }
        };
        let hint = (id, class, chunk, from as u32);
        match known.and_then(|at| session.hints.get_mut(at)) {
            Some(known) => *known = hint,
            None => session.hints.push(hint),
        }
        Ok(offset)
    }

    /// Chooses a block of one chunk: where it is, and the bitmap word of its bit.
    #[inline]
    fn choose_block(
        &self,
        session: &mut Session,
        number: u32,
        (chunk, class, from): (u32, usize, usize),
    ) -> Result<Option<(u64, usize)>> {
        let inside = chunk >= self.first && (chunk as usize) < self.table.len();
        if !inside || !self.chunk(chunk).is_open_in(class) {
            return Ok(None);
        }
        let words = words_of(class);
        let Some(bits) = self.bitmap(chunk)?.and_then(|bits| bits.get(..words)) else {
            return Err(CORRUPT);
        };
        let from = if from < words { from } else { 0 };
        let mut all_taken = true;
        for at in (from..words).chain(0..from) {
            let Some(word) = bits.get(at) else { return Err(CORRUPT) };
            let (valid, taken) = (valid_bits(class, at), word.load(Ordering::SeqCst));
            if taken & valid == valid {
                continue;
            }
            all_taken = false;
            let offset = self.offset_of(word);
            let mine = session.bits.iter().filter(|b| b.object == number && b.offset == offset);
            let chosen = mine.filter(|b| b.set).fold(taken, |all, b| all | b.mask);
            if chosen & valid == valid {
                continue;
            }
            let bit = (!chosen & valid).trailing_zeros() as u64;
            let block = chunk as u64 * CHUNK + (at as u64 * 64 + bit) * SIZES[class];
            self.reach_in(chunk as u64 * CHUNK, block + SIZES[class])?;
            note(session, Bits { object: number, offset, mask: 1 << bit, set: true });
            return Ok(Some((block, at)));
        }
        if all_taken {
            let seen = self.chunk(chunk);
            self.change(chunk, seen, seen.with_full(true));
        }
        Ok(None)
    }

    /// Makes the data reach to `end`, for good.
    #[inline]
    fn reach_in(&self, from: u64, end: u64) -> Result<()> {
        if end <= self.own.end() || end <= self.core.own(self.slot)?.end() {
            return Ok(());
        }
        self.core.heap_reach(self.slot, from, end)?;
        self.make_durable()
    }

    /// How far the data reaches, and what its chunks are, is durable before
    /// anything is that depends on it.
    #[cold]
    fn make_durable(&self) -> Result<()> {
        if self.core.durable() {
            let id = self.core.arena().info(self.slot).ok_or_else(no_slot)?.id();
            self.core.sync_object(id)?;
        }
        Ok(())
    }

    /// Chooses a block of any chunk but the last one: the chunk, the block, and
    /// the bitmap word of its bit.
    #[cold]
    fn choose_elsewhere(
        &self,
        session: &mut Session,
        number: u32,
        class: usize,
        last: u32,
    ) -> Result<(u32, u64, usize)> {
        let top = self.top();
        for chunk in (last.saturating_add(1).max(self.first)..top).chain(self.first..last.min(top))
        {
            if !self.chunk(chunk).is_full()
                && let Some((offset, word)) =
                    self.choose_block(session, number, (chunk, class, 0))?
            {
                return Ok((chunk, offset, word));
            }
        }
        let new = self.new_in_transactions(class)?;
        match self.choose_block(session, number, (new, class, 0))? {
            Some((offset, word)) => Ok((new, offset, word)),
            None => Err(CORRUPT),
        }
    }

    /// Takes a free chunk for transactions.
    fn new_in_transactions(&self, class: usize) -> Result<u32> {
        loop {
            let number = self.find_free(1)?;
            if self.bitmap(number)?.is_none() {
                self.add_bitmaps(number)?;
                continue;
            }
            let (start, end) = (number as u64 * CHUNK, (number as u64 + 1) * CHUNK);
            if start + SIZES[class] > self.core.own(self.slot)?.end() {
                self.core.heap_reach(self.slot, start, start + SIZES[class])?;
            }
            let own = self.core.own(self.slot)?.end();
            self.back_chunk(number, own.clamp(start + SIZES[class], end) - start)?;
            if !self
                .take_chunk_as(number, |seen| seen.used_for(Use::Small(class)).in_transactions())
            {
                continue;
            }
            self.make_durable()?;
            return Ok(number);
        }
    }

    /// Chooses a run of chunks. They are taken at once, marked as an open
    /// transaction's: whoever has the lock next knows them from those in use.
    #[cold]
    fn choose_run(&self, session: &mut Session, number: u32, len: u64) -> Result<u64> {
        let chunks = len.div_ceil(CHUNK);
        if chunks >= super::CHUNKS as u64 {
            return Err(self.full());
        }
        let chunks = chunks.max(1) as u32;
        self.reclaim(session, number);
        loop {
            let head = self.find_free(chunks)?;
            let end = (head + chunks) as u64 * CHUNK;
            self.reach_in(head as u64 * CHUNK, end)?;
            self.back_chunk(head, end - head as u64 * CHUNK)?;
            self.back_chunk(head + chunks - 1, 0)?;
            let part = |seen: Chunk| seen.used_for(Use::Part).in_transactions();
            let taken = (head..head + chunks).take_while(|&n| self.take_chunk_as(n, part)).count();
            if taken as u32 != chunks {
                (head..head + taken as u32).rev().for_each(|n| self.return_part(n));
                self.freed(head);
                continue;
            }
            session.runs.push((number, head, chunks));
            for n in head..head + chunks {
                let usage = if n == head { Use::Large(chunks) } else { Use::Part };
                self.set_chunk(session, number, n, self.chunk(n).used_for(usage))?;
            }
            self.make_durable()?;
            return Ok(head as u64 * CHUNK);
        }
    }

    /// Frees the parts that a transaction left which did not commit.
    fn reclaim(&self, session: &Session, number: u32) {
        for n in self.first..self.top() {
            let mine =
                |run: &(u32, u32, u32)| run.0 == number && (run.1..run.1 + run.2).contains(&n);
            let part = self.chunk(n);
            if part.usage() == Use::Part
                && part.is_in_transactions()
                && !session.runs.iter().any(mine)
            {
                self.return_part(n);
                self.freed(n);
            }
        }
    }

    fn return_part(&self, number: u32) {
        let part = self.chunk(number);
        if part.usage() == Use::Part && part.is_in_transactions() {
            self.change(number, part, part.used_for(Use::Free));
        }
    }

    /// Says what a chunk's word is to become.
    fn set_chunk(&self, session: &mut Session, object: u32, chunk: u32, to: Chunk) -> Result<()> {
        let offset = self.base + HEAD_WORDS * 8 + chunk as u64 * 4;
        let shift = 8 * (offset & 7);
        session.write(self.core, object, offset, (to.0 as u64) << shift, 15 << (offset & 7))
    }

    /// Says that a run is to be given back.
    fn drop_run(&self, session: &mut Session, object: u32, head: u32) -> Result<()> {
        let seen = |session: &mut Session, chunk: u32| {
            let offset = self.base + HEAD_WORDS * 8 + chunk as u64 * 4;
            let word = session.read(self.core, object, offset)?;
            Ok::<_, Error>(Chunk((word >> (8 * (offset & 7))) as u32))
        };
        let Use::Large(chunks) = seen(session, head)?.usage() else { return Err(NOT_A_BLOCK) };
        if head as u64 + chunks as u64 > super::CHUNKS as u64 {
            return Err(CORRUPT);
        }
        for chunk in head..head + chunks {
            let free = seen(session, chunk)?.given_back();
            self.set_chunk(session, object, chunk, free)?;
        }
        Ok(())
    }
}
