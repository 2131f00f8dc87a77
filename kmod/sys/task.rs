// SPDX-License-Identifier: GPL-2.0
//! The thread that calls: who it is, its memory, and whether it may go on.

use super::{memory::current_key, series::is_set};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{
    bindings, current,
    error::code::*,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

/// The thread's number, in the first namespace.
pub(crate) fn thread() -> i32 {
    current!().pid()
}

/// The calling process's number, and its user's, as they are in its own namespace.
pub(crate) fn process() -> (u32, u32) {
    let user = current!().uid().into_uid_in_current_ns();
    (current!().group_leader().pid().unsigned_abs(), user)
}

/// Whether the calling program may read whatever file there is.
pub(crate) fn may_read_all() -> bool {
    // SAFETY: asks about the calling thread; a number of a capability.
    unsafe { bindings::capable(bindings::CAP_DAC_OVERRIDE as i32) }
}

/// A thread and its memory, to tell it from others: numbers, never followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) thread: i32,
    mm: usize,
}

impl Caller {
    pub(crate) const NOBODY: Self = Self { thread: 0, mm: 0 };

    pub(crate) fn now() -> Self {
        Self { thread: thread(), mm: current_key() }
    }
}

/// Bytes of the calling program, to be copied in or out: nothing else is ever
/// done with them.
pub(crate) struct UserBytes {
    address: usize,
    len: usize,
}

impl UserBytes {
    pub(crate) fn new(address: usize, len: usize) -> Self {
        Self { address, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Those from byte `at` on.
    pub(crate) fn from(&self, at: usize) -> Self {
        Self::new(self.address.wrapping_add(at), self.len.saturating_sub(at))
    }

    fn slice(&self) -> UserSlice {
        UserSlice::new(UserPtr::from_addr(self.address), self.len)
    }

    /// Copies the first bytes in, as many as `into` has.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result {
        self.slice().reader().read_slice(into)
    }

    /// Copies to the first bytes.
    pub(crate) fn write(&self, from: &[u8]) -> Result {
        self.slice().writer().write_slice(from)
    }
}

/// Lets others run; an error if the thread has a signal to see to.
pub(crate) fn may_go_on() -> Result {
    // SAFETY: called where sleeping is allowed, with no spinlock held.
    unsafe { bindings::might_resched() };
    match current!().signal_pending() {
        true => Err(EINTR),
        false => Ok(()),
    }
}

/// Lets others run; whether the thread is to finish what it does: it is, unless it has
/// been killed.
pub(crate) fn may_finish() -> bool {
    const KILLED: usize = 1 << (bindings::SIGKILL - 1);
    // SAFETY: as above; and the signals are a word of the calling thread's own task,
    // of which any value that was ever there is good.
    let pending = unsafe {
        bindings::might_resched();
        (&raw const (*current!().as_ptr()).pending.signal.sig[0]).read_volatile()
    };
    !current!().signal_pending() || pending as usize & KILLED == 0
}

/// Stays a while where nobody should: a module whose guard is taken out gives the
/// race that the guard is against a chance to be lost.
pub(crate) fn linger() {
    kernel::time::delay::fsleep(kernel::time::Delta::from_micros(300));
}

/// The same where it does no harm, in a module for tests that is told to (weaken=widen,
/// which takes no guard out): a race that could be lost has its chance.
#[inline(always)]
pub(crate) fn widen() {
    #[cfg(twz_weaken)]
    if super::weakened() == b"widen" {
        linger();
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: 16 bytes, and they are ours.
    unsafe { bindings::get_random_bytes(bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes
}

/// Whether there may be another line in the log: ten in five seconds, or all.
pub(crate) fn may_log() -> bool {
    if is_set(crate::module_parameters::debug.value()) {
        return true;
    }
    static WINDOW: AtomicU64 = AtomicU64::new(0);
    static LINES: AtomicU64 = AtomicU64::new(0);
    // SAFETY: a word that only grows; any value that was ever there is good.
    let now = unsafe { core::ptr::addr_of!(bindings::jiffies).read_volatile() } as u64;
    let start = WINDOW.load(Ordering::Relaxed);
    if now.wrapping_sub(start) > 5 * bindings::CONFIG_HZ as u64
        && WINDOW.compare_exchange(start, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        LINES.store(0, Ordering::Relaxed);
    }
    LINES.fetch_add(1, Ordering::Relaxed) < 10
}
