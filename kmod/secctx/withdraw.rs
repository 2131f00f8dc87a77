// SPDX-License-Identifier: GPL-2.0
//! Taking back: what a context no longer allows is taken out of every page table
//! before the lock is let go under which that came to be (rules R3, R4, R6).
//!
//! A context allows less because it was loaded anew (`load.rs`), because an epoch was
//! raised (REVOKE), or because a grant has ended by the clock ([`Space::tick`]).

use super::{allowed, Context, ContextNo, Table};
use crate::{
    command::zero,
    error::{Refusal, Result},
    guard::{on, Guard},
    session::Session,
    space::{Space, State},
    stats::Event,
    sys,
};
use kernel::prelude::*;
use twz_abi::{decision::what, ioctl::Revoke, reason, security::RevokeClaim, ObjectId, SLOT_PAGES};
use twz_core::{rights::MAPPABLE, RecordNo};

/// Why contexts allow less.
#[derive(Clone, Copy)]
pub(super) enum Cause {
    Load,
    Revoke,
    Time,
}

/// Tables, and whose they are.
type Tables = KVec<(ContextNo, Table)>;

impl Session {
    /// Raises an object's epoch.
    pub(crate) fn revoke(&self, revoke: &mut Revoke) -> Result {
        zero(revoke.reserved)?;
        let Revoke { object, epoch, .. } = *revoke;
        self.space.look(|state| state.find(object))?;
        let claim = RevokeClaim { object, epoch, reserved: 0 };
        if !self.space.revokes(&claim, &revoke.signature) {
            return Err(Refusal::new(EACCES, reason::BAD_STATEMENT).of(object));
        }
        let old = self.space.change(|state| state.revoke(self.space, object, epoch))?;
        self.space.counters.count(Event::Revocation);
        self.space.decided(what::REVOKED, object, epoch);
        // Freed here, with the lock let go.
        drop(old);
        sys::tick_soon();
        Ok(())
    }
}

impl Space {
    /// What is to be done again and again while there is something that time changes.
    /// Returns whether there is.
    pub(crate) fn tick(&self) -> bool {
        let now = sys::now();
        let due = |context: &Context| context.built().next.is_some_and(|next| next <= now);
        let any = self.look(|state| Ok(state.contexts.iter().any(due)));
        if !matches!(any, Ok(false)) {
            let old = self.change(|state| {
                let tables = state.rebuilt(now, due, |id| state.epoch(id));
                match tables {
                    Ok(tables) => Ok(Some(state.replace(self, tables, Cause::Time))),
                    // Without memory for it, nothing is allowed until there is some.
                    Err(_) => {
                        let contexts = state.contexts.iter_mut().filter(|context| due(context));
                        contexts.for_each(|context| context.table.close(now));
                        state.zap_all();
                        Ok(None)
                    }
                }
            });
            if let Ok(Some(tables)) = &old {
                self.decided_by_time(tables.iter().map(|(no, _)| *no));
            }
            drop(old);
        }
        let waits = |context: &Context| context.built().next.is_some();
        let left = self.members.sweep();
        self.forget_idle();
        self.look(|state| Ok(state.contexts.iter().any(waits))).unwrap_or(false) || left
    }

    /// Forgets contexts that nobody holds any more, for whoever held them has detached or
    /// ended and nobody loads another, until no more are kept than are to be.
    fn forget_idle(&self) {
        while let Ok(true) = self.look(|state| Ok(state.contexts.too_many_idle())) {
            let forgotten = self.change(|state| {
                let crowded = state.contexts.too_many_idle();
                Ok(crowded.then(|| state.contexts.forget()).flatten())
            });
            // Freed here, with the lock let go.
            drop(forgotten);
        }
    }
}

impl State {
    /// Raises an epoch, durably first. Returns tables to be freed.
    fn revoke(&mut self, space: &Space, id: ObjectId, epoch: u64) -> Result<Tables> {
        let (r, _) = self.find(id)?;
        // What takes memory may fail, and comes before anything has changed.
        let epochs = |asked| if asked == id { Some(epoch) } else { self.epoch(asked) };
        let tables = self.rebuilt(sys::now(), |context| context.kept.hangs_on(id), epochs)?;
        self.store.raise_epoch(r, epoch)?;
        Ok(self.replace(space, tables, Cause::Revoke))
    }

    /// Tables of what contexts allow at a time, with these epochs.
    fn rebuilt(
        &self,
        now: u64,
        which: impl Fn(&Context) -> bool,
        mut epoch: impl FnMut(ObjectId) -> Option<u64>,
    ) -> Result<Tables> {
        let mut tables = KVec::new();
        for context in self.contexts.iter().filter(|context| which(context)) {
            let table = Table::build(&context.kept, now, &mut epoch)?;
            tables.push((context.no(), table), GFP_KERNEL)?;
        }
        Ok(tables)
    }

    /// Has these tables be what counts. Returns those that did, to be freed.
    fn replace(&mut self, space: &Space, mut tables: Tables, cause: Cause) -> Tables {
        for (no, table) in tables.iter_mut() {
            if let Some(context) = self.contexts.get_mut(*no) {
                core::mem::swap(&mut context.table, table);
            }
        }
        self.withdraw(space, &tables, cause);
        tables
    }

    /// Takes out of every page table what contexts allowed by these tables, and no
    /// longer do.
    pub(super) fn withdraw(&self, space: &Space, old: &[(ContextNo, Table)], cause: Cause) {
        let (guard, event) = match cause {
            Cause::Load => (Guard::LoadZap, None),
            Cause::Revoke => (Guard::RevokeZap, None),
            Cause::Time => (Guard::ExpiryZap, Some(Event::Expiry)),
        };
        if let Some(event) = event {
            space.counters.add(event, old.len() as u64);
        }
        if old.is_empty() || !on(guard) {
            return;
        }
        let shrank = |r: RecordNo| {
            // Of what cannot be read, nothing stays.
            let Ok(record) = self.store.stat(r) else { return true };
            old.iter().any(|(no, table)| {
                let before = allowed(&table.rules(), &record).and(MAPPABLE);
                !self.contexts.rights(*no, &record).contains(before)
            })
        };
        for view in self.views.iter() {
            for (slot, _) in view.bindings().filter(|(_, r)| shrank(*r)) {
                space.counters.count(Event::Zap);
                view.zap(slot, 0..SLOT_PAGES);
            }
        }
        for inode in self.inodes.iter().filter(|inode| shrank(inode.record)) {
            space.counters.count(Event::Zap);
            inode.mapping().zap_all();
        }
    }

    /// Takes everything out of every page table.
    pub(crate) fn zap_all(&self) {
        self.views.iter().for_each(|view| view.mapping.zap_all());
        self.inodes.iter().for_each(|inode| inode.mapping().zap_all());
    }
}
