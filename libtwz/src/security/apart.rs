// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running code that lies in objects, and is not trusted, in contexts: what the model's
//! gates are for.
//!
//! To call such code cannot be safe in the process that calls: memory that is no object
//! is everybody's who runs in it, Rust's values too. So a child calls it, one that
//! is a copy of this process, acts in its contexts, has its objects mapped at the
//! same addresses, and does nothing else. That is as safe as running any other
//! program. What is to come of it, it leaves in objects.

use std::ops::Range;

use twz_abi::{ObjectId, Rights};

pub use crate::raw::apart::{Ended, Touched};
use crate::{
    error::Result,
    object::{self, Object},
    raw::apart,
    space::Space,
};

impl Space {
    /// Opens an object to read it and to run what is in it. It is open with what it is
    /// granted: code that the active context may not run is mapped, and entered in
    /// another context, if there is one (rule A6), or refused.
    pub fn open_code(&self, id: ObjectId) -> Result<Object<()>> {
        object::open(self, id, Rights(Rights::READ.0 | Rights::EXEC.0))
    }

    /// Has a child of this process go on at an address, mostly one of code in an open
    /// object, and waits for how it ends. Returning ends it too, with status 0.
    ///
    /// With `calls_from`, system calls are made from instructions in these ranges only,
    /// and are refused elsewhere ([`super::seal_calls`]). Then the code that is
    /// trusted has to end the child itself, by a call from there.
    ///
    /// Refused for a process that has several threads. x86-64.
    pub fn run_apart(&self, address: usize, calls_from: &[Range<usize>]) -> Result<Ended> {
        apart::enter(self.core(), address, calls_from)
    }
}
