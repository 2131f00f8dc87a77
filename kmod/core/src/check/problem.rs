// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What a check can find: [`Problem`], its text a sentence that says whether a
//! repair mends it.

use core::fmt;

use twz_abi::{FormatError, ObjectId};

use crate::error::StoreError;

/// Something that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// One of the two superblocks is unusable.
    Superblock {
        /// Which.
        slot: u64,
        /// Why.
        why: StoreError,
    },
    /// The journal holds what is not in place, or cannot be followed.
    Journal {
        /// Why.
        why: StoreError,
    },
    /// The counters cannot be trusted.
    State {
        /// Why.
        why: StoreError,
    },
    /// A count is wrong.
    Count {
        /// Of what.
        what: &'static str,
        /// What is stored.
        stored: u64,
        /// What there is.
        counted: u64,
    },
    /// A record is unusable.
    Record {
        /// Its number.
        record: u32,
        /// Why.
        why: StoreError,
    },
    /// A chain or list of records is broken.
    List {
        /// How.
        what: &'static str,
        /// The record at which it is, or the number of the chain.
        record: u64,
    },
    /// Two objects have the same id.
    Duplicate {
        /// The id.
        id: ObjectId,
        /// The record of the second.
        record: u32,
    },
    /// A word of a page map is unusable.
    Map {
        /// The object.
        id: ObjectId,
        /// Its slot page, or the first of those below a node.
        page: u64,
        /// Why.
        why: StoreError,
    },
    /// A pool page is used in two ways that exclude each other.
    Twice {
        /// The object that was the second to use it.
        id: ObjectId,
        /// The pool page.
        pool_page: u64,
    },
    /// An object has a page that is neither in its data nor in its FOT.
    Beyond {
        /// The object.
        id: ObjectId,
        /// The slot page.
        page: u64,
    },
    /// The bitmap is wrong about a page.
    Bitmap {
        /// The page.
        page: u64,
        /// Whether it is in use.
        used: bool,
    },
    /// A page's share count is wrong.
    Shares {
        /// The page.
        page: u64,
        /// What is stored.
        stored: u32,
        /// What there is.
        counted: u32,
    },
    /// An object's meta record is unusable, or does not agree with its record.
    Meta {
        /// The object.
        id: ObjectId,
        /// What is wrong.
        what: &'static str,
    },
    /// A live FOT entry is unusable.
    Fot {
        /// The object.
        id: ObjectId,
        /// The entry.
        index: u32,
        /// Why.
        why: FormatError,
    },
    /// A name entry, or a page of them, is unusable.
    Name {
        /// The directory.
        dir: ObjectId,
        /// Why.
        why: StoreError,
    },
    /// A name's tag is not that of its entry: it can hide the name.
    Tag {
        /// The directory.
        dir: ObjectId,
        /// The entry.
        at: u64,
    },
    /// A name is bound to nothing, or to a thing of another kind.
    Dangling {
        /// The directory.
        dir: ObjectId,
        /// What it is bound to.
        id: ObjectId,
    },
    /// A directory cannot be reached from the root.
    Unreachable {
        /// The directory.
        dir: ObjectId,
    },
    /// There is no root directory.
    NoRoot {
        /// Its id.
        id: ObjectId,
    },
}

impl Problem {
    /// Whether a repair mends it without losing anything.
    pub fn is_mendable(&self) -> bool {
        !matches!(
            self,
            Self::Record { .. }
                | Self::Duplicate { .. }
                | Self::Map { .. }
                | Self::Twice { .. }
                | Self::Fot { .. }
                | Self::Name { .. }
                | Self::Dangling { .. }
                | Self::Unreachable { .. }
                | Self::NoRoot { .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Superblock { slot, why } => write!(f, "superblock {slot} is unusable: {why}"),
            Self::Journal { why } => write!(f, "the journal: {why}"),
            Self::State { why } => write!(f, "the pool's counters are unusable: {why}"),
            Self::Count { what, stored, counted } => {
                write!(f, "the count of {what} says {stored}, and there are {counted}")
            }
            Self::Record { record, why } => {
                write!(f, "record {record} is unusable: {why}")
            }
            Self::List { what, record } => write!(f, "{what} (at {record})"),
            Self::Duplicate { id, record } => {
                write!(f, "object {id} is there twice, again at record {record}")
            }
            Self::Map { id, page, why } => {
                write!(f, "object {id} has lost what is at page {page} of its slot: {why}")
            }
            Self::Twice { id, pool_page } => {
                write!(f, "object {id} has page {pool_page}, which is something else already")
            }
            Self::Beyond { id, page } => {
                write!(f, "object {id} has page {page} of its slot, beyond its size")
            }
            Self::Bitmap { page, used: true } => {
                write!(f, "page {page} is in use and marked as free")
            }
            Self::Bitmap { page, used: false } => {
                write!(f, "page {page} is marked as in use and nothing has it")
            }
            Self::Shares { page, stored, counted } => {
                write!(f, "page {page} has a share count of {stored}, and {counted} shares")
            }
            Self::Meta { id, what } => write!(f, "the meta record of object {id}: {what}"),
            Self::Fot { id, index, why } => {
                write!(f, "FOT entry {index} of object {id} is unusable: {why}")
            }
            Self::Name { dir, why } => write!(f, "a name in directory {dir} is unusable: {why}"),
            Self::Tag { dir, at } => {
                write!(f, "the tag of the name entry at byte {at}, in directory {dir}, is wrong")
            }
            Self::Dangling { dir, id } => {
                write!(f, "a name in directory {dir} is bound to {id}, which is not there")
            }
            Self::Unreachable { dir } => {
                write!(f, "directory {dir} cannot be reached from the root: remove it by its id")
            }
            Self::NoRoot { id } => write!(f, "the root directory {id} is lost"),
        }
    }
}
