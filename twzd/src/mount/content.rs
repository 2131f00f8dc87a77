// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is in a file: the bytes of its object, or of its objects where it is longer
//! than one ([`twz::joined`]), each a [`Piece`]. In a directory pool it is the host's
//! file, however long.

use std::fs::File;

use fuser::Errno;
use nix::fcntl::{FallocateFlags, copy_file_range};
use twz::{
    Backend, Joined, MAX_DATA, ObjectId, Rights,
    joined::{self, MAX_LENGTH, Span},
};

use super::{errno, piece::Piece};

type Answer<T> = Result<T, Errno>;

/// Bytes that are copied at a time.
const STEP: u64 = 1 << 20;

/// The data of a file.
pub struct Content<'a> {
    pub pool: &'a dyn Backend,
    pub id: ObjectId,
    /// The data of its first object.
    pub file: Option<&'a File>,
    /// That is the host's file.
    pub native: bool,
}

impl<'a> Content<'a> {
    fn first(&self) -> Piece<'a> {
        Piece { pool: self.pool, id: self.id, file: self.file }
    }

    /// The objects that the file is.
    fn whole(&self) -> Answer<Joined> {
        let length = self.first().size()?;
        match self.native || length < MAX_DATA {
            true => Ok(Joined { objects: vec![self.id], length }),
            false => Joined::find(self.pool, self.id).map_err(errno),
        }
    }

    /// Does something to each object that has some of `len` bytes from `at` on; `done`
    /// is how many of them were before it.
    fn each(
        &self,
        whole: &Joined,
        (at, len): (u64, u64),
        mut act: impl FnMut(&Piece<'_>, &Span, u64) -> Answer<()>,
    ) -> Answer<()> {
        if self.native {
            return act(&self.first(), &Span { index: 0, id: self.id, at, len }, 0);
        }
        let mut done = 0;
        for span in whole.spans(at, len) {
            let file = self.file.filter(|_| span.index == 0);
            act(&Piece { pool: self.pool, id: span.id, file }, &span, done)?;
            done += span.len;
        }
        Ok(())
    }

    pub fn size(&self) -> Answer<u64> {
        Ok(self.whole()?.length)
    }

    /// Up to `n` bytes from `at`; less only at the end.
    pub fn read(&self, at: u64, n: u64) -> Answer<Vec<u8>> {
        let whole = self.whole()?;
        let n = n.min(whole.length.saturating_sub(at));
        let (mut bytes, mut end) = (vec![0; n as usize], 0);
        self.each(&whole, (at, n), |piece, span, done| {
            let part = bytes.get_mut(done as usize..(done + span.len) as usize);
            end = done as usize + piece.read(span.at, part.unwrap_or_default())?;
            Ok(())
        })?;
        bytes.truncate(end);
        Ok(bytes)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> Answer<()> {
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::EFBIG)?;
        // A descriptor makes its object longer by itself; that one is full is not its to say.
        if self.file.is_some() && (self.native || end < MAX_DATA) {
            return self.first().write(at, bytes);
        }
        self.grown(end, |whole| {
            self.each(whole, (at, bytes.len() as u64), |piece, span, done| {
                let part = bytes.get(done as usize..(done + span.len) as usize);
                piece.write(span.at, part.unwrap_or_default())
            })
        })
    }

    pub fn resize(&self, size: u64) -> Answer<()> {
        if !self.native || size <= MAX_DATA {
            return joined::resize(self.pool, self.id, size).map_err(errno);
        }
        let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
        let file = File::from(self.pool.open_data(self.id, rights).map_err(errno)?);
        Ok(file.set_len(size)?)
    }

    /// Does something that needs the file to be `end` bytes long at least; if it
    /// cannot be done the file is as long as it was.
    fn grown(&self, end: u64, act: impl FnOnce(&Joined) -> Answer<()>) -> Answer<()> {
        let whole = self.whole()?;
        if end <= whole.length {
            return act(&whole);
        }
        self.resize(end)?;
        self.whole().and_then(|whole| act(&whole)).inspect_err(|_| {
            let _ = self.resize(whole.length);
        })
    }

    /// What fallocate(2) is asked.
    pub fn allocate(&self, mode: i32, at: u64, length: u64) -> Answer<()> {
        let flags = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let keep = flags.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE);
        let end = at.checked_add(length).ok_or(Errno::EFBIG)?;
        if let Some(file) = self.file.filter(|_| self.native || end < MAX_DATA) {
            return self.first().allocate(file, flags, at, length);
        }
        let size = self.size()?;
        let to = if keep { end.min(size) } else { end };
        let run = (at, to.saturating_sub(at));
        match flags.difference(FallocateFlags::FALLOC_FL_KEEP_SIZE) {
            rest if rest.is_empty() => {
                if to > MAX_LENGTH {
                    return Err(Errno::EFBIG);
                }
                if end > to {
                    // A store has no pages behind the end of an object.
                    return Err(Errno::EOPNOTSUPP);
                }
                self.has_room(run.1)?;
                self.grown(to, |whole| {
                    self.each(whole, run, |piece, span, _| piece.reserve(span.at, span.len))
                })
            }
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE => {
                self.grown(to, |whole| self.zero(whole, run))
            }
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Whether the pool has as much, less what the file has already.
    fn has_room(&self, length: u64) -> Answer<()> {
        let stored = |id: &ObjectId| self.pool.stat(*id).map(|stat| stat.stored);
        let there: u64 =
            self.whole()?.objects.iter().map(stored).sum::<twz::Result<_>>().map_err(errno)?;
        let free = self.pool.info().map_err(errno)?.free;
        if length > free + there { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    fn zero(&self, whole: &Joined, run: (u64, u64)) -> Answer<()> {
        self.each(whole, run, |piece, span, _| piece.punch(span.at, span.len))
    }

    /// The next data or hole.
    pub fn seek(&self, at: i64, whence: i32) -> Answer<i64> {
        let whole = self.whole()?;
        let from = u64::try_from(at).ok().filter(|at| *at < whole.length).ok_or(Errno::ENXIO)?;
        let hole = match whence {
            libc::SEEK_DATA => false,
            libc::SEEK_HOLE => true,
            _ => return Err(Errno::EINVAL),
        };
        match self.next(&whole, from, hole)? {
            found if hole || found < whole.length => Ok(found as i64),
            _ => Err(Errno::ENXIO),
        }
    }

    fn next(&self, whole: &Joined, from: u64, hole: bool) -> Answer<u64> {
        let mut found = None;
        self.each(whole, (from, whole.length.saturating_sub(from)), |piece, span, done| {
            if found.is_none() {
                let next = piece.next(span.at, hole)?;
                found = (next < span.at + span.len).then(|| from + done + next - span.at);
            }
            Ok(())
        })?;
        Ok(found.unwrap_or(whole.length))
    }

    /// Copies up to `n` bytes into another file, and says how many. Holes stay holes.
    pub fn copy_to(&self, at: u64, to: &Self, to_at: u64, n: u64) -> Answer<u64> {
        let whole = self.whole()?;
        let n = n.min(whole.length.saturating_sub(at)).min(i32::MAX as u64 & !4095);
        let single = |of: &Self, end: u64| of.native || end < MAX_DATA;
        if let (Some(from), Some(into)) = (self.file, to.file)
            && single(self, at + n)
            && single(to, to_at.saturating_add(n))
        {
            let (mut from_at, mut into_at) = (at as i64, to_at as i64);
            let copied =
                copy_file_range(from, Some(&mut from_at), into, Some(&mut into_at), n as usize);
            if let Ok(copied) = copied {
                return Ok(copied as u64);
            }
        }
        let mut done = 0;
        while done < n {
            let data = self.next(&whole, at + done, false)?.min(at + n) - at;
            if data > done {
                let run = (to_at + done, data - done);
                to.grown(run.0.saturating_add(run.1), |whole| to.zero(whole, run))?;
                done = data;
                continue;
            }
            let end = self.next(&whole, at + done, true)?.min(at + n) - at;
            let bytes = self.read(at + done, STEP.min(end.saturating_sub(done)))?;
            if bytes.is_empty() {
                break;
            }
            to.write(to_at + done, &bytes)?;
            done += bytes.len() as u64;
        }
        Ok(done)
    }
}
