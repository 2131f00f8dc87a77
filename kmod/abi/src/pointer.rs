// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Pointers: 64 bits that mean the same on every machine and at every address.

use core::fmt;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, DATA_START, SLOT};

/// Bits of a pointer that hold the offset.
pub const OFFSET_BITS: u32 = 40;

/// Largest index into an FOT that a pointer can hold.
pub const MAX_FOT_INDEX: u32 = (1 << 24) - 1;

/// A pointer as it lies in an object: 24 bits of FOT index above 40 bits of
/// offset. Index 0 is the object that holds the pointer; offset 0 is null,
/// whatever the index.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct PtrBits(pub u64);
layout!(PtrBits, 8, 8, {});

impl PtrBits {
    /// The pointer to nothing.
    pub const NULL: Self = Self(0);

    /// A pointer to `offset` in the object that entry `index` names.
    /// `None` where either does not fit.
    pub const fn new(index: u32, offset: u64) -> Option<Self> {
        if index > MAX_FOT_INDEX || offset >= 1 << OFFSET_BITS {
            return None;
        }
        Some(Self((index as u64) << OFFSET_BITS | offset))
    }

    /// Which FOT entry names the target; 0 is this object.
    pub const fn index(self) -> u32 {
        (self.0 >> OFFSET_BITS) as u32
    }

    /// Where in the target's slot.
    pub const fn offset(self) -> u64 {
        self.0 & ((1 << OFFSET_BITS) - 1)
    }

    /// Whether this points to nothing.
    pub const fn is_null(self) -> bool {
        self.offset() == 0
    }

    /// Whether `len` bytes at this offset can lie in some object's data.
    pub const fn in_data(self, len: u64) -> bool {
        let offset = self.offset();
        offset >= DATA_START && offset < SLOT && len <= SLOT - offset
    }
}

impl fmt::Debug for PtrBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#x}", self.index(), self.offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let p = PtrBits::new(MAX_FOT_INDEX, 0x1008).unwrap();
        assert_eq!((p.index(), p.offset()), (MAX_FOT_INDEX, 0x1008));
        assert!(PtrBits::new(MAX_FOT_INDEX + 1, 0).is_none());
        assert!(PtrBits::new(0, 1 << OFFSET_BITS).is_none());
        assert!(PtrBits::new(5, 0).unwrap().is_null());
        assert!(!PtrBits(8).in_data(1));
        assert!(PtrBits(SLOT - 8).in_data(8));
        assert!(!PtrBits(SLOT - 8).in_data(9));
        assert!(!PtrBits(SLOT).in_data(0));
    }
}
