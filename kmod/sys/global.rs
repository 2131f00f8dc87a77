// SPDX-License-Identifier: GPL-2.0
//! The one space that the module serves, for those the kernel calls with
//! nothing in hand: an open of the device, and the news that the medium is gone.

use crate::space::Space;
use core::{
    pin::Pin,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::prelude::*;

static SPACE: AtomicPtr<Space> = AtomicPtr::new(ptr::null_mut());

/// The space, while it is served.
pub(crate) fn space() -> Option<&'static Space> {
    // SAFETY: null, or what `serve` put there. That is freed by the module's
    // exit, which comes after the device was unregistered, the holder of the
    // medium was let go, every file was closed (each holds the module), and those who
    // were told of forks and ticks have ended. Only callers of these kinds, and what
    // they made, have this reference.
    unsafe { SPACE.load(Ordering::Acquire).as_ref() }
}

/// Serves a space until the guard is dropped.
pub(crate) fn serve(space: Pin<KBox<Space>>) -> Serving {
    // SAFETY: it is not moved out of the box, which `Serving` puts together again.
    let raw = KBox::into_raw(unsafe { Pin::into_inner_unchecked(space) });
    SPACE.store(raw, Ordering::Release);
    Serving(raw)
}

/// A space being served.
pub(crate) struct Serving(*mut Space);

// SAFETY: a space may be dropped by another thread than made it.
unsafe impl Send for Serving {}
// SAFETY: nothing can be done with a shared reference to this.
unsafe impl Sync for Serving {}

impl Drop for Serving {
    fn drop(&mut self) {
        SPACE.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: from `serve`; nobody has a reference any more (see `space`).
        drop(unsafe { Pin::new_unchecked(KBox::from_raw(self.0)) });
    }
}
