// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The journal: how a change of several words happens wholly or not at all.
//!
//! [`Journal`] writes one transaction's entries into its slot as they come,
//! through a small buffer, and seals it with a header whose checksum covers
//! all of them. [`inspect`], [`replay`] and [`Entries`] are what recovery and
//! the checker read slots with. When entries reach their places, and in which
//! order with fences, is `transaction`'s business.

use twz_abi::journal::{JournalEntry, JournalHeader, JournalSum, JOURNAL_MAGIC};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    geometry::Geometry,
    media::Media,
};

/// Bytes of the header of a slot.
pub(crate) const HEADER: u64 = 32;

/// Bytes of the header of an entry.
pub(crate) const ENTRY: u64 = 16;

/// Bytes that are read or written at once.
pub(crate) const CHUNK: usize = 512;

/// The transaction being written.
pub(crate) struct Journal {
    base: u64,
    slot_bytes: u64,
    /// Number of the transaction being written.
    sequence: u64,
    /// Bytes of entries so far.
    len: u64,
    /// What is not on the medium yet; the first chunk begins with the header.
    buffer: [u8; CHUNK],
    filled: usize,
    /// Bytes of the slot that are on the medium, header included.
    spilled: u64,
    /// The checksum of the entries that are on the medium.
    sum: JournalSum,
}

impl Journal {
    /// A journal whose next transaction has this number.
    pub(crate) fn new(geometry: &Geometry, sequence: u64) -> Self {
        Self {
            base: geometry.slot_at(0),
            slot_bytes: geometry.slot_bytes(),
            sequence,
            len: 0,
            buffer: [0; CHUNK],
            filled: HEADER as usize,
            spilled: 0,
            sum: JournalSum::new(),
        }
    }

    /// Forgets the entries so far.
    pub(crate) fn reset(&mut self) {
        self.len = 0;
        self.filled = HEADER as usize;
        self.spilled = 0;
        self.sum = JournalSum::new();
    }

    /// Bytes of entries so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of entries that still fit.
    pub(crate) fn room(&self) -> u64 {
        self.slot_bytes.saturating_sub(HEADER).saturating_sub(self.len)
    }

    /// Where the slot of the transaction being written begins.
    pub(crate) fn slot_at(&self) -> u64 {
        self.base + (self.sequence & 1) * self.slot_bytes
    }

    /// Adds an entry: `data`, a multiple of 4 bytes, belongs at `target`.
    pub(crate) fn append<M: Media>(&mut self, m: &mut M, target: u64, data: &[u8]) -> Result<()> {
        let entry = JournalEntry { target, len: data.len() as u32, reserved: 0 };
        if self.room() < ENTRY + data.len() as u64 {
            return Err(StoreError::Corrupt {
                what: "a transaction outgrew its journal slot",
                at: self.slot_at(),
            });
        }
        self.push(m, entry.as_bytes())?;
        self.push(m, data)
    }

    /// Writes what is left, then the header, and flushes; a fence makes it count.
    pub(crate) fn seal<M: Media>(&mut self, m: &mut M) -> Result<()> {
        let at = self.slot_at();
        let mut header = JournalHeader {
            magic: JOURNAL_MAGIC,
            sequence: self.sequence,
            len: self.len,
            checksum: 0,
        };
        if self.spilled != 0 {
            self.spill(m)?;
            self.sum.update(header.covered());
            header.checksum = self.sum.finish();
            m.write(at, header.as_bytes())?;
        } else {
            self.sum.update(self.buffer.get(HEADER as usize..self.filled).unwrap_or(&[]));
            self.sum.update(header.covered());
            header.checksum = self.sum.finish();
            for (to, from) in self.buffer.iter_mut().zip(header.as_bytes()) {
                *to = *from;
            }
            m.write(at, self.buffer.get(..self.filled).unwrap_or(&[]))?;
        }
        m.flush(at, HEADER + self.len)?;
        Ok(())
    }

    /// Goes on to the next transaction.
    pub(crate) fn advance(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        self.reset();
    }

    /// Puts everything so far on the medium, so that it can be read back.
    pub(crate) fn spill<M: Media>(&mut self, m: &mut M) -> Result<()> {
        let (at, skip) = match self.spilled {
            0 => (self.slot_at() + HEADER, HEADER as usize),
            n => (self.slot_at() + n, 0),
        };
        let bytes = self.buffer.get(skip..self.filled).unwrap_or(&[]);
        m.write(at, bytes)?;
        self.sum.update(bytes);
        self.spilled += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    fn push<M: Media>(&mut self, m: &mut M, mut bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.filled == CHUNK {
                self.spill(m)?;
            }
            let n = bytes.len().min(CHUNK - self.filled);
            let (now, later) = bytes.split_at(n);
            if let Some(free) = self.buffer.get_mut(self.filled..self.filled + n) {
                free.copy_from_slice(now);
            }
            self.filled += n;
            bytes = later;
        }
        Ok(())
    }
}

/// A transaction that a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) sequence: u64,
    pub(crate) len: u64,
}

/// What slot `slot` holds: `None` if it was never sealed, or overwritten since.
pub(crate) fn inspect<M: Media>(m: &M, geo: &Geometry, slot: u64) -> Result<Option<Held>> {
    let at = geo.slot_at(slot);
    let mut header = JournalHeader::new_zeroed();
    m.read(at, header.as_mut_bytes())?;
    if header.check(slot, geo.slot_bytes()).is_err() {
        return Ok(None);
    }
    let mut sum = JournalSum::new();
    let (mut done, len) = (0, header.len);
    let mut buffer = [0; CHUNK];
    while done < len {
        let n = (len - done).min(CHUNK as u64);
        let chunk = buffer.get_mut(..n as usize).unwrap_or(&mut []);
        m.read(at + HEADER + done, chunk)?;
        sum.update(chunk);
        done += n;
    }
    sum.update(header.covered());
    let valid = sum.finish() == header.checksum;
    Ok(valid.then_some(Held { sequence: header.sequence, len }))
}

/// The transactions that recovery replays, in order, at most two.
pub(crate) fn pending<M: Media>(m: &M, geo: &Geometry) -> Result<[Option<Held>; 2]> {
    Ok(match (inspect(m, geo, 0)?, inspect(m, geo, 1)?) {
        (Some(a), Some(b)) if a.sequence.wrapping_add(1) == b.sequence => [Some(a), Some(b)],
        (Some(a), Some(b)) if b.sequence.wrapping_add(1) == a.sequence => [Some(b), Some(a)],
        (Some(a), Some(b)) if a.sequence > b.sequence => [Some(a), None],
        (Some(_), Some(b)) => [Some(b), None],
        (one, other) => [one.or(other), None],
    })
}

/// Walks the entries of a transaction in a slot, each checked.
pub(crate) struct Entries {
    at: u64,
    end: u64,
}

impl Entries {
    /// The first `len` bytes of entries of the slot of `sequence`.
    pub(crate) fn new(geo: &Geometry, held: Held) -> Self {
        let at = geo.slot_at(held.sequence) + HEADER;
        Self { at, end: at + held.len }
    }

    /// The next entry and where its bytes are.
    pub(crate) fn next<M: Media>(
        &mut self,
        m: &M,
        geo: &Geometry,
    ) -> Result<Option<(JournalEntry, u64)>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let rest = self.end - at;
        let broken = StoreError::Corrupt { what: "a journal entry is cut short", at };
        let after = rest.checked_sub(ENTRY).ok_or(broken)?;
        let mut entry = JournalEntry::new_zeroed();
        m.read(at, entry.as_mut_bytes())?;
        entry.check(geo.pages, after).map_err(StoreError::damaged(at))?;
        let (journal, len) = (geo.slot_at(0), entry.len as u64);
        if entry.target < journal + 2 * geo.slot_bytes() && journal < entry.target + len {
            return Err(StoreError::Corrupt { what: "a journal entry targets the journal", at });
        }
        self.at = at + ENTRY + len;
        Ok(Some((entry, at + ENTRY)))
    }
}

/// Does the writes of a transaction in their places.
pub(crate) fn replay<M: Media>(m: &mut M, geo: &Geometry, held: Held) -> Result<()> {
    let mut entries = Entries::new(geo, held);
    let mut buffer = [0; CHUNK];
    while let Some((entry, from)) = entries.next(m, geo)? {
        let (mut done, len) = (0, entry.len as u64);
        while done < len {
            let n = (len - done).min(CHUNK as u64);
            let chunk = buffer.get_mut(..n as usize).unwrap_or(&mut []);
            m.read(from + done, chunk)?;
            m.write(entry.target + done, chunk)?;
            done += n;
        }
        m.flush(entry.target, len)?;
    }
    Ok(())
}

/// Puts over bytes that were read at `at` what a transaction, which was verified, has for
/// them.
pub(crate) fn read_over<M: Media>(
    m: &M,
    geo: &Geometry,
    held: Held,
    at: u64,
    into: &mut [u8],
) -> Result<()> {
    let (mut entries, end) = (Entries::new(geo, held), at + into.len() as u64);
    while let Some((entry, from)) = entries.next(m, geo)? {
        let first = entry.target.max(at);
        let last = (entry.target + entry.len as u64).min(end);
        let over = first.checked_sub(at).zip(last.checked_sub(at));
        let over = over.and_then(|(first, last)| into.get_mut(first as usize..last as usize));
        if let Some(over) = over.filter(|over| !over.is_empty()) {
            m.read(from + (first - entry.target), over)?;
        }
    }
    Ok(())
}

/// Makes the header of a slot zeros, so that nothing can make a record of what
/// is there. One that is zeros is flushed all the same: they may be those of
/// somebody who was killed before they were durable.
pub(crate) fn destroy<M: Media>(m: &mut M, geo: &Geometry, slot: u64) -> Result<()> {
    let (at, mut header) = (geo.slot_at(slot), [0; HEADER as usize]);
    m.read(at, &mut header)?;
    if header.iter().any(|&b| b != 0) {
        m.write(at, &[0; HEADER as usize])?;
    }
    Ok(m.flush(at, HEADER)?)
}

/// Whether every entry can be followed; nothing is replayed otherwise.
pub(crate) fn verify<M: Media>(m: &M, geo: &Geometry, held: Held) -> Result<()> {
    let mut entries = Entries::new(geo, held);
    while entries.next(m, geo)?.is_some() {}
    Ok(())
}

/// Whether the newest of `pending` has all its writes in their places; the one
/// before it was in place before the newest was sealed.
pub(crate) fn in_place<M: Media>(m: &M, geo: &Geometry, held: Held) -> Result<bool> {
    let mut entries = Entries::new(geo, held);
    let (mut a, mut b) = ([0; CHUNK / 2], [0; CHUNK / 2]);
    while let Some((entry, from)) = entries.next(m, geo)? {
        let (mut done, len) = (0, entry.len as u64);
        while done < len {
            let n = (len - done).min(CHUNK as u64 / 2);
            let a = a.get_mut(..n as usize).unwrap_or(&mut []);
            let b = b.get_mut(..n as usize).unwrap_or(&mut []);
            m.read(from + done, a)?;
            m.read(entry.target + done, b)?;
            if a != b {
                return Ok(false);
            }
            done += n;
        }
    }
    Ok(true)
}
