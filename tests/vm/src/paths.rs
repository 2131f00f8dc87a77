// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands about names.

use twz_abi::{ObjectId, ioctl as abi};
use zerocopy::FromZeros as _;

use crate::{errno::Result, sys::Session};

/// A path as a command wants it: address and length.
fn path(text: &[u8]) -> (u64, u32) {
    (text.as_ptr() as u64, text.len() as u32)
}

impl Session {
    /// What a path is bound to: kind and id.
    pub fn lookup(&self, name: &[u8]) -> Result<(u32, ObjectId)> {
        let (path, len) = path(name);
        let mut lookup = abi::Lookup { path, len, ..Default::default() };
        self.call(abi::LOOKUP, &mut lookup)?;
        Ok((lookup.kind, lookup.id))
    }

    /// Binds a path.
    pub fn bind(&self, name: &[u8], id: ObjectId, replace: bool) -> Result {
        let (path, len) = path(name);
        self.call(abi::BIND, &mut abi::Bind { path, len, replace: replace as u32, id })
    }

    fn path_only(&self, number: u32, name: &[u8]) -> Result {
        let (path, len) = path(name);
        self.call(number, &mut abi::PathOnly { path, len, reserved: 0 })
    }

    /// Takes a name away.
    pub fn unbind(&self, name: &[u8]) -> Result {
        self.path_only(abi::UNBIND, name)
    }

    /// Makes a directory.
    pub fn mkdir(&self, name: &[u8]) -> Result {
        self.path_only(abi::MKDIR, name)
    }

    /// Removes a directory.
    pub fn rmdir(&self, name: &[u8]) -> Result {
        self.path_only(abi::RMDIR, name)
    }

    /// Renames.
    pub fn rename(&self, old: &[u8], new: &[u8]) -> Result {
        let ((from, from_len), (to, to_len)) = (path(old), path(new));
        self.call(abi::RENAME, &mut abi::Rename { from, to, from_len, to_len })
    }

    /// Some names from `cursor` on.
    pub fn read_dir_some(
        &self,
        name: &[u8],
        cursor: &mut u64,
        room: usize,
    ) -> Result<Vec<abi::DirEntry>> {
        let mut entries = vec![abi::DirEntry::new_zeroed(); room];
        let (path, len) = path(name);
        let mut read = abi::ReadDir {
            path,
            entries: entries.as_mut_ptr() as u64,
            cursor: *cursor,
            len,
            count: room as u32,
        };
        self.call(abi::READ_DIR, &mut read)?;
        *cursor = read.cursor;
        entries.truncate(read.count as usize);
        Ok(entries)
    }

    /// Every name of a directory, `room` at a time.
    pub fn read_dir(&self, name: &[u8], room: usize) -> Result<Vec<(Vec<u8>, u32, ObjectId)>> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let some = self.read_dir_some(name, &mut cursor, room)?;
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some.iter().map(|entry| {
                let len = entry.len as usize;
                assert!(len <= 255, "a name of {len} bytes");
                assert!(entry.name[len..].iter().all(|&b| b == 0), "the name is padded with zeros");
                (entry.name[..len].to_vec(), entry.kind, entry.id)
            }));
        }
    }

    /// Removes a directory and all that is in it.
    pub fn remove_tree(&self, name: &[u8]) -> Result {
        for (entry, kind, _) in self.read_dir(name, 16)? {
            let below = [name, b"/", &entry].concat();
            match kind {
                2 => self.remove_tree(&below)?,
                _ => self.unbind(&below)?,
            }
        }
        self.rmdir(name)
    }
}
