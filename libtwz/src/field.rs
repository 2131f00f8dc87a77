// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fields that change: the one way to write to an object through a shared
//! reference. A value of up to 8 bytes is never torn, not even by a crash.

use crate::{Persist, error::Result, ptr::writable, raw::cell::Shared};

/// A value in an object that may be stored to at any time, by anybody who may
/// write to the object.
#[repr(transparent)]
pub struct Field<T>(Shared<T>);

crate::persist::persist_leaf!([T: Persist] Field<T>, "Field", T);

impl<T: Persist + Copy> Field<T> {
    /// Holds `value`.
    pub const fn new(value: T) -> Self {
        Self(Shared::new(value))
    }

    /// The value now.
    #[inline(always)]
    pub fn get(&self) -> T {
        self.0.load()
    }

    /// Stores a value; an error if the object may not be written here.
    #[inline(always)]
    pub fn set(&self, value: T) -> Result<()> {
        writable(self)?;
        self.0.store(value);
        Ok(())
    }
}

impl<T: Persist + Copy + Default> Default for Field<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
