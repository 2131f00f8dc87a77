// SPDX-License-Identifier: GPL-2.0
//! Security contexts: what a context allows on an object, the second level.
//!
//! A session acts in one context at a time ([`ContextNo`]). Rights are asked of
//! the context alone and never written down for a view or a slot, so what is
//! kept grows with views plus contexts. There is one context so far, which
//! grants every object the default rights that its id is made from.

use crate::guard::{on, Guard};
use twz_abi::{meta::flags, ObjectRecord, Rights};

/// Which context a session acts in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContextNo(u32);

impl ContextNo {
    /// The context in which everybody begins.
    pub(crate) const DEFAULT: Self = Self(0);
}

/// All contexts there are.
pub(crate) struct Contexts(());

impl Contexts {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1
    }

    /// What `context` allows on an object.
    pub(crate) fn rights(&self, _context: ContextNo, record: &ObjectRecord) -> Rights {
        let rights = Rights(record.default_rights);
        match record.flags & flags::IMMUTABLE {
            0 => rights,
            _ if !on(Guard::Immutable) => rights,
            _ => rights.without(Rights::WRITE),
        }
    }
}
