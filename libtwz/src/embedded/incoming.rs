// SPDX-License-Identifier: MIT OR Apache-2.0
//! An object that comes from elsewhere: its files grow in `tmp/`, and take
//! their places when they are whole. [`crate::transfer`] feeds them.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use twz_abi::{
    Meta, ObjectId, PAGE, Rights,
    fot::{entry_offset, pages_for, sidecar_page},
    meta::{Bounds, flags},
};
use zerocopy::IntoBytes as _;

use super::{
    EmbeddedPool,
    copy::hash_file,
    objects::{META_IN_TAIL, allocate, in_directory},
    paths,
};
use crate::error::{Error, Result};

/// The files of an object that is not there yet. Dropped, they are removed.
pub struct IncomingFiles<'a> {
    pool: &'a EmbeddedPool,
    meta: Meta,
    data: (PathBuf, File),
    tail: (PathBuf, File),
}

impl EmbeddedPool {
    /// Begins to take in the object with this meta record, which was verified.
    pub(crate) fn take_in(&self, meta: &Meta) -> Result<IncomingFiles<'_>> {
        self.writable()?;
        let make = |path: PathBuf| -> Result<(PathBuf, File)> {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(mode_for(meta))
                .open(&path)
                .map_err(Error::at("create", &path))?;
            Ok((path, file))
        };
        let data = make(paths::temporary(&self.root))?;
        let tail = make(paths::temporary(&self.root)).inspect_err(|_| {
            let _ = fs::remove_file(&data.0);
        })?;
        let made = IncomingFiles { pool: self, meta: *meta, data, tail };
        made.data.1.set_len(meta.size).map_err(Error::at("write", &made.data.0))?;
        let tail_pages = Bounds::unpack(meta.bounds).fot_pages as u64 + 1;
        allocate(&made.tail.1, 0, tail_pages * PAGE).map_err(Error::at("write", &made.tail.0))?;
        made.write(&made.tail, META_IN_TAIL, meta.as_bytes())?;
        Ok(made)
    }

    /// Makes everything in the pool durable.
    pub(crate) fn sync_everything(&self) -> Result<()> {
        nix::unistd::syncfs(&self.dir).map_err(Error::nix("sync", &self.root))
    }
}

impl IncomingFiles<'_> {
    fn write(&self, (path, file): &(PathBuf, File), at: u64, bytes: &[u8]) -> Result<()> {
        file.write_all_at(bytes, at).map_err(Error::at("write", path))
    }

    /// Writes entries of one FOT page as they lie in the slot; `last` is the
    /// highest index.
    pub fn fot(&self, last: u32, bytes: &[u8]) -> Result<()> {
        let page = sidecar_page(pages_for(last)) as u64;
        self.write(&self.tail, page * PAGE + entry_offset(last) % PAGE, bytes)
    }

    /// Writes bytes of the data.
    pub fn data(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.write(&self.data, at, bytes)
    }

    /// Verifies the data where the id covers them, and puts the files in place:
    /// the tail last, for it is what makes an object.
    pub fn finish(self) -> Result<ObjectId> {
        let id = self.meta.id;
        if self.meta.flags & flags::IMMUTABLE != 0 && hash_file(&self.data.0)? != self.meta.content
        {
            return Err(Error::BadId(id));
        }
        let (data, tail) = self.pool.object_paths(id);
        if tail.exists() {
            return Err(Error::Exists(id));
        }
        in_directory(&data, || fs::rename(&self.data.0, &data))?;
        fs::rename(&self.tail.0, &tail).map_err(|error| {
            let _ = fs::remove_file(&data);
            Error::at("put in place", &tail)(error)
        })?;
        Ok(id)
    }
}

impl Drop for IncomingFiles<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.data.0);
        let _ = fs::remove_file(&self.tail.0);
    }
}

/// Permissions of the files: what the default rights grant, less the umask.
fn mode_for(meta: &Meta) -> u32 {
    let rights = Rights(meta.default_rights);
    let write = rights.contains(Rights::WRITE) && meta.flags & flags::IMMUTABLE == 0;
    let exec = rights.contains(Rights::EXEC);
    0o444 | if write { 0o222 } else { 0 } | if exec { 0o111 } else { 0 }
}

/// Whether a name of the pool at `root` is a symbolic link.
pub(crate) fn is_link(root: &Path, name: &str) -> bool {
    fs::symlink_metadata(root.join(paths::NAMES).join(name)).is_ok_and(|stat| stat.is_symlink())
}
