// SPDX-License-Identifier: GPL-2.0
//! One context that is loaded: what was copied of its object ([`Kept`]), which stays
//! the same until the next load, and what that allows now ([`Table`]).

use super::{ContextNo, Holders};
use crate::{error::Result, sys};
use kernel::{prelude::*, sync::Arc};
use twz_abi::{
    security::{Policy, Record},
    ObjectId, Rights,
};
use twz_core::security::{
    link::{Bytes, Loaded},
    rules::{self, Built},
    Gates, Link, Rules, Slot,
};

/// A context.
pub(crate) struct Context {
    pub(super) holders: Arc<Holders>,
    pub(super) kept: Arc<Kept>,
    pub(super) table: Table,
    /// When its load began, in the order of loads.
    pub(super) ticket: u64,
}

/// What was copied of a context's object, and is known of that whatever the time.
pub(crate) struct Kept {
    pub(super) id: ObjectId,
    pub(super) policy: Policy,
    pub(super) records: KVVec<Bytes>,
    pub(super) links: KVVec<Link>,
}

/// What a context allows.
pub(crate) struct Table {
    policy: Policy,
    seed: u64,
    slots: KVVec<Slot>,
    gates: KVVec<Gates>,
    pub(super) built: Built,
}

impl Context {
    pub(crate) fn id(&self) -> ObjectId {
        self.kept.id
    }

    pub(super) fn no(&self) -> ContextNo {
        self.holders.no
    }

    /// How many records it has that are not empty.
    pub(crate) fn records(&self) -> usize {
        self.kept.records.len()
    }

    /// How many grants hold, how many do not, and when that changes by itself.
    pub(crate) fn built(&self) -> Built {
        self.table.built
    }

    /// How many hold it.
    pub(crate) fn holders(&self) -> u32 {
        self.holders.count()
    }
}

impl Kept {
    pub(super) fn loaded(&self) -> Loaded<'_> {
        let Self { id, policy, ref records, ref links } = *self;
        Loaded { id, policy, records, links }
    }

    /// Whether some grant in it hangs on an object's epoch.
    pub(super) fn hangs_on(&self, id: ObjectId) -> bool {
        self.records.iter().any(|bytes| match Record::parse(bytes) {
            Ok(Record::Grant(grant)) => grant.target == id || grant.grantor == id,
            _ => false,
        })
    }
}

impl Table {
    /// The table of what a context allows at a time, with these epochs.
    pub(super) fn build(
        kept: &Kept,
        now: u64,
        epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
    ) -> Result<Self> {
        let mut table = Self::room(kept)?;
        table.fill(kept, now, epoch);
        Ok(table)
    }

    /// Room for the table of a context; as it is, it allows nothing.
    pub(super) fn room(kept: &Kept) -> Result<Self> {
        let (mut slots, mut gates) = (KVVec::new(), KVVec::new());
        let links = kept.links.len();
        slots.resize(rules::slots_for(links), Slot::EMPTY, GFP_KERNEL_ACCOUNT)?;
        gates.resize(links, Gates::EMPTY, GFP_KERNEL_ACCOUNT)?;
        // Secret, so that nobody can choose targets that fall into one place.
        let [seed, _]: [u64; 2] = zerocopy::transmute!(sys::random());
        let policy = Policy { mask: Rights::NONE, flags: kept.policy.flags };
        Ok(Self { policy, seed, slots, gates, built: Built::default() })
    }

    /// Fills room in.
    pub(super) fn fill(
        &mut self,
        kept: &Kept,
        now: u64,
        epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
    ) {
        let Self { seed, slots, gates, .. } = self;
        // Of no table, since there is room, nothing would be allowed.
        if let Some(built) = rules::build(&kept.loaded(), now, *seed, epoch, slots, gates) {
            (self.policy, self.built) = (kept.policy, built);
        }
    }

    /// Allows nothing from now on, until the next instant.
    pub(super) fn close(&mut self, now: u64) {
        self.policy.mask = Rights::NONE;
        self.slots.iter_mut().for_each(|slot| *slot = Slot::EMPTY);
        self.built = Built { next: Some(now), ..Built::default() };
    }

    #[inline]
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules::new(self.policy, self.seed, &self.slots, &self.gates)
    }
}
