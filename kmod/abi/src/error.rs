// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What can be wrong with bytes. One enum for the whole format; each variant
//! says which structure and, where it helps, what was found.

use core::fmt;

/// Why bytes are not the structure they were alleged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The first word is not this structure's magic: it is something else.
    Magic {
        /// The structure that was expected.
        what: &'static str,
        /// What stood there.
        found: u64,
    },
    /// Written by a newer format than this code reads.
    Version {
        /// The structure.
        what: &'static str,
        /// The version that was found.
        found: u32,
    },
    /// An incompat feature this code does not know.
    Feature {
        /// The unknown bits.
        unknown: u64,
    },
    /// A reserved field is not zero.
    Reserved {
        /// The structure.
        what: &'static str,
    },
    /// The checksum does not match.
    Checksum {
        /// The structure.
        what: &'static str,
        /// The sum stored with it.
        stored: u32,
        /// The sum of its bytes.
        computed: u32,
    },
    /// A field has a value that it can never have.
    Range {
        /// The structure and field.
        what: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// Fewer bytes than the structure has.
    Short {
        /// The structure.
        what: &'static str,
    },
    /// A name that the format does not allow.
    Name {
        /// Why.
        why: &'static str,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic { what, found } => {
                write!(f, "not a {what}: the magic number is {found:#018x}")
            }
            Self::Version { what, found } => write!(
                f,
                "{what} has format version {found}, and this build reads up to {}: use a newer twz",
                crate::FORMAT_VERSION
            ),
            Self::Feature { unknown } => write!(
                f,
                "needs features this build does not have (incompat bits {unknown:#x}): use a newer twz"
            ),
            Self::Reserved { what } => write!(f, "{what}: a reserved field is not zero"),
            Self::Checksum { what, stored, computed } => {
                write!(f, "{what}: checksum {stored:#010x} stored, {computed:#010x} computed")
            }
            Self::Range { what, found } => write!(f, "{what} is {found:#x}, out of range"),
            Self::Short { what } => write!(f, "{what}: the bytes end too early"),
            Self::Name { why } => write!(f, "bad name: {why}"),
        }
    }
}

impl core::error::Error for FormatError {}
