// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guard that travels with the mutex it holds.

use std::sync::{Arc, Mutex, MutexGuard};

/// Locks `mutex`. The guard must be dropped before the last reference to the
/// mutex: its one user ([`crate::object`]) keeps both in one struct and does.
pub(crate) fn hold(mutex: &Arc<Mutex<()>>) -> MutexGuard<'static, ()> {
    let guard = mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: extends the borrow of what the Arc owns; the caller drops the
    // guard first, as said above.
    unsafe { std::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard) }
}
