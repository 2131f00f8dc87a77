// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the environment says, read once, before the program runs.

use core::ffi::{CStr, c_char};

use crate::{
    inside,
    prefix::ROOM,
    raw::{cache, counters},
    sharing,
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

/// Copies a variable; its length, 0 if it is not there or does not fit.
pub fn copy(name: &CStr, to: &mut [u8; ROOM]) -> usize {
    let value = variable(name).map_or(&b""[..], CStr::to_bytes);
    match to.get_mut(..value.len()) {
        Some(room) => {
            room.copy_from_slice(value);
            value.len()
        }
        None => 0,
    }
}

/// Copies the real path of what a variable names, and `rest` behind it.
pub fn real_path(name: &CStr, rest: &[u8], to: &mut [u8; ROOM]) -> usize {
    let Some(value) = variable(name) else { return 0 };
    const { assert!(ROOM >= libc::PATH_MAX as usize) };
    // SAFETY: a text that ends in a NUL, and room for the longest path that there is.
    let found = unsafe { libc::realpath(value.as_ptr(), to.as_mut_ptr().cast()) };
    if found.is_null() {
        // The program may make it yet.
        to.fill(0);
        let value = value.to_bytes();
        match to.get_mut(..value.len()) {
            Some(room) if value.first() == Some(&b'/') => room.copy_from_slice(value),
            _ => return 0,
        }
    }
    let length = to.iter().position(|byte| *byte == 0).unwrap_or(0);
    match to.get_mut(length..length + rest.len()) {
        Some(room) if length != 0 => {
            room.copy_from_slice(rest);
            length + rest.len()
        }
        _ => 0,
    }
}
