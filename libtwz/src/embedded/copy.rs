// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copying objects: extents are shared where the file system can (reflink), and
//! holes stay holes where it cannot.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};
use twz_abi::{
    Meta, ObjectId, PAGE,
    meta::{Bounds, flags},
};
use twz_core::ident::ContentHash;
use zerocopy::IntoBytes as _;

use super::{
    EmbeddedPool,
    objects::{META_IN_TAIL, in_directory, meta_of, mode_for, tail_mode_for},
    paths,
    paths::ObjectPath,
};
use crate::{
    backend::NewObject,
    error::{Error, Result},
    raw::sys,
};

impl EmbeddedPool {
    pub(super) fn copy_object(&self, source: ObjectId, new: &NewObject) -> Result<ObjectId> {
        self.writable()?;
        self.require(source, twz_abi::Rights::READ)?;
        let (old, _) = self.meta(source)?;
        let made = Made::new(self);
        self.data_size(source)?;
        let from = File::from(self.open_file(source, &ObjectPath::data(source), false)?);
        let to = made.create(&made.data)?;
        let size = copy_sparse(&from, &to).map_err(Error::at("copy to", &made.data))?;
        let content = match new.flags & flags::IMMUTABLE {
            0 => [0; 32],
            _ => hash_file(&made.data)?,
        };
        // The kind and the type are those of the source: the bytes are.
        let new = NewObject { kind: old.kind, fingerprint: old.fingerprint, ..*new };
        let (id, identity) = new.earn_id(content)?;
        let mut meta = meta_of(id, &identity, &new, size);
        let fot_pages = Bounds::unpack(old.bounds).fot_pages;
        meta.bounds = Bounds { data_pages: size.div_ceil(PAGE) as u32, fot_pages }.pack();
        (meta.heap, meta.generation) = (old.heap, old.generation);
        let old_tail = File::from(self.open_file(source, &ObjectPath::tail(source), false)?);
        let tail = made.create(&made.tail)?;
        copy_sparse(&old_tail, &tail).map_err(Error::at("copy to", &made.tail))?;
        tail.write_all_at(meta.as_bytes(), META_IN_TAIL).map_err(Error::at("write", &made.tail))?;
        let (data_path, tail_path) = self.object_paths(id);
        if tail_path.exists() {
            return Err(Error::Exists(id));
        }
        made.restrict(&meta)?;
        in_directory(&data_path, || fs::rename(&made.data, &data_path))?;
        fs::rename(&made.tail, &tail_path).map_err(Error::at("put in place", &tail_path))?;
        Ok(id)
    }
}

/// Two files in `tmp/`, removed again unless they were renamed into place.
struct Made {
    data: std::path::PathBuf,
    tail: std::path::PathBuf,
}

impl Made {
    fn new(pool: &EmbeddedPool) -> Self {
        Self { data: paths::temporary(&pool.root), tail: paths::temporary(&pool.root) }
    }

    fn create(&self, path: &Path) -> Result<File> {
        File::create_new(path).map_err(Error::at("create", path))
    }

    /// Leaves of the files' modes what others may do with the object.
    fn restrict(&self, meta: &Meta) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        for (path, mode) in [(&self.data, mode_for(meta)), (&self.tail, tail_mode_for(meta))] {
            let stat = fs::metadata(path).map_err(Error::at("stat", path))?;
            let less = stat.permissions().mode() & mode & 0o666;
            fs::set_permissions(path, fs::Permissions::from_mode(less))
                .map_err(Error::at("chmod", path))?;
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.data);
        let _ = fs::remove_file(&self.tail);
    }
}

/// Copies all of `from`, and returns its size.
pub(super) fn copy_sparse(from: &File, to: &File) -> io::Result<u64> {
    let size = from.metadata()?.len();
    if sys::reflink(to.as_fd(), from.as_fd()) {
        return Ok(size);
    }
    to.set_len(size)?;
    let mut at = 0i64;
    while (at as u64) < size {
        let start = match lseek(from, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL) => at,
            Err(error) => return Err(error.into()),
        };
        let end = lseek(from, start, Whence::SeekHole).unwrap_or(size as i64).min(size as i64);
        copy_range(from, to, start, end)?;
        at = end;
    }
    Ok(size)
}

fn copy_range(from: &File, to: &File, start: i64, end: i64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let len = (end - read).min(1 << 30) as usize;
        match nix::fcntl::copy_file_range(from, Some(&mut read), to, Some(&mut written), len) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                return copy_bytes(from, to, read as u64, end as u64);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_bytes(from: &File, to: &File, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0u8; 1 << 16];
    while at < end {
        let len = (end - at).min(buffer.len() as u64) as usize;
        let got = from.read_at(&mut buffer[..len], at)?;
        if got == 0 {
            break;
        }
        to.write_all_at(&buffer[..got], at)?;
        at += got as u64;
    }
    Ok(())
}

/// SHA-256 of a file's bytes.
pub(super) fn hash_file(path: &Path) -> Result<[u8; 32]> {
    let mut file = File::open(path).map_err(Error::at("open", path))?;
    let mut hash = ContentHash::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(Error::at("read", path))? {
            0 => return Ok(hash.finish()),
            got => hash.update(&buffer[..got]),
        }
    }
}
