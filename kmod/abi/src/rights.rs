// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Rights over an object, as bits.

use core::{fmt, ops};

/// A set of rights. Unknown bits are representable and are refused by
/// [`Rights::check`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Rights(pub u32);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// Load from the object.
    pub const READ: Self = Self(1);
    /// Store into the object.
    pub const WRITE: Self = Self(2);
    /// Run code in the object.
    pub const EXEC: Self = Self(4);
    /// Attach to the object as a security context.
    pub const USE: Self = Self(8);
    /// Delete the object.
    pub const DELETE: Self = Self(16);
    /// Pass rights on.
    pub const DELEGATE: Self = Self(32);
    /// Every right there is.
    pub const ALL: Self = Self(63);
    /// What a new object grants to everybody unless its maker says otherwise.
    pub const DEFAULT: Self = Self(1 | 2 | 8 | 16);

    /// Whether every right in `wanted` is here.
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// The rights in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The rights in either.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The rights here that are not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no unknown bit is set.
    pub const fn check(self) -> bool {
        self.0 & !Self::ALL.0 == 0
    }

    /// Whether there is no right.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads `rwxudg` in any order; `-` is skipped.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rights = Self::NONE;
        for c in text.bytes() {
            rights = rights.or(match c {
                b'-' => Self::NONE,
                b'r' => Self::READ,
                b'w' => Self::WRITE,
                b'x' => Self::EXEC,
                b'u' => Self::USE,
                b'd' => Self::DELETE,
                b'g' => Self::DELEGATE,
                _ => return None,
            });
        }
        Some(rights)
    }
}

impl ops::BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl ops::BitAnd for Rights {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in "rwxudg".chars().enumerate() {
            write!(f, "{}", if self.0 & (1 << bit) != 0 { letter } else { '-' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        assert_eq!(Rights::DEFAULT.to_string(), "rw-ud-");
        assert_eq!(Rights::parse("rw-ud-"), Some(Rights::DEFAULT));
        assert_eq!(Rights::parse("rq"), None);
        assert!(!Rights(64).check());
    }
}
