// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vfork`, which returns twice on one stack: so its return address is kept in a
//! register, as libc's own does, and not where the child could tread on it.

use core::arch::naked_asm;

use super::sys;
use crate::sharing;

extern "C" fn lend() {
    sharing::lending();
}

/// In the parent, or where there is no child: what the kernel said, as libc would.
extern "C" fn take_back(answer: isize) -> isize {
    sharing::returned();
    sys::result(answer)
}

/// # Safety
/// As for `vfork`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn vfork() -> libc::pid_t {
    naked_asm!(
        // At entry the stack is 8 off a multiple of 16, which calls need.
        "sub rsp, 8",
        "call {lend}",
        "add rsp, 8",
        "pop rdi",
        "mov eax, 58",
        "syscall",
        "push rdi",
        "test rax, rax",
        "jz 2f",
        "mov rdi, rax",
        "sub rsp, 8",
        "call {take_back}",
        "add rsp, 8",
        "2:",
        "ret",
        lend = sym lend,
        take_back = sym take_back,
    )
}

/// # Safety
/// As for `vfork`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn __vfork() -> libc::pid_t {
    naked_asm!("jmp {vfork}", vfork = sym vfork)
}
