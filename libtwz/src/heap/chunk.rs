// SPDX-License-Identifier: MIT OR Apache-2.0
//! The word that says what a chunk is used for: one `u32` of the chunk table,
//! changed by compare-and-swap alone.
//!
//! ```text
//! bits 31..19  generation: how often the chunk has been given back
//! bits 18..16  kind
//! bit  15      closing (small): being given back, no new blocks
//! bit  14      full (small): a hint
//! bits 13..0   class (small), or chunks in the run (large)
//! bit  13      for transactions only (small); of an open one (part)
//! ```

use super::classes::SIZES;

/// What a chunk is used for. 0 is a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk(pub u32);

/// What a [`Chunk`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing.
    Free,
    /// Blocks of one class.
    Small(usize),
    /// The first of a run of chunks that are one block.
    Large(u32),
    /// A further chunk of a run, or one that is being taken or given back.
    Part,
    /// Bitmaps of other chunks.
    Bits,
    /// Not a chunk word that this code writes.
    Bad,
}

const CLOSING: u32 = 1 << 15;
const FULL: u32 = 1 << 14;
const ARG: u32 = FULL - 1;
/// Of a small chunk: blocks are taken by transactions, which have the object's
/// lock. Of a part: an open transaction took it.
const IN_TRANSACTIONS: u32 = 1 << 13;
const KIND_SHIFT: u32 = 16;
const KIND: u32 = 7 << KIND_SHIFT;
const GENERATION: u32 = 1 << 19;

impl Chunk {
    /// What it is used for.
    pub fn usage(self) -> Use {
        let arg = self.0 & ARG;
        match (self.0 & KIND) >> KIND_SHIFT {
            0 if self.0 & (CLOSING | FULL | ARG) == 0 => Use::Free,
            1 if ((arg & !IN_TRANSACTIONS) as usize) < SIZES.len() => {
                Use::Small((arg & !IN_TRANSACTIONS) as usize)
            }
            2 if arg != 0 => Use::Large(arg),
            3 => Use::Part,
            4 => Use::Bits,
            _ => Use::Bad,
        }
    }

    /// The same chunk, used for something else.
    pub fn used_for(self, usage: Use) -> Self {
        let (kind, arg) = match usage {
            Use::Free | Use::Bad => (0, 0),
            Use::Small(class) => (1, class as u32),
            Use::Large(chunks) => (2, chunks),
            Use::Part => (3, 0),
            Use::Bits => (4, 0),
        };
        Self(self.0 & !(GENERATION - 1) | kind << KIND_SHIFT | arg & ARG)
    }

    /// The same chunk, given back: free, one generation on.
    pub fn given_back(self) -> Self {
        Self((self.0 & !(GENERATION - 1)).wrapping_add(GENERATION))
    }

    /// Whether new blocks of `class` may be taken from it.
    #[inline(always)]
    pub fn is_open(self, class: usize) -> bool {
        self.0 & (KIND | CLOSING | ARG) == 1 << KIND_SHIFT | class as u32
    }

    /// Whether it is open and not known to be full.
    pub fn has_room(self, class: usize) -> bool {
        self.is_open(class) && self.0 & FULL == 0
    }

    /// The same, kept for transactions.
    pub fn in_transactions(self) -> Self {
        Self(self.0 | IN_TRANSACTIONS)
    }

    /// Whether it is a small one or a part that is kept for transactions.
    #[inline(always)]
    pub fn is_in_transactions(self) -> bool {
        let kind = (self.0 & KIND) >> KIND_SHIFT;
        self.0 & IN_TRANSACTIONS != 0 && (kind == 1 || kind == 3)
    }

    /// Whether transactions may take new blocks of `class` from it.
    #[inline(always)]
    pub fn is_open_in(self, class: usize) -> bool {
        self.0 & (KIND | CLOSING | ARG) == 1 << KIND_SHIFT | IN_TRANSACTIONS | class as u32
    }

    /// Whether it was found to be full.
    #[inline(always)]
    pub fn is_full(self) -> bool {
        self.0 & FULL != 0
    }

    /// Whether it is being given back.
    #[inline(always)]
    pub fn is_closing(self) -> bool {
        self.0 & CLOSING != 0
    }

    /// The same, with the hint set or not.
    pub fn with_full(self, full: bool) -> Self {
        Self(self.0 & !FULL | if full { FULL } else { 0 })
    }

    /// The same, closing.
    pub fn closing(self) -> Self {
        Self(self.0 | CLOSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_was_put_in() {
        let old = Chunk(u32::MAX).given_back();
        for usage in [Use::Free, Use::Small(37), Use::Large(16383), Use::Part, Use::Bits] {
            assert_eq!(Chunk(0).used_for(usage).usage(), usage);
            assert_eq!(old.given_back().used_for(usage).usage(), usage);
        }
        let small = Chunk(0).given_back().used_for(Use::Small(3));
        assert!(small.is_open(3) && small.has_room(3) && !small.is_open(4));
        assert!(!small.with_full(true).has_room(3) && small.with_full(true).is_open(3));
        assert!(!small.closing().is_open(3));
        let kept = small.in_transactions();
        assert!(kept.is_open_in(3) && !kept.is_open(3) && !small.is_open_in(3));
        assert_eq!(kept.usage(), Use::Small(3));
        assert!(!Chunk(0).used_for(Use::Large(0x2001)).is_in_transactions());
        assert_eq!(small.given_back(), Chunk(0).given_back().given_back());
        assert_eq!(Chunk(1 << KIND_SHIFT | 42).usage(), Use::Bad);
        assert_eq!(Chunk(5).usage(), Use::Bad);
    }
}
