// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Stage two: what a context allows right now, as a table.
//!
//! [`build`] asks the time and the epochs and writes down what is granted for
//! each target; [`Rules`] is what a fault asks. It is built anew when the context
//! is loaded, when an epoch that it hangs on is raised, and at the instant that
//! [`build`] names, when a grant begins or ends.

use twz_abi::{
    security::{context_flags, Gate, Policy, Record},
    ObjectId, Rights,
};

use super::link::{holds, Loaded};
use super::Object;

/// Most gates that one target has in a context. More admit nobody.
pub const MAX_GATES: usize = 64;

/// A place of the table: what is said about one target.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    target: ObjectId,
    granted: Rights,
    /// What is left of its default rights.
    mask: Rights,
    /// Where the first gate is, plus one.
    gate: u32,
    /// Some grant of the right to execute has no gate.
    ungated: bool,
    gates: u8,
}

impl Slot {
    /// Of nothing: to make room.
    pub const EMPTY: Self = Self {
        target: ObjectId::NULL,
        granted: Rights::NONE,
        mask: Rights::NONE,
        gate: 0,
        ungated: false,
        gates: 0,
    };
}

/// A gate, and where the next one of the same target is, plus one.
#[derive(Clone, Copy, Debug)]
pub struct Gates {
    gate: Gate,
    next: u32,
}

impl Gates {
    /// Of nothing: to make room.
    pub const EMPTY: Self = Self { gate: Gate::NONE, next: 0 };
}

/// How many slots to bring for so many links: half of them stay empty.
pub const fn slots_for(links: usize) -> usize {
    (links * 2).next_power_of_two()
}

/// What [`build`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Grants that hold.
    pub grants: u32,
    /// Grants that do not.
    pub void: u32,
    /// When a grant next begins or ends, if any does.
    pub next: Option<u64>,
}

/// What a context allows, for its memory to be kept by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    policy: Policy,
    seed: u64,
    slots: &'a [Slot],
    gates: &'a [Gates],
}

/// Writes down what a context allows at a time. `slots` are [`slots_for`] its
/// links, and `gates` as many as those, all empty; `seed` is secret, so that nobody
/// can choose targets that fall into one place. `None` if that is too little memory.
pub fn build(
    loaded: &Loaded<'_>,
    now: u64,
    seed: u64,
    epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
    slots: &mut [Slot],
    gates: &mut [Gates],
) -> Option<Built> {
    let links = loaded.links.len();
    if slots.len() < slots_for(links) || gates.len() < links {
        return None;
    }
    let mut built = Built::default();
    let mut used = 0;
    for link in loaded.links {
        let grant = match loaded.record(link) {
            Record::Empty => continue,
            Record::Mask(mask) => {
                if let Some(slot) = place(slots, seed, mask.target, loaded.policy.mask) {
                    slot.mask = Rights(mask.rights);
                }
                continue;
            }
            Record::Grant(grant) => grant,
        };
        for instant in [grant.not_before, grant.expires] {
            if instant > now && built.next.is_none_or(|next| instant < next) {
                built.next = Some(instant);
            }
        }
        if holds(loaded, link, now, epoch).is_err() {
            built.void += 1;
            continue;
        }
        built.grants += 1;
        let Some(slot) = place(slots, seed, grant.target, loaded.policy.mask) else { continue };
        slot.granted = slot.granted.or(Rights(grant.rights));
        if !Rights(grant.rights).contains(Rights::EXEC) {
            continue;
        }
        if grant.gate.is_none() {
            slot.ungated = true;
        } else if (slot.gates as usize) < MAX_GATES {
            if let Some(room) = gates.get_mut(used) {
                *room = Gates { gate: grant.gate, next: slot.gate };
                used += 1;
                slot.gate = used as u32;
                slot.gates += 1;
            }
        }
    }
    Some(built)
}

/// What a context allows on one object at a time, by asking each of its grants: for
/// who has no table of that time, or wants to see that the table is right.
pub fn allowed_at(
    loaded: &Loaded<'_>,
    object: &Object,
    now: u64,
    epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
) -> Rights {
    let (mut granted, mut mask) = (Rights::NONE, loaded.policy.mask);
    for link in loaded.links {
        match loaded.record(link) {
            Record::Mask(found) if found.target == object.id => mask = Rights(found.rights),
            Record::Grant(grant)
                if grant.target == object.id && holds(loaded, link, now, epoch).is_ok() =>
            {
                granted = granted.or(Rights(grant.rights));
            }
            _ => {}
        }
    }
    effective(object.default_rights(), mask, granted, object.identity.is_immutable())
}

/// `E` of SECURITY.md, from its parts.
#[inline]
const fn effective(default: Rights, mask: Rights, granted: Rights, immutable: bool) -> Rights {
    let rights = default.and(mask).or(granted);
    if immutable {
        rights.without(Rights::WRITE)
    } else {
        rights
    }
}

/// The slot of a target: the one it has, or a new one.
fn place(slots: &mut [Slot], seed: u64, target: ObjectId, mask: Rights) -> Option<&mut Slot> {
    let at = probe(slots, seed, target)?;
    let slot = slots.get_mut(at)?;
    if slot.target.is_null() {
        *slot = Slot { target, mask, ..Slot::EMPTY };
    }
    Some(slot)
}

/// Where a target is, or would be.
#[inline]
fn probe(slots: &[Slot], seed: u64, target: ObjectId) -> Option<usize> {
    let mask = slots.len().wrapping_sub(1);
    let mixed = (target.lo ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ target.hi.rotate_left(32);
    let mixed = mixed.wrapping_mul(seed | 1);
    let mut at = (mixed >> 32) as usize & mask;
    for _ in 0..slots.len() {
        let found = slots.get(at)?.target;
        if found == target || found.is_null() {
            return Some(at);
        }
        at = (at + 1) & mask;
    }
    None
}

impl<'a> Rules<'a> {
    /// Those of the default context: what objects grant to everybody.
    pub const DEFAULT: Rules<'static> =
        Rules { policy: Policy::OPEN, seed: 0, slots: &[], gates: &[] };

    /// What was [`build`]t.
    pub const fn new(policy: Policy, seed: u64, slots: &'a [Slot], gates: &'a [Gates]) -> Self {
        Self { policy, seed, slots, gates }
    }

    /// Whether it is left through a gate or not at all.
    pub fn is_confined(&self) -> bool {
        self.policy.flags & context_flags::CONFINED != 0
    }

    /// Whether who is attached stays attached.
    pub fn is_undetachable(&self) -> bool {
        self.policy.flags & context_flags::UNDETACHABLE != 0
    }

    #[inline]
    fn slot(&self, target: ObjectId) -> Option<&Slot> {
        let slot = self.slots.get(probe(self.slots, self.seed, target)?)?;
        (slot.target == target).then_some(slot)
    }

    /// What is allowed on an object: `E` of SECURITY.md.
    #[inline]
    pub fn allowed(&self, id: ObjectId, default: Rights, immutable: bool) -> Rights {
        let (granted, mask) = match self.slot(id) {
            Some(slot) => (slot.granted, slot.mask),
            None => (Rights::NONE, self.policy.mask),
        };
        effective(default, mask, granted, immutable)
    }

    /// The same, for an object that all is known of.
    pub fn allowed_on(&self, object: &Object) -> Rights {
        let immutable = object.identity.is_immutable();
        self.allowed(object.id, object.default_rights(), immutable)
    }

    /// Whether code may be entered at a slot offset of an object from outside the
    /// context (rules A6a, A6b).
    pub fn may_enter(&self, id: ObjectId, default: Rights, at: u64) -> bool {
        match self.slot(id) {
            None => default.and(self.policy.mask).contains(Rights::EXEC),
            Some(slot) => {
                slot.ungated
                    || default.and(slot.mask).contains(Rights::EXEC)
                    || self.has_gate(id, at)
            }
        }
    }

    /// Whether a gate admits there: the only way out of a confined context (rule A6c).
    pub fn has_gate(&self, id: ObjectId, at: u64) -> bool {
        let mut next = self.slot(id).map_or(0, |slot| slot.gate);
        // It ends: each leads to one that was there before it.
        while let Some(here) = next.checked_sub(1).and_then(|at| self.gates.get(at as usize)) {
            if here.gate.admits(at) {
                return true;
            }
            next = here.next;
        }
        false
    }
}
