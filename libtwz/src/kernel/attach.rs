// SPDX-License-Identifier: MIT OR Apache-2.0
//! An arena and its view: mapping it, once, and mapping it anew in a child.
//!
//! A child that was forked begins without any of it: neither the slots nor the
//! view's entries nor the control page are copied, and the session is not its
//! own. The first touch of either raises SIGSEGV, and everything is made again,
//! at the same addresses: a private view as a copy of what the slots show. All
//! of that is system calls and stores, and none of it allocates, so that it can
//! be done where it is noticed, in the fault handler; a `pthread_atfork` handler
//! would make every child pay for it, and most only run another program.

use std::{os::fd::AsFd as _, sync::atomic::Ordering};

use twz_abi::{
    ObjectId, Rights,
    ioctl::{self as abi, Create, Delete, Fault},
    meta::kind,
    view::ViewEntry,
};
use twz_core::rights::Access;

use super::KernelPool;
use crate::{
    backend::Touch,
    error::Result,
    raw::{
        Arena,
        arena::{Over, VIEW_BYTES, slot_state},
        sys,
    },
};

/// For so long after an arena was mapped anew, a touch is tried again: another
/// thread may have found nothing there just before.
const SETTLING: u64 = 50;

impl KernelPool {
    /// Maps a view, or a new private one, over an arena.
    pub(super) fn show(&self, arena: &Arena, view: Option<ObjectId>, over: Over) -> Result<()> {
        let id = match view {
            Some(id) => id,
            None => self.private_view()?,
        };
        let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
        let opened = self
            .session
            .open_fd(id, rights)
            .and_then(|entries| Ok((entries, self.session.set_view(id)?)));
        if view.is_none() {
            // It stays as long as it is mapped, and no longer: whatever ends this
            // process, nothing is left of it.
            let _ = self.session.ask::<{ abi::DELETE }, _>(&mut Delete { id, reserved: 0 });
        }
        let (entries, shown) = opened.map_err(|errno| self.refused(errno, id, rights))?;
        arena.show(entries.as_fd(), shown.as_fd(), over, || {
            if over == Over::Nothing && view.is_none() {
                copy_slots(arena);
            }
        })?;
        let kept = self.session.keep_shown(shown);
        kept.map_err(|errno| self.refused(errno, id, rights))?;
        if over == Over::Nothing {
            self.execute_again(arena)?;
        }
        self.view.set(id, view.is_some());
        self.view.at.store(now(), Ordering::Release);
        self.view.mapped.store(self.session.count() + 1, Ordering::Release);
        Ok(())
    }

    /// Maps slots with the right to execute that were mapped so before.
    fn execute_again(&self, arena: &Arena) -> Result<()> {
        let Some(shown) = self.session.shown() else { return Ok(()) };
        for slot in 1..arena.slots() {
            let executes = arena.info(slot).is_some_and(|info| {
                info.state.load(Ordering::Acquire) == slot_state::MAPPED
                    && Rights(info.requested.load(Ordering::Relaxed)).contains(Rights::EXEC)
            });
            if executes {
                arena.show_slot(slot, shown, true)?;
            }
        }
        Ok(())
    }

    fn private_view(&self) -> Result<ObjectId> {
        let mut create = Create {
            default_rights: Rights::DEFAULT.0,
            kind: kind::VIEW,
            size: VIEW_BYTES as u64,
            ..Create::default()
        };
        let made = self.session.ask::<{ abi::CREATE }, _>(&mut create);
        made.map_err(|errno| self.refused(errno, create.id, Rights::NONE))?;
        Ok(create.id)
    }

    /// Whether an arena is mapped in this address space.
    pub(super) fn is_mapped(&self) -> bool {
        self.view.mapped.load(Ordering::Acquire) == self.session.count() + 1
    }

    /// What becomes of a touch that raised a signal.
    pub(super) fn touch(
        &self,
        arena: &Arena,
        address: usize,
        access: Access,
        present: bool,
    ) -> Touch {
        if !self.session.renew() {
            return Touch::Refused;
        }
        match self.mapped_anew(arena) {
            Some(true) => return Touch::Again,
            Some(false) => return Touch::Refused,
            None => {}
        }
        if access == Access::Execute && present && arena.slot_of(address).is_some() {
            // The processor refuses to run a page that is mapped otherwise, and
            // does not ask. (Where nothing is mapped it did, and was refused.)
            let access = access.right().0;
            let mut fault = Fault { address: address as u64, access, reserved: 0 };
            if self.session.ask::<{ abi::FAULT }, _>(&mut fault).is_ok() {
                return Touch::Again;
            }
        }
        Touch::Refused
    }

    /// In a child: maps what its parent had mapped; whether that worked. `None`
    /// if that was done, and the touch was refused for itself.
    fn mapped_anew(&self, arena: &Arena) -> Option<bool> {
        while self.view.busy.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        let done = match self.is_mapped() {
            false => {
                let view = self.view.shared.load(Ordering::Acquire).then(|| self.view.id());
                Some(self.show(arena, view, Over::Nothing).is_ok())
            }
            true if self.session.count() == 0 => None,
            true => (now().saturating_sub(self.view.at.load(Ordering::Acquire)) < SETTLING)
                .then_some(true),
        };
        self.view.busy.store(false, Ordering::Release);
        done
    }
}

/// Writes what the slots show into the entries of a new view.
fn copy_slots(arena: &Arena) {
    for slot in 1..arena.slots() {
        let (Some(info), Some([lo, hi, word, _])) = (arena.info(slot), arena.view_words(slot))
        else {
            continue;
        };
        if info.state.load(Ordering::Acquire) != slot_state::MAPPED {
            continue;
        }
        let (id, rights) = (info.id(), Rights(info.requested.load(Ordering::Relaxed)));
        lo.store(id.lo, Ordering::Relaxed);
        hi.store(id.hi, Ordering::Relaxed);
        word.store(ViewEntry::live_word(rights), Ordering::Release);
    }
}

/// Milliseconds on a clock that lags by a few.
fn now() -> u64 {
    sys::coarse_now().as_millis() as u64
}
