// SPDX-License-Identifier: MIT OR Apache-2.0
//! An object on its way into a pool: an [`Incoming`] takes its FOT and data,
//! and nobody can open it before it is whole and verified.
//!
//! A directory collects files in `tmp/` and renames them into place. Any other
//! home fills a scratch object, whose id follows from the one that comes in,
//! and then copies it, sharing its pages: so a second attempt finds what the
//! first left and begins anew.

use twz_abi::{
    DATA_START, FotEntry, META_START, Meta, ObjectId, Rights,
    fot::{ENTRY_SIZE, entry_offset},
    meta::{MAX_EPOCH, epoch_of},
};
use twz_core::Identity;
use zerocopy::IntoBytes as _;

use crate::{
    backend::{Backend, NewObject},
    embedded::{EmbeddedPool, IncomingFiles},
    error::{Error, Result},
};

/// A pool that takes objects in.
pub struct Target<'a> {
    pool: &'a dyn Backend,
    directory: Option<EmbeddedPool>,
}

impl<'a> Target<'a> {
    /// Refuses a pool that cannot be written.
    pub fn new(pool: &'a dyn Backend) -> Result<Self> {
        let info = pool.info()?;
        if info.read_only {
            return Err(Error::ReadOnly);
        }
        let directory = match info.home {
            "directory" => Some(EmbeddedPool::open(&info.path)?),
            _ => None,
        };
        Ok(Self { pool, directory })
    }

    /// Begins to take in the object with this meta record. Its id must be
    /// earned, and new to the pool.
    pub fn begin(&self, meta: &Meta) -> Result<Incoming<'_>> {
        let id = meta.id;
        meta.check().map_err(|error| Error::Format { what: format!("object {id}"), error })?;
        Identity::from(meta).verify(id).map_err(|_| Error::BadId(id))?;
        super::refuse_present(self.pool, id)?;
        Ok(match &self.directory {
            Some(directory) => Incoming::Files(directory.take_in(meta)?),
            None => Incoming::Scratch(Scratch::new(self.pool, meta)?),
        })
    }

    /// Removes what an attempt that was cut off after its last step but one has
    /// left of an object that is there.
    pub fn discard(&self, meta: &Meta) -> Result<()> {
        if self.directory.is_some() {
            return Ok(());
        }
        match scratch_identity(meta).id().map(|id| self.pool.delete(id)) {
            None | Some(Ok(()) | Err(Error::NoObject(_))) => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }

    /// Makes all that was taken in durable.
    pub fn settle(&self) -> Result<()> {
        self.pool.sync_all()
    }
}

/// An object that is not there yet. Dropped, it leaves nothing.
pub enum Incoming<'a> {
    /// In files of a directory.
    Files(IncomingFiles<'a>),
    /// In a scratch object.
    Scratch(Scratch<'a>),
}

impl Incoming<'_> {
    /// Puts entries into the FOT, from entry `first` on, all of one page.
    pub fn fot(&mut self, first: u32, entries: &[FotEntry]) -> Result<()> {
        // They lie in the slot from the last to the first.
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_SIZE as usize);
        for entry in entries.iter().rev() {
            bytes.extend_from_slice(entry.as_bytes());
        }
        let Some(last) = first.checked_add(entries.len() as u32).and_then(|n| n.checked_sub(1))
        else {
            return Err(Error::BadPointer { why: "an FOT has no entry of this index" });
        };
        match self {
            Self::Files(files) => files.fot(last, &bytes),
            Self::Scratch(scratch) => scratch.pool.write(scratch.id, entry_offset(last), &bytes),
        }
    }

    /// Puts bytes into the data.
    pub fn data(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Files(files) => files.data(at, bytes),
            Self::Scratch(scratch) => scratch.pool.write(scratch.id, DATA_START + at, bytes),
        }
    }

    /// Verifies the object and puts it in place.
    pub fn finish(self) -> Result<ObjectId> {
        match self {
            Self::Files(files) => files.finish(),
            Self::Scratch(scratch) => scratch.finish(),
        }
    }
}

/// An object that stands in for the one that comes in.
pub struct Scratch<'a> {
    pool: &'a dyn Backend,
    id: ObjectId,
    meta: Meta,
}

impl<'a> Scratch<'a> {
    fn new(pool: &'a dyn Backend, meta: &Meta) -> Result<Self> {
        let identity = scratch_identity(meta);
        let new = NewObject {
            kind: meta.kind,
            fingerprint: meta.fingerprint,
            size: meta.size,
            ..NewObject::default()
        };
        let id = match pool.adopt(&identity, &new) {
            Err(Error::Exists(id)) => {
                pool.delete(id)?;
                pool.adopt(&identity, &new)?
            }
            other => other?,
        };
        let scratch = Self { pool, id, meta: *meta };
        let own = [meta.bounds, meta.heap, meta.generation];
        let at = META_START + std::mem::offset_of!(Meta, bounds) as u64;
        pool.write(id, at, own.as_bytes())?;
        Ok(scratch)
    }

    fn finish(self) -> Result<ObjectId> {
        let meta = &self.meta;
        let new = NewObject {
            nonce: Some(meta.nonce),
            owner: meta.owner,
            flags: meta.flags,
            default_rights: Rights(meta.default_rights),
            kind: meta.kind,
            fingerprint: meta.fingerprint,
            size: meta.size,
            epoch: epoch_of(meta.epoch).unwrap_or(MAX_EPOCH),
        };
        let made = self.pool.copy(self.id, &new)?;
        if made != meta.id {
            // The data of an immutable object are not those its id covers.
            self.pool.delete(made)?;
            return Err(Error::BadId(meta.id));
        }
        Ok(made)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let _ = self.pool.delete(self.id);
    }
}

/// Who stands in for an object: always the same for the same object.
fn scratch_identity(meta: &Meta) -> Identity {
    let mut nonce = meta.nonce;
    loop {
        for byte in &mut nonce {
            *byte ^= 0x5c;
        }
        let identity = Identity::plain(nonce);
        if identity.id().is_some_and(|id| id != meta.id) {
            return identity;
        }
        // One in 2^63: that nonce gives no id.
        nonce = (u128::from_le_bytes(nonce).wrapping_add(1)).to_le_bytes();
    }
}
