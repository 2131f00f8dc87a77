// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is in one object of a file ([`super::content`]): its data, through a descriptor
//! of it where there is one (a directory, the kernel module), else by asking the pool.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use fuser::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use twz::{Backend, DATA_START, ObjectId, holes};

use super::errno;

type Answer<T> = Result<T, Errno>;

/// The data of one object.
pub struct Piece<'a> {
    pub pool: &'a dyn Backend,
    pub id: ObjectId,
    pub file: Option<&'a File>,
}

impl Piece<'_> {
    pub fn size(&self) -> Answer<u64> {
        match self.file {
            Some(file) => Ok(file.metadata()?.len()),
            None => self.pool.size(self.id).map_err(errno),
        }
    }

    /// Fills a buffer from `at` on, and says how far; less only at the end.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Answer<usize> {
        let Some(file) = self.file else {
            self.pool.read(self.id, DATA_START + at, into).map_err(errno)?;
            return Ok(into.len());
        };
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + done as u64)? {
                0 => break,
                got => done += got,
            }
        }
        Ok(done)
    }

    /// Writes within the size, or anywhere where there is a descriptor.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Answer<()> {
        match self.file {
            Some(file) => Ok(file.write_all_at(bytes, at)?),
            None => self.pool.write(self.id, DATA_START + at, bytes).map_err(errno),
        }
    }

    /// Gives bytes within the size room, so that writing them cannot fail.
    pub fn reserve(&self, at: u64, len: u64) -> Answer<()> {
        match self.file {
            Some(file) => self.allocate(file, FallocateFlags::empty(), at, len),
            None => self.pool.reserve(self.id, at, at + len).map_err(errno),
        }
    }

    /// Makes a hole within the size.
    pub fn punch(&self, at: u64, len: u64) -> Answer<()> {
        let done = match self.file {
            Some(file) => holes::punch(file, at, at + len),
            None => self.pool.punch(self.id, at, at + len),
        };
        done.map_err(errno)
    }

    /// What fallocate(2) is asked of a descriptor.
    pub fn allocate(&self, file: &File, how: FallocateFlags, at: u64, len: u64) -> Answer<()> {
        Ok(fallocate(file, how, at as i64, len as i64).map_err(io::Error::from)?)
    }

    /// The first byte from `at` on that may be no hole, or the first that is in one; the
    /// size if there is none.
    pub fn next(&self, at: u64, hole: bool) -> Answer<u64> {
        let found = match self.file {
            Some(file) => holes::next(file, at, hole),
            None => self.pool.next(self.id, at, hole),
        };
        found.map_err(errno)
    }
}
