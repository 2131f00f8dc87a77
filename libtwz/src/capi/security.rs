// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, contexts and grants. `twz_key` is a boxed [`KeyPair`].

use std::{ffi::c_int, ptr};

use super::{
    args::{self, Out, Owned, Text},
    status::{Answer, Fail, answer},
};
use crate::{
    ObjectId, Space,
    security::{
        Attached, Context, Gate, How, KeyPair, MAX_ATTACHED, NewContext, Policy, Terms,
        attach_flags, secret, why,
    },
};

/// `struct twz_terms`.
#[repr(C)]
pub struct Granted {
    pub target: ObjectId,
    pub accessor: ObjectId,
    pub grantor: ObjectId,
    pub not_before: u64,
    pub expires: u64,
    pub gate_offset: u64,
    pub gate_length: u64,
    pub gate_align: u64,
    pub rights: u32,
    pub reserved: u32,
}

/// `struct twz_attached`.
#[repr(C)]
pub struct AttachedTo {
    pub active: ObjectId,
    pub all: [ObjectId; MAX_ATTACHED],
    pub count: u32,
    pub flags: u32,
}

fn how(flags: u32) -> Answer<How> {
    let known = attach_flags::SWITCH | attach_flags::CLOEXEC;
    if flags & !known != 0 {
        return Err(Fail::new(libc::EINVAL, format!("{flags:#x} are not flags of attaching")));
    }
    Ok(How {
        switch: flags & attach_flags::SWITCH != 0,
        cloexec: flags & attach_flags::CLOEXEC != 0,
    })
}

fn key(key: Option<&KeyPair>) -> Answer<&KeyPair> {
    key.ok_or_else(|| Fail::new(libc::EINVAL, "the key is NULL"))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_key_generate(key: Out<'_, *mut KeyPair>) -> c_int {
    answer(|| {
        let key = args::out(key, ptr::null_mut())?;
        *key = args::hand_out(KeyPair::generate()?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_key_read(
    path: Text<'_>,
    passphrase: Text<'_>,
    key: Out<'_, *mut KeyPair>,
) -> c_int {
    answer(|| {
        let key = args::out(key, ptr::null_mut())?;
        let path = path.path().ok_or_else(|| Fail::new(libc::EINVAL, "the path is NULL"))?;
        let passphrase = passphrase.optional()?.map(str::as_bytes);
        *key = args::hand_out(secret::read(path, passphrase)?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_key_save(
    pair: Option<&KeyPair>,
    path: Text<'_>,
    passphrase: Text<'_>,
) -> c_int {
    answer(|| {
        let path = path.path().ok_or_else(|| Fail::new(libc::EINVAL, "the path is NULL"))?;
        let passphrase = passphrase.optional()?.map(str::as_bytes);
        Ok(secret::save(path, key(pair)?, passphrase)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_key_publish(
    pair: Option<&KeyPair>,
    space: Option<&Space>,
    id: Out<'_, ObjectId>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        *id = key(pair)?.publish(args::given(space)?.backend())?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_key_close(key: Owned<KeyPair>) -> c_int {
    answer(|| {
        key.release();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_create(
    space: Option<&Space>,
    owner: ObjectId,
    mask: u32,
    flags: u32,
    rights: u32,
    id: Out<'_, ObjectId>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let (mask, rights) = (args::rights(mask)?, args::rights(rights)?);
        if flags & !crate::security::context_flags::KNOWN != 0 {
            return Err(Fail::new(libc::EINVAL, format!("{flags:#x} are not flags of a context")));
        }
        let new = NewContext { owner, policy: Policy { mask, flags }, rights };
        *id = Context::create(args::given(space)?.backend(), &new)?.id();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_mask(
    space: Option<&Space>,
    context: ObjectId,
    target: ObjectId,
    rights: u32,
) -> c_int {
    answer(|| {
        let (target, rights) = (args::id(target)?, args::rights(rights)?);
        let context = Context::open(args::given(space)?.backend(), args::id(context)?)?;
        Ok(context.set_mask(target, rights)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_grant(
    space: Option<&Space>,
    grant: Option<&Granted>,
    pair: Option<&KeyPair>,
) -> c_int {
    answer(|| {
        let pool = args::given(space)?.backend();
        let grant = grant.ok_or_else(|| Fail::new(libc::EINVAL, "the grant is NULL"))?;
        if grant.reserved != 0 {
            return Err(Fail::new(libc::EINVAL, "a reserved field is not 0"));
        }
        let gate =
            Gate { offset: grant.gate_offset, length: grant.gate_length, align: grant.gate_align };
        let terms = Terms::new(args::id(grant.target)?, args::rights(grant.rights)?)
            .through(gate)
            .between(grant.not_before, grant.expires);
        let pair = key(pair)?;
        if terms.unsigned(args::id(grant.accessor)?, 0).check().is_err() {
            return Err(Fail::new(libc::EINVAL, "no grant says that: its rights, gate or times"));
        }
        let accessor = Context::open(pool, grant.accessor)?;
        match grant.grantor {
            ObjectId::NULL => accessor.grant(&terms, pair).map(|_| ())?,
            grantor => {
                let grantor = Context::open(pool, grantor)?;
                grantor.delegate(&accessor, &terms, None, pair).map(|_| ())?;
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_allowed(
    space: Option<&Space>,
    context: ObjectId,
    object: ObjectId,
    rights: Out<'_, u32>,
) -> c_int {
    answer(|| {
        let rights = args::out(rights, 0)?;
        let why = why(args::given(space)?.backend(), context, args::id(object)?)?;
        *rights = why.allowed.0;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_attach(
    space: Option<&Space>,
    context: ObjectId,
    flags: u32,
    key: Option<&KeyPair>,
) -> c_int {
    answer(|| {
        let (space, how) = (args::given(space)?, how(flags)?);
        match key {
            Some(key) => space.attach_with_key(context, key, how)?,
            None => space.attach_as(context, how)?,
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_attached(space: Option<&Space>, attached: Out<'_, AttachedTo>) -> c_int {
    answer(|| {
        let nothing = AttachedTo {
            active: ObjectId::NULL,
            all: [ObjectId::NULL; MAX_ATTACHED],
            count: 0,
            flags: 0,
        };
        let out = args::out(attached, nothing)?;
        let Attached { active, all, flags } = args::given(space)?.attached()?;
        for (place, id) in out.all.iter_mut().zip(&all) {
            *place = *id;
        }
        (out.active, out.count, out.flags) = (active, all.len() as u32, flags);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_switch(space: Option<&Space>, context: ObjectId) -> c_int {
    answer(|| Ok(args::given(space)?.switch(context)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_detach(space: Option<&Space>, context: ObjectId) -> c_int {
    answer(|| Ok(args::given(space)?.detach(context)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_ctx_load(space: Option<&Space>, context: ObjectId) -> c_int {
    answer(|| Ok(args::given(space)?.load(context).map(|_| ())?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_revoke(
    space: Option<&Space>,
    object: ObjectId,
    epoch: u64,
    pair: Option<&KeyPair>,
) -> c_int {
    answer(|| Ok(args::given(space)?.revoke(args::id(object)?, epoch, key(pair)?)?))
}
