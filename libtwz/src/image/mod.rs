// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool in one file: a [`twz_core::Store`] on an image, so that what a
//! device holds can be made, filled, checked and mended on any machine.
//!
//! An image cannot be mapped: [`crate::transfer::copy_pool`] moves its objects
//! into a directory, and back. One process writes to an image at a time, or
//! several read it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use twz_abi::{FormatError, ObjectId};
use twz_core::{
    Media as _, MediaError, Mode, Store, StoreError,
    format::{FormatOptions, format},
};

use crate::{
    backend::NewObject,
    error::{Error, Result},
    raw::sys,
};

mod backend;
mod file;

pub(crate) use file::{Durable, ImageFile};

/// Pages of an image's journal.
const JOURNAL_PAGES: u64 = 64;

/// How to make an image.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// Bytes of the file, tables included. It is sparse until it is filled.
    pub size: u64,
    /// How many objects there can be; `None` is one for 64 KiB, at least 64.
    pub records: Option<u64>,
    /// Text for people, up to 63 bytes.
    pub label: String,
    /// Whether a block device may hold something already, which is then gone.
    pub force: bool,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self { size: 64 << 20, records: None, label: String::new(), force: false }
    }
}

/// A pool in an image file, open.
pub struct ImagePool {
    path: PathBuf,
    read_only: bool,
    /// One thread at a time uses it.
    store: Mutex<Store<ImageFile>>,
}

impl ImagePool {
    /// Makes an image at `path`, where nothing or an empty file must be, or a
    /// block device: that is taken whole, and must begin with zeros unless
    /// [`ImageOptions::force`] is set. It is no pool before the last step.
    pub fn format(path: &Path, options: &ImageOptions) -> Result<()> {
        if options.label.len() > 63 {
            return Err(Error::Unsupported("a label has at most 63 bytes"));
        }
        let made = match fs::metadata(path) {
            Ok(stat) if stat.file_type().is_block_device() => false,
            Ok(stat) if !stat.is_file() || stat.len() != 0 => {
                return Err(Error::PoolExists(path.into()));
            }
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(Error::at("make", path)(error)),
        };
        let done = Self::format_file(path, options, made);
        if made && matches!(&done, Err(error) if !matches!(error, Error::PoolExists(_))) {
            let _ = fs::remove_file(path);
        }
        done
    }

    fn format_file(path: &Path, options: &ImageOptions, new: bool) -> Result<()> {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(new);
        let file = file::open(&mut open, path, true).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::PoolExists(path.into()),
            _ => in_use(error).unwrap_or_else(|error| Error::at("make", path)(error)),
        })?;
        if file::is_device(&file) {
            if !options.force && !file::begins_with_zeros(&file, path)? {
                return Err(Error::PoolExists(path.into()));
            }
        } else {
            file.set_len(options.size).map_err(Error::at("make", path))?;
        }
        let mut file = ImageFile::hold(file, path, true, Durable::Always)?;
        let root = NewObject::default().earn_id([0; 32])?.1;
        let told = format(
            &mut file,
            &FormatOptions {
                label: options.label.as_bytes(),
                records: options.records,
                pool_id: sys::random()?,
                hash_seed: u64::from_le_bytes(sys::random()?),
                root,
                created: std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs()),
                journal_pages: JOURNAL_PAGES,
            },
        );
        told.map_err(|error| explain(error, path, ""))?;
        file.file().sync_all().map_err(Error::at("sync", path))
    }

    /// Opens the image at `path`. What a power cut left undone is finished,
    /// unless it is opened for reading only.
    pub fn open(path: &Path, read_only: bool) -> Result<Self> {
        Self::open_with(path, read_only, Durable::Always)
    }

    /// Opens the image at `path` for writing, or for reading where it cannot be
    /// written: for want of permission, or because a newer twz made it with
    /// features that only a writer has to know.
    pub fn open_best(path: &Path) -> Result<Self> {
        match Self::open(path, false) {
            Err(Error::ReadOnly) => Self::open(path, true),
            Err(Error::Io { error, .. })
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EACCES | libc::EROFS | libc::EPERM)
                ) =>
            {
                Self::open(path, true)
            }
            other => other,
        }
    }

    /// Opens the image at `path` for writing, to put a lot into it. One that has
    /// no objects has nothing to lose: until the first [`crate::Backend::sync`], or
    /// until it is closed, nothing waits for the disk, and a power cut before
    /// that can leave an image that has to be made anew. Any other is opened as
    /// [`ImagePool::open`] does.
    pub fn open_to_fill(path: &Path) -> Result<Self> {
        let pool = Self::open_with(path, false, Durable::AfterSync)?;
        let empty = pool.store().info().is_ok_and(|info| info.objects <= 1);
        if empty {
            return Ok(pool);
        }
        drop(pool);
        Self::open(path, false)
    }

    /// Opens the image at `path` for writing, and never waits for the disk: a
    /// power cut can leave it damaged. For tests and benchmarks.
    pub fn open_unsynced(path: &Path) -> Result<Self> {
        Self::open_with(path, false, Durable::Never)
    }

    fn open_with(path: &Path, read_only: bool, durable: Durable) -> Result<Self> {
        let file = ImageFile::open(path, !read_only, durable)?;
        if file.len() < 2 * twz_abi::PAGE {
            let error = FormatError::Short { what: "superblock" };
            return Err(Error::Format { what: path.display().to_string(), error });
        }
        let mode = if read_only { Mode::ReadOnly } else { Mode::ReadWrite };
        let store = Store::open(file, mode).map_err(|error| explain(error, path, ""))?;
        let path = fs::canonicalize(path).map_err(Error::at("open", path))?;
        Ok(Self { path, read_only, store: Mutex::new(store) })
    }

    /// The image file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses an object whose id does not hold: an immutable one, if its data
    /// are not those the id covers.
    pub(crate) fn verify_content(&self, id: ObjectId) -> Result<()> {
        let store = self.store();
        let done = store.find(id).and_then(|r| store.verify_content(r));
        done.map_err(self.said(""))
    }

    fn store(&self) -> MutexGuard<'_, Store<ImageFile>> {
        self.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What the store said, in the library's words; `name` is the path of
    /// names that it is about.
    fn said(&self, name: &str) -> impl Fn(StoreError) -> Error {
        move |error| explain(error, &self.path, name)
    }
}

/// A block device that something else uses; or the error as it is.
fn in_use(error: io::Error) -> std::result::Result<Error, io::Error> {
    match error.raw_os_error() {
        Some(libc::EBUSY) => Ok(Error::Busy {
            what: "the device is in use: it is mounted, or the kernel module serves it; unload that first",
        }),
        _ => Err(error),
    }
}

/// What the store of the image at `image` said.
pub(crate) fn explain(error: StoreError, image: &Path, name: &str) -> Error {
    let name = || name.to_owned();
    match error {
        StoreError::Format(error) => Error::Format { what: image.display().to_string(), error },
        StoreError::NotFound { id } => Error::NoObject(id),
        StoreError::Exists { id } => Error::Exists(id),
        StoreError::Immutable { id } => Error::Immutable(id),
        StoreError::IdMismatch { id } | StoreError::ContentMismatch { id } => Error::BadId(id),
        StoreError::Bound { .. } => {
            Error::Busy { what: "the object is still bound to a name; unbind that first" }
        }
        StoreError::Size { size, .. } => Error::BadSize(size),
        StoreError::NoName => Error::NoName(name()),
        StoreError::NameTaken => Error::NameTaken(name()),
        StoreError::NotADirectory => Error::NotADirectory(name()),
        StoreError::NotEmpty => Error::NotEmpty(name()),
        StoreError::IsADirectory => {
            Error::Unsupported("that is a directory of names; 'twz name rmdir' removes it")
        }
        StoreError::Name(error) => Error::Format { what: format!("'{}'", name()), error },
        StoreError::ReadOnly => Error::ReadOnly,
        StoreError::Media(MediaError::Io { code, .. }) => Error::Io {
            doing: "read or write",
            path: Some(image.into()),
            error: io::Error::from_raw_os_error(code),
        },
        other => Error::Store(other),
    }
}
