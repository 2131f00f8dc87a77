// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of objects that change: whole-word atomic loads and stores of any
//! `Copy` value, so that no race is undefined and no load is wild.

use std::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
};

use crate::Persist;

/// Memory for a `T` that several threads and processes load and store.
#[repr(transparent)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: every access goes through the atomic copies below.
unsafe impl<T: Persist + Copy + Send> Sync for Shared<T> {}

/// Copies `$size` bytes in units of `$atomic`, each as one atomic access.
macro_rules! copy_units {
    ($from:expr, $to:expr, $size:expr, $atomic:ty) => {{
        let (from, to) = ($from as *const $atomic, $to as *const $atomic);
        for i in 0..$size / size_of::<$atomic>() {
            // SAFETY: by the caller: both ranges are valid for `size` bytes and
            // aligned for this unit; atomics make concurrent access defined.
            unsafe {
                (*to.add(i)).store((*from.add(i)).load(Ordering::Relaxed), Ordering::Relaxed)
            };
        }
    }};
}

/// Copies `size` bytes in the largest units that `align` allows.
///
/// # Safety
///
/// Both ranges must be valid for `size` bytes, writable, and aligned to `align`,
/// and `size` must be a multiple of `align`.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *const u8, size: usize, align: usize) {
    match align {
        1 => copy_units!(from, to, size, AtomicU8),
        2 => copy_units!(from, to, size, AtomicU16),
        4 => copy_units!(from, to, size, AtomicU32),
        _ => copy_units!(from, to, size, AtomicU64),
    }
}

impl<T: Persist + Copy> Shared<T> {
    /// Holds `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// A copy of the value. One of 8 bytes or less is never torn.
    #[inline(always)]
    pub fn load(&self) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `self` and `value` are valid and aligned for a T; every bit
        // pattern is a T, so whatever was copied is one. `value` is only ever
        // written through the atomic pointer.
        unsafe {
            copy(
                self.0.get() as *const u8,
                value.as_mut_ptr() as *const u8,
                size_of::<T>(),
                align_of::<T>(),
            );
            value.assume_init()
        }
    }

    /// Stores the value. The caller has made sure that the memory is writable.
    #[inline(always)]
    pub fn store(&self, value: T) {
        // SAFETY: as in `load`; `self` may be written through its UnsafeCell.
        unsafe {
            copy(
                (&raw const value) as *const u8,
                self.0.get() as *const u8,
                size_of::<T>(),
                align_of::<T>(),
            );
        }
    }
}
