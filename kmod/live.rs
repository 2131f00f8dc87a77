// SPDX-License-Identifier: GPL-2.0
//! Objects in use: what the module keeps in memory about each record of the
//! store ([`Live`]), made once, when the pool is loaded.
//!
//! A record is held by every slot that is bound to it, every descriptor and
//! every command that sleeps on it. An object that was deleted is given back to
//! the store when nobody holds it any more; those wait in a list that goes
//! through the table itself, so that letting go allocates nothing and can
//! happen in a fault. All of it is guarded by the space's lock.

use crate::{
    error::Result,
    guard::{on, Guard},
    view::Link,
};
use kernel::prelude::*;
use twz_core::RecordNo;

/// What is known of a record.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// How many hold it.
    pub holders: u32,
    /// The first slot that is bound to it; the others follow in the views.
    pub bound: Link,
    /// Index + 1 of the view that this object is, or 0.
    pub view: u32,
    /// Index + 1 of its inode, or 0.
    pub inode: u32,
    /// The next in the list of those to give back: record + 1, or 0.
    next: u32,
    /// Its id was verified.
    pub verified: bool,
    /// Somebody may have pages of zeros mapped for its holes.
    pub zeros: bool,
    /// It is immutable, and was brought in but not found whole yet.
    pub(crate) filling: bool,
    /// It was deleted.
    dying: bool,
}

impl Entry {
    const UNUSED: Self = Self {
        holders: 0,
        bound: Link::END,
        view: 0,
        inode: 0,
        next: 0,
        verified: false,
        zeros: false,
        filling: false,
        dying: false,
    };
}

/// The table, an entry for each record.
pub(crate) struct Live {
    entries: KVVec<Entry>,
    /// The first of those to give back: record + 1, or 0.
    give_back: u32,
    /// How many records are held.
    held: u64,
}

impl Live {
    pub(crate) fn new(records: u64) -> Result<Self> {
        let mut entries = KVVec::new();
        entries.resize(records as usize, Entry::UNUSED, GFP_KERNEL)?;
        Ok(Self { entries, give_back: 0, held: 0 })
    }

    pub(crate) fn get(&self, r: RecordNo) -> &Entry {
        // A record beyond the table is no object's: the store says so first.
        self.entries.get(r.0 as usize).unwrap_or(&Entry::UNUSED)
    }

    pub(crate) fn get_mut(&mut self, r: RecordNo) -> Option<&mut Entry> {
        self.entries.get_mut(r.0 as usize)
    }

    /// Those that are held, and by how many.
    pub(crate) fn iter_held(&self) -> impl Iterator<Item = (RecordNo, u32)> + '_ {
        let entries = self.entries.iter().zip(0..);
        entries.filter(|(entry, _)| entry.holders != 0).map(|(e, n)| (RecordNo(n), e.holders))
    }

    /// How many records are held.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Somebody more holds `r`.
    pub(crate) fn hold(&mut self, r: RecordNo) {
        if let Some(entry) = self.entries.get_mut(r.0 as usize) {
            entry.holders += 1;
            self.held += (entry.holders == 1) as u64;
        }
    }

    /// Somebody less holds `r`.
    pub(crate) fn release(&mut self, r: RecordNo) {
        if let Some(entry) = self.entries.get_mut(r.0 as usize) {
            entry.holders = entry.holders.saturating_sub(1);
            if entry.holders == 0 {
                self.held = self.held.saturating_sub(1);
                self.queue(r);
            }
        }
    }

    /// `r` was deleted: it goes when nobody holds it.
    pub(crate) fn kill(&mut self, r: RecordNo) {
        if let Some(entry) = self.entries.get_mut(r.0 as usize) {
            entry.dying = true;
            self.queue(r);
        }
    }

    /// A record that was deleted and is held by nobody: the caller gives it back
    /// to the store until that says it is done, then calls [`Live::gone`].
    pub(crate) fn to_give_back(&self) -> Option<RecordNo> {
        self.give_back.checked_sub(1).map(RecordNo)
    }

    /// What [`Live::to_give_back`] named was given back.
    pub(crate) fn gone(&mut self, r: RecordNo) {
        if let Some(entry) = self.entries.get_mut(r.0 as usize) {
            self.give_back = entry.next;
            *entry = Entry::UNUSED;
        }
    }

    fn queue(&mut self, r: RecordNo) {
        let head = self.give_back;
        if let Some(entry) = self.entries.get_mut(r.0 as usize) {
            if entry.dying && (entry.holders == 0 || !on(Guard::DeleteWait)) {
                entry.next = head;
                self.give_back = r.0 + 1;
            }
        }
    }
}
