// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects with 128-bit ids, pointers that outlive programs, and views resolved
//! at the fault.
//!
//! A [`Space`] is a pool opened by this process. It makes and opens
//! [`Object`]s, whose contents are typed ([`Persist`]); a [`Ptr`] in an object
//! leads to a value in the same object or in another one, at whatever address
//! either is mapped, in every process and after every restart.
//!
//! ```
//! use twz::{Field, InitOptions, Persist, Ptr, Space, EmbeddedPool};
//!
//! #[derive(Persist)]
//! #[repr(C)]
//! struct Node {
//!     value: Field<u64>,
//!     next: Ptr<Node>,
//! }
//!
//! # fn main() -> twz::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("pool");
//! EmbeddedPool::init(&path, &InitOptions::default())?;
//! let space = Space::open(&path)?;
//! let head = space.create(Node { value: Field::new(1), next: Ptr::null() })?;
//! let tail = space.create(Node { value: Field::new(2), next: Ptr::null() })?;
//! head.root().next.store(tail.root())?; // from one object into another
//! space.bind("list", head.id())?;
//!
//! let list = space.open_name::<Node>("list")?;
//! assert_eq!(list.root().next.lea()?.value.get(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! What "safe" means here: no bits in an object, and nothing another process
//! does to them, make this library read or write outside an object's data, or
//! make a value that is not one of its type. What it does not mean: that a
//! plain field stays the same while another process writes to it. Fields that
//! change are [`Field`]s.
#![deny(unsafe_code)]

extern crate self as twz;

pub mod backend;
pub mod bundle;
mod capi;
pub mod check;
pub mod collections;
pub mod embedded;
pub mod error;
mod field;
mod fot;
pub mod graph;
mod heap;
pub mod holes;
pub mod image;
pub mod joined;
pub mod kernel;
mod object;
pub mod persist;
pub mod pools;
mod ptr;
mod raw;
mod record;
pub mod resolver;
pub mod resume;
pub mod security;
mod slots;
mod space;
#[cfg(test)]
#[path = "../tests/common"]
mod common {
    pub mod pool;
}
pub mod transfer;
mod translate;
mod tx;
mod view;
mod wait;

#[cfg(feature = "crash-hooks")]
pub use raw::persist::hooks as crash_hooks;

pub use backend::{Backend, Binding, NewObject, ObjectStat, PoolInfo, Waited};
pub use embedded::{EmbeddedPool, InitOptions};
pub use error::{Error, Result};
pub use field::Field;
pub use heap::{Heap, HeapReport};
pub use image::{ImageOptions, ImagePool};
pub use joined::Joined;
pub use kernel::KernelPool;
pub use object::{Member, Object, Writer};
pub use persist::Persist;
pub use pools::{Choice, open_pool};
pub use ptr::{Global, Ptr, PtrSlice};
pub use record::{Record, Records};
pub use space::Space;
pub use twz_abi::{
    DATA_START, FORMAT_VERSION, MAX_DATA, ObjectId, PtrBits, Rights, fot::flags as fot_flags,
    ioctl::ABI_VERSION, meta::flags, meta::kind,
};
pub use twz_core::error::StoreError;
pub use twz_derive::Persist;
pub use tx::{Durability, Tx};
pub use view::View;
