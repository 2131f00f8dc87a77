// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file as the medium of a store.
//!
//! It is read and written by system calls, not mapped: a full disk or a file
//! that somebody cut is then an error that can be told, where a mapping would
//! end the program by a SIGBUS.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use twz_core::{Media, MediaError};

use crate::error::{Error, Result};

/// When a fence waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// Each does: what the journal promises holds.
    Always,
    /// None before [`ImageFile::sync`], each after it.
    AfterSync,
    /// None.
    Never,
}

/// An image file, open and locked.
pub struct ImageFile {
    file: Flock<File>,
    len: u64,
    durable: Durable,
    /// Fences do not wait.
    relaxed: AtomicBool,
    /// Something was written since the last fence.
    dirty: bool,
}

impl ImageFile {
    /// Opens and locks an existing file.
    pub fn open(path: &Path, write: bool, durable: Durable) -> Result<Self> {
        let file = match open(OpenOptions::new().read(true).write(write), path, write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoPool(path.into()));
            }
            Err(error) => {
                let other = |error| Error::at("open", path)(error);
                return Err(super::in_use(error).unwrap_or_else(other));
            }
            Ok(file) => file,
        };
        Self::hold(file, path, write, durable)
    }

    /// Locks `file`: alone to write, with other readers to read.
    pub fn hold(file: File, path: &Path, write: bool, durable: Durable) -> Result<Self> {
        let how =
            if write { FlockArg::LockExclusiveNonblock } else { FlockArg::LockSharedNonblock };
        let mut file = Flock::lock(file, how).map_err(|(_, errno)| match (errno, write) {
            (Errno::EWOULDBLOCK, true) => Error::Busy {
                what: "the image is in use by another process; wait until it is done",
            },
            (Errno::EWOULDBLOCK, false) => Error::Busy {
                what: "another process has the image open for writing; wait until it is done",
            },
            (errno, _) => Error::at("lock", path)(errno.into()),
        })?;
        // A device says its length by its end only.
        let len = file.seek(SeekFrom::End(0)).map_err(Error::at("measure", path))?;
        let relaxed = AtomicBool::new(durable != Durable::Always);
        // Who wrote before may have been killed before it was durable.
        Ok(Self { file, len, durable, relaxed, dirty: write })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes all that was written durable, and, unless it is never to be, what
    /// will be.
    pub fn sync(&self) -> io::Result<()> {
        if self.durable == Durable::Never {
            return Ok(());
        }
        self.file.sync_data()?;
        self.relaxed.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn inside(&self, at: u64, len: u64) -> std::result::Result<(), MediaError> {
        match at.checked_add(len).is_some_and(|end| end <= self.len) {
            true => Ok(()),
            false => Err(MediaError::Range { at, len }),
        }
    }
}

impl Media for ImageFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64, into: &mut [u8]) -> std::result::Result<(), MediaError> {
        self.inside(at, into.len() as u64)?;
        self.file.read_exact_at(into, at).map_err(failed(at))
    }

    fn write(&mut self, at: u64, from: &[u8]) -> std::result::Result<(), MediaError> {
        self.inside(at, from.len() as u64)?;
        self.dirty = true;
        self.file.write_all_at(from, at).map_err(failed(at))
    }

    fn flush(&mut self, _at: u64, _len: u64) -> std::result::Result<(), MediaError> {
        Ok(())
    }

    fn fence(&mut self) -> std::result::Result<(), MediaError> {
        if self.dirty && !self.relaxed.load(Ordering::Relaxed) {
            self.file.sync_data().map_err(failed(0))?;
        }
        self.dirty = false;
        Ok(())
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        if self.durable == Durable::AfterSync && self.relaxed.load(Ordering::Relaxed) {
            let _ = self.file.sync_data();
        }
    }
}

/// Opens a file; to write to a block device, nobody else may use it.
pub fn open(options: &mut OpenOptions, path: &Path, write: bool) -> io::Result<File> {
    let is_device = fs::metadata(path).is_ok_and(|stat| stat.file_type().is_block_device());
    let flags = if write && is_device { libc::O_EXCL } else { 0 };
    options.custom_flags(flags).open(path)
}

/// Whether it is a block device.
pub fn is_device(file: &File) -> bool {
    file.metadata().is_ok_and(|stat| stat.file_type().is_block_device())
}

/// Whether a device begins with nothing that somebody might miss.
pub fn begins_with_zeros(file: &File, path: &Path) -> Result<bool> {
    let mut start = vec![0; 1 << 16];
    file.read_exact_at(&mut start, 0).map_err(Error::at("read", path))?;
    Ok(start.iter().all(|&byte| byte == 0))
}

/// What the system said, as a medium says it.
fn failed(at: u64) -> impl FnOnce(io::Error) -> MediaError {
    move |error| MediaError::Io { at, code: error.raw_os_error().unwrap_or(libc::EIO) }
}
