// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walking a whole heap: what is in use, what was lost, what cannot be.

use std::sync::atomic::Ordering;

use twz_abi::FormatError;

use super::{
    CHUNKS, DIRECTORY, DIRECTORY_AT, View,
    chunk::Use,
    classes::{CHUNK, SIZES},
    small::{valid_bits, words_of},
};
use crate::{
    error::{Error, Result},
    space::Core,
};

/// What a heap is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapReport {
    /// Blocks in use.
    pub blocks: u64,
    /// Bytes of the blocks in use.
    pub bytes: u64,
    /// Chunks of 64 KiB that hold blocks, or the bitmaps of those that do.
    pub chunks: u64,
    /// Chunks that somebody who was killed, or whose power went, had just taken or was
    /// giving back.
    pub lost_chunks: u64,
    /// What is not as it should be, counted: 0 in a sound heap.
    pub faults: u64,
}

impl Core {
    /// What is in use.
    pub(crate) fn heap_stats(&self, slot: u32) -> Result<HeapReport> {
        let own = self.refresh(slot)?;
        let base = View::base(self, slot)?;
        if own.end() < base + super::HEADER {
            // Nothing was ever allocated.
            return Ok(HeapReport::default());
        }
        let heap = View::over(self, slot, own, base)?;
        let mut report = HeapReport::default();
        let mut covered = heap.first;
        for number in heap.first..CHUNKS {
            heap.count_chunk(number, &mut covered, &mut report)?;
        }
        for group in 1..DIRECTORY as usize {
            let host = heap.words[DIRECTORY_AT + group].load(Ordering::Acquire);
            if host != 0
                && (host < heap.first as u64
                    || host >= CHUNKS as u64
                    || heap.chunk(host as u32).usage() != Use::Bits)
            {
                report.faults += 1;
            }
        }
        Ok(report)
    }

    /// What is in use, or an error if the heap is not sound.
    pub(crate) fn heap_check(&self, slot: u32) -> Result<HeapReport> {
        let report = self.heap_stats(slot)?;
        if report.faults == 0 {
            return Ok(report);
        }
        let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        Err(Error::Format {
            what: format!("heap of object {id}"),
            error: FormatError::Range { what: "number of faults", found: report.faults },
        })
    }
}

impl View<'_> {
    /// Adds one chunk to a report; `covered` is where the last run ends.
    fn count_chunk(&self, number: u32, covered: &mut u32, report: &mut HeapReport) -> Result<()> {
        let inside = number < *covered;
        let usage = self.chunk(number).usage();
        if inside && usage != Use::Part {
            report.faults += 1;
        }
        if number >= self.top() && !matches!(usage, Use::Free | Use::Part) {
            // The power went before the top was durable, and what it was taken for, too.
            report.lost_chunks += 1;
        }
        match usage {
            Use::Free => {}
            Use::Part if inside => {}
            Use::Part => report.lost_chunks += 1,
            Use::Bad => report.faults += 1,
            Use::Bits => {
                let entries = &self.words[DIRECTORY_AT..DIRECTORY_AT + DIRECTORY as usize];
                match entries.iter().filter(|e| e.load(Ordering::Acquire) == number as u64).count()
                {
                    0 => report.lost_chunks += 1,
                    1 => report.chunks += 1,
                    _ => report.faults += 1,
                }
            }
            Use::Large(chunks) => {
                let end = number as u64 + chunks as u64;
                if end > CHUNKS as u64 || end * CHUNK > self.own.end() {
                    report.faults += 1;
                }
                *covered = end.min(CHUNKS as u64) as u32;
                report.blocks += 1;
                report.bytes += chunks as u64 * CHUNK;
                report.chunks += chunks as u64;
            }
            Use::Small(class) => self.count_blocks(number, class, report)?,
        }
        Ok(())
    }

    fn count_blocks(&self, number: u32, class: usize, report: &mut HeapReport) -> Result<()> {
        let Some(bits) = self.bitmap(number)? else {
            report.faults += 1;
            return Ok(());
        };
        let mut blocks = 0;
        for (at, word) in bits.iter().enumerate() {
            let word = word.load(Ordering::Acquire);
            let valid = if at < words_of(class) { valid_bits(class, at) } else { 0 };
            blocks += (word & valid).count_ones() as u64;
        }
        report.blocks += blocks;
        report.bytes += blocks * SIZES[class];
        report.chunks += 1;
        Ok(())
    }
}
