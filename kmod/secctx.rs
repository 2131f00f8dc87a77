// SPDX-License-Identifier: GPL-2.0
//! Security contexts: what a context allows on an object, the second level.
//!
//! [`Contexts`] is what was loaded of them, guarded by the space's lock. Rights are
//! asked of a context alone and never written down for a view or a slot, so what is
//! kept grows with views plus contexts. Who acts in which is another matter; who
//! does, or may, keeps a [`Hold`], and a context that nobody holds may be forgotten.

use crate::{
    error::{Refusal, Result},
    guard::{on, Guard},
    space::Space,
};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{prelude::*, sync::Arc};
use twz_abi::{
    meta::flags,
    reason,
    security::{AttachClaim, Policy, Signature},
    ObjectId, ObjectRecord, Rights,
};
use twz_core::security::Rules;

/// Which context somebody acts in. It means that one as long as somebody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextNo(u32);

impl ContextNo {
    /// The context in which everybody begins. It is always there.
    pub(crate) const DEFAULT: Self = Self(0);

    /// As a number, for what is changed atomically.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The same again.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What no context is: it allows nothing.
const NOTHING: Rules<'static> = Rules::new(Policy { mask: Rights::NONE, flags: 0 }, 0, &[], &[]);

/// Keeps a context loaded. Taken, cloned and dropped without any lock, also where
/// nothing may sleep.
pub(crate) struct Hold(Arc<Holders>);

struct Holders {
    no: ContextNo,
    id: ObjectId,
    count: AtomicU32,
}

impl Hold {
    /// Which one it is.
    pub(crate) fn no(&self) -> ContextNo {
        self.0.no
    }

    /// The context's object; null for the default one.
    pub(crate) fn id(&self) -> ObjectId {
        self.0.id
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
    }
}

/// What a load came to.
pub(crate) struct Loaded {
    pub hold: Hold,
    /// Grants that hold.
    pub grants: u32,
    /// Grants that do not.
    pub void: u32,
}

/// All contexts that are loaded.
pub(crate) struct Contexts {
    default: Arc<Holders>,
}

impl Contexts {
    pub(crate) fn new() -> Result<Self> {
        let default =
            Holders { no: ContextNo::DEFAULT, id: ObjectId::NULL, count: AtomicU32::new(0) };
        Ok(Self { default: Arc::new(default, GFP_KERNEL)? })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1
    }

    /// The default context, held.
    pub(crate) fn default_hold(&self) -> Hold {
        self.default.count.fetch_add(1, Ordering::Relaxed);
        Hold(self.default.clone())
    }

    /// The context that is loaded of this object; null is the default one.
    pub(crate) fn find(&self, id: ObjectId) -> Option<ContextNo> {
        id.is_null().then_some(ContextNo::DEFAULT)
    }

    /// The object of a context; null for the default one.
    pub(crate) fn id(&self, _context: ContextNo) -> ObjectId {
        ObjectId::NULL
    }

    /// What a context allows, on whatever object.
    #[inline]
    pub(crate) fn rules(&self, context: ContextNo) -> Rules<'_> {
        match context {
            ContextNo::DEFAULT => Rules::DEFAULT,
            _ => NOTHING,
        }
    }

    /// What a context allows on an object.
    #[inline]
    pub(crate) fn rights(&self, context: ContextNo, record: &ObjectRecord) -> Rights {
        let immutable = record.flags & flags::IMMUTABLE != 0 && on(Guard::Immutable);
        self.rules(context).allowed(record.id, Rights(record.default_rights), immutable)
    }
}

impl Space {
    /// A context to attach to, loaded if nobody holds it yet. Its object has to be there.
    pub(crate) fn hold_context(&self, id: ObjectId) -> Result<Hold> {
        self.load_context(id).map(|loaded| loaded.hold)
    }

    /// Reads a context's object anew, for all who are attached to it.
    pub(crate) fn load_context(&self, id: ObjectId) -> Result<Loaded> {
        Err(Refusal::new(EINVAL, reason::BAD_CONTEXT).of(id))
    }

    /// Whether a context's owner has signed this, to have somebody attached (rule A1).
    pub(crate) fn is_signed(&self, _claim: &AttachClaim, _signature: &Signature) -> bool {
        false
    }
}
