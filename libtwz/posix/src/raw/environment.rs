// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the environment says, read once, before the program runs.

use core::ffi::{CStr, c_char};

use crate::{
    inside,
    raw::{cache, counters},
    sharing,
    text::Text,
};

/// Runs before `main`, and before most other libraries begin.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

#[cfg_attr(test, allow(dead_code))]
extern "C" fn begin() {
    // SAFETY: asks for one word of the auxiliary vector.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    sharing::begin(secure);
    if !sharing::is_on() {
        return;
    }
    cache::begin();
    if variable(c"TWZ_POSIX_SITES").is_some_and(|value| value.to_bytes() == b"no") {
        inside::leave();
    }
    if let Some(path) = variable(c"TWZ_POSIX_STATS") {
        counters::open(path.as_ptr());
    }
}

fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name ends in a NUL. The answer is null or a text that ends in one and
    // stays until the program changes its environment, which it cannot do yet: this is
    // called before `main`, and what is kept is copied.
    unsafe {
        let value: *const c_char = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}

/// Copies a variable; nothing if it is not there or does not fit.
pub fn copy(name: &CStr, to: &mut Text) {
    to.set(variable(name).map_or(&b""[..], CStr::to_bytes));
}

/// Copies the real path of what a variable names.
pub fn real_path(name: &CStr, to: &mut Text) {
    let Some(value) = variable(name) else { return to.set(b"") };
    to.fill(|room| {
        // SAFETY: a text that ends in a NUL, and room for the longest path that there is.
        unsafe { !libc::realpath(value.as_ptr(), room.as_mut_ptr().cast()).is_null() }
    });
    if to.is_empty() && value.to_bytes().first() == Some(&b'/') {
        // The program may make it yet.
        to.set(value.to_bytes());
    }
}
