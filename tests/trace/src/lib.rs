// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a virtual machine does to its persistent memory: the log of it
//! ([`log`]), the marks that a program in the machine leaves in it ([`mark`]), and
//! which instructions matter ([`decode`]).
//!
//! `plugin/` is loaded into QEMU and writes the log, `tests/vm` leaves the
//! marks, and `tests/crash` reads both.

pub mod decode;
pub mod log;
pub mod mark;
