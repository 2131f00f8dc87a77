// SPDX-License-Identifier: GPL-2.0
//! Why something was not done: [`Refusal`], the one error of the module, and
//! the one place where the store's errors become errnos and reasons.

use kernel::{
    bindings,
    error::{code::*, Error},
};
use twz_abi::{reason, ObjectId, Rights};
use twz_core::{error::Resource, StoreError};

/// What the module's functions return.
pub(crate) type Result<T = (), E = Refusal> = core::result::Result<T, E>;

/// A refusal: what the caller is told, and what `LAST_ERROR` tells of it.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub errno: Error,
    pub reason: u32,
    pub id: ObjectId,
    pub wanted: Rights,
    pub granted: Rights,
}

impl Refusal {
    pub(crate) const fn new(errno: Error, reason: u32) -> Self {
        Self { errno, reason, id: ObjectId::NULL, wanted: Rights::NONE, granted: Rights::NONE }
    }

    /// An argument that cannot be.
    pub(crate) const fn argument() -> Self {
        Self::new(EINVAL, reason::BAD_ARGUMENT)
    }

    /// The medium is gone.
    pub(crate) const fn dead() -> Self {
        Self::new(EIO, reason::DEAD)
    }

    /// A context does not allow it.
    pub(crate) const fn denied(id: ObjectId, wanted: Rights, granted: Rights) -> Self {
        Self { errno: EACCES, reason: reason::CONTEXT_DENIES, id, wanted, granted }
    }

    /// The same about an object.
    pub(crate) const fn of(self, id: ObjectId) -> Self {
        Self { id, ..self }
    }
}

impl From<Error> for Refusal {
    fn from(errno: Error) -> Self {
        Self::new(errno, reason::NONE)
    }
}

impl From<kernel::alloc::AllocError> for Refusal {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::new(ENOMEM, reason::NONE)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        use StoreError::*;
        let plain = |errno| Self::new(errno, reason::NONE);
        match error {
            NotFound { id } => Self::new(ENOENT, reason::NO_OBJECT).of(id),
            NoRecord { .. } => Self::new(ENOENT, reason::NO_OBJECT),
            Exists { id } => plain(EEXIST).of(id),
            Bound { id, .. } => plain(EBUSY).of(id),
            Immutable { id } => Self::denied(id, Rights::WRITE, Rights::NONE),
            Directory { id } => plain(EISDIR).of(id),
            IdMismatch { id } => Self::new(errno(bindings::EBADMSG), reason::BAD_ID).of(id),
            ContentMismatch { id } => Self::new(errno(bindings::EBADMSG), reason::BAD_ID).of(id),
            Full { what: Resource::Pages | Resource::Records } => Self::new(ENOSPC, reason::FULL),
            Full { .. } => Self::new(EMLINK, reason::FULL),
            Epoch { id, .. } => Self::new(EINVAL, reason::BAD_STATEMENT).of(id),
            Size { .. } => Self::argument(),
            Range { .. } => Self::new(EINVAL, reason::OUTSIDE),
            ReadOnly => Self::new(EROFS, reason::READ_ONLY),
            Media(_) | Stopped => Self::dead(),
            IsADirectory => plain(EISDIR),
            NotADirectory => plain(ENOTDIR),
            NameTaken => plain(EEXIST),
            NotEmpty => plain(errno(bindings::ENOTEMPTY)),
            NoName => plain(ENOENT),
            BelowItself | Nonce | Name(_) => Self::argument(),
            _ => Self::new(EIO, reason::DAMAGED),
        }
    }
}

/// An errno that the kernel crate has no name for.
pub(crate) fn errno(number: u32) -> Error {
    Error::from_errno(-(number as i32))
}
