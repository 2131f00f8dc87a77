// SPDX-License-Identifier: MIT OR Apache-2.0
//! The structs that C and Rust share, and ids. `layout.rs` compares them with
//! the header, field by field.

use std::ffi::c_int;

use super::{
    args::{self, Out, Text},
    status::{Answer, Fail, answer},
};
use crate::{NewObject, ObjectId, ObjectStat, Rights, flags, kind};

/// Counts changes after which a C program has to be compiled again.
pub const ABI_VERSION: u32 = 1;

/// Bytes of an id as text, with the NUL.
pub const ID_TEXT: usize = 33;

/// `struct twz_new`: what an object shall be.
#[repr(C)]
pub struct New {
    pub size: u64,
    pub root_size: u64,
    pub fingerprint: u64,
    pub owner: ObjectId,
    pub rights: u32,
    pub flags: u32,
    pub reserved: [u64; 2],
}

/// `struct twz_stat`: what an object is.
#[repr(C)]
pub struct Stat {
    pub id: ObjectId,
    pub owner: ObjectId,
    pub size: u64,
    pub stored: u64,
    pub names: u64,
    pub fingerprint: u64,
    pub kind: u32,
    pub flags: u32,
    pub rights: u32,
    pub reserved: u32,
}

impl New {
    /// What was asked for, checked, and the size of the root. Null asks for
    /// nothing special.
    pub fn check(new: Option<&Self>) -> Answer<(NewObject, u64)> {
        let Some(new) = new else { return Ok((NewObject::default(), 0)) };
        let wrong = |why: &str| Err(Fail::new(libc::EINVAL, why));
        if new.reserved != [0; 2] {
            return wrong("a reserved field of struct twz_new is not 0");
        }
        if new.flags & !flags::KNOWN != 0 {
            return wrong("struct twz_new has a flag that this library does not know");
        }
        if new.fingerprint != 0 && new.root_size == 0 {
            return wrong("a fingerprint needs the root_size of the type that it names");
        }
        let default_rights = match args::rights(new.rights)? {
            Rights::NONE => Rights::DEFAULT,
            rights => rights,
        };
        let made = NewObject {
            nonce: None,
            owner: new.owner,
            flags: new.flags,
            default_rights,
            kind: if new.fingerprint == 0 { kind::BYTES } else { kind::TYPED },
            fingerprint: new.fingerprint,
            size: new.size,
            ..NewObject::default()
        };
        Ok((made, new.root_size))
    }
}

impl Stat {
    /// What is written where there is no result.
    pub const NOTHING: Self = Self {
        id: ObjectId::NULL,
        owner: ObjectId::NULL,
        size: 0,
        stored: 0,
        names: 0,
        fingerprint: 0,
        kind: 0,
        flags: 0,
        rights: 0,
        reserved: 0,
    };
}

impl From<ObjectStat> for Stat {
    fn from(stat: ObjectStat) -> Self {
        Self {
            id: stat.id,
            owner: stat.identity.owner,
            size: stat.size,
            stored: stat.stored,
            names: stat.names,
            fingerprint: stat.fingerprint,
            kind: stat.kind,
            flags: stat.identity.flags,
            rights: stat.identity.default_rights,
            reserved: 0,
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_abi_version() -> u32 {
    ABI_VERSION
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_id_format(id: ObjectId, text: Out<'_, [u8; ID_TEXT]>) -> c_int {
    answer(|| {
        let text = args::out(text, [0; ID_TEXT])?;
        for (to, from) in text.iter_mut().zip(id.to_string().bytes()) {
            *to = from;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_id_parse(text: Text<'_>, id: Out<'_, ObjectId>) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let text = text.required()?;
        *id =
            text.parse().map_err(|error| Fail::new(libc::EINVAL, format!("'{text}': {error}")))?;
        Ok(())
    })
}
