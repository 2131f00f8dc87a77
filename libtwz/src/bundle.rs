// SPDX-License-Identifier: MIT OR Apache-2.0
//! One object as one file: [`export`] and [`import`], as FORMAT.md's "Exported
//! object" says. What is imported has the id it had, or is not imported.

use std::io::{self, Read, Write};

use twz_abi::{
    FormatError, FotEntry, Meta, ObjectId, PAGE,
    fot::{FotTarget, entries_in, pages_for},
    meta::Bounds,
    pointer::MAX_FOT_INDEX,
};
use twz_core::Identity;
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    backend::Backend,
    error::{Error, Result},
    joined::Joined,
    transfer::{
        incoming::{Incoming, Target},
        outgoing::{CHUNK, Source},
        refuse_present,
    },
};

/// First bytes of an exported object.
const MAGIC: [u8; 8] = *b"TWZOBJ01";

/// What errors call the file.
const FILE: &str = "exported object";

/// Writes object `id` to `out`. `progress` is told how many bytes of the data
/// are done, and of how many.
///
/// What programs store while this reads may or may not be in it; stop them
/// first where that matters.
pub fn export(
    pool: &dyn Backend,
    id: ObjectId,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let source = Source::open(pool, id)?;
    let size = source.meta.size;
    if Joined::find(pool, id)?.is_joined() {
        return Err(Error::Unsupported(
            "a file longer than an object is no one object; 'twz cat' writes its bytes, and 'twz pool copy' copies all of it",
        ));
    }
    let mut out = Summed { inner: out, sum: crc32fast::Hasher::new() };
    out.write(&MAGIC)?;
    out.write(source.meta.as_bytes())?;
    let mut left = source.fot_len()?;
    out.word(left as u64)?;
    source.each_fot_page(&mut |_, entries| {
        // Entries that came to be since they were counted stay behind.
        let entries = entries.get(..left as usize).unwrap_or(entries);
        left -= entries.len() as u32;
        out.write(entries.as_bytes())
    })?;
    if left != 0 {
        return Err(Error::Busy { what: "the object's FOT was cut meanwhile; export it again" });
    }
    source.each_run(
        &mut |at, bytes| {
            out.word(at)?;
            out.word(bytes.len() as u64)?;
            out.write(bytes)
        },
        &mut |done| progress(done, size),
    )?;
    out.word(size)?;
    out.word(0)?;
    let sum = out.sum.clone().finalize();
    out.word(sum as u64)?;
    out.inner.flush().map_err(write_failed)
}

/// Reads an exported object from `from` into the pool, and returns its id. Its
/// id, its checksum and, if it is immutable, its data are verified first: an
/// object that is not wholly what it says leaves nothing behind. An id that the
/// pool has already is refused, and so are bytes after the object's end.
pub fn import(
    pool: &dyn Backend,
    from: &mut dyn Read,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ObjectId> {
    let mut from = Summed { inner: from, sum: crc32fast::Hasher::new() };
    let target = Target::new(pool)?;
    let meta = read_meta(&mut from)?;
    refuse_present(pool, meta.id)?;
    let count = read_count(&mut from, &meta)?;
    // Room that no entry has taken is not taken over.
    let bounds = Bounds::unpack(meta.bounds);
    let needed = (pages_for(count) + 1).next_power_of_two() - 1;
    let bounds = Bounds { fot_pages: bounds.fot_pages.min(needed), ..bounds };
    let mut incoming = target.begin(&Meta { bounds: bounds.pack(), ..meta })?;
    read_fot(&mut from, count, &mut incoming)?;
    read_runs(&mut from, meta.size, &mut incoming, progress)?;
    let computed = from.sum.clone().finalize();
    let stored = from.word()?;
    if stored != computed as u64 {
        let stored = stored as u32;
        return Err(bad(FormatError::Checksum { what: FILE, stored, computed }));
    }
    from.end()?;
    let id = incoming.finish()?;
    pool.sync(id)?;
    Ok(id)
}

fn read_meta(from: &mut Summed<&mut dyn Read>) -> Result<Meta> {
    let mut magic = [0; 8];
    from.read(&mut magic)?;
    if magic != MAGIC {
        return Err(bad(FormatError::Magic { what: FILE, found: u64::from_le_bytes(magic) }));
    }
    let mut meta = Meta::new_zeroed();
    from.read(meta.as_mut_bytes())?;
    meta.check().map_err(bad)?;
    Identity::from(&meta).verify(meta.id).map_err(|_| Error::BadId(meta.id))?;
    let data_pages = meta.size.div_ceil(PAGE) as u32;
    if Bounds::unpack(meta.bounds).data_pages != data_pages {
        return Err(bad(FormatError::Range { what: "object bounds", found: meta.bounds }));
    }
    Ok(meta)
}

fn read_count(from: &mut Summed<&mut dyn Read>, meta: &Meta) -> Result<u32> {
    let found = from.word()?;
    let most = entries_in(Bounds::unpack(meta.bounds).fot_pages).min(MAX_FOT_INDEX);
    match u32::try_from(found) {
        Ok(count) if count <= most => Ok(count),
        _ => Err(bad(FormatError::Range { what: "number of FOT entries", found })),
    }
}

/// Reads the FOT page by page, and refuses entries that lead nowhere.
fn read_fot(from: &mut Summed<&mut dyn Read>, count: u32, into: &mut Incoming<'_>) -> Result<()> {
    let mut first = 1;
    while first <= count {
        let last = entries_in(pages_for(first)).min(count);
        let mut entries = vec![FotEntry::new_zeroed(); (last + 1 - first) as usize];
        from.read(entries.as_mut_bytes())?;
        for entry in &entries {
            check_entry(entry, count).map_err(bad)?;
        }
        into.fot(first, &entries)?;
        first = last + 1;
    }
    Ok(())
}

fn check_entry(entry: &FotEntry, count: u32) -> std::result::Result<(), FormatError> {
    if entry.a == 0 {
        return Err(FormatError::Range { what: "FOT entry before the end", found: 0 });
    }
    // One that was never finished is read by nobody.
    if entry.word == 0 {
        return Ok(());
    }
    match entry.target()? {
        FotTarget::Entry(index) if index > count => {
            Err(FormatError::Range { what: "FOT entry index", found: index as u64 })
        }
        _ => Ok(()),
    }
}

/// Reads the runs, which lie in order, and the end of them.
fn read_runs(
    from: &mut Summed<&mut dyn Read>,
    size: u64,
    into: &mut Incoming<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let mut buffer = vec![0; CHUNK.min(size as usize)];
    let mut done = 0;
    loop {
        let (at, len) = (from.word()?, from.word()?);
        if at < done || at > size || len > size - at || (len == 0 && at != size) {
            return Err(bad(FormatError::Range { what: "run of data", found: at }));
        }
        if len == 0 {
            progress(size, size);
            return Ok(());
        }
        done = at;
        while done < at + len {
            let n = (at + len - done).min(CHUNK as u64) as usize;
            let chunk = buffer.get_mut(..n).unwrap_or_default();
            from.read(chunk)?;
            into.data(done, chunk)?;
            done += n as u64;
            progress(done, size);
        }
    }
}

fn bad(error: FormatError) -> Error {
    Error::Format { what: FILE.into(), error }
}

fn write_failed(error: io::Error) -> Error {
    Error::Io { doing: "write the exported object", path: None, error }
}

/// A stream, and the checksum of what went through it.
struct Summed<T> {
    inner: T,
    sum: crc32fast::Hasher,
}

impl Summed<&mut dyn Write> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes).map_err(write_failed)
    }

    fn word(&mut self, word: u64) -> Result<()> {
        self.write(&word.to_le_bytes())
    }
}

impl Summed<&mut dyn Read> {
    fn read(&mut self, into: &mut [u8]) -> Result<()> {
        self.inner.read_exact(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => bad(FormatError::Short { what: FILE }),
            _ => Error::Io { doing: "read the exported object", path: None, error },
        })?;
        self.sum.update(into);
        Ok(())
    }

    fn word(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Refuses bytes that follow.
    fn end(&mut self) -> Result<()> {
        match self.read(&mut [0]) {
            Err(Error::Format { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(bad(FormatError::Reserved { what: "bytes after the end" })),
        }
    }
}
