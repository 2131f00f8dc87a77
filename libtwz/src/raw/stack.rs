// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stacks for the fault handler. A program's alternate signal stack (Rust gives
//! every thread one) is a few KiB: enough to notice a fault, too little to
//! verify and map an object. So the handler steps over to one of these.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const STACKS: usize = 32;
const STACK_BYTES: usize = 128 << 10;

static FIRST: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Makes the stacks; before the handler is installed.
pub(super) fn prepare() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new anonymous mapping.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            STACKS * STACK_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if at != libc::MAP_FAILED {
        FIRST.store(at as usize, Ordering::Release);
    }
}

/// Runs `work` on a stack of its own. More threads than stacks wait: a fault is
/// short, and never faults again on another slot.
pub(super) fn roomy<R, W: FnOnce() -> R>(work: W) -> R {
    let first = FIRST.load(Ordering::Acquire);
    if first == 0 || !cfg!(target_arch = "x86_64") {
        return work();
    }
    let index = take();
    let mut job = Job { work: Some(work), result: None };
    let top = first + (index + 1) * STACK_BYTES;
    step_over(top, run::<R, W>, (&raw mut job).cast());
    TAKEN.fetch_and(!(1 << index), Ordering::AcqRel);
    match job.result {
        Some(result) => result,
        // `run` always stores one: it does not unwind, it aborts.
        None => std::process::abort(),
    }
}

fn take() -> usize {
    loop {
        let taken = TAKEN.load(Ordering::Acquire);
        let free = taken.trailing_ones();
        if free < STACKS as u32
            && TAKEN
                .compare_exchange(taken, taken | 1 << free, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            return free as usize;
        }
        std::hint::spin_loop();
    }
}

struct Job<R, W> {
    work: Option<W>,
    result: Option<R>,
}

extern "C" fn run<R, W: FnOnce() -> R>(job: *mut u8) {
    // SAFETY: `roomy` passes its own job, which it does not touch meanwhile.
    let job = unsafe { &mut *job.cast::<Job<R, W>>() };
    job.result = job.work.take().map(|work| work());
}

/// Calls `function(argument)` with the stack pointer at `top`.
fn step_over(top: usize, function: extern "C" fn(*mut u8), argument: *mut u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: 1. `top` ends a stack that is ours alone while it is taken, and
    // is 16-byte aligned as a call needs; 2. r12 is callee-saved, so it brings
    // the old stack pointer back; 3. all that a C function may clobber is
    // declared; 4. an `extern "C"` function does not unwind through here.
    unsafe {
        std::arch::asm!(
            "xchg rsp, r12",
            "call {function}",
            "mov rsp, r12",
            function = in(reg) function,
            inout("r12") top => _,
            in("rdi") argument,
            clobber_abi("C"),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = top;
        function(argument);
    }
}
