// SPDX-License-Identifier: GPL-2.0
//! Parameters that are strings, which the `module!` macro does not know.

use super::series::this_module;
use kernel::{bindings, prelude::*};

/// The parameter, as the kernel wants it described.
#[repr(transparent)]
struct Parameter(bindings::kernel_param);

// SAFETY: the kernel writes to what it points to, before the module's init runs
// and never after (its permissions are 0).
unsafe impl Sync for Parameter {}

/// What it points to.
#[repr(transparent)]
struct Text(core::cell::UnsafeCell<*const kernel::ffi::c_char>);

// SAFETY: as above.
unsafe impl Sync for Text {}

/// A string parameter, with what modinfo says of it.
macro_rules! parameter {
    ($place:ident, $record:ident, $name:literal, $default:expr, $info:literal) => {
        static $place: Text = Text(core::cell::UnsafeCell::new($default.as_ptr().cast()));

        #[link_section = "__param"]
        #[used]
        static $record: Parameter = Parameter(bindings::kernel_param {
            name: $name.as_ptr().cast(),
            mod_: this_module(),
            ops: core::ptr::addr_of!(bindings::param_ops_charp),
            perm: 0,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 { arg: $place.0.get().cast() },
        });

        const _: () = {
            #[link_section = ".modinfo"]
            #[used]
            static INFO: [u8; $info.len()] = *$info;
        };
    };
}

parameter!(
    PATH,
    PATH_RECORD,
    c"pmem",
    c"/dev/pmem0",
    b"parmtype=pmem:charp\0parm=pmem:the DAX device that holds the pool (/dev/pmem0)\0"
);

#[cfg(twz_weaken)]
parameter!(
    WEAKEN,
    WEAKEN_RECORD,
    c"weaken",
    c"",
    b"parmtype=weaken:charp\0parm=weaken:FOR TESTS ONLY: the guard to take out\0"
);

/// The guard that is taken out.
#[cfg(twz_weaken)]
pub(crate) fn weakened() -> &'static [u8] {
    // SAFETY: as for the path.
    unsafe { CStr::from_char_ptr(*WEAKEN.0.get()) }.to_bytes()
}

/// The path of the device.
pub(crate) fn device_path() -> &'static CStr {
    // SAFETY: the kernel has set it to a string that lives as long as the
    // module, or left it at ours; nobody writes to it any more.
    unsafe { CStr::from_char_ptr(*PATH.0.get()) }
}
