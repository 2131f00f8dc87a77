// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites about security begin with: a pool with a key, and objects that
//! the key owns and that grant nothing to everybody.
#![allow(dead_code)]

use twz::{
    Backend, Error, NewObject, ObjectId, Rights, Space,
    security::{Context, DEFAULT, KeyPair, NewContext, Policy, Terms},
};

use crate::common::TempPool;

pub const R: Rights = Rights::READ;
pub const W: Rights = Rights::WRITE;
pub const RW: Rights = Rights(3);
pub const NONE: Rights = Rights::NONE;

/// A pool, a key and a space.
pub struct World {
    pub space: Space,
    pub pool: TempPool,
    pub key: KeyPair,
    pub owner: ObjectId,
}

impl World {
    pub fn new() -> Self {
        let pool = TempPool::in_memory();
        let space = pool.open();
        leave(&space);
        let key = KeyPair::generate().unwrap();
        let owner = key.publish(space.backend()).unwrap();
        Self { space, pool, key, owner }
    }

    pub fn backend(&self) -> &dyn Backend {
        self.space.backend()
    }

    /// An object of a page that the key owns.
    pub fn object(&self, rights: Rights) -> ObjectId {
        let new = NewObject {
            owner: self.owner,
            default_rights: rights,
            size: 4096,
            ..Default::default()
        };
        self.backend().create(&new).unwrap()
    }

    /// A context that the key owns and everybody may use and change.
    pub fn context(&self, policy: Policy) -> Context<'_> {
        let new = NewContext { owner: self.owner, policy, ..NewContext::default() };
        Context::create(self.backend(), &new).unwrap()
    }

    /// One that leaves default rights as they are.
    pub fn open_context(&self) -> Context<'_> {
        self.context(Policy::OPEN)
    }

    /// Acts in a context, attaching to it first if need be.
    pub fn act_in(&self, id: ObjectId) {
        if !self.space.attached().unwrap().all.contains(&id) {
            self.space.attach(id).unwrap();
        }
        self.space.switch(id).unwrap();
    }

    /// What this process may do with an object by asking for it: reads, and writes.
    pub fn may(&self, id: ObjectId) -> (bool, bool) {
        let read = self.backend().read(id, 4096, &mut [0; 8]);
        let write = self.backend().write(id, 4096, &[0; 8]);
        (granted(read), granted(write))
    }

    pub fn terms(&self, id: ObjectId, rights: Rights) -> Terms {
        Terms::new(id, rights)
    }
}

/// Whether something was done, or refused for want of a right.
pub fn granted(done: twz::Result<()>) -> bool {
    match done {
        Ok(()) => true,
        Err(Error::Denied { .. } | Error::Immutable(_)) => false,
        Err(error) => panic!("neither done nor refused: {error}"),
    }
}

/// Back to the default context, and attached to nothing else: on the kernel's pool
/// tests share a process, and with it what it is attached to.
pub fn leave(space: &Space) {
    let attached = space.attached().unwrap();
    if attached.active != DEFAULT {
        space.switch(DEFAULT).unwrap();
    }
    for id in attached.all.into_iter().filter(|id| *id != DEFAULT) {
        space.detach(id).unwrap();
    }
}

/// Which reason an error about contexts has.
pub fn reason<T: std::fmt::Debug>(done: twz::Result<T>) -> u32 {
    match done {
        Err(Error::Context { reason, .. }) => reason,
        other => panic!("not an error about contexts: {other:?}"),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            leave(&self.space);
        }
    }
}
