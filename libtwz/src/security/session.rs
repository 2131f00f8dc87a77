// SPDX-License-Identifier: MIT OR Apache-2.0
//! Acting in contexts: a process's attachments to a pool, through its [`Space`].
//!
//! They belong to the process and its pool, not to one space: with the kernel
//! module to the memory map, with a directory to the process's use of it.

use twz_abi::{
    ObjectId,
    ioctl::{ContextState, attach_flags},
    security::{AttachClaim, RevokeClaim, Signature},
};

use super::KeyPair;
use crate::{
    error::{Refusal, Result},
    space::Space,
};

/// What a process is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The context it acts in; null is the default one.
    pub active: ObjectId,
    /// All that it is attached to, in the order of attaching.
    pub all: Vec<ObjectId>,
    /// [`super::context_flags`] of the active one.
    pub flags: u32,
}

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Switch to it at once.
    pub switch: bool,
    /// Not beyond exec.
    pub cloexec: bool,
}

impl How {
    fn flags(self) -> u32 {
        let flag = |on: bool, flag| if on { flag } else { 0 };
        flag(self.switch, attach_flags::SWITCH) | flag(self.cloexec, attach_flags::CLOEXEC)
    }
}

impl Attached {
    fn new(state: &ContextState) -> Self {
        let all = state.attached.iter().take(state.count as usize).copied().collect();
        Self { active: state.active, all, flags: state.flags }
    }
}

impl Space {
    /// What this process is attached to, and which context it acts in.
    pub fn attached(&self) -> Result<Attached> {
        Ok(Attached::new(&self.backend().contexts()?))
    }

    /// Attaches this process to a context, which takes the right to use it
    /// (rule A1).
    pub fn attach(&self, context: ObjectId) -> Result<()> {
        self.attach_as(context, How::default())
    }

    /// The same, saying how.
    pub fn attach_as(&self, context: ObjectId, how: How) -> Result<()> {
        self.backend().attach_context(context, how.flags(), None)
    }

    /// Attaches this process to a context with a proof that it is its owner's
    /// will, in place of the right to use it.
    pub fn attach_with_key(&self, context: ObjectId, key: &KeyPair, how: How) -> Result<()> {
        let (pool, nonce) = (self.backend().info()?.pool_id, self.backend().contexts()?.nonce);
        let proof = key.sign(&AttachClaim { pool, context, nonce }.message());
        self.attach_with_proof(context, &proof, how)
    }

    /// The same with a proof that somebody else has signed, for the nonce that
    /// [`crate::Backend::contexts`] gave last.
    pub fn attach_with_proof(&self, context: ObjectId, proof: &Signature, how: How) -> Result<()> {
        self.backend().attach_context(context, how.flags(), Some(proof))
    }

    /// Acts in another context that this process is attached to, all its threads;
    /// null is the default one. What the new one does not allow is out of reach when
    /// this returns: touching it is refused as any touch is.
    pub fn switch(&self, context: ObjectId) -> Result<()> {
        self.backend().switch_context(context)
    }

    /// What to put into the environment of a program that is to act in the contexts
    /// that this one acts in (rule A9), less those that are not for beyond exec. The
    /// kernel module sees to that by itself: then there is nothing.
    ///
    /// A program that is forked goes on with what its parent had, without this.
    pub fn environment(&self) -> Option<(&'static str, String)> {
        self.backend().bequest().map(|text| (super::ENVIRONMENT, text))
    }

    /// Is no longer attached to a context. The default one does not come back.
    pub fn detach(&self, context: ObjectId) -> Result<()> {
        self.backend().detach_context(context)
    }

    /// Has a context read anew after its records were changed; what it no longer
    /// allows is out of reach when this returns. How many of its grants hold, and
    /// how many do not.
    pub fn load(&self, context: ObjectId) -> Result<(u32, u32)> {
        self.backend().load_context(context)
    }

    /// Raises an object's epoch, with the key of its owner: all that was granted on it,
    /// or if it is a context all that it has passed on, is void when this returns,
    /// for good. The grants' epoch is [`crate::ObjectStat::epoch`].
    pub fn revoke(&self, object: ObjectId, epoch: u64, key: &KeyPair) -> Result<()> {
        let claim = RevokeClaim { object, epoch, reserved: 0 };
        self.backend().revoke(object, epoch, &key.sign(&claim.message()))
    }

    /// Why this thread's last touch of an object was refused, and of which one: for a
    /// program that handles the signal itself. May be called in the handler.
    pub fn refusal(&self) -> Option<(ObjectId, Refusal)> {
        self.core().refusal()
    }
}
