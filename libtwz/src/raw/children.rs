// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a fork leaves behind in the child: descriptors whose locks are its
//! parent's.

use std::sync::{
    Once,
    atomic::{AtomicI32, AtomicU32, Ordering},
};

/// Descriptors that a forked child must not keep: their locks would be held for
/// as long as it lives.
static OURS: [AtomicI32; 64] = [const { AtomicI32::new(-1) }; 64];
static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between the program's first process and this one.
#[inline(always)]
pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    for place in &OURS {
        let fd = place.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: the child's own copy; who had it looks at `forks` first.
            unsafe { libc::close(fd) };
        }
    }
}

/// Has a descriptor closed in forked children. `false` if there are too many.
pub fn not_for_children(fd: i32) -> bool {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler only stores to atomics and closes descriptors,
        // which is allowed between fork and exec.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    OURS.iter()
        .any(|place| place.compare_exchange(-1, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok())
}

/// The descriptor is going to be closed here.
pub fn forget(fd: i32) {
    for place in &OURS {
        let _ = place.compare_exchange(fd, -1, Ordering::Relaxed, Ordering::Relaxed);
    }
}
