// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects as a whole. `twz_object` is a boxed [`Handle`].

use std::{
    ffi::{c_int, c_void},
    os::fd::IntoRawFd as _,
    ptr,
};

use twz_abi::DATA_START;

use super::{
    args::{self, Out, Owned},
    lock,
    status::{Answer, Fail, answer},
    types::{New, Stat},
};
use crate::{
    Object, ObjectId, Rights, Space,
    error::Error,
    flags,
    object::{create_raw, open},
};

/// What C opens: an object of which only the bytes are known.
pub type Handle = Object<()>;

/// The header lets any thread use a handle.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Handle>();
    shared::<Space>();
};

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_create(
    space: Option<&Space>,
    what: Option<&New>,
    id: Out<'_, ObjectId>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let space = args::given(space)?;
        let (new, root) = New::check(what)?;
        if new.flags & flags::IMMUTABLE != 0 {
            return Err(Fail::new(
                libc::EINVAL,
                "make the object, fill it, and twz_object_copy() it with TWZ_IMMUTABLE",
            ));
        }
        *id = create_raw(space, &new, root)?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_copy(
    space: Option<&Space>,
    source: ObjectId,
    what: Option<&New>,
    id: Out<'_, ObjectId>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let (new, _) = New::check(what)?;
        *id = args::given(space)?.backend().copy(args::id(source)?, &new)?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_delete(space: Option<&Space>, id: ObjectId) -> c_int {
    answer(|| Ok(args::given(space)?.backend().delete(args::id(id)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_stat(
    space: Option<&Space>,
    id: ObjectId,
    stat: Out<'_, Stat>,
) -> c_int {
    answer(|| {
        let stat = args::out(stat, Stat::NOTHING)?;
        *stat = args::given(space)?.backend().stat(args::id(id)?)?.into();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_open(
    space: Option<&Space>,
    id: ObjectId,
    rights: u32,
    fingerprint: u64,
    object: Out<'_, *mut Handle>,
) -> c_int {
    answer(|| {
        let object = args::out(object, ptr::null_mut())?;
        let (space, id, rights) = (args::given(space)?, args::id(id)?, args::rights(rights)?);
        if !rights.contains(Rights::READ) || !Rights(7).contains(rights) {
            return Err(Fail::new(
                libc::EINVAL,
                "open with TWZ_READ, and TWZ_WRITE and TWZ_EXEC if wanted",
            ));
        }
        let opened = open::<()>(space, id, rights)?;
        // What is still mapped from before may have been deleted since.
        opened.len()?;
        granted(&opened, rights)?;
        let found = space.core().arena().meta(opened.slot())?.fingerprint;
        if fingerprint != 0 && found != fingerprint {
            return Err(Error::WrongType { id, expected: fingerprint, found }.into());
        }
        *object = args::hand_out(opened);
        Ok(())
    })
}

/// A C program stores without asking, so what it opened for must be there now.
fn granted(object: &Handle, wanted: Rights) -> Answer {
    let core = object.space().core();
    let missing = || wanted.without(core.granted(object.slot()));
    // It may have been mapped before the right was granted.
    if missing().contains(Rights::WRITE) {
        core.try_widen(object.slot());
    }
    match missing() {
        Rights::NONE => Ok(()),
        wanted => Err(Error::denied(object.id(), wanted).into()),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_close(object: Owned<Handle>) -> c_int {
    answer(|| {
        if let Some(open) = object.get()
            && lock::is_mine(open.id())
        {
            return Err(Fail::new(
                libc::EBUSY,
                "this thread holds the object's lock; twz_unlock() it first",
            ));
        }
        object.release();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_id(object: Option<&Handle>, id: Out<'_, ObjectId>) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        *id = args::given(object)?.id();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_base(object: Option<&Handle>) -> *mut c_void {
    object.map_or(ptr::null_mut(), |object| {
        ptr::with_exposed_provenance_mut(object.address() + DATA_START as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_slot(object: Option<&Handle>, slot: Out<'_, u32>) -> c_int {
    answer(|| {
        let slot = args::out(slot, 0)?;
        *slot = args::given(object)?.slot();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_size(object: Option<&Handle>, size: Out<'_, u64>) -> c_int {
    answer(|| {
        let size = args::out(size, 0)?;
        *size = args::given(object)?.len()?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_resize(object: Option<&Handle>, size: u64) -> c_int {
    answer(|| Ok(args::given(object)?.resize(size)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_object_sync(object: Option<&Handle>) -> c_int {
    answer(|| Ok(args::given(object)?.sync()?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_fd(object: Option<&Handle>, rights: u32, fd: Out<'_, c_int>) -> c_int {
    answer(|| {
        let fd = args::out(fd, -1)?;
        let (object, rights) = (args::given(object)?, args::rights(rights)?);
        if !rights.contains(Rights::READ) || !Rights(3).contains(rights) {
            return Err(Fail::new(libc::EINVAL, "TWZ_READ, and TWZ_WRITE if wanted"));
        }
        *fd = object.fd(rights)?.into_raw_fd();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_retarget(object: Option<&Handle>, from: ObjectId, to: ObjectId) -> c_int {
    answer(|| {
        let object = args::given(object)?;
        match object.retarget(args::id(from)?, args::id(to)?)? {
            true => Ok(()),
            false => Err(Fail::new(
                libc::ENOENT,
                format!("object {} has no pointer that leads into {from}", object.id()),
            )),
        }
    })
}
