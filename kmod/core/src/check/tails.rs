// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Checking tail pages: the meta record against the object record, and every
//! live entry of the FOT.

use twz_abi::{
    fot::{entries_in, entry_offset, FotTarget},
    meta::{Bounds, SEALED_SECTION},
    pointer::MAX_FOT_INDEX,
    FormatError, FotEntry, Meta, ObjectRecord, META_START, PAGE, TAIL_START,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{scratch::flags, Checker, Problem};
use crate::{
    error::{Result, StoreError},
    media::Media,
    store::RecordNo,
    tail::{meta_of, pages_for},
};

/// Steps an alias or a forward may take.
const STEPS: u32 = 32;

impl<M: Media> Checker<'_, M> {
    /// The tail page of each live object that has one.
    pub(super) fn tails(&mut self) -> Result<()> {
        for n in 0..self.used() {
            if !self.scratch.has(n, flags::LIVE) {
                continue;
            }
            let r = RecordNo(n as u32);
            match self.store.record(r).and_then(|record| {
                let tail = self.store.tail_of(&record)?;
                Ok(tail.map(|tail| (record, tail)))
            }) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                Ok(Some((record, tail))) => {
                    self.meta_record(&record, tail)?;
                    self.fot(r, &record)?;
                }
                Ok(None) | Err(_) => {} // What is wrong with the word was told.
            }
        }
        Ok(())
    }

    fn meta_record(&mut self, record: &ObjectRecord, tail: u64) -> Result<()> {
        let at = tail * PAGE + META_START - TAIL_START;
        let (mut meta, good) = (Meta::new_zeroed(), meta_of(record));
        self.store.media.read(at, meta.as_mut_bytes())?;
        let sealed = |m: &Meta| {
            let mut bytes = [0; SEALED_SECTION];
            for (to, from) in bytes.iter_mut().zip(m.as_bytes()) {
                *to = *from;
            }
            bytes
        };
        let bounds = Bounds::unpack(meta.bounds);
        let what = if sealed(&meta) != sealed(&good) {
            "it is another object's, or damaged"
        } else if meta.check().is_err() {
            "a size, bounds, heap or log that cannot be"
        } else if meta.size != record.size {
            "its size is not the object's"
        } else if (bounds.data_pages as u64) < pages_for(record.size) {
            "its bounds do not cover the data"
        } else {
            return Ok(());
        };
        self.tell(Problem::Meta { id: record.id, what });
        let mut mended = good;
        (mended.bounds, mended.heap) = (meta.bounds, meta.heap);
        mended.generation = meta.generation;
        // Without these a transaction that was cut off is never rolled back.
        (mended.lock, mended.log, mended.log_place) = (meta.lock, meta.log, meta.log_place);
        let fot_pages = self.store.fot_pages(record)? as u32;
        mended.bounds = Bounds { fot_pages, ..Bounds::unpack(good.bounds) }.pack();
        if mended.check_log().is_err() {
            // It takes part in no log then, and what one has for it is passed over.
            mended.log_place = 0;
        }
        if mended.check().is_err() {
            mended.heap = 0;
        }
        self.put(at, mended.as_bytes())
    }

    fn fot(&mut self, r: RecordNo, record: &ObjectRecord) -> Result<()> {
        let last = entries_in(self.store.fot_pages(record)? as u32).min(MAX_FOT_INDEX);
        for index in 1..=last {
            let entry = match self.entry(r, index) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                Err(_) => continue, // The page below it was told.
                Ok(entry) => entry,
            };
            if entry.a == 0 && entry.word == 0 {
                break;
            }
            if !entry.is_live() && entry.word == 0 {
                continue;
            }
            if let Err(why) = self.follow(r, index, last) {
                self.tell(Problem::Fot { id: record.id, index, why });
            }
        }
        Ok(())
    }

    /// Follows an entry to something that is not an entry.
    fn follow(&self, r: RecordNo, index: u32, last: u32) -> Result<(), FormatError> {
        let bad = |index: u32| FormatError::Range { what: "FOT entry index", found: index as u64 };
        let mut at = index;
        for _ in 0..STEPS {
            let entry = self.entry(r, at).map_err(|_| bad(at))?;
            match entry.target()? {
                FotTarget::Entry(next) if next > last => return Err(bad(next)),
                FotTarget::Entry(next) => at = next,
                FotTarget::Id(_) | FotTarget::Name { .. } => return Ok(()),
            }
        }
        Err(bad(at))
    }

    fn entry(&self, r: RecordNo, index: u32) -> Result<FotEntry> {
        let mut entry = FotEntry::default();
        self.store.read(r, entry_offset(index), entry.as_mut_bytes())?;
        Ok(entry)
    }
}
