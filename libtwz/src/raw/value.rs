// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values as the aligned units they are loaded and stored in, so that whoever
//! reads memory that another process is writing to does it with atomics.

use std::mem::MaybeUninit;

use super::translate::Translation;
use crate::{
    Persist,
    error::{Error, Result},
};

/// Bytes of a unit of a `T`: its alignment, up to 8.
pub const fn unit_of<T>() -> u64 {
    if align_of::<T>() < 8 { align_of::<T>() as u64 } else { 8 }
}

/// Hands out the units of a value in order, each with its place in the value.
#[inline(always)]
pub fn take_apart<T: Persist>(
    value: &T,
    mut put: impl FnMut(u64, u64) -> Result<()>,
) -> Result<()> {
    let unit = unit_of::<T>();
    let from = (&raw const *value).cast::<u8>();
    let mut at = 0;
    while at < size_of::<T>() as u64 {
        let mut bytes = [0u8; 8];
        // SAFETY: 1. `at` is a multiple of `unit`, which divides the size, so
        // the range lies in the value; 2. all of it is initialised, as a
        // `Persist` type has no padding; 3. `unit` is at most 8.
        unsafe {
            std::ptr::copy_nonoverlapping(from.add(at as usize), bytes.as_mut_ptr(), unit as usize)
        };
        put(at, u64::from_le_bytes(bytes))?;
        at += unit;
    }
    Ok(())
}

/// Makes a value of the units that `get` returns for each place in it.
#[inline(always)]
pub fn put_together<T: Persist>(mut get: impl FnMut(u64) -> Result<u64>) -> Result<T> {
    let unit = unit_of::<T>();
    let mut value = MaybeUninit::<T>::uninit();
    let mut at = 0;
    while at < size_of::<T>() as u64 {
        let bytes = get(at)?.to_le_bytes();
        // SAFETY: as in `take_apart`: the range lies in the value.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                value.as_mut_ptr().cast::<u8>().add(at as usize),
                unit as usize,
            )
        };
        at += unit;
    }
    // SAFETY: every byte was written by the loop, since `unit` divides the
    // size, and every bit pattern is a `Persist` value.
    Ok(unsafe { value.assume_init() })
}

/// Copies bytes from one place of an object to another.
pub fn move_bytes(target: Translation, from: u64, to: u64, len: u64) -> Result<()> {
    let places = target.place(from, len).zip(target.place(to, len));
    let Some((from, to)) = places.filter(|_| target.writable()) else {
        return Err(Error::BadPointer { why: "the bytes do not fit in the object" });
    };
    // SAFETY: both ranges lie in the data of a mapped, writable slot; they may
    // overlap.
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, len as usize) };
    Ok(())
}
