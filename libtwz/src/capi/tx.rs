// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transactions, and what makes single stores durable. A transaction belongs to
//! the thread that began it; one that its thread leaves open is aborted with it.

use std::{
    cell::RefCell,
    ffi::{c_int, c_void},
    ptr,
};

use super::{
    args::{self, Out},
    object::Handle,
    pointer,
    status::{Answer, Fail, answer},
};
use crate::{
    Space,
    error::Error,
    ptr::bits_for,
    raw::object as memory,
    tx::{Manual, durability_from, durability_of},
};

/// What `malloc` aligns to.
const COMMON_ALIGN: usize = 16;

thread_local! {
    static OPEN: RefCell<Option<Manual>> = const { RefCell::new(None) };
}

fn with<R>(body: impl FnOnce(&mut Manual) -> Answer<R>) -> Answer<R> {
    let done = OPEN.try_with(|open| match &mut *open.borrow_mut() {
        Some(open) => body(open),
        None => Err(Fail::new(libc::EPERM, "this thread has no transaction open")),
    });
    done.unwrap_or_else(|_| Err(Fail::new(libc::EPERM, "the thread is ending")))
}

fn bytes_of<'a>(address: *const c_void, len: usize) -> Answer<&'a [u8]> {
    match (address.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Fail::new(libc::EFAULT, "the bytes to be written are NULL")),
        // SAFETY: C promises `len` bytes there, for the duration of the call.
        _ => Ok(unsafe { std::slice::from_raw_parts(address.cast(), len) }),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_begin(space: Option<&Space>) -> c_int {
    answer(|| {
        let space = args::given(space)?;
        let begun = OPEN.try_with(|open| {
            let mut open = open.borrow_mut();
            match &mut *open {
                Some(open) => Ok(open.begin_inner(space)?),
                None => {
                    *open = Some(Manual::begin(space)?);
                    Ok(())
                }
            }
        });
        begun.unwrap_or_else(|_| Err(Fail::new(libc::EPERM, "the thread is ending")))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_end(error: c_int) -> c_int {
    answer(|| {
        let ended = with(|open| Ok(open.end(error == 0)?));
        let over = !matches!(&ended, Ok(true));
        if over {
            // Dropping what is still open aborts it.
            let _ = OPEN.try_with(|open| open.borrow_mut().take());
        }
        ended?;
        match error {
            0 => Ok(()),
            error => Err(Fail::new(error.saturating_abs(), "the transaction was aborted")),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_lock(object: Option<&Handle>) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        with(|open| Ok(open.tx(object.space())?.lock(object).map(drop)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_record(address: *const c_void, len: usize) -> c_int {
    answer(|| with(|open| Ok(open.record_at(address.expose_provenance(), len as u64)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_write(address: *mut c_void, from: *const c_void, len: usize) -> c_int {
    answer(|| {
        let from = bytes_of(from, len)?;
        with(|open| Ok(open.write_at(address.expose_provenance(), from)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_read(address: *const c_void, to: *mut c_void, len: usize) -> c_int {
    answer(|| {
        if len == 0 {
            return Ok(());
        }
        if to.is_null() {
            return Err(Fail::new(libc::EFAULT, "the place for the bytes is NULL"));
        }
        // SAFETY: C promises room for `len` bytes there, which nobody else uses
        // during the call; any bytes are a value.
        let to = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), len) };
        with(|open| Ok(open.read_at(address.expose_provenance(), to)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_alloc(
    object: Option<&Handle>,
    len: usize,
    align: usize,
    address: Out<'_, *mut c_void>,
) -> c_int {
    answer(|| {
        let address = args::out(address, ptr::null_mut())?;
        let object = args::given(object)?;
        let align = if align == 0 { COMMON_ALIGN } else { align };
        let len = (len as u64).max(1);
        with(|open| {
            let offset = open.tx(object.space())?.take(object, len, align as u64)?;
            memory::zero_bytes(object.space().core().own(object.slot())?, offset, len)?;
            *address = ptr::with_exposed_provenance_mut(object.address() + offset as usize);
            Ok(())
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_free(object: Option<&Handle>, address: *const c_void) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        if address.is_null() {
            return Ok(());
        }
        let offset = address.expose_provenance().checked_sub(object.address());
        let offset = offset.ok_or(Error::NotInObject)?;
        with(|open| Ok(open.tx(object.space())?.give(object, offset as u64)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_tx_store(place: *const u64, target: *const c_void) -> c_int {
    answer(|| {
        pointer::at(place, |pointer| {
            with(|open| {
                if target.is_null() {
                    return Ok(open.alone().clear(pointer)?);
                }
                pointer::in_data(target.expose_provenance(), 1)?;
                let bits = bits_for(pointer, target.addr())?;
                Ok(open.alone().put_bits(pointer, bits)?)
            })
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_set_durability(space: Option<&Space>, durability: u32) -> c_int {
    answer(|| {
        let space = args::given(space)?;
        let wanted = durability_from(durability)
            .ok_or_else(|| Fail::new(libc::EINVAL, format!("{durability} is no durability")))?;
        space.set_durability(wanted);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_durability(space: Option<&Space>, durability: Out<'_, u32>) -> c_int {
    answer(|| {
        let durability = args::out(durability, 0)?;
        *durability = durability_of(args::given(space)?.durability());
        Ok(())
    })
}

fn place_in(object: &Handle, address: *const c_void) -> Answer<u64> {
    let start = object.address() + twz_abi::DATA_START as usize;
    match address.expose_provenance().checked_sub(start) {
        Some(at) => Ok(at as u64),
        None => Err(Error::NotInObject.into()),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_flush(object: Option<&Handle>, address: *const c_void, len: usize) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        Ok(object.flush(place_in(object, address)?, len as u64)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_fence(space: Option<&Space>) -> c_int {
    answer(|| {
        args::given(space)?.fence();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_persist(
    object: Option<&Handle>,
    address: *const c_void,
    len: usize,
) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        Ok(object.persist(place_in(object, address)?, len as u64)?)
    })
}
