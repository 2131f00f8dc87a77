// SPDX-License-Identifier: GPL-2.0
//! Fork and exec, as the kernel tells of them: [`Hooks`], two tracepoints that are
//! called when a memory map was made from another, or instead of another, and before
//! anything runs in it. Who may not be told of one does not run.

use super::{bindings as own, memory};
use core::{ffi::CStr, marker::PhantomData, ptr};
use kernel::{bindings, current, mm::Mm, prelude::*};

/// Whoever is told. Called where nothing may sleep.
pub(crate) trait Heirs: 'static {
    /// `to` is a copy of `from`, for a child.
    fn forked(from: &Mm, to: &Mm) -> Result;
    /// `to` takes the place of `from`. Says whether it has something to hide.
    fn execed(from: &Mm, to: &Mm) -> Result<bool>;
}

/// Being told, until it is dropped.
///
/// # Invariants
///
/// Each that is there has its function of `Told<H>` registered.
pub(crate) struct Hooks<H: Heirs> {
    fork: *mut bindings::tracepoint,
    exec: *mut bindings::tracepoint,
    _told: PhantomData<H>,
}

// SAFETY: tracepoints are the kernel's own, and may be let go of by any thread.
unsafe impl<H: Heirs> Send for Hooks<H> {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl<H: Heirs> Sync for Hooks<H> {}

impl<H: Heirs> Hooks<H> {
    pub(crate) fn new() -> Result<Self> {
        let mut hooks = Self { fork: ptr::null_mut(), exec: ptr::null_mut(), _told: PhantomData };
        let fork = find(c"sched_process_fork").ok_or(ENOENT)?;
        let exec = find(c"sched_prepare_exec").ok_or(ENOENT)?;
        // INVARIANT: set once it is registered; if the second is not, the first goes with `hooks`.
        register(fork, Told::<H>::FORK)?;
        hooks.fork = fork;
        register(exec, Told::<H>::EXEC)?;
        hooks.exec = exec;
        Ok(hooks)
    }
}

impl<H: Heirs> Drop for Hooks<H> {
    fn drop(&mut self) {
        let told = [(self.fork, Told::<H>::FORK), (self.exec, Told::<H>::EXEC)];
        for (point, function) in told.into_iter().filter(|(point, _)| !point.is_null()) {
            // SAFETY: registered, by the type invariant.
            unsafe { bindings::tracepoint_probe_unregister(point, function, ptr::null_mut()) };
        }
        // SAFETY: a static. Neither tracepoint may sleep, so that this is what those who
        // are still in one of our functions are under (tracepoint_synchronize_unregister).
        unsafe { bindings::synchronize_srcu(ptr::addr_of_mut!(bindings::tracepoint_srcu)) };
    }
}

/// A tracepoint by its name.
fn find(name: &'static CStr) -> Option<*mut bindings::tracepoint> {
    struct Search(&'static CStr, Option<*mut bindings::tracepoint>);

    /// # Safety
    ///
    /// For the kernel to call, about a tracepoint, with the search that it was given.
    unsafe extern "C" fn look(point: *mut bindings::tracepoint, search: *mut kernel::ffi::c_void) {
        // SAFETY: called below, with a search, about a tracepoint with a name.
        let (search, name) =
            unsafe { (&mut *search.cast::<Search>(), CStr::from_ptr((*point).name.cast())) };
        if name == search.0 {
            search.1 = Some(point);
        }
    }

    let mut search = Search(name, None);
    // SAFETY: `look` is called with `search` until this returns, and not later.
    unsafe { bindings::for_each_kernel_tracepoint(Some(look), (&raw mut search).cast()) };
    search.1
}

fn register(point: *mut bindings::tracepoint, function: *mut kernel::ffi::c_void) -> Result {
    // SAFETY: a tracepoint of the kernel itself, which stays, and a function with the
    // arguments that it calls with (`Told`).
    let done = unsafe { bindings::tracepoint_probe_register(point, function, ptr::null_mut()) };
    kernel::error::to_result(done)
}

/// The functions that are called.
struct Told<H>(PhantomData<H>);

impl<H: Heirs> Told<H> {
    const FORK: *mut kernel::ffi::c_void = Self::fork as *mut kernel::ffi::c_void;
    const EXEC: *mut kernel::ffi::c_void = Self::exec as *mut kernel::ffi::c_void;

    /// # Safety
    ///
    /// For the kernel to call, by `sched_process_fork`: the child has not run yet.
    unsafe extern "C" fn fork(
        _: *mut kernel::ffi::c_void,
        _: *mut bindings::task_struct,
        child: *mut bindings::task_struct,
    ) {
        let task = current!();
        let Some(from) = task.mm() else { return };
        // SAFETY: the child cannot end, nor change its memory map, before it runs.
        let to = unsafe { (*child).mm };
        if to.is_null() || to == from.as_raw() {
            return;
        }
        // SAFETY: as above.
        if H::forked(from, unsafe { Mm::from_raw(to) }).is_err() {
            kill(child);
        }
    }

    /// # Safety
    ///
    /// For the kernel to call, by `sched_prepare_exec`: the new memory map is not in use yet.
    unsafe extern "C" fn exec(
        _: *mut kernel::ffi::c_void,
        _: *mut bindings::task_struct,
        program: *mut own::linux_binprm,
    ) {
        let task = current!();
        let Some(from) = task.mm() else { return };
        // SAFETY: what is executed, and its memory map, are there during the call.
        match H::execed(from, unsafe { Mm::from_raw((*program).mm) }) {
            Ok(false) => {}
            Ok(true) => {
                memory::hide();
                // SAFETY: as above. This is how the kernel itself has a program not dumped
                // that may not be read: from the first instruction on.
                unsafe { (*program).interp_flags |= own::BINPRM_FLAGS_ENFORCE_NONDUMP };
            }
            Err(_) => kill(task.as_ptr()),
        }
    }
}

/// Kills a task that must not run with less to keep it in than it had.
fn kill(task: *mut bindings::task_struct) {
    // SAFETY: the caller's own, or a child that has not run yet.
    unsafe { bindings::send_sig(bindings::SIGKILL as _, task, 1) };
}
