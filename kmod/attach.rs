// SPDX-License-Identifier: GPL-2.0
//! Commands about what the calling program is attached to: ATTACH, DETACH, SWITCH and
//! CONTEXTS. SECURITY.md has the rules, `switch.rs` what a switch does.

use crate::{
    command::zero,
    error::{Refusal, Result},
    guard::{on, Guard},
    secctx::Hold,
    session::Session,
    space::State,
    switch::Memory,
    sys::{self, Company},
};
use kernel::prelude::*;
use twz_abi::{
    decision::what,
    ioctl::{attach_flags, Attach, ContextOnly, ContextState},
    reason,
    security::{context_flags, AttachClaim, MAX_ATTACHED},
    ObjectId, Rights,
};

/// The calling process can be traced by nobody who could not trace anybody, as long
/// as this is there, or from then on.
struct Hidden(u32);

impl Hidden {
    fn new() -> Self {
        Self(match on(Guard::Hide) {
            true => sys::hide(),
            false => 1,
        })
    }

    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if on(Guard::Hide) {
            sys::unhide(self.0);
        }
    }
}

/// Refuses whoever is traced: the tracer would have what it gains (rule A8).
fn untraced() -> Result {
    match Company::now().traced && on(Guard::Traced) {
        true => Err(Refusal::new(EPERM, reason::TRACED)),
        false => Ok(()),
    }
}

impl Session {
    /// What the program is attached to, and a new nonce.
    pub(crate) fn contexts(&self, told: &mut ContextState) -> Result {
        let member = self.member();
        self.space.look(|state| {
            let active = self.context(state);
            let rules = state.contexts.rules(active);
            let mut attached = [ObjectId::NULL; MAX_ATTACHED];
            let mut count = 0;
            for place in &mut attached {
                let Some(hold) = member.attached(count) else { break };
                *place = hold.id();
                count += 1;
            }
            let confined = [0, context_flags::CONFINED][rules.is_confined() as usize];
            let kept = [0, context_flags::UNDETACHABLE][rules.is_undetachable() as usize];
            *told = ContextState {
                active: state.contexts.id(active),
                attached,
                count: count as u32,
                flags: confined | kept,
                nonce: [0; 32],
            };
            Ok(())
        })?;
        told.nonce = member.new_nonce();
        Ok(())
    }

    /// Attaches the program to a context.
    pub(crate) fn attach(&self, attach: &mut Attach) -> Result {
        zero(attach.reserved as u64)?;
        let has = |flag| attach.flags & flag != 0;
        let proof = has(attach_flags::PROOF);
        if attach.flags & !attach_flags::KNOWN != 0 || (!proof && attach.signature != [0; 64]) {
            return Err(Refusal::argument());
        }
        untraced()?;
        self.space.look(|state| self.may_attach(state, attach.context, proof))?;
        if proof && !self.proves(attach) {
            return Err(Refusal::new(EACCES, reason::NO_USE).of(attach.context));
        }
        let hold = self.space.hold_context(attach.context)?;
        let no = hold.no();
        let hidden = Hidden::new();
        let memory = Memory::alone()?;
        untraced()?;
        let left = self.space.change(|state| {
            // Once more, under the lock that it is done under.
            self.may_attach(state, attach.context, proof)?;
            if let Err(hold) = self.member().attach(hold, has(attach_flags::CLOEXEC)) {
                return Ok(Some(hold));
            }
            if has(attach_flags::SWITCH) {
                state.enter(self.space, self.member(), &memory, no);
            }
            Ok(None)
        })?;
        match left {
            Some(_) => Err(Refusal::new(ENOSPC, reason::TOO_MANY).of(attach.context)),
            None => {
                self.space.decided(what::ATTACHED, attach.context, 0);
                hidden.keep();
                Ok(())
            }
        }
    }

    /// Whether the program may be attached, as far as the active context says so.
    fn may_attach(&self, state: &State, id: ObjectId, proof: bool) -> Result {
        self.may_leave(state)?;
        if state.contexts.find(id).is_some_and(|no| self.member().is_attached(no)) {
            return Err(Refusal::new(EEXIST, reason::NONE).of(id));
        }
        let no_use = |granted| Refusal {
            errno: EACCES,
            reason: reason::NO_USE,
            id,
            wanted: Rights::USE,
            granted,
        };
        if id.is_null() {
            // Nobody has the right to the default context, once it was left (rule A2).
            return Err(no_use(Rights::NONE));
        }
        let (_, record) = state.find(id)?;
        let granted = state.contexts.rights(self.context(state), &record);
        match proof || granted.contains(Rights::USE) || !on(Guard::Use) {
            true => Ok(()),
            false => Err(no_use(granted)),
        }
    }

    /// Whether the signature is the owner's, over the nonce that is used up by asking.
    fn proves(&self, attach: &Attach) -> bool {
        let Some(nonce) = self.member().take_nonce() else { return false };
        let claim = AttachClaim { pool: self.space.pool_id, context: attach.context, nonce };
        self.space.is_signed(&claim, &attach.signature)
    }

    /// Refuses whoever acts in a confined context (rule A5).
    fn may_leave(&self, state: &State) -> Result {
        let active = self.context(state);
        match state.contexts.rules(active).is_confined() && on(Guard::Confined) {
            true => Err(Refusal::new(EPERM, reason::CONFINED).of(state.contexts.id(active))),
            false => Ok(()),
        }
    }

    /// Detaches the program from a context that is not the active one.
    pub(crate) fn detach(&self, only: &mut ContextOnly) -> Result {
        zero(only.reserved)?;
        let id = only.context;
        let left: Option<Hold> = self.space.change(|state| {
            self.may_leave(state)?;
            let no = self.attached_to(state, id)?;
            let stays = state.contexts.rules(no).is_undetachable() && on(Guard::Undetachable);
            if stays || no == self.context(state) {
                return Err(Refusal::new(EBUSY, reason::UNDETACHABLE).of(id));
            }
            Ok(self.member().detach(no))
        })?;
        // Forgotten with the lock let go.
        drop(left);
        Ok(())
    }

    /// Makes another context that is attached the active one, for all threads.
    pub(crate) fn switch(&self, only: &mut ContextOnly) -> Result {
        zero(only.reserved)?;
        let memory = Memory::alone()?;
        let hidden = Hidden::new();
        untraced()?;
        let went = self.space.change(|state| {
            self.may_leave(state)?;
            let no = self.attached_to(state, only.context)?;
            let goes = no != self.context(state);
            if goes {
                state.enter(self.space, self.member(), &memory, no);
            }
            Ok(goes)
        })?;
        if went {
            hidden.keep();
        }
        Ok(())
    }

    fn attached_to(&self, state: &State, id: ObjectId) -> Result<crate::secctx::ContextNo> {
        let found = state.contexts.find(id).filter(|no| self.member().is_attached(*no));
        found.ok_or(Refusal::new(ENOENT, reason::NOT_ATTACHED).of(id))
    }
}
