// SPDX-License-Identifier: GPL-2.0
//! Who maps what, for taking pages out again: [`Mapping`], a set of mappings
//! that belongs to a view, and [`InodeMapping`], that of an object's inode.

use core::marker::PhantomData;
use kernel::{
    bindings,
    error::{from_err_ptr, Error},
};

/// Nothing can be done with the file that keeps a mapping alive.
static NO_OPERATIONS: Operations = Operations(pin_init::zeroed());

/// So that it can be static.
pub(super) struct Operations(pub(super) bindings::file_operations);

// SAFETY: never written.
unsafe impl Sync for Operations {}

/// A set of mappings of its own.
///
/// # Invariants
///
/// `file` is an anonymous file, referenced, with an inode that is nobody else's.
pub(crate) struct Mapping {
    file: *mut bindings::file,
}

// SAFETY: a reference to a file can be held and dropped by any thread.
unsafe impl Send for Mapping {}
// SAFETY: `zap` may be called by several threads at once.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: the operations are static; the name is a string.
        let file = from_err_ptr(unsafe {
            super::bindings::anon_inode_create_getfile(
                c"[twz-view]".as_ptr().cast(),
                &NO_OPERATIONS.0,
                core::ptr::null_mut(),
                bindings::O_RDWR as _,
                core::ptr::null(),
            )
        })?;
        // INVARIANT: `create` makes an inode for it alone.
        Ok(Self { file })
    }

    pub(super) fn raw(&self) -> *mut bindings::address_space {
        // SAFETY: by the type invariant.
        unsafe { (*self.file).f_mapping }
    }

    fn borrow(&self) -> InodeMapping<'_> {
        InodeMapping { raw: self.raw(), _owner: PhantomData }
    }

    /// Takes `pages` pages from page `first` on out of all who map them.
    pub(crate) fn zap(&self, first: u64, pages: u64) {
        self.borrow().zap(first, pages);
    }

    /// Takes everything out.
    pub(crate) fn zap_all(&self) {
        self.borrow().zap_all();
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: by the type invariant, the reference is ours to give up.
        unsafe { bindings::fput(self.file) };
    }
}

/// The mappings of an inode that lives as long as `'a`.
pub(crate) struct InodeMapping<'a> {
    raw: *mut bindings::address_space,
    _owner: PhantomData<&'a ()>,
}

impl InodeMapping<'_> {
    /// # Safety
    ///
    /// `raw` must be valid for `'a`.
    pub(super) unsafe fn new(raw: *mut bindings::address_space) -> Self {
        Self { raw, _owner: PhantomData }
    }

    pub(crate) fn zap(&self, first: u64, pages: u64) {
        if pages != 0 {
            // SAFETY: valid, as whoever made this promised. It takes no lock that
            // a fault or a holder of the space's lock may have.
            unsafe {
                bindings::unmap_mapping_range(
                    self.raw,
                    (first << 12) as i64,
                    (pages << 12) as i64,
                    1,
                )
            };
        }
    }

    pub(crate) fn zap_all(&self) {
        // SAFETY: as above; a length of zero means all.
        unsafe { bindings::unmap_mapping_range(self.raw, 0, 0, 1) };
    }
}
