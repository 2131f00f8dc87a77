// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads: C programs that go on after a power cut. `twz_thread` is a boxed
//! [`Thread`].

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use super::{
    args::{self, Out, Owned, Text},
    status::{Fail, answer},
};
use crate::{
    Error, ObjectId, Space,
    resume::{self, Cause, Thread},
};

/// Cause of `struct twz_lost`: the machine was started anew.
pub const POWER: u32 = 1;
/// Cause of `struct twz_lost`: the process ended.
pub const KILLED: u32 = 2;

/// `struct twz_lost`.
#[repr(C)]
pub struct Lost {
    pub generation: u64,
    pub mark: u64,
    pub cause: u32,
    pub reserved: u32,
}

/// A function of the caller's that is told what was lost.
type Handler = extern "C" fn(context: *mut c_void, lost: &Lost) -> c_int;

#[unsafe(no_mangle)]
pub extern "C" fn twz_resume_register(
    space: Option<&Space>,
    name: Text<'_>,
    handler: Option<Handler>,
    context: *mut c_void,
    thread: Out<'_, *mut Thread>,
) -> c_int {
    answer(|| {
        let thread = args::out(thread, ptr::null_mut())?;
        let (space, name) = (args::given(space)?, name.required()?);
        let mut refused = 0;
        let registered = resume::register(space, name, |lost| {
            let lost = Lost {
                generation: lost.generation,
                mark: lost.mark,
                cause: match lost.cause {
                    Cause::PowerCut => POWER,
                    Cause::Killed => KILLED,
                },
                reserved: 0,
            };
            refused = handler.map_or(0, |handler| handler(context, &lost));
            match refused {
                0 => Ok(()),
                _ => Err(Error::Unsupported("the program's own handler refused to go on")),
            }
        });
        *thread = match registered {
            Ok(registered) => args::hand_out(registered),
            // Its own errno, if it gave one.
            Err(error) if refused < 0 => return Err(Fail::new(-refused, error.to_string())),
            Err(error) => return Err(error.into()),
        };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_resume_mark(thread: Option<&Thread>, mark: Out<'_, u64>) -> c_int {
    answer(|| {
        let mark = args::out(mark, 0)?;
        *mark = args::given(thread)?.mark();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_resume_set_mark(thread: Option<&Thread>, mark: u64) -> c_int {
    answer(|| Ok(args::given(thread)?.set_mark(mark)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_resume_set_view(
    thread: Option<&Thread>,
    space: Option<&Space>,
    view: Option<&ObjectId>,
) -> c_int {
    answer(|| {
        let view = view.map(|view| args::id(*view)).transpose()?;
        Ok(args::given(thread)?.set_view(args::given(space)?, view)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_resume_finish(thread: Owned<Thread>) -> c_int {
    answer(|| {
        args::given(thread.get())?.end()?;
        thread.release();
        Ok(())
    })
}
