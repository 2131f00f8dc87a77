// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which home a path leads to, and which one is meant where none is given:
//! [`open_pool`] opens the kernel module's device ([`KernelPool`]), a pool
//! directory ([`EmbeddedPool`]) or an image file ([`ImagePool`]) by what is
//! there, [`default_pool`] says where to look.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use crate::{
    backend::Backend,
    embedded::EmbeddedPool,
    error::{Error, Result},
    image::ImagePool,
    kernel::{self, KernelPool},
};

pub use crate::embedded::default_path;

/// Which home a program is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The kernel module if it is there, else the embedded pool.
    #[default]
    Auto,
    /// A pool directory.
    Embedded,
    /// The kernel module.
    Kernel,
}

impl Choice {
    /// What `TWZ_BACKEND` asks for.
    pub fn from_env() -> Result<Self> {
        match std::env::var("TWZ_BACKEND").as_deref() {
            Err(_) | Ok("" | "auto") => Ok(Self::Auto),
            Ok("embedded") => Ok(Self::Embedded),
            Ok("kernel") => Ok(Self::Kernel),
            Ok(_) => Err(Error::Unsupported("TWZ_BACKEND is one of kernel, embedded, auto")),
        }
    }
}

/// Where the pool is that is meant when none is named. `TWZ_BACKEND` decides;
/// left to itself it is `$TWZ_POOL`, else the kernel module's device if a module
/// of this make answers there, else the user's own directory.
pub fn default_pool() -> Result<PathBuf> {
    let named = std::env::var_os("TWZ_POOL").is_some_and(|path| !path.is_empty());
    let device = kernel::device();
    Ok(match Choice::from_env()? {
        Choice::Kernel => device,
        Choice::Auto if !named && KernelPool::open(&device).is_ok() => device,
        Choice::Embedded | Choice::Auto => default_path(),
    })
}

/// Whether a path is that of a device like the module's.
fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|stat| stat.file_type().is_char_device())
        || path == kernel::device()
}

/// Opens the pool at `path`: the module's device, a directory or an image file;
/// for reading only where it cannot be written ([`crate::PoolInfo::read_only`]
/// tells).
pub fn open_pool(path: &Path) -> Result<Box<dyn Backend>> {
    if is_device(path) {
        return Ok(Box::new(KernelPool::open(path)?));
    }
    match fs::metadata(path) {
        Ok(stat) if stat.is_dir() => Ok(Box::new(EmbeddedPool::open(path)?)),
        Ok(_) => Ok(Box::new(ImagePool::open_best(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoPool(path.into())),
        Err(error) => Err(Error::at("open the pool", path)(error)),
    }
}

/// The same, unless it is a pool of another kind than was asked for.
pub fn open_as(path: &Path, choice: Choice) -> Result<Box<dyn Backend>> {
    match (choice, is_device(path)) {
        (Choice::Kernel, false) => Err(Error::Unsupported(
            "TWZ_BACKEND=kernel, and the path is not that of the module's device; name /dev/twz, or unset TWZ_BACKEND",
        )),
        (Choice::Embedded, true) => Err(Error::Unsupported(
            "TWZ_BACKEND=embedded, and the path is that of the module's device; name a pool directory, or unset TWZ_BACKEND",
        )),
        _ => open_pool(path),
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
