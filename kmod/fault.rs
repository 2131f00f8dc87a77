// SPDX-License-Identifier: GPL-2.0
//! The fault: what the processor asks, answered from the view, the context and
//! the store.
//!
//! A fault first looks with the space's lock held for reading. Most find all
//! they need: the slot is bound, the page is there. What is missing ([`Need`])
//! is made with the lock held for writing, and then the same look is taken
//! again, so that there is one place where pages are mapped and it always runs
//! under the lock: a right that is withdrawn under the lock is withdrawn
//! before or after, never in between.
//!
//! Nothing here allocates memory or does I/O: what may have to grow was made
//! when the pool was loaded or the view opened.

use crate::{
    error::{Refusal, Result},
    guard::{on, Guard},
    secctx::ContextNo,
    space::{Space, State},
    stats::Event,
    sys::{self, Fault, Outcome},
    view::Place,
};
use kernel::error::code::*;
use twz_abi::{
    reason, record::FANOUT, view::SlotView, ObjectId, ObjectRecord, Rights, SLOT_PAGES,
};
use twz_core::{
    rights::{decide, Access, Decision, Refusal as Level},
    Identity, RecordNo, Translation,
};

/// Pages that are mapped by one fault, at most: those of an aligned group.
const AROUND: u64 = 16;

/// What a mapping shows.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// A view, through its slots.
    View { view: u32, context: ContextNo },
    /// The data of one object, with no more than these rights.
    Object { record: RecordNo, rights: Rights },
}

/// An access, taken apart.
struct Wish {
    shown: Shown,
    /// The slot, where a view is shown.
    slot: u32,
    /// The page of the object's slot.
    page: u64,
    /// Pages of the object that the mapping has before and after that one.
    before: u64,
    after: u64,
    access: Access,
    /// What the mapping itself allows.
    protection: Rights,
    huge: bool,
}

/// What a look came to.
enum Look {
    Map(Map),
    /// Nothing to map at 2 MiB: ask again for 4 KiB.
    Smaller,
    Needs(Need),
}

/// Pages to map: `pages` from slot page `first` on.
struct Map {
    rights: Rights,
    first: u64,
    count: usize,
    pages: [Translation; AROUND as usize],
    /// Holes may be mapped, as zeros: it is known that they may be.
    zeros: bool,
}

/// What has to be done before a page can be mapped.
enum Need {
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

/// Answers a fault. A refusal comes with why.
pub(crate) fn fault(space: &Space, shown: Shown, fault: &mut Fault<'_>, huge: bool) -> Result<Outcome> {
    space.counters.count(Event::Fault);
    if let Shown::View { .. } = shown {
        if fault.page() < SLOT_PAGES {
            return control(space, fault, huge);
        }
    }
    let Some(wish) = Wish::new(shown, fault, huge) else { return Ok(Outcome::Smaller) };
    {
        let state = space.state.read();
        state.usable()?;
        match state.look(&wish)? {
            Look::Map(map) if on(Guard::CheckLock) => {
                return Ok(state.map(space, &wish, &map, fault));
            }
            Look::Map(map) => {
                drop(state);
                sys::may_go_on()?;
                return Ok(space.state.read().map(space, &wish, &map, fault));
            }
            Look::Smaller => return Ok(Outcome::Smaller),
            Look::Needs(_) => {}
        }
    }
    space.counters.count(Event::Slow);
    let mut state = space.state.write();
    state.usable()?;
    // An entry, a binding, an id, zeros, pages: each is needed once. More than
    // that means that the view changes as fast as we look; the access is made
    // again, and asks again.
    for _ in 0..8 {
        match state.look(&wish)? {
            Look::Map(map) => return Ok(state.map(space, &wish, &map, fault)),
            Look::Smaller => return Ok(Outcome::Smaller),
            Look::Needs(need) => state.provide(space, &wish, need)?,
        }
    }
    Ok(Outcome::Again)
}

/// Lets go of the page at `page` of a mapping with this protection, if the access
/// would be granted now: then it is made again, and asked about.
pub(crate) fn let_go(
    space: &Space,
    shown: Shown,
    page: u64,
    access: Access,
    protection: Rights,
) -> Result {
    let (slot, page) = ((page / SLOT_PAGES) as u32, page % SLOT_PAGES);
    let wish = Wish { shown, slot, page, before: 0, after: 1, access, protection, huge: false };
    space.change(|state| {
        for _ in 0..8 {
            match state.granted(&wish)? {
                Ok((r, ..)) => {
                    state.zap(space, r, page..page + 1);
                    return Ok(());
                }
                Err(need) => state.provide(space, &wish, need)?,
            }
        }
        Err(EAGAIN.into())
    })
}

/// The control page, which is all that slot 0 has.
fn control(space: &Space, fault: &mut Fault<'_>, huge: bool) -> Result<Outcome> {
    if huge {
        return Ok(Outcome::Smaller);
    }
    if fault.page() != 1 || fault.access() != Access::Read {
        return Err(Refusal::new(EFAULT, reason::NO_VIEW));
    }
    Ok(fault.insert(1, space.control.frame(), Rights::READ))
}

impl Wish {
    /// `None` where 2 MiB cannot be mapped.
    fn new(shown: Shown, fault: &Fault<'_>, huge: bool) -> Option<Self> {
        let at = if huge { fault.huge_page()? } else { fault.page() };
        let window = fault.window();
        let (slot, page, slot_start) = match shown {
            Shown::View { .. } => {
                ((at / SLOT_PAGES) as u32, at % SLOT_PAGES, at / SLOT_PAGES * SLOT_PAGES)
            }
            Shown::Object { .. } => (0, at + 1, 0),
        };
        if huge && page % FANOUT != 0 {
            return None;
        }
        Some(Self {
            shown,
            slot,
            page,
            before: at - window.start.max(slot_start).min(at),
            after: window.end - at,
            access: fault.access(),
            protection: fault.protection(),
            huge,
        })
    }

    /// Where the mapping has page `page` of the object.
    fn place_of(&self, page: u64) -> u64 {
        match self.shown {
            Shown::View { .. } => self.slot as u64 * SLOT_PAGES + page,
            Shown::Object { .. } => page.saturating_sub(1),
        }
    }
}

impl State {
    /// What an access would be granted, on which object.
    #[allow(clippy::type_complexity)]
    fn granted(
        &self,
        wish: &Wish,
    ) -> Result<core::result::Result<(RecordNo, ObjectRecord, Rights), Need>> {
        let (r, record, protection, context) = match wish.shown {
            Shown::View { view, context } => {
                let place = Place { view, slot: wish.slot };
                match self.shown_object(place)? {
                    Ok((r, record, protection)) => (r, record, protection, context),
                    Err(need) => return Ok(Err(need)),
                }
            }
            Shown::Object { record: r, rights } => {
                (r, self.store.stat(r)?, rights, ContextNo::DEFAULT)
            }
        };
        if !self.live.get(r).verified {
            return Ok(Err(Need::Verify(r)));
        }
        let rights = self.decide(wish, &record, protection, context)?;
        Ok(Ok((r, record, rights)))
    }

    /// Looks at what an access would find, and changes nothing.
    fn look(&self, wish: &Wish) -> Result<Look> {
        let (r, record, rights) = match self.granted(wish)? {
            Ok(found) => found,
            Err(need) => return Ok(Look::Needs(need)),
        };
        let inside = self.store.pages_from(&record, wish.page)?;
        if wish.huge && inside < FANOUT {
            return Ok(Look::Smaller);
        }
        if wish.page == 0 && !on(Guard::NullPage) {
            let pages = [Translation::Hole; AROUND as usize];
            return Ok(Look::Map(Map { rights, first: 0, count: 1, pages, zeros: true }));
        }
        if inside == 0 {
            return Err(Refusal::new(EFAULT, reason::OUTSIDE).of(record.id));
        }
        match wish.huge {
            true => self.look_huge(wish, r, &record, rights),
            false => self.look_small(wish, r, &record, rights, inside),
        }
    }

    /// What the view shows in a slot, if the slot is bound to it already.
    #[allow(clippy::type_complexity)]
    fn shown_object(
        &self,
        place: Place,
    ) -> Result<core::result::Result<(RecordNo, ObjectRecord, Rights), Need>> {
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
                let record = self.store.stat(r)?;
                match record.id == id {
                    true => Ok(Ok((r, record, protection))),
                    false => Ok(Err(Need::Bind(Some(id)))),
                }
            }
        }
    }

    /// Takes the intersection of the two levels.
    fn decide(
        &self,
        wish: &Wish,
        record: &ObjectRecord,
        protection: Rights,
        context: ContextNo,
    ) -> Result<Rights> {
        let granted = self.contexts.rights(context, record);
        let wanted = wish.access.right();
        let refuse = |errno, reason, granted| {
            Err(Refusal { errno, reason, id: record.id, wanted, granted })
        };
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
        wish: &Wish,
        r: RecordNo,
        record: &ObjectRecord,
        rights: Rights,
        inside: u64,
    ) -> Result<Look> {
        let page = wish.page;
        // Only the data goes on without a gap below the page.
        let in_data = page + inside < SLOT_PAGES;
        let back = if in_data { (page % AROUND).min(wish.before).min(page - 1) } else { 0 };
        let forth = (AROUND - page % AROUND).min(wish.after).min(inside);
        let mut map = Map {
            rights,
            first: page - back,
            count: 0,
            pages: [Translation::Hole; AROUND as usize],
            zeros: self.live.get(r).zeros && wish.access == Access::Read,
        };
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
            Translation::Page { .. } => Ok(Look::Map(map)),
            Translation::Hole if tail => touch(1, false),
            Translation::Hole if write => {
                let goes_on = at == 0 && page > 1 && self.is_there(record, page - 1)?;
                touch(map.ahead(at, goes_on), false)
            }
            Translation::Hole if map.zeros => Ok(Look::Map(map)),
            Translation::Hole => Ok(Look::Needs(Need::Zeros(r))),
        }
    }

    fn is_there(&self, record: &ObjectRecord, page: u64) -> Result<bool> {
        Ok(self.store.translate_in(record, page)? != Translation::Hole)
    }

    /// A huge run.
    fn look_huge(
        &self,
        wish: &Wish,
        r: RecordNo,
        record: &ObjectRecord,
        rights: Rights,
    ) -> Result<Look> {
        // The kernel maps 2 MiB with the execution right of the whole mapping.
        let executes = wish.protection.contains(Rights::EXEC);
        if executes && !rights.contains(Rights::EXEC) && on(Guard::PmdExec) {
            return Ok(Look::Smaller);
        }
        let write = wish.access == Access::Write;
        let mut found = [Translation::Hole];
        self.store.translate_many(record, wish.page, &mut found)?;
        let [found] = found;
        Ok(match found {
            Translation::Page { huge: true, shared, .. } if !(write && shared) => {
                let mut pages = [Translation::Hole; AROUND as usize];
                if let Some(first) = pages.first_mut() {
                    *first = found;
                }
                Look::Map(Map { rights, first: wish.page, count: 1, pages, zeros: false })
            }
            Translation::Hole if write => Look::Needs(Need::Run { record: r, page: wish.page }),
            _ => Look::Smaller,
        })
    }

    /// Maps what was found.
    fn map(&self, space: &Space, wish: &Wish, map: &Map, fault: &mut Fault<'_>) -> Outcome {
        let counters = &space.counters;
        if wish.huge {
            let Some(&Translation::Page { pool_page, shared, .. }) = map.pages.first() else {
                return Outcome::Smaller;
            };
            counters.count(Event::Huge);
            let write = map.rights.contains(Rights::WRITE) && !shared;
            return fault.insert_huge(self.store.media().frame(pool_page), write);
        }
        if fault.is_upgrade() {
            // The page is mapped without the right; it is not mapped over.
            counters.count(Event::Upgrade);
            fault.drop_page();
        }
        counters.count(Event::Small);
        let read_only = map.rights.without(Rights::WRITE);
        let mut outcome = Outcome::Done;
        for (found, page) in map.pages.iter().take(map.count).zip(map.first..) {
            let (frame, rights) = match *found {
                Translation::Page { pool_page, shared, .. } => {
                    let rights = if shared { read_only } else { map.rights };
                    (self.store.media().frame(pool_page), rights)
                }
                Translation::Hole if map.zeros && page != SLOT_PAGES - 1 => {
                    counters.count(Event::Zero);
                    (space.zeros.frame(), Rights::READ)
                }
                Translation::Hole => continue,
            };
            counters.count(Event::SmallPages);
            let inserted = fault.insert(wish.place_of(page), frame, rights);
            if page == wish.page {
                outcome = inserted;
            }
        }
        outcome
    }

    /// Does what a fault needs before it can map.
    fn provide(&mut self, space: &Space, wish: &Wish, need: Need) -> Result {
        let counters = &space.counters;
        match need {
            Need::Entry => {
                let Shown::View { view, .. } = wish.shown else { return Ok(()) };
                if !self.views.find_page(&self.store, Place { view, slot: wish.slot })? {
                    return Err(Refusal::new(EFAULT, reason::NO_VIEW));
                }
            }
            Need::Bind(id) => {
                let Shown::View { view, .. } = wish.shown else { return Ok(()) };
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
        let r = self.store.find(id).or_else(|error| {
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
