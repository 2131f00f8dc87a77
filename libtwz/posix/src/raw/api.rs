// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same by names of our own, for programs that are linked with the library
//! (`libtwz/include/twz_posix.h`): they need not be run by `twz run`, nor guess whether
//! libc's names are taken.

use core::ffi::{c_char, c_int, c_void};

use super::names;
use crate::object;

macro_rules! api {
    ($($name:ident = $libc:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        /// # Safety
        /// As for the function of libc that it is named for.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $answer {
            // SAFETY: the caller keeps libc's contract.
            unsafe { names::$libc($($arg),*) }
        }
    )*};
}

api! {
    twz_open = open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    twz_read = read(fd: c_int, buffer: *mut c_void, length: usize) -> isize;
    twz_write = write(fd: c_int, buffer: *const c_void, length: usize) -> isize;
    twz_pread = pread64(fd: c_int, buffer: *mut c_void, length: usize, offset: i64) -> isize;
    twz_pwrite = pwrite64(fd: c_int, buffer: *const c_void, length: usize, offset: i64) -> isize;
    twz_lseek = lseek64(fd: c_int, by: i64, whence: c_int) -> i64;
    twz_close = closed(fd: c_int) -> c_int;
}

/// Which object an open file is: 0, or a negative errno.
#[unsafe(no_mangle)]
pub extern "C" fn twz_fd_object(fd: c_int, id: Option<&mut [u64; 2]>) -> c_int {
    let Some(id) = id else { return -libc::EFAULT };
    match object::of(fd) {
        // As `twz_id` has it: the least significant half first.
        Ok([high, low]) => {
            *id = [low, high];
            0
        }
        Err(errno) => -errno,
    }
}
