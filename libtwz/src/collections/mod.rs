// SPDX-License-Identifier: MIT OR Apache-2.0
//! Containers that live in objects: [`Vec`], [`String`], [`HashMap`], [`BTreeMap`]
//! and [`PtrMap`].
//!
//! They have the names of std's on purpose, since that is what they are; say
//! `use twz::collections` and `collections::Vec`, so that a reader sees which.
//! Each is a field of some object's root, or the root itself, or an element of
//! another container. Its contents come from the heap of the object that it
//! lies in or, after `set_home`, of another one: then that object can be moved,
//! copied and retargeted apart from the one that refers to it.
//!
//! ```
//! use twz::{EmbeddedPool, InitOptions, Space, collections};
//!
//! # fn main() -> twz::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("pool");
//! EmbeddedPool::init(&path, &InitOptions::default())?;
//! let space = Space::open(&path)?;
//! let object = space.create(collections::HashMap::<u64, u32>::new())?;
//! let map = object.root();
//! let writer = object.lock()?;
//! map.insert(&writer, 7, 49)?;
//! drop(writer);
//! assert_eq!(map.get(&7)?, Some(49));
//! # Ok(())
//! # }
//! ```
//!
//! **Changing** takes a [`crate::Writer`], the lock of the object that the
//! container lies in. **Reading** takes no lock, in any process, and sees each
//! value as it was before or after a change, never between (`header.rs` says
//! how). A writer that is killed leaves the container as before or after what
//! it was doing; memory that it had just taken or was about to give back is
//! lost. In a transaction ([`crate::Tx::lock`] gives the writer) it changes with
//! that, and nothing is lost; where changes survive power cuts
//! ([`crate::Durability`]), each is one. A reader gives [`crate::Error::Busy`] if writers keep changing what it
//! looks at for very long, and no bytes whatever make it loop.
//!
//! Values are returned as copies. `get_ref` gives a reference instead, for
//! values that change themselves (a [`crate::Field`], a [`crate::Ptr`], another
//! container). It leads to where the value is now: a change of the container
//! may move the value, and what is then stored through the old reference is
//! lost, though it can do no other harm than to bytes of the same object.

mod btree_map;
mod hash_map;
mod header;
mod logged;
mod memory;
mod node;
mod ptr_batch;
mod ptr_change;
mod ptr_map;
mod ptr_table;
mod siphash;
mod string;
mod table;
#[cfg(test)]
mod tests;
mod vec;

pub use btree_map::BTreeMap;
pub use hash_map::HashMap;
pub use ptr_map::PtrMap;
pub use string::String;
pub use vec::Vec;

/// What was found not to be what its container says.
const CORRUPT: crate::Error = crate::Error::BadPointer { why: "the container is corrupt" };
