// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pointers in objects. C says where one lies by its address, so first of all
//! that address is checked: from then on it is a [`Ptr`] like any other.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use twz_abi::{DATA_START, PtrBits, SLOT, TAIL_START};

use super::{
    args::{self, Out, Text},
    status::{Answer, Fail, answer},
};
use crate::{
    Global, ObjectId, Ptr,
    error::Error,
    ptr::{again, bits_for, writable},
    raw::{arena::SLOT_BYTES, translate as fast},
    translate::{home_of, target_of},
};

/// Whether `len` bytes at an address lie in the data of an object.
pub fn in_data(address: usize, len: u64) -> Answer {
    if !fast::in_object(address) {
        return Err(Error::NotInObject.into());
    }
    let offset = (address & (SLOT_BYTES - 1)) as u64;
    if let Some(own) = fast::cached(address, PtrBits::NULL)
        && own.place(offset, len).is_some()
    {
        return Ok(());
    }
    // SAFETY: not null, and `()` has no bytes: nothing is read through this.
    // It stands for the address, which lies in a live arena.
    let place: &() = unsafe { &*ptr::without_provenance(address) };
    let (core, slot) = home_of(place)?;
    // The object may have grown, or not have been touched yet.
    match core.refresh(slot)?.place(offset, len) {
        Some(_) => Ok(()),
        None => Err(Error::NotInObject.into()),
    }
}

/// Does something with the pointer at an address.
pub fn at<R>(place: *const u64, act: impl FnOnce(&Ptr<u8>) -> Answer<R>) -> Answer<R> {
    if place.is_null() {
        return Err(Fail::new(libc::EFAULT, "the address of the pointer is NULL"));
    }
    if !place.is_aligned() {
        return Err(Fail::new(libc::EFAULT, "a twz_ptr lies at a multiple of 8"));
    }
    in_data(place.expose_provenance(), size_of::<u64>() as u64)?;
    // SAFETY: 1. not null and aligned; 2. in the data of an object that is
    // mapped, as was just checked, and stays so during the call: whoever closes
    // the space or invalidates the slot promises not to do it meanwhile;
    // 3. a `Ptr` is an atomic word, of which any bits are a value.
    act(unsafe { &*place.cast::<Ptr<u8>>() })
}

/// A slot offset that can be in an object's data.
fn data_offset(offset: u64) -> Answer<u64> {
    match (DATA_START..TAIL_START).contains(&offset) {
        true => Ok(offset),
        false => Err(Fail::new(
            libc::EINVAL,
            format!("slot offset {offset} is in no object's data; the root is at {DATA_START}"),
        )),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_lea(place: *const u64, len: usize, out: Out<'_, *mut c_void>) -> c_int {
    answer(|| {
        let out = args::out(out, ptr::null_mut())?;
        let outside = || Error::BadPointer { why: "it leads outside its object" };
        let len = u64::try_from(len).ok().filter(|&len| len <= SLOT).ok_or_else(outside)?;
        at(place, |pointer| {
            let bits = pointer.bits();
            if bits.is_null() {
                return Err(Error::Null.into());
            }
            let address = match target_of(pointer, bits)?.place(bits.offset(), len) {
                Some(address) => address,
                None => again(pointer, bits)?.place(bits.offset(), len).ok_or_else(outside)?,
            };
            *out = ptr::with_exposed_provenance_mut(address);
            Ok(())
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_store(place: *const u64, target: *const c_void) -> c_int {
    answer(|| {
        at(place, |pointer| {
            if target.is_null() {
                return Ok(pointer.clear()?);
            }
            writable(pointer)?;
            in_data(target.expose_provenance(), 1)?;
            Ok(pointer.put(bits_for(pointer, target.addr())?)?)
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_store_id(place: *const u64, id: ObjectId, offset: u64, rights: u32) -> c_int {
    answer(|| {
        let to = Global { id: args::id(id)?, offset: data_offset(offset)? };
        let rights = args::rights(rights)?;
        at(place, |pointer| Ok(pointer.store_global(to, rights)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_store_derived(
    place: *const u64,
    id: ObjectId,
    offset: u64,
    rights: u32,
) -> c_int {
    answer(|| {
        let to = Global { id: args::id(id)?, offset: data_offset(offset)? };
        let rights = args::rights(rights)?;
        at(place, |pointer| Ok(pointer.store_derived(to, rights)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_store_name(
    place: *const u64,
    name: Text<'_>,
    offset: u64,
    rights: u32,
) -> c_int {
    answer(|| {
        let (name, rights) = (name.required()?, args::rights(rights)?);
        let offset = data_offset(offset)?;
        at(place, |pointer| {
            // The text goes into the object's heap: ask before it does.
            writable(pointer)?;
            Ok(pointer.store_name(name, offset, rights)?)
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ptr_target(
    place: *const u64,
    id: Out<'_, ObjectId>,
    offset: Out<'_, u64>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let offset = offset.map(|offset| offset.write(0));
        let to = at(place, |pointer| Ok(pointer.global()?))?;
        *id = to.id;
        if let Some(offset) = offset {
            *offset = to.offset;
        }
        Ok(())
    })
}
