// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where objects are kept, as the rest of the library sees it.
//!
//! Two kinds of home implement this: the embedded pool directory
//! ([`crate::embedded`]) and a store in an image file ([`crate::image`], which
//! cannot map). The kernel module will be the third. Offsets are slot offsets
//! everywhere: data begins at 4096, the tail is at the end of the slot.

use std::os::fd::{BorrowedFd, OwnedFd};

use twz_abi::{ObjectId, Rights, meta};
use twz_core::ident::Identity;

use crate::{
    error::{Error, Result},
    raw::{SlotWindow, sys},
};

/// What an object shall be.
#[derive(Clone, Copy, Debug)]
pub struct NewObject {
    /// Makes the id differ; `None` takes a random one.
    pub nonce: Option<[u8; 16]>,
    /// The object with the owner's public key, or null.
    pub owner: ObjectId,
    /// [`meta::flags`].
    pub flags: u32,
    /// Rights that everybody has.
    pub default_rights: Rights,
    /// [`meta::kind`].
    pub kind: u32,
    /// Fingerprint of the root's type, or 0.
    pub fingerprint: u64,
    /// Bytes of data.
    pub size: u64,
}

impl Default for NewObject {
    fn default() -> Self {
        Self {
            nonce: None,
            owner: ObjectId::NULL,
            flags: 0,
            default_rights: Rights::DEFAULT,
            kind: meta::kind::BYTES,
            fingerprint: 0,
            size: 0,
        }
    }
}

impl NewObject {
    /// An id that nobody has, and what it is made from. `content` is the hash of
    /// an immutable object's data, else zeros.
    pub(crate) fn earn_id(&self, content: [u8; 32]) -> Result<(ObjectId, Identity)> {
        loop {
            let nonce = match self.nonce {
                Some(nonce) => nonce,
                None => sys::random()?,
            };
            let identity = Identity {
                nonce,
                owner: self.owner,
                flags: self.flags,
                default_rights: self.default_rights.0,
                content,
            };
            match identity.id() {
                Some(id) => return Ok((id, identity)),
                None if self.nonce.is_some() => {
                    return Err(Error::Unsupported("this nonce gives no valid id; use another"));
                }
                None => {}
            }
        }
    }
}

/// What an object is.
#[derive(Clone, Debug)]
pub struct ObjectStat {
    /// Its id.
    pub id: ObjectId,
    /// What its id is made from.
    pub identity: Identity,
    /// [`meta::kind`].
    pub kind: u32,
    /// Fingerprint of the root's type, or 0.
    pub fingerprint: u64,
    /// Bytes of data.
    pub size: u64,
    /// Bytes it takes on the medium.
    pub stored: u64,
    /// Names bound to it.
    pub names: u64,
}

/// What a pool is.
#[derive(Clone, Debug)]
pub struct PoolInfo {
    /// "directory" or "image".
    pub home: &'static str,
    /// Where it is.
    pub path: std::path::PathBuf,
    /// Its own id.
    pub pool_id: [u8; 16],
    /// Text for people.
    pub label: String,
    /// Seconds since 1970 at its creation.
    pub created: u64,
    /// Format version.
    pub version: u32,
    /// Objects in it; `None` where counting means listing.
    pub objects: Option<u64>,
    /// Bytes it could hold in all.
    pub capacity: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// How stores become durable here.
    pub durability: &'static str,
}

/// What a name is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// An object.
    Object(ObjectId),
    /// A directory of names.
    Directory,
}

/// What a backend mapped into a slot.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    /// The rights that the mapping has.
    pub granted: Rights,
    /// FOT pages below the tail page that are mapped.
    pub fot_pages: u32,
}

/// A home of objects.
pub trait Backend: Send + Sync {
    /// What the pool is.
    fn info(&self) -> Result<PoolInfo>;

    /// Makes an object. Nobody can know its id before this returns.
    fn create(&self, new: &NewObject) -> Result<ObjectId>;

    /// Puts in place an object that was made elsewhere, under the id it has.
    fn adopt(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId>;

    /// What an object is. The id is verified.
    fn stat(&self, id: ObjectId) -> Result<ObjectStat>;

    /// Visits every id, in no order.
    fn list(&self, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()>;

    /// Changes the size of the data.
    fn resize(&self, id: ObjectId, size: u64) -> Result<()>;

    /// Makes sure that data bytes `from` to `to` exist and have storage behind
    /// them, so that storing to them cannot fail.
    fn reserve(&self, id: ObjectId, from: u64, to: u64) -> Result<()>;

    /// Deletes an object. It stays for those who have it mapped, and is
    /// refused while names are bound to it.
    fn delete(&self, id: ObjectId) -> Result<()>;

    /// Makes an object with the data and the FOT of `source`; pages are shared
    /// until written where the medium can. With [`meta::flags::IMMUTABLE`] the
    /// new id covers the data.
    fn copy(&self, source: ObjectId, new: &NewObject) -> Result<ObjectId>;

    /// Copies bytes out of an object's slot. Holes are zeros.
    fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()>;

    /// Copies bytes into an object's slot, within its size or its tail.
    fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()>;

    /// Makes everything done to an object so far durable.
    fn sync(&self, id: ObjectId) -> Result<()>;

    /// What a path is bound to.
    fn lookup(&self, path: &str) -> Result<Binding>;

    /// Binds a path to an object; with `replace`, whatever it was bound to, in
    /// one step.
    fn bind(&self, path: &str, id: ObjectId, replace: bool) -> Result<()>;

    /// Takes a name away; the object stays.
    fn unbind(&self, path: &str) -> Result<()>;

    /// Renames, replacing what `to` was bound to.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Makes a directory of names.
    fn make_dir(&self, path: &str) -> Result<()>;

    /// Removes an empty directory of names.
    fn remove_dir(&self, path: &str) -> Result<()>;

    /// Visits the names in a directory, in no order.
    fn read_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()>;

    /// Says that cached translations may be stale.
    fn bump_generation(&self) -> Result<()>;

    /// The file and offset of the control page, for every process to map.
    fn control(&self) -> Option<(BorrowedFd<'_>, i64)>;

    /// Maps an object into a slot with the rights that are wanted, or as many
    /// of them as there are, reading at least. Runs in the fault handler: it
    /// must not allocate and takes no locks.
    fn map(&self, id: ObjectId, window: &SlotWindow<'_>, wanted: Rights) -> Result<Mapped>;

    /// Maps FOT pages that were added since; returns how many there are.
    /// Runs in the fault handler.
    fn map_fot(
        &self,
        id: ObjectId,
        window: &SlotWindow<'_>,
        from: u32,
        pages: u32,
        rights: Rights,
    ) -> Result<u32>;

    /// Bytes of data an object has now, without verifying it again.
    fn size(&self, id: ObjectId) -> Result<u64>;

    /// A view object's data, to map over the arena's view.
    fn open_data(&self, id: ObjectId, write: bool) -> Result<OwnedFd>;

    /// Waits for the exclusive right to change an object, among all processes.
    /// It ends when the result is dropped, or the process.
    fn lock(&self, id: ObjectId) -> Result<OwnedFd>;
}
