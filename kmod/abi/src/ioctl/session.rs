// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Commands about the session and the pool: arguments.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, ObjectId};

/// Argument of [`super::HANDSHAKE`]. The caller fills in its own versions and gets
/// the module's, also when they do not match and the call fails.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Handshake {
    /// [`super::ABI_VERSION`].
    pub abi_version: u32,
    /// [`crate::FORMAT_VERSION`].
    pub format_version: u32,
    /// Optional abilities: none yet.
    pub features: u64,
    /// The pool that the module serves.
    pub pool_id: [u8; 16],
    /// Pages of the pool.
    pub pages: u64,
    /// Zero.
    pub reserved: u64,
}
layout!(Handshake, 48, 8, {
    abi_version: 0, format_version: 4, features: 8, pool_id: 16, pages: 32, reserved: 40,
});

/// Argument of [`super::INFO`]: all of it is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Info {
    /// The pool's own id.
    pub pool_id: [u8; 16],
    /// Text for people, then zeros.
    pub label: [u8; 64],
    /// Seconds since 1970 at its creation.
    pub created: u64,
    /// Format version.
    pub format_version: u32,
    /// 1 if it cannot be written, else 0.
    pub read_only: u32,
    /// Objects that exist, directories not among them.
    pub objects: u64,
    /// Records there are.
    pub records: u64,
    /// Records that no object has ever had.
    pub unused_records: u64,
    /// Pages of the pool, with its tables.
    pub pages: u64,
    /// Pages that objects can have.
    pub data_pages: u64,
    /// Those of them that are free.
    pub free_pages: u64,
}
layout!(Info, 144, 8, {
    pool_id: 0, label: 16, created: 80, format_version: 88, read_only: 92, objects: 96,
    records: 104, unused_records: 112, pages: 120, data_pages: 128, free_pages: 136,
});

/// Argument of [`super::LAST_ERROR`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct LastError {
    /// Out: the object concerned, or null.
    pub id: ObjectId,
    /// Out: where, for a fault.
    pub address: u64,
    /// Out: the errno, or 0 if nothing was refused yet.
    pub errno: u32,
    /// Out: [`crate::reason`].
    pub reason: u32,
    /// Out: rights that were wanted.
    pub wanted: u32,
    /// Out: rights there were.
    pub granted: u32,
}
layout!(LastError, 40, 8, { id: 0, address: 16, errno: 24, reason: 28, wanted: 32, granted: 36 });

/// Argument of [`super::FAULT`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Fault {
    /// The address that was touched.
    pub address: u64,
    /// The right it takes: one of READ, WRITE, EXEC.
    pub access: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(Fault, 16, 8, { address: 0, access: 8, reserved: 12 });
