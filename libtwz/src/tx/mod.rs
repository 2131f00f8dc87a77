// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transactions: changes of any number of objects that happen together, or not
//! at all, whatever dies meanwhile.
//!
//! ```
//! use twz::{EmbeddedPool, Field, InitOptions, Space};
//!
//! # fn main() -> twz::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("pool");
//! EmbeddedPool::init(&path, &InitOptions::default())?;
//! let space = Space::open(&path)?;
//! let (mine, yours) = (space.create(Field::new(100u64))?, space.create(Field::new(0u64))?);
//! space.transaction(|tx| {
//!     tx.set(mine.root(), tx.get(mine.root())? - 30)?;
//!     tx.set(yours.root(), tx.get(yours.root())? + 30)
//! })?;
//! assert_eq!((mine.root().get(), yours.root().get()), (70, 30));
//! # Ok(())
//! # }
//! ```
//!
//! An error from the closure, or a panic in it, aborts the transaction; there is
//! no other way out, so none is left half done. Each object that is touched is
//! locked until the end ([`lock`]). What is *written* ([`Tx::set`]) is kept
//! aside until the commit, and what is *recorded* ([`Tx::record`]) may be
//! stored to in place by any means, and is put back on an abort.
//!
//! Who comes to it when the owner is dead: [`recover`]. What is written when:
//! [`commit`]. What survives what: `DURABILITY.md`.

pub(crate) mod commit;
mod homes;
pub(crate) mod lock;
mod log;
mod manual;
mod owner;
mod pool;
mod primitives;
pub(crate) mod range;
mod record;
mod recover;
pub(crate) mod session;
pub(crate) mod shadow;
#[cfg(test)]
mod tests;
mod values;

use std::{cell::RefCell, rc::Rc, time::Duration};

use lock::Patience;
pub(crate) use log::Log;
pub(crate) use manual::{Manual, durability_from, durability_of};
pub(crate) use owner::{Identity, process_object};
pub use pool::Durability;
pub(crate) use pool::{Idle, Shared, how_durable, next_key, session_if_active, session_of};
use session::Session;

use crate::{
    Object, Writer,
    error::{Error, Result},
    object::Member,
    space::{Core, Space},
};

/// How long a transaction that has locks waits for another one.
const CIRCLE: Duration = Duration::from_millis(10);
/// How often it begins anew before it gives up.
const ROUNDS: u32 = 1000;

/// An open transaction. See [`Space::transaction`].
pub struct Tx<'s> {
    space: &'s Space,
    session: Shared,
}

/// What ends a transaction if nothing else did.
struct Open<'s> {
    core: &'s Core,
    session: &'s RefCell<Session>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // Borrowed only while a panic unwinds out of the library itself.
        if let Ok(mut session) = self.session.try_borrow_mut()
            && session.active
            && !commit::is_dead()
        {
            // What cannot be put back now, recovery will: the log stays open, and
            // the locks stay with it.
            if session.abort(self.core).is_ok() {
                session.end(self.core);
            }
        }
    }
}

impl Space {
    /// Does what the closure does as one change, or not at all. If it returns an
    /// error or panics, nothing has happened.
    ///
    /// It may be called more than once: where two transactions have locked what
    /// the other one wants, one of them begins anew. Inside another transaction
    /// of this thread it becomes a part of that one, and alone is undone if it
    /// fails.
    pub fn transaction<R>(&self, body: impl FnMut(&Tx<'_>) -> Result<R>) -> Result<R> {
        self.transaction_over(&[], body)
    }

    /// The same, with these objects locked from the start: then no other
    /// transaction that names its objects makes it begin anew.
    pub fn transaction_over<R>(
        &self,
        objects: &[&dyn Member],
        mut body: impl FnMut(&Tx<'_>) -> Result<R>,
    ) -> Result<R> {
        let session = session_of(self)?;
        let tx = Tx { space: self, session };
        if tx.session.borrow().active {
            return tx.nested(|tx| {
                tx.lock_all(objects)?;
                body(tx)
            });
        }
        let mut round = 0;
        loop {
            tx.session.borrow_mut().begin(self.core())?;
            let open = Open { core: self.core(), session: &tx.session };
            let done = tx.lock_all(objects).and_then(|()| body(&tx));
            let conflict = tx.session.borrow().conflict;
            match done.and_then(|value| tx.commit().map(|()| value)) {
                Err(_) if conflict && round < ROUNDS => {
                    drop(open);
                    round += 1;
                    let share = (owner::thread() as u64 * 7 + round as u64 * 13) % 16;
                    std::thread::sleep(Duration::from_micros(50 * share));
                }
                other => return other,
            }
        }
    }
}

impl Tx<'_> {
    fn core(&self) -> &Core {
        self.space.core()
    }

    /// The space.
    pub fn space(&self) -> &Space {
        self.space
    }

    fn commit(&self) -> Result<()> {
        let mut session = self.session.borrow_mut();
        session.commit(self.core())?;
        // What has committed stays so, even where a chunk is found corrupt.
        let _ = self.core().give_back(&mut session);
        session.end(self.core());
        Ok(())
    }

    fn lock_all(&self, objects: &[&dyn Member]) -> Result<()> {
        let mut sorted: Vec<&dyn Member> = objects.to_vec();
        sorted.sort_by_key(|object| object.id().as_u128());
        let mut session = self.session.borrow_mut();
        for object in sorted {
            // In one order, they can all be waited for.
            let first = session.joined.len() < objects.len();
            let patience = if first { Patience::Endless } else { Patience::Most(CIRCLE) };
            session.join(self.core(), object.slot(), true, patience)?;
        }
        Ok(())
    }

    /// Locks an object, for its containers to be changed as a part of this
    /// transaction. The lock is given back with the transaction.
    pub fn lock<'a, T>(&'a self, object: &'a Object<T>) -> Result<Writer<'a, T>> {
        let mut session = self.session.borrow_mut();
        self.join(&mut session, object.slot())?;
        drop(session);
        Ok(Writer::within(object, self.session.clone()))
    }

    fn join(&self, session: &mut Session, slot: u32) -> Result<u32> {
        let patience = match session.joined.is_empty() {
            true => Patience::Endless,
            false => Patience::Most(CIRCLE),
        };
        session.join(self.core(), slot, true, patience)
    }

    /// Does a part of the transaction that is undone alone if it fails.
    pub fn nested<R>(&self, body: impl FnOnce(&Self) -> Result<R>) -> Result<R> {
        let inner = Inner { tx: self, mark: Some(self.session.borrow_mut().mark()) };
        match body(self) {
            Ok(value) => {
                inner.keep();
                Ok(value)
            }
            Err(error) => {
                inner.go_back()?;
                Err(error)
            }
        }
    }
}

/// An inner transaction; a panic undoes it.
struct Inner<'t, 's> {
    tx: &'t Tx<'s>,
    mark: Option<session::Mark>,
}

impl Inner<'_, '_> {
    fn keep(mut self) {
        if let Some(mark) = self.mark.take() {
            self.tx.session.borrow_mut().keep(mark);
        }
    }

    fn go_back(mut self) -> Result<()> {
        match self.mark.take() {
            Some(mark) => self.tx.session.borrow_mut().go_back(self.tx.core(), mark),
            None => Ok(()),
        }
    }
}

impl Drop for Inner<'_, '_> {
    fn drop(&mut self) {
        if let (Some(mark), Ok(mut session)) = (self.mark.take(), self.tx.session.try_borrow_mut())
            && !commit::is_dead()
        {
            // The whole of it is undone if this cannot be.
            let _ = session.go_back(self.tx.core(), mark);
        }
    }
}

// Made only when they are needed: an error is not for nothing to make and drop.

#[cold]
pub(crate) fn no_slot() -> Error {
    Error::NoSlot
}

#[cold]
pub(crate) fn not_in_object() -> Error {
    Error::NotInObject
}

pub(crate) use values::mask_of;

pub(crate) type SessionCell = Rc<RefCell<Session>>;
