// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, contexts and grants, made as a program makes them, and the commands about
//! them.

use ed25519_dalek::{Signer as _, SigningKey};
use twz_abi::{
    ObjectId, PAGE, Rights, ioctl as abi, meta,
    security::{
        AttachClaim, ContextHeader, Gate, Grant, Key, Mask, Policy, RECORD, RevokeClaim,
        SECURITY_VERSION, Signature,
    },
};
use zerocopy::{FromZeros as _, IntoBytes};

use crate::{errno::Result, sys::Session, world::OPEN};

/// Who signs: a key, and its object.
#[derive(Clone)]
pub struct Owner {
    key: SigningKey,
    /// The key's object.
    pub id: ObjectId,
}

impl Owner {
    /// The one of this number.
    pub fn new(session: &Session, number: u8) -> Self {
        let key = SigningKey::from_bytes(&[number; 32]);
        let source = session.create(64, OPEN);
        let data = Key::new(key.verifying_key().to_bytes());
        assert_eq!(session.write(source, PAGE, data.as_bytes()), Ok(64));
        let create = abi::Create {
            flags: meta::flags::IMMUTABLE,
            // Of its own: tests run one after the other, and may be killed.
            default_rights: Rights::READ.or(Rights::DELETE).0,
            ..Default::default()
        };
        let id = session.copy_as(source, create).expect("the key's object");
        Self { key, id }
    }

    /// An object of its own.
    pub fn object(&self, session: &Session, size: u64, rights: Rights) -> ObjectId {
        let default_rights = rights.or(Rights::DELETE).0;
        let create = abi::Create { size, owner: self.id, default_rights, ..Default::default() };
        session.create_as(create).expect("CREATE")
    }

    /// An object of its own with these data, which it alone can let others have.
    pub fn secret(&self, session: &Session, data: &[u8]) -> ObjectId {
        let source = session.create(data.len() as u64, OPEN);
        assert_eq!(session.write(source, PAGE, data), Ok(data.len() as u64));
        let default_rights = Rights::DELETE.0;
        let create = abi::Create { owner: self.id, default_rights, ..Default::default() };
        let id = session.copy_as(source, create).expect("COPY");
        // Its pages are its own, again.
        assert_eq!(session.delete(source), Ok(()));
        id
    }

    /// Signs a grant.
    pub fn sign(&self, mut grant: Grant) -> Grant {
        grant.signature = self.key.sign(&grant.message()).to_bytes();
        grant
    }

    /// A capability on `target` for `accessor`.
    pub fn grant(&self, target: ObjectId, accessor: ObjectId, rights: Rights, gate: Gate) -> Grant {
        let mut grant = Grant::new_zeroed();
        grant.magic = twz_abi::security::GRANT_MAGIC;
        grant.version = SECURITY_VERSION;
        (grant.rights, grant.target, grant.accessor) = (rights.0, target, accessor);
        grant.gate = gate;
        self.sign(grant)
    }

    /// What has somebody attached.
    pub fn proof(&self, claim: &AttachClaim) -> Signature {
        self.key.sign(&claim.message()).to_bytes()
    }

    /// What raises an epoch.
    pub fn revocation(&self, claim: &RevokeClaim) -> Signature {
        self.key.sign(&claim.message()).to_bytes()
    }
}

/// A place where code is entered.
pub fn gate(offset: u64) -> Gate {
    Gate { offset, length: 1, align: 1 }
}

/// Makes a context of `owner` with room for some records, which everybody may use.
pub fn context(session: &Session, owner: ObjectId, mask: Rights, flags: u32) -> ObjectId {
    context_for(session, owner, mask, flags, Rights::USE)
}

/// The same, which grants everybody `rights` on itself.
pub fn context_for(
    session: &Session,
    owner: ObjectId,
    mask: Rights,
    flags: u32,
    rights: Rights,
) -> ObjectId {
    let create = abi::Create {
        kind: meta::kind::CONTEXT,
        size: RECORD as u64 * 40,
        owner,
        default_rights: rights.or(Rights(3)).or(Rights::DELETE).0,
        ..Default::default()
    };
    let id = session.create_as(create).expect("CREATE of a context");
    let header = ContextHeader::new(id, Policy { mask, flags });
    assert_eq!(session.write(id, PAGE, header.as_bytes()), Ok(RECORD as u64));
    id
}

/// Writes record `n` of a context.
pub fn put(session: &Session, context: ObjectId, n: u64, record: &impl RecordBytes) {
    let at = PAGE + (n + 1) * RECORD as u64;
    assert_eq!(session.write(context, at, record.record()), Ok(RECORD as u64));
}

/// What a context has records of.
pub trait RecordBytes {
    /// Its bytes.
    fn record(&self) -> &[u8];
}

impl RecordBytes for Grant {
    fn record(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl RecordBytes for Mask {
    fn record(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Session {
    /// What this program is attached to, with a new nonce.
    pub fn contexts(&self) -> abi::ContextState {
        let mut told = abi::ContextState::new_zeroed();
        self.call(abi::CONTEXTS, &mut told).expect("CONTEXTS");
        told
    }

    /// The active context.
    pub fn active(&self) -> ObjectId {
        self.contexts().active
    }

    /// ATTACH, with these flags.
    pub fn attach(&self, context: ObjectId, flags: u32) -> Result {
        let signature = [0; 64];
        self.call(abi::ATTACH, &mut abi::Attach { context, flags, reserved: 0, signature })
    }

    /// ATTACH with a proof.
    pub fn attach_proven(&self, context: ObjectId, flags: u32, signature: Signature) -> Result {
        let flags = flags | abi::attach_flags::PROOF;
        self.call(abi::ATTACH, &mut abi::Attach { context, flags, reserved: 0, signature })
    }

    /// DETACH.
    pub fn detach(&self, context: ObjectId) -> Result {
        self.call(abi::DETACH, &mut abi::ContextOnly { context, ..Default::default() })
    }

    /// SWITCH.
    pub fn switch(&self, context: ObjectId) -> Result {
        self.call(abi::SWITCH, &mut abi::ContextOnly { context, ..Default::default() })
    }

    /// LOAD: grants that hold, and those that do not.
    pub fn load(&self, context: ObjectId) -> Result<(u32, u32)> {
        let mut load = abi::ContextOnly { context, ..Default::default() };
        self.call(abi::LOAD, &mut load)?;
        Ok((load.grants, load.void))
    }

    /// The claim that a proof for the next attachment to `context` signs.
    pub fn claim(&self, context: ObjectId) -> AttachClaim {
        AttachClaim { pool: self.info().pool_id, context, nonce: self.contexts().nonce }
    }

    /// REVOKE.
    pub fn revoke(&self, owner: &Owner, object: ObjectId, epoch: u64) -> Result {
        let signature = owner.revocation(&RevokeClaim { object, epoch, reserved: 0 });
        self.call(abi::REVOKE, &mut abi::Revoke { object, epoch, reserved: 0, signature })
    }
}
