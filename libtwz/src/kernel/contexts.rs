// SPDX-License-Identifier: MIT OR Apache-2.0
//! Acting in contexts, as the module is asked to: SECURITY.md, one command each.

use nix::errno::Errno;
use twz_abi::{
    ObjectId, Rights,
    decision::Decision,
    ioctl::{self as abi, Attach, ContextOnly, ContextState, Revoke, attach_flags},
    reason,
    security::{SIGNATURE, Signature},
};
use zerocopy::FromZeros as _;

use super::KernelPool;
use crate::{
    error::{Error, Result},
    raw::fault,
    space::Core,
};

impl KernelPool {
    pub(super) fn ask_contexts(&self) -> Result<ContextState> {
        let mut state = ContextState::new_zeroed();
        let asked = self.session.ask::<{ abi::CONTEXTS }, _>(&mut state);
        asked.map_err(|errno| self.refused_context(errno, ObjectId::NULL)).map(|()| state)
    }

    pub(super) fn ask_attach(
        &self,
        context: ObjectId,
        flags: u32,
        proof: Option<&Signature>,
    ) -> Result<()> {
        let flags = flags | if proof.is_some() { attach_flags::PROOF } else { 0 };
        let signature = proof.copied().unwrap_or([0; SIGNATURE]);
        let mut attach = Attach { context, flags, reserved: 0, signature };
        let asked = self.session.ask::<{ abi::ATTACH }, _>(&mut attach);
        asked.map_err(|errno| self.refused_context(errno, context))?;
        settle();
        Ok(())
    }

    /// DETACH, SWITCH and LOAD.
    pub(super) fn ask_of_context<const COMMAND: u32>(
        &self,
        context: ObjectId,
    ) -> Result<(u32, u32)> {
        const { assert!(matches!(COMMAND, abi::DETACH | abi::SWITCH | abi::LOAD)) };
        let mut only = ContextOnly { context, ..Default::default() };
        match self.session.ask::<COMMAND, _>(&mut only) {
            Ok(()) => {
                settle();
                Ok((only.grants, only.void))
            }
            Err(errno) => Err(self.refused_context(errno, context)),
        }
    }

    pub(super) fn ask_revoke(&self, object: ObjectId, epoch: u64, by: &Signature) -> Result<()> {
        let mut revoke = Revoke { object, epoch, reserved: 0, signature: *by };
        let asked = self.session.ask::<{ abi::REVOKE }, _>(&mut revoke);
        asked.map_err(|errno| self.refused_context(errno, object))?;
        settle();
        Ok(())
    }

    pub(super) fn ask_decisions(&self, tell: &mut dyn FnMut(&Decision)) -> Result<()> {
        let mut some = [Decision::default(); 64];
        loop {
            let got = self.session.decisions(&mut some).map_err(|errno| Error::Io {
                doing: "read what was decided",
                path: None,
                error: errno.into(),
            })?;
            some.iter().take(got).for_each(&mut *tell);
            if got == 0 {
                return Ok(());
            }
        }
    }

    /// Why something about a context was refused: its own reasons are numbers that
    /// both homes share.
    fn refused_context(&self, errno: Errno, id: ObjectId) -> Error {
        if errno == Errno::EEXIST {
            return Error::Attached(id);
        }
        match self.session.last_error().map(|last| last.reason) {
            Some(said @ reason::BAD_CONTEXT..=reason::CODE_DENIES) => Error::context(id, said),
            _ => self.refused(errno, id, Rights::USE),
        }
    }
}

/// The module has taken out of the page tables what is not allowed any more: the
/// library's own notes of what is granted follow.
fn settle() {
    fault::each_space(Core::recheck);
}
