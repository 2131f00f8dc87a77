// SPDX-License-Identifier: GPL-2.0 OR MIT
//! One directory: a set of names in the levels of pages of an object.
//!
//! Level `l` is slot pages `2^l` to `2^(l+1) - 1`; a name's hash picks one page
//! of each. The directory's size covers every level that has a page, so a
//! lookup knows where to stop. A page begins with a line of tags, so a lookup
//! reads that, and of the entries most often only the one it is after. Paths
//! are the business of `names`.

use twz_abi::{
    meta,
    name::{self, NameEntry, NamePage, MAX_LEVELS, PAGE_ENTRIES, PAGE_MAGIC},
    record::DIRECT,
    ObjectId, ObjectRecord, PAGE,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Resource, Result, StoreError},
    ident::Identity,
    media::Media,
    store::{RecordNo, Store},
};

/// Bytes of a page of names before its entries.
const HEADER: u64 = 64;

/// Where in a page its tags begin.
const TAGS: u64 = core::mem::offset_of!(NamePage, tags) as u64;

/// Bytes of an entry.
const ENTRY: u64 = core::mem::size_of::<NameEntry>() as u64;

/// Levels whose pages a record maps itself: slot pages 1 to 8 hold three.
const NEAR: u32 = DIRECT.ilog2();

/// An entry and where on the medium it is.
pub(crate) struct Named {
    pub(crate) at: u64,
    pub(crate) entry: NameEntry,
}

/// A page of names: where on the medium it is, and its tags.
pub(crate) struct Page {
    at: u64,
    pub(crate) tags: [u32; PAGE_ENTRIES],
}

impl Page {
    /// Where entry `i` is.
    pub(crate) fn entry(&self, i: u64) -> u64 {
        self.at + HEADER + i * ENTRY
    }
}

/// Where the tag of the entry at `at` is.
pub(crate) fn tag_of(at: u64) -> u64 {
    let within = (at % PAGE).saturating_sub(HEADER);
    at / PAGE * PAGE + TAGS + within / ENTRY * 4
}

/// Where a new name can go.
enum Free {
    /// This free entry.
    Entry(u64),
    /// This slot page, which is a hole.
    Page(u64),
}

impl<M: Media> Store<M> {
    /// The directory with this id. That the id was earned is checked once, not
    /// on each path that leads through it.
    pub(crate) fn directory(&self, id: ObjectId) -> Result<(RecordNo, ObjectRecord)> {
        let (r, record) = self.find_unverified(id)?;
        if record.kind != meta::kind::NAMES {
            return Err(StoreError::NotADirectory);
        }
        if !self.verified.has(r) {
            Identity::from(&record).verify(id)?;
            self.verified.add(r);
        }
        Ok((r, record))
    }

    /// The entry with this name in the directory of this record.
    pub(crate) fn find_name(&self, dir: &ObjectRecord, name: &[u8]) -> Result<Option<Named>> {
        let (hash, levels) = (name::hash(name), levels(dir));
        // The last full level has half of all names, the one before a quarter;
        // but pages that the record maps itself come first, one read each.
        let near = levels.min(NEAR);
        for level in (0..near).rev().chain((near..levels).rev()) {
            let Some(page) = self.names_page(dir, name::page_of(level, hash))? else {
                continue;
            };
            for (i, _) in (0..).zip(page.tags).filter(|&(_, tag)| tag == name::tag(hash)) {
                let at = page.entry(i);
                if let Some(entry) = self.entry_at(at)? {
                    // A tag is a hint; this is what counts.
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
            // Whatever its tag: a wrong one hides no name from who lists them.
            let at = start.entry(index);
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
            Free::Entry(at) => {
                self.set_half(tag_of(at), name::tag(entry.hash))?;
                self.set_bytes(at, entry.as_bytes())
            }
            Free::Page(page) => {
                let (pool_page, _) = self.own_page(dir, page, false)?;
                let at = pool_page * PAGE;
                self.write_fresh(at, &PAGE_MAGIC.to_le_bytes())?;
                self.write_fresh(at + TAGS, &name::tag(entry.hash).to_le_bytes())?;
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
        self.set_half(tag_of(at), 0)?;
        self.set_bytes(at, &[0; ENTRY as usize])
    }

    /// Puts another entry of the same name, which has the same tag, in its
    /// place, in the open change.
    pub(crate) fn replace_name(&mut self, at: u64, entry: &NameEntry) -> Result<()> {
        self.set_bytes(at, entry.as_bytes())
    }

    /// The entry at `at`, checked; `None` if it is free.
    pub(crate) fn entry_at(&self, at: u64) -> Result<Option<NameEntry>> {
        let mut entry = NameEntry::new_zeroed();
        self.media.read(at, entry.as_mut_bytes())?;
        Ok(entry.check().map_err(StoreError::damaged(at))?.then_some(entry))
    }

    /// A page of names, if it is there.
    pub(crate) fn names_page(&self, record: &ObjectRecord, page: u64) -> Result<Option<Page>> {
        let Some(pool_page) = self.page_in(record, page)? else { return Ok(None) };
        let (at, mut header) = (pool_page * PAGE, [0u32; HEADER as usize / 4]);
        self.media.read(at, header.as_mut_bytes())?;
        let [low, high, tags @ ..] = header;
        match low as u64 | (high as u64) << 32 {
            PAGE_MAGIC => Ok(Some(Page { at, tags })),
            found => Err(StoreError::Damaged {
                at,
                why: twz_abi::FormatError::Magic { what: "page of names", found },
            }),
        }
    }

    fn free_place(&self, dir: RecordNo, hash: u32) -> Result<Free> {
        let record = self.live(dir)?;
        for level in 0..MAX_LEVELS {
            let number = name::page_of(level, hash);
            let Some(page) = self.names_page(&record, number)? else {
                return Ok(Free::Page(number));
            };
            for (i, _) in (0..).zip(page.tags).filter(|&(_, tag)| tag == 0) {
                // Its tag may be wrong: only what is free is taken.
                if self.entry_at(page.entry(i))?.is_none() {
                    return Ok(Free::Entry(page.entry(i)));
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
