// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The one table of commands that `/dev/twz` answers.
//!
//! Numbers are computed from type, size and place in the table, never typed.
//! Structures have fixed-width fields, natural alignment, explicit padding, a
//! size that is a multiple of 8, addresses as `u64`, no enums. The first
//! command is the handshake. An unknown command is `ENOTTY`; a nonzero
//! reserved field or an unknown flag is `EINVAL`. A command is extended by a
//! new one, never by giving a field another meaning.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, ObjectId};

/// The type byte. `'Z'` is taken by others at 14 and 15 only, so the table
/// begins at [`FIRST`].
pub const TYPE: u8 = b'Z';

/// Number of the first command.
pub const FIRST: u8 = 0x80;

/// Version of this table. The kernel and the library must agree on it.
pub const ABI_VERSION: u32 = 1;

/// A command: its name, number and argument size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// For messages and the golden file.
    pub name: &'static str,
    /// What `ioctl(2)` is given.
    pub number: u32,
    /// Bytes of the argument.
    pub size: usize,
}

/// The number of a command whose argument is read and written back.
pub const fn iowr(nr: u8, size: usize) -> u32 {
    3 << 30 | (size as u32) << 16 | (TYPE as u32) << 8 | nr as u32
}

/// Writes the table: constants by name, and [`COMMANDS`] in order.
macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $nr:literal: $type:ident;)*) => {
        $(
            $(#[$doc])*
            pub const $name: u32 = iowr(FIRST + $nr, core::mem::size_of::<$type>());
        )*
        /// Every command, in order of number.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: stringify!($name),
            number: $name,
            size: core::mem::size_of::<$type>(),
        }),*];
    };
}

table! {
    /// First of all: versions and features of both sides.
    HANDSHAKE = 0: Handshake;
    /// Makes an object.
    CREATE = 1: Create;
    /// Tells of an object.
    STAT = 2: Stat;
    /// Lists ids.
    LIST = 3: List;
    /// Changes the size of an object's data.
    RESIZE = 4: Resize;
    /// Deletes an object; it is gone with its last mapping.
    DELETE = 5: Delete;
    /// Makes an object that shares another's pages until either writes.
    COPY = 6: Copy;
    /// A file descriptor of an object's data.
    OPEN_FD = 7: OpenFd;
    /// Binds the session to a view.
    SET_VIEW = 8: SetView;
    /// Tells that entries of the view have changed.
    INVALIDATE_VIEW = 9: InvalidateView;
    /// Sleeps while a word of an object holds a value.
    WAIT = 10: Wait;
    /// Wakes sleepers on a word of an object.
    WAKE = 11: Wake;
    /// Why the last command or fault of this thread was refused.
    LAST_ERROR = 12: LastError;
}

/// Argument of [`HANDSHAKE`]. The caller fills in its own versions and gets
/// the module's, also when they do not match and the call fails.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Handshake {
    /// [`ABI_VERSION`].
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

/// Argument of [`CREATE`].
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

/// Argument of [`STAT`].
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
}
layout!(Stat, 96, 8, {
    id: 0, nonce: 16, owner: 32, flags: 48, default_rights: 52, kind: 56, names: 60,
    fingerprint: 64, size: 72, pages: 80, references: 88,
});

/// Argument of [`LIST`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct List {
    /// In and out: where to go on; 0 begins, `u64::MAX` ends.
    pub cursor: u64,
    /// Address of an array of [`ObjectId`].
    pub ids: u64,
    /// In: its length. Out: how many were written.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(List, 24, 8, { cursor: 0, ids: 8, count: 16, reserved: 20 });

/// Argument of [`RESIZE`].
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

/// Argument of [`DELETE`].
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

/// Argument of [`COPY`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Copy {
    /// The object to copy.
    pub source: ObjectId,
    /// What the new one is to be; `size` is ignored.
    pub create: Create,
}
layout!(Copy, 96, 8, { source: 0, create: 16 });

/// Argument of [`OPEN_FD`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OpenFd {
    /// Which object.
    pub id: ObjectId,
    /// Rights the descriptor is to have.
    pub rights: u32,
    /// Out: the descriptor.
    pub fd: i32,
}
layout!(OpenFd, 24, 8, { id: 0, rights: 16, fd: 20 });

/// Argument of [`SET_VIEW`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SetView {
    /// The view object.
    pub view: ObjectId,
    /// Zero.
    pub reserved: u64,
}
layout!(SetView, 24, 8, { view: 0, reserved: 16 });

/// Argument of [`INVALIDATE_VIEW`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct InvalidateView {
    /// The view object.
    pub view: ObjectId,
    /// First slot that has changed.
    pub first: u32,
    /// How many slots.
    pub count: u32,
}
layout!(InvalidateView, 24, 8, { view: 0, first: 16, count: 20 });

/// Argument of [`WAIT`].
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

/// Argument of [`WAKE`].
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

/// Argument of [`LAST_ERROR`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct LastError {
    /// Out: the object concerned, or null.
    pub id: ObjectId,
    /// Out: where, for a fault.
    pub address: u64,
    /// Out: the errno.
    pub errno: u32,
    /// Out: the reason, a stable number.
    pub reason: u32,
    /// Out: rights that were wanted.
    pub wanted: u32,
    /// Out: rights there were.
    pub granted: u32,
}
layout!(LastError, 40, 8, { id: 0, address: 16, errno: 24, reason: 28, wanted: 32, granted: 36 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_unique() {
        for (i, command) in COMMANDS.iter().enumerate() {
            assert_eq!(command.number & 0xff, FIRST as u32 + i as u32, "{}", command.name);
            assert_eq!(command.number >> 16 & 0x3fff, command.size as u32);
            assert_eq!(command.size % 8, 0, "{}", command.name);
        }
    }
}
