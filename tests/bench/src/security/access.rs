// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases `access` and `read_call`: a process in a context that allows it, by
//! grants alone, against one without a context, in a directory's pool.
//!
//! `access` reads a field, writes it and follows a pointer, often into another
//! object, after each was touched once. `read_call` copies 8 bytes out by a call,
//! which asks for rights each time.

use twz::{
    EmbeddedPool, Field, InitOptions, NewObject, Object, Persist, Ptr, Rights, Space,
    security::{Context, How, KeyPair, NewContext, Policy, Terms},
};
use twz_abi::{DATA_START, ObjectId};

use super::Size;
use crate::{
    error::Failed,
    machine,
    race::{Contender, race},
    report::Record,
};

#[derive(Persist)]
#[repr(C, align(64))]
struct Node {
    next: Ptr<Node>,
    value: Field<u64>,
    rest: [u64; 6],
}

#[derive(Persist)]
#[repr(C)]
struct Root {
    first: Ptr<Node>,
}

const OBJECTS: usize = 4;
/// Nodes in one object.
const EACH: usize = 128;
/// Nodes in the ring.
const NODES: u64 = (OBJECTS * EACH) as u64;
const STEPS: u64 = NODES * 512;
const CALLS: u64 = 2000;

/// Who runs: the subject first, and whether in a context.
pub const RUNNERS: [(&str, bool); 2] = [("context", true), ("none", false)];

/// Runs them.
pub fn run(size: &Size) -> Result<Vec<Record>, Failed> {
    let mut homes = Vec::new();
    for (name, inside) in RUNNERS {
        homes.push(Home::new(name, inside)?);
    }
    let steps = STEPS * size.passes;
    let mut touched: Vec<Box<dyn Contender + '_>> = Vec::new();
    for home in &homes {
        touched.push(Box::new(home.access()?));
    }
    let mut records = race(&size.race("access", steps), &mut touched)?;
    let called = homes.iter().map(|home| Box::new(Called(home)) as Box<dyn Contender>);
    let mut called: Vec<_> = called.collect();
    records.extend(race(&size.race("read_call", CALLS * size.passes), &mut called)?);
    Ok(records)
}

/// A ring of nodes over objects in a pool of its own, and who may touch it.
pub struct Home {
    name: &'static str,
    space: Space,
    first: Object<Root>,
    _directory: tempfile::TempDir,
}

impl Home {
    /// Makes it, and if it is `inside`, a context that this process then acts in: it
    /// leaves nothing of what objects allow everybody, and grants the ring.
    pub fn new(name: &'static str, inside: bool) -> Result<Self, Failed> {
        let directory = machine::scratch()?;
        let path = directory.path().join("pool");
        EmbeddedPool::init(&path, &InitOptions::default())?;
        let key = KeyPair::from_seed(&[7; 32]);
        let owner = key.publish(Space::open(&path)?.backend())?;
        let ids = build_ring(&Space::open(&path)?, owner)?;
        // Anew, so that nothing is mapped but what the context allows.
        let space = Space::open(&path)?;
        if inside {
            enter(&space, &ids, owner, &key)?;
        }
        let first = space.open_object(ids[0])?;
        Ok(Self { name, space, first, _directory: directory })
    }

    /// The first touch of everything.
    pub fn access(&self) -> Result<Access<'_>, Failed> {
        let mut at = self.first.root().first.lea()?;
        let begin = at.value.get();
        for _ in 0..NODES {
            at.value.set(at.value.get())?;
            at = at.next.lea()?;
        }
        Ok(Access { home: self, value: begin })
    }
}

/// Puts nodes into objects in turns, each leading to the next one.
fn build_ring(space: &Space, owner: ObjectId) -> Result<Vec<ObjectId>, Failed> {
    let new = NewObject { owner, ..NewObject::default() };
    let mut objects = Vec::new();
    for _ in 0..OBJECTS {
        objects.push(space.create_with(&new, Root { first: Ptr::null() })?);
    }
    let mut all = Vec::new();
    for object in &objects {
        all.push(object.alloc_slice(EACH as u64, |_| Node {
            next: Ptr::null(),
            value: Field::new(0),
            rest: [0; 6],
        })?);
    }
    let node = |i: usize| &all[i % OBJECTS][i / OBJECTS % EACH];
    for i in 0..OBJECTS * EACH {
        node(i).next.store(node(i + 1))?;
    }
    objects[0].root().first.store(node(0))?;
    Ok(objects.iter().map(Object::id).collect())
}

/// Acts in a context that grants these and nothing else.
fn enter(space: &Space, ids: &[ObjectId], owner: ObjectId, key: &KeyPair) -> Result<(), Failed> {
    let other = space.backend().create(&NewObject { owner, size: 8, ..NewObject::default() })?;
    let policy = Policy { mask: Rights::NONE, ..Policy::OPEN };
    let new = NewContext { owner, policy, ..NewContext::default() };
    let context = Context::create(space.backend(), &new)?;
    for &id in ids {
        context.grant(&Terms::new(id, Rights(Rights::READ.0 | Rights::WRITE.0)), key)?;
    }
    space.attach_as(context.id(), How { switch: true, cloexec: false })?;
    match space.backend().read(other, DATA_START, &mut [0; 8]) {
        Err(twz::Error::Denied { .. }) => Ok(()),
        _ => Err(Failed::new("access: the context is not in force")),
    }
}

/// Goes round the ring.
pub struct Access<'a> {
    home: &'a Home,
    /// What each node has.
    value: u64,
}

impl Contender for Access<'_> {
    fn name(&self) -> &'static str {
        self.home.name
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let rounds = operations / NODES;
        let sum = access_nodes(self.home.first.root().first.lea()?, rounds * NODES)?;
        let before: u64 = (self.value..self.value + rounds).sum();
        self.value += rounds;
        match sum == before * NODES {
            true => Ok(()),
            false => Err(Failed::new("access: a wrong sum")),
        }
    }
}

/// Counts up node after node. By itself, so that it can be counted and read.
#[inline(never)]
fn access_nodes(first: &Node, steps: u64) -> twz::Result<u64> {
    let (mut at, mut sum) = (first, 0u64);
    for _ in 0..steps {
        let value = at.value.get();
        sum = sum.wrapping_add(value);
        at.value.set(value + 1)?;
        at = at.next.lea()?;
    }
    Ok(sum)
}

/// Reads the first object by calls.
struct Called<'a>(&'a Home);

impl Contender for Called<'_> {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let (backend, id) = (self.0.space.backend(), self.0.first.id());
        let mut bytes = [0; 8];
        for _ in 0..operations {
            backend.read(id, DATA_START, &mut bytes)?;
        }
        match bytes {
            [0, 0, 0, 0, 0, 0, 0, 0] => Err(Failed::new("read_call: no pointer there")),
            _ => Ok(()),
        }
    }
}
