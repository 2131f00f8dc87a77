// SPDX-License-Identifier: MIT OR Apache-2.0
//! The graph that objects form: who points to whom, whether it is there, and
//! pictures of it. It is read from the FOTs alone, without mapping, so it works
//! for every home and whatever the objects contain.

use std::{collections::HashMap, io::Write};

use twz_abi::{ObjectId, Rights};

use crate::{
    backend::Backend,
    error::{Error, Result},
};

/// What a FOT entry names, after aliases and forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An object.
    Id(ObjectId),
    /// Whatever a name is bound to at the time.
    Name {
        /// The name.
        name: String,
        /// Who resolves it; 1 is the pool's own namespace.
        resolver: u64,
        /// What it is bound to now, if this pool can tell.
        resolved: Option<ObjectId>,
    },
    /// Nothing that can be used.
    Bad {
        /// Why.
        why: String,
    },
}

/// A FOT entry of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The entry's index.
    pub entry: u32,
    /// What it leads to.
    pub target: Target,
    /// The rights it requests.
    pub rights: Rights,
    /// [`twz_abi::fot::flags`].
    pub flags: u8,
    /// Whether what it leads to is in this pool.
    pub present: bool,
}

impl Reference {
    /// The object it leads to now.
    pub fn id(&self) -> Option<ObjectId> {
        match self.target {
            Target::Id(id) => Some(id),
            Target::Name { resolved, .. } => resolved,
            Target::Bad { .. } => None,
        }
    }
}

/// An object on a walk.
#[derive(Clone, Debug)]
pub struct Node {
    /// The object.
    pub id: ObjectId,
    /// How many references lie between it and a root.
    pub depth: u32,
    /// Whether it is in this pool.
    pub present: bool,
    /// Where it points.
    pub references: Vec<Reference>,
}

/// Words to show for objects: their names.
pub type Labels = HashMap<ObjectId, String>;

/// A name for each object that has one.
pub fn labels(_pool: &dyn Backend) -> Result<Labels> {
    Err(Error::Unsupported("graphs are being built"))
}

/// Where object `id` points: its live FOT entries.
pub fn references(_pool: &dyn Backend, _id: ObjectId) -> Result<Vec<Reference>> {
    Err(Error::Unsupported("graphs are being built"))
}

/// Visits every reference of the pool that leads to nothing, with the object
/// it is in.
pub fn dangling(
    _pool: &dyn Backend,
    _each: &mut dyn FnMut(ObjectId, &Reference) -> Result<()>,
) -> Result<()> {
    Err(Error::Unsupported("graphs are being built"))
}

/// Visits every object that can be reached from `roots`, each once, nearest
/// first.
pub fn walk(
    _pool: &dyn Backend,
    _roots: &[ObjectId],
    _visit: &mut dyn FnMut(&Node) -> Result<()>,
) -> Result<()> {
    Err(Error::Unsupported("graphs are being built"))
}

/// Draws what can be reached from `roots` for Graphviz.
pub fn to_dot(
    _pool: &dyn Backend,
    _roots: &[ObjectId],
    _labels: &Labels,
    _out: &mut dyn Write,
) -> Result<()> {
    Err(Error::Unsupported("graphs are being built"))
}

/// Draws what can be reached from `roots` as a tree of lines. An object that
/// was drawn already is named again, and not drawn again.
pub fn to_text(
    _pool: &dyn Backend,
    _roots: &[ObjectId],
    _labels: &Labels,
    _out: &mut dyn Write,
) -> Result<()> {
    Err(Error::Unsupported("graphs are being built"))
}
