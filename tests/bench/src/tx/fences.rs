// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts what a transaction costs that no clock of this machine may show: a
//! child does some, and is stepped through them, instruction by instruction.

use std::ffi::c_void;

use crate::{error::Failed, race::Contender};

/// Operations that are counted.
const TIMES: u64 = 16;

/// Fences and flushes of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// `sfence` and `mfence`.
    pub fences: f64,
    /// `clwb`, `clflushopt` and `clflush`.
    pub flushes: f64,
    /// All instructions.
    pub instructions: f64,
}

/// Counts them for a contender.
pub fn count(contender: &mut dyn Contender) -> Result<Counts, Failed> {
    contender.run(TIMES * 8)?;
    // SAFETY: this process has one thread, so that the child can go on as it.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    if child == 0 {
        // SAFETY: asks to be traced, stops where its parent takes over, and ends
        // without running what belongs to the parent.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
            // What the child needs of its own (a slot, a log) is not counted.
            let ready = contender.run(TIMES).is_ok();
            libc::raise(libc::SIGSTOP);
            let done = contender.run(TIMES).is_ok();
            libc::raise(libc::SIGSTOP);
            libc::_exit(if ready && done { 0 } else { 1 });
        }
    }
    let counted = step_through(child);
    // SAFETY: our own child; nobody waits for it but us.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    counted
}

/// Goes on in one way until the child stops; the signal it stopped with.
fn go(child: i32, how: libc::c_uint, signal: i32) -> Result<i32, Failed> {
    let mut status = 0;
    // SAFETY: the child is ours, traced and stopped.
    let stopped = unsafe {
        libc::ptrace(how, child, 0, signal as *mut c_void) == 0
            && libc::waitpid(child, &mut status, 0) == child
    };
    match stopped && libc::WIFSTOPPED(status) {
        true => Ok(libc::WSTOPSIG(status)),
        false => Err(Failed::new("the child that was to be counted ended")),
    }
}

fn step_through(child: i32) -> Result<Counts, Failed> {
    let mut status = 0;
    // SAFETY: waits for our own child to stop.
    unsafe { libc::waitpid(child, &mut status, 0) };
    // Faults are the library's to see.
    let mut signal = 0;
    loop {
        match go(child, libc::PTRACE_CONT, signal)? {
            libc::SIGSTOP => break,
            other => signal = other,
        }
    }
    let (mut counts, mut signal) = (Counts::default(), 0);
    loop {
        match code_at(child)? {
            // 0F AE /6 with a register and no prefix is mfence, /7 sfence.
            [0x0f, 0xae, 0xf0 | 0xf8, ..] => counts.fences += 1.0,
            // With 66 and memory: clwb, clflushopt. Without: clflush is /7.
            [0x66, 0x0f, 0xae, ..] | [0x66, 0x40..=0x4f, 0x0f, 0xae, ..] => counts.flushes += 1.0,
            [0x0f, 0xae, modrm, ..] if modrm >> 6 != 3 && modrm >> 3 & 7 == 7 => {
                counts.flushes += 1.0;
            }
            _ => {}
        }
        counts.instructions += 1.0;
        match go(child, libc::PTRACE_SINGLESTEP, signal)? {
            libc::SIGSTOP => break,
            libc::SIGTRAP => signal = 0,
            other => signal = other,
        }
    }
    let each = |count: f64| (count / TIMES as f64 * 100.0).round() / 100.0;
    Ok(Counts {
        fences: each(counts.fences),
        flushes: each(counts.flushes),
        instructions: each(counts.instructions),
    })
}

/// The bytes of the instruction that comes next.
fn code_at(child: i32) -> Result<[u8; 8], Failed> {
    // SAFETY: zeros are registers, which the call fills in.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let got = unsafe { libc::ptrace(libc::PTRACE_GETREGS, child, 0, &raw mut registers) };
    if got != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: reads the child's memory, at the place where it runs.
    let word =
        unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, child, registers.rip as *mut c_void, 0) };
    Ok(word.to_le_bytes())
}
