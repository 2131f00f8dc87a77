// SPDX-License-Identifier: GPL-2.0
//! What the `kernel` crate calls by another name in each series of Linux, said so
//! that all of them understand it. Nothing else here knows that there are several.

use core::borrow::Borrow;
use kernel::{bindings, types::Opaque};

/// The module itself, as an owner of what the kernel calls: the static of the
/// `module!` macro in Linux 7.2, a constant of our type's since.
pub(super) const fn this_module() -> *mut bindings::module {
    // As the macro declares it; nothing foreign looks into it here.
    #[allow(improper_ctypes)]
    extern "C" {
        static __this_module: Opaque<bindings::module>;
    }
    // SAFETY: the kernel's build puts one into every module; only its address is taken.
    unsafe { __this_module.get() }
}

/// Whether a parameter is anything but 0: its value is a reference in Linux 7.2,
/// and a copy since.
pub(crate) fn is_set(value: impl Borrow<u8>) -> bool {
    *value.borrow() != 0
}
