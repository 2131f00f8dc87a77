// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Object ids: 128 bits, one global space.

use core::{fmt, str::FromStr};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, FormatError};

/// The name of an object, the same on every machine. Written as 32 hex digits,
/// most significant first. How an id is earned is `twz_core::ident`'s business.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct ObjectId {
    /// Least significant half. Never 0 in a real id: a zero here is how tables
    /// of ids mark a free entry.
    pub lo: u64,
    /// Most significant half. Never 0 in a real id either.
    pub hi: u64,
}
layout!(ObjectId, 16, 8, { lo: 0, hi: 8 });

impl ObjectId {
    /// The id of nothing.
    pub const NULL: Self = Self { lo: 0, hi: 0 };

    /// From a number.
    pub const fn from_u128(n: u128) -> Self {
        Self { lo: n as u64, hi: (n >> 64) as u64 }
    }

    /// As a number.
    pub const fn as_u128(self) -> u128 {
        (self.hi as u128) << 64 | self.lo as u128
    }

    /// Whether this can be an object's id at all: neither half is zero.
    pub const fn is_valid(self) -> bool {
        self.lo != 0 && self.hi != 0
    }

    /// Whether this is the id of nothing.
    pub const fn is_null(self) -> bool {
        self.lo == 0 && self.hi == 0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.as_u128())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectId {
    type Err = FormatError;

    fn from_str(s: &str) -> Result<Self, FormatError> {
        let digits = s.as_bytes();
        if digits.len() != 32 {
            return Err(FormatError::Name { why: "an object id is 32 hex digits" });
        }
        let mut n = 0u128;
        for &d in digits {
            let value = match d {
                b'0'..=b'9' => d - b'0',
                b'a'..=b'f' => d - b'a' + 10,
                b'A'..=b'F' => d - b'A' + 10,
                _ => return Err(FormatError::Name { why: "an object id is 32 hex digits" }),
            };
            n = n << 4 | value as u128;
        }
        Ok(Self::from_u128(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = ObjectId::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "0123456789abcdef0011223344556677");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("0123".parse::<ObjectId>().is_err());
        assert!("g123456789abcdef0011223344556677".parse::<ObjectId>().is_err());
    }
}
