// SPDX-License-Identifier: GPL-2.0
//! What was decided about rights, for whoever keeps a log of it: [`Decisions`], which are
//! read from `/dev/twz` (`Decision` of twz_abi). The last so many are kept; who reads too
//! slowly misses some, and sees by their numbers how many.
//!
//! To note one takes its lock and allocates nothing, also in a fault.

use crate::{
    error::{Refusal, Result},
    secctx::ContextNo,
    session::Session,
    space::Space,
    sys::{self, UserBytes},
};
use core::sync::atomic::Ordering;
use kernel::{
    prelude::*,
    sync::{new_spinlock, SpinLock},
};
use twz_abi::{
    decision::{is_about_rights, what, Decision},
    ObjectId,
};
use zerocopy::IntoBytes;

/// Decisions that are kept, at most.
const KEPT: usize = 1024;
/// Decisions that are copied out at a time.
const STEP: usize = 8;

/// The last decisions.
#[pin_data]
pub(crate) struct Decisions {
    since: u64,
    #[pin]
    ring: SpinLock<Ring>,
}

/// Decision `n` is at `n % KEPT`.
struct Ring {
    kept: KVVec<Decision>,
    /// The number of the next one.
    next: u64,
}

impl Decisions {
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        let mut kept = KVVec::with_capacity(KEPT, GFP_KERNEL)?;
        kept.extend_with(KEPT, Decision::default(), GFP_KERNEL)?;
        let ring = Ring { kept, next: 0 };
        Ok(pin_init!(Self { since: sys::now(), ring <- new_spinlock!(ring) }))
    }

    fn note(&self, decision: Decision) {
        let mut ring = self.ring.lock();
        let sequence = ring.next;
        ring.next += 1;
        if let Some(place) = ring.kept.get_mut(sequence as usize % KEPT) {
            *place = Decision { since: self.since, sequence, ..decision };
        }
    }

    /// Copies decisions from number `from` on, or the first that is still kept. Returns how
    /// many there were, and the number after the last.
    fn copy(&self, from: u64, into: &mut [Decision]) -> (usize, u64) {
        let ring = self.ring.lock();
        let from = from.max(ring.next.saturating_sub(KEPT as u64));
        let mut count = 0;
        for (place, number) in into.iter_mut().zip(from..ring.next) {
            if let Some(decision) = ring.kept.get(number as usize % KEPT) {
                *place = *decision;
                count += 1;
            }
        }
        (count, from + count as u64)
    }
}

impl Space {
    /// Notes what the calling program has brought about.
    pub(crate) fn decided(&self, what: u32, object: ObjectId, value: u64) {
        self.note(Decision { what, object, value, ..Decision::default() });
    }

    /// Notes that it was refused something, if that is a matter of rights.
    pub(crate) fn decided_not(&self, what: u32, refusal: &Refusal, value: u64) {
        if is_about_rights(refusal.reason) {
            let (wanted, granted) = (refusal.wanted.0, refusal.granted.0);
            let (object, reason) = (refusal.id, refusal.reason);
            self.note(Decision {
                what,
                object,
                value,
                reason,
                wanted,
                granted,
                ..Decision::default()
            });
        }
    }

    fn note(&self, decision: Decision) {
        let context = {
            let state = self.state.read();
            state.contexts.id(self.members.context(&state))
        };
        let (process, user) = sys::process();
        self.decisions.note(Decision { time: sys::now(), context, process, user, ..decision });
    }

    /// Notes that time has changed what contexts allow.
    pub(crate) fn decided_by_time(&self, contexts: impl Iterator<Item = ContextNo>) {
        for no in contexts {
            let state = self.state.read();
            let object = state.contexts.id(no);
            let value =
                state.contexts.built(no).map_or(0, |built| grants(built.grants, built.void));
            drop(state);
            let (what, time) = (what::TIMED, sys::now());
            self.decisions.note(Decision { what, time, object, value, ..Decision::default() });
        }
    }
}

/// Grants that hold, and that do not, as a value.
pub(crate) fn grants(holding: u32, void: u32) -> u64 {
    u64::from(void) << 32 | u64::from(holding)
}

impl Session {
    /// Copies out what was decided since this session was last asked, in whole records;
    /// nothing if there is no more. For who may read every file anyway.
    pub(crate) fn decisions(&self, to: &UserBytes) -> Result<usize> {
        self.is_ours()?;
        if self.shown().is_some() {
            return Err(EINVAL.into());
        }
        if !sys::may_read_all() {
            return Err(EPERM.into());
        }
        let size = core::mem::size_of::<Decision>();
        let room = to.len() / size;
        if room == 0 {
            return Err(EINVAL.into());
        }
        let mut done = 0;
        while done < room {
            let mut some = [Decision::default(); STEP];
            let some = some.get_mut(..STEP.min(room - done)).unwrap_or(&mut []);
            let (count, next) = self.space.decisions.copy(self.told.load(Ordering::Acquire), some);
            let some = some.get(..count).unwrap_or(&[]);
            if some.is_empty() {
                break;
            }
            to.from(done * size).write(some.as_bytes())?;
            // What could not be copied out is told once more.
            self.told.store(next, Ordering::Release);
            done += count;
        }
        Ok(done * size)
    }
}
