// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Commands about views: arguments.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{layout::layout, ObjectId};

/// Argument of [`super::SET_VIEW`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SetView {
    /// The view object.
    pub view: ObjectId,
    /// Out: a descriptor to map: its offsets are slot by slot what the view
    /// shows. Close-on-exec is set.
    pub fd: i32,
    /// Zero.
    pub reserved: u32,
}
layout!(SetView, 24, 8, { view: 0, fd: 16, reserved: 20 });

/// Argument of [`super::INVALIDATE_VIEW`].
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

/// Argument of [`super::RESOLVE`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Resolve {
    /// Which object. Its id is verified.
    pub id: ObjectId,
    /// Rights that are wanted.
    pub wanted: u32,
    /// Out: those of them that the active context has.
    pub granted: u32,
    /// Out: FOT pages below the tail page.
    pub fot_pages: u32,
    /// Zero.
    pub reserved: u32,
    /// Out: bytes of data.
    pub size: u64,
}
layout!(Resolve, 40, 8, { id: 0, wanted: 16, granted: 20, fot_pages: 24, reserved: 28, size: 32 });
