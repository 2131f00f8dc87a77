// SPDX-License-Identifier: GPL-2.0
//! What deciding about contexts asks of the pool ([`Asked`]), and who does the
//! arithmetic of signatures ([`Ed25519`]). Neither is asked with the space's lock
//! held: it is taken for a moment for each fact, and verifying takes a while, and
//! half a kernel stack.

use crate::{
    error::Result,
    space::{Space, State},
    stats::Event,
    sys,
};
use core::cell::Cell;
use ed25519_dalek::VerifyingKey;
use twz_abi::{
    security::{AttachClaim, Key, PublicKey, RevokeClaim, Signature},
    ObjectId, DATA_START,
};
use twz_core::{
    security::{claim, Facts, Object, Verifier},
    Identity,
};

/// The pool, asked.
pub(super) struct Asked<'a>(pub(super) &'a Space);

impl Facts for Asked<'_> {
    fn object(&self, id: ObjectId) -> Option<Object> {
        let found = self.0.look(|state| state.find(id));
        let (_, record) = found.ok()?;
        Some(Object { id, identity: Identity::from(&record), epoch: record.epoch })
    }

    fn key(&self, id: ObjectId) -> Option<[u8; size_of::<Key>()]> {
        let mut bytes = [0; size_of::<Key>()];
        let read: Result<bool> = self.0.look(|state| {
            let (r, record) = state.find(id)?;
            state.store.read(r, DATA_START, &mut bytes)?;
            Ok(record.size == bytes.len() as u64)
        });
        read.ok()?.then_some(bytes)
    }

    fn go_on(&self) -> bool {
        sys::may_finish()
    }
}

impl State {
    /// The epoch of an object that is there.
    pub(super) fn epoch(&self, id: ObjectId) -> Option<u64> {
        self.find(id).ok().map(|(_, record)| record.epoch)
    }
}

/// Verifies, and counts it.
pub(super) struct Ed25519<'a> {
    space: &'a Space,
    /// How many were good.
    pub(super) good: Cell<u64>,
}

impl<'a> Ed25519<'a> {
    pub(super) fn new(space: &'a Space) -> Self {
        Self { space, good: Cell::new(0) }
    }
}

impl Verifier for Ed25519<'_> {
    #[inline(never)]
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        self.space.counters.count(Event::Signature);
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        let good = VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok());
        self.good.set(self.good.get() + good as u64);
        good
    }
}

impl Space {
    /// Whether a context's owner has signed that somebody may be attached (rule A1).
    pub(crate) fn is_signed(&self, claim: &AttachClaim, signature: &Signature) -> bool {
        claim::attaches(&Asked(self), &Ed25519::new(self), claim, signature)
    }

    /// Whether an object's owner has signed its new epoch (rule R1).
    pub(super) fn revokes(&self, claim: &RevokeClaim, signature: &Signature) -> bool {
        claim::revokes(&Asked(self), &Ed25519::new(self), claim, signature)
    }
}
