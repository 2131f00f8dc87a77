// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may do what: keys, contexts, what they grant, and who acts in which.
//!
//! The model is kmod/abi/SECURITY.md's, and the decisions are `twz_core`'s, which
//! the kernel module obeys at a fault and the embedded pool where it maps. Here is
//! what a program does with it:
//!
//! - [`KeyPair`] signs. Its public half is an immutable object, the secret half is
//!   kept in a [`secret`] object or a file, sealed with a passphrase if wanted.
//! - [`Context`] is a handle on a context object: its policy and its records.
//! - [`Terms`] say what is granted; signed they are a [`Grant`].
//! - [`why()`] explains what a context allows on an object, link by link.
//! - [`crate::Space::attach`] and its neighbours act in contexts, and
//!   [`crate::Space::revoke`] takes rights back.
//! - [`crate::Space::run_apart`] runs code that is not trusted, and [`seal_calls`] takes
//!   system calls away from it.
//!
//! `libtwz/SECURITY.md` is the guide, and says what differs between the two homes.
//!
//! ```
//! use twz::security::{Context, KeyPair, NewContext, Terms};
//! # use twz::{EmbeddedPool, InitOptions, NewObject, Rights, Space};
//! # fn main() -> twz::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("pool");
//! # EmbeddedPool::init(&path, &InitOptions::default())?;
//! let space = Space::open(&path)?;
//! let pool = space.backend();
//! let key = KeyPair::generate()?;
//! let owner = key.publish(pool)?;
//! // Nobody may touch it, and its owner says who may.
//! let new = NewObject { owner, default_rights: Rights::NONE, size: 64, ..NewObject::default() };
//! let ledger = pool.create(&new)?;
//! let web = Context::create(pool, &NewContext { owner, ..NewContext::default() })?;
//! web.grant(&Terms::new(ledger, Rights::READ), &key)?;
//!
//! assert!(space.open_object_read::<()>(ledger).is_err());
//! space.attach(web.id())?;
//! space.switch(web.id())?;
//! assert!(space.open_object_read::<()>(ledger).is_ok());
//! # Ok(())
//! # }
//! ```

mod apart;
pub(crate) mod book;
mod context;
mod facts;
mod grant;
mod key;
mod made;
pub mod secret;
mod session;
#[cfg(test)]
mod tests;
mod why;

pub use apart::{Ended, Touched};
pub use context::{Context, Entry, NewContext};
pub use facts::Ed25519;
pub use grant::{Terms, sign};
pub use key::KeyPair;
pub use session::{Attached, How};
pub use why::{Link, Why, why, why_at};

pub use twz_abi::{
    decision::{Decision, what},
    ioctl::attach_flags,
    security::{
        AttachClaim, Gate, Grant, Key, MAX_ATTACHED, MAX_CHAIN, MAX_RECORDS, Mask, Policy,
        PublicKey, RevokeClaim, Signature, context_flags,
    },
};
pub use twz_core::security::{Flaw, Spoiled, link::digest};

use std::ops::Range;

use twz_abi::ObjectId;

pub use crate::raw::seal::Elsewhere;
use crate::{error::Result, raw::seal::seal};

/// The default context: it has no object, masks nothing and grants nothing.
pub const DEFAULT: ObjectId = ObjectId::NULL;

/// Where in its environment a program finds what it shall act in, in a directory's
/// pool: [`crate::Space::environment`] says what to put there.
pub const ENVIRONMENT: &str = "TWZ_CONTEXT";

/// The sentence for [`Decision::reason`].
pub fn reason(number: u32) -> &'static str {
    twz_abi::reason::text(number)
}

/// The name of a command of the kernel module.
pub fn command(number: u32) -> &'static str {
    let commands = twz_abi::ioctl::COMMANDS;
    commands.iter().find(|one| one.number == number).map_or("unknown", |one| one.name)
}

/// Nanoseconds since 1970: the clock that grants begin and end by.
pub fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}

/// Allows this process system calls from instructions in these ranges of addresses
/// only, all its threads, and for good: what an untrusted library is called behind
/// (SECURITY.md, "Threats"). The ranges are of code that it can enter through a
/// gate only, else it calls that. x86-64.
///
/// What the process still does by itself has to be in them: the C library's code,
/// the kernel's own page of it (`[vdso]`), and who returns from signal handlers. A
/// program that is run later by exec has its code elsewhere, and is refused all.
pub fn seal_calls(ranges: &[Range<usize>], elsewhere: Elsewhere) -> Result<()> {
    seal(ranges, elsewhere)
}
