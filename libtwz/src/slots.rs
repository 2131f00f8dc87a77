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

/// What a search for a slot came to.
enum Found {
    Slot(u32),
    /// The slot was emptied by another thread: look again.
    TakenBack,
}

impl Core {
    /// A slot that shows `id` with these rights, mapped and held.
    pub(crate) fn slot_for(&self, id: ObjectId, rights: Rights, hold: Hold) -> Result<u32> {
        loop {
            match self.find_slot(id, rights, hold) {
                Ok(Found::Slot(slot)) => match self.settle(slot) {
                    Ok(()) => return Ok(slot),
                    Err(error) => {
                        hold.undo_slot(self, slot);
                        return Err(error);
                    }
                },
                Ok(Found::TakenBack) => {}
                Err(Error::NoSlot) if self.take_back()? > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn find_slot(&self, id: ObjectId, rights: Rights, hold: Hold) -> Result<Found> {
        for place in 0..self.arena().slots() {
            let Some((slot, new)) = self.claim_view_slot(id, rights, place)? else { continue };
            let info = self.arena().info(slot).ok_or(Error::NoSlot)?;
            // Held before it is looked at: whoever takes slots back looks at
            // this after making the slot busy.
            hold.take(info);
            if let Err(error) = self.map_slot(slot) {
                hold.undo(info);
                let shown = self.view_entry(slot).ok().flatten().map(|entry| entry.id);
                if new {
                    self.release_view_slot(slot);
                }
                // Taken back between the look at its entry and the hold.
                return if shown == Some(id) { Err(error) } else { Ok(Found::TakenBack) };
            }
            // A slot goes on showing what it showed before its entry was
            // changed, until it is invalidated: then it is not the one.
            if info.id() == id && info.requested.load(Ordering::Relaxed) == rights.0 {
                return Ok(Found::Slot(slot));
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
        let _one_at_a_time = self.sweep.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let slots = 1..self.arena().slots();
        let infos = || slots.clone().filter_map(|slot| Some((slot, self.arena().info(slot)?)));
        // With no object open there is no reference at all. The order matters:
        // marks are taken off, then what is cached goes, then handles are
        // counted. Whoever followed a cached pointer before it went has a
        // handle that is counted, or had one and its reference is over; whoever
        // follows one later goes the slow way, marks, and is seen below.
        let marked: Vec<_> =
            infos().filter(|(_, info)| info.reached.swap(0, Ordering::SeqCst) != 0).collect();
        self.arena().forget_all();
        if self.pinned() != 0 {
            marked.iter().for_each(|(_, info)| info.reached.store(1, Ordering::SeqCst));
        }
        let unused: Vec<_> =
            infos().filter(|(_, info)| claim_unused(info)).map(|(slot, _)| slot).collect();
        unused.iter().for_each(|&slot| self.release_view_slot(slot));
        self.empty(&unused)?;
        Ok(unused.len())
    }

    /// Makes a mapped slot busy, for [`Core::empty`]. `false` if nothing is mapped.
    pub(crate) fn claim_mapped(&self, slot: u32) -> bool {
        let Some(info) = self.arena().info(slot) else { return false };
        loop {
            let claimed = info.state.compare_exchange(
                slot_state::MAPPED,
                slot_state::BUSY,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            match claimed {
                Ok(_) => return true,
                Err(slot_state::EMPTY) => return false,
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Takes what is mapped out of slots that the caller has made busy. What is
    /// cached of them goes first: nobody can map or remember anything of a busy
    /// slot, so what comes into it next starts from nothing.
    pub(crate) fn empty(&self, busy: &[u32]) -> Result<()> {
        self.arena().forget_all();
        let mut outcome = Ok(());
        for &slot in busy {
            let Some(info) = self.arena().info(slot) else { continue };
            let window = SlotWindow::claimed(self.arena(), slot);
            outcome = outcome.and(self.backend().unmap(&window));
            info.set_id(ObjectId::NULL);
            info.state.store(slot_state::EMPTY, Ordering::SeqCst);
        }
        outcome
    }
}

/// Makes a slot busy if nobody holds it.
fn claim_unused(info: &SlotInfo) -> bool {
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
        return false;
    }
    let still = unused();
    if !still {
        info.state.store(slot_state::MAPPED, Ordering::SeqCst);
    }
    still
}

impl Hold {
    fn take(self, info: &SlotInfo) {
        match self {
            Self::Pin => drop(info.pins.fetch_add(1, Ordering::SeqCst)),
            Self::Reach => info.reached.store(1, Ordering::SeqCst),
        }
    }

    fn undo_slot(self, core: &Core, slot: u32) {
        if let Some(info) = core.arena().info(slot) {
            self.undo(info);
        }
    }

    fn undo(self, info: &SlotInfo) {
        if self == Self::Pin {
            info.pins.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Field, Object, Ptr, Space, common::pool::TempPool};

    #[derive(twz_derive::Persist)]
    #[repr(C)]
    struct Node {
        value: Field<u64>,
        next: Ptr<Node>,
    }

    fn node(space: &Space, value: u64) -> Object<Node> {
        space.create(Node { value: Field::new(value), next: Ptr::null() }).unwrap()
    }

    /// Few slots and many threads, so that slots are taken back while others
    /// are being found, pinned and reached.
    #[test]
    fn threads_share_too_few_slots() {
        let pool = TempPool::new();
        let space = Space::with_slots(pool.backend(), 64).unwrap();
        let ids: Vec<_> = (0..200).map(|i| node(&space, i).id()).collect();
        // Each points to the next one but three, far enough to need another slot.
        for (i, &id) in ids.iter().enumerate() {
            let to = crate::Global { id: ids[(i + 3) % ids.len()], offset: 4096 };
            space
                .open_object::<Node>(id)
                .unwrap()
                .root()
                .next
                .store_global(to, crate::Rights(3))
                .unwrap();
        }
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let (space, ids) = (&space, &ids);
                scope.spawn(move || {
                    for round in 0..1500usize {
                        let i = (round * (7 + thread) + thread * 31) % ids.len();
                        let object = match space.open_object::<Node>(ids[i]) {
                            Err(crate::Error::NoSlot) => continue,
                            other => other.unwrap(),
                        };
                        assert_eq!(object.root().value.get(), i as u64);
                        // Every slot may be held for the moment; that is an error
                        // like any other, and never another object.
                        match object.root().next.lea() {
                            Err(crate::Error::NoSlot) => {}
                            next => {
                                assert_eq!(next.unwrap().value.get(), ((i + 3) % ids.len()) as u64)
                            }
                        }
                    }
                });
            }
        });
        assert!(space.open_object::<Node>(ids[0]).is_ok());
    }
}
