// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Commands about security contexts: arguments. SECURITY.md says what they do.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    layout::layout,
    security::{Signature, MAX_ATTACHED},
    ObjectId,
};

/// Flags of [`Attach`].
pub mod attach_flags {
    /// Make it the active one, too.
    pub const SWITCH: u32 = 1;
    /// Not beyond exec.
    pub const CLOEXEC: u32 = 2;
    /// With a proof in the signature.
    pub const PROOF: u32 = 4;
    /// The bits that have a meaning.
    pub const KNOWN: u32 = SWITCH | CLOEXEC | PROOF;
}

/// Argument of [`super::CONTEXTS`]: all of it is the answer. Asking makes a new nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ContextState {
    /// The active context, or null for the default one.
    pub active: ObjectId,
    /// All that are attached, the default one as null, in the order of attaching.
    pub attached: [ObjectId; MAX_ATTACHED],
    /// How many.
    pub count: u32,
    /// [`crate::security::context_flags`] of the active one.
    pub flags: u32,
    /// What a proof for this memory map's next attachment has to cover.
    pub nonce: [u8; 32],
}
layout!(ContextState, 312, 8, { active: 0, attached: 16, count: 272, flags: 276, nonce: 280 });

/// Argument of [`super::ATTACH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attach {
    /// The context.
    pub context: ObjectId,
    /// [`attach_flags`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// The owner's, over [`crate::security::AttachClaim`]; zeros without a proof.
    pub signature: Signature,
}
layout!(Attach, 88, 8, { context: 0, flags: 16, reserved: 20, signature: 24 });

/// Argument of [`super::DETACH`], [`super::SWITCH`] and [`super::LOAD`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ContextOnly {
    /// The context; null is the default one.
    pub context: ObjectId,
    /// Out, of `LOAD`: grants that hold.
    pub grants: u32,
    /// Out, of `LOAD`: grants that do not.
    pub void: u32,
    /// Zero.
    pub reserved: u64,
}
layout!(ContextOnly, 32, 8, { context: 0, grants: 16, void: 20, reserved: 24 });

/// Argument of [`super::REVOKE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Revoke {
    /// The object.
    pub object: ObjectId,
    /// Its new epoch, above the one it has.
    pub epoch: u64,
    /// Zero.
    pub reserved: u64,
    /// The owner's, over [`crate::security::RevokeClaim`].
    pub signature: Signature,
}
layout!(Revoke, 96, 8, { object: 0, epoch: 16, reserved: 24, signature: 32 });
