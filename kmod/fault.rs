// SPDX-License-Identifier: GPL-2.0
//! The fault: what the processor asks, answered from the view, the context and
//! the store.
//!
//! A fault first looks with the space's lock held for reading. Most find all
//! they need: the slot is bound, the page is there (`look.rs`). What is missing
//! is made (`provide.rs`) with the lock held for writing, and then the same look is taken
//! again, so that there is one place where pages are mapped and it always runs
//! under the lock: a right that is withdrawn under the lock is withdrawn
//! before or after, never in between.
//!
//! Who maps does so in turn with others at the same place (`turn.rs`): the lock keeps
//! faults apart from changes, turns keep them apart from each other.
//!
//! Nothing here allocates memory or does I/O: what may have to grow was made
//! when the pool was loaded or the view opened.

use crate::{
    error::{Refusal, Result},
    guard::{on, Guard},
    look::{Found, Look, Map},
    member::{Member, Members},
    secctx::ContextNo,
    space::{Space, State},
    stats::Event,
    switch,
    sys::{self, Fault, Mapped, Outcome},
};
use core::ops::Range;
use kernel::{error::code::*, sync::Arc};
use twz_abi::{reason, record::FANOUT, Rights, SLOT_PAGES};
use twz_core::{rights::Access, RecordNo, Translation};

/// What a mapping shows.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// A view, through its slots.
    View { view: u32 },
    /// The data of one object, with no more than these rights.
    Object { record: RecordNo, rights: Rights },
}

/// Who touches it, and so in which context. It is asked under the lock alone.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// The one that a session belongs to.
    Member(&'a Arc<Member>),
    /// The calling program, whoever it is.
    Caller(&'a Members),
}

impl By<'_> {
    #[inline]
    pub(crate) fn context(&self, state: &State) -> ContextNo {
        match self {
            Self::Member(member) => member.context(state),
            Self::Caller(members) => members.context(state),
        }
    }

    pub(crate) fn member(&self) -> Option<Arc<Member>> {
        match *self {
            Self::Member(member) => Some(member.clone()),
            Self::Caller(members) => members.current(),
        }
    }
}

/// Times that a fault looks, each time after it has provided something: an entry, a
/// binding, an id, zeros, pages, another context, each needed once.
pub(crate) const LOOKS: usize = 8;

/// An access, taken apart.
pub(crate) struct Wish<'a> {
    pub(crate) shown: Shown,
    pub(crate) by: By<'a>,
    /// The slot, where a view is shown.
    pub(crate) slot: u32,
    /// The page of the object's slot.
    pub(crate) page: u64,
    /// Pages of the object that the mapping has before and after that one.
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) access: Access,
    /// What the mapping itself allows.
    pub(crate) protection: Rights,
    pub(crate) huge: bool,
}

/// Answers a fault. A refusal comes with why.
pub(crate) fn fault(
    space: &Space,
    shown: Shown,
    by: By<'_>,
    fault: &mut Fault<'_>,
    huge: bool,
) -> Result<Outcome> {
    space.counters.count(Event::Fault);
    if let Shown::View { .. } = shown {
        if fault.page() < SLOT_PAGES {
            return control(space, fault, huge);
        }
    }
    let Some(wish) = Wish::new(shown, by, fault, huge) else { return Ok(Outcome::Smaller) };
    let mut found = Found::nothing();
    match answer(space, &wish, &mut found, fault) {
        Err(refusal) if refusal.reason == reason::CONTEXT_DENIES => {
            switch::detour(space, &wish, &mut found, fault, refusal)
        }
        answered => answered,
    }
}

/// Answers it in the active context.
fn answer(
    space: &Space,
    wish: &Wish<'_>,
    found: &mut Found,
    fault: &mut Fault<'_>,
) -> Result<Outcome> {
    {
        let state = space.state.read();
        state.usable()?;
        match state.look(wish, found)? {
            Look::Map if on(Guard::CheckLock) => {
                sys::widen();
                return Ok(state.map(space, wish, &found.map, fault));
            }
            Look::Map => {
                drop(state);
                sys::linger();
                return Ok(space.state.read().map(space, wish, &found.map, fault));
            }
            Look::Smaller => return Ok(Outcome::Smaller),
            Look::Needs(_) => {}
        }
    }
    space.counters.count(Event::Slow);
    let mut state = space.state.write();
    state.usable()?;
    // If that is not enough, the view changes as fast as we look; the access is made
    // again, and asks again.
    for _ in 0..LOOKS {
        match state.look(wish, found)? {
            Look::Map => return Ok(state.map(space, wish, &found.map, fault)),
            Look::Smaller => return Ok(Outcome::Smaller),
            Look::Needs(need) => state.provide(space, wish, need)?,
        }
    }
    Ok(Outcome::Again)
}

/// Lets go of the page at `page` of a mapping with this protection, if the access
/// would be granted now, in some context that is attached: then it is made again, and
/// asked about.
pub(crate) fn let_go(
    space: &Space,
    shown: Shown,
    by: By<'_>,
    page: u64,
    access: Access,
    protection: Rights,
) -> Result {
    let (slot, page) = ((page / SLOT_PAGES) as u32, page % SLOT_PAGES);
    let wish = Wish { shown, by, slot, page, before: 0, after: 1, access, protection, huge: false };
    let mut found = Found::nothing();
    space.change(|state| {
        for _ in 0..LOOKS {
            let granted = state.granted(&wish, &mut found);
            let r = match granted {
                Ok(Ok((r, _))) => r,
                Ok(Err(need)) => {
                    state.provide(space, &wish, need)?;
                    continue;
                }
                Err(refusal) if refusal.reason == reason::CONTEXT_DENIES => {
                    match found.shown.filter(|_| state.allowed_somewhere(&wish, &found)) {
                        Some((r, _)) => r,
                        None => return Err(refusal),
                    }
                }
                Err(refusal) => return Err(refusal),
            };
            state.zap(space, r, page..page + 1);
            return Ok(());
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

impl<'a> Wish<'a> {
    /// `None` where 2 MiB cannot be mapped.
    fn new(shown: Shown, by: By<'a>, fault: &Fault<'_>, huge: bool) -> Option<Self> {
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
            by,
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
    /// These pages are about to be mapped.
    fn reach(&self, wish: &Wish<'_>, pages: Range<u64>) {
        if let Shown::View { view } = wish.shown {
            self.views.get(view).iter().for_each(|view| view.reach(wish.slot, pages.clone()));
        }
    }

    /// Maps what was found, unless somebody else just has.
    pub(crate) fn map(
        &self,
        space: &Space,
        wish: &Wish<'_>,
        map: &Map,
        fault: &mut Fault<'_>,
    ) -> Outcome {
        let counters = &space.counters;
        let _turn = space.turns.take(fault);
        if wish.huge {
            if fault.mapped() == Mapped::Table {
                return Outcome::Smaller;
            }
            let Some(&Translation::Page { pool_page, shared, .. }) = map.pages.first() else {
                return Outcome::Smaller;
            };
            counters.count(Event::Huge);
            self.reach(wish, wish.page..wish.page + FANOUT);
            let write = map.rights.contains(Rights::WRITE) && !shared;
            return fault.insert_huge(self.store.media().frame(pool_page), write);
        }
        if fault.mapped() == Mapped::Huge {
            return Outcome::Again;
        }
        if fault.is_upgrade() {
            // The page is mapped without the right; it is not mapped over.
            counters.count(Event::Upgrade);
            fault.drop_page();
        }
        counters.count(Event::Small);
        self.reach(wish, map.first..map.first + map.count as u64);
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
}
