// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `twz_core`'s decisions ask, answered from a pool: any [`Backend`], as far as
//! the caller may look at it.

use ed25519_dalek::VerifyingKey;
use twz_abi::{
    DATA_START, ObjectId,
    security::{Key, PublicKey, Signature},
};
use twz_core::security::{Facts, Object, Verifier};

use crate::backend::Backend;

/// The arithmetic of signatures, strictly: no key of small order, and of each
/// signature one form only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ed25519;

impl Verifier for Ed25519 {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(key).is_ok_and(|key| {
            let signature = ed25519_dalek::Signature::from_bytes(signature);
            key.verify_strict(message, &signature).is_ok()
        })
    }
}

/// What a pool says of its objects to who uses it.
pub(super) struct Said<'a>(pub &'a dyn Backend);

impl Facts for Said<'_> {
    fn object(&self, id: ObjectId) -> Option<Object> {
        let stat = self.0.stat(id).ok()?;
        Some(Object { id, identity: stat.identity, epoch: stat.epoch })
    }

    fn key(&self, id: ObjectId) -> Option<[u8; size_of::<Key>()]> {
        let mut bytes = [0; size_of::<Key>()];
        let whole = self.0.stat(id).ok()?.size == bytes.len() as u64;
        (whole && self.0.read(id, DATA_START, &mut bytes).is_ok()).then_some(bytes)
    }
}
