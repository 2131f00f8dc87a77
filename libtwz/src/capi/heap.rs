// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allocator inside an object.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use twz_abi::{DATA_START, MAX_DATA, PAGE};

use super::{
    args::{self, Out},
    object::Handle,
    status::{Fail, answer},
};
use crate::{
    error::Error,
    ptr::writable,
    raw::{arena::SLOT_BYTES, object as memory},
};

/// What `malloc` aligns to.
const COMMON_ALIGN: usize = 16;

#[unsafe(no_mangle)]
pub extern "C" fn twz_alloc(
    object: Option<&Handle>,
    len: usize,
    align: usize,
    address: Out<'_, *mut c_void>,
) -> c_int {
    answer(|| {
        let address = args::out(address, ptr::null_mut())?;
        let object = args::given(object)?;
        let align = if align == 0 { COMMON_ALIGN } else { align };
        if !align.is_power_of_two() || align as u64 > PAGE {
            return Err(Fail::new(
                libc::EINVAL,
                format!("{align} is not a power of two of at most {PAGE}"),
            ));
        }
        let len = (len as u64).max(1);
        if len > MAX_DATA {
            return Err(Error::BadSize(len).into());
        }
        writable(object.root())?;
        let core = object.space().core();
        let offset = core.heap_alloc(object.slot(), len, align as u64)?;
        memory::zero_bytes(core.translate(object.slot(), 0)?, offset, len)?;
        *address = ptr::with_exposed_provenance_mut(object.address() + offset as usize);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_free(object: Option<&Handle>, address: *const c_void) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        if address.is_null() {
            return Ok(());
        }
        let offset = (address.expose_provenance().checked_sub(object.address()))
            .filter(|&offset| offset as u64 >= DATA_START && offset < SLOT_BYTES)
            .ok_or(Error::NotInObject)?;
        writable(object.root())?;
        Ok(object.space().core().heap_free(object.slot(), offset as u64)?)
    })
}
