// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pools and spaces. `twz_space` is a boxed [`Space`].

use std::{ffi::c_int, ptr, sync::atomic::Ordering};

use super::{
    args::{self, Out, Owned, Text},
    status::{Fail, answer},
};
use crate::{EmbeddedPool, InitOptions, Space};

#[unsafe(no_mangle)]
pub extern "C" fn twz_pool_init(path: Text<'_>, label: Text<'_>) -> c_int {
    answer(|| {
        let path = path.path().ok_or_else(|| Fail::new(libc::EINVAL, "the path is NULL"))?;
        let label = label.optional()?.unwrap_or_default();
        if label.len() > 63 {
            return Err(Fail::new(libc::EINVAL, "a label has at most 63 bytes"));
        }
        Ok(EmbeddedPool::init(path, &InitOptions { label: label.into() })?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_space_open(path: Text<'_>, space: Out<'_, *mut Space>) -> c_int {
    answer(|| {
        let space = args::out(space, ptr::null_mut())?;
        let opened = match path.path() {
            Some(path) => Space::open(path)?,
            None => Space::open_default()?,
        };
        *space = args::hand_out(opened);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_space_close(space: Owned<Space>) -> c_int {
    answer(|| {
        // Every open object holds the arena, so closing would only look done.
        match space.get().map(|space| space.0.handles.load(Ordering::Acquire)) {
            None | Some(0) => {
                space.release();
                Ok(())
            }
            Some(open) => Err(Fail::new(
                libc::EBUSY,
                format!("{open} objects are still open in this space; close them first"),
            )),
        }
    })
}
