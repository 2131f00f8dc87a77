// SPDX-License-Identifier: MIT OR Apache-2.0
//! Late binding: who turns a name in an FOT entry into an object, and when.
//!
//! A name is resolved when a pointer through it is used. Resolver 1 is the
//! pool's namespace; a program may register others. A result is reused while
//! the pool's generation stands still, and for at most [`FRESH`], so that a
//! rebinding is seen at the next use, and one made by a program that knows
//! nothing of twz (`mv`) soon after.

use std::{sync::Arc, time::Duration};

use twz_abi::ObjectId;

use crate::{
    backend::{Backend, Binding},
    error::{Error, Result},
    space::Space,
};

/// How long a resolved name may be reused without asking again.
pub const FRESH: Duration = Duration::from_millis(10);

/// The number of the pool's own namespace.
pub const NAMESPACE: u64 = 1;

/// Turns names into objects.
pub trait Resolver: Send + Sync {
    /// The object that `name` stands for now.
    fn resolve(&self, backend: &dyn Backend, name: &str) -> Result<ObjectId>;
}

/// The pool's namespace.
pub struct Namespace;

impl Resolver for Namespace {
    fn resolve(&self, backend: &dyn Backend, name: &str) -> Result<ObjectId> {
        match backend.lookup(name) {
            Ok(Binding::Object(id)) => Ok(id),
            Ok(Binding::Directory) => {
                Err(Error::Unresolved { name: name.into(), why: "it is a directory of names" })
            }
            Err(Error::NoName(_)) => {
                Err(Error::Unresolved { name: name.into(), why: "there is no such name" })
            }
            Err(error) => Err(error),
        }
    }
}

impl Space {
    /// Registers a resolver under a number above 1. It is a program's own: other
    /// programs that follow a pointer with this number need it too.
    pub fn register_resolver(&self, number: u64, resolver: Arc<dyn Resolver>) -> Result<()> {
        if number <= NAMESPACE {
            return Err(Error::Unsupported("resolver numbers 0 and 1 are taken"));
        }
        let mut resolvers =
            self.core().resolvers.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        resolvers.insert(number, resolver);
        Ok(())
    }
}
