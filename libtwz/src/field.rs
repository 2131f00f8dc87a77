// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fields that change: the one way to write to an object through a shared
//! reference. A value of up to 8 bytes is never torn, not even by a crash.

use std::time::Duration;

use crate::{
    Persist, backend::Waited, error::Result, ptr::writable, raw::cell::Shared, space::Core,
    translate::home_of,
};

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

impl Field<u64> {
    /// Sleeps while the value is `value`, for at most `timeout`, until another
    /// thread or process calls [`Field::wake`]. It may end without a reason:
    /// look again. A field on the stack is refused.
    pub fn wait(&self, value: u64, timeout: Option<Duration>) -> Result<Waited> {
        let (core, slot, offset) = self.place()?;
        core.wait(slot, offset, value, timeout)
    }

    /// Wakes at most `count` of those who wait for this field, in all processes;
    /// says how many. Whoever changes a field stores first, then wakes.
    pub fn wake(&self, count: u64) -> Result<u64> {
        let (core, slot, offset) = self.place()?;
        core.wake(slot, offset, count)
    }

    fn place(&self) -> Result<(&Core, u32, u64)> {
        let (core, slot) = home_of(self)?;
        let address = (&raw const *self) as usize;
        Ok((core, slot, (address - core.arena().address(slot)) as u64))
    }
}

impl<T: Persist + Copy + Default> Default for Field<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
