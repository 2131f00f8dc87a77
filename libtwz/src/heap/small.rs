// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small blocks: chunks of blocks of one class, a bit for each.
//!
//! Taking a block sets its bit; giving it back clears it. Two things need care:
//!
//! **A chunk that is empty goes back**, for another class or for a run. Whoever
//! empties it marks it *closing*, which cannot be undone, then looks at all of
//! its bits, and only if they are clear makes it free. Whoever takes a block
//! sets the bit, then looks whether the chunk still is of its class, and if not
//! clears the bit and goes elsewhere. Both orders are total (`SeqCst`), so
//! either the taker sees the mark or the closer sees the bit. A closing chunk
//! that still has blocks goes back with the last of them. The generation in the
//! chunk's word keeps one who was asleep from freeing a later use of it.
//!
//! **A full chunk** is marked so that scans pass over it. The marker looks at
//! the bits again after marking, a block given back takes the mark away.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    CHUNKS, CORRUPT, HINT, NOT_A_BLOCK, View,
    chunk::Use,
    classes::{CHUNK, SIZES, count},
    meanwhile,
};
use crate::error::{Error, Result};

/// Rounds that other processes may spoil before it is called their fault.
const ROUNDS: u32 = 1 << 16;

/// The bits of word `word` of a bitmap that stand for blocks.
#[inline(always)]
pub(super) fn valid_bits(class: usize, word: usize) -> u64 {
    match count(class).saturating_sub(word as u64 * 64) {
        0 => 0,
        left if left >= 64 => u64::MAX,
        left => (1 << left) - 1,
    }
}

/// Words of a bitmap that a class uses.
#[inline(always)]
pub(super) fn words_of(class: usize) -> usize {
    count(class).div_ceil(64) as usize
}

impl<'a> View<'a> {
    /// Takes a block.
    #[inline]
    pub(super) fn alloc_small(&self, class: usize) -> Result<u64> {
        let hint = &self.words[HINT + class];
        for _ in 0..ROUNDS {
            let at = hint.load(Ordering::Relaxed);
            let number = ((at >> 16) as u32).min(self.table.len() as u32 - 1);
            if self.chunk(number).is_open(class) && number >= self.first {
                if let Some(offset) = self.take_block(number, class, at as u16 as usize)? {
                    return Ok(offset);
                }
                self.mark_full(number, class)?;
            }
            let next = self.chunk_with_room(class, number)?;
            hint.store((next as u64) << 16, Ordering::Relaxed);
        }
        Err(Error::Busy { what: "other processes keep taking the blocks found free; try again" })
    }

    /// Takes a block of an open chunk, looking from bitmap word `from` on.
    #[inline]
    fn take_block(&self, number: u32, class: usize, from: usize) -> Result<Option<u64>> {
        let words = words_of(class);
        let Some(bits) = self.bitmap(number)?.and_then(|bits| bits.get(..words)) else {
            return Err(CORRUPT);
        };
        let from = if from < words { from } else { 0 };
        for at in (from..words).chain(0..from) {
            let valid = valid_bits(class, at);
            let mut seen = bits[at].load(Ordering::Relaxed);
            while seen & valid != valid {
                let bit = (!seen & valid).trailing_zeros();
                meanwhile("a block is taken");
                match bits[at].compare_exchange_weak(
                    seen,
                    seen | 1 << bit,
                    Ordering::SeqCst,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        if at != from {
                            let hint = (number as u64) << 16 | at as u64;
                            self.words[HINT + class].store(hint, Ordering::Relaxed);
                        }
                        let index = at as u64 * 64 + bit as u64;
                        return self.settle(number, class, &bits[at], 1 << bit, index);
                    }
                    Err(now) => seen = now,
                }
            }
        }
        Ok(None)
    }

    /// A bit was set: the block is ours if the chunk is still open, and if the
    /// data can reach over it.
    #[inline(always)]
    fn settle(
        &self,
        number: u32,
        class: usize,
        word: &AtomicU64,
        bit: u64,
        index: u64,
    ) -> Result<Option<u64>> {
        if !self.chunk(number).is_open(class) {
            self.clear(number, word, bit)?;
            return Ok(None);
        }
        let offset = number as u64 * CHUNK + index * SIZES[class];
        if offset + SIZES[class] > self.own.end()
            && let Err(error) =
                self.core.heap_reach(self.slot, number as u64 * CHUNK, offset + SIZES[class])
        {
            self.clear(number, word, bit)?;
            return Err(error);
        }
        Ok(Some(offset))
    }

    /// Undoes a bit that was set in vain.
    #[cold]
    fn clear(&self, number: u32, word: &AtomicU64, bit: u64) -> Result<()> {
        word.fetch_and(!bit, Ordering::SeqCst);
        self.finish_closing(number)
    }

    /// Notes that nothing was found in a chunk.
    #[cold]
    fn mark_full(&self, number: u32, class: usize) -> Result<()> {
        let seen = self.chunk(number);
        if !seen.has_room(class) || !self.change(number, seen, seen.with_full(true)) {
            return Ok(());
        }
        let Some(bits) = self.bitmap(number)? else { return Err(CORRUPT) };
        let room = (0..words_of(class)).any(|at| {
            let valid = valid_bits(class, at);
            bits[at].load(Ordering::SeqCst) & valid != valid
        });
        if room {
            self.change(number, seen.with_full(true), seen);
        }
        Ok(())
    }

    /// An open chunk that is not marked full: the next after `last`, or a new one.
    #[cold]
    fn chunk_with_room(&self, class: usize, last: u32) -> Result<u32> {
        let top = self.top();
        let last = last.clamp(self.first, top.max(self.first));
        let mut known = ((last + 1).min(top)..top).chain(self.first..(last + 1).min(top));
        if let Some(number) = known.find(|&number| self.chunk(number).has_room(class)) {
            return Ok(number);
        }
        match self.new_chunk(class) {
            Err(full @ Error::ObjectFull { .. }) => self.last_resort(class).ok_or(full),
            other => other,
        }
    }

    /// Turns a free chunk into one of this class.
    fn new_chunk(&self, class: usize) -> Result<u32> {
        for _ in 0..ROUNDS {
            let number = self.find_free(1)?;
            if self.bitmap(number)?.is_none() {
                self.add_bitmaps(number)?;
                continue;
            }
            // A block of it is wanted at once: refuse before taking it.
            let (start, end) = (number as u64 * CHUNK, (number as u64 + 1) * CHUNK);
            if (start + SIZES[class]) > self.own.end() {
                self.core.heap_reach(self.slot, start, start + SIZES[class])?;
            }
            // What the data reaches over already may be a hole; what it will
            // reach over later is backed then.
            self.back_chunk(number, self.own.end().clamp(start + SIZES[class], end) - start)?;
            if self.take_chunk(number, Use::Small(class)) {
                return Ok(number);
            }
        }
        Err(Error::Busy { what: "other processes keep taking the chunks found free; try again" })
    }

    /// With no chunk left: one that is marked full but is not, if there is any.
    fn last_resort(&self, class: usize) -> Option<u32> {
        (self.first..self.top()).find(|&number| {
            let seen = self.chunk(number);
            seen.is_open(class)
                && self.bitmap(number).ok().flatten().is_some_and(|bits| {
                    (0..words_of(class)).any(|at| {
                        let valid = valid_bits(class, at);
                        bits[at].load(Ordering::SeqCst) & valid != valid
                    })
                })
        })
    }

    /// The bitmap word and bit of the block at `offset`.
    #[inline(always)]
    pub(super) fn bit_of(
        &self,
        number: u32,
        class: usize,
        offset: u64,
    ) -> Result<(&'a AtomicU64, u64)> {
        let (index, rest) = ((offset % CHUNK) / SIZES[class], (offset % CHUNK) % SIZES[class]);
        if rest != 0 || index >= count(class) {
            return Err(NOT_A_BLOCK);
        }
        match self.bitmap(number)?.and_then(|bits| bits.get(index as usize / 64)) {
            Some(word) => Ok((word, 1 << (index % 64))),
            None => Err(CORRUPT),
        }
    }

    /// Whether a block at `offset` is in use.
    pub(super) fn has_block(&self, number: u32, class: usize, offset: u64) -> Result<bool> {
        let (word, bit) = self.bit_of(number, class, offset)?;
        Ok(word.load(Ordering::Acquire) & bit != 0)
    }

    /// Gives a block back.
    #[inline]
    pub(super) fn free_small(&self, number: u32, class: usize, offset: u64) -> Result<()> {
        let (word, bit) = self.bit_of(number, class, offset)?;
        let old = word.fetch_and(!bit, Ordering::SeqCst);
        if old & bit == 0 {
            return Err(NOT_A_BLOCK);
        }
        self.after_free(number, class, offset, old == bit)
    }

    /// A block's bit was cleared, the last one of its word if `last`.
    #[inline]
    pub(super) fn after_free(
        &self,
        number: u32,
        class: usize,
        offset: u64,
        last: bool,
    ) -> Result<()> {
        let now = self.chunk(number);
        if now.is_in_transactions() {
            if now.is_full() {
                self.change(number, now, now.with_full(false));
            }
            return Ok(());
        }
        let hint = &self.words[HINT + class];
        if now.is_full() {
            self.change(number, now, now.with_full(false));
            let at = (offset % CHUNK) / SIZES[class] / 64;
            let last = hint.swap((number as u64) << 16 | at, Ordering::Relaxed) >> 16;
            // What was kept though empty need not be kept any longer.
            if last != number as u64 && last >= self.first as u64 && last < CHUNKS as u64 {
                self.close(last as u32)?;
            }
        }
        // The chunk that blocks are taken from now is kept.
        if last && (now.is_closing() || hint.load(Ordering::Relaxed) >> 16 != number as u64) {
            return self.close(number);
        }
        Ok(())
    }

    /// Gives a chunk back if it is empty.
    #[cold]
    pub(super) fn close(&self, number: u32) -> Result<()> {
        let seen = self.chunk(number);
        if seen.is_in_transactions() {
            // A transaction may be about to take blocks of it.
            return Ok(());
        }
        if let Use::Small(class) = seen.usage()
            && !seen.is_closing()
        {
            let clear = self.is_clear(number, class)?;
            meanwhile("a chunk is closed");
            if !clear || !self.change(number, seen, seen.closing()) {
                return Ok(());
            }
        }
        self.finish_closing(number)
    }

    /// Makes a closing chunk free once none of its blocks is in use.
    fn finish_closing(&self, number: u32) -> Result<()> {
        loop {
            let seen = self.chunk(number);
            let Use::Small(class) = seen.usage() else { return Ok(()) };
            if !seen.is_closing() || !self.is_clear(number, class)? {
                return Ok(());
            }
            if self.change(number, seen, seen.given_back()) {
                self.freed(number);
                return Ok(());
            }
        }
    }

    pub(super) fn is_clear(&self, number: u32, class: usize) -> Result<bool> {
        let Some(bits) = self.bitmap(number)? else { return Err(CORRUPT) };
        // What is set beyond the last block is somebody's of an earlier class, who
        // has yet to see that the chunk went, or died before.
        let taken = |at: usize| bits[at].load(Ordering::SeqCst) & valid_bits(class, at) != 0;
        Ok(!(0..words_of(class)).any(taken))
    }
}
