// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What decides.
//!
//! Everything that has to come out the same in the kernel and in a program is
//! here, once: how an id is earned ([`ident`]), what a fault may map
//! ([`rights`]), and the object store ([`store::Store`]) with its table, page
//! maps, allocator, journal, names and checker, over any [`media::Media`].
//!
//! Nothing here allocates, does I/O of its own or holds `unsafe` code; what is
//! read from a medium is an allegation until it is checked.
#![cfg_attr(not(any(test, CONFIG_RUST)), no_std)]
#![forbid(unsafe_code)]

pub mod check;
pub mod error;
pub mod format;
pub mod geometry;
pub mod ident;
pub mod media;
pub mod repair;
pub mod rights;
pub mod security;
pub mod store;

mod alloc;
mod copy;
mod data;
mod delete;
mod detach;
mod directory;
mod epoch;
mod journal;
mod map;
pub mod names;
mod object;
mod range;
mod recover;
mod release;
mod resize;
mod span;
mod table;
pub mod tail;
mod touch;
mod transaction;
mod verified;

pub use error::{Result, StoreError};
pub use ident::Identity;
pub use map::Translation;
pub use media::{Media, MediaError, Memory};
pub use object::NewObject;
pub use range::Run;
pub use span::Extent;
pub use store::{Info, Mode, RecordNo, Store};
