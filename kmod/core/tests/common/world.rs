// SPDX-License-Identifier: GPL-2.0 OR MIT
//! A small world for the tests of security: objects, keys that sign, contexts
//! that are built record by record and loaded as the kernel loads them.
#![allow(dead_code)]

use std::{cell::Cell, collections::HashMap};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use twz_abi::{
    meta,
    security::{
        ContextHeader, Gate, Grant, Key, Mask, Policy, PublicKey, Signature, GRANT_MAGIC, RECORD,
        SECURITY_VERSION,
    },
    ObjectId, Rights,
};
use twz_core::{
    ident::ContentHash,
    security::{
        link::{self, Bytes},
        rules, Facts, Gates, Link, Loaded, Object, Rules, Slot, Spoiled, Verifier,
    },
    Identity,
};
use zerocopy::IntoBytes as _;

/// Somebody who owns things.
#[derive(Clone)]
pub struct Owner {
    pub id: ObjectId,
    pub signer: SigningKey,
}

/// Objects and keys.
#[derive(Default)]
pub struct World {
    pub objects: HashMap<ObjectId, Object>,
    pub keys: HashMap<ObjectId, [u8; 64]>,
    /// Records that a load may look at before it is told to stop.
    pub patience: Cell<Option<u32>>,
    made: u64,
}

/// Checks signatures as both sides do, and counts.
#[derive(Default)]
pub struct Dalek(pub Cell<u32>);

impl Verifier for Dalek {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        self.0.set(self.0.get() + 1);
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl Facts for World {
    fn object(&self, id: ObjectId) -> Option<Object> {
        self.objects.get(&id).copied()
    }

    fn key(&self, id: ObjectId) -> Option<[u8; 64]> {
        self.keys.get(&id).copied()
    }

    fn go_on(&self) -> bool {
        match self.patience.get() {
            None => true,
            Some(left) => {
                self.patience.set(Some(left.saturating_sub(1)));
                left != 0
            }
        }
    }
}

impl World {
    fn add(&mut self, mut identity: Identity) -> ObjectId {
        loop {
            self.made += 1;
            identity.nonce[..8].copy_from_slice(&self.made.to_le_bytes());
            if let Some(id) = identity.id() {
                self.objects.insert(id, Object { id, identity, epoch: 0 });
                return id;
            }
        }
    }

    pub fn object(&mut self, owner: ObjectId, default: Rights) -> ObjectId {
        self.add(Identity { owner, default_rights: default.0, ..Identity::plain([0; 16]) })
    }

    /// A key object around these bytes.
    pub fn key_of(&mut self, bytes: [u8; 64]) -> ObjectId {
        let mut hash = ContentHash::new();
        hash.update(&bytes);
        let identity = Identity {
            flags: meta::flags::IMMUTABLE,
            content: hash.finish(),
            ..Identity::plain([0; 16])
        };
        let id = self.add(identity);
        self.keys.insert(id, bytes);
        id
    }

    pub fn owner(&mut self, seed: u8) -> Owner {
        let signer = SigningKey::from_bytes(&[seed; 32]);
        let key = Key::new(signer.verifying_key().to_bytes());
        let id = self.key_of(key.as_bytes().try_into().unwrap());
        Owner { id, signer }
    }

    pub fn raise(&mut self, id: ObjectId, epoch: u64) {
        self.objects.get_mut(&id).unwrap().epoch = epoch;
    }

    pub fn get(&self, id: ObjectId) -> Object {
        self.objects[&id]
    }
}

/// A capability, not signed yet.
pub fn capability(target: ObjectId, accessor: ObjectId, rights: Rights) -> Grant {
    Grant {
        magic: GRANT_MAGIC,
        version: SECURITY_VERSION,
        rights: rights.0,
        target,
        accessor,
        grantor: ObjectId::NULL,
        gate: Gate::NONE,
        not_before: 0,
        expires: 0,
        epoch: 0,
        parent: [0; 32],
        reserved: [0; 48],
        signature: [0; 64],
    }
}

/// The same passed on, not signed yet.
pub fn delegation(parent: &Grant, accessor: ObjectId, rights: Rights) -> Grant {
    Grant {
        rights: rights.0,
        accessor,
        grantor: parent.accessor,
        parent: link::digest(parent),
        epoch: 0,
        signature: [0; 64],
        ..*parent
    }
}

impl Owner {
    pub fn sign(&self, grant: Grant) -> Grant {
        Grant { signature: self.signer.sign(&grant.message()).to_bytes(), ..grant }
    }
}

/// A context's bytes.
#[derive(Clone)]
pub struct Context {
    pub id: ObjectId,
    pub header: Bytes,
    pub records: Vec<Bytes>,
}

impl Context {
    pub fn new(id: ObjectId, policy: Policy) -> Self {
        let header = ContextHeader::new(id, policy).as_bytes().try_into().unwrap();
        Self { id, header, records: Vec::new() }
    }

    pub fn open(id: ObjectId) -> Self {
        Self::new(id, Policy::OPEN)
    }

    pub fn grant(mut self, grant: &Grant) -> Self {
        self.records.push(grant.as_bytes().try_into().unwrap());
        self
    }

    pub fn mask(mut self, target: ObjectId, rights: Rights) -> Self {
        self.records.push(Mask::new(target, rights).as_bytes().try_into().unwrap());
        self
    }

    pub fn empty(mut self) -> Self {
        self.records.push([0; RECORD]);
        self
    }

    pub fn load(&self, world: &World) -> Result<Held, Spoiled> {
        self.load_after(world, &[], &Dalek::default())
    }

    pub fn load_after(
        &self,
        world: &World,
        before: &[Link],
        verifier: &Dalek,
    ) -> Result<Held, Spoiled> {
        let mut links = vec![Link::EMPTY; self.records.len()];
        let (policy, count) = link::read(self.id, &self.header, &self.records, &mut links)?;
        links.truncate(count);
        link::judge(&self.records, &mut links, before, world, verifier)?;
        Ok(Held { id: self.id, policy, records: self.records.clone(), links })
    }
}

/// A context that is loaded.
pub struct Held {
    pub id: ObjectId,
    pub policy: Policy,
    pub records: Vec<Bytes>,
    pub links: Vec<Link>,
}

/// Its table.
pub struct Table {
    policy: Policy,
    pub built: rules::Built,
    slots: Vec<Slot>,
    gates: Vec<Gates>,
}

const SEED: u64 = 0x1234_5678_9abc_def1;

impl Held {
    pub fn loaded(&self) -> Loaded<'_> {
        let Self { id, policy, ref records, ref links } = *self;
        Loaded { id, policy, records, links }
    }

    pub fn at(&self, world: &World, now: u64) -> Table {
        let mut slots = vec![Slot::EMPTY; rules::slots_for(self.links.len())];
        let mut gates = vec![Gates::EMPTY; self.links.len()];
        let mut epoch = |id| world.objects.get(&id).map(|object| object.epoch);
        let built =
            rules::build(&self.loaded(), now, SEED, &mut epoch, &mut slots, &mut gates).unwrap();
        Table { policy: self.policy, built, slots, gates }
    }
}

impl Table {
    pub fn rules(&self) -> Rules<'_> {
        Rules::new(self.policy, SEED, &self.slots, &self.gates)
    }

    pub fn allowed(&self, world: &World, id: ObjectId) -> Rights {
        self.rules().allowed_on(&world.get(id))
    }
}
