// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The tail page: the meta record and the first entries of the FOT.
//!
//! Until something is written to it, it is a hole that stands for a meta
//! record made from the object record. Once it is there, programs map it and
//! write to it. So the journal never does: a replay would take their stores
//! back. Its size and bounds are brought in line by single atomic words, and
//! by recovery where a power cut came between.

use core::mem::offset_of;

use twz_abi::{
    meta::{epoch_word, heap_offset, Bounds, META_MAGIC},
    record::MapWord,
    Meta, ObjectRecord, FORMAT_VERSION, META_START, PAGE, SLOT_PAGES, TAIL_START,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Result, StoreError},
    journal::CHUNK,
    map::TAIL_PAGE,
    media::{Media, ZEROS},
    store::{RecordNo, Store},
};

/// Where the meta record is in the tail page.
const META_AT: u64 = META_START - TAIL_START;

/// Where the words are in the meta record that are the programs' own.
const OWN_AT: u64 = offset_of!(Meta, bounds) as u64;

/// Pages that `size` bytes of data take.
pub(crate) const fn pages_for(size: u64) -> u64 {
    size.div_ceil(PAGE)
}

/// The meta record of an object whose tail page is a hole.
pub fn meta_of(record: &ObjectRecord) -> Meta {
    let mut meta = Meta {
        magic: META_MAGIC,
        version: FORMAT_VERSION,
        flags: record.flags,
        default_rights: record.default_rights,
        kind: record.kind,
        id: record.id,
        nonce: record.nonce,
        owner: record.owner,
        content: record.content,
        fingerprint: record.fingerprint,
        size: record.size,
        bounds: Bounds { data_pages: pages_for(record.size) as u32, fot_pages: 0 }.pack(),
        epoch: epoch_word(record.epoch),
        ..Meta::new_zeroed()
    };
    meta.checksum = meta.compute_checksum();
    meta
}

impl<M: Media> Store<M> {
    /// The object's meta record. What programs may have written there is
    /// returned as it is.
    pub fn meta(&self, r: RecordNo) -> Result<Meta> {
        let record = self.held(r)?;
        let Some(tail) = self.tail_of(&record)? else { return Ok(meta_of(&record)) };
        let mut meta = Meta::new_zeroed();
        self.media.read(tail * PAGE + META_AT, meta.as_mut_bytes())?;
        Ok(meta)
    }

    /// Sets the words of the meta record that are the programs' own: how many
    /// FOT pages there are below the tail page (never fewer than before), where
    /// the heap is, and the generation. For who brings an object in; programs use the mapping.
    pub fn set_meta(&mut self, r: RecordNo, fot_pages: u32, heap: u64, gen: u64) -> Result<()> {
        let record = self.mutable(r)?;
        let bounds = Bounds { data_pages: pages_for(record.size) as u32, fot_pages }.pack();
        self.set_own(r, &record, [Some(bounds), Some(heap), Some(gen)])
    }

    /// Writes bytes of the meta record from slot offset `at` on, as bytes of the
    /// words that are the programs' own. Words that none are of stay as they are.
    /// How many pages of data there are is not for anybody to write, and stays.
    pub(crate) fn write_meta(
        &mut self,
        r: RecordNo,
        record: &ObjectRecord,
        at: u64,
        from: &[u8],
    ) -> Result<()> {
        let refused = StoreError::Range { at, len: from.len() as u64 };
        let start = at.checked_sub(META_START + OWN_AT).ok_or(refused)?;
        let old = self.meta(r)?;
        let mut own = [old.bounds, old.heap, old.generation];
        let range = start as usize..(start as usize).saturating_add(from.len());
        own.as_mut_bytes().get_mut(range.clone()).ok_or(refused)?.copy_from_slice(from);
        let [bounds, heap, generation] = own;
        let fot_pages = Bounds::unpack(bounds).fot_pages;
        let bounds = Bounds { data_pages: pages_for(record.size) as u32, fot_pages }.pack();
        let written = |i: usize| range.start < 8 * i + 8 && 8 * i < range.end;
        let own = [(0, bounds), (1, heap), (2, generation)];
        self.set_own(r, record, own.map(|(i, word)| Some(word).filter(|_| written(i))))
    }

    /// Sets bounds, heap and generation, each if it is given.
    fn set_own(&mut self, r: RecordNo, record: &ObjectRecord, own: [Option<u64>; 3]) -> Result<()> {
        self.writable()?;
        let [bounds, heap, _] = own;
        if let Some(at) = heap.filter(|&heap| heap_offset(heap).is_err()) {
            return Err(StoreError::Range { at, len: 64 });
        }
        if let Some(bounds) = bounds.map(Bounds::unpack) {
            if !bounds.fits() || (bounds.fot_pages as u64) < self.fot_pages(record)? {
                let len = bounds.fot_pages as u64 * PAGE;
                return Err(StoreError::Range { at: TAIL_START, len });
            }
        }
        let (tail, _) = self.transact(|s| s.own_page(r, TAIL_PAGE, false))?;
        let at = tail * PAGE + META_AT + OWN_AT;
        for (word, at) in own.into_iter().zip((at..).step_by(8)) {
            if let Some(word) = word {
                self.put_atomic(at, |_| word)?;
            }
        }
        self.sync()
    }

    /// The tail page.
    pub(crate) fn tail_of(&self, record: &ObjectRecord) -> Result<Option<u64>> {
        self.data_word(record.tail, TAIL_PAGE)
    }

    /// How many FOT pages the object has below its tail page. Programs write
    /// this word: one that cannot be counts as none.
    pub(crate) fn fot_pages(&self, record: &ObjectRecord) -> Result<u64> {
        let Some(tail) = self.tail_of(record)? else { return Ok(0) };
        let at = tail * PAGE + META_AT + offset_of!(Meta, bounds) as u64;
        let bounds = Bounds::unpack(self.word_on_media(at)?);
        let room = SLOT_PAGES - 2 - pages_for(record.size).min(SLOT_PAGES - 2);
        let fot = bounds.fot_pages as u64;
        Ok(if fot <= room { fot } else { 0 })
    }

    /// Fills `page`, just allocated, as the first tail page of an object.
    pub(crate) fn write_new_tail(&mut self, record: &ObjectRecord, page: u64) -> Result<()> {
        let zeros = ZEROS.get(..META_AT as usize).unwrap_or(&ZEROS);
        self.write_fresh(page * PAGE, zeros)?;
        let meta = meta_of(record);
        self.write_fresh(page * PAGE + META_AT, meta.as_bytes())
    }

    /// Makes a tail page for a copy: the FOT and the programs' words of
    /// `source`'s, under the meta record of `record`. In the open change.
    pub(crate) fn copy_tail(&mut self, source: u64, record: &ObjectRecord) -> Result<MapWord> {
        let page = self.alloc_page()?;
        let mut buffer = [0; CHUNK];
        for at in (0..META_AT).step_by(CHUNK) {
            self.media.read(source * PAGE + at, &mut buffer)?;
            self.write_fresh(page * PAGE + at, &buffer)?;
        }
        let mut old = Meta::new_zeroed();
        self.media.read(source * PAGE + META_AT, old.as_mut_bytes())?;
        let mut meta = meta_of(record);
        (meta.bounds, meta.heap, meta.generation) = (old.bounds, old.heap, old.generation);
        self.write_fresh(page * PAGE + META_AT, meta.as_bytes())?;
        Ok(MapWord::new(page, 0, TAIL_PAGE))
    }

    /// Brings the meta record's size in line with the record, and its bounds
    /// down to it; never below what the record needs.
    pub(crate) fn sync_meta(&mut self, record: &ObjectRecord) -> Result<()> {
        let size = record.size;
        self.sync_bounds(record, |_| pages_for(size) as u32)?;
        if let Some(tail) = self.tail_of(record)? {
            let at = tail * PAGE + META_AT + offset_of!(Meta, size) as u64;
            self.put_atomic(at, |_| size)?;
        }
        Ok(())
    }

    /// Changes the data pages of the meta record's bounds.
    pub(crate) fn sync_bounds(
        &mut self,
        record: &ObjectRecord,
        pages: impl Fn(u32) -> u32,
    ) -> Result<()> {
        let Some(tail) = self.tail_of(record)? else { return Ok(()) };
        let at = tail * PAGE + META_AT + offset_of!(Meta, bounds) as u64;
        self.put_atomic(at, |word| {
            let old = Bounds::unpack(word);
            Bounds { data_pages: pages(old.data_pages), ..old }.pack()
        })
    }

    /// Replaces one word that programs write too, as an atomic. One that is right
    /// already is flushed all the same: whoever wrote it, a program or who was
    /// killed in this place, need not have made it durable.
    fn put_atomic(&mut self, at: u64, new: impl Fn(u64) -> u64) -> Result<()> {
        let mut old = self.word_on_media(at)?;
        // Whoever else writes the word can make this go round, not for ever.
        for _ in 0..64 {
            let mut found = old;
            if new(old) != old {
                found = self.media.compare_exchange(at, old, new(old))?;
                self.changes = self.changes.wrapping_add(1);
            }
            // The next transaction takes away the one that recovery would mend
            // this word by, so it must be durable by then.
            self.txn.fresh = true;
            if found == old {
                return Ok(self.media.flush(at, 8)?);
            }
            old = found;
        }
        Err(StoreError::Corrupt { what: "a meta record does not hold still", at })
    }
}

const _: () = assert!(offset_of!(Meta, heap) as u64 == OWN_AT + 8);
const _: () = assert!(offset_of!(Meta, generation) as u64 == OWN_AT + 16);
