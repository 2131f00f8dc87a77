// SPDX-License-Identifier: GPL-2.0
//! What an access would find: the view's entry, the object, what the two levels
//! grant, and the pages ([`State::look`]). Looking changes nothing; what is
//! missing is named ([`Need`]), and `provide.rs` sees to it.

use crate::{
    error::{Refusal, Result},
    fault::{Shown, Wish},
    guard::{on, Guard},
    provide::Need,
    secctx::ContextNo,
    space::State,
    view::Place,
};
use kernel::error::code::*;
use twz_abi::{reason, record::FANOUT, view::SlotView, ObjectRecord, Rights, SLOT_PAGES};
use twz_core::{
    rights::{decide, Access, Decision, Refusal as Level},
    RecordNo, Translation,
};
use zerocopy::FromZeros as _;

/// Pages that are mapped by one fault, at most: those of an aligned group.
pub(crate) const AROUND: u64 = 16;

/// What a look came to.
pub(crate) enum Look {
    /// What [`Found`] says.
    Map,
    /// Nothing to map at 2 MiB: ask again for 4 KiB.
    Smaller,
    Needs(Need),
}

/// Pages to map: `pages` from slot page `first` on.
pub(crate) struct Map {
    pub(crate) rights: Rights,
    pub(crate) first: u64,
    pub(crate) count: usize,
    pub(crate) pages: [Translation; AROUND as usize],
    /// Holes may be mapped, as zeros: it is known that they may be.
    pub(crate) zeros: bool,
}

/// What a look finds on its way. It stays in one place: the copies that a value
/// would be moved by cost more than the rest of a fault.
pub(crate) struct Found {
    pub(crate) record: ObjectRecord,
    /// The object and what the mapping shows it with, once that is known.
    pub(crate) shown: Option<(RecordNo, Rights)>,
    pub(crate) map: Map,
}

impl Found {
    pub(crate) fn nothing() -> Self {
        let pages = [Translation::Hole; AROUND as usize];
        let map = Map { rights: Rights::NONE, first: 0, count: 0, pages, zeros: false };
        Self { record: ObjectRecord::new_zeroed(), shown: None, map }
    }
}

/// Something, or what is missing for it.
type Unless<T> = core::result::Result<T, Need>;

impl State {
    /// What an access would be granted, on which object.
    pub(crate) fn granted(
        &self,
        wish: &Wish<'_>,
        found: &mut Found,
    ) -> Result<Unless<(RecordNo, Rights)>> {
        found.shown = None;
        let record = &mut found.record;
        let (r, protection) = match wish.shown {
            Shown::View { view } => {
                let place = Place { view, slot: wish.slot };
                match self.shown_object(place, record)? {
                    Ok(shown) => shown,
                    Err(need) => return Ok(Err(need)),
                }
            }
            Shown::Object { record: r, rights } => {
                self.fetch(r, record)?;
                (r, rights)
            }
        };
        if !self.live.get(r).verified {
            return Ok(Err(Need::Verify(r)));
        }
        found.shown = Some((r, protection));
        let rights = self.decide(wish, record, protection, wish.by.context(self))?;
        Ok(Ok((r, rights)))
    }

    /// The record of an object, which was summed up when it was verified.
    fn fetch(&self, r: RecordNo, into: &mut ObjectRecord) -> Result {
        match self.live.get(r).verified {
            true => self.store.stat_again(r, into)?,
            false => *into = self.store.stat(r)?,
        }
        Ok(())
    }

    /// Looks at what an access would find, and changes nothing.
    pub(crate) fn look(&self, wish: &Wish<'_>, found: &mut Found) -> Result<Look> {
        let (r, rights) = match self.granted(wish, found)? {
            Ok(granted) => granted,
            Err(need) => return Ok(Look::Needs(need)),
        };
        let Found { record, map, .. } = found;
        map.rights = rights;
        let inside = self.store.pages_from(record, wish.page)?;
        if wish.huge && inside < FANOUT {
            return Ok(Look::Smaller);
        }
        if wish.page == 0 && !on(Guard::NullPage) {
            (map.first, map.count, map.zeros) = (0, 1, true);
            return Ok(Look::Map);
        }
        if inside == 0 {
            return Err(Refusal::new(EFAULT, reason::OUTSIDE).of(record.id));
        }
        match wish.huge {
            true => self.look_huge(wish, r, record, map),
            false => self.look_small(wish, r, record, inside, map),
        }
    }

    /// What the view shows in a slot, if the slot is bound to it already.
    fn shown_object(
        &self,
        place: Place,
        record: &mut ObjectRecord,
    ) -> Result<Unless<(RecordNo, Rights)>> {
        let Some(view) = self.views.get(place.view) else {
            return Err(Refusal::new(EFAULT, reason::NO_VIEW));
        };
        let Some(entry) = view.entry(self.store.media(), place.slot)? else {
            return Ok(Err(Need::Entry));
        };
        let bound = self.views.bound(place);
        let shown = match entry.check() {
            Ok(shown) => shown,
            Err(_) if bound.is_some() => return Ok(Err(Need::Bind(None))),
            Err(_) => return Err(Refusal::new(EFAULT, reason::BAD_VIEW)),
        };
        match (shown, bound) {
            (None, None) => Err(Refusal::new(EFAULT, reason::NO_VIEW)),
            (None, Some(_)) => Ok(Err(Need::Bind(None))),
            (Some(SlotView { id, .. }), None) => Ok(Err(Need::Bind(Some(id)))),
            (Some(SlotView { id, protection }), Some(r)) => {
                self.fetch(r, record)?;
                match record.id == id {
                    true => Ok(Ok((r, protection))),
                    false => Ok(Err(Need::Bind(Some(id)))),
                }
            }
        }
    }

    /// Takes the intersection of the two levels.
    pub(crate) fn decide(
        &self,
        wish: &Wish<'_>,
        record: &ObjectRecord,
        protection: Rights,
        context: ContextNo,
    ) -> Result<Rights> {
        let granted = self.contexts.rights(context, record);
        let wanted = wish.access.right();
        let refuse =
            |errno, reason, granted| Err(Refusal { errno, reason, id: record.id, wanted, granted });
        let allowed = match decide(wish.access, protection, granted) {
            Decision::Allow(rights) => rights,
            Decision::Refuse(Level::ContextDenies) => {
                return refuse(EACCES, reason::CONTEXT_DENIES, granted)
            }
            Decision::Refuse(_) => return refuse(EACCES, reason::VIEW_DENIES, protection),
        };
        if !wish.protection.contains(wanted) {
            return refuse(EACCES, reason::MAPPING_DENIES, wish.protection);
        }
        if self.read_only && wish.access == Access::Write {
            return refuse(EROFS, reason::READ_ONLY, granted.without(Rights::WRITE));
        }
        let allowed = match on(Guard::Wx) {
            true => allowed.and(wish.protection),
            false => protection.and(granted).and(wish.protection),
        };
        // What is mapped can be read on this processor, whatever its tables say.
        if !allowed.contains(Rights::READ) {
            let denies = match protection.contains(Rights::READ) {
                true => reason::CONTEXT_DENIES,
                false => reason::VIEW_DENIES,
            };
            return refuse(EACCES, denies, protection.and(granted));
        }
        Ok(if self.read_only { allowed.without(Rights::WRITE) } else { allowed })
    }

    /// Pages of 4 KiB: the one that was touched, and its group with it.
    fn look_small(
        &self,
        wish: &Wish<'_>,
        r: RecordNo,
        record: &ObjectRecord,
        inside: u64,
        map: &mut Map,
    ) -> Result<Look> {
        let page = wish.page;
        // Only the data goes on without a gap below the page.
        let in_data = page + inside < SLOT_PAGES;
        let back = if in_data { (page % AROUND).min(wish.before).min(page - 1) } else { 0 };
        let forth = (AROUND - page % AROUND).min(wish.after).min(inside);
        map.first = page - back;
        map.zeros = self.live.get(r).zeros && wish.access == Access::Read;
        // The group may lie across two nodes of the map: the page's own counts.
        loop {
            let end = (page + forth - map.first) as usize;
            let pages = map.pages.get_mut(..end).unwrap_or(&mut []);
            map.count = self.store.translate_many(record, map.first, pages)?;
            match map.first + map.count as u64 {
                next if next <= page && map.count != 0 => map.first = next,
                _ => break,
            }
        }
        let tail = page == SLOT_PAGES - 1;
        let at = (page - map.first) as usize;
        let write = wish.access == Access::Write;
        let touch = |count, copied| {
            Ok(Look::Needs(Need::Touch { record: r, page, count, write: write || copied, copied }))
        };
        match map.pages.get(at).copied().unwrap_or(Translation::Hole) {
            Translation::Page { shared: true, .. } if write => touch(1, true),
            Translation::Page { .. } => Ok(Look::Map),
            Translation::Hole if tail => touch(1, false),
            Translation::Hole if write => {
                let goes_on = at == 0 && page > 1 && self.is_there(record, page - 1)?;
                touch(map.ahead(at, goes_on), false)
            }
            Translation::Hole if map.zeros => Ok(Look::Map),
            Translation::Hole => Ok(Look::Needs(Need::Zeros(r))),
        }
    }

    fn is_there(&self, record: &ObjectRecord, page: u64) -> Result<bool> {
        Ok(self.store.translate_in(record, page)? != Translation::Hole)
    }

    /// A huge run.
    fn look_huge(
        &self,
        wish: &Wish<'_>,
        r: RecordNo,
        record: &ObjectRecord,
        map: &mut Map,
    ) -> Result<Look> {
        // The kernel maps 2 MiB with the execution right of the whole mapping.
        let executes = wish.protection.contains(Rights::EXEC);
        if executes && !map.rights.contains(Rights::EXEC) && on(Guard::PmdExec) {
            return Ok(Look::Smaller);
        }
        let write = wish.access == Access::Write;
        (map.first, map.count, map.zeros) = (wish.page, 1, false);
        let found = map.pages.get_mut(..1).unwrap_or(&mut []);
        self.store.translate_many(record, wish.page, found)?;
        Ok(match found.first().copied().unwrap_or(Translation::Hole) {
            Translation::Page { huge: true, shared, .. } if !(write && shared) => Look::Map,
            Translation::Hole if write => Look::Needs(Need::Run { record: r, page: wish.page }),
            _ => Look::Smaller,
        })
    }
}

impl Map {
    /// How many pages to make from `at` on: more, the longer the run of pages
    /// that are there before it, as long as only holes follow. A program that
    /// writes here and there gets a page at a time. `goes_on` says that the page
    /// before the first is there too.
    fn ahead(&self, at: usize, goes_on: bool) -> u64 {
        let hole = |found: &&Translation| **found == Translation::Hole;
        let (before, after) = self.pages.split_at(at.min(self.pages.len()));
        let run = match goes_on {
            true => self.pages.len(),
            false => before.iter().rev().take_while(|found| !hole(found)).count(),
        };
        let room = self.count.saturating_sub(at);
        let holes = after.iter().take(room).take_while(hole).count();
        (holes.min(run + 1).max(1)) as u64
    }
}
