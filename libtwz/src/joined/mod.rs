// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files longer than an object: several objects joined by pointers, as FORMAT.md's
//! "Longer than an object" says. A [`Joined`] is which objects a file is and how long
//! that makes it; [`resize`], [`copy`] and [`delete`] change files as wholes, so that
//! whoever is killed in between leaves the file as it was or as it was to be.
//!
//! It asks a [`Backend`] for everything, and does the same to a file of one object as
//! the backend does. In a directory pool a file is one of the host's, whatever its
//! length, and is never joined.

use std::cmp::Ordering;

use twz_abi::{
    DATA_START, FotEntry, MAX_DATA, META_START, Meta, ObjectId, PAGE, Rights, TAIL_START,
    fot::{ENTRY_SIZE, FotTarget, TAIL_ENTRIES, entry_offset},
    meta::{flags, kind},
};
use twz_core::ident::{ContentHash, Identity};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    backend::{Backend, NewObject},
    error::{Error, Result},
};

/// The longest that a file can be.
pub const MAX_LENGTH: u64 = MAX_DATA * (1 + TAIL_ENTRIES as u64);

const NO_ID: Error = Error::Unsupported("a part of this file would have no valid id");

/// A file: the objects that its bytes are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// In their order; the first is the file's own.
    pub objects: Vec<ObjectId>,
    /// How many bytes they have together.
    pub length: u64,
}

/// A run of a file's bytes in one of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which object of the file.
    pub index: usize,
    /// The object.
    pub id: ObjectId,
    /// Where in its data the run begins.
    pub at: u64,
    /// How many bytes it has.
    pub len: u64,
}

impl Joined {
    /// What the file is whose own object is `id`.
    pub fn find(pool: &dyn Backend, id: ObjectId) -> Result<Self> {
        let mut file = Self { objects: vec![id], length: pool.size(id)? };
        if file.length < MAX_DATA {
            return Ok(file);
        }
        let tail = Tail::read(pool, id)?;
        for k in 1..=TAIL_ENTRIES {
            let Some(part) = tail.part(k) else { break };
            let size = match pool.size(part) {
                Err(Error::NoObject(_)) => break,
                other => other?,
            };
            file.objects.push(part);
            file.length += size;
            if size < MAX_DATA {
                break;
            }
        }
        Ok(file)
    }

    /// Whether it is more than one object.
    pub fn is_joined(&self) -> bool {
        self.objects.len() > 1
    }

    /// Where `len` bytes from byte `at` on lie, as far as the file has objects for them.
    pub fn spans(&self, at: u64, len: u64) -> impl Iterator<Item = Span> {
        let end = at.saturating_add(len);
        let first = (at / MAX_DATA) as usize;
        (0u64..).zip(&self.objects).skip(first).map_while(move |(k, &id)| {
            let (start, stop) = (at.max(k * MAX_DATA), end.min((k + 1) * MAX_DATA));
            let len = stop.checked_sub(start).filter(|&len| len != 0)?;
            Some(Span { index: k as usize, id, at: start - k * MAX_DATA, len })
        })
    }

    /// Copies bytes out, from byte `at` on; they must be within the length.
    pub fn read(&self, pool: &dyn Backend, at: u64, into: &mut [u8]) -> Result<()> {
        let mut rest = into;
        for span in self.spans(at, rest.len() as u64) {
            let (now, later) = rest.split_at_mut(span.len as usize);
            pool.read(span.id, DATA_START + span.at, now)?;
            rest = later;
        }
        match rest.is_empty() {
            true => Ok(()),
            false => Err(Error::BadPointer { why: "past the end of the file" }),
        }
    }

    /// The object that the file ends in, and its size; behind it only one can follow
    /// that has no bytes.
    fn end(&self) -> (usize, u64) {
        let last = self.objects.len() - 1;
        (last, self.length.saturating_sub(last as u64 * MAX_DATA))
    }
}

/// The last page of an object's slot: the first entries of its FOT, and its meta record.
struct Tail {
    id: ObjectId,
    entries: Vec<u8>,
    meta: Meta,
}

impl Tail {
    fn read(pool: &dyn Backend, id: ObjectId) -> Result<Self> {
        let mut page = vec![0; PAGE as usize];
        pool.read(id, TAIL_START, &mut page)?;
        let meta = page.split_off((META_START - TAIL_START) as usize);
        let meta = Meta::read_from_bytes(&meta).map_err(|_| Error::BadId(id))?;
        meta.check().map_err(|error| Error::Format { what: format!("object {id}"), error })?;
        Ok(Self { id, entries: page, meta })
    }

    /// Entry `k`, as it is.
    fn entry(&self, k: u32) -> FotEntry {
        let at = (entry_offset(k) - TAIL_START) as usize;
        let bytes = self.entries.get(at..at + ENTRY_SIZE as usize);
        bytes.and_then(|bytes| FotEntry::read_from_bytes(bytes).ok()).unwrap_or_default()
    }

    /// The part that entry `k` names.
    fn part(&self, k: u32) -> Option<ObjectId> {
        let entry = self.entry(k);
        // Most objects have no entry, or one that names another object.
        if entry.a == 0 {
            return None;
        }
        let part = self.identity(k).id()?;
        (entry.target() == Ok(FotTarget::Id(part))).then_some(part)
    }

    /// How many parts the file has entries for.
    fn parts(&self) -> u32 {
        (1..=TAIL_ENTRIES).take_while(|&k| self.part(k).is_some()).count() as u32
    }

    /// What part `k` is.
    fn identity(&self, k: u32) -> Identity {
        let mut hash = ContentHash::new();
        hash.update(b"twizzler part 1\0");
        hash.update([self.id.lo, self.id.hi, k as u64].as_bytes());
        let mut nonce = [0; 16];
        for (byte, from) in nonce.iter_mut().zip(hash.finish()) {
            *byte = from;
        }
        Identity { default_rights: self.meta.default_rights, ..Identity::plain(nonce) }
    }

    /// Part `k`, to be made.
    fn new_part(&self, k: u32, size: u64) -> NewObject {
        let identity = self.identity(k);
        NewObject {
            nonce: Some(identity.nonce),
            default_rights: Rights(identity.default_rights),
            kind: kind::PART,
            size,
            ..NewObject::default()
        }
    }

    /// Sees to it that entries 1 to `last` name parts, if this object can have some.
    fn point(&self, pool: &dyn Backend, last: u32) -> Result<()> {
        let meta = &self.meta;
        let plain = meta.kind == kind::BYTES && meta.owner.is_null();
        if !plain || meta.flags & flags::IMMUTABLE != 0 || last > TAIL_ENTRIES {
            return Err(Error::BadSize(MAX_DATA + 1));
        }
        for k in self.parts() + 1..=last {
            let part = self.identity(k).id().ok_or(NO_ID)?;
            let entry = self.entry(k);
            // Of one that somebody was killed at, only what leads there is ours.
            if entry.a != 0 && (entry.a, entry.b) != (part.lo, part.hi) {
                return Err(Error::ObjectFull { id: self.id, what: "it has pointers of its own" });
            }
            let entry = FotEntry::by_id(part, Rights(Rights::READ.0 | Rights::WRITE.0), 0);
            pool.write(self.id, entry_offset(k), entry.as_bytes())?;
        }
        Ok(())
    }

    /// Puts part `k` in place with `size` bytes, whatever was there before.
    fn make(&self, pool: &dyn Backend, k: u32, size: u64) -> Result<()> {
        match pool.create(&self.new_part(k, size)) {
            Err(Error::Exists(part)) => {
                pool.resize(part, 0)?;
                pool.resize(part, size)
            }
            other => other.map(|_| ()),
        }
    }

    /// Deletes the parts from `first` on, the last one first.
    fn drop_parts(&self, pool: &dyn Backend, first: u32) -> Result<()> {
        for k in (first..=self.parts()).rev() {
            match self.part(k).map(|part| pool.delete(part)) {
                None | Some(Ok(()) | Err(Error::NoObject(_))) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Changes how many bytes a file has.
pub fn resize(pool: &dyn Backend, id: ObjectId, size: u64) -> Result<()> {
    let file = match Joined::find(pool, id) {
        Err(Error::LongFile { .. }) => return pool.resize(id, size),
        other => other?,
    };
    if size < MAX_DATA && !file.is_joined() {
        return pool.resize(id, size);
    }
    if size > MAX_LENGTH || size > MAX_DATA && pool.info()?.home == "directory" {
        return Err(Error::BadSize(size));
    }
    match size.cmp(&file.length) {
        Ordering::Less => shrink(pool, &file, size),
        Ordering::Equal => Ok(()),
        Ordering::Greater => grow(pool, &file, size),
    }
}

/// The object that a file of `size` bytes ends in, and how many bytes that has.
fn end_of(size: u64) -> (usize, u64) {
    let last = size.div_ceil(MAX_DATA).max(1) - 1;
    (last as usize, size - last * MAX_DATA)
}

fn grow(pool: &dyn Backend, file: &Joined, size: u64) -> Result<()> {
    let (now, had) = file.end();
    let (last, rest) = end_of(size);
    let Some((&head, &ends)) = file.objects.first().zip(file.objects.last()) else {
        return Ok(());
    };
    let tail = Tail::read(pool, head)?;
    if last > now {
        tail.point(pool, last as u32)?;
    }
    let tail = if last > now { Tail::read(pool, head)? } else { tail };
    if rest == MAX_DATA {
        // Else the file would go on in what an earlier one left there.
        tail.drop_parts(pool, last as u32 + 1)?;
    }
    if last <= now {
        return pool.resize(ends, size - now as u64 * MAX_DATA);
    }
    let made = (now + 1..=last)
        .rev()
        .try_for_each(|k| tail.make(pool, k as u32, if k == last { rest } else { MAX_DATA }));
    let made = made.and_then(|()| match had < MAX_DATA {
        true => pool.resize(ends, MAX_DATA),
        false => Ok(()),
    });
    made.inspect_err(|_| {
        let _ = tail.drop_parts(pool, now as u32 + 1);
    })
}

fn shrink(pool: &dyn Backend, file: &Joined, size: u64) -> Result<()> {
    let (last, rest) = end_of(size);
    let (Some(&head), Some(&ends)) = (file.objects.first(), file.objects.get(last)) else {
        return Ok(());
    };
    match file.objects.get(last + 1) {
        // It stays full: the next one is empty, and goes last.
        Some(&next) if rest == MAX_DATA => pool.resize(next, 0)?,
        _ => pool.resize(ends, rest)?,
    }
    Tail::read(pool, head)?.drop_parts(pool, last as u32 + 1)
}

/// Deletes a file, as [`Backend::delete`] does an object.
pub fn delete(pool: &dyn Backend, id: ObjectId) -> Result<()> {
    // What is damaged can be deleted, if nothing else.
    if let Ok(tail) = Tail::read(pool, id)
        && tail.part(1).is_some()
        && pool.stat(id)?.names == 0
    {
        tail.drop_parts(pool, 1)?;
    }
    pool.delete(id)
}

/// Makes a file with the bytes of another, as [`Backend::copy`] does.
pub fn copy(pool: &dyn Backend, source: ObjectId, new: &NewObject) -> Result<ObjectId> {
    let file = match Joined::find(pool, source) {
        Ok(file) if file.is_joined() => file,
        _ => return pool.copy(source, new),
    };
    if new.flags & flags::IMMUTABLE != 0 {
        return Err(Error::Unsupported("a file longer than an object cannot be immutable"));
    }
    let id = pool.copy(source, new)?;
    copy_parts(pool, &file, id).inspect_err(|_| {
        let _ = delete(pool, id);
    })?;
    Ok(id)
}

/// The entries of the copy still name the parts of the other file.
fn copy_parts(pool: &dyn Backend, file: &Joined, id: ObjectId) -> Result<()> {
    let old = Tail::read(pool, id)?;
    let last = (file.objects.len() - 1) as u32;
    let blank = vec![0; TAIL_ENTRIES as usize * ENTRY_SIZE as usize];
    pool.write(id, entry_offset(TAIL_ENTRIES), &blank)?;
    Tail { entries: blank, ..old }.point(pool, last)?;
    let tail = Tail::read(pool, id)?;
    for (k, &part) in (0..last + 1).zip(&file.objects).skip(1).rev() {
        let size = pool.size(part)?;
        pool.copy(part, &tail.new_part(k, size))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
