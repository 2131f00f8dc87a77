// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread's state as a Rust value, and to and from its bytes.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

use twz_abi::{
    ObjectId,
    thread::{self, ThreadState, exit, flags},
};

use crate::error::{Error, Result};

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// There was none yet, or nobody has seen it end.
    #[default]
    Unknown,
    /// With this status.
    Exited(u32),
    /// By this signal.
    Killed(u32),
    /// It could not begin, for this errno.
    NotStarted(u32),
}

/// Which program a thread is, and how far it is. What another one says here is
/// only said: see [`super::Found::may_run`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The program, from the root.
    pub program: PathBuf,
    /// Where it runs, from the root.
    pub directory: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// The part of its environment that is kept: [`super::is_kept`].
    pub env: Vec<(OsString, OsString)>,
    /// The view it runs in, if it is not one of its own.
    pub view: Option<ObjectId>,
    /// The security contexts that it is attached to.
    pub contexts: Vec<ObjectId>,
    /// Whose it is.
    pub uid: u32,
    /// The program calls [`super::register`].
    pub resumable: bool,
    /// It does not, and is to be started from its beginning.
    pub afresh: bool,
    /// It was started, and is not finished.
    pub started: bool,
    /// It is done.
    pub finished: bool,
    /// The start of the machine that it last ran in, or 0.
    pub boot: u64,
    /// How often it was started.
    pub generation: u64,
    /// What it has left for itself.
    pub mark: u64,
    /// Seconds since 1970 when it was registered.
    pub registered: u64,
    /// Seconds since 1970 when it was last started.
    pub started_at: u64,
    /// How many runs in a row ended badly, and soon.
    pub failures: u32,
    /// How the last run ended.
    pub end: End,
}

impl State {
    /// Whether it is to be started when it does not run.
    pub fn wants_to_run(&self) -> bool {
        !self.finished && (self.resumable || self.afresh)
    }

    fn flags(&self) -> u32 {
        [
            (self.resumable, flags::RESUMABLE),
            (self.afresh, flags::AFRESH),
            (self.started, flags::STARTED),
            (self.finished, flags::FINISHED),
        ]
        .into_iter()
        .fold(0, |all, (is, flag)| if is { all | flag } else { all })
    }

    /// As bytes. An error if they do not fit, or would not be read back.
    pub(super) fn pack(
        &self,
        object: ObjectId,
        pool: [u8; 16],
        sequence: u64,
    ) -> Result<Box<ThreadState>> {
        const FULL: Error = Error::Unsupported(
            "program, arguments and environment of a thread are too long, or hold a NUL",
        );
        let mut bytes = Box::new(ThreadState::empty(object, pool));
        bytes.sequence = sequence;
        bytes.flags = self.flags();
        bytes.view = self.view.unwrap_or(ObjectId::NULL);
        (bytes.boot, bytes.generation, bytes.mark) = (self.boot, self.generation, self.mark);
        (bytes.registered, bytes.started) = (self.registered, self.started_at);
        (bytes.uid, bytes.failures) = (self.uid, self.failures);
        (bytes.exit_kind, bytes.exit_value) = match self.end {
            End::Unknown => (exit::UNKNOWN, 0),
            End::Exited(status) => (exit::EXITED, status),
            End::Killed(signal) => (exit::KILLED, signal),
            End::NotStarted(errno) => (exit::NOT_STARTED, errno),
        };
        let contexts = bytes.contexts.get_mut(..self.contexts.len());
        contexts
            .ok_or(Error::Unsupported("a thread is attached to at most 16 contexts"))?
            .copy_from_slice(&self.contexts);
        bytes.context_count = self.contexts.len() as u32;
        bytes.args = self.args.len() as u32;
        bytes.env = self.env.len() as u32;
        let mut fits = bytes.push(self.program.as_os_str().as_bytes())
            && bytes.push(self.directory.as_os_str().as_bytes());
        for arg in &self.args {
            fits = fits && bytes.push(arg.as_bytes());
        }
        for (name, value) in &self.env {
            fits = fits && bytes.push(&[name.as_bytes(), b"=", value.as_bytes()].concat());
        }
        if !fits {
            return Err(FULL);
        }
        bytes.seal();
        let what = || "the thread that is to be registered".into();
        bytes
            .check(sequence & 1, object, &pool)
            .map_err(|error| Error::Format { what: what(), error })?;
        Ok(bytes)
    }

    /// From bytes that were checked.
    pub(super) fn unpack(bytes: &ThreadState) -> Self {
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let has = |flag: u32| bytes.flags & flag != 0;
        let variable = |bytes: &[u8]| {
            let at = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
            (text(&bytes[..at]), text(bytes.get(at + 1..).unwrap_or_default()))
        };
        let count = (bytes.context_count as usize).min(thread::CONTEXTS);
        Self {
            program: text(bytes.program()).into(),
            directory: text(bytes.directory()).into(),
            args: bytes.args().map(text).collect(),
            env: bytes.env().map(variable).collect(),
            view: Some(bytes.view).filter(|view| view.is_valid()),
            contexts: bytes.contexts[..count].to_vec(),
            uid: bytes.uid,
            resumable: has(flags::RESUMABLE),
            afresh: has(flags::AFRESH),
            started: has(flags::STARTED),
            finished: has(flags::FINISHED),
            boot: bytes.boot,
            generation: bytes.generation,
            mark: bytes.mark,
            registered: bytes.registered,
            started_at: bytes.started,
            failures: bytes.failures,
            end: match bytes.exit_kind {
                exit::EXITED => End::Exited(bytes.exit_value),
                exit::KILLED => End::Killed(bytes.exit_value),
                exit::NOT_STARTED => End::NotStarted(bytes.exit_value),
                _ => End::Unknown,
            },
        }
    }
}

/// Whether a variable of the environment is kept with a thread, and given to it
/// again: what says where things are and how to write them, and nothing that
/// makes a program load or run something else.
pub fn is_kept(name: &OsStr) -> bool {
    const KEPT: [&str; 14] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "TWZ_PERSIST",
        "TWZ_DEVICE",
        "RUST_LOG",
        "NO_COLOR",
    ];
    let name = name.as_bytes();
    name.starts_with(b"LC_") || KEPT.iter().any(|kept| kept.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> State {
        State {
            program: "/bin/counter".into(),
            directory: "/tmp".into(),
            args: vec!["--every".into(), "".into(), OsString::from_vec(vec![0xff, 0x01])],
            env: vec![("LANG".into(), "C=D".into()), ("TZ".into(), "".into())],
            view: Some(ObjectId::from_u128(3 << 64 | 1)),
            contexts: vec![ObjectId::from_u128(4 << 64 | 1)],
            uid: 1000,
            resumable: true,
            started: true,
            mark: 77,
            end: End::Killed(9),
            ..State::default()
        }
    }

    #[test]
    fn a_state_survives_its_bytes() {
        let (id, pool) = (ObjectId::from_u128(1 << 64 | 2), [7; 16]);
        for sequence in [1, 2, 99] {
            let bytes = sample().pack(id, pool, sequence).unwrap();
            assert_eq!(State::unpack(&bytes), sample());
        }
    }

    #[test]
    fn what_would_not_be_read_back_is_not_written() {
        let (id, pool) = (ObjectId::from_u128(1 << 64 | 2), [7; 16]);
        let spoilt: [fn(&mut State); 6] = [
            |state| state.program = "counter".into(),
            |state| state.directory = "".into(),
            |state| state.args = vec!["x".repeat(8000).into()],
            |state| state.args = vec!["a\0b".into()],
            |state| state.env = vec![("".into(), "x".into())],
            |state| state.contexts = vec![ObjectId::from_u128(4 << 64 | 1); 17],
        ];
        for spoil in spoilt {
            let mut state = sample();
            spoil(&mut state);
            assert!(state.pack(id, pool, 1).is_err(), "{state:?}");
        }
    }

    #[test]
    fn nothing_is_kept_that_loads_or_runs_something() {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "TWZ_THREAD_FD", "PYTHONPATH", ""]
        {
            assert!(!is_kept(OsStr::new(name)), "{name}");
        }
        assert!(is_kept(OsStr::new("LC_ALL")) && is_kept(OsStr::new("PATH")));
    }
}
