// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Deleting an object, in two steps: it leaves the table now, and gives its
//! pages back once nobody has it mapped, in as many goes as one likes.

use twz_abi::ObjectId;

use crate::{
    error::{Result, StoreError},
    media::Media,
    release::Budget,
    store::{RecordNo, Store},
};

impl<M: Media> Store<M> {
    /// Takes an object that no name is bound to out of the table. Its pages stay
    /// until [`Store::reclaim`] or, after a power cut, the next opening.
    pub fn delete(&mut self, id: ObjectId) -> Result<RecordNo> {
        self.writable()?;
        let (r, before) = self.search_chain(id)?.ok_or(StoreError::NotFound { id })?;
        let names = self.live(r)?.names;
        if names != 0 {
            return Err(StoreError::Bound { id, names });
        }
        self.transact(|s| s.retire(r, before))?;
        Ok(r)
    }

    /// Gives back the pages and the record of a deleted object, or of what
    /// [`Store::resize_detached`] cut off. Nothing may have it mapped, and `r`
    /// means nothing after this.
    pub fn reclaim(&mut self, r: RecordNo) -> Result<()> {
        self.give_back(r, &mut Budget::unlimited()).map(|_| ())
    }

    /// As [`Store::reclaim`], but gives back `budget` pages or so, and returns
    /// whether that was all of it. Anything may be done to the store before this
    /// is called again; what is left after a power cut goes at the next opening.
    pub fn reclaim_some(&mut self, r: RecordNo, budget: u64) -> Result<bool> {
        self.give_back(r, &mut Budget::of(budget))
    }

    fn give_back(&mut self, r: RecordNo, budget: &mut Budget) -> Result<bool> {
        self.transact(|s| {
            s.dying(r)?;
            if !s.drop_pages(r, budget)? {
                return Ok(false);
            }
            if !s.room() {
                s.commit()?;
            }
            s.free_record(r)?;
            Ok(true)
        })
    }
}
