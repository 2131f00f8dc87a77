// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What can go wrong in a store: one enum, each variant with the values that
//! matter, its text a sentence that says what is wrong and what to do.

use core::fmt;

use twz_abi::{FormatError, ObjectId};

use crate::media::MediaError;

/// What the store's operations return.
pub type Result<T, E = StoreError> = core::result::Result<T, E>;

/// What a pool can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Free pages.
    Pages,
    /// Free object records.
    Records,
    /// Places for a name in a directory.
    Names,
    /// The count of how often a page is shared, or an object is named.
    Count,
}

/// Why an operation of the store was not done. Unless it says otherwise,
/// nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The pool as a whole is not what this code can use.
    Format(FormatError),
    /// Bytes that were read are not what they should be.
    Damaged {
        /// Where on the medium.
        at: u64,
        /// What is wrong with them.
        why: FormatError,
    },
    /// Structures that each look right contradict each other.
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Where on the medium.
        at: u64,
    },
    /// The medium failed.
    Media(MediaError),
    /// The medium failed earlier, in the middle of a change.
    Stopped,
    /// No object has this id.
    NotFound {
        /// The id.
        id: ObjectId,
    },
    /// No object, or no longer one, is at this record.
    NoRecord {
        /// The record's number.
        record: u32,
    },
    /// An object with this id is there already.
    Exists {
        /// The id.
        id: ObjectId,
    },
    /// The pool has run out of something.
    Full {
        /// Of what.
        what: Resource,
    },
    /// A size that no object, or not this object, can have.
    Size {
        /// The size asked for.
        size: u64,
        /// The largest possible.
        limit: u64,
    },
    /// Bytes of a slot that this operation cannot touch.
    Range {
        /// First slot offset asked for.
        at: u64,
        /// How many bytes.
        len: u64,
    },
    /// The medium is smaller than the pool on it, or than a pool must be.
    TooSmall {
        /// Bytes needed.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// Options that no pool can be made with.
    Options {
        /// What is wrong with them.
        what: &'static str,
    },
    /// The pool is open for reading only.
    ReadOnly,
    /// A pool that was cut off must be recovered before it can be read.
    Unfinished,
    /// An immutable object's data cannot change.
    Immutable {
        /// The object.
        id: ObjectId,
    },
    /// A directory's bytes change by names only, and a directory is made by `mkdir`.
    Directory {
        /// The object.
        id: ObjectId,
    },
    /// The object cannot go while names are bound to it.
    Bound {
        /// The object.
        id: ObjectId,
        /// How many names.
        names: u32,
    },
    /// The id was not earned by this identity.
    IdMismatch {
        /// The id.
        id: ObjectId,
    },
    /// The data are not what the id of an immutable object covers.
    ContentMismatch {
        /// The object.
        id: ObjectId,
    },
    /// An epoch that is not above the one the object has, or above all there are.
    Epoch {
        /// The object.
        id: ObjectId,
        /// The epoch it has.
        epoch: u64,
    },
    /// The nonce gives an id with a zero half.
    Nonce,
    /// No such name.
    NoName,
    /// The name is bound already.
    NameTaken,
    /// A component on the way is not a directory.
    NotADirectory,
    /// The name is a directory's.
    IsADirectory,
    /// The directory is not empty.
    NotEmpty,
    /// A directory cannot be moved below itself.
    BelowItself,
    /// A name that the format does not allow.
    Name(FormatError),
    /// The scratch memory is too small.
    Scratch {
        /// Bytes needed.
        need: u64,
    },
}

impl StoreError {
    /// Bytes at `at` that failed their check.
    pub(crate) fn damaged(at: u64) -> impl Fn(FormatError) -> Self {
        move |why| Self::Damaged { at, why }
    }
}

impl From<MediaError> for StoreError {
    fn from(error: MediaError) -> Self {
        Self::Media(error)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pages => "no free pages: delete objects or make a larger pool",
            Self::Records => {
                "no free object records: delete objects or make a pool with more records"
            }
            Self::Names => "no place for this name in its directory: use another directory",
            Self::Count => "no room in a share or name count: unbind names or delete copies",
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Format(why) => write!(f, "this is not a pool that can be used: {why}"),
            Self::Damaged { at, why } => {
                write!(f, "the pool is damaged at byte {at} ({why}): run a check")
            }
            Self::Corrupt { what, at } => {
                write!(f, "the pool contradicts itself at byte {at} ({what}): run a check")
            }
            Self::Media(why) => write!(f, "{why}"),
            Self::Stopped => f.write_str(
                "the medium failed during an earlier change: open the pool again to recover it",
            ),
            Self::NotFound { id } => write!(f, "there is no object {id} in this pool"),
            Self::NoRecord { record } => {
                write!(f, "there is no object at record {record}: it was deleted")
            }
            Self::Exists { id } => write!(f, "object {id} exists already"),
            Self::Full { what } => write!(f, "the pool is full: {what}"),
            Self::Size { size, limit } => {
                write!(
                    f,
                    "an object cannot grow to {size} bytes: at most {limit} are possible here"
                )
            }
            Self::Range { at, len } => write!(
                f,
                "{len} bytes at slot offset {at:#x} are not the object's: resize it first"
            ),
            Self::TooSmall { need, have } => {
                write!(f, "the medium has {have} bytes and the pool needs {need}")
            }
            Self::Options { what } => write!(f, "a pool cannot be made like this: {what}"),
            Self::ReadOnly => f.write_str("the pool is open for reading only"),
            Self::Unfinished => f.write_str(
                "the pool was cut off during a change: open it for writing once to recover it",
            ),
            Self::Immutable { id } => {
                write!(f, "object {id} is immutable: change a copy of it instead")
            }
            Self::Directory { id } => {
                write!(f, "object {id} is a directory: it changes by its names only")
            }
            Self::Bound { id, names } => {
                write!(f, "object {id} still has {names} names: unbind them first")
            }
            Self::IdMismatch { id } => {
                write!(f, "object {id} is refused: its id was not made from its identity")
            }
            Self::ContentMismatch { id } => {
                write!(f, "object {id} is refused: its data are not those its id was made from")
            }
            Self::Epoch { id, epoch } => {
                write!(f, "object {id} is at epoch {epoch} already: epochs only grow, to 2^32 - 1")
            }
            Self::Nonce => f.write_str("this nonce gives an id with a zero half: use another"),
            Self::NoName => f.write_str("there is no such name"),
            Self::NameTaken => f.write_str("the name is taken: unbind it or say to replace it"),
            Self::NotADirectory => f.write_str("a component of the path is not a directory"),
            Self::IsADirectory => f.write_str("the name is a directory's: use rmdir"),
            Self::NotEmpty => f.write_str("the directory is not empty: remove its names first"),
            Self::BelowItself => f.write_str("a directory cannot be moved below itself"),
            Self::Name(why) => write!(f, "{why}"),
            Self::Scratch { need } => {
                write!(f, "checking this pool needs {need} bytes of scratch memory")
            }
        }
    }
}

impl core::error::Error for StoreError {}
