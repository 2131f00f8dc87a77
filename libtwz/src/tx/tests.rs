// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kills before every store. `tests/tx.rs` has all the rest.

use std::cell::Cell;

thread_local! {
    static LIFE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Called before everything that a commit, an abort or a recovery stores.
pub fn killable() {
    if let Some(left) = LIFE.get() {
        if left == 0 {
            LIFE.set(None);
            std::panic::resume_unwind(Box::new("killed"));
        }
        LIFE.set(Some(left - 1));
    }
}
