// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Deleting an object, in two steps: it leaves the table now, and gives its
//! pages back once nobody has it mapped.

use twz_abi::ObjectId;

use crate::{
    error::{Result, StoreError},
    media::Media,
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

    /// Gives back the pages and the record of a deleted object. Nothing may
    /// have it mapped, and `r` means nothing after this.
    pub fn reclaim(&mut self, r: RecordNo) -> Result<()> {
        self.transact(|s| {
            s.dying(r)?;
            s.drop_pages(r)?;
            if !s.room() {
                s.commit()?;
            }
            s.free_record(r)
        })
    }
}
