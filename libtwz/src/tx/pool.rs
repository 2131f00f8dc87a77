// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions and logs of a process: one for each thread that is in a
//! transaction. A thread keeps its session for the next one; when it ends,
//! another thread takes it over.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use twz_abi::{ObjectId, log::Owner};
use zerocopy::IntoBytes as _;

use super::{
    log::{Log, head},
    recover::process_of,
    session::Session,
};
use crate::{
    backend::Medium,
    error::{Error, Result},
    raw::persist::Method,
    space::{Core, Inner, Space},
};

/// What a transaction that has committed, or a container that was changed,
/// survives. `DURABILITY.md` says what that takes on which medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of any process, at any instant.
    Process,
    /// A power cut as well.
    Power,
}

/// A thread's session.
pub(crate) type Shared = Rc<RefCell<Session>>;

/// Sessions that no thread has, and where the process's list of logs goes on.
#[derive(Default, Debug)]
pub(crate) struct Idle {
    sessions: Vec<Session>,
    /// The process that `last` is of.
    process: u64,
    /// The last log of the list that was taken.
    last: Option<Log>,
}

struct Mine {
    space: Weak<Inner>,
    key: u64,
    session: Shared,
}

/// Given back when the thread ends.
struct Sessions(Vec<Mine>);

impl Drop for Sessions {
    fn drop(&mut self) {
        for mine in self.0.drain(..) {
            give_back(mine);
        }
    }
}

fn give_back(mine: Mine) {
    if let (Some(space), Ok(session)) = (mine.space.upgrade(), Rc::try_unwrap(mine.session)) {
        let session = session.into_inner();
        // One that could not be ended is recovery's, after the process.
        if !session.active {
            Space(space).core().idle().sessions.push(session);
        }
    }
}

thread_local! {
    static SESSIONS: RefCell<Sessions> = const { RefCell::new(Sessions(Vec::new())) };
}

/// A number for each space of the process.
pub(crate) fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How stores reach a medium, and whether transactions survive a power cut
/// there if nobody says otherwise: where that costs no system call, they do.
pub(crate) fn how_durable(medium: Medium) -> Result<(Method, bool)> {
    Ok(match (Method::forced()?, medium) {
        (Some(method), _) => (method, true),
        (None, Medium::Memory) => (Method::Nothing, false),
        (None, Medium::Persistent) => (Method::persistent_memory(), true),
        (None, Medium::PageCache) => (Method::Msync, false),
    })
}

/// This thread's session of a space.
#[inline]
pub(crate) fn session_of(space: &Space) -> Result<Shared> {
    let core = space.core();
    let me = process_of(core.me()?);
    let found = SESSIONS.try_with(|sessions| {
        let sessions = sessions.borrow();
        let mine = sessions.0.iter().find(|mine| mine.key == core.key)?;
        // A forked child's is its parent's.
        let ours = process_of(mine.session.try_borrow().ok()?.owner) == me;
        ours.then(|| mine.session.clone())
    });
    match found {
        Ok(Some(session)) => Ok(session),
        _ => new_session(space, me),
    }
}

/// The same, if it is in a transaction.
pub(crate) fn session_if_active(core: &Core) -> Option<Shared> {
    let found = SESSIONS.try_with(|sessions| {
        let sessions = sessions.borrow();
        let mine = sessions.0.iter().find(|mine| mine.key == core.key)?;
        mine.session.try_borrow().ok()?.active.then(|| mine.session.clone())
    });
    found.ok().flatten()
}

#[cold]
fn new_session(space: &Space, me: Owner) -> Result<Shared> {
    let core = space.core();
    let session = Rc::new(RefCell::new(core.take_session(me)?));
    let mine = Mine {
        space: std::sync::Arc::downgrade(&space.0),
        key: core.key,
        session: session.clone(),
    };
    let kept = SESSIONS.try_with(|sessions| {
        let Ok(mut sessions) = sessions.try_borrow_mut() else { return };
        // Of this space after a fork, and of spaces that are gone.
        sessions.0.retain(|other| other.key != core.key && other.space.strong_count() != 0);
        sessions.0.push(mine);
    });
    match kept {
        Ok(()) => Ok(session),
        Err(_) => Err(Error::Unsupported("a thread that is ending can begin no transaction")),
    }
}

impl Core {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A session that no thread has, or one on the next log of the process.
    fn take_session(&self, me: Owner) -> Result<Session> {
        let mut idle = self.idle();
        if idle.process != me.0 {
            *idle = Idle { process: me.0, ..Idle::default() };
        }
        if let Some(session) = idle.sessions.pop() {
            return Ok(session);
        }
        let log = self.next_log(&mut idle, me)?;
        Session::on(self, log)
    }

    /// The next log of the process's list that can be had, or a new one at its end.
    fn next_log(&self, idle: &mut Idle, me: Owner) -> Result<Log> {
        loop {
            let next = match &idle.last {
                None => self.first_log()?,
                Some(last) => {
                    let words = last.head(self)?;
                    let half = |i: usize| words[head::NEXT + i].load(Ordering::Acquire);
                    ObjectId { lo: half(0), hi: half(1) }
                }
            };
            let found = match next.is_valid() {
                true => Log::attach(self, next),
                false => Err(Error::NoObject(next)),
            };
            match found {
                Ok(log) => {
                    idle.last = Some(log);
                    if self.claim_log(&log)? {
                        return Ok(log);
                    }
                }
                // Nothing there, or nothing that this release can use: the list
                // goes on with a new one. Objects still lead to the other.
                Err(Error::NoObject(_) | Error::Format { .. }) => {
                    let log = Log::create(self, me)?;
                    self.link(idle.last.as_ref(), log.id)?;
                    idle.last = Some(log);
                    return Ok(log);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn link(&self, last: Option<&Log>, next: ObjectId) -> Result<()> {
        let Some(last) = last else { return self.set_first_log(next) };
        let words = last.head(self)?;
        for (i, half) in next.as_bytes().chunks_exact(8).enumerate() {
            let half = half.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64);
            words[head::NEXT + i].store(half, Ordering::Release);
        }
        Ok(())
    }

    /// Whether what commits has to survive a power cut.
    #[inline(always)]
    pub(crate) fn durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// How stores reach the medium: as the pool's do, unless a file of it is none that
    /// can be mapped so.
    #[inline(always)]
    pub(crate) fn method(&self) -> Method {
        if self.arena().needs_msync() { Method::Msync } else { self.method }
    }

    /// What was flushed before is durable before anything is stored after.
    #[inline(always)]
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub(crate) fn fence(&self) {
        // The pool's own: lines may be on their way since before `msync` was needed.
        self.method.fence();
    }
}

impl Space {
    /// What transactions and changes of containers survive from now on.
    pub fn set_durability(&self, durability: Durability) {
        self.core().durable.store(durability == Durability::Power, Ordering::Relaxed);
    }

    /// What transactions and changes of containers survive.
    pub fn durability(&self) -> Durability {
        if self.core().durable() { Durability::Power } else { Durability::Process }
    }
}
