// SPDX-License-Identifier: MIT OR Apache-2.0
//! An object as it leaves a pool: a [`Source`] reads its meta record, FOT and
//! data through [`Backend`] alone, so it works for every home.

use std::os::fd::OwnedFd;

use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};
use twz_abi::{
    DATA_START, FotEntry, MAX_DATA, META_START, Meta, ObjectId, PAGE, Rights,
    fot::{self, ENTRY_SIZE, entry_offset},
    meta::{Bounds, epoch_word},
    pointer::MAX_FOT_INDEX,
};
use twz_core::Identity;
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use crate::{
    backend::{Backend, ObjectStat},
    error::{Error, Result},
};

/// Bytes that are read at once: a whole number of pages.
pub const CHUNK: usize = 1 << 20;

/// An object to read.
pub struct Source<'a> {
    /// Where it is.
    pub pool: &'a dyn Backend,
    /// Its meta record, verified, with its size as it is.
    pub meta: Meta,
    /// Its data as a file, which knows where the holes are.
    file: Option<OwnedFd>,
}

impl<'a> Source<'a> {
    /// Reads and verifies the meta record.
    pub fn open(pool: &'a dyn Backend, id: ObjectId) -> Result<Self> {
        let ObjectStat { size, epoch, .. } = pool.stat(id)?;
        if size > MAX_DATA {
            return Err(Error::BadSize(size));
        }
        let mut meta = Meta::new_zeroed();
        pool.read(id, META_START, meta.as_mut_bytes())?;
        meta.check().map_err(|error| Error::Format { what: format!("object {id}"), error })?;
        if meta.id != id || Identity::from(&meta).verify(id).is_err() {
            return Err(Error::BadId(id));
        }
        let data_pages = size.div_ceil(PAGE) as u32;
        let bounds = Bounds { data_pages, ..Bounds::unpack(meta.bounds) };
        if !bounds.fits() {
            return Err(Error::ObjectFull { id, what: "its data and its FOT overlap" });
        }
        (meta.size, meta.bounds) = (size, bounds.pack());
        // Who holds it here, and which log knows of it, is nothing elsewhere.
        (meta.lock, meta.log, meta.log_place) = (0, ObjectId::NULL, 0);
        // A pool may keep it beside the object; what was revoked stays so elsewhere.
        meta.epoch = epoch_word(epoch);
        Ok(Self { pool, meta, file: pool.open_data(id, Rights::READ).ok() })
    }

    /// Visits the FOT page by page: the index of the first entry, and the
    /// entries, up to the end of the table.
    pub fn each_fot_page(
        &self,
        visit: &mut dyn FnMut(u32, &[FotEntry]) -> Result<()>,
    ) -> Result<()> {
        let pages = Bounds::unpack(self.meta.bounds).fot_pages;
        let mut first = 1;
        let mut bytes = [0; PAGE as usize];
        for k in 0..=pages {
            let last = fot::entries_in(k).min(MAX_FOT_INDEX);
            let Some(count) = (last + 1).checked_sub(first).filter(|&n| n != 0) else { break };
            let len = count as usize * ENTRY_SIZE as usize;
            let Some(bytes) = bytes.get_mut(..len) else { break };
            self.pool.read(self.meta.id, entry_offset(last), bytes)?;
            // They lie in the slot from the last to the first.
            let entries: Vec<FotEntry> = bytes
                .rchunks(ENTRY_SIZE as usize)
                .filter_map(|entry| FotEntry::read_from_bytes(entry).ok())
                .take_while(|entry| entry.a != 0)
                .collect();
            if !entries.is_empty() {
                visit(first, &entries)?;
            }
            if entries.len() < count as usize {
                break;
            }
            first = last + 1;
        }
        Ok(())
    }

    /// How many entries the FOT has, dead ones included.
    pub fn fot_len(&self) -> Result<u32> {
        let mut len = 0;
        self.each_fot_page(&mut |first, entries| {
            len = first - 1 + entries.len() as u32;
            Ok(())
        })?;
        Ok(len)
    }

    /// Visits the data that are not zeros, in runs of whole pages (the last may
    /// be cut by the size), each with the byte it begins at. `step` is told the
    /// bytes that are done.
    pub fn each_run(
        &self,
        visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
        step: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let size = self.meta.size;
        let mut buffer = vec![0; CHUNK.min(size as usize)];
        let mut at = 0;
        while at < size {
            at = self.next_data(at);
            let n = (size - at).min(CHUNK as u64) as usize;
            let Some(chunk) = buffer.get_mut(..n).filter(|chunk| !chunk.is_empty()) else { break };
            self.pool.read(self.meta.id, DATA_START + at, chunk)?;
            each_run_in(chunk, &mut |within, run| visit(at + within, run))?;
            at += n as u64;
            step(at);
        }
        step(size);
        Ok(())
    }

    /// The first byte from `at` on that may not be a hole: the beginning of a
    /// page, or the size.
    pub fn next_data(&self, at: u64) -> u64 {
        let Some(file) = &self.file else { return at };
        match lseek(file, at as i64, Whence::SeekData) {
            Ok(next) => ((next as u64) / PAGE * PAGE).clamp(at, self.meta.size),
            Err(Errno::ENXIO) => self.meta.size,
            Err(_) => at,
        }
    }
}

/// Visits the runs of pages in `chunk` that are not all zeros.
fn each_run_in(chunk: &[u8], visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let mut start = None;
    let mut at = 0;
    for page in chunk.chunks(PAGE as usize) {
        match (page.iter().all(|&byte| byte == 0), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                visit(from as u64, chunk.get(from..at).unwrap_or_default())?;
                start = None;
            }
            _ => {}
        }
        at += page.len();
    }
    match start {
        Some(from) => visit(from as u64, chunk.get(from..at).unwrap_or_default()),
        None => Ok(()),
    }
}
