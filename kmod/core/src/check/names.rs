// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Checking names: every entry of every directory, that it has its tag, is where
//! a lookup finds it and bound to something, how many names each object has, and that
//! every directory is below the root.

use twz_abi::{name, FormatError, ObjectRecord, PAGE};

use super::{
    scratch::{flags, Of},
    Checker, Problem,
};
use crate::{
    directory::{levels, tag_of, Named},
    error::{Result, StoreError},
    media::Media,
    store::RecordNo,
};

/// Bytes of an entry.
const ENTRY: usize = core::mem::size_of::<name::NameEntry>();

/// A free one.
const FREE: [u8; ENTRY] = [0; ENTRY];

impl<M: Media> Checker<'_, M> {
    /// All names.
    pub(super) fn names(&mut self) -> Result<()> {
        let id = self.store.geo.root_names;
        let root = match self.store.directory(id) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Err(_) => {
                self.tell(Problem::NoRoot { id });
                None
            }
            Ok((root, _)) => {
                self.scratch.set_record(root.0 as u64, Of::Names, 1);
                self.scratch.mark(root.0 as u64, flags::REACHED);
                Some(root)
            }
        };
        for n in 0..self.used() {
            if self.scratch.has(n, flags::DIRECTORY) {
                self.directory(n)?;
            }
        }
        for n in 0..self.used() {
            if self.scratch.has(n, flags::LIVE) {
                self.name_count(n)?;
            }
            if self.scratch.has(n, flags::DIRECTORY) && root.is_some() {
                self.reach(n)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, n: u64) -> Result<()> {
        let dir = RecordNo(n as u32);
        let Ok(record) = self.store.live(dir) else { return Ok(()) };
        self.tags(&record)?;
        let mut cursor = 0;
        loop {
            let before = cursor;
            match self.store.next_name(dir, &mut cursor) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                Err(why) => {
                    self.tell(Problem::Name { dir: record.id, why });
                    if let StoreError::Damaged { at, why } = why {
                        self.cut(at, why)?;
                    }
                    if cursor == before {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Ok(Some(named)) => {
                    if let Err(problem) = self.binding(n, &named)? {
                        self.tell(problem);
                        self.free(named.at)?;
                    }
                }
            }
        }
    }

    /// Compares the tags of a directory's pages with its entries. It comes before
    /// all else: a repair must not take a name for lost that a tag hides.
    fn tags(&mut self, record: &ObjectRecord) -> Result<()> {
        for number in 1..1 << levels(record) {
            let page = match self.store.names_page(record, number) {
                Err(StoreError::Media(why)) => return Err(why.into()),
                Ok(Some(page)) => page,
                // What is damaged is told with its entries.
                _ => continue,
            };
            for (i, found) in (0..).zip(page.tags) {
                let at = page.entry(i);
                let right = match self.store.entry_at(at) {
                    Err(StoreError::Media(why)) => return Err(why.into()),
                    Ok(Some(entry)) => name::tag(entry.hash),
                    Ok(None) => 0,
                    Err(_) => continue,
                };
                if found != right {
                    self.tell(Problem::Tag { dir: record.id, at });
                    self.put(tag_of(at), &right.to_le_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Frees an entry and its tag.
    fn free(&mut self, at: u64) -> Result<()> {
        self.put(at, &FREE)?;
        self.put(tag_of(at), &[0; 4])
    }

    /// Empties an entry, or a page of names, that fails its check.
    fn cut(&mut self, at: u64, why: FormatError) -> Result<()> {
        match why {
            FormatError::Magic { what: "page of names", .. } => {
                for part in (at..at + PAGE).step_by(ENTRY) {
                    let rest = (at + PAGE - part).min(ENTRY as u64) as usize;
                    self.put(part, FREE.get(..rest).unwrap_or(&[]))?;
                }
                self.put(at, &name::PAGE_MAGIC.to_le_bytes())
            }
            FormatError::Checksum { what: "name entry", .. }
            | FormatError::Reserved { what: "name entry" | "free name entry" }
            | FormatError::Range { what: "name entry kind" | "name length", .. }
            | FormatError::Range { what: "name hash" | "name entry id", .. }
            | FormatError::Name { .. } => self.free(at),
            // The map above the page, which has its own turn.
            _ => Ok(()),
        }
    }

    /// What an entry is bound to.
    fn binding(&mut self, n: u64, named: &Named) -> Result<Result<(), Problem>> {
        let (entry, id) = (&named.entry, named.entry.id);
        let record = self.store.live(RecordNo(n as u32))?;
        let dir = record.id;
        let lost = |what| Problem::Name { dir, why: StoreError::Corrupt { what, at: named.at } };
        match self.store.find_name(&record, entry.bytes()) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Ok(Some(found)) if found.at == named.at => {}
            // That was told already, and a repair has put it right.
            Ok(None) if self.store.half(tag_of(named.at))? != name::tag(entry.hash) => {}
            _ => return Ok(Err(lost("a name is there twice, or where no lookup finds it"))),
        }
        let target = match self.store.search_chain(id) {
            Err(StoreError::Media(why)) => return Err(why.into()),
            Ok(Some((r, _))) => r.0 as u64,
            _ => return Ok(Err(Problem::Dangling { dir, id })),
        };
        let is_dir = self.scratch.has(target, flags::DIRECTORY);
        if is_dir != (entry.kind == name::kind::DIRECTORY) || !self.scratch.has(target, flags::LIVE)
        {
            return Ok(Err(Problem::Dangling { dir, id }));
        }
        if is_dir {
            if self.names_of(target) != 0 {
                return Ok(Err(lost("a directory has two names")));
            }
            self.scratch.set_record(target, Of::Parent, n as u32 + 1);
        }
        let names = self.names_of(target).saturating_add(1);
        self.scratch.set_record(target, Of::Names, names);
        Ok(Ok(()))
    }

    fn name_count(&mut self, n: u64) -> Result<()> {
        let Ok(mut record) = self.store.live(RecordNo(n as u32)) else { return Ok(()) };
        let (stored, counted) = (record.names, self.names_of(n));
        if stored != counted {
            let (stored, counted) = (stored as u64, counted as u64);
            self.tell(Problem::Count { what: "an object's names", stored, counted });
            record.names = self.names_of(n);
            self.put_record(n, record)?;
        }
        Ok(())
    }

    /// Walks up from a directory to one of which it is known whether it is below
    /// the root; then it is known of all on the way.
    fn reach(&mut self, n: u64) -> Result<()> {
        let mut at = n;
        let known = flags::REACHED | flags::ADRIFT | flags::WALKED;
        while !self.scratch.has(at, known) {
            self.scratch.mark(at, flags::WALKED);
            match self.scratch.record(at, Of::Parent).checked_sub(1) {
                Some(parent) => at = parent as u64,
                None => break,
            }
        }
        let reached = self.scratch.has(at, flags::REACHED);
        at = n;
        while self.scratch.has(at, flags::WALKED) {
            self.scratch.unmark(at, flags::WALKED);
            self.scratch.mark(at, if reached { flags::REACHED } else { flags::ADRIFT });
            match self.scratch.record(at, Of::Parent).checked_sub(1) {
                Some(parent) => at = parent as u64,
                None => break,
            }
        }
        if !reached {
            let dir = self.store.live(RecordNo(n as u32))?.id;
            self.tell(Problem::Unreachable { dir });
        }
        Ok(())
    }
}
