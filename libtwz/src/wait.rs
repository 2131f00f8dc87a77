// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sleeping on a word of an object until somebody, in whatever process, has
//! changed it. [`crate::Object::wait`] and [`crate::Field::wait`] come here.

use std::{sync::atomic::AtomicU64, time::Duration};

use twz_abi::{Rights, SLOT};

use crate::{
    backend::{Waited, Word},
    error::{Error, Result},
    raw::object,
    space::Core,
};

impl Core {
    /// The rights that a slot is mapped with.
    pub(crate) fn granted(&self, slot: u32) -> Rights {
        self.arena().info(slot).map_or(Rights::NONE, |info| info.granted())
    }

    fn word(&self, slot: u32, offset: u64) -> Result<Word<'_>> {
        let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        if offset >= SLOT {
            return Err(Error::BadPointer { why: "it leads outside its object" });
        }
        let known = self.translate(slot, 0)?;
        // It may have grown since.
        let own = if offset.saturating_add(8) <= known.end() { known } else { self.refresh(slot)? };
        let word = object::place::<AtomicU64, _>(self, own, offset)?;
        Ok(Word { id, offset, word })
    }

    pub(crate) fn wait(
        &self,
        slot: u32,
        offset: u64,
        value: u64,
        timeout: Option<Duration>,
    ) -> Result<Waited> {
        self.backend().wait(&self.word(slot, offset)?, value, timeout)
    }

    pub(crate) fn wake(&self, slot: u32, offset: u64, count: u64) -> Result<u64> {
        let word = self.word(slot, offset)?;
        if !self.translate(slot, 0)?.writable() && !self.try_widen(slot) {
            return Err(Error::denied(word.id, Rights::WRITE));
        }
        self.backend().wake(&word, count)
    }
}
