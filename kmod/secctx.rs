// SPDX-License-Identifier: GPL-2.0
//! Security contexts: what a context allows on an object, the second level.
//!
//! [`Contexts`] is what was loaded of them, guarded by the space's lock. Rights are
//! asked of a context alone and never written down for a view or a slot, so what is
//! kept grows with views plus contexts. Who acts in which is another matter; who
//! does, or may, keeps a [`Hold`], and a context that nobody holds may be forgotten.
//!
//! `secctx/context.rs` is one context, `load.rs` reads it from its object, `facts.rs`
//! is what that asks, and `withdraw.rs` sees to it that what it no longer allows is no
//! longer mapped, be it that it was loaded, something revoked, or that time has passed.

mod context;
mod facts;
mod load;
mod withdraw;

pub(crate) use context::{Context, Table};

use crate::{
    error::{Refusal, Result},
    guard::{on, Guard},
};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use kernel::{prelude::*, sync::Arc};
use twz_abi::{
    meta::flags,
    reason,
    security::{Policy, MAX_RECORDS},
    ObjectId, ObjectRecord, Rights,
};
use twz_core::security::{rules::Built, Rules};

/// Which context somebody acts in. It means that one as long as somebody holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// Most contexts that can be loaded.
const MAX_CONTEXTS: usize = 1 << 14;

/// Most records of all that are loaded, together.
const MAX_KEPT: usize = 8 * MAX_RECORDS as usize;

/// Contexts that are kept though nobody holds them, at most, half a second after
/// nobody does: who comes back to one finds it loaded, or its signatures verified.
const IDLE: usize = 64;

/// What a context that is not loaded allows: nothing.
const NOTHING: Rules<'static> = Rules::new(Policy { mask: Rights::NONE, flags: 0 }, 0, &[], &[]);

/// Keeps a context loaded. Cloned and dropped without any lock, also where nothing
/// may sleep.
pub(crate) struct Hold(Arc<Holders>);

/// Who holds a context.
pub(crate) struct Holders {
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
        Holders::hold(&self.0)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
    }
}

impl Holders {
    fn new(no: ContextNo, id: ObjectId) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { no, id, count: AtomicU32::new(0) }, GFP_KERNEL)?)
    }

    fn hold(this: &Arc<Self>) -> Hold {
        this.count.fetch_add(1, Ordering::Relaxed);
        Hold(this.clone())
    }

    /// How many hold it. With the space's lock held for writing, none stays none.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
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
    /// That of number 1 first.
    contexts: KVVec<Option<KBox<Context>>>,
    count: usize,
    /// Counts loads, by when they began.
    tickets: AtomicU64,
}

impl Contexts {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            default: Holders::new(ContextNo::DEFAULT, ObjectId::NULL)?,
            contexts: KVVec::new(),
            count: 0,
            tickets: AtomicU64::new(0),
        })
    }

    /// How many there are, the default one among them.
    pub(crate) fn count(&self) -> usize {
        1 + self.count
    }

    /// Those that are loaded.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Context> {
        self.contexts.iter().filter_map(|context| context.as_deref())
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Context> {
        self.contexts.iter_mut().filter_map(|context| context.as_deref_mut())
    }

    fn get(&self, no: ContextNo) -> Option<&Context> {
        self.contexts.get(no.0.checked_sub(1)? as usize)?.as_deref()
    }

    fn get_mut(&mut self, no: ContextNo) -> Option<&mut Context> {
        self.contexts.get_mut(no.0.checked_sub(1)? as usize)?.as_deref_mut()
    }

    /// The default context, held.
    pub(crate) fn default_hold(&self) -> Hold {
        Holders::hold(&self.default)
    }

    /// A context that is loaded, held.
    pub(crate) fn hold(&self, no: ContextNo) -> Option<Hold> {
        match no {
            ContextNo::DEFAULT => Some(self.default_hold()),
            _ => self.get(no).map(|context| Holders::hold(&context.holders)),
        }
    }

    /// The context that is loaded of this object; null is the default one.
    pub(crate) fn find(&self, id: ObjectId) -> Option<ContextNo> {
        match id.is_null() {
            true => Some(ContextNo::DEFAULT),
            false => self.iter().find(|context| context.id() == id).map(Context::no),
        }
    }

    /// The object of a context; null for the default one.
    pub(crate) fn id(&self, no: ContextNo) -> ObjectId {
        self.get(no).map_or(ObjectId::NULL, Context::id)
    }

    /// What a context's grants came to.
    pub(crate) fn built(&self, no: ContextNo) -> Option<Built> {
        self.get(no).map(Context::built)
    }

    /// What a context allows, on whatever object.
    #[inline]
    pub(crate) fn rules(&self, no: ContextNo) -> Rules<'_> {
        match no {
            ContextNo::DEFAULT => Rules::DEFAULT,
            _ => self.get(no).map_or(NOTHING, |context| context.table.rules()),
        }
    }

    /// What a context allows on an object.
    #[inline]
    pub(crate) fn rights(&self, no: ContextNo, record: &ObjectRecord) -> Rights {
        allowed(&self.rules(no), record)
    }

    /// A place in the order of loads.
    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts a context where it stays, under a number that is free.
    fn add(&mut self, make: impl FnOnce(Arc<Holders>) -> Context, id: ObjectId) -> Result<Hold> {
        let at = match self.contexts.iter().position(|place| place.is_none()) {
            Some(at) => at,
            None if self.contexts.len() < MAX_CONTEXTS => {
                self.contexts.push(None, GFP_KERNEL)?;
                self.contexts.len() - 1
            }
            None => return Err(Refusal::new(ENOSPC, reason::TOO_MANY).of(id)),
        };
        let holders = Holders::new(ContextNo(at as u32 + 1), id)?;
        let hold = Holders::hold(&holders);
        let context = KBox::new(make(holders), GFP_KERNEL)?;
        if let Some(place) = self.contexts.get_mut(at) {
            *place = Some(context);
            self.count += 1;
        }
        Ok(hold)
    }

    /// Those that nobody holds.
    fn idle(&self) -> impl Iterator<Item = &Context> {
        self.iter().filter(|context| context.holders() == 0)
    }

    /// Whether more are kept that nobody holds than are to be.
    fn too_many_idle(&self) -> bool {
        self.idle().count() > IDLE
    }

    /// Whether some have to go before one of `records` more is loaded.
    fn crowded(&self, records: usize) -> bool {
        let kept: usize = self.iter().map(Context::records).sum();
        kept + records > MAX_KEPT || self.count >= MAX_CONTEXTS || self.too_many_idle()
    }

    /// Forgets the oldest that nobody holds. Returns it, to be freed without the lock.
    fn forget(&mut self) -> Option<KBox<Context>> {
        let no = self.idle().min_by_key(|context| context.ticket).map(Context::no)?;
        let forgotten = self.contexts.get_mut(no.0.checked_sub(1)? as usize)?.take();
        self.count -= forgotten.is_some() as usize;
        forgotten
    }
}

/// What rules allow on an object.
#[inline]
fn allowed(rules: &Rules<'_>, record: &ObjectRecord) -> Rights {
    let immutable = record.flags & flags::IMMUTABLE != 0 && on(Guard::Immutable);
    rules.allowed(record.id, Rights(record.default_rights), immutable)
}
