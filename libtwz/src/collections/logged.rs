// SPDX-License-Identifier: MIT OR Apache-2.0
//! A container as a transaction changes it: everything goes through the
//! transaction, and is seen by this thread before the commit and by all others
//! with it.
//!
//! The container's `state` says so meanwhile: 5 in its low bits, so that this
//! thread's own reads look at what is to be written first; all others read on.
//! The commit makes that 7 while it stores, and readers wait; then the count
//! goes up ([`twz_abi::log::Kind::Guard`]).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    Persist, Writer,
    error::{Error, Result},
    raw::value::{take_apart, unit_of},
    space::Core,
    tx::{
        SessionCell,
        commit::is_dead,
        lock::Patience,
        mask_of,
        range::Range,
        session::{Mark, Session},
        session_if_active, session_of,
        shadow::key_of,
    },
};

/// In the low bits of a state: a transaction is going to change the container.
pub const IN_TRANSACTION: u64 = 5;
/// And is doing so.
pub const MOVING: u64 = twz_abi::log::GUARD_MOVING;

/// How long a change outside of transactions waits for the object that the
/// contents are in.
const PATIENCE: Patience = Patience::Most(std::time::Duration::from_secs(1));

/// A container's objects as members of a transaction.
#[derive(Clone)]
pub struct Logged<'a> {
    core: &'a Core,
    session: SessionCell,
    /// Their numbers in it: that of the header, and that of the contents.
    own: u32,
    home: u32,
}

/// What a change that does not come to its end undoes.
enum Scope {
    /// The transaction is the change's own.
    Alone,
    /// It is a part of one.
    Within(Option<Mark>),
}

/// The part of a [`super::header::Change`] that is its transaction.
pub struct Change<'a> {
    pub logged: Logged<'a>,
    scope: Scope,
}

impl<'a> Logged<'a> {
    /// For a reader: the transaction of this thread, if it has the container.
    #[cold]
    pub fn reading(core: &'a Core, own: u32, home: u32, state: &AtomicU64) -> Option<Self> {
        let session = session_if_active(core)?;
        let mut open = session.try_borrow_mut().ok()?;
        let own = open.number_of(core, own)?;
        let offset = offset_in(core, open.object(own).ok()?.slot, state);
        let ours = open.shadow.find(key_of(own, offset)).is_some_and(|word| word.guard);
        let home = open.number_of(core, home)?;
        drop(open);
        ours.then_some(Self { core, session, own, home })
    }

    /// A word of the contents, and the bytes of it from `offset` on.
    pub fn unit(&self, offset: u64, size: u64) -> Result<u64> {
        let word = self.session.borrow_mut().read(self.core, self.home, offset)?;
        Ok(word >> (8 * (offset & 7)) & (!0 >> (64 - 8 * size)))
    }

    /// A word of the header.
    pub fn word(&self, word: &AtomicU64) -> u64 {
        let mut session = self.session.borrow_mut();
        let Ok(slot) = session.object(self.own).map(|object| object.slot) else { return 0 };
        session.read(self.core, self.own, offset_in(self.core, slot, word)).unwrap_or_default()
    }
}

/// Where a word of an object lies in its slot.
fn offset_in(core: &Core, slot: u32, word: &AtomicU64) -> u64 {
    ((&raw const *word) as usize - core.arena().address(slot)) as u64
}

impl<'a> Change<'a> {
    /// Begins a change as a part of a transaction, or as one of its own if that
    /// is to survive a power cut; `None` if it is neither.
    #[inline]
    pub fn begin<O>(
        core: &'a Core,
        writer: &Writer<'_, O>,
        slots: [u32; 2],
        state: &AtomicU64,
    ) -> Result<Option<Self>> {
        let unsettled = state.load(Ordering::Relaxed) & 7 >= IN_TRANSACTION;
        if writer.session().is_none() && !core.durable() && !unsettled {
            return Ok(None);
        }
        Self::begin_logged(core, writer, slots, state)
    }

    #[cold]
    #[inline(never)]
    fn begin_logged<O>(
        core: &'a Core,
        writer: &Writer<'_, O>,
        [own, home]: [u32; 2],
        state: &AtomicU64,
    ) -> Result<Option<Self>> {
        let session = match writer.session() {
            Some(session) => session.clone(),
            None => session_of(writer.object().space())?,
        };
        let mut open = session.borrow_mut();
        let scope = match open.active {
            true if writer.session().is_none() && open.number_of(core, own).is_none() => {
                return Err(Error::Busy {
                    what: "a transaction is open, and this writer is none of its; take one from \
                           the transaction",
                });
            }
            true => Scope::Within(Some(open.mark())),
            false => {
                if !core.durable() {
                    // Left by a transaction that came to nothing.
                    let count = state.load(Ordering::Relaxed) & !7;
                    state.store(count, Ordering::Release);
                    return Ok(None);
                }
                open.begin(core)?;
                Scope::Alone
            }
        };
        drop(open);
        // From here on dropping undoes it.
        let logged = Logged { core, session, own: 0, home: 0 };
        let mut change = Self { logged, scope };
        let mut open = change.logged.session.borrow_mut();
        let own = open.join(core, own, false, PATIENCE)?;
        let home = open.join(core, home, true, PATIENCE)?;
        open.take_part(core, own)?;
        let offset = offset_in(core, open.object(own)?.slot, state);
        let now = state.load(Ordering::Acquire);
        state.store(now & !7 | IN_TRANSACTION, Ordering::Release);
        let next = ((now >> 3) + 1) << 3;
        open.shadow.write(key_of(own, offset), next, 0xff, true);
        drop(open);
        (change.logged.own, change.logged.home) = (own, home);
        Ok(Some(change))
    }

    /// Takes a block.
    pub fn alloc(&self, len: u64, align: u64) -> Result<u64> {
        let mut session = self.logged.session.borrow_mut();
        let block = self.logged.core.heap_alloc_in(&mut session, self.logged.home, len, align)?;
        session.note_fresh(Range { object: self.logged.home, offset: block, len });
        Ok(block)
    }

    /// Gives a block back. One that is none was never ours.
    pub fn free(&self, block: u64) {
        let mut session = self.logged.session.borrow_mut();
        let _ = self.logged.core.heap_free_in(&mut session, self.logged.home, block);
    }

    /// Whether a place is in the block that was taken last, which nobody sees yet.
    #[inline]
    pub fn is_new(&self, offset: u64) -> bool {
        let session = self.logged.session.borrow();
        session.fresh.last().is_some_and(|block| {
            block.object == self.logged.home
                && (block.offset..block.offset + block.len).contains(&offset)
        })
    }

    /// Writes a value to the contents.
    pub fn write<T: Persist>(&self, offset: u64, value: &T) -> Result<()> {
        let mut session = self.logged.session.borrow_mut();
        take_apart(value, |at, bits| self.put(&mut session, offset + at, unit_of::<T>(), bits))
    }

    /// Writes one unit.
    pub fn write_unit(&self, offset: u64, size: u64, value: u64) -> Result<()> {
        self.put(&mut self.logged.session.borrow_mut(), offset, size, value)
    }

    fn put(&self, session: &mut Session, offset: u64, size: u64, value: u64) -> Result<()> {
        let (core, shifted) = (self.logged.core, value << (8 * (offset & 7)));
        session.write(core, self.logged.home, offset, shifted, mask_of(offset, size))
    }

    /// Writes a word of the header.
    pub fn set_word(&self, word: &AtomicU64, value: u64) -> Result<()> {
        let mut session = self.logged.session.borrow_mut();
        let slot = session.object(self.logged.own)?.slot;
        let offset = offset_in(self.logged.core, slot, word);
        session.write(self.logged.core, self.logged.own, offset, value, 0xff)
    }

    /// Ends the change well.
    pub fn commit(&mut self) -> Result<()> {
        let core = self.logged.core;
        let mut session = self.logged.session.borrow_mut();
        match &mut self.scope {
            Scope::Alone => {
                session.commit(core)?;
                // What has committed stays so.
                let _ = core.give_back(&mut session);
                session.end(core);
            }
            Scope::Within(mark) => {
                if let Some(mark) = mark.take() {
                    session.keep(mark);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if is_dead() {
            return;
        }
        let Ok(mut session) = self.logged.session.try_borrow_mut() else { return };
        let core = self.logged.core;
        match &mut self.scope {
            Scope::Alone => {
                if session.active && session.abort(core).is_ok() {
                    session.end(core);
                }
            }
            Scope::Within(mark) => {
                if let Some(mark) = mark.take() {
                    // The whole transaction is undone if this cannot be.
                    let _ = session.go_back(core, mark);
                }
            }
        }
    }
}

/// For a reader who has met a change that does not come to its end: finishes or
/// undoes it if whoever began it is dead.
#[cold]
pub fn rescue(core: &Core, slot: u32) -> Result<()> {
    let owner = match core.lock_words(slot)? {
        [owner, ..] => owner.load(Ordering::Acquire),
        [] => 0,
    };
    match owner != 0 && core.is_alive(twz_abi::log::Owner(owner))? {
        true => Ok(()),
        false => core.settle(slot),
    }
}
