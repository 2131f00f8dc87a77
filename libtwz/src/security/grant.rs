// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is granted, before and after it is signed.

use twz_abi::{
    ObjectId, Rights,
    security::{GRANT_MAGIC, Gate, Grant, SECURITY_VERSION, SIGNATURE},
};
use twz_core::security::link::digest;

use super::{Context, KeyPair};
use crate::{backend::Backend, error::Result};

/// What a grant says of its target, whoever gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The object.
    pub target: ObjectId,
    /// What may be done with it.
    pub rights: Rights,
    /// Where its code may be entered.
    pub gate: Gate,
    /// Nanoseconds since 1970 from which it holds.
    pub not_before: u64,
    /// Nanoseconds since 1970 from which it holds no more, or 0.
    pub expires: u64,
    /// The epoch it is made for; `None` is the one there is now.
    pub epoch: Option<u64>,
}

impl Terms {
    /// These rights, from now on, for good, and without a gate.
    pub fn new(target: ObjectId, rights: Rights) -> Self {
        Self { target, rights, gate: Gate::NONE, not_before: 0, expires: 0, epoch: None }
    }

    /// The same with a gate.
    pub fn through(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// The same from one instant until another, or with 0 for good.
    pub fn between(self, not_before: u64, expires: u64) -> Self {
        Self { not_before, expires, ..self }
    }

    /// The same in an epoch.
    pub fn in_epoch(self, epoch: u64) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// A capability for a context, signed with the key of the target's owner.
    pub fn capability(
        &self,
        pool: &dyn Backend,
        accessor: ObjectId,
        key: &KeyPair,
    ) -> Result<Grant> {
        key.must_own(pool, self.target)?;
        let epoch = self.epoch_of(pool, self.target)?;
        Ok(sign(self.unsigned(accessor, epoch), key))
    }

    /// A delegation of what `grantor` holds by `parent` to another context, signed
    /// with the key of the grantor's owner. A gate or a time that is not said is the
    /// parent's. [`Context::accept`] puts it in place.
    pub fn delegation(
        &self,
        grantor: &Context<'_>,
        parent: &Grant,
        accessor: ObjectId,
        key: &KeyPair,
    ) -> Result<Grant> {
        key.must_own(grantor.pool(), grantor.id())?;
        let said = |own: u64, parents: u64| if own == 0 { parents } else { own };
        let runs = self.rights.contains(Rights::EXEC);
        let terms = Self {
            gate: if runs && self.gate.is_none() { parent.gate } else { self.gate },
            not_before: said(self.not_before, parent.not_before),
            expires: said(self.expires, parent.expires),
            ..*self
        };
        let grant = Grant {
            grantor: grantor.id(),
            parent: digest(parent),
            ..terms.unsigned(accessor, self.epoch_of(grantor.pool(), grantor.id())?)
        };
        Ok(sign(grant, key))
    }

    fn epoch_of(&self, pool: &dyn Backend, id: ObjectId) -> Result<u64> {
        self.epoch.map_or_else(|| Ok(pool.stat(id)?.epoch), Ok)
    }

    /// The record, for a capability, without a signature.
    pub fn unsigned(&self, accessor: ObjectId, epoch: u64) -> Grant {
        Grant {
            magic: GRANT_MAGIC,
            version: SECURITY_VERSION,
            rights: self.rights.0,
            target: self.target,
            accessor,
            grantor: ObjectId::NULL,
            gate: self.gate,
            not_before: self.not_before,
            expires: self.expires,
            epoch,
            parent: [0; 32],
            reserved: [0; 48],
            signature: [0; SIGNATURE],
        }
    }
}

/// Signs a grant, whatever it says: who loads it decides whether it holds.
pub fn sign(mut grant: Grant, key: &KeyPair) -> Grant {
    grant.signature = key.sign(&grant.message());
    grant
}
