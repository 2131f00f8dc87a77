// SPDX-License-Identifier: MIT OR Apache-2.0
//! libc's `read`, `write` and `lseek`, turned here at their first instruction, so that what
//! libc's streams call is what programs call. It is a call like any other: the convention
//! is C's, nothing of the caller's is at stake. What this library asks of libc itself
//! ([`real`]) goes on behind that instruction, which a *detour* here makes up for.
//!
//! It is done while the process has one thread, with signals blocked, in words of 8 bytes:
//! whoever was interrupted in one of the functions, by the signal whose handler is at it
//! now, finds each instruction but the first as it was.

use core::{
    arch::naked_asm,
    ffi::{CStr, c_int, c_void},
    sync::atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

use libc::{off64_t, size_t, ssize_t};

use super::{
    cache,
    modules::{self, Libc},
    real,
    sys::{self, Piece},
    thread,
};
use crate::{
    calls::{self, Caller, Way},
    list::{self, Extent, Form, LOOK, List, NUMBERS},
};

/// libc's flag that it has one thread, and the second instruction of each function.
static FLAG: AtomicUsize = AtomicUsize::new(0);
static READ_ON: AtomicUsize = AtomicUsize::new(0);
static WRITE_ON: AtomicUsize = AtomicUsize::new(0);
static SEEK_ON: AtomicUsize = AtomicUsize::new(0);

macro_rules! detours {
    ($($name:ident($($first:literal),+ $(; $flag:ident)?) $on:ident;)*) => {$(
        /// The first instruction of a function of libc's; then the others.
        ///
        /// # Safety
        /// As for that function, once it was turned here.
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!($($first,)+ "jmp qword ptr [rip + {on}]", on = sym $on $(, flag = sym $flag)?)
        }
    )*};
}

detours! {
    // At its begin, a function may change rax.
    read_checks("mov rax, qword ptr [rip + {flag}]", "cmp byte ptr [rax], 0"; FLAG) READ_ON;
    write_checks("mov rax, qword ptr [rip + {flag}]", "cmp byte ptr [rax], 0"; FLAG) WRITE_ON;
    read_asks("sub rsp, 16") READ_ON;
    write_asks("sub rsp, 16") WRITE_ON;
    write_loads("mov eax, 1") WRITE_ON;
    seek_loads("mov eax, 8") SEEK_ON;
}

/// How libc is asked behind our back, for each function and form.
fn detour(function: usize, form: Form) -> Option<*mut c_void> {
    Some(match (function, form) {
        (0, Form::Checks) => read_checks as *mut c_void,
        (0, Form::Asks) => read_asks as *mut c_void,
        (1, Form::Checks) => write_checks as *mut c_void,
        (1, Form::Asks) => write_asks as *mut c_void,
        (1, Form::Loads) => write_loads as *mut c_void,
        (2, Form::Loads) => seek_loads as *mut c_void,
        _ => return None,
    })
}

fn piece<T>(buffer: *const T, length: usize) -> [Piece; 1] {
    [Piece { address: buffer as usize, length }]
}

extern "C-unwind" fn read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
    // SAFETY: libc's function calls this one in its place, with what it was called with.
    let ask = || unsafe { real::read(fd, buffer, length) };
    calls::next(Way::Read, Caller::Libc, fd, &piece(buffer, length), ask)
}

extern "C-unwind" fn write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: as above.
    let ask = || unsafe { real::write(fd, buffer, length) };
    calls::next(Way::Write, Caller::Libc, fd, &piece(buffer, length), ask)
}

extern "C-unwind" fn seek(fd: c_int, by: off64_t, whence: c_int) -> off64_t {
    // SAFETY: as above.
    calls::seek(Caller::Libc, fd, by, whence, || unsafe { real::lseek64(fd, by, whence) })
}

/// One of the functions: where it begins, what it looks like, and its detour.
struct Entry {
    begin: usize,
    form: Form,
    code: [u8; LOOK],
    detour: *mut c_void,
}

/// Turns the three functions here, if each is what its list says and nobody stands before
/// them. Whether they are.
pub fn redirect() -> bool {
    let Some(libc) = modules::libc() else { return false };
    let Some(begins) = begins(&libc) else { return false };
    let list =
        cache::read(&libc.build).filter(|list| list.fits(begins.map(|at| at - libc.code.start)));
    let list = list.unwrap_or_else(|| make(&libc, begins));
    if list.is_empty() {
        return false;
    }
    let flag = thread::flag();
    let entries: [Option<Entry>; 3] = core::array::from_fn(|function| {
        let begin = begins[function];
        // SAFETY: a function of libc's, which has more behind it than is looked at: its
        // begin and so many bytes are within its code, which is readable and stays.
        let code = unsafe { *(begin as *const [u8; LOOK]) };
        let form = list::form(&code, NUMBERS[function], flag as i64 - begin as i64)?;
        Some(Entry { begin, form, code, detour: detour(function, form)? })
    });
    let [Some(read), Some(write), Some(seek)] = entries else { return false };
    turn([read, write, seek], flag)
}

/// Where the three are, if what would be called next is libc's own.
fn begins(libc: &Libc) -> Option<[usize; 3]> {
    let next = |name: &CStr| {
        // SAFETY: a name that ends in a NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
        let whole = found.is_multiple_of(8) && libc.code.contains(&found);
        (whole && found + LOOK <= libc.code.end).then_some(found)
    };
    let begins = [next(c"read")?, next(c"write")?, next(c"lseek64")?];
    (next(c"lseek")? == begins[2]).then_some(begins)
}

/// Searches libc, and keeps what was found.
fn make(libc: &Libc, begins: [usize; 3]) -> List {
    let extent = |begin: usize| {
        let end = begin + modules::length(begin);
        Extent { begin: begin - libc.code.start, end: end - libc.code.start }
    };
    let spared = [c"__read_nocancel", c"__write_nocancel"].map(|name| {
        // SAFETY: a name that ends in a NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
        if libc.code.contains(&found) { extent(found) } else { Extent { begin: 0, end: 0 } }
    });
    let list = List::make(libc.bytes(), &begins.map(extent), &spared);
    cache::write(&libc.build, &list);
    list
}

/// Stores the jumps. All three, or none.
fn turn(entries: [Entry; 3], flag: usize) -> bool {
    let to = [read as *const () as usize, write as *const () as usize, seek as *const () as usize];
    let mut words = [[(0usize, 0u64); 2]; 3];
    for ((entry, to), words) in entries.iter().zip(to).zip(&mut words) {
        match entry.form.words(&entry.code, to as i64 - entry.begin as i64) {
            Some(found) => *words = found,
            None => return false,
        }
    }
    let blocked = sys::block_signals();
    let writable = entries.iter().all(|entry| sys::protect_code(entry.begin, LOOK, true));
    if writable {
        FLAG.store(flag, SeqCst);
        for (entry, on) in entries.iter().zip([&READ_ON, &WRITE_ON, &SEEK_ON]) {
            on.store(entry.begin + entry.form.first(), SeqCst);
        }
        let [read, write, seek] = entries.each_ref().map(|entry| entry.detour);
        real::read::NEXT.is_at(read);
        real::write::NEXT.is_at(write);
        real::lseek::NEXT.is_at(seek);
        real::lseek64::NEXT.is_at(seek);
        for (entry, words) in entries.iter().zip(words) {
            for (at, word) in words {
                // SAFETY: an aligned word of a function that was just looked at, in pages
                // that were just made writable; no other thread runs it.
                unsafe { AtomicU64::from_ptr((entry.begin + at) as *mut u64) }.store(word, Relaxed);
            }
        }
    }
    for entry in &entries {
        sys::protect_code(entry.begin, LOOK, false);
    }
    sys::unblock_signals(blocked);
    writable
}
