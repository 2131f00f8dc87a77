// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Commands about objects: arguments.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, ObjectId};

/// Argument of [`super::CREATE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Create {
    /// Out: the new object's id.
    pub id: ObjectId,
    /// Nonce; zero asks for a random one.
    pub nonce: [u8; 16],
    /// Owner's key object, or null.
    pub owner: ObjectId,
    /// Object flags.
    pub flags: u32,
    /// Default rights.
    pub default_rights: u32,
    /// Kind.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// Fingerprint of the root's type.
    pub fingerprint: u64,
    /// Bytes of data.
    pub size: u64,
}
layout!(Create, 80, 8, {
    id: 0, nonce: 16, owner: 32, flags: 48, default_rights: 52, kind: 56, reserved: 60,
    fingerprint: 64, size: 72,
});

/// Argument of [`super::ADOPT`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Adopt {
    /// What the object is. The nonce is taken as it is.
    pub create: Create,
    /// SHA-256 of the data of an immutable object, else zeros.
    pub content: [u8; 32],
    /// Its epoch, where it comes from.
    pub epoch: u64,
}
layout!(Adopt, 120, 8, { create: 0, content: 80, epoch: 112 });

/// Argument of [`super::STAT`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stat {
    /// Which object.
    pub id: ObjectId,
    /// Out: as in the meta record.
    pub nonce: [u8; 16],
    /// Out: as in the meta record.
    pub owner: ObjectId,
    /// Out: as in the meta record.
    pub content: [u8; 32],
    /// Out: as in the meta record.
    pub flags: u32,
    /// Out: as in the meta record.
    pub default_rights: u32,
    /// Out: as in the meta record.
    pub kind: u32,
    /// Out: names bound to it.
    pub names: u32,
    /// Out: as in the meta record.
    pub fingerprint: u64,
    /// Out: bytes of data.
    pub size: u64,
    /// Out: pages that it takes.
    pub pages: u64,
    /// Out: mappings and descriptors that keep it.
    pub references: u64,
    /// Out: its epoch.
    pub epoch: u64,
}
layout!(Stat, 136, 8, {
    id: 0, nonce: 16, owner: 32, content: 48, flags: 80, default_rights: 84, kind: 88, names: 92,
    fingerprint: 96, size: 104, pages: 112, references: 120,
    epoch: 128,
});

/// Argument of [`super::LIST`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct List {
    /// In and out: where to go on; 0 begins.
    pub cursor: u64,
    /// Address of an array of [`ObjectId`].
    pub ids: u64,
    /// In: its length. Out: how many were written; none means the end.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(List, 24, 8, { cursor: 0, ids: 8, count: 16, reserved: 20 });

/// Argument of [`super::RESIZE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Resize {
    /// Which object.
    pub id: ObjectId,
    /// Bytes of data from now on.
    pub size: u64,
    /// Zero.
    pub reserved: u64,
}
layout!(Resize, 32, 8, { id: 0, size: 16, reserved: 24 });

/// Argument of [`super::RESERVE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Reserve {
    /// Which object.
    pub id: ObjectId,
    /// Slot offset of the first byte.
    pub from: u64,
    /// One past the last.
    pub to: u64,
}
layout!(Reserve, 32, 8, { id: 0, from: 16, to: 24 });

/// Argument of [`super::DELETE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Delete {
    /// Which object.
    pub id: ObjectId,
    /// Zero.
    pub reserved: u64,
}
layout!(Delete, 24, 8, { id: 0, reserved: 16 });

/// Argument of [`super::SYNC`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Sync {
    /// Which object.
    pub id: ObjectId,
    /// Zero.
    pub reserved: u64,
}
layout!(Sync, 24, 8, { id: 0, reserved: 16 });

/// Argument of [`super::COPY`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Copy {
    /// The object to copy.
    pub source: ObjectId,
    /// What the new one is to be; kind, fingerprint and size are those of the source.
    pub create: Create,
    /// Its epoch: 0, unless it stands in for an object that comes from elsewhere.
    pub epoch: u64,
}
layout!(Copy, 104, 8, { source: 0, create: 16, epoch: 96 });

/// Argument of [`super::READ`] and [`super::WRITE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Transfer {
    /// Which object.
    pub id: ObjectId,
    /// Slot offset of the first byte.
    pub offset: u64,
    /// The caller's bytes.
    pub address: u64,
    /// How many. Out: how many were done.
    pub len: u64,
}
layout!(Transfer, 40, 8, { id: 0, offset: 16, address: 24, len: 32 });

/// Argument of [`super::OPEN_FD`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OpenFd {
    /// Which object.
    pub id: ObjectId,
    /// Rights the descriptor is to have, of READ and WRITE; close-on-exec is set.
    pub rights: u32,
    /// Out: the descriptor.
    pub fd: i32,
}
layout!(OpenFd, 24, 8, { id: 0, rights: 16, fd: 20 });

/// Argument of [`super::WAIT`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Wait {
    /// Which object.
    pub id: ObjectId,
    /// Slot offset of the word; a multiple of 8.
    pub offset: u64,
    /// Sleep only while the word holds this.
    pub value: u64,
    /// Nanoseconds at most; `u64::MAX` for ever.
    pub timeout: u64,
}
layout!(Wait, 40, 8, { id: 0, offset: 16, value: 24, timeout: 32 });

/// Argument of [`super::WAKE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Wake {
    /// Which object.
    pub id: ObjectId,
    /// Slot offset of the word.
    pub offset: u64,
    /// In: wake this many at most. Out: how many were woken.
    pub count: u64,
}
layout!(Wake, 32, 8, { id: 0, offset: 16, count: 24 });
