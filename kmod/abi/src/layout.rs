// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Pins every structure's layout: compile-time assertions beside each type,
//! and one table of all of them for the golden file (`golden/layout.txt`).

/// Where one field lies.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its offset in bytes.
    pub offset: usize,
}

/// The layout of one structure.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The type's name.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its alignment in bytes.
    pub align: usize,
    /// Its fields in order.
    pub fields: &'static [Field],
}

/// A structure with a pinned layout.
pub trait Pinned {
    /// The layout, as the compiler laid it out.
    const LAYOUT: Layout;
}

/// Asserts size, alignment and offsets at compile time and implements
/// [`Pinned`], so that the numbers in the source are those of the compiler.
macro_rules! layout {
    ($type:ident, $size:expr, $align:expr, { $($field:ident: $offset:expr),* $(,)? }) => {
        const _: () = {
            assert!(core::mem::size_of::<$type>() == $size);
            assert!(core::mem::align_of::<$type>() == $align);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)*
        };
        impl $crate::layout::Pinned for $type {
            const LAYOUT: $crate::layout::Layout = $crate::layout::Layout {
                name: stringify!($type),
                size: core::mem::size_of::<$type>(),
                align: core::mem::align_of::<$type>(),
                fields: &[$($crate::layout::Field {
                    name: stringify!($field),
                    offset: core::mem::offset_of!($type, $field),
                }),*],
            };
        }
    };
}
pub(crate) use layout;

/// Every pinned structure, in the order of FORMAT.md.
pub const ALL: &[Layout] = &[
    <crate::ObjectId as Pinned>::LAYOUT,
    <crate::PtrBits as Pinned>::LAYOUT,
    <crate::FotEntry as Pinned>::LAYOUT,
    <crate::Meta as Pinned>::LAYOUT,
    <crate::ViewEntry as Pinned>::LAYOUT,
    <crate::log::LogHeader as Pinned>::LAYOUT,
    <crate::log::ProcessSlot as Pinned>::LAYOUT,
    <crate::thread::ThreadState as Pinned>::LAYOUT,
    <crate::security::Key as Pinned>::LAYOUT,
    <crate::security::ContextHeader as Pinned>::LAYOUT,
    <crate::security::Gate as Pinned>::LAYOUT,
    <crate::security::Grant as Pinned>::LAYOUT,
    <crate::security::Mask as Pinned>::LAYOUT,
    <crate::security::AttachClaim as Pinned>::LAYOUT,
    <crate::security::RevokeClaim as Pinned>::LAYOUT,
    <crate::secret::Secret as Pinned>::LAYOUT,
    <crate::name::NameEntry as Pinned>::LAYOUT,
    <crate::name::NamePage as Pinned>::LAYOUT,
    <crate::Superblock as Pinned>::LAYOUT,
    <crate::superblock::PoolState as Pinned>::LAYOUT,
    <crate::superblock::Control as Pinned>::LAYOUT,
    <crate::ObjectRecord as Pinned>::LAYOUT,
    <crate::record::MapWord as Pinned>::LAYOUT,
    <crate::journal::JournalHeader as Pinned>::LAYOUT,
    <crate::journal::JournalEntry as Pinned>::LAYOUT,
    <crate::decision::Decision as Pinned>::LAYOUT,
    <crate::ioctl::Handshake as Pinned>::LAYOUT,
    <crate::ioctl::Info as Pinned>::LAYOUT,
    <crate::ioctl::LastError as Pinned>::LAYOUT,
    <crate::ioctl::Fault as Pinned>::LAYOUT,
    <crate::ioctl::Create as Pinned>::LAYOUT,
    <crate::ioctl::Adopt as Pinned>::LAYOUT,
    <crate::ioctl::Stat as Pinned>::LAYOUT,
    <crate::ioctl::List as Pinned>::LAYOUT,
    <crate::ioctl::Resize as Pinned>::LAYOUT,
    <crate::ioctl::Reserve as Pinned>::LAYOUT,
    <crate::ioctl::Delete as Pinned>::LAYOUT,
    <crate::ioctl::Sync as Pinned>::LAYOUT,
    <crate::ioctl::Copy as Pinned>::LAYOUT,
    <crate::ioctl::Transfer as Pinned>::LAYOUT,
    <crate::ioctl::OpenFd as Pinned>::LAYOUT,
    <crate::ioctl::Wait as Pinned>::LAYOUT,
    <crate::ioctl::Wake as Pinned>::LAYOUT,
    <crate::ioctl::SetView as Pinned>::LAYOUT,
    <crate::ioctl::InvalidateView as Pinned>::LAYOUT,
    <crate::ioctl::Resolve as Pinned>::LAYOUT,
    <crate::ioctl::ContextState as Pinned>::LAYOUT,
    <crate::ioctl::Attach as Pinned>::LAYOUT,
    <crate::ioctl::ContextOnly as Pinned>::LAYOUT,
    <crate::ioctl::Revoke as Pinned>::LAYOUT,
    <crate::ioctl::Lookup as Pinned>::LAYOUT,
    <crate::ioctl::Bind as Pinned>::LAYOUT,
    <crate::ioctl::PathOnly as Pinned>::LAYOUT,
    <crate::ioctl::Rename as Pinned>::LAYOUT,
    <crate::ioctl::ReadDir as Pinned>::LAYOUT,
    <crate::ioctl::DirEntry as Pinned>::LAYOUT,
];
