// SPDX-License-Identifier: MIT OR Apache-2.0
//! The preload library: takes the place of libc's calls on descriptors, and answers
//! by a memory copy what a mapping of the file can answer. `README.md` beside this
//! crate has the rules and why they are enough; nothing here trusts itself further
//! than that the kernel can be asked instead.
//!
//! What libc's names do is [`calls`]; what is known of a descriptor [`table`], one
//! word each ([`word`]), and of a file [`inode`]; who else may see an offset
//! [`sharing`]; which files it is about [`prefix`]. What libc calls within itself comes here
//! by [`inside`], where its call sites are those of a [`list`]. Paths are [`text`]. All that C, memory and the kernel
//! are asked is in `raw`, which is the only place with `unsafe`.
#![deny(unsafe_code)]
// A test does not take libc's place under itself, so much is not called in one.
#![cfg_attr(test, allow(dead_code))]

mod calls;
mod inode;
mod inside;
mod list;
mod object;
mod prefix;
mod raw;
mod sharing;
mod sites;
mod stats;
mod table;
mod text;
mod word;
