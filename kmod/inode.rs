// SPDX-License-Identifier: GPL-2.0
//! Inodes: [`Inode`], one for each object that somebody has a descriptor of, so
//! that all descriptors of an object share its locks, its size and its
//! mappings. Guarded by the space's lock.

use crate::{
    descriptor::ObjectFile,
    error::Result,
    live::Live,
    sys::{InodeFile, InodeMapping},
};
use kernel::prelude::*;
use twz_core::RecordNo;

/// Most objects that can have descriptors at a time.
const MAX_INODES: usize = 1 << 20;

/// An object that has descriptors.
pub(crate) struct Inode {
    pub record: RecordNo,
    /// The file that keeps the inode; descriptors are made in its likeness.
    pub file: InodeFile,
    /// How many descriptors there are.
    descriptors: u32,
}

impl Inode {
    pub(crate) fn mapping(&self) -> InodeMapping<'_> {
        self.file.mapping()
    }
}

/// All inodes in use.
pub(crate) struct Inodes {
    inodes: KVVec<Option<KBox<Inode>>>,
    count: usize,
}

impl Inodes {
    pub(crate) const fn new() -> Self {
        Self { inodes: KVVec::new(), count: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Inode> {
        self.inodes.get(index as usize)?.as_deref()
    }

    /// Every inode in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Inode> {
        self.inodes.iter().filter_map(|inode| inode.as_deref())
    }

    /// A descriptor more of object `r`, which has `size` bytes. Returns the
    /// inode's index.
    pub(crate) fn open(&mut self, live: &mut Live, r: RecordNo, size: u64) -> Result<u32> {
        if let Some(index) = live.get(r).inode.checked_sub(1) {
            if let Some(Some(inode)) = self.inodes.get_mut(index as usize) {
                inode.descriptors += 1;
                return Ok(index);
            }
        }
        let index = match self.inodes.iter().position(|place| place.is_none()) {
            Some(index) => index,
            None if self.inodes.len() < MAX_INODES => {
                self.inodes.push(None, GFP_KERNEL)?;
                self.inodes.len() - 1
            }
            None => return Err(ENFILE.into()),
        };
        let file = InodeFile::new::<ObjectFile>(r.0 as u64, size)?;
        let inode = KBox::new(Inode { record: r, file, descriptors: 1 }, GFP_KERNEL)?;
        if let Some(place) = self.inodes.get_mut(index) {
            *place = Some(inode);
            self.count += 1;
        }
        live.hold(r);
        if let Some(entry) = live.get_mut(r) {
            entry.inode = index as u32 + 1;
        }
        Ok(index as u32)
    }

    /// A descriptor less. Returns what is to be freed once the lock is let go.
    pub(crate) fn close(&mut self, live: &mut Live, index: u32) -> Option<KBox<Inode>> {
        let place = self.inodes.get_mut(index as usize)?;
        let inode = place.as_deref_mut()?;
        inode.descriptors -= 1;
        if inode.descriptors != 0 {
            return None;
        }
        let inode = place.take()?;
        self.count -= 1;
        if let Some(entry) = live.get_mut(inode.record) {
            entry.inode = 0;
        }
        live.release(inode.record);
        Some(inode)
    }
}
