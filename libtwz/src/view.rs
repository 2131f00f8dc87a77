// SPDX-License-Identifier: MIT OR Apache-2.0
//! Views: which slot shows which object.
//!
//! Every space has one: private to the process, or a view object that other
//! processes share. Storing an entry is enough to map; the next touch of the
//! slot resolves it in the fault handler. [`View::invalidate`] says that an
//! entry has changed, [`Space::set_view`] switches to another view altogether.

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::{ObjectId, Rights, meta::kind, view::SlotView, view::ViewEntry};

use crate::{
    backend::NewObject,
    error::{Error, Result},
    raw::arena::VIEW_BYTES,
    space::{Core, Space},
};

/// The view of a space.
#[derive(Clone, Copy)]
pub struct View<'a>(&'a Space);

impl Space {
    /// The view in force.
    pub fn view(&self) -> View<'_> {
        View(self)
    }

    /// Makes an empty view object.
    pub fn create_view(&self) -> Result<ObjectId> {
        let new = NewObject { kind: kind::VIEW, size: VIEW_BYTES as u64, ..NewObject::default() };
        self.backend().create(&new)
    }

    /// Switches to a view object, or with `None` to a new private view. Slots
    /// are mapped anew as they are touched. Refused while objects are open:
    /// their addresses would come to mean something else.
    pub fn set_view(&self, view: Option<ObjectId>) -> Result<()> {
        if self.0.handles.load(Ordering::Acquire) != 0 {
            return Err(Error::Busy {
                what: "objects are open in this space; drop them before its view is switched",
            });
        }
        let core = self.core();
        if let Some(id) = view {
            let stat = self.backend().stat(id)?;
            if stat.kind != kind::VIEW {
                return Err(Error::Unsupported("that object is not a view"));
            }
            if stat.size < VIEW_BYTES as u64 {
                self.backend().resize(id, VIEW_BYTES as u64)?;
            }
        }
        let mapped: Vec<_> =
            (1..core.arena().slots()).filter(|&slot| core.claim_mapped(slot)).collect();
        core.empty(&mapped)?;
        core.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
        self.backend().attach(core.arena(), view)?;
        core.note_shared_view(view.is_some());
        Ok(())
    }
}

impl View<'_> {
    /// What a slot shows.
    pub fn get(&self, slot: u32) -> Result<Option<SlotView>> {
        self.0.core().view_entry(slot)
    }

    /// Stores an entry, unless an object is open in the slot. One that is mapped
    /// may go on showing what it showed until [`View::invalidate`].
    pub fn set(&self, slot: u32, id: ObjectId, protection: Rights) -> Result<()> {
        if !id.is_valid() || !protection.check() {
            return Err(Error::Unsupported("not an id or not rights"));
        }
        let entry = self.0.core().view_entry_words(slot)?;
        self.0.core().refuse_open(slot)?;
        entry[2].store(0, Ordering::Release);
        entry[0].store(id.lo, Ordering::Relaxed);
        entry[1].store(id.hi, Ordering::Relaxed);
        entry[2].store(ViewEntry::live_word(protection), Ordering::Release);
        Ok(())
    }

    /// Empties an entry, unless an object is open in the slot.
    pub fn clear(&self, slot: u32) -> Result<()> {
        self.0.core().view_entry_words(slot)?;
        self.0.core().refuse_open(slot)?;
        self.0.core().release_view_slot(slot);
        Ok(())
    }

    /// Says that `count` entries from `first` on have changed: what was mapped
    /// for them is taken out, and the next touch reads the view again. Other
    /// processes that use the view drop their cached translations at once, and
    /// their mappings when they invalidate or leave.
    pub fn invalidate(&self, first: u32, count: u32) -> Result<()> {
        let core = self.0.core();
        let slots = first.max(1)..first.saturating_add(count).min(core.arena().slots());
        slots.clone().try_for_each(|slot| core.refuse_open(slot))?;
        let mapped: Vec<_> = slots.clone().filter(|&slot| core.claim_mapped(slot)).collect();
        core.empty(&mapped)?;
        self.0.backend().invalidate(slots.start, slots.len() as u32)
    }

    /// First address of a slot in this process.
    pub fn address(&self, slot: u32) -> usize {
        self.0.core().arena().address(slot)
    }

    /// How many slots there are; slot 0 is not for objects.
    pub fn slots(&self) -> u32 {
        self.0.core().arena().slots()
    }
}

impl Core {
    /// Refuses to have a slot show something else in which an object is open:
    /// references into it would come to mean something else.
    fn refuse_open(&self, slot: u32) -> Result<()> {
        match self.arena().info(slot).map_or(0, |info| info.pins.load(Ordering::Acquire)) {
            0 => Ok(()),
            _ => Err(Error::Busy {
                what: "an object is open in that slot; drop it before its view is changed",
            }),
        }
    }

    fn view_entry_words(&self, slot: u32) -> Result<&[AtomicU64]> {
        if slot == 0 {
            return Err(Error::Unsupported("slot 0 is not for objects"));
        }
        self.arena().view_words(slot).ok_or(Error::NoSlot)
    }

    /// What the view says about a slot: copied out, then checked.
    pub(crate) fn view_entry(&self, slot: u32) -> Result<Option<SlotView>> {
        let words = self.view_entry_words(slot)?;
        let word = words[2].load(Ordering::Acquire);
        let id =
            ObjectId { lo: words[0].load(Ordering::Relaxed), hi: words[1].load(Ordering::Relaxed) };
        let entry = ViewEntry { id, word, reserved: words[3].load(Ordering::Relaxed) };
        // The fault handler comes by here: say it without allocating.
        entry
            .check()
            .map_err(|_| Error::BadPointer { why: "the view's entry for this slot is damaged" })
    }

    /// Looks at the `place`th slot where `id` may be, in the order that its hash
    /// gives: the view is a hash table, so that all who share it find the same
    /// slots. Takes the entry if it is free; says whether it is new.
    pub(crate) fn claim_view_slot(
        &self,
        id: ObjectId,
        rights: Rights,
        place: u32,
    ) -> Result<Option<(u32, bool)>> {
        let start = (id.lo ^ id.hi).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let slot =
            ((start + self.first_slot() + place as u64) % self.arena().slots() as u64) as u32;
        if slot == 0 {
            return Ok(None);
        }
        let words = self.view_entry_words(slot)?;
        let live = ViewEntry::live_word(rights);
        if !take(&words[0], id.lo) || !take(&words[1], id.hi) {
            return Ok(None);
        }
        let there = match words[2].load(Ordering::Acquire) {
            0 => match words[2].compare_exchange(0, live, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Some((slot, true))),
                Err(there) => there,
            },
            there => there,
        };
        Ok((there == live).then_some((slot, false)))
    }

    /// Empties an entry: first what publishes it.
    pub(crate) fn release_view_slot(&self, slot: u32) {
        if let Ok(words) = self.view_entry_words(slot) {
            for word in words.iter().rev() {
                word.store(0, Ordering::Release);
            }
        }
    }
}

/// Makes a free word ours, or finds that it is.
pub(crate) fn take(word: &AtomicU64, ours: u64) -> bool {
    // A load first: a failed exchange costs as much as one that succeeds.
    match word.load(Ordering::Acquire) {
        0 => match word.compare_exchange(0, ours, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(there) => there == ours,
        },
        there => there == ours,
    }
}
