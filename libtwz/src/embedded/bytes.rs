// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bytes of an object's slot, read and written through its files without
//! mapping it: which part of a range lies in which file, and where.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use twz_abi::{
    DATA_START, ObjectId, PAGE, Rights, SLOT, TAIL_START, fot::sidecar_page, meta::Bounds,
};

use super::{EmbeddedPool, paths::ObjectPath};
use crate::error::{Error, Result};

impl EmbeddedPool {
    /// Copies out of whichever file each part of the range lies in; what no file
    /// has is zeros.
    pub(super) fn read_object(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()> {
        check_range(offset, into.len() as u64)?;
        self.require(id, Rights::READ)?;
        into.fill(0);
        let in_data =
            (DATA_START + self.data_size(id)?).saturating_sub(offset).min(into.len() as u64);
        let (data, rest) = into.split_at_mut(in_data as usize);
        if !data.is_empty() {
            let file = File::from(self.open_file(id, &ObjectPath::data(id), false)?);
            read_sparse(&file, offset - DATA_START, data)?;
        }
        let offset = offset + in_data;
        let first = self.first_of_fot(id, offset + rest.len() as u64)?;
        let Some(rest) =
            rest.get_mut(first.saturating_sub(offset) as usize..).filter(|rest| !rest.is_empty())
        else {
            return Ok(());
        };
        let tail = File::from(self.open_file(id, &ObjectPath::tail(id), false)?);
        for_each_page(offset.max(first), rest.len(), |at, range| match rest.get_mut(range) {
            Some(part) => read_sparse(&tail, in_tail_file(at), part),
            None => Ok(()),
        })
    }

    pub(super) fn write_object(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()> {
        self.writable()?;
        check_range(offset, from.len() as u64)?;
        self.require(id, Rights::WRITE)?;
        let end = offset + from.len() as u64;
        if end <= self.data_size(id)? + DATA_START {
            let path = ObjectPath::data(id);
            let file = File::from(self.open_file(id, &path, true)?);
            let written = file.write_all_at(from, offset - DATA_START);
            return written.map_err(Error::at("write", path.within(&self.root)));
        }
        if offset < self.first_of_fot(id, end)? {
            let why = "writing past the end of the data; resize the object first";
            return Err(Error::BadPointer { why });
        }
        let path = ObjectPath::tail(id);
        let tail = File::from(self.open_file(id, &path, true)?);
        for_each_page(offset, from.len(), |at, range| {
            let part = from.get(range).unwrap_or_default();
            let written = tail.write_all_at(part, in_tail_file(at));
            written.map_err(Error::at("write", path.within(&self.root)))
        })
    }

    /// Slot offset of the first page that the FOT has; looked up only for a
    /// range that comes near it.
    fn first_of_fot(&self, id: ObjectId, end: u64) -> Result<u64> {
        if end <= DATA_START + self.data_size(id)? {
            return Ok(TAIL_START);
        }
        let pages = Bounds::unpack(self.meta(id)?.0.bounds).fot_pages as u64;
        Ok(TAIL_START - pages * PAGE)
    }
}

fn check_range(offset: u64, len: u64) -> Result<()> {
    if !(DATA_START..=SLOT).contains(&offset) || len > SLOT - offset {
        return Err(Error::BadPointer { why: "outside the slot" });
    }
    Ok(())
}

/// Reads what there is; past the end of the file the buffer stays zero.
fn read_sparse(file: &File, mut at: u64, mut into: &mut [u8]) -> Result<()> {
    while !into.is_empty() {
        let got = match file.read_at(into, at) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Io { doing: "read an object", path: None, error }),
        };
        at += got as u64;
        into = into.get_mut(got..).unwrap_or_default();
    }
    Ok(())
}

/// Where a slot offset in the tail lies in the tail file.
fn in_tail_file(offset: u64) -> u64 {
    let k = ((SLOT - 1 - offset) / PAGE) as u32;
    sidecar_page(k) as u64 * PAGE + offset % PAGE
}

/// Visits a slot range page by page: the slot offset and the part of the buffer.
fn for_each_page(
    offset: u64,
    len: usize,
    mut visit: impl FnMut(u64, std::ops::Range<usize>) -> Result<()>,
) -> Result<()> {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let step = ((PAGE - at % PAGE) as usize).min(len - done);
        visit(at, done..done + step)?;
        done += step;
    }
    Ok(())
}
