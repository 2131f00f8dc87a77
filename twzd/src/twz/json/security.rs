// SPDX-License-Identifier: MIT OR Apache-2.0
//! The documents of keys, contexts and rights. Times here are nanoseconds since
//! 1970, hashes and keys are hex digits.

use serde::Serialize;

/// `key new`, and each of `key ls`.
#[derive(Clone, Serialize)]
pub struct Key {
    pub id: String,
    pub public: String,
    /// Objects that keep its secret half.
    pub secrets: Vec<String>,
    /// The file that keeps it, of a new one.
    pub file: Option<String>,
}

/// `key ls`.
#[derive(Serialize)]
pub struct Keys {
    pub keys: Vec<Key>,
}

/// A context: `ctx new`, `ctx show`, and each of `ctx ls`.
#[derive(Serialize)]
pub struct Context {
    pub id: String,
    pub owner: Option<String>,
    /// What it leaves of default rights.
    pub mask: String,
    /// Out of "undetachable" and "confined".
    pub flags: Vec<&'static str>,
    /// What everybody may do with the context itself.
    pub rights: String,
    pub epoch: u64,
    pub grants: u64,
    pub masks: Vec<Mask>,
}

/// What is left of one object's default rights.
#[derive(Serialize)]
pub struct Mask {
    pub target: String,
    pub rights: String,
}

/// `ctx ls`.
#[derive(Serialize)]
pub struct Contexts {
    pub contexts: Vec<Context>,
    /// Those that cannot be read.
    pub damaged: Vec<String>,
}

/// `ctx load`, `ctx compact`, and other changes of a context.
#[derive(Serialize)]
pub struct ContextChanged {
    pub id: String,
    /// Grants that hold, where it was loaded.
    pub holding: Option<u32>,
    /// Grants that do not.
    pub void: Option<u32>,
    pub done: &'static str,
}

/// A grant: `grant`, `delegate`, and each of `cap ls`.
#[derive(Serialize)]
pub struct Grant {
    pub hash: String,
    pub context: String,
    pub target: String,
    pub rights: String,
    /// The context that passed it on.
    pub grantor: Option<String>,
    /// The hash of the grant it comes from.
    pub parent: Option<String>,
    pub gate: Option<Gate>,
    pub not_before: u64,
    /// 0 for never.
    pub expires: u64,
    pub epoch: u64,
    /// Whether it holds now; null where nobody asked.
    pub holds: Option<bool>,
    /// The rule that it breaks, as in "G6".
    pub rule: Option<&'static str>,
    /// The same in words.
    pub why: Option<&'static str>,
}

/// Where code may be entered.
#[derive(Serialize)]
pub struct Gate {
    pub offset: u64,
    pub length: u64,
    pub align: u64,
}

/// `cap ls`.
#[derive(Serialize)]
pub struct Grants {
    pub context: String,
    pub grants: Vec<Grant>,
}

/// `revoke`.
#[derive(Serialize)]
pub struct Revoked {
    pub object: String,
    pub epoch: u64,
}

/// `attach` without a context.
#[derive(Serialize)]
pub struct Attached {
    /// Null for the default context.
    pub active: Option<String>,
    pub attached: Vec<Option<String>>,
}

/// `why`.
#[derive(Serialize)]
pub struct Why {
    pub context: Option<String>,
    pub object: String,
    pub allowed: String,
    pub default: String,
    pub mask: String,
    /// Whether the mask is for this object alone.
    pub mask_record: bool,
    pub immutable: bool,
    pub grants: Vec<WhyGrant>,
}

/// A grant, and what it comes from.
#[derive(Serialize)]
pub struct WhyGrant {
    #[serde(flatten)]
    pub grant: Grant,
    pub chain: Vec<Grant>,
}
