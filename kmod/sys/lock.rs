// SPDX-License-Identifier: GPL-2.0
//! A reader-writer semaphore with what it guards: [`RwSem`].

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};
use kernel::{bindings, prelude::*, types::Opaque};

/// A value behind a reader-writer semaphore. Who waits, sleeps.
#[pin_data]
pub(crate) struct RwSem<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through guards: shared by readers, which
// `T: Sync` allows, or by one writer at a time, which `T: Send` allows.
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}
// SAFETY: it owns the value, and the semaphore belongs to no thread.
unsafe impl<T: Send> Send for RwSem<T> {}

/// The value, for reading.
pub(crate) struct Read<'a, T>(&'a RwSem<T>);

/// The value, for writing.
pub(crate) struct Write<'a, T>(&'a RwSem<T>);

impl<T> RwSem<T> {
    pub(crate) fn new(value: T) -> impl PinInit<Self> {
        let key = kernel::static_lock_class!();
        pin_init!(Self {
            // SAFETY: the place is pinned and the key is static.
            sem <- Opaque::ffi_init(move |sem| unsafe {
                bindings::__init_rwsem(sem, c"twz::space".as_ptr().cast(), key.as_ptr())
            }),
            value: UnsafeCell::new(value),
        })
    }

    pub(crate) fn read(&self) -> Read<'_, T> {
        // SAFETY: initialised when it was pinned; nobody calls with it held.
        unsafe { bindings::down_read(self.sem.get()) };
        Read(self)
    }

    pub(crate) fn write(&self) -> Write<'_, T> {
        // SAFETY: as above.
        unsafe { bindings::down_write(self.sem.get()) };
        Write(self)
    }
}

impl<T> Deref for Read<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the semaphore is held for reading: there is no writer.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Drop for Read<'_, T> {
    fn drop(&mut self) {
        // SAFETY: it is held for reading, by this guard.
        unsafe { bindings::up_read(self.0.sem.get()) };
    }
}

impl<T> Deref for Write<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the semaphore is held for writing: there is nobody else.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Write<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the semaphore is held for writing, and the guard borrowed alone.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Write<'_, T> {
    fn drop(&mut self) {
        // SAFETY: it is held for writing, by this guard.
        unsafe { bindings::up_write(self.0.sem.get()) };
    }
}
