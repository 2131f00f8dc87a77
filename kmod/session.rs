// SPDX-License-Identifier: GPL-2.0
//! Sessions: [`Session`], one for each open of `/dev/twz`, and the same type
//! for the descriptors that show a view.
//!
//! A session belongs to the memory map that opened it, and serves no other.
//! Commands are in `command.rs` and its neighbours; here is who may give them.

use crate::{
    error::{Refusal, Result},
    fault::{self, By, Shown},
    guard::{on, Guard},
    member::Member,
    secctx::ContextNo,
    space::{Space, State},
    stats::Event,
    sys::{self, DeviceFile, Fault, MapRequest, Outcome, UserBytes},
};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::{prelude::*, sync::Arc};
use twz_abi::{decision::what, ioctl::LastError, reason, view::MAX_SLOTS, SLOT_PAGES};

/// An open of the device.
pub(crate) struct Session {
    pub space: &'static Space,
    /// Who opened it.
    member: Arc<Member>,
    greeted: AtomicBool,
    /// The number of the next decision that it is to be told.
    pub(crate) told: AtomicU64,
    /// The view that this descriptor shows: index + 1, or 0.
    view: AtomicU32,
}

impl sys::Device for Session {
    fn open() -> Result<Pin<KBox<Self>>, Error> {
        let space = sys::space().ok_or(ENODEV)?;
        let member =
            space.members.join(space.beginning.clone()).map_err(|refusal| refusal.errno)?;
        sys::tick_soon();
        let session = Self {
            space,
            member,
            greeted: AtomicBool::new(false),
            told: AtomicU64::new(0),
            view: AtomicU32::new(0),
        };
        Ok(KBox::pin(session, GFP_KERNEL)?)
    }

    fn command(&self, file: &DeviceFile, number: u32, address: usize) -> Result<isize, Error> {
        self.space.counters.count(Event::Command);
        self.dispatch(file, number, address).map_err(|refusal| {
            self.space.counters.count(Event::Refused);
            remember(self.space, &refusal, 0);
            self.space.decided_not(what::COMMAND_REFUSED, &refusal, number.into());
            refusal.errno
        })
    }

    fn read(&self, to: &UserBytes) -> Result<usize, Error> {
        self.decisions(to).map_err(|refusal| refusal.errno)
    }

    fn map(&self, request: &MapRequest<'_>) -> Result<(), Error> {
        self.may_map(request).map_err(|refusal| {
            remember(self.space, &refusal, 0);
            refusal.errno
        })
    }

    fn fault(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome {
        let Some(view) = self.shown() else { return Outcome::Segv };
        let by = By::Member(&self.member);
        fault::fault(self.space, Shown::View { view }, by, fault, huge)
            .unwrap_or_else(|refusal| refused(self.space, &refusal, fault))
    }

    fn close(&self) {
        if let Some(view) = self.shown() {
            self.close_view(view);
        }
    }
}

impl Session {
    /// A descriptor less shows a view.
    pub(crate) fn close_view(&self, view: u32) {
        let left = {
            let mut state = self.space.state.write();
            let state = &mut *state;
            state.views.close(&mut state.live, view)
        };
        // Freed here, with the lock let go: that may sleep on other locks.
        drop(left);
        self.space.give_back();
    }

    /// Whose session it is.
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The context that it acts in.
    pub(crate) fn context(&self, state: &State) -> ContextNo {
        self.member.context(state)
    }

    /// The view that this descriptor shows.
    pub(crate) fn shown(&self) -> Option<u32> {
        self.view.load(Ordering::Acquire).checked_sub(1)
    }

    /// Makes this descriptor, which nobody has yet, show a view.
    pub(crate) fn show(&self, view: u32) {
        self.view.store(view + 1, Ordering::Release);
        self.greeted.store(true, Ordering::Release);
    }

    /// Versions were told and agree.
    pub(crate) fn greet(&self) {
        self.greeted.store(true, Ordering::Release);
    }

    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Acquire)
    }

    /// Refuses everybody but the memory map that opened the session.
    pub(crate) fn is_ours(&self) -> Result {
        match self.member.owner().is_current() {
            true => Ok(()),
            false if !on(Guard::MmOwner) => Ok(()),
            false => Err(Refusal::new(EPERM, reason::FOREIGN)),
        }
    }

    fn may_map(&self, request: &MapRequest<'_>) -> Result {
        if !self.member.owner().is(request) && on(Guard::MmOwner) {
            return Err(Refusal::new(EPERM, reason::FOREIGN));
        }
        let bad = Refusal::new(EINVAL, reason::BAD_MAPPING);
        match request.is_shared() && self.shown().is_some() {
            true if request.end() <= MAX_SLOTS as u64 * SLOT_PAGES => Ok(()),
            _ => Err(bad),
        }
    }
}

/// Keeps a refusal for `LAST_ERROR`.
fn remember(space: &Space, refusal: &Refusal, address: u64) {
    space.refusals.keep(LastError {
        id: refusal.id,
        address,
        errno: refusal.errno.to_errno().unsigned_abs(),
        reason: refusal.reason,
        wanted: refusal.wanted.0,
        granted: refusal.granted.0,
    });
}

/// What becomes of a refused fault: kept, counted, said in the log, and a signal.
pub(crate) fn refused(space: &Space, refusal: &Refusal, fault: &Fault<'_>) -> Outcome {
    remember(space, refusal, fault.address() as u64);
    space.decided_not(what::FAULT_REFUSED, refusal, fault.address() as u64);
    space.counters.refuse(refusal.reason);
    if sys::may_log() {
        pr_warn!(
            "{}: refused {:?} at {:#x} of object {}: {}; granted there: {}\n",
            sys::thread(),
            fault.access(),
            fault.address(),
            format_args!("{}", refusal.id),
            reason::text(refusal.reason),
            format_args!("{}", refusal.granted)
        );
    }
    match refusal.reason {
        reason::FULL | reason::DEAD | reason::DAMAGED => Outcome::Bus,
        _ => Outcome::Segv,
    }
}
