// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one routine that touches mapped files and what a program says are its buffers. A
//! fault in it is no accident: [`super::fault`] makes it return -1.

use core::arch::global_asm;
use core::ops::Range;

// twz_posix_copy(to, from, length, probe): copies, then loads the byte at `probe`, in this
// order: loads are not moved before loads here, and stores are drained before another
// processor's order to drop a page is acknowledged. Returns that byte, or -1.
global_asm!(
    ".pushsection .text.twz_posix_copy, \"ax\", @progbits",
    ".hidden twz_posix_copy",
    ".globl twz_posix_copy",
    ".hidden twz_posix_copy_fault",
    ".globl twz_posix_copy_fault",
    ".type twz_posix_copy, @function",
    "twz_posix_copy:",
    "mov r8, rcx",
    "mov rcx, rdx",
    "cmp rcx, 16",
    "ja 3f",
    "jrcxz 4f",
    "2:",
    "mov al, byte ptr [rsi]",
    "mov byte ptr [rdi], al",
    "inc rsi",
    "inc rdi",
    "dec rcx",
    "jnz 2b",
    "jmp 4f",
    "3:",
    "rep movsb",
    "4:",
    "movzx eax, byte ptr [r8]",
    "ret",
    "twz_posix_copy_fault:",
    "mov rax, -1",
    "ret",
    ".size twz_posix_copy, . - twz_posix_copy",
    ".popsection",
);

// SAFETY: as it is written above. It keeps the C calling convention, changes nothing but
// the bytes at `to`, and any address may be passed, as a fault in it makes it return -1
// (while the handler stands: `fault::guard` has to have said so before).
unsafe extern "C" {
    fn twz_posix_copy(to: usize, from: usize, length: usize, probe: usize) -> i64;
    fn twz_posix_copy_fault();
}

/// Copies, then looks at the byte at `probe`; `None` if any of it faulted.
#[inline(always)]
pub fn copy(to: usize, from: usize, length: usize, probe: usize) -> Option<u8> {
    // SAFETY: a fault is an answer. What is stored is either a page of a file that is
    // held, or what the program said is its buffer, which the kernel would store to.
    u8::try_from(unsafe { twz_posix_copy(to, from, length, probe) }).ok()
}

/// The byte at an address, if there is one.
pub fn peek(address: usize) -> Option<u8> {
    copy(0, 0, 0, address)
}

/// Copies bytes of the program into a value of plain numbers, if they are there.
pub fn fetch<const N: usize>(from: usize) -> Option<[u8; N]> {
    let mut bytes = [0u8; N];
    copy(bytes.as_mut_ptr() as usize, from, N, from).map(|_| bytes)
}

/// Where the routine is, and where one that faulted goes on.
pub fn routine() -> (Range<usize>, usize) {
    let (begin, fault) =
        (twz_posix_copy as *const () as usize, twz_posix_copy_fault as *const () as usize);
    (begin..fault, fault)
}
