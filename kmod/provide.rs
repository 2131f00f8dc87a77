// SPDX-License-Identifier: GPL-2.0
//! What a fault finds missing ([`Need`]), and how it is made: with the space's
//! lock held for writing, without allocating memory.

use crate::{
    error::{Refusal, Result},
    fault::{Shown, Wish},
    guard::{on, Guard},
    look::AROUND,
    space::{Space, State},
    stats::Event,
    view::Place,
};
use kernel::error::code::*;
use twz_abi::{reason, record::FANOUT, ObjectId};
use twz_core::{Identity, RecordNo, Translation};

/// What has to be done before a page can be mapped.
pub(crate) enum Need {
    /// Find out where the view's entry is.
    Entry,
    /// Let go of what the slot showed, and bind it to this object, if any.
    Bind(Option<ObjectId>),
    /// Verify the id.
    Verify(RecordNo),
    /// Remember that pages of zeros are mapped.
    Zeros(RecordNo),
    /// Make pages be there, for writing unless said otherwise.
    Touch { record: RecordNo, page: u64, count: u64, write: bool, copied: bool },
    /// Make 2 MiB be there.
    Run { record: RecordNo, page: u64 },
}

impl State {
    /// Does what a fault needs before it can map.
    pub(crate) fn provide(&mut self, space: &Space, wish: &Wish<'_>, need: Need) -> Result {
        let counters = &space.counters;
        match need {
            Need::Entry => {
                let Shown::View { view } = wish.shown else { return Ok(()) };
                if !self.views.find_page(&self.store, Place { view, slot: wish.slot })? {
                    return Err(Refusal::new(EFAULT, reason::NO_VIEW));
                }
            }
            Need::Bind(id) => {
                let Shown::View { view } = wish.shown else { return Ok(()) };
                self.rebind(space, Place { view, slot: wish.slot }, id)?;
            }
            Need::Verify(r) => {
                let record = self.store.stat(r)?;
                Identity::from(&record).verify(record.id)?;
                if let Some(entry) = self.live.get_mut(r) {
                    entry.verified = true;
                }
                counters.count(Event::Verified);
            }
            Need::Zeros(r) => {
                if let Some(entry) = self.live.get_mut(r) {
                    entry.zeros = true;
                }
            }
            Need::Touch { record, page, count, write, copied } => {
                let mut out = [Translation::Hole; AROUND as usize];
                let out = out.get_mut(..count as usize).unwrap_or(&mut []);
                let there = self.store.touch_into(record, page, write, out)? as u64;
                counters.add(Event::Allocated, there);
                if copied {
                    counters.count(Event::Copied);
                }
                if (copied || self.live.get(record).zeros) && on(Guard::CowZap) {
                    self.zap(space, record, page..page + there);
                }
            }
            Need::Run { record, page } => {
                // Where no run is to be had, or something is there already, this
                // makes the first page only, and the next look sees that.
                self.store.touch_huge(record, page)?;
                counters.add(Event::Allocated, FANOUT);
                if self.live.get(record).zeros {
                    self.zap(space, record, page..page + FANOUT);
                }
            }
        }
        Ok(())
    }

    /// Binds a slot to what its entry says now.
    fn rebind(&mut self, space: &Space, place: Place, id: Option<ObjectId>) -> Result {
        if self.views.bound(place).is_some() {
            space.counters.count(Event::Rebound);
            self.drop_slot(space, place);
        }
        let Some(id) = id else { return Ok(()) };
        // Nothing is granted on it before its id is verified, if it is not yet.
        let found = self.store.find_unverified(id).map(|(r, _)| r);
        let r = found.or_else(|error| {
            // A view that was deleted can still be shown by itself.
            let view = self.views.get(place.view).map(|view| view.record);
            let own = |r: &RecordNo| self.store.stat(*r).is_ok_and(|record| record.id == id);
            view.filter(own).ok_or(error)
        })?;
        space.counters.count(Event::Bound);
        self.views.bind(&mut self.live, place, r);
        Ok(())
    }
}
