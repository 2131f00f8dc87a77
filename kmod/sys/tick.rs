// SPDX-License-Identifier: GPL-2.0
//! What is to be done again after a while: [`Ticking`], and the time of day.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, Ordering},
};
use kernel::bindings;

/// What is done. It says whether it is to be done again.
pub(crate) trait Tick {
    fn tick() -> bool;
}

/// The one piece of work there is.
struct Work(UnsafeCell<MaybeUninit<bindings::delayed_work>>);

// SAFETY: written once, by `Ticking::start`, before `STARTED`; from then on only the
// kernel's functions for delayed work have it, which any thread may call.
unsafe impl Sync for Work {}

static WORK: Work = Work(UnsafeCell::new(MaybeUninit::uninit()));
static STARTED: AtomicBool = AtomicBool::new(false);

/// Ticks, where asked to, until it is dropped.
pub(crate) struct Ticking(());

impl Ticking {
    /// The module does this once.
    pub(crate) fn start<T: Tick>() -> Self {
        let work = WORK.0.get().cast::<bindings::delayed_work>();
        let (key, timer_key) = (kernel::static_lock_class!(), kernel::static_lock_class!());
        // SAFETY: static memory that nobody uses yet; the names and keys are static.
        // The function is one for work, the timer's is that of delayed work, whose
        // timer it is.
        unsafe {
            bindings::init_work_with_key(
                &raw mut (*work).work,
                Some(run::<T>),
                false,
                c"twz::tick".as_ptr().cast(),
                key.as_ptr(),
            );
            bindings::timer_init_key(
                &raw mut (*work).timer,
                Some(bindings::delayed_work_timer_fn),
                bindings::TIMER_IRQSAFE,
                c"twz::tick".as_ptr().cast(),
                timer_key.as_ptr(),
            );
        }
        STARTED.store(true, Ordering::Release);
        Self(())
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        STARTED.store(false, Ordering::Release);
        // SAFETY: initialised by `start`. Once this returns it does not run and
        // cannot be queued any more, so that the module may go.
        unsafe { bindings::disable_delayed_work_sync(WORK.0.get().cast()) };
    }
}

/// What the kernel calls when it is time.
///
/// # Safety
///
/// The work is the one that was initialised with it. It is not looked at.
unsafe extern "C" fn run<T: Tick>(_work: *mut bindings::work_struct) {
    if T::tick() {
        tick_soon();
    }
}

/// Has it be done within half a second.
pub(crate) fn tick_soon() {
    if STARTED.load(Ordering::Acquire) {
        // SAFETY: initialised by `start`. Of work that waits already, or was
        // disabled meanwhile, this says so and does nothing.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as _,
                bindings::system_dfl_wq,
                WORK.0.get().cast(),
                bindings::CONFIG_HZ as usize / 2,
            )
        };
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    // SAFETY: may be called anywhere but in an NMI.
    unsafe { bindings::ktime_get_real() }.unsigned_abs()
}
