// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that C, memory and the kernel are asked, and the names that take libc's place.
//!
//! UNSAFETY: what a program passes to a function of libc is its own promise to libc. It
//! is passed on as it came, or read and written by [`copy`] alone, in which a fault is
//! an answer. What is mapped, is mapped and unmapped by the rules of `inode.rs`.
#![allow(unsafe_code)]
// libc's names are as they are.
#![allow(non_snake_case)]

#[cfg(not(test))]
mod api;
#[cfg(not(test))]
mod before;
pub mod cache;
pub mod copy;
pub mod counters;
pub mod environment;
pub mod fault;
pub mod modules;
#[cfg(not(test))]
mod names;
pub mod patch;
mod real;
pub mod sys;
pub mod thread;
#[cfg(not(test))]
mod vfork;
