// SPDX-License-Identifier: MIT OR Apache-2.0
//! The inodes that the kernel knows of: [`Nodes`]. A file's is the object's, whatever
//! names it has; a directory's is known by where it is, since it has one name.

use std::{
    cell::Cell,
    collections::HashMap,
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use fuser::BackingId;
use twz::ObjectId;

use super::attr::Attr;

/// The root directory.
pub const ROOT: u64 = 1;
/// The link that says which process serves the mount.
pub const SERVER: u64 = 2;

/// A directory of names.
pub struct Dir {
    /// Where it is: the directory above, and the name there.
    pub parent: u64,
    pub name: String,
    /// The object whose record is the directory's.
    pub marker: Option<ObjectId>,
    /// What it is without one.
    pub attr: Attr,
    /// It was removed, and somebody is still in it.
    pub gone: bool,
    /// How many directories are in it, where that was counted.
    pub below: Cell<Option<u32>>,
}

impl Dir {
    /// One that nothing was counted in.
    pub fn new(parent: u64, name: &str, marker: Option<ObjectId>, attr: Attr) -> Self {
        Self { parent, name: name.into(), marker, attr, gone: false, below: Cell::new(None) }
    }
}

/// A file of whatever type.
pub struct Object {
    pub id: ObjectId,
    /// Where it was met last; it may have other names, or none any more.
    pub met: (u64, String),
    /// How often it is open.
    pub opens: u64,
    /// How often of these it is to be written to.
    pub writers: u64,
    /// While it is open: its data, where the pool gives a descriptor.
    pub file: Option<Arc<File>>,
    /// Whether that may be written to.
    pub writable: bool,
    /// While it is open and the kernel reads and writes the data itself.
    pub backing: Option<Arc<BackingId>>,
}

/// An inode.
pub enum Node {
    Dir(Dir),
    Object(Object),
}

/// All inodes, by number.
#[derive(Default)]
pub struct Nodes {
    nodes: HashMap<u64, (Node, u64)>,
    ids: HashMap<ObjectId, u64>,
    dirs: HashMap<(u64, String), u64>,
}

impl Nodes {
    /// With the root in it.
    pub fn new(root: Dir) -> Self {
        let mut nodes = Self::default();
        nodes.nodes.insert(ROOT, (Node::Dir(root), 1));
        nodes
    }

    pub fn dir(&self, ino: u64) -> Option<&Dir> {
        match self.nodes.get(&ino)? {
            (Node::Dir(dir), _) => Some(dir),
            _ => None,
        }
    }

    pub fn dir_mut(&mut self, ino: u64) -> Option<&mut Dir> {
        match self.nodes.get_mut(&ino)? {
            (Node::Dir(dir), _) => Some(dir),
            _ => None,
        }
    }

    pub fn object(&self, ino: u64) -> Option<&Object> {
        match self.nodes.get(&ino)? {
            (Node::Object(object), _) => Some(object),
            _ => None,
        }
    }

    pub fn object_mut(&mut self, ino: u64) -> Option<&mut Object> {
        match self.nodes.get_mut(&ino)? {
            (Node::Object(object), _) => Some(object),
            _ => None,
        }
    }

    /// The number that an object has, or would have.
    pub fn number_of(&self, id: ObjectId) -> u64 {
        match self.ids.get(&id) {
            Some(&ino) => ino,
            None => self.unused(id.lo ^ id.hi.rotate_left(1)),
        }
    }

    /// The number that a directory has, or would have: that of its marker's id.
    pub fn number_of_dir(&self, parent: u64, name: &str, marker: Option<ObjectId>) -> u64 {
        match (self.dirs.get(&(parent, name.to_owned())), marker) {
            (Some(&ino), _) => ino,
            (None, Some(id)) => self.unused(id.lo ^ id.hi.rotate_left(1)),
            (None, None) => {
                let mut hash = DefaultHasher::new();
                (parent, name).hash(&mut hash);
                self.unused(hash.finish())
            }
        }
    }

    fn unused(&self, wanted: u64) -> u64 {
        let mut ino = wanted;
        while ino <= SERVER || self.nodes.contains_key(&ino) {
            ino = ino.wrapping_add(1);
        }
        ino
    }

    /// The node of an object, looked up once more, by this name.
    pub fn meet_at(&mut self, id: ObjectId, parent: u64, name: &str) -> u64 {
        let ino = self.number_of(id);
        self.ids.insert(id, ino);
        let met = (parent, name.to_owned());
        match self.nodes.get_mut(&ino) {
            Some((Node::Object(object), lookups)) => {
                object.met = met;
                *lookups += 1;
            }
            _ => {
                let (opens, writers, file, writable, backing) = (0, 0, None, false, None);
                let new = Object { id, met, opens, writers, file, writable, backing };
                self.nodes.insert(ino, (Node::Object(new), 1));
            }
        }
        ino
    }

    /// The node of a directory, looked up once more.
    pub fn meet_dir(&mut self, dir: Dir) -> u64 {
        let ino = self.number_of_dir(dir.parent, &dir.name, dir.marker);
        self.dirs.insert((dir.parent, dir.name.clone()), ino);
        match self.nodes.get_mut(&ino) {
            Some((Node::Dir(known), lookups)) => {
                // Its record may have been made, or taken away, meanwhile.
                known.marker = dir.marker;
                *lookups += 1;
            }
            _ => {
                self.nodes.insert(ino, (Node::Dir(dir), 1));
            }
        }
        ino
    }

    /// The kernel forgets `lookups` of the times that it was told of a node.
    pub fn forget(&mut self, ino: u64, lookups: u64) {
        let Some((node, known)) = self.nodes.get_mut(&ino) else { return };
        *known = known.saturating_sub(lookups);
        if *known != 0 || ino == ROOT {
            return;
        }
        match node {
            Node::Object(object) if object.opens != 0 => return,
            Node::Object(object) => {
                self.ids.remove(&object.id);
            }
            Node::Dir(dir) => {
                let key = (dir.parent, std::mem::take(&mut dir.name));
                if self.dirs.get(&key) == Some(&ino) {
                    self.dirs.remove(&key);
                }
            }
        }
        self.nodes.remove(&ino);
    }

    /// A directory has another name now.
    pub fn move_dir(&mut self, from: (u64, &str), to: (u64, &str)) {
        let Some(ino) = self.dirs.remove(&(from.0, from.1.to_owned())) else { return };
        self.dirs.insert((to.0, to.1.to_owned()), ino);
        if let Some(dir) = self.dir_mut(ino) {
            (dir.parent, dir.name) = (to.0, to.1.to_owned());
        }
    }

    /// A directory is no more.
    pub fn remove_dir(&mut self, parent: u64, name: &str) {
        if let Some(ino) = self.dirs.remove(&(parent, name.to_owned()))
            && let Some(dir) = self.dir_mut(ino)
        {
            dir.gone = true;
        }
    }

    /// What was one object is another now, which has taken over its names.
    pub fn replace(&mut self, ino: u64, id: ObjectId) {
        let Some(object) = self.object_mut(ino) else { return };
        let old = std::mem::replace(&mut object.id, id);
        self.ids.remove(&old);
        self.ids.insert(id, ino);
    }

    /// The path of a directory, from the root; `None` if it is gone.
    pub fn path(&self, ino: u64) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = ino;
        while at != ROOT {
            let dir = self.dir(at).filter(|dir| !dir.gone)?;
            parts.push(dir.name.as_str());
            at = dir.parent;
        }
        parts.reverse();
        Some(parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(parent: u64, name: &str) -> Dir {
        Dir::new(parent, name, None, Attr::of_directory(0, (0, 0)))
    }

    #[test]
    fn a_directory_that_moves_takes_along_what_is_below() {
        let mut nodes = Nodes::new(dir(ROOT, ""));
        let a = nodes.meet_dir(dir(ROOT, "a"));
        let b = nodes.meet_dir(dir(a, "b"));
        assert_eq!(nodes.path(b).as_deref(), Some("a/b"));
        nodes.move_dir((ROOT, "a"), (ROOT, "c"));
        assert_eq!(nodes.path(b).as_deref(), Some("c/b"));
        assert_eq!(nodes.meet_dir(dir(ROOT, "c")), a);
        nodes.remove_dir(a, "b");
        assert_eq!(nodes.path(b), None);
        assert_ne!(nodes.meet_dir(dir(a, "b")), b);
    }

    #[test]
    fn ids_that_come_to_one_number_get_two() {
        let mut nodes = Nodes::new(dir(ROOT, ""));
        let (a, b) = (ObjectId { lo: 6, hi: 0 }, ObjectId { lo: 4, hi: 1 });
        let (x, y) = (nodes.meet_at(a, ROOT, "a"), nodes.meet_at(b, ROOT, "b"));
        assert_eq!((x, y), (6, 7));
        assert_eq!(nodes.meet_at(a, ROOT, "a"), x);
        nodes.forget(x, 1);
        assert_eq!(nodes.number_of(a), x);
        nodes.forget(x, 1);
        assert!(nodes.object(x).is_none());
        assert_eq!(nodes.number_of(b), y);
    }
}
