// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which images a power cut can leave: [`Pending`] keeps, for every *unit* of
//! the medium, what it has been since it was last durable.
//!
//! The two models are two widths of a unit.
//!
//! **Words** (width 1, the default). A unit is an aligned 8-byte word. A cut
//! leaves in each word that is not durable any value it had since it last was,
//! independently of all others. A flush covers exactly the words it names.
//! This is a superset of what x86 and persistent memory can do: there, stores
//! to one cache line reach it in program order, and a flush takes the whole
//! line along. So what holds here holds there, also for media that tear between
//! the words of a line (non-temporal stores, other processors, a page cache);
//! and a flush that only its neighbour's covers is told as missing.
//!
//! **Lines** (width 8). A unit is a 64-byte cache line. A cut leaves in each
//! line that is not durable any prefix, in program order, of the stores to it
//! since it last was; lines are independent of each other. A flush covers the
//! whole lines that it touches. This is x86's: stores of 8 bytes are atomic,
//! those to one line are ordered, a line may be evicted at any time, and
//! `clwb` or `clflushopt` followed by `sfence` makes a line durable. Where it
//! still claims more than the hardware promises: a 4096-byte write through the
//! medium is taken to store its words in ascending order, which `memcpy` does
//! not say; use Words for code that stores through it. Where it claims less: a
//! flushed line is not ordered after its own flush as `clflush` would do, and a
//! fence in one thread says nothing of another's stores.
//!
//! In both, a unit that was flushed, but not fenced since, is as little durable
//! as one that was not: the flush may have done nothing yet, or all. Whether a
//! flush *started* makes no image reachable or unreachable: only a fence after
//! it does. What was stored after the flush is not made durable by the fence.

use crate::image::Image;

/// How finely a cut tears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// Any value that each word had: more than x86 can do.
    Words,
    /// A prefix of the stores to each line: what x86 can do.
    Lines,
}

/// A unit that is not durable.
pub struct Unit<const W: usize> {
    base: u32,
    durable: [u64; W],
    /// What it has been since, oldest first, no two in a row the same.
    values: Vec<[u64; W]>,
    /// How many of these were there when it was last flushed.
    flushed: usize,
}

impl<const W: usize> Unit<W> {
    /// How many ways a cut can leave it.
    pub fn ways(&self) -> u32 {
        self.values.len() as u32 + 1
    }

    /// Leaves it in one of these ways: 0 is the oldest.
    pub fn apply(&self, image: &mut Image, way: u32) {
        let value = match way {
            0 => &self.durable,
            n => &self.values[n as usize - 1],
        };
        for (word, &value) in (self.base..).zip(value) {
            image.set(word, value);
        }
    }
}

/// All units that are not durable.
pub struct Pending<const W: usize> {
    /// They themselves, in no order that means anything.
    pub units: Vec<Unit<W>>,
    /// For each unit of the medium, its place in `units` + 1.
    place: Vec<u32>,
}

impl<const W: usize> Pending<W> {
    /// A medium of `words` words, all of them durable.
    pub fn new(words: usize) -> Self {
        Self { units: Vec::new(), place: vec![0; words.div_ceil(W)] }
    }

    /// A word gets a value. Returns the unit if that makes a new image
    /// reachable; `image` has all units as they are durable.
    pub fn store(&mut self, image: &Image, word: u32, value: u64) -> Option<usize> {
        let (n, within) = (word as usize / W, word as usize % W);
        let place = match self.place[n] {
            0 => {
                if image.word(word) == value {
                    return None;
                }
                let base = (n * W) as u32;
                let durable = std::array::from_fn(|i| image.word(base + i as u32));
                self.units.push(Unit { base, durable, values: Vec::new(), flushed: 0 });
                self.place[n] = self.units.len() as u32;
                self.units.len() - 1
            }
            place => place as usize - 1,
        };
        let unit = &mut self.units[place];
        let mut new = *unit.values.last().unwrap_or(&unit.durable);
        if new[within] == value {
            return None;
        }
        new[within] = value;
        unit.values.push(new);
        Some(place)
    }

    /// Words from `first` on, short of `end`, are flushed.
    pub fn flush(&mut self, first: u32, end: u32) {
        for n in first as usize / W..(end as usize).div_ceil(W) {
            if let Some(place) = self.place[n].checked_sub(1) {
                let unit = &mut self.units[place as usize];
                unit.flushed = unit.values.len();
            }
        }
    }

    /// What was flushed is durable: `image` gets it, and `old` what it had.
    pub fn fence(&mut self, image: &mut Image, old: &mut Vec<(u32, u64)>) {
        let mut i = 0;
        while i < self.units.len() {
            let unit = &mut self.units[i];
            if unit.flushed > 0 {
                old.extend((unit.base..).zip(unit.durable));
                unit.apply(image, unit.flushed as u32);
                unit.durable = unit.values[unit.flushed - 1];
                unit.values.drain(..unit.flushed);
                unit.flushed = 0;
            }
            if !unit.values.is_empty() {
                i += 1;
                continue;
            }
            self.place[unit.base as usize / W] = 0;
            self.units.swap_remove(i);
            if let Some(moved) = self.units.get(i) {
                self.place[moved.base as usize / W] = i as u32 + 1;
            }
        }
    }
}
