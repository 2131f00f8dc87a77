// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments as C hands them in, and how each becomes a Rust value.

use std::{
    ffi::{CStr, OsStr, c_char},
    marker::PhantomData,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    ptr::NonNull,
};

use super::status::{Answer, Fail};
use crate::{ObjectId, Rights};

/// Where a result goes: null, or room for a `T`.
pub type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// Takes the place for a result, and puts `nothing` there until there is one.
pub fn out<T>(place: Out<'_, T>, nothing: T) -> Answer<&mut T> {
    match place {
        Some(place) => Ok(place.write(nothing)),
        None => Err(Fail::new(libc::EFAULT, "there is no place for the result: it is NULL")),
    }
}

/// The space or object behind a handle.
pub fn given<T>(handle: Option<&T>) -> Answer<&T> {
    handle.ok_or_else(|| Fail::new(libc::EINVAL, "the space or object is NULL"))
}

/// Only known rights.
pub fn rights(bits: u32) -> Answer<Rights> {
    match Rights(bits).check() {
        true => Ok(Rights(bits)),
        false => Err(Fail::new(libc::EINVAL, format!("{bits:#x} are not rights"))),
    }
}

/// An id that an object can have.
pub fn id(id: ObjectId) -> Answer<ObjectId> {
    match id.is_valid() {
        true => Ok(id),
        false => Err(Fail::new(libc::EINVAL, format!("no object can have the id {id}"))),
    }
}

/// A text: null, or bytes up to a NUL.
///
/// # Invariants
///
/// The bytes, with the NUL, stay as they are for `'a`.
#[repr(transparent)]
pub struct Text<'a>(Option<NonNull<c_char>>, PhantomData<&'a CStr>);

impl<'a> Text<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        // SAFETY: by the type invariant.
        self.0.map(|first| unsafe { CStr::from_ptr(first.as_ptr()) }.to_bytes())
    }

    /// The text, or `None` for null.
    pub fn optional(self) -> Answer<Option<&'a str>> {
        let Some(bytes) = self.bytes() else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Fail::new(
                libc::EILSEQ,
                format!("'{}' is not UTF-8", String::from_utf8_lossy(bytes)),
            )),
        }
    }

    /// The text, which must be there.
    pub fn required(self) -> Answer<&'a str> {
        self.optional()?.ok_or_else(|| Fail::new(libc::EINVAL, "the text is NULL"))
    }

    /// A path, or `None` for null.
    pub fn path(self) -> Option<&'a Path> {
        self.bytes().map(|bytes| Path::new(OsStr::from_bytes(bytes)))
    }
}

/// A handle that is to be closed.
///
/// # Invariants
///
/// Null, or from [`hand_out`] and not released.
#[repr(transparent)]
pub struct Owned<T>(*mut T);

impl<T> Owned<T> {
    /// What the handle stands for.
    pub fn get(&self) -> Option<&T> {
        // SAFETY: by the type invariant.
        unsafe { self.0.as_ref() }
    }

    /// Ends it. The caller has to be closing it: that is when C gives it up.
    pub fn release(self) {
        if !self.0.is_null() {
            // SAFETY: from `Box::into_raw`, and nobody uses it any more: whoever
            // closes a handle promises that no other call with it is under way.
            drop(unsafe { Box::from_raw(self.0) });
        }
    }
}

/// Gives a value to C, which closes it in the end.
pub fn hand_out<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}
