// SPDX-License-Identifier: GPL-2.0 OR MIT
//! A medium that dies: what is visible and what is durable are kept apart.
//!
//! A write is visible at once. Each aligned 8-byte word of it is durable once
//! it was flushed and a fence returned; until then, a power cut leaves in its
//! place any value that it had since it was last durable, chosen word by word.
//! After a number of writes, flushes and fences, everything fails.

use std::collections::BTreeMap;

use twz_core::{Media, MediaError};

use super::Random;

/// A word that is not durable.
#[derive(Clone, Default)]
struct Pending {
    /// What it has been since it was durable, oldest first.
    values: Vec<u64>,
    /// How many of these were there when it was last flushed.
    flushed: usize,
}

/// The medium.
#[derive(Clone)]
pub struct Power {
    /// What reads see, and a killed program leaves.
    pub visible: Vec<u8>,
    durable: Vec<u8>,
    pending: BTreeMap<usize, Pending>,
    /// Writes, flushes and fences so far.
    pub done: u64,
    /// How many may be done.
    pub limit: u64,
    /// Whether fences do nothing: to see that the tests notice.
    pub no_fence: bool,
}

impl Power {
    /// A medium with these bytes, all durable.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            durable: bytes.clone(),
            visible: bytes,
            pending: BTreeMap::new(),
            done: 0,
            limit: u64::MAX,
            no_fence: false,
        }
    }

    /// What a power cut now might leave.
    pub fn cut(&self, random: &mut Random) -> Vec<u8> {
        let mut image = self.durable.clone();
        // Now and then nearly all or nearly nothing survives.
        let bias = [1, 2, 2, 8, 64][random.below(5) as usize];
        let lucky = random.below(2) == 0;
        for (&word, pending) in &self.pending {
            let last = pending.values.len() as u64;
            let n = match (random.below(bias) == 0, lucky) {
                (true, _) => random.below(last + 1),
                (false, true) => last,
                (false, false) => 0,
            };
            if n > 0 {
                let value = pending.values[n as usize - 1];
                image[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        image
    }

    /// What a power cut now leaves if of all that is not durable just the words
    /// survive that `keep` says, as they are now.
    pub fn cut_to(&self, keep: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut image = self.durable.clone();
        for &word in self.pending.keys().filter(|&&word| keep(word)) {
            let bytes = word * 8..word * 8 + 8;
            image[bytes.clone()].copy_from_slice(&self.visible[bytes]);
        }
        image
    }

    /// The words that a power cut now could lose.
    pub fn at_stake(&self) -> Vec<usize> {
        self.pending.keys().copied().collect()
    }

    /// Whether a power cut could lose anything now.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    fn step(&mut self, at: u64) -> Result<(), MediaError> {
        if self.done >= self.limit {
            return Err(MediaError::Io { at, code: 5 });
        }
        self.done += 1;
        Ok(())
    }
}

impl Media for Power {
    fn len(&self) -> u64 {
        self.visible.len() as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        let at = at as usize;
        into.copy_from_slice(&self.visible[at..at + into.len()]);
        Ok(())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        self.step(at)?;
        let start = at as usize;
        self.visible[start..start + from.len()].copy_from_slice(from);
        for word in start / 8..(start + from.len()).div_ceil(8) {
            let bytes = self.visible[word * 8..word * 8 + 8].try_into().unwrap();
            let value = u64::from_le_bytes(bytes);
            self.pending.entry(word).or_default().values.push(value);
        }
        Ok(())
    }

    fn flush(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        self.step(at)?;
        let (start, end) = (at as usize / 8, ((at + len) as usize).div_ceil(8));
        for (_, pending) in self.pending.range_mut(start..end) {
            pending.flushed = pending.values.len();
        }
        Ok(())
    }

    fn fence(&mut self) -> Result<(), MediaError> {
        self.step(0)?;
        if self.no_fence {
            return Ok(());
        }
        let durable = &mut self.durable;
        self.pending.retain(|&word, pending| {
            if pending.flushed > 0 {
                let value = pending.values[pending.flushed - 1];
                durable[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
                pending.values.drain(..pending.flushed);
                pending.flushed = 0;
            }
            !pending.values.is_empty()
        });
        Ok(())
    }
}
