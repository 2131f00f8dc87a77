// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of the copy routine, which are answers; and the program's own handlers for
//! the same two signals, which are called for every other fault as if they stood where
//! ours does: with their flags and masks, and default is default.
//!
//! Ours are installed when the first file is mapped, not before.

use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicU64, AtomicUsize,
        Ordering::{Acquire, Release, SeqCst},
    },
};

use super::{copy, real, sys, thread};
use crate::{
    sharing,
    stats::{self, Counter},
};

const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// Both, as the kernel's sets have them.
const BOTH: u64 = 1 << (libc::SIGSEGV - 1) | 1 << (libc::SIGBUS - 1);

/// What the program has for a signal, or thinks it has.
struct Program {
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
}

static PROGRAM: [Program; 2] = [const {
    Program { handler: AtomicUsize::new(0), flags: AtomicI32::new(0), mask: AtomicU64::new(0) }
}; 2];
static STANDS: AtomicBool = AtomicBool::new(false);
/// Held, with signals blocked, by whoever changes a handler.
static CHANGING: AtomicBool = AtomicBool::new(false);

fn of(signal: c_int) -> Option<&'static Program> {
    SIGNALS.iter().position(|known| *known == signal).map(|at| &PROGRAM[at])
}

/// Sees to it that a fault of the copy routine is an answer. Whether it is.
pub fn guard() -> bool {
    if STANDS.load(Acquire) {
        return true;
    }
    changing(|| {
        for (signal, program) in SIGNALS.into_iter().zip(&PROGRAM) {
            let mut now = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: room for an action, whose bytes may be anything.
            let now = unsafe {
                if real::sigaction(signal, ptr::null(), now.as_mut_ptr()) != 0 {
                    return false;
                }
                now.assume_init()
            };
            program.keep(&now);
            if !install(signal, program) {
                return false;
            }
        }
        STANDS.store(true, Release);
        true
    })
}

/// Whether a fault of the copy routine is an answer by now.
pub fn stands() -> bool {
    STANDS.load(Acquire)
}

/// Whether handlers for this signal are to be noted.
pub fn is_ours(signal: c_int) -> bool {
    of(signal).is_some() && (sharing::is_on() || stands())
}

/// Copies bytes of the program into plain numbers, if they are there.
pub fn fetch<const N: usize>(from: usize) -> Option<[u8; N]> {
    if stands() { copy::fetch(from) } else { sys::fetch(from) }
}

fn changing<T>(body: impl FnOnce() -> T) -> T {
    let blocked = sys::block_signals();
    while CHANGING.swap(true, SeqCst) {
        sys::give_way();
    }
    let answer = body();
    CHANGING.store(false, SeqCst);
    sys::unblock_signals(blocked);
    answer
}

impl Program {
    fn keep(&self, action: &libc::sigaction) {
        // SAFETY: the first 8 bytes of a set are the signals that there are.
        let mask = unsafe { (&raw const action.sa_mask).cast::<u64>().read() };
        self.mask.store(mask, SeqCst);
        self.flags.store(action.sa_flags, SeqCst);
        self.handler.store(action.sa_sigaction, SeqCst);
    }

    fn action(&self) -> libc::sigaction {
        // SAFETY: an action is numbers, and no restorer is none.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = self.handler.load(SeqCst);
        action.sa_flags = self.flags.load(SeqCst);
        // SAFETY: the first 8 bytes of a set are the signals that there are.
        unsafe { (&raw mut action.sa_mask).cast::<u64>().write(self.mask.load(SeqCst)) };
        action
    }
}

/// Puts our handler in place of the program's, with the program's flags and mask.
fn install(signal: c_int, program: &Program) -> bool {
    let mut action = program.action();
    let stands = !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN);
    if !stands {
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
    }
    action.sa_flags = (action.sa_flags | libc::SA_SIGINFO) & !libc::SA_RESETHAND;
    strip(&mut action.sa_mask);
    action.sa_sigaction = caught as *const () as usize;
    // SAFETY: an action with a handler that is never gone.
    unsafe { real::sigaction(signal, &action, ptr::null_mut()) == 0 }
}

fn strip(mask: &mut libc::sigset_t) {
    // SAFETY: the first 8 bytes of a set are the signals that there are.
    unsafe {
        let signals = ptr::from_mut(mask).cast::<u64>();
        signals.write(signals.read() & !BOTH);
    }
}

extern "C" fn caught(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let (routine, fault) = copy::routine();
    // SAFETY: the kernel passes both, and the context is a ucontext.
    let sent = unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let at = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        if routine.contains(&(*at as usize)) && (*info).si_code > 0 {
            *at = fault as i64;
            stats::add(Counter::FixedUp, 1);
            return;
        }
        (*info).si_code <= 0
    };
    let Some(program) = of(signal) else { return };
    match program.handler.load(SeqCst) {
        libc::SIG_IGN if sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // What is not ours and has no handler ends the process, as it would have.
            // SAFETY: the default is no handler at all.
            unsafe {
                let default: libc::sigaction = MaybeUninit::zeroed().assume_init();
                real::sigaction(signal, &default, ptr::null_mut());
            }
            if sent {
                sys::raise(signal);
            }
        }
        handler => {
            if program.flags.load(SeqCst) & libc::SA_RESETHAND != 0 {
                program.handler.store(libc::SIG_DFL, SeqCst);
            }
            // SAFETY: what the program installed for this signal, called as the kernel
            // would; one that takes only the number does not look at the others.
            unsafe {
                let handler: extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    core::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
    }
}

/// `sigaction`: a handler of the program's for one of the two is noted, and called by
/// ours. No handler runs with the two blocked.
///
/// # Safety
/// As for `sigaction`.
pub unsafe fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    // SAFETY: the pointers are null or what the caller promised libc.
    unsafe {
        if !sharing::is_on() && !STANDS.load(Acquire) {
            return real::sigaction(signal, new, old);
        }
        let program = of(signal).filter(|_| STANDS.load(Acquire));
        let Some(program) = program else {
            let Some(new) = new.as_ref() else { return real::sigaction(signal, new, old) };
            let mut stripped = *new;
            strip(&mut stripped.sa_mask);
            return real::sigaction(signal, &stripped, old);
        };
        // Both pointers are followed before the lock is taken: a bad one is fatal anyway.
        let new = new.as_ref().copied();
        let (before, done) = changing(|| {
            let before = program.action();
            if let Some(new) = &new {
                program.keep(new);
            }
            (before, new.is_none() || install(signal, program))
        });
        if !old.is_null() {
            *old = before;
        }
        if done { 0 } else { -1 }
    }
}

/// `signal` and its like: a handler with these flags; the one before, or `SIG_ERR`.
///
/// # Safety
/// As for `signal`.
pub unsafe fn simple(signal: c_int, handler: usize, flags: c_int) -> usize {
    // SAFETY: actions are numbers, and these are this function's own.
    unsafe {
        let mut new: libc::sigaction = MaybeUninit::zeroed().assume_init();
        let mut old: libc::sigaction = MaybeUninit::zeroed().assume_init();
        new.sa_sigaction = handler;
        new.sa_flags = flags;
        match sigaction(signal, &new, &mut old) {
            0 => old.sa_sigaction,
            _ => libc::SIG_ERR,
        }
    }
}

/// `sigprocmask` and `pthread_sigmask`: the two are never blocked, and are said to be.
///
/// # Safety
/// As for `sigprocmask`.
pub unsafe fn sigmask(
    how: c_int,
    new: *const libc::sigset_t,
    old: *mut libc::sigset_t,
    real: unsafe fn(c_int, *const libc::sigset_t, *mut libc::sigset_t) -> c_int,
) -> c_int {
    // SAFETY: the pointers are null or what the caller promised libc; the first 8 bytes
    // of a set are the signals that there are.
    unsafe {
        if !sharing::is_on() && thread::held_back() == 0 {
            return real(how, new, old);
        }
        let held = thread::held_back();
        let mut stripped = new.as_ref().copied();
        let asked = new.as_ref().map(|new| ptr::from_ref(new).cast::<u64>().read() & BOTH);
        if let Some(set) = &mut stripped
            && how != libc::SIG_UNBLOCK
        {
            strip(set);
        }
        let answer = real(how, stripped.as_ref().map_or(ptr::null(), ptr::from_ref), old);
        if answer != 0 {
            return answer;
        }
        if let Some(asked) = asked {
            thread::hold_back(match how {
                libc::SIG_BLOCK => held | asked,
                libc::SIG_UNBLOCK => held & !asked,
                _ => asked,
            });
        }
        if !old.is_null() {
            let signals = old.cast::<u64>();
            signals.write(signals.read() | held);
        }
        0
    }
}

/// What this process was begun with blocked, it only thinks is.
pub fn unblock() {
    let before = sys::change_signals(libc::SIG_UNBLOCK, BOTH);
    thread::hold_back(before & BOTH);
}
