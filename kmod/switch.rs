// SPDX-License-Identifier: GPL-2.0
//! From one context to another: by call, or because a fault found that another one
//! that is attached allows what the active one does not (rule A6). What the new one
//! does not allow is taken out of the page tables first (A7), in the parts of memory
//! that this memory map has, and nothing else: what both allow stays mapped.

use crate::{
    descriptor::ObjectFile,
    error::{Refusal, Result},
    fault::{Shown, Wish, LOOKS},
    guard::{on, Guard},
    look::{Found, Look},
    member::Member,
    secctx::ContextNo,
    session::Session,
    space::{Space, State},
    stats::Event,
    sys::{self, Company, Fault, Outcome, Shows},
    view::Place,
};
use core::ops::Range;
use twz_abi::{
    meta::flags, reason, security::MAX_ATTACHED, ObjectRecord, Rights, PAGE, SLOT_PAGES,
};
use twz_core::{
    rights::{Access, MAPPABLE},
    security::switch::{may_switch, Attempt, Spot, Stay},
    RecordNo,
};

/// The calling thread's memory.
pub(crate) type Memory<'a> = sys::Memory<'a>;

/// A part of it.
type Part<'a> = sys::Part<'a, Session, ObjectFile>;

/// The code that runs.
enum Code {
    /// In memory that is no object.
    Outside,
    At(Spot),
    /// Nobody can say: it goes nowhere.
    Unknown,
}

/// What is known of a fault that may go on elsewhere.
struct Detour<'a> {
    member: &'a Member,
    company: Company,
    /// Address of the code, if a program runs it.
    code: Option<usize>,
    /// The byte that was touched, from the start of its page.
    offset: u64,
    /// The page of the object that was touched.
    page: u64,
    /// What is fetched begins on another page.
    straddles: bool,
}

impl<'a> Detour<'a> {
    fn new(member: &'a Member, wish: &Wish<'_>, fault: &Fault<'_>) -> Self {
        let (code, address) = (fault.code(), fault.address());
        let page = match wish.shown {
            Shown::View { .. } => fault.page() % SLOT_PAGES,
            Shown::Object { .. } => fault.page() + 1,
        };
        Self {
            member,
            company: Company::now(),
            code,
            offset: address as u64 % PAGE,
            page,
            straddles: wish.access == Access::Execute && code != Some(address),
        }
    }
}

impl State {
    /// Where a refused access goes on, if the code that runs may be there: the first of
    /// the contexts that are attached which allows it. If none does, why.
    fn elsewhere(
        &self,
        detour: &Detour<'_>,
        memory: &Memory<'_>,
        wish: &Wish<'_>,
        found: &Found,
        refusal: Refusal,
    ) -> Result<ContextNo> {
        let Some((_, protection)) = found.shown else { return Err(refusal) };
        let from = detour.member.context(self);
        let on_spot = self.spot(&found.record, detour.page * PAGE + detour.offset);
        let code = match detour.code {
            Some(address) => self.code(memory, address)?,
            None => Code::Unknown,
        };
        let company = detour.company;
        let alone = !(company.others && on(Guard::Alone)) && !(company.traced && on(Guard::Traced));
        let mut why = None;
        for at in 0..MAX_ATTACHED {
            let Some(hold) = detour.member.attached(at) else { break };
            let to = hold.no();
            if to == from || self.decide(wish, &found.record, protection, to).is_err() {
                continue;
            }
            let code = match code {
                Code::Outside => None,
                Code::At(spot) => Some(spot),
                Code::Unknown => {
                    why = why.or(Some(Stay::CodeDenied));
                    continue;
                }
            };
            if detour.straddles && on(Guard::Straddle) {
                why = why.or(Some(Stay::NotEntered));
                continue;
            }
            let attempt = Attempt { access: wish.access, on: on_spot, code, alone };
            let (from, to_rules) = (self.contexts.rules(from), self.contexts.rules(to));
            match may_switch(&from, &to_rules, &attempt) {
                Ok(()) => return Ok(to),
                Err(stay) => why = why.or(Some(stay)),
            }
        }
        let reason = match why {
            None | Some(Stay::Denied) => return Err(refusal),
            Some(Stay::NotAlone) if company.traced => reason::TRACED,
            Some(Stay::NotAlone) => reason::THREADS,
            Some(Stay::Confined) => reason::CONFINED,
            Some(Stay::NotEntered) => reason::NO_GATE,
            Some(Stay::CodeDenied) => reason::CODE_DENIES,
        };
        Err(Refusal { reason, ..refusal })
    }

    /// Whether any context that is attached allows an access, wherever the code is.
    pub(crate) fn allowed_somewhere(&self, wish: &Wish<'_>, found: &Found) -> bool {
        let Some(member) = wish.by.member() else { return false };
        let Some((_, protection)) = found.shown else { return false };
        (0..MAX_ATTACHED)
            .map_while(|at| member.attached(at))
            .any(|hold| self.decide(wish, &found.record, protection, hold.no()).is_ok())
    }

    fn spot(&self, record: &ObjectRecord, at: u64) -> Spot {
        let immutable = record.flags & flags::IMMUTABLE != 0;
        Spot { id: record.id, default: Rights(record.default_rights), immutable, at }
    }

    /// What runs at an address.
    fn code(&self, memory: &Memory<'_>, address: usize) -> Result<Code> {
        let Some(part) = memory.at::<Session, ObjectFile>(address) else {
            return Ok(Code::Outside);
        };
        let page = part.page_at(address);
        let (r, page) = match part.shows {
            Shows::Device(session) => {
                let Some(view) = session.shown() else { return Ok(Code::Unknown) };
                let place = Place { view, slot: (page / SLOT_PAGES) as u32 };
                match self.views.bound(place) {
                    Some(r) => (r, page % SLOT_PAGES),
                    None => return Ok(Code::Unknown),
                }
            }
            Shows::Object(file) => (file.record(), page + 1),
        };
        let record = self.store.stat(r)?;
        Ok(Code::At(self.spot(&record, page * PAGE + address as u64 % PAGE)))
    }

    /// Makes another context the active one. The lock is held for writing, and so, or
    /// for reading, is that of the memory, in which nobody else is about to end a part.
    pub(crate) fn enter(
        &mut self,
        space: &Space,
        member: &Member,
        memory: &Memory<'_>,
        to: ContextNo,
    ) {
        let from = member.context(self);
        if on(Guard::SwitchZap) {
            memory.each(|part: &Part<'_>| self.narrow(part, from, to));
        }
        member.set_active(to);
        space.counters.count(Event::Switch);
    }

    /// Takes out of a part of memory what `to` does not allow, and what may be there
    /// without the right to execute that comes: to be jumped to, it has to be absent.
    fn narrow(&self, part: &Part<'_>, from: ContextNo, to: ContextNo) {
        match part.shows {
            Shows::Device(session) => {
                let Some(view) = session.shown().and_then(|view| self.views.get(view)) else {
                    return;
                };
                let changed = |(_, r): &(u32, RecordNo)| self.changes(*r, from, to);
                for (slot, _) in view.bindings_in(slots(&part.pages)).filter(changed) {
                    let first = slot as u64 * SLOT_PAGES;
                    part.zap(first..first + SLOT_PAGES);
                }
            }
            Shows::Object(file) if self.changes(file.record(), from, to) => {
                part.zap(part.pages.clone());
            }
            Shows::Object(_) => {}
        }
    }

    fn changes(&self, r: RecordNo, from: ContextNo, to: ContextNo) -> bool {
        let Ok(record) = self.store.stat(r) else { return true };
        let [old, new] = [from, to].map(|no| self.contexts.rights(no, &record).and(MAPPABLE));
        !new.contains(old) || (new.contains(Rights::EXEC) && !old.contains(Rights::EXEC))
    }
}

/// The slots that pages of a view are in.
fn slots(pages: &Range<u64>) -> Range<u32> {
    (pages.start / SLOT_PAGES) as u32..pages.end.div_ceil(SLOT_PAGES) as u32
}

/// A fault that the active context has refused: it goes on in another one, or is refused.
pub(crate) fn detour(
    space: &Space,
    wish: &Wish<'_>,
    found: &mut Found,
    fault: &mut Fault<'_>,
    refusal: Refusal,
) -> Result<Outcome> {
    let Some(member) = wish.by.member().filter(|member| member.has_others()) else {
        return Err(refusal);
    };
    if !fault.is_own() {
        return Err(refusal);
    }
    let Some(memory) = Memory::in_fault(fault) else { return Ok(Outcome::Again) };
    let detour = Detour::new(&member, wish, fault);
    let mut state = space.state.write();
    state.usable()?;
    for _ in 0..LOOKS {
        let look = match state.look(wish, found) {
            Err(refusal) if refusal.reason == reason::CONTEXT_DENIES => {
                let to = state.elsewhere(&detour, &memory, wish, found, refusal)?;
                state.enter(space, &member, &memory, to);
                continue;
            }
            look => look?,
        };
        match look {
            Look::Map => return Ok(state.map(space, wish, &found.map, fault)),
            Look::Smaller => return Ok(Outcome::Smaller),
            Look::Needs(need) => state.provide(space, wish, need)?,
        }
    }
    Ok(Outcome::Again)
}
