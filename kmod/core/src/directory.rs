// SPDX-License-Identifier: GPL-2.0 OR MIT
//! One directory: a set of names in the levels of pages of an object.
//!
//! Level `l` is slot pages `2^l` to `2^(l+1) - 1`; a name's hash picks one page
//! of each. The directory's size covers every level that has a page, so a
//! lookup knows where to stop. Paths are the business of `names`.

use twz_abi::{
    meta,
    name::{self, NameEntry, MAX_LEVELS, PAGE_ENTRIES, PAGE_MAGIC},
    ObjectId, ObjectRecord, PAGE,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Resource, Result, StoreError},
    map::Translation,
    media::Media,
    store::{RecordNo, Store},
};

/// Bytes of a page of names before its entries.
const HEADER: u64 = 64;

/// Bytes of an entry.
const ENTRY: u64 = core::mem::size_of::<NameEntry>() as u64;

/// An entry and where on the medium it is.
pub(crate) struct Named {
    pub(crate) at: u64,
    pub(crate) entry: NameEntry,
}

/// Where a new name can go.
enum Free {
    /// This free entry.
    Entry(u64),
    /// This slot page, which is a hole.
    Page(u64),
}

impl<M: Media> Store<M> {
    /// The directory with this id.
    pub(crate) fn directory(&self, id: ObjectId) -> Result<RecordNo> {
        let r = self.find(id)?;
        match self.live(r)?.kind {
            meta::kind::NAMES => Ok(r),
            _ => Err(StoreError::NotADirectory),
        }
    }

    /// The entry with this name.
    pub(crate) fn find_name(&self, dir: RecordNo, name: &[u8]) -> Result<Option<Named>> {
        let record = self.live(dir)?;
        let hash = name::hash(name);
        for level in 0..levels(&record) {
            let Some(page) = self.names_page(&record, name::page_of(level, hash))? else {
                continue;
            };
            for i in 0..PAGE_ENTRIES as u64 {
                let at = page + HEADER + i * ENTRY;
                let word = self.word_on_media(at)?;
                // The hash in the low half, then the length: one load rules out most.
                if word as u32 != hash || (word >> 32) as u16 as usize != name.len() {
                    continue;
                }
                if let Some(entry) = self.entry_at(at)? {
                    if entry.bytes() == name {
                        return Ok(Some(Named { at, entry }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The entries from `cursor` on, one at a time; `cursor` begins at 0.
    pub(crate) fn next_name(&self, dir: RecordNo, cursor: &mut u64) -> Result<Option<Named>> {
        let record = self.live(dir)?;
        let (pages, entries) = (1 << levels(&record), PAGE_ENTRIES as u64);
        while 1 + *cursor / entries < pages {
            let (page, index) = (1 + *cursor / entries, *cursor % entries);
            // Should the page be damaged, the caller can go on behind it.
            *cursor = page * entries;
            let Some(start) = self.names_page(&record, page)? else { continue };
            *cursor = (page - 1) * entries + index + 1;
            let at = start + HEADER + index * ENTRY;
            if let Some(entry) = self.entry_at(at)? {
                return Ok(Some(Named { at, entry }));
            }
        }
        Ok(None)
    }

    /// Puts an entry into a directory that has none of its name, in the open
    /// change, which must not have touched the directory's entries before.
    pub(crate) fn insert_name(&mut self, dir: RecordNo, entry: &NameEntry) -> Result<()> {
        match self.free_place(dir, entry.hash)? {
            Free::Entry(at) => self.set_bytes(at, entry.as_bytes()),
            Free::Page(page) => {
                let (pool_page, _) = self.own_page(dir, page, false)?;
                let at = pool_page * PAGE;
                self.write_fresh(at, &PAGE_MAGIC.to_le_bytes())?;
                self.write_fresh(at + HEADER, entry.as_bytes())?;
                let mut record = self.record(dir)?;
                let level = 63 - page.leading_zeros();
                record.size = record.size.max(((2u64 << level) - 1) * PAGE);
                self.put_record(dir, &record)
            }
        }
    }

    /// Frees an entry, in the open change.
    pub(crate) fn remove_name(&mut self, at: u64) -> Result<()> {
        self.set_bytes(at, &[0; ENTRY as usize])
    }

    /// Puts another entry of the same name in its place, in the open change.
    pub(crate) fn replace_name(&mut self, at: u64, entry: &NameEntry) -> Result<()> {
        self.set_bytes(at, entry.as_bytes())
    }

    /// The entry at `at`, checked; `None` if it is free.
    fn entry_at(&self, at: u64) -> Result<Option<NameEntry>> {
        let mut entry = NameEntry::new_zeroed();
        self.media.read(at, entry.as_mut_bytes())?;
        Ok(entry.check().map_err(StoreError::damaged(at))?.then_some(entry))
    }

    /// Where on the medium a page of names is, if it is there.
    fn names_page(&self, record: &ObjectRecord, page: u64) -> Result<Option<u64>> {
        let Translation::Page { pool_page, .. } = self.translate_in(record, page)? else {
            return Ok(None);
        };
        let at = pool_page * PAGE;
        match self.word_on_media(at)? {
            PAGE_MAGIC => Ok(Some(at)),
            found => Err(StoreError::Damaged {
                at,
                why: twz_abi::FormatError::Magic { what: "page of names", found },
            }),
        }
    }

    fn free_place(&self, dir: RecordNo, hash: u32) -> Result<Free> {
        let record = self.live(dir)?;
        for level in 0..MAX_LEVELS {
            let page = name::page_of(level, hash);
            let Some(start) = self.names_page(&record, page)? else {
                return Ok(Free::Page(page));
            };
            for i in 0..PAGE_ENTRIES as u64 {
                let at = start + HEADER + i * ENTRY;
                // A live entry has a length; check it whole before it is taken.
                if self.word_on_media(at)? == 0 && self.entry_at(at)?.is_none() {
                    return Ok(Free::Entry(at));
                }
            }
        }
        Err(StoreError::Full { what: Resource::Names })
    }
}

/// How many levels a directory's size covers.
pub(crate) fn levels(record: &ObjectRecord) -> u32 {
    let pages = record.size / PAGE;
    (63 - (pages + 1).leading_zeros()).min(MAX_LEVELS)
}
