// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of objects.

use std::ffi::c_int;

use super::{
    args::{self, Out, Text},
    status::{Fail, answer},
};
use crate::{Binding, ObjectId, Space};

/// Flag of `twz_name_bind`: take the name from whatever has it.
pub const REPLACE: u32 = 1;

#[unsafe(no_mangle)]
pub extern "C" fn twz_name_bind(
    space: Option<&Space>,
    name: Text<'_>,
    id: ObjectId,
    flags: u32,
) -> c_int {
    answer(|| {
        let (space, name, id) = (args::given(space)?, name.required()?, args::id(id)?);
        if flags & !REPLACE != 0 {
            return Err(Fail::new(libc::EINVAL, format!("{flags:#x} are not flags of a binding")));
        }
        Ok(space.backend().bind(name, id, flags & REPLACE != 0)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_name_lookup(
    space: Option<&Space>,
    name: Text<'_>,
    id: Out<'_, ObjectId>,
) -> c_int {
    answer(|| {
        let id = args::out(id, ObjectId::NULL)?;
        let (space, name) = (args::given(space)?, name.required()?);
        match space.backend().lookup(name)? {
            Binding::Object(found) => *id = found,
            Binding::Directory => {
                return Err(Fail::new(libc::EISDIR, format!("'{name}' is a directory of names")));
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_name_unbind(space: Option<&Space>, name: Text<'_>) -> c_int {
    answer(|| Ok(args::given(space)?.backend().unbind(name.required()?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_name_rename(space: Option<&Space>, from: Text<'_>, to: Text<'_>) -> c_int {
    answer(|| Ok(args::given(space)?.backend().rename(from.required()?, to.required()?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_name_mkdir(space: Option<&Space>, name: Text<'_>) -> c_int {
    answer(|| Ok(args::given(space)?.backend().make_dir(name.required()?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_name_rmdir(space: Option<&Space>, name: Text<'_>) -> c_int {
    answer(|| Ok(args::given(space)?.backend().remove_dir(name.required()?)?))
}
