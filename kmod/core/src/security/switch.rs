// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Which other context a fault may go on in: rule A6.
//!
//! The access was refused by the active context. Of those that are attached,
//! one may allow it; whether the code that runs may be there is decided here, from
//! the two contexts' [`Rules`] and from where the code is. Nothing is changed.

use twz_abi::{ObjectId, Rights};

use super::Rules;
use crate::rights::Access;

/// An object that is touched or runs, and where.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// The object.
    pub id: ObjectId,
    /// What it grants to everybody.
    pub default: Rights,
    /// Whether its data never change.
    pub immutable: bool,
    /// The slot offset.
    pub at: u64,
}

/// The access that the active context refused.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What was tried.
    pub access: Access,
    /// On what. The view allows it.
    pub on: Spot,
    /// The code that runs, if it is in an object.
    pub code: Option<Spot>,
    /// No other thread has the memory map, and nobody traces it.
    pub alone: bool,
}

/// Why a fault does not go on in another context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It does not allow the access either.
    Denied,
    /// Another thread would gain by it (rule A6d).
    NotAlone,
    /// The active one is confined, and no gate admits there (rule A6c).
    Confined,
    /// What is fetched may not be entered there (rule A6a).
    NotEntered,
    /// The code that runs may not be in that context (rule A6b).
    CodeDenied,
}

/// Whether the access goes on in `to` instead of `from`.
pub fn may_switch(from: &Rules<'_>, to: &Rules<'_>, attempt: &Attempt) -> Result<(), Stay> {
    let Attempt { access, on, code, alone } = *attempt;
    if !to.allowed(on.id, on.default, on.immutable).contains(access.right()) {
        return Err(Stay::Denied);
    }
    if !alone {
        return Err(Stay::NotAlone);
    }
    let fetch = access == Access::Execute;
    if from.is_confined() && !(fetch && to.has_gate(on.id, on.at)) {
        return Err(Stay::Confined);
    }
    if fetch {
        return match to.may_enter(on.id, on.default, on.at) {
            true => Ok(()),
            false => Err(Stay::NotEntered),
        };
    }
    let Some(code) = code else {
        // Memory that is no object belongs to all contexts that are not confined.
        return if to.is_confined() { Err(Stay::CodeDenied) } else { Ok(()) };
    };
    match to.may_enter(code.id, code.default, code.at) {
        true => Ok(()),
        false => Err(Stay::CodeDenied),
    }
}
