// SPDX-License-Identifier: GPL-2.0 OR MIT
//! An object's epoch, which only grows: what was granted before is void.

use twz_abi::meta;

use crate::{
    error::{Result, StoreError},
    media::Media,
    store::{RecordNo, Store},
};

impl<M: Media> Store<M> {
    /// Raises the epoch, durably. Any object has one, immutable ones too: it is
    /// about the object and not in it.
    pub fn raise_epoch(&mut self, r: RecordNo, epoch: u64) -> Result<()> {
        self.writable()?;
        let record = self.held(r)?;
        if epoch <= record.epoch || epoch > meta::MAX_EPOCH {
            return Err(StoreError::Epoch { id: record.id, epoch: record.epoch });
        }
        self.transact(|s| {
            let mut record = s.record(r)?;
            record.epoch = epoch;
            s.put_record(r, &record)
        })
    }
}
