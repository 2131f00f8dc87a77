// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a thread knows of itself. A vfork child has its parent's: that is what tells it.

use core::{
    ffi::c_char,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};
use std::cell::Cell;

thread_local! {
    static BORROWED: Cell<bool> = const { Cell::new(false) };
    static LOADING: Cell<bool> = const { Cell::new(false) };
    static HELD_BACK: Cell<u64> = const { Cell::new(0) };
}

/// Where libc says whether a process has but one thread.
static SINGLE: AtomicPtr<c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Looks that up, before there can be others.
pub fn begin() {
    // SAFETY: a name that ends in a NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) };
    SINGLE.store(found.cast(), Relaxed);
}

/// Whether there is no other thread, for certain.
pub fn is_alone() -> bool {
    let said = SINGLE.load(Relaxed);
    // SAFETY: null, or libc's variable of that name, a `char` that is always there. Libc
    // changes it when there is no other thread; this one reads it anew each time.
    !said.is_null() && unsafe { said.read_volatile() } != 0
}

/// Where that is; 0 if libc does not say.
pub fn flag() -> usize {
    SINGLE.load(Relaxed) as usize
}

/// Whether this runs in a vfork child, in memory that is not its own. (It can wait for
/// another thread's child to be gone, too, but not this one's: that waits itself.)
pub fn is_borrowed() -> bool {
    BORROWED.get()
}

pub fn now_borrowed() {
    BORROWED.set(true);
}

pub fn no_longer_borrowed() {
    BORROWED.set(false);
}

/// Whether it was not loading code before.
pub fn now_loading() -> bool {
    !LOADING.replace(true)
}

/// Whether it was.
pub fn no_longer_loading() -> bool {
    LOADING.replace(false)
}

/// The signals it thinks it blocks, and does not.
pub fn held_back() -> u64 {
    HELD_BACK.get()
}

pub fn hold_back(signals: u64) {
    HELD_BACK.set(signals);
}
