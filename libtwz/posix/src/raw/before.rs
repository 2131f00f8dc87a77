// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of libc's that something has to be done before: offsets given back, numbers
//! forgotten. Then they *are* libc's: these functions jump there with the arguments
//! as they came, however many, and leave nothing of this library on the stack.

use core::{
    arch::naked_asm,
    ffi::{CStr, c_char, c_int, c_void},
};

use super::{fault, names::number, real::Next};
use crate::{calls, inside, sharing, sites};

macro_rules! before {
    ($($name:ident($($arg:ident: $type:ty),*) $body:block)*) => {$(
        const _: () = {
            static NEXT: Next = Next::new(
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
            );
            extern "C" fn first($($arg: $type),*) -> *mut c_void {
                $body
                NEXT.address()
            }
            /// # Safety
            /// As for the function of libc of that name.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!(
                    // Seven words and the return address: a multiple of 16.
                    "push rdi", "push rsi", "push rdx", "push rcx", "push r8", "push r9", "push rax",
                    "call {first}",
                    "mov r11, rax",
                    "pop rax", "pop r9", "pop r8", "pop rcx", "pop rdx", "pop rsi", "pop rdi",
                    "jmp r11",
                    first = sym first,
                )
            }
        };
    )*};
}

before! {
    close(fd: c_int) { sharing::closing(fd); }
    __close(fd: c_int) { sharing::closing(fd); }
    closefrom(first: c_int) { sharing::closing_range(first.max(0) as u32, u32::MAX); }
    fclose(stream: *mut c_void) { ending(stream); }
    freopen(_path: usize, _mode: usize, stream: *mut c_void) { ending(stream); }
    freopen64(_path: usize, _mode: usize, stream: *mut c_void) { ending(stream); }
    fcloseall() { sharing::stand_aside(); }

    ftruncate(fd: c_int, size: i64) { calls::truncated(fd, size); }
    ftruncate64(fd: c_int, size: i64) { calls::truncated(fd, size); }

    // They use the offset, in the kernel or in libc.
    fdopen(fd: c_int, mode: *const c_char) { wrapping(fd, mode); }
    dprintf(fd: c_int) { sharing::share(fd); }
    vdprintf(fd: c_int) { sharing::share(fd); }
    __dprintf_chk(fd: c_int) { sharing::share(fd); }
    __vdprintf_chk(fd: c_int) { sharing::share(fd); }
    lockf(fd: c_int) { sharing::share(fd); }
    lockf64(fd: c_int) { sharing::share(fd); }
    sendfile(to: c_int, from: c_int) { share_both(from, to); }
    sendfile64(to: c_int, from: c_int) { share_both(from, to); }
    splice(from: c_int, _at: usize, to: c_int) { share_both(from, to); }
    copy_file_range(from: c_int, _at: usize, to: c_int) { share_both(from, to); }
    preadv2(fd: c_int, _from: usize, _count: c_int, offset: i64) { at_offset(fd, offset); }
    pwritev2(fd: c_int, _from: usize, _count: c_int, offset: i64) { at_offset(fd, offset); }
    preadv64v2(fd: c_int, _from: usize, _count: c_int, offset: i64) { at_offset(fd, offset); }
    pwritev64v2(fd: c_int, _from: usize, _count: c_int, offset: i64) { at_offset(fd, offset); }
    ioctl(fd: c_int, request: u64) { if request == libc::FIONREAD { sharing::share(fd); } }

    // Others get the descriptors.
    execl() { sharing::share_all(); }
    execle() { sharing::share_all(); }
    execlp() { sharing::share_all(); }
    execv() { sharing::share_all(); }
    execve() { sharing::share_all(); }
    execvp() { sharing::share_all(); }
    execvpe() { sharing::share_all(); }
    execveat() { sharing::share_all(); }
    fexecve() { sharing::share_all(); }
    sendmsg(_fd: c_int, message: usize) { if has_control(message) { sharing::share_all(); } }
    sendmmsg() { sharing::share_all(); }

    // They fork, close or do both, out of sight.
    wordexp() { sharing::share_all(); }
    daemon() { sharing::stand_aside(); }
    forkpty() { sharing::stand_aside(); }
    login_tty() { sharing::stand_aside(); }
    clone() { sharing::stand_aside(); }
    unshare(flags: c_int) { if flags & libc::CLONE_FILES != 0 { sharing::stand_aside(); } }
    syscall(number: i64, first: usize, last: usize) { called(number, first, last); }

    dlopen() { sharing::loading(); }
    dlmopen() { sharing::loading(); }
}

/// A stream is to be closed: what it still holds, libc writes where the kernel's offset is.
fn ending(stream: *mut c_void) {
    let fd = number(stream);
    sharing::share(fd);
    sharing::closing(fd);
}

/// A stream is to be made of a number.
fn wrapping(fd: c_int, mode: *const c_char) {
    if !mode.is_null() {
        // SAFETY: a text that ends in a NUL, as libc was promised.
        inside::wrapping(fd, unsafe { CStr::from_ptr(mode) }.to_bytes());
    }
}

fn share_both(one: c_int, other: c_int) {
    sharing::share(one);
    sharing::share(other);
}

/// With -1 for an offset, that is the descriptor's.
fn at_offset(fd: c_int, offset: i64) {
    if offset == -1 {
        sharing::share(fd);
    }
}

/// Whether a message has control data, which may be descriptors; a bad one might.
fn has_control(message: usize) -> bool {
    let length = core::mem::offset_of!(libc::msghdr, msg_controllen);
    sharing::is_on()
        && fault::fetch::<8>(message.wrapping_add(length)).is_none_or(|bytes| bytes != [0; 8])
}

/// A system call by number.
fn called(number: i64, first: usize, last: usize) {
    match number {
        libc::SYS_close => sharing::closing(first as c_int),
        libc::SYS_close_range => sharing::closing_range(first as u32, last as u32),
        _ if u32::try_from(number).is_ok_and(sites::is_harmless) => {}
        _ => sharing::stand_aside(),
    }
}
