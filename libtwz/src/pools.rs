// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which home a path leads to: [`open_pool`] looks, and opens a pool directory
//! ([`EmbeddedPool`]) or an image file ([`ImagePool`]) by what is there.

use std::{fs, io, path::Path};

use crate::{
    backend::Backend,
    embedded::EmbeddedPool,
    error::{Error, Result},
    image::ImagePool,
};

pub use crate::embedded::default_path;

/// Opens the pool at `path`, a directory or an image file; for reading only
/// where it cannot be written ([`crate::PoolInfo::read_only`] tells).
pub fn open_pool(path: &Path) -> Result<Box<dyn Backend>> {
    match fs::metadata(path) {
        Ok(stat) if stat.is_dir() => Ok(Box::new(EmbeddedPool::open(path)?)),
        Ok(_) => Ok(Box::new(ImagePool::open_best(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoPool(path.into())),
        Err(error) => Err(Error::at("open the pool", path)(error)),
    }
}

/// As [`open_pool`], to put a lot into the pool: see [`ImagePool::open_to_fill`].
/// Whoever has put it there calls [`Backend::sync`], as
/// [`crate::transfer::copy_pool`] does.
pub fn open_to_fill(path: &Path) -> Result<Box<dyn Backend>> {
    match fs::metadata(path) {
        Ok(stat) if stat.is_file() => Ok(Box::new(ImagePool::open_to_fill(path)?)),
        _ => open_pool(path),
    }
}
