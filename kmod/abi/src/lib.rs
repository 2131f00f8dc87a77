// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What the bytes mean.
//!
//! Every byte that outlives a program, and every byte that crosses into the
//! kernel, has its type here and nowhere else. `FORMAT.md` beside this crate
//! is the normative text; the types follow it, compile-time assertions pin
//! every offset ([`layout`]), and a golden file catches a drift.
//!
//! Rules of the house: fixed-width little-endian fields, natural alignment,
//! no implicit padding, reserved bytes that must be zero and are checked.
//! Bytes from outside are allegations: a `struct` here accepts any bit
//! pattern, and its `check` method is what turns it into something to trust.
//!
//! This crate decides nothing (that is `twz-core`) and touches no memory that
//! it was not handed.
#![cfg_attr(not(any(test, CONFIG_RUST)), no_std)]
#![forbid(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("the format is little-endian and its types are used in place");

pub mod checksum;
pub mod decision;
pub mod error;
pub mod features;
pub mod fot;
pub mod id;
pub mod ioctl;
pub mod journal;
pub mod layout;
pub mod log;
pub mod meta;
pub mod name;
pub mod pointer;
pub mod reason;
pub mod record;
pub mod rights;
pub mod secret;
pub mod security;
pub mod superblock;
pub mod thread;
pub mod view;

pub use error::FormatError;
pub use fot::FotEntry;
pub use id::ObjectId;
pub use meta::Meta;
pub use pointer::PtrBits;
pub use record::ObjectRecord;
pub use rights::Rights;
pub use superblock::Superblock;
pub use view::ViewEntry;

/// Version of the format that this code writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes in a page, on every medium.
pub const PAGE: u64 = 4096;

/// Bytes in a slot: the address range one object is mapped at, and so the
/// largest object. Slots are aligned to their size, which is what makes an
/// object's base its address masked.
pub const SLOT: u64 = 1 << 30;

/// Pages in a slot.
pub const SLOT_PAGES: u64 = SLOT / PAGE;

/// Where an object's data begins inside its slot. The page before it is the
/// null page, which is never mapped, so that offset 0 can mean null.
pub const DATA_START: u64 = PAGE;

/// Bytes of the meta record at the very end of a slot.
pub const META_SIZE: u64 = 512;

/// Where the meta record begins inside its slot.
pub const META_START: u64 = SLOT - META_SIZE;

/// Where the last page of the slot begins: the meta record and, growing down
/// from it, the first entries of the FOT.
pub const TAIL_START: u64 = SLOT - PAGE;

/// Most bytes of data an object can hold: a slot without the null page and
/// without the tail page.
pub const MAX_DATA: u64 = SLOT - 2 * PAGE;
