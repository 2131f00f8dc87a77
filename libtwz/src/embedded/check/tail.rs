// SPDX-License-Identifier: MIT OR Apache-2.0
//! The FOT in a tail file: every live entry, what it leads to, and where the
//! table ends.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use twz_abi::{
    DATA_START, FotEntry, Meta, PAGE,
    fot::{self, ENTRY_SIZE, FotTarget, FotWord, kind, sidecar_page},
    meta::Bounds,
};
use zerocopy::FromBytes as _;

use super::{Walk, objects::Files};
use crate::{check::Severity, graph::follow};

impl Walk<'_> {
    /// Checks the FOT of an object whose meta record is in order.
    pub(super) fn table(&mut self, files: &Files, meta: &Meta) {
        let table = match read_table(&files.tail, Bounds::unpack(meta.bounds).fot_pages) {
            Ok(table) => table,
            Err(error) => return self.unreadable(&files.tail_path, &error),
        };
        let end = table.iter().position(|entry| entry.a == 0).unwrap_or(table.len());
        let (table, rest) = table.split_at(end);
        let mut lost = 0;
        for (index, entry) in (1..).zip(table) {
            if let Err(why) = self.entry(files, table, index, entry) {
                self.bad_entry(files, index, &why);
            }
            if let Ok(FotTarget::Id(id)) = entry.target()
                && FotWord::unpack(entry.word).kind == kind::ID
                && !self.ids.contains(&id)
            {
                lost += 1;
            }
        }
        let beyond = |entry: &FotEntry| entry.b != 0 || entry.word != 0 || entry.check != 0;
        for (index, entry) in (end as u32 + 1..).zip(rest) {
            if entry.a != 0 || beyond(entry) {
                self.bad_entry(files, index, "it lies beyond the end of the table");
            }
        }
        if lost != 0 {
            let what = format!("references to objects that are not here: {lost}");
            let advice = "'twz graph --dangling' lists them";
            self.advise(Severity::Info, &files.tail_path, &what, advice);
        }
    }

    fn entry(
        &self,
        files: &Files,
        table: &[FotEntry],
        index: u32,
        entry: &FotEntry,
    ) -> Result<(), String> {
        // Being inserted, or never finished: nobody reads it.
        if entry.word == 0 {
            return Ok(());
        }
        entry.target().map_err(|error| error.to_string())?;
        let word = FotWord::unpack(entry.word);
        if word.kind == kind::ALIAS {
            let good = FotEntry::alias(word.index, twz_abi::Rights(word.rights as u32), word.flags);
            if good != *entry {
                return Err("an alias says two things".into());
            }
            let primary = table.get(word.index as usize - 1).map(|p| FotWord::unpack(p.word).kind);
            if primary == Some(kind::ALIAS) {
                return Err("an alias of an alias".into());
            }
        }
        match follow(table, index)? {
            FotTarget::Name { text, .. } => check_name(files, text),
            _ => Ok(()),
        }
    }

    fn bad_entry(&mut self, files: &Files, index: u32, why: &str) {
        let what = format!("FOT entry {index}: {why}");
        let advice = "import the object again from an export or another pool";
        self.advise(Severity::Error, &files.tail_path, &what, advice);
    }
}

/// The text of a late-bound name must lie in the data.
fn check_name(files: &Files, text: u64) -> Result<(), String> {
    const OUTSIDE: &str = "its name is not in the data";
    let at = text.checked_sub(DATA_START).ok_or(OUTSIDE)?;
    let mut len = [0; 2];
    files.data.read_exact_at(&mut len, at).map_err(|_| OUTSIDE)?;
    let mut name = vec![0; u16::from_le_bytes(len) as usize];
    files.data.read_exact_at(&mut name, at + 2).map_err(|_| OUTSIDE)?;
    match name.is_empty() || std::str::from_utf8(&name).is_err() {
        true => Err("its name is no text".into()),
        false => Ok(()),
    }
}

/// All entries that a table has room for, from the first on, without the zeros
/// at the end.
fn read_table(tail: &File, fot_pages: u32) -> io::Result<Vec<FotEntry>> {
    let len = tail.metadata()?.len();
    let mut table: Vec<FotEntry> = Vec::new();
    let mut page = [0; PAGE as usize];
    for k in 0..=fot_pages {
        let at = sidecar_page(k) as u64 * PAGE;
        page.fill(0);
        if at < len {
            let have = (len - at).min(PAGE) as usize;
            tail.read_exact_at(page.get_mut(..have).unwrap_or_default(), at)?;
        }
        let entries = if k == 0 { fot::TAIL_ENTRIES } else { fot::PAGE_ENTRIES };
        let bytes = page.get(..entries as usize * ENTRY_SIZE as usize).unwrap_or_default();
        // They lie in the slot from the last to the first.
        let entries = bytes.rchunks(ENTRY_SIZE as usize);
        table.extend(entries.filter_map(|entry| FotEntry::read_from_bytes(entry).ok()));
    }
    let used = table.iter().rposition(|entry| *entry != FotEntry::default());
    table.truncate(used.map_or(0, |last| last + 1));
    Ok(table)
}
