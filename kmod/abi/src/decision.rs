// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What the module decided about rights: the records that are read from `/dev/twz`
//! (INTERFACE.md, "What was decided"). They are told, never read back.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, reason, ObjectId};

/// What was decided: [`Decision::what`].
pub mod what {
    /// A fault was refused: `value` is the address.
    pub const FAULT_REFUSED: u32 = 1;
    /// A command was refused: `value` is its number.
    pub const COMMAND_REFUSED: u32 = 2;
    /// A context was loaded, `object`: `value` has the grants that hold in its lower
    /// half, and those that do not in its upper.
    pub const LOADED: u32 = 3;
    /// A program was attached to a context, `object`.
    pub const ATTACHED: u32 = 4;
    /// The epoch of `object` was raised, to `value`.
    pub const REVOKED: u32 = 5;
    /// Grants of a context, `object`, began or ended by the clock: `value` as for
    /// [`LOADED`]. It is nobody's doing.
    pub const TIMED: u32 = 6;
}

/// A decision.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Decision {
    /// When the module was loaded, in nanoseconds since 1970: `sequence` counts from then.
    pub since: u64,
    /// Its number, from 0. Where numbers are left out, so many were lost.
    pub sequence: u64,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// The object that it is about, or null.
    pub object: ObjectId,
    /// The context that the program acted in; null is the default one.
    pub context: ObjectId,
    /// What [`what`] says.
    pub value: u64,
    /// [`what`].
    pub what: u32,
    /// [`crate::reason`], for a refusal.
    pub reason: u32,
    /// The rights that were wanted.
    pub wanted: u32,
    /// Those that there were.
    pub granted: u32,
    /// The process, or 0.
    pub process: u32,
    /// Its user.
    pub user: u32,
}
layout!(Decision, 88, 8, {
    since: 0, sequence: 8, time: 16, object: 24, context: 40, value: 56, what: 64, reason: 68,
    wanted: 72, granted: 76, process: 80, user: 84,
});

/// Whether a refusal is about rights, and so a decision; the others are about arguments,
/// or about what is there. (A session that is another's is none: every child of a fork finds
/// out that way that it needs one of its own.)
pub const fn is_about_rights(reason: u32) -> bool {
    matches!(
        reason,
        reason::BAD_ID | reason::VIEW_DENIES | reason::CONTEXT_DENIES | reason::BAD_CONTEXT
            ..=reason::CODE_DENIES
    )
}
