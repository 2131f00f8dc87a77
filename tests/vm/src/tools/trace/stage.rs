// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the steps of a case have at hand: [`Stage`], a world with the furnished
//! objects, and what they do more than once.

use std::os::fd::AsRawFd as _;

use twz_abi::{DATA_START, ObjectId, PAGE};

use crate::{
    file::File,
    image,
    map::{self, Map},
    probe,
    security::Owner,
    sys::Session,
    world::{RW, World},
};

/// The slot in which the steps store.
const SLOT: u32 = 2;

/// A session with a view.
pub struct Stage {
    /// The session, and its view.
    pub world: World,
    /// A descriptor, of a case that wants one.
    pub file: Option<File>,
    /// The same, mapped.
    pub map: Option<Map>,
    /// An object that was made on the way.
    pub made: Option<ObjectId>,
    /// Whose it is.
    pub owner: Option<Owner>,
}

impl Stage {
    /// On the module that was just loaded.
    pub fn new() -> Self {
        Self { world: World::new(), file: None, map: None, made: None, owner: None }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.world.session
    }

    /// Makes durable what has been written on the way here: the view's entries.
    pub fn settle(&self) {
        self.session().sync(self.world.view).expect("SYNC");
    }

    /// Has the slot show object `n` of the furnished ones.
    pub fn show(&mut self, n: u64) {
        self.world.show(SLOT, image::id(n), RW);
    }

    /// Stores a word at a byte of the data that the slot shows.
    pub fn store(&mut self, at: u64, word: u64) {
        probe::store(self.world.at(SLOT, at), word).expect("a store");
    }

    /// Writes the line at a byte of the data back.
    pub fn persist(&mut self, at: u64) {
        probe::persist(self.world.at(SLOT, at));
    }

    /// Opens object `n`.
    pub fn open(&mut self, n: u64) {
        self.file = Some(File(self.session().open_fd(image::id(n), RW).expect("OPEN_FD")));
    }

    /// The descriptor.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("a case that opened one")
    }

    /// Maps what the descriptor is of.
    pub fn map_file(&mut self, pages: usize) {
        let map = Map::shared(&self.file().0.as_raw_fd(), pages * map::PAGE, map::RW);
        self.map = Some(map.expect("mmap"));
    }

    /// Stores a word through that.
    pub fn store_mapped(&mut self, at: usize, word: u64) {
        let map = self.map.as_ref().expect("a case that mapped one");
        probe::store(map.at(at), word).expect("a store");
    }

    /// Writes bytes of object `n`'s data.
    pub fn write(&self, n: u64, at: u64, bytes: &[u8]) {
        let done = self.session().write(image::id(n), DATA_START + at, bytes);
        assert_eq!(done, Ok(bytes.len() as u64));
    }

    /// Has somebody own an object.
    pub fn own(&mut self) {
        let owner = Owner::new(self.session(), 1);
        self.made = Some(owner.object(self.session(), PAGE, RW));
        self.owner = Some(owner);
    }

    /// The owner takes back what was granted on it before an epoch.
    pub fn revoke(&self, epoch: u64) {
        let owner = self.owner.as_ref().expect("a case that has an owner");
        let object = self.made.expect("and what is owned");
        self.session().revoke(owner, object, epoch).expect("REVOKE");
    }

    /// Makes object `n` durable.
    pub fn sync(&self, n: u64) {
        self.session().sync(image::id(n)).expect("SYNC");
    }

    /// Changes the size of object `n`.
    pub fn resize(&self, n: u64, size: u64) {
        self.session().resize(image::id(n), size).expect("RESIZE");
    }

    /// Puts pages behind object `n`.
    pub fn reserve(&self, n: u64, first: u64, pages: u64) {
        let (from, to) = (first * PAGE, (first + pages) * PAGE);
        self.session().reserve(image::id(n), from, to).expect("RESERVE");
    }
}
