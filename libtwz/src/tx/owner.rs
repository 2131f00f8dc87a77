// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who this process is among those that have the pool open, and whether
//! another one still lives.
//!
//! A process has a slot for as long as it holds a lock on one byte of the
//! pool's file of process slots. The kernel gives that lock back when the
//! process ends, however it ends, so one try of the byte tells, in any pid
//! namespace and after a restart of the machine. FORMAT.md, section "Owners".

use std::{
    cell::Cell,
    fs::File,
    os::{
        fd::{AsRawFd as _, IntoRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};
use twz_abi::{
    ObjectId, Rights,
    log::{Owner, ProcessSlot},
    meta::kind,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    backend::{Backend, Binding, NewObject},
    error::{Error, Result},
    raw::{children, sys},
    space::Core,
};

/// Bytes of a slot in the file.
const SLOT: u64 = size_of::<ProcessSlot>() as u64;

/// This process's slot of one space.
#[derive(Default)]
pub(crate) struct Identity {
    /// The owner word without a thread, and after how many forks it was taken.
    word: AtomicU64,
    forks: AtomicU32,
    held: Mutex<Option<File>>,
}

impl Drop for Identity {
    fn drop(&mut self) {
        let mut held = self.held();
        self.give_up(&mut held);
    }
}

impl Identity {
    fn held(&self) -> MutexGuard<'_, Option<File>> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn give_up(&self, held: &mut Option<File>) {
        let Some(file) = held.take() else { return };
        if self.forks.load(Ordering::Relaxed) == children::forks() {
            children::forget(file.as_raw_fd());
        } else {
            // The fork has closed it, and the number may be another file's now.
            let _ = file.into_raw_fd();
        }
    }
}

/// A number for each thread of the process.
pub(crate) fn thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static MINE: Cell<u32> = const { Cell::new(0) };
    }
    MINE.try_with(|mine| {
        if mine.get() == 0 {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % Owner::THREADS);
        }
        mine.get()
    })
    .unwrap_or(0)
}

impl Core {
    /// The calling thread as an owner.
    #[inline]
    pub(crate) fn me(&self) -> Result<Owner> {
        let word = self.identity.word.load(Ordering::Acquire);
        if word != 0 && self.identity.forks.load(Ordering::Relaxed) == children::forks() {
            return Ok(Owner(word | (thread() as u64) << 12));
        }
        self.become_somebody()
    }

    #[cold]
    fn become_somebody(&self) -> Result<Owner> {
        let mut held = self.identity.held();
        let word = self.identity.word.load(Ordering::Acquire);
        if word != 0 && self.identity.forks.load(Ordering::Relaxed) == children::forks() {
            return Ok(Owner(word | (thread() as u64) << 12));
        }
        self.identity.word.store(0, Ordering::Release);
        self.identity.give_up(&mut held);
        let file = File::from(self.backend().process_file()?);
        for slot in 1..Owner::SLOTS {
            if !take_byte(&file, slot)? {
                continue;
            }
            let incarnation = u32::from_le_bytes(sys::random()?) | 1;
            let at = slot as u64 * SLOT;
            file.write_all_at(&incarnation.to_le_bytes(), at).map_err(failed)?;
            if !children::not_for_children(file.as_raw_fd()) {
                return Err(Error::Busy { what: "this process has too many pools open" });
            }
            *held = Some(file);
            let word = Owner::new(slot, incarnation, 0).0;
            self.identity.forks.store(children::forks(), Ordering::Relaxed);
            self.identity.word.store(word, Ordering::Release);
            return Ok(Owner(word | (thread() as u64) << 12));
        }
        Err(Error::Busy { what: "too many processes have the pool open" })
    }

    /// Whether an owner is still there.
    #[cold]
    pub(crate) fn is_alive(&self, owner: Owner) -> Result<bool> {
        let me = self.me()?;
        if owner.slot() == me.slot() {
            return Ok(owner.incarnation() == me.incarnation());
        }
        let held = self.identity.held();
        let Some(file) = &*held else { return Ok(true) };
        if owner.slot() == 0 || read_slot(file, owner.slot())?.incarnation != owner.incarnation() {
            return Ok(false);
        }
        let mut lock = byte(owner.slot());
        loop {
            match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
                Ok(_) => return Ok(lock.l_type != libc::F_UNLCK as i16),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }

    /// The first log of this process's slot, or null.
    pub(crate) fn first_log(&self) -> Result<ObjectId> {
        let slot = self.me()?.slot();
        match &*self.identity.held() {
            Some(file) => Ok(read_slot(file, slot)?.log),
            None => Ok(ObjectId::NULL),
        }
    }

    /// Notes the first log of this process's slot.
    pub(crate) fn set_first_log(&self, log: ObjectId) -> Result<()> {
        let at = self.me()?.slot() as u64 * SLOT + core::mem::offset_of!(ProcessSlot, log) as u64;
        match &*self.identity.held() {
            Some(file) => file.write_all_at(log.as_bytes(), at).map_err(failed),
            None => Ok(()),
        }
    }
}

/// The file of process slots of a pool that has no directory: an object with a
/// name of its own.
pub(crate) fn process_object(pool: &dyn Backend) -> Result<OwnedFd> {
    const NAME: &str = ".processes";
    let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
    loop {
        match pool.lookup(NAME) {
            Ok(Binding::Object(id)) => return pool.open_data(id, rights),
            Ok(Binding::Directory) => {
                return Err(Error::Unresolved { name: NAME.into(), why: "it is a directory" });
            }
            Err(Error::NoName(_)) => {}
            Err(error) => return Err(error),
        }
        let size = SLOT * Owner::SLOTS as u64;
        let id = pool.create(&NewObject { kind: kind::PROCESSES, size, ..NewObject::default() })?;
        if let Err(error) = pool.bind(NAME, id, false) {
            pool.delete(id)?;
            // Somebody else was faster, or it cannot be.
            pool.lookup(NAME).map_err(|_| error)?;
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Io { doing: "use the pool's file of process slots", path: None, error }
}

fn byte(slot: u32) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: (slot as u64 * SLOT) as i64,
        l_len: 1,
        l_pid: 0,
    }
}

fn take_byte(file: &File, slot: u32) -> Result<bool> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&byte(slot))) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// What the file says of a slot; zeros past its end.
fn read_slot(file: &File, slot: u32) -> Result<ProcessSlot> {
    let mut found = ProcessSlot::new_zeroed();
    let mut done = 0;
    while let Some(rest) = found.as_mut_bytes().get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, slot as u64 * SLOT + done as u64).map_err(failed)? {
            0 => break,
            got => done += got,
        }
    }
    Ok(found)
}
