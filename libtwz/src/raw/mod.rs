// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only place in the library where `unsafe` is allowed.
//!
//! UNSAFETY: objects are memory that the compiler knows nothing of: mapped
//! from files, shared with other processes, filled in by a signal handler.
//! This module turns that into values and references whose safety rests on
//! three invariants, and hands nothing out that could break them:
//!
//! 1. **Arena.** An arena is one reservation that lives until the space that
//!    made it is dropped; every object handle keeps the space alive. So an
//!    address in a mapped slot stays an address for as long as any reference.
//! 2. **Bounds.** A reference is made only from a slot offset that was checked
//!    against the target's size and the type's alignment.
//! 3. **Values.** A type in an object is [`crate::Persist`]: every bit pattern
//!    is a value of it. Whatever another process stores, a load is a value.
//!
//! What Rust's own memory model cannot say is that another *process* writes to
//! what is behind a shared reference. Words that change are therefore accessed
//! as atomics ([`cell`]); plain fields are for what is written before it is
//! published.
#![allow(unsafe_code)]

pub mod apart;
pub mod arena;
pub mod cell;
pub mod children;
pub mod control;
pub mod fault;
pub mod futex;
pub mod inherited;
pub mod ioctl;
pub mod object;
pub mod persist;
pub mod published;
pub mod seal;
mod stack;
pub mod sys;
pub mod tail;
pub mod translate;
pub mod value;
pub mod window;
pub mod words;

pub use arena::Arena;
pub use window::SlotWindow;
