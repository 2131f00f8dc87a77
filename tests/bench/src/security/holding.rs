// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context that holds capabilities, in memory alone: what [`super::lookup`] asks
//! and [`super::verify`] loads, by the same calls that the kernel module and the
//! library make, without a pool below.

use std::collections::HashMap;

use twz::security::{Ed25519, Grant, Key, KeyPair, Policy, PublicKey, Signature, Terms, sign};
use twz_abi::{ObjectId, Rights, meta::flags, security::ContextHeader};
use twz_core::{
    Identity,
    ident::ContentHash,
    security::{
        Facts, Object, Verifier,
        link::{self, Bytes, Link},
    },
};
use zerocopy::IntoBytes as _;

use crate::{error::Failed, ptr::Random};

/// A context, and everything that its grants are about.
pub struct Holding {
    /// The context.
    pub id: ObjectId,
    /// What it grants, in order.
    pub grants: Vec<Grant>,
    /// Its records.
    pub records: Vec<Bytes>,
    /// The public half of the key that signed.
    pub key: PublicKey,
    header: Bytes,
    known: Known,
}

/// Objects, and the key that owns them.
struct Known {
    objects: HashMap<ObjectId, Object>,
    owner: ObjectId,
    key: [u8; size_of::<Key>()],
}

impl Facts for Known {
    fn object(&self, id: ObjectId) -> Option<Object> {
        self.objects.get(&id).copied()
    }

    fn key(&self, id: ObjectId) -> Option<[u8; size_of::<Key>()]> {
        (id == self.owner).then_some(self.key)
    }
}

/// Takes every signature for good: what a table says does not depend on when its
/// grants were signed, and 100,000 signatures take their time.
pub struct Trusting;

impl Verifier for Trusting {
    fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature) -> bool {
        true
    }
}

/// An id: a hash, so one number is as good as another one.
pub fn any_id(random: &mut Random) -> ObjectId {
    ObjectId { lo: random.next() | 1, hi: random.next() | 1 }
}

impl Holding {
    /// With `count` capabilities, whose rights differ; signed, if they are to be.
    pub fn new(count: usize, signed: bool) -> Self {
        let mut random = Random(count as u64);
        let pair = KeyPair::from_seed(&[7; 32]);
        let (id, owner) = (any_id(&mut random), any_id(&mut random));
        let data = Key::new(pair.public());
        let mut content = ContentHash::new();
        content.update(data.as_bytes());
        let (flags, content) = (flags::IMMUTABLE, content.finish());
        let identity = Identity { flags, content, ..Identity::plain([0; 16]) };
        let mut objects = HashMap::from([(owner, Object { id: owner, identity, epoch: 0 })]);
        let mut grants = Vec::with_capacity(count);
        for _ in 0..count {
            let target = any_id(&mut random);
            let identity = Identity { owner, ..Identity::plain([0; 16]) };
            objects.insert(target, Object { id: target, identity, epoch: 0 });
            // To read, or to read and write.
            let rights = Rights(1 | random.next() as u32 & 2);
            let grant = Terms::new(target, rights).unsigned(id, 0);
            grants.push(if signed { sign(grant, &pair) } else { grant });
        }
        let bytes = |grant: &Grant| zerocopy::transmute!(*grant);
        let records = grants.iter().map(bytes).collect();
        let header = zerocopy::transmute!(ContextHeader::new(id, Policy::OPEN));
        let known = Known { objects, owner, key: zerocopy::transmute!(data) };
        Self { id, grants, records, key: pair.public(), header, known }
    }

    /// Loads it; `before` is what an earlier load knew. Each grant has to hold.
    pub fn load(&self, before: &[Link], verifier: &impl Verifier) -> Result<Vec<Link>, Failed> {
        let spoiled = |why| Failed::new(format!("a context of {}: {why:?}", self.records.len()));
        let mut links = vec![Link::EMPTY; self.records.len()];
        let (_, count) =
            link::read(self.id, &self.header, &self.records, &mut links).map_err(spoiled)?;
        links.truncate(count);
        link::judge(&self.records, &mut links, before, &self.known, verifier).map_err(spoiled)?;
        match links.iter().find_map(Link::flaw) {
            None if links.len() == self.grants.len() => Ok(links),
            flaw => Err(Failed::new(format!("{} grants, flaw {flaw:?}", links.len()))),
        }
    }

    /// The same, verifying as the library does.
    pub fn load_verified(&self, before: &[Link]) -> Result<Vec<Link>, Failed> {
        self.load(before, &Ed25519)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_loads_and_what_is_not_does_not() {
        assert_eq!(Holding::new(5, true).load_verified(&[]).unwrap().len(), 5);
        assert!(Holding::new(5, false).load_verified(&[]).is_err());
        assert_eq!(Holding::new(5, false).load(&[], &Trusting).unwrap().len(), 5);
    }
}
