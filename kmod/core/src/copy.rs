// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Copying an object: the copy shares every page until one side writes.

use twz_abi::{meta, record::DIRECT, ObjectId};

use crate::{
    error::{Result, StoreError},
    map::TAIL_PAGE,
    media::Media,
    object::NewObject,
    store::{RecordNo, Store},
};

impl<M: Media> Store<M> {
    /// Makes object `id` a copy of `source`: its data and its FOT as they are
    /// now, its size, an identity of its own. Whatever the size, this counts at
    /// most 9 shares and copies at most one page, the tail. Whoever has pages of
    /// the source mapped for writing must be stopped from writing first.
    pub fn copy(&mut self, source: RecordNo, id: ObjectId, new: &NewObject) -> Result<RecordNo> {
        let from = self.held(source)?;
        if from.kind == meta::kind::NAMES {
            return Err(StoreError::Directory { id: from.id });
        }
        self.admit(id, new)?;
        self.transact(|s| {
            let mut record = NewObject { size: from.size, ..*new }.record(id);
            for (page, word) in (1..=DIRECT as u64).zip(from.direct) {
                if let Some(pool_page) = s.data_word(word, page)? {
                    s.share(pool_page)?;
                }
            }
            if let Some(root) = s.root_of(&from)? {
                s.share(root)?;
            }
            if let Some(tail) = s.data_word(from.tail, TAIL_PAGE)? {
                record.tail = s.copy_tail(tail, &record)?;
            }
            (record.direct, record.root) = (from.direct, from.root);
            s.insert(record)
        })
    }
}
