// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What owners sign besides grants: attaching somebody, and raising an epoch.
//! And how the owner's key is found, for these and for grants ([`super::link`]).

use twz_abi::{
    security::{AttachClaim, Key, PublicKey, RevokeClaim, Signature},
    ObjectId,
};
use zerocopy::FromBytes as _;

use super::{Facts, Verifier};
use crate::ident::ContentHash;

/// Why there is no key to check with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// Nobody owns the object, so nobody speaks for it (rule G5).
    NoOwner,
    /// The owner's key object is not there, not immutable, or not what its id covers
    /// (rule G4).
    NotAKey,
}

/// The public key that speaks for what `owner` owns.
pub fn key(facts: &impl Facts, owner: ObjectId) -> Result<PublicKey, NoKey> {
    if owner.is_null() {
        return Err(NoKey::NoOwner);
    }
    let object = facts.object(owner).ok_or(NoKey::NotAKey)?;
    let bytes = facts.key(owner).ok_or(NoKey::NotAKey)?;
    let mut hash = ContentHash::new();
    hash.update(&bytes);
    if !object.identity.is_immutable() || hash.finish() != object.identity.content {
        return Err(NoKey::NotAKey);
    }
    let key = Key::read_from_bytes(&bytes).map_err(|_| NoKey::NotAKey)?;
    key.check().map_err(|_| NoKey::NotAKey)?;
    Ok(key.public)
}

/// Whether the owner of a context has signed that this one may be attached to
/// it (rule A1).
pub fn attaches(
    facts: &impl Facts,
    verifier: &impl Verifier,
    claim: &AttachClaim,
    signature: &Signature,
) -> bool {
    speaks_for(facts, verifier, claim.context, &claim.message(), signature)
}

/// Whether the owner of an object has signed its new epoch (rule R1).
pub fn revokes(
    facts: &impl Facts,
    verifier: &impl Verifier,
    claim: &RevokeClaim,
    signature: &Signature,
) -> bool {
    claim.reserved == 0 && speaks_for(facts, verifier, claim.object, &claim.message(), signature)
}

fn speaks_for(
    facts: &impl Facts,
    verifier: &impl Verifier,
    id: ObjectId,
    message: &[u8],
    signature: &Signature,
) -> bool {
    let Some(object) = facts.object(id) else { return false };
    match key(facts, object.identity.owner) {
        Ok(key) => verifier.verify(&key, message, signature),
        Err(_) => false,
    }
}
