// SPDX-License-Identifier: GPL-2.0
//! Memory maps: whose they are ([`Owner`]), who else has one ([`Company`]), and what
//! a program's shows of ours ([`Memory`]), under the kernel's own lock.

use super::{
    bindings as own,
    device::{self, Device, MapRequest},
    fault::Fault,
    inode::{self, Descriptor},
};
use core::{marker::PhantomData, ops::Range, ptr};
use kernel::{
    bindings, container_of, current, error::to_result, mm::Mm, prelude::*, sync::aref::ARef,
    sync::rcu,
};

/// A memory map, to tell it from others. It is kept from being used again for
/// another, not from ending.
pub(crate) struct Owner(ARef<Mm>);

impl Owner {
    /// The caller's; threads of the kernel have none.
    pub(crate) fn current() -> Option<Self> {
        current!().mm().map(|mm| Self::of(mm))
    }

    pub(crate) fn of(mm: &Mm) -> Self {
        Self(ARef::from(mm))
    }

    /// A number that it has for itself, as long as this is there.
    pub(crate) fn key(&self) -> usize {
        self.0.as_raw() as usize
    }

    pub(crate) fn is_current(&self) -> bool {
        self.key() == current_key()
    }

    pub(crate) fn is(&self, request: &MapRequest<'_>) -> bool {
        self.0.as_raw() == request.mm()
    }

    /// Whether nobody uses it any more, or ever will.
    pub(crate) fn has_ended(&self) -> bool {
        users(self.0.as_raw()) == 0
    }
}

/// The number of the caller's memory map, or 0.
pub(crate) fn current_key() -> usize {
    current!().mm().map_or(0, |mm| mm.as_raw() as usize)
}

/// How many use a memory map.
fn users(mm: *mut bindings::mm_struct) -> i32 {
    // SAFETY: the callers have a reference to it; an atomic word is read as one.
    unsafe { ptr::addr_of!((*mm).__bindgen_anon_1.mm_users.counter).read_volatile() }
}

/// Who has the calling thread's memory map besides itself.
#[derive(Clone, Copy)]
pub(crate) struct Company {
    /// Another thread has it.
    pub(crate) others: bool,
    /// Some thread that has it is traced.
    pub(crate) traced: bool,
}

impl Company {
    pub(crate) fn now() -> Self {
        let task = current!();
        let me = task.as_ptr();
        let Some(mm) = task.mm() else { return Self { others: false, traced: false } };
        // SAFETY: the fields of the running thread itself; words, read once.
        let (traced, threads) = unsafe {
            let threads = ptr::addr_of!((*(*me).signal).nr_threads).read_volatile();
            (ptr::addr_of!((*me).ptrace).read_volatile() != 0, threads)
        };
        let mut company = Self { others: threads != 1, traced };
        // Only threads that have the map make others that do. Who just looks into it, as
        // /proc does, counts as a user, so look who they are.
        if threads != 1 || users(mm.as_raw()) != 1 {
            each_thread(|thread| {
                // SAFETY: valid during the call; words, read once.
                let (its, ptrace) = unsafe {
                    (
                        ptr::addr_of!((*thread).mm).read_volatile(),
                        ptr::addr_of!((*thread).ptrace).read_volatile(),
                    )
                };
                if its == mm.as_raw() {
                    company.others |= thread != me;
                    company.traced |= ptrace != 0;
                }
            });
        }
        company
    }
}

/// Visits every thread there is.
fn each_thread(mut visit: impl FnMut(*mut bindings::task_struct)) {
    let _guard = rcu::read_lock();
    let first = &raw mut bindings::init_task;
    let mut process = first;
    loop {
        // SAFETY: under RCU the list of processes can be followed from one to the next,
        // and so can that of a process' threads; a task, and the signal structure that it
        // holds, are freed a grace period after they were taken off. The lists are of
        // `tasks` and `thread_node`, as in the kernel's own for_each_process_thread.
        unsafe {
            let next = ptr::addr_of!((*process).tasks.next).read_volatile();
            process = container_of!(next, bindings::task_struct, tasks);
            if process == first {
                return;
            }
            let head = &raw mut (*(*process).signal).thread_head;
            let mut node = ptr::addr_of!((*head).next).read_volatile();
            while node != head {
                visit(container_of!(node, bindings::task_struct, thread_node));
                node = ptr::addr_of!((*node).next).read_volatile();
            }
        }
    }
}

/// Whether the calling process can be traced, and its memory read, by whoever has
/// its user's rights: a word of the kernel's.
fn dumpable() -> *mut own::task_dumpable {
    // SAFETY: the running thread's own, which nobody else replaces.
    unsafe {
        let state = (*current!().as_ptr()).exec_state.cast::<own::task_exec_state>();
        ptr::addr_of_mut!((*state).dumpable)
    }
}

/// From now on nobody begins to trace the calling process, or reads its memory, but
/// who may do that to everybody. Says what it was.
pub(crate) fn hide() -> u32 {
    // SAFETY: written as the kernel writes it (task_exec_state_set_dumpable).
    unsafe {
        let was = dumpable().read_volatile();
        dumpable().write_volatile(own::task_dumpable_TASK_DUMPABLE_OFF);
        was
    }
}

/// Takes [`hide`] back.
pub(crate) fn unhide(was: u32) {
    // SAFETY: as above; `was` is what it was.
    unsafe { dumpable().write_volatile(was) };
}

/// Where the code is for which the calling thread faults: the instruction that
/// touched memory, or the system call that has the kernel touch it. Only programs
/// have such a place.
pub(super) fn code(user: bool) -> Option<usize> {
    let task = current!();
    let task = task.as_ptr();
    // SAFETY: the running thread's own; what a program had in its registers is kept at the
    // top of its stack while it is in the kernel (task_pt_regs).
    unsafe {
        if (*task).flags & (bindings::PF_KTHREAD | bindings::PF_USER_WORKER) != 0 {
            return None;
        }
        let top = (*task).stack as usize + own::TWZ_STACK_TOP as usize;
        let registers = (top as *const bindings::pt_regs).sub(1);
        let (ip, call) = ((*registers).ip as usize, (*registers).orig_ax as isize);
        // Past a system call's instruction, which has two bytes.
        Some(if user || call == -1 { ip } else { ip.wrapping_sub(2) })
    }
}

/// How the lock is held.
enum Held {
    /// By whoever called.
    Already,
    Reading,
    Writing,
}

/// The calling thread's memory map, with its lock held.
///
/// # Invariants
///
/// `mm` is the running thread's, and its lock is held for `'a` as `held` says.
pub(crate) struct Memory<'a> {
    mm: *mut bindings::mm_struct,
    held: Held,
    _locked: PhantomData<&'a ()>,
}

impl<'a> Memory<'a> {
    /// With nobody else changing it, nor about to have finished that.
    pub(crate) fn alone() -> Result<Self> {
        let mm = current!().mm().ok_or(ESRCH)?.as_raw();
        // SAFETY: the running thread's own; no lock is held that comes after it.
        to_result(unsafe { bindings::down_write_killable(lock(mm)) })?;
        Ok(Self { mm, held: Held::Writing, _locked: PhantomData })
    }

    /// In a fault, which may have locked but the part that was touched. `None` if the lock
    /// is not to be had now: who waits for it may be waiting for that part.
    pub(crate) fn in_fault(fault: &Fault<'a>) -> Option<Self> {
        let mm = fault.own_memory()?;
        let held = match fault.has_part_locked() {
            false => Held::Already,
            // SAFETY: the running thread's own; this does not wait.
            true => match unsafe { bindings::down_read_trylock(lock(mm)) } {
                0 => return None,
                _ => Held::Reading,
            },
        };
        Some(Self { mm, held, _locked: PhantomData })
    }

    /// The part at an address.
    pub(crate) fn at<D: Device, F: Descriptor>(&self, address: usize) -> Option<Part<'_, D, F>> {
        // SAFETY: the lock is held.
        let vma = unsafe { bindings::find_vma(self.mm, address) };
        if vma.is_null() {
            return None;
        }
        // SAFETY: the lock keeps it.
        unsafe { Part::new(vma) }.filter(|part| part.start <= address)
    }

    /// Visits what it shows of ours.
    pub(crate) fn each<D: Device, F: Descriptor>(&self, mut visit: impl FnMut(&Part<'_, D, F>)) {
        let mut address = 0;
        loop {
            // SAFETY: the lock is held.
            let vma = unsafe { bindings::find_vma(self.mm, address) };
            if vma.is_null() {
                return;
            }
            // SAFETY: the lock keeps it.
            if let Some(part) = unsafe { Part::new(vma) } {
                visit(&part);
            }
            // SAFETY: as above. It ends past where it was looked for.
            address = unsafe { (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_end };
        }
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // SAFETY: held so, by the type invariant.
        unsafe {
            match self.held {
                Held::Already => {}
                Held::Reading => bindings::up_read(lock(self.mm)),
                Held::Writing => bindings::up_write(lock(self.mm)),
            }
        }
    }
}

fn lock(mm: *mut bindings::mm_struct) -> *mut bindings::rw_semaphore {
    // SAFETY: the callers have a memory map that is there.
    unsafe { ptr::addr_of_mut!((*mm).__bindgen_anon_1.mmap_lock) }
}

/// What a part of memory shows.
pub(crate) enum Shows<'a, D, F> {
    Device(&'a D),
    Object(&'a F),
}

/// A part of memory that shows something of ours.
///
/// # Invariants
///
/// `vma` is valid, and in a memory map that is locked, for `'a`.
pub(crate) struct Part<'a, D, F> {
    vma: *mut bindings::vm_area_struct,
    start: usize,
    /// Pages of the file that are there.
    pub(crate) pages: Range<u64>,
    pub(crate) shows: Shows<'a, D, F>,
}

impl<D: Device, F: Descriptor> Part<'_, D, F> {
    /// # Safety
    ///
    /// `vma` must be valid, in a memory map that is locked, for as long as this lives.
    unsafe fn new(vma: *mut bindings::vm_area_struct) -> Option<Self> {
        // SAFETY: as the caller promises.
        unsafe {
            let shows = match device::shown_by(vma) {
                Some(device) => Shows::Device(device),
                None => Shows::Object(inode::shown_by(vma)?),
            };
            let bounds = &(*vma).__bindgen_anon_1.__bindgen_anon_1;
            let first = (*vma).vm_pgoff as u64;
            let pages = first..first + ((bounds.vm_end - bounds.vm_start) >> 12) as u64;
            Some(Self { vma, start: bounds.vm_start, pages, shows })
        }
    }

    /// The page of the file that is at an address.
    pub(crate) fn page_at(&self, address: usize) -> u64 {
        self.pages.start + (address.wrapping_sub(self.start) >> 12) as u64
    }

    /// Takes those of these pages of the file that are in this part out of it.
    pub(crate) fn zap(&self, pages: Range<u64>) {
        let (first, end) = (pages.start.max(self.pages.start), pages.end.min(self.pages.end));
        if first < end {
            let at = self.start + ((first - self.pages.start) << 12) as usize;
            // SAFETY: in the part (both ends were bounded), which is of such memory
            // (`prepare`) and whose memory map is locked.
            unsafe {
                bindings::zap_special_vma_range(self.vma, at, ((end - first) << 12) as usize)
            };
        }
    }
}
