// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What a store stands on: one range of bytes that can be made durable.
//!
//! [`Media`] is the whole of what the store asks of the world. The kernel gives
//! it a DAX range, libtwz an image file, the tests media that lie and die.
//! [`Memory`] is the simplest one.

use core::fmt;

use twz_abi::PAGE;

/// A page of zeros.
pub(crate) static ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// A range of bytes with an order of durability.
///
/// A write is visible to later reads at once. It is durable when it was
/// flushed and a fence has returned after that; until then any subset of its
/// aligned 8-byte words may survive a power cut.
pub trait Media {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Copies the bytes at `at` to `into`.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError>;

    /// Copies `from` to the bytes at `at`.
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError>;

    /// Starts making bytes durable; they are once a later fence returns.
    fn flush(&mut self, at: u64, len: u64) -> Result<(), MediaError>;

    /// Returns once everything flushed before is durable.
    fn fence(&mut self) -> Result<(), MediaError>;

    /// Makes `len` bytes at `at` zeros, and flushes them: a medium that can do
    /// both at once does, and whoever asks does not flush again.
    fn zero(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        let mut done = 0;
        while done < len {
            let n = (len - done).min(ZEROS.len() as u64);
            self.write(at.saturating_add(done), ZEROS.get(..n as usize).unwrap_or(&ZEROS))?;
            done += n;
        }
        self.flush(at, len)
    }

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `new` in the place of the 8-byte word at `at` if it is `old`, and
    /// returns what was there. A medium whose pages programs map must do this
    /// atomically; the default is for media that nobody else writes to.
    fn compare_exchange(&mut self, at: u64, old: u64, new: u64) -> Result<u64, MediaError> {
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        let found = u64::from_le_bytes(word);
        if found == old {
            self.write(at, &new.to_le_bytes())?;
        }
        Ok(found)
    }
}

// Who asks a medium where it is called from is told who called this.
impl<M: Media + ?Sized> Media for &mut M {
    fn len(&self) -> u64 {
        (**self).len()
    }
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        (**self).read(at, into)
    }
    #[track_caller]
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        (**self).write(at, from)
    }
    #[track_caller]
    fn flush(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        (**self).flush(at, len)
    }
    #[track_caller]
    fn fence(&mut self) -> Result<(), MediaError> {
        (**self).fence()
    }
    #[track_caller]
    fn zero(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        (**self).zero(at, len)
    }
    #[track_caller]
    fn compare_exchange(&mut self, at: u64, old: u64, new: u64) -> Result<u64, MediaError> {
        (**self).compare_exchange(at, old, new)
    }
}

/// Why a medium did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaError {
    /// The bytes are not all on the medium.
    Range {
        /// The first byte asked for.
        at: u64,
        /// How many were asked for.
        len: u64,
    },
    /// The medium failed.
    Io {
        /// The byte at which it failed.
        at: u64,
        /// The system's error number.
        code: i32,
    },
}

impl fmt::Display for MediaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Range { at, len } => {
                write!(f, "{len} bytes at byte {at} are not all on the medium")
            }
            Self::Io { at, code } => {
                write!(f, "the medium failed at byte {at} (error {code})")
            }
        }
    }
}

impl core::error::Error for MediaError {}

/// Bytes in memory, borrowed. Everything is durable at once, as far as memory goes.
#[derive(Debug)]
pub struct Memory<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Memory<'a> {
    /// A medium over these bytes.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }
}

impl Media for Memory<'_> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        let range = range(at, into.len())?;
        let from = self.bytes.get(range).ok_or(outside(at, into.len()))?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        let range = range(at, from.len())?;
        let into = self.bytes.get_mut(range).ok_or(outside(at, from.len()))?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn flush(&mut self, _at: u64, _len: u64) -> Result<(), MediaError> {
        Ok(())
    }

    fn fence(&mut self) -> Result<(), MediaError> {
        Ok(())
    }

    fn zero(&mut self, at: u64, len: u64) -> Result<(), MediaError> {
        let refused = MediaError::Range { at, len };
        let range = range(at, usize::try_from(len).map_err(|_| refused)?)?;
        self.bytes.get_mut(range).ok_or(refused)?.fill(0);
        Ok(())
    }
}

fn range(at: u64, len: usize) -> Result<core::ops::Range<usize>, MediaError> {
    let start = usize::try_from(at).map_err(|_| outside(at, len))?;
    let end = start.checked_add(len).ok_or(outside(at, len))?;
    Ok(start..end)
}

fn outside(at: u64, len: usize) -> MediaError {
    MediaError::Range { at, len: len as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_refuses_what_lies_outside() {
        let mut bytes = [7; 16];
        let mut memory = Memory::new(&mut bytes);
        let mut two = [0; 2];
        assert_eq!(memory.read(14, &mut two), Ok(()));
        assert_eq!(two, [7; 2]);
        assert_eq!(memory.read(15, &mut two), Err(MediaError::Range { at: 15, len: 2 }));
        assert!(memory.write(u64::MAX, &two).is_err());
        assert_eq!(memory.compare_exchange(8, 1, 2), Ok(u64::from_le_bytes([7; 8])));
        assert_eq!(
            memory.compare_exchange(8, u64::from_le_bytes([7; 8]), 2),
            Ok(u64::from_le_bytes([7; 8]))
        );
        assert_eq!(memory.compare_exchange(8, 0, 0), Ok(2));
        assert_eq!(memory.zero(9, 8), Err(MediaError::Range { at: 9, len: 8 }));
        assert!(memory.zero(u64::MAX, u64::MAX).is_err());
        assert_eq!(memory.zero(2, 6), Ok(()));
        assert_eq!(bytes, [7, 7, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }
}
