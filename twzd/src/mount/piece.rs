// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is in one object of a file ([`super::content`]): its data, through a descriptor
//! of it where there is one (a directory, the kernel module), else by asking the pool.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
};

use fuser::Errno;
use nix::{
    fcntl::{FallocateFlags, fallocate},
    unistd::{Whence, lseek},
};
use twz::{Backend, DATA_START, ObjectId};

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
        let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match self.file {
            Some(file) => self.allocate(file, how, at, len),
            None => self.pool.punch(self.id, at, at + len).map_err(errno),
        }
    }

    /// What fallocate(2) is asked of a descriptor.
    pub fn allocate(&self, file: &File, how: FallocateFlags, at: u64, len: u64) -> Answer<()> {
        Ok(fallocate(file, how, at as i64, len as i64).map_err(io::Error::from)?)
    }

    /// The first byte from `at` on that may be no hole, or the first that is in one; the
    /// size or more if there is none.
    pub fn next(&self, at: u64, hole: bool) -> Answer<u64> {
        let Some(file) = self.file else {
            return self.pool.next(self.id, at, hole).map_err(errno);
        };
        let how = if hole { Whence::SeekHole } else { Whence::SeekData };
        match lseek(file.as_fd(), at as i64, how) {
            Ok(found) => Ok(found as u64),
            Err(nix::errno::Errno::ENXIO) => self.size(),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }
}
