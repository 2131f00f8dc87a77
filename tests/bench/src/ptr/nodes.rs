// SPDX-License-Identifier: MIT OR Apache-2.0
//! The nodes, in objects. The peers that need no memory of their own find
//! their own link in the same node, so that caches, pages and order are the
//! same for all, and only what it takes to follow a link differs.

use twz::{EmbeddedPool, Field, InitOptions, Object, Persist, Ptr, Space};

use super::chase::{Course, value};
use crate::{error::Failed, machine};

/// A node: one cache line.
#[derive(Persist)]
#[repr(C, align(64))]
pub struct Node {
    /// The link under test.
    pub next: Ptr<Node>,
    /// The next node's address in this process.
    pub raw: Field<u64>,
    /// The next node's object and place in it: 24 and 40 bits.
    pub base_off: Field<u64>,
    /// What is added up.
    pub value: u64,
    /// The rest of the line.
    rest: [u64; 4],
}

/// What an object of nodes begins with.
#[derive(Persist)]
#[repr(C)]
pub struct Root {
    reserved: u64,
}

/// A pool that goes when it is dropped, open.
pub struct Pool {
    /// The space.
    pub space: Space,
    _directory: tempfile::TempDir,
}

impl Pool {
    /// A new one.
    pub fn new() -> Result<Self, Failed> {
        let directory = machine::scratch()?;
        let path = directory.path().join("pool");
        EmbeddedPool::init(&path, &InitOptions::default())?;
        Ok(Self { space: Space::open(&path)?, _directory: directory })
    }

    /// New objects that values can be put into.
    pub fn objects(&self, count: usize) -> Result<Vec<Object<Root>>, Failed> {
        (0..count).map(|_| Ok(self.space.create(Root { reserved: 0 })?)).collect()
    }
}

/// Puts the nodes of a course into its objects and links them.
pub fn build<'o>(course: &Course, objects: &'o [Object<Root>]) -> Result<Vec<&'o [Node]>, Failed> {
    let each = course.nodes_each() as u64;
    let mut all = Vec::new();
    for (o, object) in objects.iter().enumerate() {
        let nodes = object.alloc_slice(each, |i| Node {
            next: Ptr::null(),
            raw: Field::new(0),
            base_off: Field::new(0),
            value: value(i as usize * objects.len() + o),
            rest: [0; 4],
        })?;
        all.push(nodes);
    }
    for (from, to) in course.links() {
        let ((from_object, from), (to_object, to)) = (course.place(from), course.place(to));
        let (from, target) = (&all[from_object][from], &all[to_object][to]);
        let offset = (target as *const Node as usize - objects[to_object].address()) as u64;
        from.next.store(target)?;
        from.raw.set(target as *const Node as u64)?;
        from.base_off.set((to_object as u64) << 40 | offset)?;
    }
    Ok(all)
}
