// SPDX-License-Identifier: GPL-2.0
//! The parameter `pmem=`: a string, which the `module!` macro does not know.

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

static PATH: Text = Text(core::cell::UnsafeCell::new(c"/dev/pmem0".as_ptr().cast()));

#[link_section = "__param"]
#[used]
static PARAMETER: Parameter = Parameter(bindings::kernel_param {
    name: c"pmem".as_ptr().cast(),
    mod_: crate::THIS_MODULE.as_ptr(),
    ops: core::ptr::addr_of!(bindings::param_ops_charp),
    perm: 0,
    level: -1,
    flags: 0,
    __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 { arg: PATH.0.get().cast() },
});

#[link_section = ".modinfo"]
#[used]
static TYPE: [u8; 20] = *b"parmtype=pmem:charp\0";

#[link_section = ".modinfo"]
#[used]
static DESCRIPTION: [u8; 59] = *b"parm=pmem:the DAX device that holds the pool (/dev/pmem0)\0\0";

/// The path of the device.
pub(crate) fn device_path() -> &'static CStr {
    // SAFETY: the kernel has set it to a string that lives as long as the
    // module, or left it at ours; nobody writes to it any more.
    unsafe { CStr::from_char_ptr(*PATH.0.get()) }
}
