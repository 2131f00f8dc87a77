// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fault handler: where the embedded mode does what the kernel module does
//! in its page fault.
//!
//! A touch of a slot that nothing is mapped in raises SIGSEGV; the handler asks
//! the space that owns the arena to map what its view says, and returns to the
//! instruction. Every other fault, and every refusal, goes to the handler that
//! was installed before, or to the default action. The path from here takes no
//! lock that the interrupted code could hold and allocates nothing.

use std::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr,
    sync::{
        Once,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
};

use super::{arena::ARENA_BITS, stack};
use twz_core::rights::Access;

use crate::space::Core;

const PLACES: usize = 1 << (47 - ARENA_BITS);

/// The space that owns the arena at each place.
static OWNERS: [AtomicPtr<Core>; PLACES] = [const { AtomicPtr::new(ptr::null_mut()) }; PLACES];
/// Handlers that are looking at an owner now, so that it is not freed under them.
static VISITORS: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; 2]>);
// SAFETY: written once, inside `Once`, before the handlers that read it exist.
unsafe impl Sync for Previous {}
static PREVIOUS: Previous = Previous(UnsafeCell::new([MaybeUninit::uninit(); 2]));

/// What the space made of a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Mapped: run the instruction again.
    Resolved,
    /// Not ours, or refused: the program's own handler shall see it.
    Refused,
}

/// Lets faults in `core`'s arena find it. `core` must not move until [`retire`].
pub fn enlist(core: &Core) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    OWNERS[core.arena().base() >> ARENA_BITS]
        .store(ptr::from_ref(core).cast_mut(), Ordering::SeqCst);
}

/// Undoes [`enlist`], and waits for handlers that still look at `core`.
pub fn retire(core: &Core) {
    let place = core.arena().base() >> ARENA_BITS;
    OWNERS[place].store(ptr::null_mut(), Ordering::SeqCst);
    while VISITORS[place].load(Ordering::SeqCst) != 0 {
        std::hint::spin_loop();
    }
}

fn install() {
    stack::prepare();
    for (i, signal) in [libc::SIGSEGV, libc::SIGBUS].into_iter().enumerate() {
        // SAFETY: a zeroed sigaction is valid; the handler has the signature
        // that SA_SIGINFO asks for; PREVIOUS is written before any handler of
        // ours can run, and only here.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&mut action.sa_mask);
            let previous = (*PREVIOUS.0.get())[i].as_mut_ptr();
            libc::sigaction(signal, &action, previous);
        }
    }
}

extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
    let (address, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
    // SAFETY: errno is this thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    // A positive code is the kernel's: kill(2) and raise(3) carry no address.
    let ours = || resolve(address, access(context), was_present(context));
    if signal == libc::SIGSEGV && code > 0 && ours() == Outcome::Resolved {
        // SAFETY: as above.
        unsafe { *errno = saved };
        return;
    }
    if signal == libc::SIGSEGV && code > 0 {
        super::apart::refused(address, access(context));
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
    chain(signal, info, context);
    // If nobody wants to live with it, the instruction faults once more and
    // that is the end: then say what it was. (Rust's own handler, too, answers
    // what it does not know by going back to the default.)
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks; `now` is written when the call succeeds.
    let last = unsafe {
        libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init_ref().sa_sigaction == libc::SIG_DFL
    };
    if last && code > 0 {
        explain(signal, address, access(context));
    }
}

fn resolve(address: usize, access: Access, present: bool) -> Outcome {
    let Some((owner, visitors)) =
        OWNERS.get(address >> ARENA_BITS).zip(VISITORS.get(address >> ARENA_BITS))
    else {
        return Outcome::Refused;
    };
    visitors.fetch_add(1, Ordering::SeqCst);
    let core = owner.load(Ordering::SeqCst);
    let outcome = if core.is_null() {
        Outcome::Refused
    } else {
        // SAFETY: enlisted, and `retire` waits for us before it may be freed.
        let core = unsafe { &*core };
        stack::roomy(|| core.fault(address, access, present))
    };
    visitors.fetch_sub(1, Ordering::SeqCst);
    outcome
}

/// What the instruction tried, from the page fault's error code.
fn access(context: *mut libc::c_void) -> Access {
    match code(context) {
        code if code & 16 != 0 => Access::Execute,
        code if code & 2 != 0 => Access::Write,
        _ => Access::Read,
    }
}

/// Whether a page was mapped there, without the right.
fn was_present(context: *mut libc::c_void) -> bool {
    code(context) & 1 != 0
}

/// The page fault's error code; 0 where there is none.
fn code(context: *mut libc::c_void) -> i64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the kernel passes a valid ucontext to an SA_SIGINFO handler.
        let context = unsafe { &*(context as *const libc::ucontext_t) };
        context.uc_mcontext.gregs[libc::REG_ERR as usize]
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = context;
        0
    }
}

/// The space whose arena `address` lies in, for as long as `anchor`.
///
/// The anchor must lie in the arena, or keep its space alive: then the space is
/// enlisted, and stays so.
pub(crate) fn owner_of<A: ?Sized>(_anchor: &A, address: usize) -> Option<&Core> {
    let core = OWNERS.get(address >> ARENA_BITS)?.load(Ordering::Acquire);
    // SAFETY: null, or enlisted; and not retired while the anchor lives.
    unsafe { core.as_ref() }
}

/// Visits every space of the process. None of them is dropped meanwhile.
pub(crate) fn each_space(visit: impl Fn(&Core)) {
    for (owner, visitors) in OWNERS.iter().zip(&VISITORS) {
        visitors.fetch_add(1, Ordering::SeqCst);
        let core = owner.load(Ordering::SeqCst);
        // SAFETY: null, or enlisted, and `retire` waits for us before it may be freed.
        if let Some(core) = unsafe { core.as_ref() } {
            visit(core);
        }
        visitors.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says what went wrong, where the program has no handler that could.
fn explain(signal: i32, address: usize, access: Access) {
    let Some(owner) = OWNERS.get(address >> ARENA_BITS) else { return };
    let core = owner.load(Ordering::SeqCst);
    if core.is_null() {
        return;
    }
    // SAFETY: enlisted. The process is about to die of this very access, so
    // the space that the access was made through is not being dropped.
    let core = unsafe { &*core };
    stack::roomy(|| {
        let mut line = Line { bytes: [0; 256], len: 0 };
        // A line that does not fit is cut; there is nobody left to tell.
        let _ = core.describe(address, access, signal == libc::SIGBUS, &mut line);
        // SAFETY: the buffer is ours.
        unsafe { libc::write(2, line.bytes.as_ptr().cast(), line.len) };
    });
}

/// Text made without allocation.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.len() - self.len;
        let text = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
        Ok(())
    }
}

/// Hands the signal to whoever had it before us.
fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let i = usize::from(signal == libc::SIGBUS);
    // SAFETY: written in `install`, before this handler existed.
    let previous = unsafe { (*PREVIOUS.0.get())[i].assume_init_ref() };
    match previous.sa_sigaction {
        libc::SIG_IGN | libc::SIG_DFL => {
            // SAFETY: restores the default and returns: the instruction faults
            // again and the default action, with its core dump, is taken.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            // SAFETY: siginfo is valid; a signal sent by kill(2) does not recur
            // by itself, so it is sent once more.
            if unsafe { (*info).si_code } <= 0 {
                // SAFETY: no preconditions.
                unsafe { libc::raise(signal) };
            }
        }
        function if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the program installed it with SA_SIGINFO, so this is its type.
            let function: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(function) };
            function(signal, info, context);
        }
        function => {
            // SAFETY: the program installed it without SA_SIGINFO, so this is its type.
            let function: extern "C" fn(i32) = unsafe { std::mem::transmute(function) };
            function(signal);
        }
    }
}
