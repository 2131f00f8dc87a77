// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Security contexts: the decisions of SECURITY.md, rule by rule.
//!
//! A context is loaded in two stages. [`link`] looks at what does not change while
//! the context's bytes do not: shapes, signatures, chains. [`rules`] then adds what
//! does, the time and the epochs, and leaves [`Rules`], a table that is asked at
//! a fault in a few instructions. [`switch`] says which context a fault may go on
//! in, [`claim`] checks what else is signed.
//!
//! The caller brings memory, facts about objects and the arithmetic of signatures,
//! so that this runs in the kernel and in a program, and is tested without either.

pub mod claim;
pub mod link;
pub mod rules;
pub mod switch;

pub use link::{Flaw, Link, Loaded, Spoiled};
pub use rules::{Gates, Rules, Slot};

use twz_abi::{
    security::{Key, PublicKey, Signature},
    ObjectId, Rights,
};

use crate::ident::Identity;

/// What a decision asks about the pool.
pub trait Facts {
    /// The object, if it is there and its id is the one its identity makes.
    fn object(&self, id: ObjectId) -> Option<Object>;

    /// The data of an object of exactly a key's size.
    fn key(&self, id: ObjectId) -> Option<[u8; size_of::<Key>()]>;

    /// Asked before each record of a long load: whether to go on.
    fn go_on(&self) -> bool {
        true
    }
}

/// Who can check ed25519 signatures, strictly: no key of small order, no second
/// form of a valid signature.
pub trait Verifier {
    /// Whether `signature` is that of `key`'s owner over `message`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// An object, as far as rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its id.
    pub id: ObjectId,
    /// What the id is made from.
    pub identity: Identity,
    /// Its epoch.
    pub epoch: u64,
}

impl Object {
    /// What it grants to everybody.
    pub fn default_rights(&self) -> Rights {
        Rights(self.identity.default_rights)
    }
}
