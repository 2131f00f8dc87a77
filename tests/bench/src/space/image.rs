// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject `twz-image`: a store in an image file, as the library opens it.
//! An image cannot be mapped, so to open an object is to read what it is. Every
//! tenth object has a name, for each takes many system calls to bind.

use std::path::PathBuf;

use twz::{Backend as _, Binding, ImageOptions, ImagePool, NewObject};
use twz_abi::ObjectId;

use super::home::{self, Full, Home};
use crate::{error::Failed, machine, report::Record};

/// Objects that can be made beyond those that are there and their directories.
const SPARE: usize = 4096;
/// Bytes for each object: its record and head, and its name.
const EACH: usize = 1536;
const NAMED_EVERY: usize = 10;

/// Measures it.
pub fn measure(name: &'static str, many: usize, few: usize) -> Result<Vec<Record>, Failed> {
    let directory = machine::scratch()?;
    let home = |file: &str, count| InFile::make(directory.path().join(file), count);
    let many = Full::new(home("many.img", many)?, many, NAMED_EVERY)?;
    let few = Full::new(home("few.img", few)?, few, NAMED_EVERY)?;
    home::measure(name, many, few)
}

struct InFile {
    path: PathBuf,
    /// Not there only while the pool is being reopened.
    pool: Option<ImagePool>,
}

impl InFile {
    fn make(path: PathBuf, count: usize) -> Result<Self, Failed> {
        let size = ((count + SPARE) * EACH + (16 << 20)).next_multiple_of(4096) as u64;
        let records = Some((count + count / 50 + SPARE) as u64);
        ImagePool::format(
            &path,
            &ImageOptions { size, records, label: "bench".into(), force: false },
        )?;
        let pool = Some(ImagePool::open_unsynced(&path)?);
        Ok(Self { path, pool })
    }

    fn pool(&self) -> Result<&ImagePool, Failed> {
        self.pool.as_ref().ok_or_else(|| Failed::new("the pool did not open again"))
    }
}

impl Home for InFile {
    fn create(&mut self) -> Result<ObjectId, Failed> {
        Ok(self.pool()?.create(&NewObject::default())?)
    }

    fn delete(&mut self, id: ObjectId) -> Result<(), Failed> {
        Ok(self.pool()?.delete(id)?)
    }

    fn make_dir(&mut self, path: &str) -> Result<(), Failed> {
        Ok(self.pool()?.make_dir(path)?)
    }

    fn bind(&mut self, path: &str, id: ObjectId) -> Result<(), Failed> {
        Ok(self.pool()?.bind(path, id, false)?)
    }

    fn close(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn open(&mut self, id: ObjectId) -> Result<ObjectId, Failed> {
        Ok(self.pool()?.stat(id)?.id)
    }

    fn lookup(&mut self, path: &str) -> Result<ObjectId, Failed> {
        match self.pool()?.lookup(path)? {
            Binding::Object(id) => Ok(id),
            Binding::Directory => Err(Failed::new("a directory where an object was bound")),
        }
    }

    fn reopen(&mut self) -> Result<(), Failed> {
        self.pool = None;
        self.pool = Some(ImagePool::open_unsynced(&self.path)?);
        Ok(())
    }
}
