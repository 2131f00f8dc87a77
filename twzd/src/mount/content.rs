// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is in a file: the object's data, through a descriptor of it where the pool
//! gives one (a directory, the kernel module), else by asking the pool (an image).

use std::{
    fs::File,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
};

use fuser::Errno;
use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};
use twz::{Backend, DATA_START, MAX_DATA, ObjectId};

use super::errno;

type Answer<T> = Result<T, Errno>;

/// Bytes that are zeroed, or copied, at a time.
const STEP: u64 = 1 << 20;

/// The data of one object.
pub struct Content<'a> {
    pub pool: &'a dyn Backend,
    pub id: ObjectId,
    pub file: Option<&'a File>,
}

impl Content<'_> {
    pub fn size(&self) -> Answer<u64> {
        match self.file {
            Some(file) => Ok(file.metadata()?.len()),
            None => self.pool.size(self.id).map_err(errno),
        }
    }

    /// Up to `n` bytes from `at`; less only at the end.
    pub fn read(&self, at: u64, n: u64) -> Answer<Vec<u8>> {
        let n = n.min(self.size()?.saturating_sub(at));
        let mut bytes = vec![0; n as usize];
        let Some(file) = self.file else {
            self.pool.read(self.id, DATA_START + at, &mut bytes).map_err(errno)?;
            return Ok(bytes);
        };
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + done as u64)? {
                0 => break,
                got => done += got,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> Answer<()> {
        let end = at.checked_add(bytes.len() as u64).filter(|end| *end <= MAX_DATA);
        let end = end.ok_or(Errno::EFBIG)?;
        if let Some(file) = self.file {
            return Ok(file.write_all_at(bytes, at)?);
        }
        self.grown(end, || self.pool.write(self.id, DATA_START + at, bytes).map_err(errno))
    }

    pub fn resize(&self, size: u64) -> Answer<()> {
        if size > MAX_DATA {
            return Err(Errno::EFBIG);
        }
        self.pool.resize(self.id, size).map_err(errno)
    }

    /// Does something that needs the file to be `end` bytes long at least; if it
    /// cannot be done the file is as long as it was.
    fn grown(&self, end: u64, act: impl FnOnce() -> Answer<()>) -> Answer<()> {
        let size = self.size()?;
        if end <= size {
            return act();
        }
        self.resize(end)?;
        act().inspect_err(|_| {
            let _ = self.resize(size);
        })
    }

    /// What fallocate(2) is asked.
    pub fn allocate(&self, mode: i32, at: u64, length: u64) -> Answer<()> {
        let flags = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let keep = flags.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE);
        let end = at.checked_add(length).ok_or(Errno::EFBIG)?;
        if end > MAX_DATA && !flags.contains(FallocateFlags::FALLOC_FL_PUNCH_HOLE) {
            return Err(Errno::EFBIG);
        }
        if let Some(file) = self.file {
            return Ok(
                fallocate(file, flags, at as i64, length as i64).map_err(std::io::Error::from)?
            );
        }
        let size = self.size()?;
        let to = if keep { end.min(size) } else { end };
        let rest = flags.difference(FallocateFlags::FALLOC_FL_KEEP_SIZE);
        if rest.is_empty() {
            return match keep && end > size {
                // A store has no pages behind the end of an object.
                true => Err(Errno::EOPNOTSUPP),
                false => self.grown(to, || self.pool.reserve(self.id, at, to).map_err(errno)),
            };
        }
        match rest {
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE => {
                self.grown(to, || self.zero(at, to))
            }
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    fn zero(&self, from: u64, to: u64) -> Answer<()> {
        let zeros = vec![0; STEP.min(to.saturating_sub(from)) as usize];
        let mut at = from;
        while at < to {
            let n = (to - at).min(STEP);
            let bytes = zeros.get(..n as usize).unwrap_or_default();
            self.pool.write(self.id, DATA_START + at, bytes).map_err(errno)?;
            at += n;
        }
        Ok(())
    }

    /// The next data or hole. Where there is no descriptor all is data.
    pub fn seek(&self, at: i64, whence: i32) -> Answer<i64> {
        let size = self.size()?;
        let from = u64::try_from(at).ok().filter(|at| *at < size).ok_or(Errno::ENXIO)?;
        let how = match whence {
            libc::SEEK_DATA => nix::unistd::Whence::SeekData,
            libc::SEEK_HOLE => nix::unistd::Whence::SeekHole,
            _ => return Err(Errno::EINVAL),
        };
        match self.file {
            Some(file) => {
                Ok(nix::unistd::lseek(file.as_fd(), at, how).map_err(std::io::Error::from)?)
            }
            None if whence == libc::SEEK_DATA => Ok(from as i64),
            None => Ok(size as i64),
        }
    }

    /// Copies up to `n` bytes into another file, and says how many.
    pub fn copy_to(&self, at: u64, to: &Self, to_at: u64, n: u64) -> Answer<u64> {
        let n = n.min(self.size()?.saturating_sub(at)).min(i32::MAX as u64 & !4095);
        if to_at.saturating_add(n) > MAX_DATA {
            return Err(Errno::EFBIG);
        }
        if let (Some(from), Some(into)) = (self.file, to.file) {
            let (mut from_at, mut into_at) = (at as i64, to_at as i64);
            let copied =
                copy_file_range(from, Some(&mut from_at), into, Some(&mut into_at), n as usize);
            if let Ok(copied) = copied {
                return Ok(copied as u64);
            }
        }
        let mut done = 0;
        while done < n {
            let bytes = self.read(at + done, STEP.min(n - done))?;
            if bytes.is_empty() {
                break;
            }
            to.write(to_at + done, &bytes)?;
            done += bytes.len() as u64;
        }
        Ok(done)
    }
}
