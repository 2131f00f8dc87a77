// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flush, fence and persist, for programs that order their stores themselves.
//! `DURABILITY.md` says what each guarantees on which medium.

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::{DATA_START, ObjectId, log::place_of};

use super::{lock::Patience, session_if_active};
use crate::{
    Object, Persist,
    error::{Error, Result},
    space::{Core, Space},
};

impl Space {
    /// What any object's bytes were flushed before is durable before anything
    /// that is stored after.
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn fence(&self) {
        self.core().fence();
    }
}

impl<T> Object<T> {
    /// Sends `len` bytes of data, from byte `at` on, on their way to the medium.
    /// They are there after the next [`Space::fence`].
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn flush(&self, at: u64, len: u64) -> Result<()> {
        let core = self.space().core();
        let start = at.saturating_add(DATA_START);
        core.forget_log(self.slot())?;
        if core.own(self.slot())?.place(start, len).is_none() {
            let own = core.refresh(self.slot())?;
            let outside = Error::BadPointer { why: "the range lies outside its object" };
            own.place(start, len).ok_or(outside)?;
        }
        core.method().flush(self.address() + start as usize, len as usize)
    }

    /// Makes bytes of data durable.
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn persist(&self, at: u64, len: u64) -> Result<()> {
        self.flush(at, len)?;
        self.space().fence();
        Ok(())
    }

    /// Makes a value in this object durable.
    pub fn persist_value<U: Persist>(&self, value: &U) -> Result<()> {
        let address = (&raw const *value) as usize;
        if self.space().core().arena().slot_of(address) != Some(self.slot()) {
            return Err(Error::NotInObject);
        }
        let at = (address - self.address()) as u64 - DATA_START;
        self.persist(at, size_of::<U>() as u64)
    }
}

impl Core {
    /// Has an object name no log any more, as something is made durable past it:
    /// a replay after a power cut must not take that back. It does not before the
    /// caller's fence, for what it may find taken back was not promised before that.
    pub(crate) fn forget_log(&self, slot: u32) -> Result<()> {
        match self.forget_log_for_now(slot)? {
            Some(place) => self.method().flush((&raw const *place) as usize, 8),
            None => Ok(()),
        }
    }

    /// The same for who goes on to make all of the object durable. The word that was
    /// changed, if it was.
    pub(crate) fn forget_log_for_now(&self, slot: u32) -> Result<Option<&AtomicU64>> {
        let [_, _, _, place] = self.lock_words(slot)? else { return Ok(None) };
        // Who may not store to it has nothing to make durable.
        let nothing = place.load(Ordering::Acquire) == 0 || !self.durable();
        if nothing || !self.own(slot)?.writable() {
            return Ok(None);
        }
        let me = self.me()?;
        if !self.has_lock(slot, me)? {
            self.lock_slot(slot, me, Patience::Endless)?;
            let done = self.forget_locked(slot);
            self.unlock_slot(slot, me);
            return done;
        }
        // A transaction that is open sees to what it has recorded by itself.
        let within = session_if_active(self).is_some_and(|session| {
            session.try_borrow().is_ok_and(|open| open.number_of(self, slot).is_some())
        });
        if within { Ok(None) } else { self.forget_locked(slot) }
    }

    fn forget_locked(&self, slot: u32) -> Result<Option<&AtomicU64>> {
        let [_, lo, hi, place] = self.lock_words(slot)? else { return Ok(None) };
        let log = ObjectId { lo: lo.load(Ordering::Acquire), hi: hi.load(Ordering::Acquire) };
        if let Some(found) = place_of(log, place.load(Ordering::Acquire)) {
            self.leave_log(slot, log, found)?;
        }
        place.store(0, Ordering::Release);
        Ok(Some(place))
    }

    /// Makes everything done to an object durable, how far it reaches included.
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub(crate) fn sync_object(&self, id: ObjectId) -> Result<()> {
        self.backend().sync(id)?;
        #[cfg(feature = "crash-hooks")]
        crate::crash_hooks::sync(id);
        Ok(())
    }
}
