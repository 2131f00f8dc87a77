// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a thread knows of itself. A vfork child has its parent's: that is what tells it.

use std::cell::Cell;

thread_local! {
    static BORROWED: Cell<bool> = const { Cell::new(false) };
    static LOADING: Cell<bool> = const { Cell::new(false) };
    static HELD_BACK: Cell<u64> = const { Cell::new(0) };
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
