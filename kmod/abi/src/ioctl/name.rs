// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Commands about names: arguments. A path is bytes without a NUL.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, ObjectId};

/// Argument of [`super::LOOKUP`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Lookup {
    /// Address of the path.
    pub path: u64,
    /// Its bytes.
    pub len: u32,
    /// Out: [`crate::name::kind`].
    pub kind: u32,
    /// Out: what it is bound to.
    pub id: ObjectId,
}
layout!(Lookup, 32, 8, { path: 0, len: 8, kind: 12, id: 16 });

/// Argument of [`super::BIND`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Bind {
    /// Address of the path.
    pub path: u64,
    /// Its bytes.
    pub len: u32,
    /// 1: replace what it is bound to, in one step; 0: refuse.
    pub replace: u32,
    /// Which object.
    pub id: ObjectId,
}
layout!(Bind, 32, 8, { path: 0, len: 8, replace: 12, id: 16 });

/// Argument of [`super::UNBIND`], [`super::MKDIR`] and [`super::RMDIR`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PathOnly {
    /// Address of the path.
    pub path: u64,
    /// Its bytes.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(PathOnly, 16, 8, { path: 0, len: 8, reserved: 12 });

/// Argument of [`super::RENAME`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Rename {
    /// Address of the path it has.
    pub from: u64,
    /// Address of the path it is to have.
    pub to: u64,
    /// Bytes of the first.
    pub from_len: u32,
    /// Bytes of the second.
    pub to_len: u32,
}
layout!(Rename, 24, 8, { from: 0, to: 8, from_len: 16, to_len: 20 });

/// Argument of [`super::READ_DIR`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ReadDir {
    /// Address of the path.
    pub path: u64,
    /// Address of an array of [`DirEntry`].
    pub entries: u64,
    /// In and out: where to go on; 0 begins.
    pub cursor: u64,
    /// Bytes of the path.
    pub len: u32,
    /// In: length of the array. Out: how many were written; none means the end.
    pub count: u32,
}
layout!(ReadDir, 32, 8, { path: 0, entries: 8, cursor: 16, len: 24, count: 28 });

/// One name of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DirEntry {
    /// What it is bound to.
    pub id: ObjectId,
    /// [`crate::name::kind`].
    pub kind: u32,
    /// Bytes in the name.
    pub len: u32,
    /// The name, then zeros.
    pub name: [u8; 256],
}
layout!(DirEntry, 280, 8, { id: 0, kind: 16, len: 20, name: 24 });
