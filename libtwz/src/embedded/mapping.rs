// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mapping a pair of files into a slot. All of it runs in the fault handler:
//! no allocation and no locks on the way to success.

use std::{
    fs::File,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use twz_abi::{Meta, ObjectId, PAGE, Rights, meta::Bounds};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{
    EmbeddedPool,
    objects::{META_IN_TAIL, allocate, identity_of, no_longer_than_an_object},
    paths::ObjectPath,
};
use crate::{
    backend::Mapped,
    error::{Error, Result},
    raw::SlotWindow,
};

impl EmbeddedPool {
    pub(super) fn map_object(
        &self,
        id: ObjectId,
        window: &SlotWindow<'_>,
        wanted: Rights,
    ) -> Result<Mapped> {
        let (tail, tail_writable) = self.open_best(id, &ObjectPath::tail(id), wanted)?;
        let tail = File::from(tail);
        let mut meta = Meta::new_zeroed();
        let whole = tail.read_exact_at(meta.as_mut_bytes(), META_IN_TAIL).is_ok();
        if !whole || meta.check().is_err() || meta.id != id || identity_of(&meta).id() != Some(id) {
            return Err(Error::BadId(id));
        }
        let allowed = self.allowed(&meta);
        if !allowed.contains(Rights::READ) {
            return Err(Error::refused(id, Rights::READ, allowed));
        }
        let mut granted = allowed.and(wanted);
        let (data, data_writable) = self.open_best(id, &ObjectPath::data(id), granted)?;
        let data = File::from(data);
        let fail = |error| Error::Io { doing: "stat an object", path: None, error };
        no_longer_than_an_object(id, data.metadata().map_err(fail)?.len())?;
        if !tail_writable || !data_writable {
            granted = granted.without(Rights::WRITE);
        }
        if !granted.contains(Rights::READ) {
            return Err(Error::denied(id, Rights::READ));
        }
        let fot_pages = backed_fot(&tail, Bounds::unpack(meta.bounds).fot_pages, granted)?;
        window.map_data(data.as_fd(), fot_pages, granted)?;
        window.map_tail(tail.as_fd(), granted)?;
        let fot_pages = window.map_fot(tail.as_fd(), 0, fot_pages, granted)?;
        Ok(Mapped { granted, fot_pages })
    }

    pub(super) fn map_more_fot(
        &self,
        id: ObjectId,
        window: &SlotWindow<'_>,
        from: u32,
        pages: u32,
        rights: Rights,
    ) -> Result<u32> {
        let (tail, _) = self.open_best(id, &ObjectPath::tail(id), rights)?;
        let tail = File::from(tail);
        let pages = (pages + 1).next_power_of_two() - 1;
        if backed_fot(&tail, pages, rights)? < pages {
            return Err(Error::BadPointer {
                why: "its FOT entry is in a page that was never written",
            });
        }
        window.map_fot(tail.as_fd(), from, pages, rights)
    }

    /// Opens for writing if that is wanted and possible, else for reading.
    fn open_best(
        &self,
        id: ObjectId,
        path: &ObjectPath,
        wanted: Rights,
    ) -> Result<(OwnedFd, bool)> {
        if wanted.contains(Rights::WRITE) && !self.read_only {
            match self.open_file(id, path, true) {
                Err(Error::Denied { .. } | Error::ReadOnly) => {}
                other => return other.map(|fd| (fd, true)),
            }
        }
        self.open_file(id, path, false).map(|fd| (fd, false))
    }
}

/// How many FOT pages can be touched. A process may have died between claiming
/// pages and giving them storage, and a touch past the end of the file, or of a
/// hole on a full disk, would be a SIGBUS: whoever may write makes up for it.
fn backed_fot(tail: &File, pages: u32, rights: Rights) -> Result<u32> {
    let fail = |error| Error::Io { doing: "grow the FOT of an object", path: None, error };
    let there = tail.metadata().map_err(fail)?.len() / PAGE;
    if there > pages as u64 {
        return Ok(pages);
    }
    if rights.contains(Rights::WRITE) {
        allocate(tail, there.max(1) * PAGE, (pages as u64 + 1) * PAGE).map_err(fail)?;
        return Ok(pages);
    }
    // Whole runs only: 1, 3, 7 ... pages.
    Ok((1 << there.max(1).ilog2()) - 1)
}
