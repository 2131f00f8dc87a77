// SPDX-License-Identifier: MIT OR Apache-2.0
//! The claim to be a thread: a lock on its object, held through a descriptor
//! that can be handed to another process, and the right to change its state.

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, IntoRawFd as _},
        unix::fs::FileExt as _,
    },
    process::Command,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};
use twz_abi::{
    FormatError, ObjectId, Rights,
    thread::{ALIVE_BYTE, THREAD_BYTES, THREAD_SLOT, ThreadState},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{CLAIM_VARIABLE, NAME_VARIABLE, state::State};
use crate::{
    backend::Backend,
    error::{Error, Result},
    raw::{children, inherited},
};

/// How often a state is read anew that seems to be changing meanwhile.
const TRIES: u32 = 20;

/// Which object, of which pool.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub id: ObjectId,
    pub pool: [u8; 16],
}

/// The right to be a thread, and to change its state. It ends when the last
/// descriptor of it is closed, in whatever process.
pub struct Claim {
    file: File,
    place: Place,
    sequence: u64,
    state: State,
}

impl Claim {
    /// Claims a thread; `None` while another process is it.
    pub fn take(pool: &dyn Backend, id: ObjectId) -> Result<Option<Self>> {
        let place = Place { id, pool: pool.info()?.pool_id };
        Self::take_file(File::from(pool.open_data(id, READ_WRITE)?), place)
    }

    pub(super) fn take_file(file: File, place: Place) -> Result<Option<Self>> {
        if !try_lock(&file)? {
            return Ok(None);
        }
        let (sequence, state) = read(&file, place)?;
        Ok(Some(Self { file, place, sequence, state }))
    }

    /// Makes the first state of a new object, and claims it.
    pub(super) fn begin(file: File, place: Place, state: State) -> Result<Self> {
        if !try_lock(&file)? {
            return Err(Error::Busy { what: "another process has the new thread already" });
        }
        let mut claim = Self { file, place, sequence: 0, state };
        claim.update(|_| {})?;
        Ok(claim)
    }

    /// The thread's object.
    pub fn id(&self) -> ObjectId {
        self.place.id
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Changes the state, durably: after a power cut it is this one or the one
    /// before.
    pub fn update(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state.clone();
        change(&mut state);
        let sequence = self.sequence + 1;
        let bytes = state.pack(self.place.id, self.place.pool, sequence)?;
        let at = (sequence & 1) * THREAD_SLOT as u64;
        self.file.write_all_at(bytes.as_bytes(), at).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        (self.sequence, self.state) = (sequence, state);
        Ok(())
    }

    /// The slot that the next change is written to.
    #[cfg(test)]
    pub(super) fn slot_of_next(&self) -> u64 {
        (self.sequence + 1) & 1
    }

    /// Has the program that a command starts be the thread. The claim is this
    /// process's too until both this and the command are dropped.
    pub fn hand_down(&self, command: &mut Command, name: &str) -> Result<()> {
        let fd = inherited::leave(command, self.file.try_clone().map_err(failed)?);
        command.env(NAME_VARIABLE, name).env(CLAIM_VARIABLE, fd.to_string());
        Ok(())
    }

    /// Keeps the claim for as long as this process lives, and from its children.
    pub(super) fn keep_from_children(&self) -> Result<()> {
        match children::not_for_children(self.file.as_raw_fd()) {
            true => Ok(()),
            false => Err(Error::Busy { what: "this process is too many threads" }),
        }
    }

    /// Keeps it until the process ends.
    pub(super) fn keep_for_good(self) {
        let _ = self.file.into_raw_fd();
    }

    /// Gives it up, in the process that has called [`Self::keep_from_children`].
    pub(super) fn give_up(self) {
        children::forget(self.file.as_raw_fd());
    }
}

impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

pub(super) const READ_WRITE: Rights = Rights(Rights::READ.0 | Rights::WRITE.0);

pub(super) fn failed(error: std::io::Error) -> Error {
    Error::Io { doing: "use a thread object", path: None, error }
}

fn alive() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: ALIVE_BYTE as i64,
        l_len: 1,
        l_pid: 0,
    }
}

fn try_lock(file: &File) -> Result<bool> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&alive())) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// Whether some process is the thread.
pub(super) fn is_running(file: &File) -> Result<bool> {
    let mut lock = alive();
    loop {
        match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
            Ok(_) => return Ok(lock.l_type != libc::F_UNLCK as i16),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// The state that counts, and its sequence. Who is not the thread may look while
/// it changes, and looks again then.
pub(super) fn read(file: &File, place: Place) -> Result<(u64, State)> {
    let mut tries = 0;
    loop {
        tries += 1;
        match read_once(file, place) {
            Err(Error::Format { .. }) if tries < TRIES => std::thread::yield_now(),
            other => return other,
        }
    }
}

fn read_once(file: &File, place: Place) -> Result<(u64, State)> {
    let refused = |error| Error::Format { what: format!("thread {}", place.id), error };
    if file.metadata().map_err(failed)?.len() < THREAD_BYTES {
        return Err(refused(FormatError::Short { what: "thread" }));
    }
    let mut best: Option<Box<ThreadState>> = None;
    let mut worst = None;
    let mut bytes = Box::new(ThreadState::new_zeroed());
    for slot in [0, 1] {
        file.read_exact_at(bytes.as_mut_bytes(), slot * THREAD_SLOT as u64).map_err(failed)?;
        match bytes.check(slot, place.id, &place.pool) {
            Ok(()) if best.as_ref().is_none_or(|best| best.sequence < bytes.sequence) => {
                best = Some(bytes.clone());
            }
            Ok(()) => {}
            // A slot that was never used says less than one that is damaged.
            Err(error) if bytes.magic != 0 || worst.is_none() => worst = Some(error),
            Err(_) => {}
        }
    }
    match (best, worst) {
        (Some(best), _) => Ok((best.sequence, State::unpack(&best))),
        (None, Some(error)) => Err(refused(error)),
        (None, None) => Err(refused(FormatError::Short { what: "thread" })),
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("id", &self.place.id).field("state", &self.state).finish()
    }
}
