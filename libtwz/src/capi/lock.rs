// SPDX-License-Identifier: MIT OR Apache-2.0
//! Locks of objects. What a thread holds is kept with the thread: so it is the
//! one that gives it back, and a thread that ends leaves nothing locked.

use std::{cell::RefCell, ffi::c_int};

use super::{
    args,
    object::Handle,
    status::{Fail, answer},
};
use crate::{ObjectId, tx::lock::Held};

thread_local! {
    static MINE: RefCell<Vec<(ObjectId, Held)>> = const { RefCell::new(Vec::new()) };
}

/// Whether the calling thread holds the object's lock.
pub fn is_mine(id: ObjectId) -> bool {
    MINE.try_with(|mine| mine.borrow().iter().any(|(held, _)| *held == id)).unwrap_or(false)
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_lock(object: Option<&Handle>) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        if is_mine(object.id()) {
            return Err(Fail::new(libc::EDEADLK, "this thread holds the object's lock already"));
        }
        let held = Held::wait(object.space(), object.id())?;
        MINE.try_with(|mine| mine.borrow_mut().push((object.id(), held)))
            .map_err(|_| Fail::new(libc::EPERM, "a thread that is ending can lock no more"))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_unlock(object: Option<&Handle>) -> c_int {
    answer(|| {
        let id = args::given(object)?.id();
        let given_back = MINE.try_with(|mine| {
            let mut mine = mine.borrow_mut();
            let at = mine.iter().position(|(held, _)| *held == id)?;
            Some(mine.swap_remove(at))
        });
        match given_back {
            Ok(Some(_)) => Ok(()),
            _ => Err(Fail::new(libc::EPERM, "this thread does not hold the object's lock")),
        }
    })
}
