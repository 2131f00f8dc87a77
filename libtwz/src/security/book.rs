// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context as it was loaded: a copy of its bytes, what is known of them, and the
//! table of what they allow, in memory of its own. `twz_core` fills all of it in.

use twz_abi::{ObjectId, Rights, security::Policy};
use twz_core::security::{
    Facts, Loaded, Object, Rules, Slot, Spoiled,
    link::{self, Bytes, Link},
    rules::{Built, Gates, allowed_at, build, slots_for},
};

use super::Ed25519;

/// A loaded context.
#[derive(Clone)]
pub(crate) struct Book {
    id: ObjectId,
    policy: Policy,
    header: Bytes,
    records: Vec<Bytes>,
    links: Vec<Link>,
    slots: Vec<Slot>,
    gates: Vec<Gates>,
    seed: u64,
    built: Built,
}

impl Book {
    /// Reads a context out of a copy of its bytes. What `before` has verified is not
    /// verified again (rule S2).
    pub fn load(
        id: ObjectId,
        (header, records): (Bytes, Vec<Bytes>),
        before: Option<&Self>,
        facts: &impl Facts,
        (now, seed): (u64, u64),
    ) -> Result<Self, Spoiled> {
        let mut links = vec![Link::EMPTY; records.len()];
        let (policy, count) = link::read(id, &header, &records, &mut links)?;
        links.truncate(count);
        let known = before.map_or(&[][..], |before| &before.links);
        link::judge(&records, &mut links, known, facts, &Ed25519)?;
        let (slots, gates, built) = (Vec::new(), Vec::new(), Built::default());
        let mut book = Self { id, policy, header, records, links, slots, gates, seed, built };
        book.rebuild(facts, now);
        Ok(book)
    }

    /// Asks the time and the epochs again.
    pub fn rebuild(&mut self, facts: &impl Facts, now: u64) {
        let (mut slots, mut gates) =
            (vec![Slot::EMPTY; slots_for(self.links.len())], vec![Gates::EMPTY; self.links.len()]);
        let mut epoch = |id| facts.object(id).map(|object| object.epoch);
        let built = build(&self.loaded(), now, self.seed, &mut epoch, &mut slots, &mut gates);
        // There is as much memory as it asks for.
        self.built = built.unwrap_or_default();
        (self.slots, self.gates) = (slots, gates);
    }

    /// Whether these are the bytes that it was loaded from.
    pub fn is_of(&self, (header, records): &(Bytes, Vec<Bytes>)) -> bool {
        self.header == *header && self.records == *records
    }

    /// What it says of itself.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Grants that hold, grants that do not, and when that changes by itself.
    pub fn built(&self) -> Built {
        self.built
    }

    /// What it allows on an object. Takes no lock and no memory: where the time has
    /// gone past what the table was built for, the grants themselves are asked.
    pub fn allowed(&self, object: &Object, now: u64, facts: &impl Facts) -> Rights {
        if self.built.next.is_none_or(|next| now < next) {
            return self.rules().allowed_on(object);
        }
        let mut epoch = |id| facts.object(id).map(|object| object.epoch);
        allowed_at(&self.loaded(), object, now, &mut epoch)
    }

    fn rules(&self) -> Rules<'_> {
        Rules::new(self.policy, self.seed, &self.slots, &self.gates)
    }

    fn loaded(&self) -> Loaded<'_> {
        Loaded { id: self.id, policy: self.policy, records: &self.records, links: &self.links }
    }
}
