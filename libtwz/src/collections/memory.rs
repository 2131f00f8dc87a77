// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a container consists of, as one reader or writer looks at it: words of
//! its header and places of its contents, the way they are once what is in
//! force of a log has been done.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
};

use super::{CORRUPT, header::killable, logged::Logged};
use crate::{
    Persist,
    error::{Error, Result},
    raw::{
        object::place,
        translate::Translation,
        value::{put_together, take_apart, unit_of},
    },
    translate::home_of,
};

/// The first word of a log entry.
pub(super) const OFFSET: u64 = (1 << 40) - 1;
pub(super) const LEN_SHIFT: u32 = 40;
pub(super) const LEN: u64 = (1 << 20) - 1;
/// The second word is the place that the new value is to be copied from.
pub(super) const COPY: u64 = 1 << 62;
/// It is a word of the header; the offset is its number.
pub(super) const HEADER: u64 = 1 << 63;

/// A container's words and contents, as one reader or writer looks at them.
pub(super) struct Memory<'a> {
    pub(super) words: &'a [AtomicU64],
    /// Entries in force.
    pub(super) log: &'a [AtomicU64],
    pub(super) home: Cell<Translation>,
    pub(super) renewed: Cell<bool>,
    /// A transaction that is looked at instead of the entries; then `log` is
    /// not empty.
    pub(super) logged: Option<Logged<'a>>,
}

impl<'a> Memory<'a> {
    /// A word of the header.
    #[inline(always)]
    pub fn word(&self, index: usize) -> u64 {
        match self.log.is_empty() {
            true => self.words[index].load(Ordering::Acquire),
            false => self.logged_word(index),
        }
    }

    #[cold]
    #[inline(never)]
    fn logged_word(&self, index: usize) -> u64 {
        if let Some(logged) = &self.logged {
            return logged.word(&self.words[index]);
        }
        for entry in self.log.chunks_exact(2) {
            let what = entry[0].load(Ordering::Relaxed);
            if what & HEADER != 0 && what & OFFSET == index as u64 {
                return entry[1].load(Ordering::Relaxed);
            }
        }
        self.words[index].load(Ordering::Acquire)
    }

    /// A place of the contents.
    #[inline(always)]
    pub(super) fn at<T: Persist>(&self, offset: u64) -> Result<&'a T> {
        match place(self.words, self.home.get(), offset) {
            Ok(value) => Ok(value),
            Err(error) => self.renew(error).and_then(|home| place(self.words, home, offset)),
        }
    }

    /// The data may have grown since its end was remembered.
    #[cold]
    fn renew(&self, error: Error) -> Result<Translation> {
        if self.renewed.replace(true) {
            return Err(error);
        }
        let (core, own) = home_of(self.words)?;
        let slot = core.arena().slot_of(self.home.get().base()).ok_or(Error::NotInObject)?;
        core.arena().forget_slot(own);
        self.home.set(core.refresh(slot)?);
        Ok(self.home.get())
    }

    /// `size` bytes, a power of two up to 8, as they are in memory.
    #[inline(always)]
    pub(super) fn load(&self, offset: u64, size: u64) -> Result<u64> {
        Ok(match size {
            1 => self.at::<AtomicU8>(offset)?.load(Ordering::Relaxed) as u64,
            2 => self.at::<AtomicU16>(offset)?.load(Ordering::Relaxed) as u64,
            4 => self.at::<AtomicU32>(offset)?.load(Ordering::Relaxed) as u64,
            _ => self.at::<AtomicU64>(offset)?.load(Ordering::Acquire),
        })
    }

    #[inline(always)]
    pub(super) fn store(&self, offset: u64, size: u64, value: u64) -> Result<()> {
        killable();
        match size {
            1 => self.at::<AtomicU8>(offset)?.store(value as u8, Ordering::Relaxed),
            2 => self.at::<AtomicU16>(offset)?.store(value as u16, Ordering::Relaxed),
            4 => self.at::<AtomicU32>(offset)?.store(value as u32, Ordering::Relaxed),
            _ => self.at::<AtomicU64>(offset)?.store(value, Ordering::Relaxed),
        }
        Ok(())
    }

    /// The same as the log would have it.
    #[inline(always)]
    pub(super) fn unit(&self, offset: u64, size: u64) -> Result<u64> {
        match self.log.is_empty() {
            true => self.load(offset, size),
            false => self.logged_unit(offset, size),
        }
    }

    #[cold]
    #[inline(never)]
    fn logged_unit(&self, offset: u64, size: u64) -> Result<u64> {
        if let Some(logged) = &self.logged {
            return logged.unit(offset, size);
        }
        // Each word is loaded once: a writer may be putting others there.
        let logged = self.log.chunks_exact(2).find_map(|entry| {
            let (what, value) =
                (entry[0].load(Ordering::Relaxed), entry[1].load(Ordering::Relaxed));
            let (at, len) = (what & OFFSET, what >> LEN_SHIFT & LEN);
            let covers = what & HEADER == 0 && (at..at + len).contains(&offset);
            covers.then(|| (what, value, offset - at))
        });
        if let Some((what, value, within)) = logged {
            return match what & COPY {
                0 => Ok(value),
                _ => self.load((value & OFFSET) + within, size),
            };
        }
        self.load(offset, size)
    }

    /// A value of the contents.
    #[inline(always)]
    pub fn value<T: Persist>(&self, offset: u64) -> Result<T> {
        put_together(|at| self.unit(offset + at, unit_of::<T>()))
    }

    /// Whether the value at `offset` has the same bytes as this one.
    #[inline(always)]
    pub fn same<T: Persist>(&self, offset: u64, value: &T) -> Result<bool> {
        let mut same = true;
        take_apart(value, |at, unit| {
            same = same && self.unit(offset + at, unit_of::<T>())? == unit;
            Ok(())
        })?;
        Ok(same)
    }

    /// Bytes of the contents from `offset` on, a multiple of 8.
    pub fn bytes(&self, offset: u64, len: u64) -> Result<std::vec::Vec<u8>> {
        // Refuses a length that no object has before making room for it.
        if len != 0 {
            self.at::<AtomicU8>(offset.saturating_add(len - 1))?;
        }
        let mut bytes = std::vec::Vec::with_capacity(len as usize + 8);
        if self.log.is_empty() {
            for at in (0..len / 8).map(|i| i * 8) {
                bytes.extend_from_slice(&self.load(offset + at, 8)?.to_le_bytes());
            }
        }
        for at in bytes.len() as u64..len {
            bytes.push(self.unit(offset + at, 1)? as u8);
        }
        Ok(bytes)
    }

    /// Does what the log says. Doing it twice does no harm.
    pub(super) fn apply(&self) -> Result<()> {
        for entry in self.log.chunks_exact(2) {
            let (what, value) =
                (entry[0].load(Ordering::Relaxed), entry[1].load(Ordering::Relaxed));
            let (at, len) = (what & OFFSET, what >> LEN_SHIFT & LEN);
            if what & HEADER != 0 {
                killable();
                self.words.get(at as usize).ok_or(CORRUPT)?.store(value, Ordering::Release);
            } else if what & COPY == 0 {
                self.store(at, len, value)?;
            } else {
                let unit = 1 << (at | value | len | 8).trailing_zeros();
                for i in (0..len).step_by(unit as usize) {
                    self.store(at + i, unit, self.load((value & OFFSET) + i, unit)?)?;
                }
            }
        }
        Ok(())
    }
}
