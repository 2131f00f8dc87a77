// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair of keys: what owns objects and contexts, and signs for them.
//!
//! The public half is an immutable object ([`KeyPair::publish`]), whose id objects
//! carry as their owner. The secret half lives here while it is used, is wiped when
//! it is dropped, and is kept by [`super::secret`].

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use twz_abi::{
    DATA_START, ObjectId, Rights,
    meta::{flags, kind},
    security::{Key, PublicKey, Signature},
};
use twz_core::ident::ContentHash;
use zerocopy::{FromZeros as _, IntoBytes as _};
use zeroize::Zeroizing;

use super::made::make;
use crate::{
    backend::{Backend, NewObject},
    error::{Error, Result},
    raw::sys,
};

/// An ed25519 key pair.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl KeyPair {
    /// A new one.
    pub fn generate() -> Result<Self> {
        let seed = Zeroizing::new(sys::random::<32>()?);
        Ok(Self::from_seed(&seed))
    }

    /// The one that these 32 secret bytes make.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The secret bytes.
    pub(super) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a message, such as [`super::Grant::message`].
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message).to_bytes()
    }

    /// The public half as an object, whose id is what `owner` is in
    /// [`NewObject::owner`]. A key has one object in a pool: if it is there, this
    /// finds it. Everybody may read it, and nobody delete it.
    pub fn publish(&self, pool: &dyn Backend) -> Result<ObjectId> {
        let data = Key::new(self.public());
        let nonce = data.public.first_chunk().copied();
        let new = NewObject {
            nonce,
            flags: flags::IMMUTABLE,
            default_rights: Rights::READ,
            kind: kind::KEY,
            size: data.as_bytes().len() as u64,
            ..NewObject::default()
        };
        let mut content = ContentHash::new();
        content.update(data.as_bytes());
        let (id, _) = new.earn_id(content.finish())?;
        match pool.stat(id) {
            Ok(_) => return Ok(id),
            Err(Error::NoObject(_)) => {}
            Err(error) => return Err(error),
        }
        match make(pool, &new, data.as_bytes()) {
            Err(Error::Exists(_)) => Ok(id),
            made => made,
        }
    }

    /// The public key in a key object.
    pub fn public_of(pool: &dyn Backend, id: ObjectId) -> Result<PublicKey> {
        let bad = |error| Error::Format { what: format!("key {id}"), error };
        let stat = pool.stat(id)?;
        if stat.kind != kind::KEY || stat.size != size_of::<Key>() as u64 {
            let found = stat.kind as u64;
            return Err(bad(twz_abi::FormatError::Range { what: "key's kind or size", found }));
        }
        let mut key = Key::new_zeroed();
        pool.read(id, DATA_START, key.as_mut_bytes())?;
        key.check().map_err(bad)?;
        Ok(key.public)
    }

    /// Refuses to speak for what this key does not own: an object, or a context.
    pub(super) fn must_own(&self, pool: &dyn Backend, id: ObjectId) -> Result<()> {
        let owner = pool.stat(id)?.identity.owner;
        if owner.is_null() {
            return Err(Error::NotOwner { id, why: "nobody owns it" });
        }
        match Self::public_of(pool, owner)? == self.public() {
            true => Ok(()),
            false => Err(Error::NotOwner { id, why: "another key owns it" }),
        }
    }

    /// Visits every key object of a pool.
    pub fn list(
        pool: &dyn Backend,
        visit: &mut dyn FnMut(ObjectId, PublicKey) -> Result<()>,
    ) -> Result<()> {
        of_kind(pool, kind::KEY, &mut |id| visit(id, Self::public_of(pool, id)?))
    }
}

/// Visits every object of a kind that can be looked at.
pub(super) fn of_kind(
    pool: &dyn Backend,
    kind: u32,
    visit: &mut dyn FnMut(ObjectId) -> Result<()>,
) -> Result<()> {
    pool.list(&mut |id| match pool.stat(id) {
        Ok(stat) if stat.kind == kind => visit(id),
        _ => Ok(()),
    })
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({:02x?})", self.public())
    }
}
