// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Thread objects: programs that are to go on after a power cut.
//!
//! A thread is an object of kind [`crate::meta::kind::THREAD`]. Its data is two
//! slots, each with a whole [`ThreadState`]; FORMAT.md, section "Thread", says
//! which one counts and who may write the other. A state says which program is to
//! be run, so what is alleged here is checked to the last byte before it is
//! believed; who may have it run is for whoever runs it to decide.

use zerocopy::{FromZeros as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{checksum::crc32, layout::layout, FormatError, ObjectId};

/// First word of a slot in use: "TWZTHRD1".
pub const THREAD_MAGIC: u64 = u64::from_le_bytes(*b"TWZTHRD1");
/// Version of states that this code writes, and the newest it reads.
pub const THREAD_VERSION: u32 = 1;
/// Bytes of a slot, and of the state in it.
pub const THREAD_SLOT: usize = 8192;
/// Bytes of a thread object's data.
pub const THREAD_BYTES: u64 = 2 * THREAD_SLOT as u64;
/// Bytes of text that a state has room for.
pub const TEXT: usize = 7672;
/// Contexts that a state has room for.
pub const CONTEXTS: usize = 16;
/// Byte of the data that is locked by the process that the thread is.
pub const ALIVE_BYTE: u64 = 0;

/// What a thread is to be, and how far it is.
pub mod flags {
    /// The program is written for it: run it again, and it goes on.
    pub const RESUMABLE: u32 = 1;
    /// The program is not: run it again, from its beginning.
    pub const AFRESH: u32 = 2;
    /// It was started, and has not been seen to end as it should.
    pub const STARTED: u32 = 4;
    /// It is done, and not to be run again.
    pub const FINISHED: u32 = 8;
    /// The bits that have a meaning.
    pub const KNOWN: u32 = RESUMABLE | AFRESH | STARTED | FINISHED;
}

/// How the last run ended.
pub mod exit {
    /// There was none, or nobody has seen its end.
    pub const UNKNOWN: u32 = 0;
    /// By itself, with the status in the value.
    pub const EXITED: u32 = 1;
    /// By the signal in the value.
    pub const KILLED: u32 = 2;
    /// It could not begin, for the errno in the value.
    pub const NOT_STARTED: u32 = 3;
    /// The kinds that there are.
    pub const KINDS: u32 = 4;
}

/// A thread's state: one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ThreadState {
    /// [`THREAD_MAGIC`].
    pub magic: u64,
    /// Counts changes, from 1; its lowest bit is the slot it stands in.
    pub sequence: u64,
    /// [`THREAD_VERSION`] of the writer.
    pub version: u32,
    /// [`flags`].
    pub flags: u32,
    /// The object that this is in.
    pub object: ObjectId,
    /// The pool that it is meant for: in a copy of it, it means nothing.
    pub pool: [u8; 16],
    /// The view that it runs in, or null for one of its own.
    pub view: ObjectId,
    /// The start of the machine that the program last ran in, or 0.
    pub boot: u64,
    /// How often it was started.
    pub generation: u64,
    /// What the program left for itself, to find its way after a loss.
    pub mark: u64,
    /// Seconds since 1970 when it was registered.
    pub registered: u64,
    /// Seconds since 1970 when it was last started.
    pub started: u64,
    /// The user it runs as.
    pub uid: u32,
    /// How many runs in a row ended badly, and soon.
    pub failures: u32,
    /// [`exit`]: how the last run ended.
    pub exit_kind: u32,
    /// The status, signal or errno of that.
    pub exit_value: u32,
    /// Security contexts that it is attached to.
    pub contexts: [ObjectId; CONTEXTS],
    /// How many of them there are; the others are null.
    pub context_count: u32,
    /// Strings in the text after the program and the directory: arguments,
    pub args: u32,
    /// and after them variables of the environment, each `NAME=value`.
    pub env: u32,
    /// Bytes of text.
    pub text_len: u32,
    /// Zero.
    pub reserved0: [u8; 112],
    /// Program, working directory, arguments, variables; each ends in a NUL.
    pub text: [u8; TEXT],
    /// Zero.
    pub reserved1: u32,
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
}
layout!(ThreadState, 8192, 8, {
    magic: 0, sequence: 8, version: 16, flags: 20, object: 24, pool: 40, view: 56, boot: 72,
    generation: 80, mark: 88, registered: 96, started: 104, uid: 112, failures: 116,
    exit_kind: 120, exit_value: 124, contexts: 128, context_count: 384, args: 388, env: 392,
    text_len: 396, reserved0: 400, text: 512, reserved1: 8184, checksum: 8188,
});

impl ThreadState {
    /// Nothing yet: to be filled, and then [`Self::seal`]ed.
    pub fn empty(object: ObjectId, pool: [u8; 16]) -> Self {
        let mut state = Self::new_zeroed();
        state.magic = THREAD_MAGIC;
        state.version = THREAD_VERSION;
        state.object = object;
        state.pool = pool;
        state
    }

    /// Adds a string to the text. `false`, and nothing happens, if there is no
    /// room or a NUL in it.
    pub fn push(&mut self, text: &[u8]) -> bool {
        let from = self.text_len as usize;
        let Some(room) = self.text.get_mut(from..).and_then(|room| room.get_mut(..=text.len()))
        else {
            return false;
        };
        if text.contains(&0) {
            return false;
        }
        room[..text.len()].copy_from_slice(text);
        room[text.len()] = 0;
        self.text_len += text.len() as u32 + 1;
        true
    }

    /// The checksum of all that it covers.
    pub fn compute_checksum(&self) -> u32 {
        crc32(&self.as_bytes()[..THREAD_SLOT - 4])
    }

    /// Makes it good for the slot that its sequence says.
    pub fn seal(&mut self) {
        self.checksum = self.compute_checksum();
    }

    /// Whether these bytes, found in a slot of an object of a pool, are a state
    /// that this code may act on.
    pub fn check(&self, slot: u64, object: ObjectId, pool: &[u8; 16]) -> Result<(), FormatError> {
        if self.magic != THREAD_MAGIC {
            return Err(FormatError::Magic { what: "thread", found: self.magic });
        }
        if self.version == 0 || self.version > THREAD_VERSION {
            return Err(FormatError::Version { what: "thread", found: self.version });
        }
        let (stored, computed) = (self.checksum, self.compute_checksum());
        if computed != stored {
            return Err(FormatError::Checksum { what: "thread", stored, computed });
        }
        if self.sequence == 0 || self.sequence & 1 != slot {
            return Err(FormatError::Range { what: "thread sequence", found: self.sequence });
        }
        if self.object != object {
            return Err(FormatError::Range { what: "thread's object", found: self.object.lo });
        }
        if self.pool != *pool {
            return Err(FormatError::Range { what: "thread's pool", found: 0 });
        }
        if self.reserved0 != [0; 112] || self.reserved1 != 0 {
            return Err(FormatError::Reserved { what: "thread" });
        }
        if self.flags & !flags::KNOWN != 0 {
            return Err(FormatError::Range { what: "thread flags", found: self.flags as u64 });
        }
        if self.exit_kind >= exit::KINDS {
            return Err(FormatError::Range { what: "thread exit", found: self.exit_kind as u64 });
        }
        if self.view != ObjectId::NULL && !self.view.is_valid() {
            return Err(FormatError::Range { what: "thread's view", found: self.view.lo });
        }
        self.check_contexts()?;
        self.check_text()
    }

    fn check_contexts(&self) -> Result<(), FormatError> {
        let count = self.context_count as usize;
        let (used, rest) = self.contexts.split_at_checked(count).ok_or(FormatError::Range {
            what: "thread's number of contexts",
            found: count as u64,
        })?;
        match used.iter().all(|id| id.is_valid()) && rest.iter().all(|id| *id == ObjectId::NULL) {
            true => Ok(()),
            false => Err(FormatError::Range { what: "thread's context", found: count as u64 }),
        }
    }

    fn check_text(&self) -> Result<(), FormatError> {
        let bad = |what, found: u64| Err(FormatError::Range { what, found });
        let len = self.text_len as usize;
        let Some((used, rest)) = self.text.split_at_checked(len) else {
            return bad("thread's length of text", len as u64);
        };
        if rest.iter().any(|&byte| byte != 0) {
            return Err(FormatError::Reserved { what: "thread text" });
        }
        let strings = used.iter().filter(|&&byte| byte == 0).count() as u64;
        let wanted = 2 + self.args as u64 + self.env as u64;
        if strings != wanted || used.last() != Some(&0) {
            return bad("thread's number of strings", wanted);
        }
        if !self.program().starts_with(b"/") || !self.directory().starts_with(b"/") {
            return bad("thread's path, which does not begin with /,", 0);
        }
        let named = |var: &[u8]| var.iter().position(|&byte| byte == b'=').is_some_and(|at| at > 0);
        match self.env().all(named) {
            true => Ok(()),
            false => bad("thread's variable, which has no name,", 0),
        }
    }

    /// The strings of the text. Of unchecked bytes, whatever is there.
    fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let used = self.text.get(..self.text_len as usize).unwrap_or_default();
        used.strip_suffix(&[0]).unwrap_or_default().split(|&byte| byte == 0)
    }

    /// The program, as a path from the root.
    pub fn program(&self) -> &[u8] {
        self.strings().next().unwrap_or_default()
    }

    /// Where it runs.
    pub fn directory(&self) -> &[u8] {
        self.strings().nth(1).unwrap_or_default()
    }

    /// Its arguments, without its name.
    pub fn args(&self) -> impl Iterator<Item = &[u8]> {
        self.strings().skip(2).take(self.args as usize)
    }

    /// Its environment, each `NAME=value`.
    pub fn env(&self) -> impl Iterator<Item = &[u8]> {
        let skipped = 2usize.saturating_add(self.args as usize);
        self.strings().skip(skipped).take(self.env as usize)
    }
}
