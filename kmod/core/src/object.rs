// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Making an object and looking at it: [`NewObject`], `create`, `stat`.

use twz_abi::{
    meta,
    record::{state, DIRECT, FANOUT},
    ObjectId, ObjectRecord, MAX_DATA,
};
use zerocopy::FromZeros as _;

use crate::{
    error::{Result, StoreError},
    ident::Identity,
    map::{Branch, TAIL_PAGE},
    media::Media,
    store::{RecordNo, Store},
};

/// What an object is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewObject {
    /// What its id is made from.
    pub identity: Identity,
    /// [`twz_abi::meta::kind`]; a directory is made by `mkdir` only.
    pub kind: u32,
    /// Fingerprint of the root's type, or 0 for bytes.
    pub fingerprint: u64,
    /// Bytes of data, all holes. A copy has the size of its source.
    pub size: u64,
    /// Its epoch: 0, unless it comes from elsewhere and has been through some.
    pub epoch: u64,
}

impl NewObject {
    /// Bytes, empty.
    pub fn bytes(identity: Identity) -> Self {
        Self { identity, kind: meta::kind::BYTES, fingerprint: 0, size: 0, epoch: 0 }
    }

    /// The record of such an object.
    pub(crate) fn record(&self, id: ObjectId) -> ObjectRecord {
        ObjectRecord {
            id,
            nonce: self.identity.nonce,
            owner: self.identity.owner,
            content: self.identity.content,
            flags: self.identity.flags,
            default_rights: self.identity.default_rights,
            kind: self.kind,
            state: state::LIVE,
            fingerprint: self.fingerprint,
            size: self.size,
            epoch: self.epoch,
            ..ObjectRecord::new_zeroed()
        }
    }
}

impl<M: Media> Store<M> {
    /// Makes an object. `id` must be the identity's, and new to this pool. Its
    /// data are holes: whatever its size, it takes one record.
    pub fn create(&mut self, id: ObjectId, new: &NewObject) -> Result<RecordNo> {
        self.admit(id, new)?;
        self.transact(|s| s.insert(new.record(id)))
    }

    /// What the store knows of the object.
    pub fn stat(&self, r: RecordNo) -> Result<ObjectRecord> {
        self.held(r)
    }

    /// As [`Store::stat`], for who has had that of this object since the store was
    /// opened: the record's checksum, which is most of what it costs, is not made
    /// again, and its bytes are copied once. What is read of the object's pages is
    /// checked as ever.
    pub fn stat_again(&self, r: RecordNo, into: &mut ObjectRecord) -> Result<()> {
        self.held_again(r, into)
    }

    /// How many pages of the pool the object has, with the nodes of its map.
    /// Pages that it shares count for each who has them.
    pub fn pages_used(&self, r: RecordNo) -> Result<u64> {
        let record = self.held(r)?;
        let mut pages = 0;
        for page in (1..=DIRECT as u64).chain([TAIL_PAGE]) {
            pages += self.page_in(&record, page)?.is_some() as u64;
        }
        let Some(root) = self.root_of(&record)? else { return Ok(pages) };
        pages += 1;
        for i in 0..FANOUT {
            match self.branch(root, i)? {
                Branch::Hole => {}
                Branch::Huge(_) => pages += FANOUT,
                Branch::Leaf(leaf) => {
                    pages += 1;
                    for j in 0..FANOUT {
                        pages += (self.word(leaf * twz_abi::PAGE + j * 8)? != 0) as u64;
                    }
                }
            }
        }
        Ok(pages)
    }

    /// Refuses what cannot become a new object.
    pub(crate) fn admit(&self, id: ObjectId, new: &NewObject) -> Result<()> {
        self.writable()?;
        new.identity.verify(id)?;
        if new.kind == meta::kind::NAMES {
            return Err(StoreError::Directory { id });
        }
        if new.size > MAX_DATA {
            return Err(StoreError::Size { size: new.size, limit: MAX_DATA });
        }
        if new.epoch > meta::MAX_EPOCH {
            return Err(StoreError::Epoch { id, epoch: new.epoch });
        }
        self.absent(id)
    }

    /// Refuses an id that is taken.
    pub(crate) fn absent(&self, id: ObjectId) -> Result<()> {
        match self.search_chain(id)? {
            Some(_) => Err(StoreError::Exists { id }),
            None => Ok(()),
        }
    }

    /// Record `r` of an object whose bytes may change.
    pub(crate) fn mutable(&self, r: RecordNo) -> Result<ObjectRecord> {
        let record = self.held(r)?;
        let id = record.id;
        if record.kind == meta::kind::NAMES {
            return Err(StoreError::Directory { id });
        }
        if record.flags & meta::flags::IMMUTABLE != 0 {
            return Err(StoreError::Immutable { id });
        }
        Ok(record)
    }
}
