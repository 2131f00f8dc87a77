// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entering code that lies in objects, in a child of this process that does nothing
//! else: whatever such code does to memory that is no object, it does to a copy.
//!
//! The child and its parent share one page, on which the fault handler ([`super::fault`])
//! writes what was refused before it ends the child. Code that is not trusted may
//! write there, too: the parent reads numbers from it and believes none of them.

use std::{
    ops::Range,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

use twz_abi::{ObjectId, Rights, reason};
use twz_core::rights::Access;

use super::{
    fault,
    seal::{Elsewhere, seal},
};
use crate::{
    error::{Error, Refusal, Result},
    space::Core,
};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that nobody handled.
    Killed(i32),
    /// At a touch that was refused.
    Refused(Touched),
}

/// A touch that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Where.
    pub address: usize,
    /// What it wanted.
    pub wanted: Rights,
    /// Whose object is there and why it was refused; `None` if that could not be asked, as
    /// where system calls are sealed.
    pub said: Option<(ObjectId, Refusal)>,
}

/// What the child tells, in words: which of these, then what belongs to it.
const NOTHING: u64 = 0;
const SEAL_FAILED: u64 = 1;
const REFUSED: u64 = 2;

/// The page, as both see it.
#[repr(C)]
#[derive(Default)]
struct Page {
    what: AtomicU64,
    address: AtomicU64,
    wanted: AtomicU64,
    /// A reason and the rights that were granted, or all ones.
    reason: AtomicU64,
    granted: AtomicU64,
    id: [AtomicU64; 2],
}

/// In a child that [`enter`] made: where it tells.
static TELLS: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut());

/// Makes a child that goes on at `address`, after it could map what `core` maps; with
/// system calls from these ranges only, if there are any. What is there may
/// be any code, which ends the child by a call of its own, or returns.
pub fn enter(core: &Core, address: usize, calls_from: &[Range<usize>]) -> Result<Ended> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Error::Unsupported("code in objects is entered on x86-64 only"));
    }
    alone()?;
    let page = Shared::new()?;
    // SAFETY: this is the only thread of the process, so nobody holds a lock that the
    // child will want; and the child runs `child` alone, which does not return.
    match unsafe { libc::fork() } {
        -1 => Err(Error::os("make a child to run code in")),
        0 => child(core, &page, address, calls_from),
        pid => page.told(wait(pid)?),
    }
}

/// Refuses a process of several threads: one of them could hold a lock for good in a
/// child, which is without it; and the kernel switches contexts for no such program.
fn alone() -> Result<()> {
    let tasks = std::fs::read_dir("/proc/self/task");
    match tasks.map_err(Error::at("read", "/proc/self/task"))?.count() {
        1 => Ok(()),
        _ => Err(Error::Unsupported("a program with several threads runs no code apart")),
    }
}

fn child(core: &Core, page: &Shared, address: usize, calls_from: &[Range<usize>]) -> ! {
    TELLS.store(page.0, Ordering::Release);
    // A child has nothing mapped; a look at its view has all of it mapped again.
    let _ = core.view_entry(1);
    if !calls_from.is_empty() && seal(calls_from, Elsewhere::Refuse).is_err() {
        page.get().what.store(SEAL_FAILED, Ordering::Release);
        end();
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: what is there is no code of Rust's and may do anything, to this process:
    // a copy of its parent's memory, which nobody looks at afterwards, since this does
    // not return. What it shares with others are objects, pages as atomics above, and
    // descriptors, as any program has that this one might run.
    unsafe {
        std::arch::asm!(
            "and rsp, -16",
            "call {at}",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            at = in(reg) address,
            exit = const libc::SYS_exit_group,
            options(noreturn)
        )
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = address;
        end()
    }
}

/// Ends a child at once, by a signal if calls are sealed.
fn end() -> ! {
    // SAFETY: takes numbers only, and does not return; if it is refused, the process ends
    // by a signal.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "ud2",
            in("rax") libc::SYS_exit_group,
            in("rdi") 0,
            options(noreturn)
        )
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::process::abort()
}

/// In the fault handler: a touch was refused. In a child that [`enter`] made, it is told,
/// and the child ends.
pub(super) fn refused(address: usize, access: Access) {
    let page = TELLS.load(Ordering::Acquire);
    // SAFETY: null, or the page that this process shares with its parent, for good.
    let Some(page) = (unsafe { page.as_ref() }) else { return };
    let said = fault::owner_of(&(), address).and_then(Core::refusal);
    let number = |text| reason::ALL.iter().find(|(_, said)| *said == text).map(|(n, _)| *n);
    let number = said.and_then(|(_, refusal)| number(refusal.reason));
    page.reason.store(number.map_or(u64::MAX, u64::from), Ordering::Relaxed);
    if let Some((id, refusal)) = said {
        page.id[0].store(id.lo, Ordering::Relaxed);
        page.id[1].store(id.hi, Ordering::Relaxed);
        page.granted.store(refusal.granted.0.into(), Ordering::Relaxed);
    }
    page.address.store(address as u64, Ordering::Relaxed);
    page.wanted.store(access.right().0.into(), Ordering::Relaxed);
    page.what.store(REFUSED, Ordering::Release);
    end()
}

fn wait(pid: libc::pid_t) -> Result<Ended> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is ours to be written.
        match unsafe { libc::waitpid(pid, &mut status, 0) } {
            -1 if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            -1 => return Err(Error::os("wait for a child")),
            _ if libc::WIFSIGNALED(status) => return Ok(Ended::Killed(libc::WTERMSIG(status))),
            _ => return Ok(Ended::Exited(libc::WEXITSTATUS(status))),
        }
    }
}

/// A page that is shared with a child.
struct Shared(*mut Page);

impl Shared {
    fn new() -> Result<Self> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Page>(), prot, flags, -1, 0) };
        match at {
            libc::MAP_FAILED => Err(Error::os("map a page for a child")),
            at => Ok(Self(at.cast())),
        }
    }

    fn get(&self) -> &Page {
        // SAFETY: mapped for as long as `self`, aligned to a page, and every value of its
        // words is one.
        unsafe { &*self.0 }
    }

    /// What the child told before it ended like this.
    fn told(&self, ended: Ended) -> Result<Ended> {
        let page = self.get();
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
        match page.what.load(Ordering::Acquire) {
            NOTHING => Ok(ended),
            SEAL_FAILED => Err(Error::Unsupported("the kernel does not seal system calls")),
            _ => {
                let rights = |bits: u64| Rights(bits as u32 & Rights::ALL.0);
                let id = ObjectId { lo: word(&page.id[0]), hi: word(&page.id[1]) };
                let granted = rights(word(&page.granted));
                let reason = u32::try_from(word(&page.reason)).ok().map(reason::text);
                Ok(Ended::Refused(Touched {
                    address: word(&page.address) as usize,
                    wanted: rights(word(&page.wanted)),
                    said: reason.map(|reason| (id, Refusal { granted, reason })),
                }))
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and referred to by nobody any more.
        unsafe { libc::munmap(self.0.cast(), size_of::<Page>()) };
    }
}
