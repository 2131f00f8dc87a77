// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject `twz-embedded`: a pool directory. To open an object here is to
//! map it. Every tenth object has a name, for a name takes a third inode.

use std::path::PathBuf;

use twz::{EmbeddedPool, InitOptions, NewObject, Object, Space};
use twz_abi::ObjectId;

use super::home::{self, Full, Home};
use crate::{error::Failed, machine, report::Record};

const NAMED_EVERY: usize = 10;

/// Measures it.
pub fn measure(name: &'static str, many: usize, few: usize) -> Result<Vec<Record>, Failed> {
    let directory = machine::scratch()?;
    let home = |sub: &str| InDirectory::make(directory.path().join(sub));
    let many = Full::new(home("many")?, many, NAMED_EVERY)?;
    let few = Full::new(home("few")?, few, NAMED_EVERY)?;
    home::measure(name, many, few)
}

struct InDirectory {
    path: PathBuf,
    space: Space,
    open: Vec<Object<()>>,
}

impl InDirectory {
    fn make(path: PathBuf) -> Result<Self, Failed> {
        EmbeddedPool::init(&path, &InitOptions::default())?;
        Ok(Self { space: Space::open(&path)?, path, open: Vec::new() })
    }
}

impl Home for InDirectory {
    fn create(&mut self) -> Result<ObjectId, Failed> {
        Ok(self.space.backend().create(&NewObject::default())?)
    }

    fn delete(&mut self, id: ObjectId) -> Result<(), Failed> {
        Ok(self.space.backend().delete(id)?)
    }

    fn make_dir(&mut self, path: &str) -> Result<(), Failed> {
        Ok(self.space.backend().make_dir(path)?)
    }

    fn bind(&mut self, path: &str, id: ObjectId) -> Result<(), Failed> {
        Ok(self.space.bind(path, id)?)
    }

    /// Closes the space too, so that each round begins with nothing mapped.
    fn close(&mut self) -> Result<(), Failed> {
        if !self.open.is_empty() {
            self.open.clear();
            self.space = Space::open(&self.path)?;
        }
        Ok(())
    }

    fn open(&mut self, id: ObjectId) -> Result<ObjectId, Failed> {
        let object = self.space.open_object::<()>(id)?;
        let found = object.id();
        self.open.push(object);
        Ok(found)
    }

    fn lookup(&mut self, path: &str) -> Result<ObjectId, Failed> {
        Ok(self.space.resolve(path)?)
    }

    fn reopen(&mut self) -> Result<(), Failed> {
        self.space = Space::open(&self.path)?;
        Ok(())
    }
}
