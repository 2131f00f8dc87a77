// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Keys, contexts and what is in them: the records that SECURITY.md is about.
//!
//! A context's data is a [`ContextHeader`] and then records of the same size, each
//! empty, a [`Grant`] or a [`Mask`], told apart by their first word. A record
//! becomes valid with its first word, which is stored last, and empty when that is
//! cleared, so that each change is one 8-byte store. What is signed is
//! [`Grant::message`], [`AttachClaim`] and [`RevokeClaim`]. Whether a grant holds
//! is for `twz_core::security` to say.

use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{checksum::crc32, layout::layout, FormatError, ObjectId, Rights, DATA_START, SLOT};

/// First word of a key: "TWZKEY01".
pub const KEY_MAGIC: u64 = u64::from_le_bytes(*b"TWZKEY01");
/// First word of a context: "TWZCTXT1".
pub const CONTEXT_MAGIC: u64 = u64::from_le_bytes(*b"TWZCTXT1");
/// First word of a grant: "TWZGRNT1".
pub const GRANT_MAGIC: u64 = u64::from_le_bytes(*b"TWZGRNT1");
/// First word of a mask: "TWZMASK1".
pub const MASK_MAGIC: u64 = u64::from_le_bytes(*b"TWZMASK1");
/// Version of all these records.
pub const SECURITY_VERSION: u32 = 1;
/// The one kind of key there is.
pub const ED25519: u32 = 1;

/// Bytes of a record, and of a context's header.
pub const RECORD: usize = 256;
/// Most records of a context.
pub const MAX_RECORDS: u64 = 131_072;
/// Most links of a chain of grants: a capability and seven delegations.
pub const MAX_CHAIN: usize = 8;
/// Most contexts that one can be attached to.
pub const MAX_ATTACHED: usize = 16;
/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// An ed25519 public key.
pub type PublicKey = [u8; 32];
/// An ed25519 signature.
pub type Signature = [u8; SIGNATURE];

/// What a context is like.
pub mod context_flags {
    /// Who is attached stays attached.
    pub const UNDETACHABLE: u32 = 1;
    /// It is left through a gate, or not at all.
    pub const CONFINED: u32 = 2;
    /// The bits that have a meaning.
    pub const KNOWN: u32 = UNDETACHABLE | CONFINED;
}

/// The data of a key object, which is immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Key {
    /// [`KEY_MAGIC`].
    pub magic: u64,
    /// [`SECURITY_VERSION`].
    pub version: u32,
    /// [`ED25519`].
    pub algorithm: u32,
    /// The key.
    pub public: PublicKey,
    /// Zero.
    pub reserved: [u8; 16],
}
layout!(Key, 64, 8, { magic: 0, version: 8, algorithm: 12, public: 16, reserved: 48 });

impl Key {
    /// A key's data.
    pub fn new(public: PublicKey) -> Self {
        Self {
            magic: KEY_MAGIC,
            version: SECURITY_VERSION,
            algorithm: ED25519,
            public,
            reserved: [0; 16],
        }
    }

    /// Whether these bytes are a key that this code can use.
    pub fn check(&self) -> Result<(), FormatError> {
        head("key", self.magic, KEY_MAGIC, self.version)?;
        if self.algorithm != ED25519 {
            let found = self.algorithm as u64;
            return Err(FormatError::Range { what: "key algorithm", found });
        }
        zeros("key", &self.reserved)
    }
}

/// The first bytes of a context's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ContextHeader {
    /// [`CONTEXT_MAGIC`].
    pub magic: u64,
    /// [`SECURITY_VERSION`].
    pub version: u32,
    /// Zero.
    pub reserved0: u32,
    /// The context's own id: a copy of it under another id is not one.
    pub id: ObjectId,
    /// Mask and flags, in one word with a check: [`policy_word`]. Atomic.
    pub policy: u64,
    /// Zero.
    pub reserved1: [u8; 216],
}
layout!(ContextHeader, 256, 8, {
    magic: 0, version: 8, reserved0: 12, id: 16, policy: 32, reserved1: 40,
});

/// What a context says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it leaves of default rights.
    pub mask: Rights,
    /// [`context_flags`].
    pub flags: u32,
}

impl Policy {
    /// That of the default context: all that objects grant to everybody.
    pub const OPEN: Self = Self { mask: Rights::ALL, flags: 0 };
}

/// The word for [`ContextHeader::policy`].
pub fn policy_word(policy: Policy) -> u64 {
    let low = policy.mask.0 & 0xffff | policy.flags << 16;
    low as u64 | (crc32(&low.to_le_bytes()) as u64) << 32
}

impl ContextHeader {
    /// A context without records.
    pub fn new(id: ObjectId, policy: Policy) -> Self {
        Self {
            magic: CONTEXT_MAGIC,
            version: SECURITY_VERSION,
            reserved0: 0,
            id,
            policy: policy_word(policy),
            reserved1: [0; 216],
        }
    }

    /// What the context `id` says of itself, if these bytes are its header.
    pub fn check(&self, id: ObjectId) -> Result<Policy, FormatError> {
        head("context", self.magic, CONTEXT_MAGIC, self.version)?;
        if self.reserved0 != 0 {
            return Err(FormatError::Reserved { what: "context" });
        }
        zeros("context", &self.reserved1)?;
        if self.id != id {
            return Err(FormatError::Range { what: "context's own id", found: self.id.lo });
        }
        let low = self.policy as u32;
        let policy = Policy { mask: Rights(low & 0xffff), flags: low >> 16 };
        if policy_word(policy) != self.policy
            || !policy.mask.check()
            || policy.flags & !context_flags::KNOWN != 0
        {
            return Err(FormatError::Range { what: "context policy", found: self.policy });
        }
        Ok(policy)
    }
}

/// A place in a target where its code may be entered. See SECURITY.md.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Gate {
    /// First slot offset.
    pub offset: u64,
    /// Bytes, or 0 for no gate: anywhere.
    pub length: u64,
    /// A power of two, or 0 with no gate.
    pub align: u64,
}
layout!(Gate, 24, 8, { offset: 0, length: 8, align: 16 });

impl Gate {
    /// No gate.
    pub const NONE: Self = Self { offset: 0, length: 0, align: 0 };

    /// Whether there is none: everything may be entered.
    pub const fn is_none(&self) -> bool {
        self.length == 0
    }

    /// Whether this slot offset may be entered.
    pub const fn admits(&self, at: u64) -> bool {
        if self.is_none() {
            return true;
        }
        at >= self.offset
            && at - self.offset < self.length
            && (at - self.offset) & (self.align.wrapping_sub(1)) == 0
    }

    /// Whether it admits nothing that `outer` does not.
    pub const fn is_within(&self, outer: &Self) -> bool {
        if outer.is_none() {
            return true;
        }
        !self.is_none()
            && self.offset >= outer.offset
            && self.length <= outer.length
            && self.offset - outer.offset <= outer.length - self.length
            && self.align >= outer.align
            && (self.offset - outer.offset) & (outer.align.wrapping_sub(1)) == 0
    }

    /// Whether it is none, or one within a slot.
    pub const fn check(&self) -> bool {
        if self.is_none() {
            return self.offset == 0 && self.align == 0;
        }
        self.align.is_power_of_two()
            && self.offset >= DATA_START
            && self.offset < SLOT
            && self.length <= SLOT - self.offset
    }
}

/// A capability, or a delegation if it has a grantor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Grant {
    /// [`GRANT_MAGIC`].
    pub magic: u64,
    /// [`SECURITY_VERSION`].
    pub version: u32,
    /// [`Rights`].
    pub rights: u32,
    /// The object.
    pub target: ObjectId,
    /// The context that has the rights.
    pub accessor: ObjectId,
    /// The context that passes them on, or null.
    pub grantor: ObjectId,
    /// Where code may be entered.
    pub gate: Gate,
    /// Nanoseconds since 1970 from which it holds.
    pub not_before: u64,
    /// Nanoseconds since 1970 from which it holds no more, or 0.
    pub expires: u64,
    /// Epoch of the target, or of the grantor if there is one.
    pub epoch: u64,
    /// SHA-256 of the grant it comes from, or zero.
    pub parent: [u8; 32],
    /// Zero.
    pub reserved: [u8; 48],
    /// The signer's, over [`Grant::message`].
    pub signature: Signature,
}
layout!(Grant, 256, 8, {
    magic: 0, version: 8, rights: 12, target: 16, accessor: 32, grantor: 48, gate: 64,
    not_before: 88, expires: 96, epoch: 104, parent: 112, reserved: 144, signature: 192,
});

/// Bytes that a grant's signature covers.
pub const SIGNED: usize = RECORD - SIGNATURE;
/// Bytes of a word before what is signed, which says what it is.
const DOMAIN: usize = 16;

impl Grant {
    /// What is signed: a word that says what it is, and every byte before the signature.
    pub fn message(&self) -> [u8; DOMAIN + SIGNED] {
        message(b"twizzler grant 1", &self.as_bytes()[..SIGNED])
    }

    /// Whether it is a delegation.
    pub fn is_delegation(&self) -> bool {
        !self.grantor.is_null()
    }

    /// Whether these bytes say something that a grant can say (rule G1).
    pub fn check(&self) -> Result<(), FormatError> {
        head("grant", self.magic, GRANT_MAGIC, self.version)?;
        zeros("grant", &self.reserved)?;
        let range = |what, found| Err(FormatError::Range { what, found });
        let rights = Rights(self.rights);
        if !rights.check() || rights.is_empty() {
            return range("granted rights", self.rights as u64);
        }
        if !self.target.is_valid() || !self.accessor.is_valid() {
            return range("grant's target or accessor", self.target.lo);
        }
        if self.is_delegation() != (self.parent != [0; 32])
            || (self.is_delegation() && !self.grantor.is_valid())
        {
            return range("grant's grantor", self.grantor.lo);
        }
        if !self.gate.check() || (!self.gate.is_none() && !rights.contains(Rights::EXEC)) {
            return range("grant's gate", self.gate.offset);
        }
        if self.expires != 0 && self.expires <= self.not_before {
            return range("grant's end", self.expires);
        }
        Ok(())
    }
}

/// What a context leaves of one object's default rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Mask {
    /// [`MASK_MAGIC`].
    pub magic: u64,
    /// [`SECURITY_VERSION`].
    pub version: u32,
    /// [`Rights`].
    pub rights: u32,
    /// The object.
    pub target: ObjectId,
    /// Zero.
    pub reserved: [u8; 224],
}
layout!(Mask, 256, 8, { magic: 0, version: 8, rights: 12, target: 16, reserved: 32 });

impl Mask {
    /// A mask for one object.
    pub fn new(target: ObjectId, rights: Rights) -> Self {
        Self {
            magic: MASK_MAGIC,
            version: SECURITY_VERSION,
            rights: rights.0,
            target,
            reserved: [0; 224],
        }
    }

    fn check(&self) -> Result<(), FormatError> {
        head("mask", self.magic, MASK_MAGIC, self.version)?;
        zeros("mask", &self.reserved)?;
        if !Rights(self.rights).check() || !self.target.is_valid() {
            return Err(FormatError::Range { what: "mask", found: self.rights as u64 });
        }
        Ok(())
    }
}

/// A record of a context, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing.
    Empty,
    /// A grant, not yet [checked](Grant::check): one that cannot be grants nothing.
    Grant(Grant),
    /// A mask.
    Mask(Mask),
}

impl Record {
    /// What these bytes are; what is none of the three spoils its context (C3).
    pub fn parse(bytes: &[u8; RECORD]) -> Result<Self, FormatError> {
        let magic = bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let what = "context record";
        match magic {
            0 => Ok(Self::Empty),
            GRANT_MAGIC => match Grant::read_from_bytes(bytes) {
                Ok(grant) => Ok(Self::Grant(grant)),
                Err(_) => Err(FormatError::Magic { what, found: magic }),
            },
            MASK_MAGIC => match Mask::read_from_bytes(bytes) {
                Ok(mask) => mask.check().map(|()| Self::Mask(mask)),
                Err(_) => Err(FormatError::Magic { what, found: magic }),
            },
            found => Err(FormatError::Magic { what, found }),
        }
    }
}

/// What the owner of a context signs to have somebody attached to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AttachClaim {
    /// The pool.
    pub pool: [u8; 16],
    /// The context.
    pub context: ObjectId,
    /// What the module made for the one who asks.
    pub nonce: [u8; 32],
}
layout!(AttachClaim, 64, 8, { pool: 0, context: 16, nonce: 32 });

impl AttachClaim {
    /// What is signed.
    pub fn message(&self) -> [u8; DOMAIN + 64] {
        message(b"twizzler attach1", self.as_bytes())
    }
}

/// What the owner of an object signs to raise its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RevokeClaim {
    /// The object.
    pub object: ObjectId,
    /// Its new epoch.
    pub epoch: u64,
    /// Zero.
    pub reserved: u64,
}
layout!(RevokeClaim, 32, 8, { object: 0, epoch: 16, reserved: 24 });

impl RevokeClaim {
    /// What is signed.
    pub fn message(&self) -> [u8; DOMAIN + 32] {
        message(b"twizzler revoke1", self.as_bytes())
    }
}

fn message<const N: usize>(domain: &[u8; DOMAIN], bytes: &[u8]) -> [u8; N] {
    let mut message = [0; N];
    for (to, from) in message.iter_mut().zip(domain.iter().chain(bytes)) {
        *to = *from;
    }
    message
}

fn head(what: &'static str, found: u64, magic: u64, version: u32) -> Result<(), FormatError> {
    match version {
        _ if found != magic => Err(FormatError::Magic { what, found }),
        SECURITY_VERSION => Ok(()),
        found => Err(FormatError::Version { what, found }),
    }
}

fn zeros(what: &'static str, bytes: &[u8]) -> Result<(), FormatError> {
    match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(FormatError::Reserved { what }),
    }
}
