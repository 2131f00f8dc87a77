// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a context allows what it allows on an object, link by link: what `twz why`
//! says. Decided by the same code that decides at a fault, from what the caller
//! may read.

use twz_abi::{
    ObjectId, Rights,
    security::{Grant, Policy, Record},
};
use twz_core::security::{
    Facts as _, Flaw, Loaded,
    link::{self, digest, holds},
};

use super::{Context, DEFAULT, Ed25519, facts::Said};
use crate::{
    backend::Backend,
    error::{Error, Result},
};

/// A grant on the object, and what it comes from.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which record of the context it is.
    pub place: u32,
    /// What it says.
    pub grant: Grant,
    /// Its hash, by which delegations name it.
    pub hash: [u8; 32],
    /// Why it does not hold now, if it does not; [`Flaw::rule`] names the rule.
    pub flaw: Option<Flaw>,
    /// What it comes from: the grant before it, then the one before that, up to the
    /// capability, as far as they are in the context.
    pub chain: Vec<Link>,
}

/// What a context allows on an object, and why.
#[derive(Clone, Debug)]
pub struct Why {
    /// The context, or null for the default one.
    pub context: ObjectId,
    /// The object.
    pub object: ObjectId,
    /// What the context says of itself.
    pub policy: Policy,
    /// What the object grants to everybody.
    pub default: Rights,
    /// What the context leaves of that, ...
    pub mask: Rights,
    /// ... by a record for this object, or else by its own mask.
    pub mask_record: bool,
    /// Every grant on the object that the context has.
    pub grants: Vec<Link>,
    /// Whether its data never change, so that nothing grants the right to write.
    pub immutable: bool,
    /// What comes of it.
    pub allowed: Rights,
}

/// Why a context allows what it allows on an object now.
pub fn why(pool: &dyn Backend, context: ObjectId, object: ObjectId) -> Result<Why> {
    why_at(pool, context, object, super::now())
}

/// The same at another time, in nanoseconds since 1970.
pub fn why_at(pool: &dyn Backend, context: ObjectId, object: ObjectId, now: u64) -> Result<Why> {
    let facts = Said(pool);
    let about = pool.stat(object)?;
    let default = Rights(about.identity.default_rights);
    let immutable = about.identity.is_immutable();
    let mut why = Why {
        context,
        object,
        policy: Policy::OPEN,
        default,
        mask: Rights::ALL,
        mask_record: false,
        grants: Vec::new(),
        immutable,
        allowed: default,
    };
    if context != DEFAULT {
        let (header, records) = Context::open(pool, context)?.copy()?;
        let mut links = vec![link::Link::EMPTY; records.len()];
        let spoiled = |why| Error::spoiled(context, why);
        let (policy, count) =
            link::read(context, &header, &records, &mut links).map_err(spoiled)?;
        links.truncate(count);
        link::judge(&records, &mut links, &[], &facts, &Ed25519).map_err(spoiled)?;
        let loaded = Loaded { id: context, policy, records: &records, links: &links };
        (why.policy, why.mask) = (policy, policy.mask);
        let mut epoch = |id| facts.object(id).map(|object| object.epoch);
        for link in &links {
            match loaded.record(link) {
                Record::Mask(mask) if mask.target == object => {
                    (why.mask, why.mask_record) = (Rights(mask.rights), true);
                }
                Record::Grant(grant) if grant.target == object => {
                    why.grants.push(explain(&loaded, link, grant, now, &mut epoch));
                }
                _ => {}
            }
        }
    }
    let held = why.grants.iter().filter(|link| link.flaw.is_none());
    let granted = held.fold(Rights::NONE, |all, link| all | Rights(link.grant.rights));
    why.allowed = why.default.and(why.mask).or(granted);
    if immutable {
        why.allowed = why.allowed.without(Rights::WRITE);
    }
    Ok(why)
}

fn explain(
    loaded: &Loaded<'_>,
    link: &link::Link,
    grant: Grant,
    now: u64,
    epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
) -> Link {
    let mut chain = Vec::new();
    let mut next = loaded.parent(link);
    // A chain that leads round is cut: hashes cannot, but this does not rely on it.
    while let Some(parent) = next.filter(|_| chain.len() < twz_abi::security::MAX_CHAIN) {
        let Record::Grant(above) = loaded.record(parent) else { break };
        // As a link of a chain it is another context's, and that is no flaw.
        let flaw = match holds(loaded, parent, now, epoch).err() {
            Some(Flaw::Accessor) => in_chain(loaded, parent, now, epoch),
            other => other,
        };
        let (place, hash) = (parent.place(), digest(&above));
        chain.push(Link { place, grant: above, hash, flaw, chain: Vec::new() });
        next = loaded.parent(parent);
    }
    let flaw = holds(loaded, link, now, epoch).err();
    Link { place: link.place(), grant, hash: digest(&grant), flaw, chain }
}

/// What is wrong with a link of another context, seen from that one.
fn in_chain(
    loaded: &Loaded<'_>,
    link: &link::Link,
    now: u64,
    epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
) -> Option<Flaw> {
    let Record::Grant(grant) = loaded.record(link) else { return Some(Flaw::Shape) };
    holds(&Loaded { id: grant.accessor, ..*loaded }, link, now, epoch).err()
}
