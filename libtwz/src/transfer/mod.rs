// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copying a whole pool into another: [`copy_pool`], between directories and
//! images in any direction. Objects keep their ids, so what points to them
//! still does.
//!
//! An object is read by `outgoing` and brought in by `incoming`, which
//! export and import use too; `names` walks the namespace.

use std::io;

use twz_abi::{DATA_START, FotEntry, ObjectId, meta::kind};

use crate::{
    backend::{Backend, Binding},
    error::{Error, Result},
};

pub(crate) mod incoming;
pub(crate) mod names;
pub(crate) mod outgoing;

use incoming::Target;
use outgoing::Source;

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects that are in the target.
    pub objects_done: u64,
    /// Objects there are to copy.
    pub objects_total: u64,
    /// Bytes of data done, holes included.
    pub bytes_done: u64,
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects that were copied.
    pub copied: u64,
    /// Objects that were in the target already, the same to the byte.
    pub unchanged: u64,
    /// Bytes of data that were copied, holes included.
    pub bytes: u64,
    /// Names that were bound, directories among them.
    pub names: u64,
}

/// Copies all objects of `from` that `to` does not have, with their ids, FOTs
/// and meta records, and all names. If it is cut off, it can be run again. An
/// object or a name that `to` has with other contents ends it, and stays.
///
/// What programs store into `from` meanwhile may or may not be copied; stop
/// them first where that matters.
pub fn copy_pool(
    from: &dyn Backend,
    to: &dyn Backend,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary> {
    let target = Target::new(to)?;
    // First, for a file becomes an object when its name is looked at.
    let mut bound = Vec::new();
    names::each(from, &mut |path, binding| {
        bound.push((path.to_owned(), binding));
        Ok(())
    })?;
    let mut ids = Vec::new();
    from.list(&mut |id| {
        ids.push(id);
        Ok(())
    })?;
    let mut done = Summary::default();
    let mut now = Progress { objects_total: ids.len() as u64, ..Progress::default() };
    progress(now);
    for id in ids {
        let source = match Source::open(from, id) {
            // Deleted since it was listed.
            Err(Error::NoObject(_)) => continue,
            other => other?,
        };
        let before = now.bytes_done;
        let mut step = |bytes| {
            now.bytes_done = before + bytes;
            progress(now);
        };
        if source.meta.kind == kind::PART && to.info()?.home == "directory" {
            // Programs would find the file cut off there.
            return Err(Error::Unsupported(
                "a file longer than an object cannot go into a directory as objects; mount the pool, and copy the file",
            ));
        }
        if is_there(&source, to)? {
            target.discard(&source.meta)?;
            done.unchanged += 1;
        } else {
            copy(&source, &target, &mut step)?;
            done.copied += 1;
            done.bytes += source.meta.size;
        }
        now.objects_done += 1;
        now.bytes_done = before + source.meta.size;
        progress(now);
    }
    done.names = bind_all(to, &bound)?;
    target.settle()?;
    Ok(done)
}

fn copy(source: &Source<'_>, target: &Target<'_>, step: &mut dyn FnMut(u64)) -> Result<()> {
    let mut incoming = target.begin(&source.meta)?;
    source.each_fot_page(&mut |first, entries| incoming.fot(first, entries))?;
    source.each_run(&mut |at, bytes| incoming.data(at, bytes), step)?;
    incoming.finish()?;
    Ok(())
}

/// Whether the target has the object, the same to the byte. Refuses one that
/// differs.
fn is_there(source: &Source<'_>, to: &dyn Backend) -> Result<bool> {
    let id = source.meta.id;
    match to.stat(id) {
        Err(Error::NoObject(_)) => return Ok(false),
        other => other?,
    };
    let there = Source::open(to, id)?;
    let (a, b) = (&source.meta, &there.meta);
    let same_meta = (a.kind, a.fingerprint, a.size, a.bounds, a.heap, a.generation)
        == (b.kind, b.fingerprint, b.size, b.bounds, b.heap, b.generation);
    if same_meta && fot_of(source)? == fot_of(&there)? && same_data(source, &there)? {
        return Ok(true);
    }
    Err(Error::Io {
        doing: "copy object",
        path: Some(id.to_string().into()),
        error: io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the target has an object of this id with other contents; delete one of the two first",
        ),
    })
}

fn fot_of(source: &Source<'_>) -> Result<Vec<FotEntry>> {
    let mut all = Vec::new();
    source.each_fot_page(&mut |_, entries| {
        all.extend_from_slice(entries);
        Ok(())
    })?;
    Ok(all)
}

fn same_data(a: &Source<'_>, b: &Source<'_>) -> Result<bool> {
    let (mut one, mut two) = (vec![0; outgoing::CHUNK], vec![0; outgoing::CHUNK]);
    let mut at = 0;
    while at < a.meta.size {
        at = a.next_data(at).min(b.next_data(at));
        let n = (a.meta.size - at).min(outgoing::CHUNK as u64) as usize;
        let (Some(one), Some(two)) = (one.get_mut(..n), two.get_mut(..n)) else { break };
        a.pool.read(a.meta.id, DATA_START + at, one)?;
        b.pool.read(b.meta.id, DATA_START + at, two)?;
        if one != two {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}

/// Makes the directories and names that are not there yet.
fn bind_all(to: &dyn Backend, names: &[(String, Binding)]) -> Result<u64> {
    let mut bound = 0;
    for (path, binding) in names {
        let done = match binding {
            Binding::Directory => to.make_dir(path),
            Binding::Object(id) => to.bind(path, *id, false),
        };
        match done {
            Ok(()) => bound += 1,
            Err(Error::NameTaken(_)) if to.lookup(path)? == *binding => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bound)
}

/// Refuses an id that the pool has.
pub(crate) fn refuse_present(pool: &dyn Backend, id: ObjectId) -> Result<()> {
    match pool.stat(id) {
        Err(Error::NoObject(_)) => Ok(()),
        _ => Err(Error::Exists(id)),
    }
}
