// SPDX-License-Identifier: MIT OR Apache-2.0
//! Slots: finding one for an object, and taking those back that nobody needs.
//!
//! The view says what a slot shows ([`crate::view`]); here is who keeps it. A
//! handle pins its slot. A slot that a pointer led to is *reached*, and stays as
//! long as any object is open, since references may go into it from there. All
//! other slots are taken back when a new one is needed and none is free.

use std::sync::atomic::Ordering;

use twz_abi::{ObjectId, Rights};

use crate::{
    error::{Error, Result},
    raw::{
        SlotWindow,
        arena::{SlotInfo, slot_state},
    },
    space::Core,
};

/// What a slot is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// A handle: the caller undoes it with [`Core::unpin`].
    Pin,
    /// A pointer.
    Reach,
}

impl Core {
    /// A slot that shows `id` with these rights, mapped and held.
    pub(crate) fn slot_for(&self, id: ObjectId, rights: Rights, hold: Hold) -> Result<u32> {
        match self.find_slot(id, rights, hold) {
            Err(Error::NoSlot) if self.take_back()? > 0 => self.find_slot(id, rights, hold),
            other => other,
        }
    }

    fn find_slot(&self, id: ObjectId, rights: Rights, hold: Hold) -> Result<u32> {
        for place in 0..self.arena().slots() {
            let Some((slot, new)) = self.claim_view_slot(id, rights, place)? else { continue };
            let info = self.arena().info(slot).ok_or(Error::NoSlot)?;
            // Held before it is looked at: whoever takes slots back looks at
            // this after making the slot busy.
            hold.take(info);
            if let Err(error) = self.map_slot(slot) {
                hold.undo(info);
                if new {
                    self.release_view_slot(slot);
                }
                return Err(error);
            }
            // A slot goes on showing what it showed before its entry was
            // changed, until it is invalidated: then it is not the one.
            if info.id() == id && info.requested.load(Ordering::Relaxed) == rights.0 {
                return Ok(slot);
            }
            hold.undo(info);
        }
        Err(Error::NoSlot)
    }

    /// A handle is gone.
    pub(crate) fn unpin(&self, slot: u32) {
        if let Some(info) = self.arena().info(slot) {
            info.pins.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// How many slots handles pin.
    fn pinned(&self) -> usize {
        let infos = (1..self.arena().slots()).filter_map(|slot| self.arena().info(slot));
        infos.filter(|info| info.pins.load(Ordering::SeqCst) != 0).count()
    }

    /// Empties the slots that nobody needs; says how many there were. The view
    /// of other processes is not touched: in a view object entries stay.
    fn take_back(&self) -> Result<usize> {
        if self.view_is_shared() {
            return Ok(0);
        }
        let slots = 1..self.arena().slots();
        let infos = || slots.clone().filter_map(|slot| Some((slot, self.arena().info(slot)?)));
        // With no object open there is no reference at all. The marks are taken
        // off first and the handles counted after: whoever opens one later and
        // follows a pointer marks anew, and is seen below.
        let marked: Vec<_> =
            infos().filter(|(_, info)| info.reached.swap(0, Ordering::SeqCst) != 0).collect();
        if self.pinned() != 0 {
            marked.iter().for_each(|(_, info)| info.reached.store(1, Ordering::SeqCst));
        }
        self.arena().forget_all();
        let mut taken = 0;
        for (slot, info) in infos() {
            taken += usize::from(self.empty_if_unused(slot, info)?);
        }
        Ok(taken)
    }

    fn empty_if_unused(&self, slot: u32, info: &SlotInfo) -> Result<bool> {
        let unused =
            || info.pins.load(Ordering::SeqCst) == 0 && info.reached.load(Ordering::SeqCst) == 0;
        let claim = || {
            info.state
                .compare_exchange(
                    slot_state::MAPPED,
                    slot_state::BUSY,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                )
                .is_ok()
        };
        if !unused() || !claim() {
            return Ok(false);
        }
        if !unused() {
            info.state.store(slot_state::MAPPED, Ordering::SeqCst);
            return Ok(false);
        }
        self.release_view_slot(slot);
        let cleared = SlotWindow::claimed(self.arena(), slot).clear();
        info.set_id(ObjectId::NULL);
        info.state.store(slot_state::EMPTY, Ordering::SeqCst);
        cleared.map(|()| true)
    }
}

impl Hold {
    fn take(self, info: &SlotInfo) {
        match self {
            Self::Pin => drop(info.pins.fetch_add(1, Ordering::SeqCst)),
            Self::Reach => info.reached.store(1, Ordering::SeqCst),
        }
    }

    fn undo(self, info: &SlotInfo) {
        if self == Self::Pin {
            info.pins.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
