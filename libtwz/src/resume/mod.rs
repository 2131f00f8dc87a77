// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that go on after a power cut, or after they were killed.
//!
//! A program that [`register`]s is a *thread object* of its pool: `twzd` finds
//! the object and starts the program again whenever it is gone without having
//! said that it is done. Started again, it finds its contexts and its view attached, the
//! transactions that it had open undone or finished, and its handler called,
//! before [`register`] returns.
//!
//! ```
//! use twz::{EmbeddedPool, Field, InitOptions, Space, resume};
//!
//! # fn main() -> twz::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("pool");
//! EmbeddedPool::init(&path, &InitOptions::default())?;
//! let space = Space::open(&path)?;
//! let thread = resume::register(&space, "counter", |lost| {
//!     eprintln!("lost by {:?}; going on from {}", lost.cause, lost.mark);
//!     Ok(())
//! })?;
//! thread.set_mark(thread.mark() + 1)?; // durable when it returns
//! thread.finish()?; // without this it is started again, however it ended
//! # Ok(())
//! # }
//! ```
//!
//! What that promises, and what not: `RESUME.md`.

mod claim;
mod find;
mod recover;
mod state;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs::File,
    sync::{Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

pub use claim::Claim;
pub use find::{DIRECTORY, Found, each, find, make, remove};
pub use state::{End, State, is_kept};
use twz_abi::ObjectId;

use crate::{
    backend::{Backend, Binding},
    error::{Error, Result},
    raw::{children, inherited, persist},
    space::Space,
};

/// Names the thread that a process was started to be.
pub const NAME_VARIABLE: &str = "TWZ_THREAD";
/// The number of the descriptor that it has the claim from.
pub const CLAIM_VARIABLE: &str = "TWZ_THREAD_FD";

/// What ended the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The machine was started anew since: its power was cut, or it was shut down.
    PowerCut,
    /// The process ended, was killed or crashed.
    Killed,
}

/// What there is to know of the run that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What ended it.
    pub cause: Cause,
    /// Which run it was, counted from 1.
    pub generation: u64,
    /// What it left with [`Thread::set_mark`].
    pub mark: u64,
}

/// This process as a thread. To drop it ends nothing: the process is the thread
/// until it ends, or says [`Thread::finish`].
#[derive(Debug)]
pub struct Thread {
    claim: Mutex<Option<Claim>>,
    name: String,
    lost: Option<Lost>,
    generation: u64,
    forks: u32,
}

/// Makes this process the thread `name` of the pool, which is made if there is
/// none. To be called first of all: no object may be open in the space, if the
/// thread has a view.
///
/// If the thread was lost, `resume` is called once everything is as it was
/// before: its view attached, and no transaction of a dead process half done.
/// Where that fails, or `resume` does, the thread is as lost as before. Refused
/// while another process is the thread.
pub fn register(
    space: &Space,
    name: &str,
    resume: impl FnOnce(&Lost) -> Result<()>,
) -> Result<Thread> {
    let pool = space.backend();
    let (mut claim, started_for_it) = claim_of(pool, name)?;
    claim.keep_from_children()?;
    let before = claim.state().clone();
    if before.uid != own_uid() {
        claim.give_up();
        return Err(Error::Unsupported("the thread of that name is another user's"));
    }
    let prepared = (|| {
        // First of all: what comes next may take the rights it had.
        attach(space, &before.contexts)?;
        if before.view.is_some() {
            space.set_view(before.view)?;
        }
        recover::all(space)?;
        claim.update(|state| begin(state, started_for_it))
    })();
    let lost = (before.started && !before.finished).then(|| Lost {
        cause: if before.boot == persist::boot() { Cause::Killed } else { Cause::PowerCut },
        generation: before.generation,
        mark: before.mark,
    });
    let prepared = prepared.and_then(|()| lost.as_ref().map_or(Ok(()), resume));
    if let Err(error) = prepared {
        claim.give_up();
        return Err(error);
    }
    let generation = claim.state().generation;
    let forks = children::forks();
    let claim = Mutex::new(Some(claim));
    Ok(Thread { claim, name: name.into(), lost, generation, forks })
}

/// Attaches this process to contexts, less those it is attached to, and acts in the first.
/// What that takes is what it always takes (rule A1): that a thread had it is no right.
fn attach(space: &Space, contexts: &[ObjectId]) -> Result<()> {
    let Some(&first) = contexts.first() else { return Ok(()) };
    let there = space.attached()?;
    for &id in contexts.iter().filter(|id| !there.all.contains(id)) {
        space.attach(id)?;
    }
    match there.active == first {
        true => Ok(()),
        false => space.switch(first),
    }
}

fn begin(state: &mut State, started_for_it: bool) {
    if state.finished {
        state.mark = 0;
    }
    if !started_for_it {
        // It is what this process is that will be started again.
        *state = State { registered: state.registered, ..described(state) };
    }
    state.resumable = true;
    state.afresh = false;
    note_start(state);
}

/// Notes that a run begins.
fn note_start(state: &mut State) {
    state.started = true;
    state.finished = false;
    state.generation += 1;
    state.boot = persist::boot();
    state.started_at = now();
}

/// This process, in the place of who was there before.
fn described(before: &State) -> State {
    let fresh = State::of_this_process().unwrap_or_default();
    match fresh.program.is_absolute() {
        true => State {
            program: fresh.program,
            directory: fresh.directory,
            args: fresh.args,
            env: fresh.env,
            uid: fresh.uid,
            ..before.clone()
        },
        false => before.clone(),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

impl State {
    /// A thread that this process would be: resumable, and not started yet.
    pub fn of_this_process() -> Result<Self> {
        let failed =
            |error| Error::Io { doing: "find out what this process is", path: None, error };
        let kept = |(name, _): &(OsString, OsString)| is_kept(name);
        Ok(Self {
            program: std::env::current_exe().map_err(failed)?,
            directory: std::env::current_dir().map_err(failed)?,
            args: std::env::args_os().skip(1).collect(),
            env: std::env::vars_os().filter(kept).collect(),
            uid: own_uid(),
            resumable: true,
            registered: now(),
            ..Self::default()
        })
    }

    /// Notes that a run begins, of a program that does not do so itself.
    pub fn note_start(&mut self) {
        note_start(self);
    }

    /// Whether it last ran since the machine was started.
    pub fn ran_in_this_boot(&self) -> bool {
        self.boot == persist::boot()
    }
}

/// The claim to a thread: the one that was handed down, or one that is taken.
/// The second is whether this process was started for it.
fn claim_of(pool: &dyn Backend, name: &str) -> Result<(Claim, bool)> {
    let path = find::path_of(name)?;
    loop {
        let id = match pool.lookup(&path) {
            Ok(Binding::Object(id)) => id,
            Ok(Binding::Directory) => {
                return Err(Error::Unsupported("that is a directory of names, no thread"));
            }
            Err(Error::NoName(_)) => match find::make(pool, name, State::of_this_process()?) {
                Ok(claim) => return Ok((claim, false)),
                // Somebody else was faster.
                Err(Error::NameTaken(_)) => continue,
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if let Some(claim) = handed_down(pool, id, name)? {
            return Ok((claim, true));
        }
        let claim = Claim::take(pool, id)?;
        let busy = "another process is this thread; 'twz threads' shows what runs";
        return claim.map(|claim| (claim, false)).ok_or(Error::Busy { what: busy });
    }
}

fn handed_down(pool: &dyn Backend, id: ObjectId, name: &str) -> Result<Option<Claim>> {
    if std::env::var_os(NAME_VARIABLE).is_none_or(|named| named != name) {
        return Ok(None);
    }
    let number = std::env::var(CLAIM_VARIABLE).ok().and_then(|text| text.parse().ok());
    let Some(number) = number else { return Ok(None) };
    let same = File::from(pool.open_data(id, claim::READ_WRITE)?);
    match inherited::take(number, &same) {
        Some(file) => {
            let place = claim::Place { id, pool: pool.info()?.pool_id };
            Claim::take_file(file, place)
        }
        None => Ok(None),
    }
}

impl Thread {
    fn claim(&self) -> Result<MutexGuard<'_, Option<Claim>>> {
        if self.forks != children::forks() {
            return Err(Error::Busy { what: "the thread is this process's parent" });
        }
        Ok(self.claim.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn update(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        match &mut *self.claim()? {
            Some(claim) => claim.update(change),
            None => Err(Error::Busy { what: "the thread is finished" }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which run this is, counted from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What was lost, if this run goes on from another one.
    pub fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    /// What [`Self::set_mark`] left, in this run or an earlier one; at first 0.
    pub fn mark(&self) -> u64 {
        let claim = self.claim.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        claim.as_ref().map_or(0, |claim| claim.state().mark)
    }

    /// Leaves a number for the next run, durably: where to go on, if that fits in
    /// one. What does not belongs in an object.
    pub fn set_mark(&self, mark: u64) -> Result<()> {
        self.update(|state| state.mark = mark)
    }

    /// Switches the space to a view object, or with `None` to one of its own, and
    /// has it attached again when the thread is resumed.
    pub fn set_view(&self, space: &Space, view: Option<ObjectId>) -> Result<()> {
        space.set_view(view)?;
        self.update(|state| state.view = view)
    }

    /// Keeps what this process is attached to, and which context it acts in: when the thread
    /// is resumed it is attached to the same again, before anything else, and acts there.
    /// One that acts in the default context is resumed in that one, attached to nothing.
    ///
    /// A context that takes a proof (rule A1) is not attached by itself: the program
    /// attaches to it before it registers, or is refused.
    pub fn keep_contexts(&self, space: &Space) -> Result<()> {
        let there = space.attached()?;
        let others = there.all.iter().filter(|id| **id != there.active && !id.is_null());
        let kept = match there.active.is_null() {
            true => Vec::new(),
            false => std::iter::once(there.active).chain(others.copied()).collect(),
        };
        self.update(|state| state.contexts = kept)
    }

    /// Says that the thread is done: it is not started again. One that registers
    /// under its name later begins anew.
    pub fn finish(self) -> Result<()> {
        self.end()
    }

    pub(crate) fn end(&self) -> Result<()> {
        self.update(|state| {
            state.finished = true;
            state.started = false;
            state.failures = 0;
            state.view = None;
            state.contexts.clear();
        })?;
        if let Some(claim) = self.claim()?.take() {
            claim.give_up();
        }
        Ok(())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let claim = self.claim.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        // The process goes on, and nobody else may be the thread meanwhile.
        if let Some(claim) = claim.take() {
            claim.keep_for_good();
        }
    }
}
