// SPDX-License-Identifier: MIT OR Apache-2.0
//! The view of a space, and views as objects.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use twz_abi::DATA_START;

use super::{
    args::{self, Out},
    status::{Answer, Fail, answer},
};
use crate::{ObjectId, Space, View};

/// The view in force, if it has that slot.
fn view(space: Option<&Space>, slot: u32) -> Answer<View<'_>> {
    let view = args::given(space)?.view();
    match (1..view.slots()).contains(&slot) {
        true => Ok(view),
        false => Err(Fail::new(
            libc::EINVAL,
            format!("there is no slot {slot} for objects: they are 1 to {}", view.slots() - 1),
        )),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_slots(space: Option<&Space>, slots: Out<'_, u32>) -> c_int {
    answer(|| {
        let slots = args::out(slots, 0)?;
        *slots = args::given(space)?.view().slots();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_set(
    space: Option<&Space>,
    slot: u32,
    id: ObjectId,
    rights: u32,
) -> c_int {
    answer(|| Ok(view(space, slot)?.set(slot, args::id(id)?, args::rights(rights)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_get(
    space: Option<&Space>,
    slot: u32,
    id: Out<'_, ObjectId>,
    rights: Out<'_, u32>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let rights = rights.map(|rights| rights.write(0));
        if let Some(entry) = view(space, slot)?.get(slot)? {
            *id = entry.id;
            if let Some(rights) = rights {
                *rights = entry.protection.0;
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_clear(space: Option<&Space>, slot: u32) -> c_int {
    answer(|| Ok(view(space, slot)?.clear(slot)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_invalidate(space: Option<&Space>, first: u32, count: u32) -> c_int {
    answer(|| Ok(args::given(space)?.view().invalidate(first, count)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_address(
    space: Option<&Space>,
    slot: u32,
    address: Out<'_, *mut c_void>,
) -> c_int {
    answer(|| {
        let address = args::out(address, ptr::null_mut())?;
        let base = view(space, slot)?.address(slot);
        *address = ptr::with_exposed_provenance_mut(base + DATA_START as usize);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_create(space: Option<&Space>, id: Out<'_, ObjectId>) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        *id = args::given(space)?.create_view()?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_view_switch(space: Option<&Space>, id: Option<&ObjectId>) -> c_int {
    answer(|| {
        let space = args::given(space)?;
        let id = id.map(|id| args::id(*id)).transpose()?;
        Ok(space.set_view(id)?)
    })
}
