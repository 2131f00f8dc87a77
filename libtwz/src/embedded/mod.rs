// SPDX-License-Identifier: MIT OR Apache-2.0
//! The embedded pool: a directory on any Linux file system.
//!
//! An object's data is an ordinary file that any program may open; its tail
//! lies beside it ([`objects`]), and is mapped behind it in the object's slot
//! ([`mapping`]). Names are hard links in a real directory tree ([`names`]), so
//! `ls` and `twz ls` show the same. Several processes use a pool at once; there
//! is no server, and what the kernel releases when a process dies is all there
//! is to release.
//!
//! It enforces rights, contexts included ([`realm`]), for honest programs, and through
//! file modes between users. Only the kernel module isolates hostile code.

mod backend;
mod bytes;
mod check;
mod copy;
mod incoming;
mod mapping;
mod names;
mod objects;
mod paths;
mod pool;
mod realm;
mod whois;

pub(crate) use check::check;
pub(crate) use incoming::{IncomingFiles, is_link};
pub(crate) use paths::POOL_FILE;
pub use pool::{EmbeddedPool, InitOptions, default_path};
