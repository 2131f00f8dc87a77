// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image as a [`Backend`]: each method takes the store's lock, and asks it.

use std::{os::fd::OwnedFd, time::Duration};

use twz_abi::{DATA_START, ObjectId, PAGE, Rights, meta, name::NameEntry};
use twz_core::{
    Identity, RecordNo, Store, StoreError, Translation, error::Resource, ident::ContentHash,
    names::Binding as Named,
};
use zerocopy::FromZeros as _;

use super::{ImageFile, ImagePool};
use crate::{
    backend::{Backend, Binding, Mapped, NewObject, ObjectStat, PoolInfo, Waited, Word},
    error::{Error, Result},
    raw::{Arena, SlotWindow},
};

const NOT_MAPPED: Error =
    Error::Unsupported("an image cannot be mapped; copy the pool into a directory first");

/// Ids taken from the store under one lock.
const BATCH: usize = 256;

/// Pages that are given back at once.
const PUNCH: u64 = 4096;

type Said<T> = std::result::Result<T, StoreError>;

impl ImagePool {
    /// Does something with the store; what it says about names is about `name`.
    fn ask<T>(&self, name: &str, act: impl FnOnce(&mut Store<ImageFile>) -> Said<T>) -> Result<T> {
        act(&mut self.store()).map_err(self.said(name))
    }

    fn place(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId> {
        let id = identity.id().ok_or(Error::Unsupported("this identity gives no valid id"))?;
        let new = twz_core::NewObject {
            identity: *identity,
            kind: new.kind,
            fingerprint: new.fingerprint,
            size: new.size,
            epoch: new.epoch,
        };
        self.ask("", |store| store.create(id, &new))?;
        Ok(id)
    }

    /// Visits all that has a record: the id, and the kind if it can be read.
    fn visit(&self, each: &mut dyn FnMut(ObjectId, Option<u32>) -> Result<()>) -> Result<()> {
        let (mut cursor, mut ids) = (0, [ObjectId::NULL; BATCH]);
        loop {
            let mut found = Vec::with_capacity(BATCH);
            self.ask("", |store| {
                let filled = store.list(&mut cursor, &mut ids)?;
                for &id in ids.iter().take(filled) {
                    match store.find_record(id) {
                        Ok((_, record)) => found.push((id, Some(record.kind))),
                        Err(StoreError::NotFound { .. }) => {}
                        Err(_) => found.push((id, None)),
                    }
                }
                Ok(())
            })?;
            if found.is_empty() {
                return Ok(());
            }
            for (id, kind) in found {
                each(id, kind)?;
            }
        }
    }
}

/// SHA-256 of an object's data.
fn hash(store: &Store<ImageFile>, r: RecordNo, size: u64) -> Said<[u8; 32]> {
    let (mut hash, mut buffer) = (ContentHash::new(), vec![0; 1 << 16]);
    let mut at = 0;
    while at < size {
        let n = (size - at).min(buffer.len() as u64) as usize;
        let chunk = buffer.get_mut(..n).unwrap_or_default();
        store.read(r, DATA_START + at, chunk)?;
        hash.update(chunk);
        at += n as u64;
    }
    Ok(hash.finish())
}

/// Zeros bytes of one page of a slot, if the page is there.
fn wipe(store: &mut Store<ImageFile>, r: RecordNo, from: u64, to: u64) -> Said<()> {
    if from >= to || store.translate(r, from / PAGE)? == Translation::Hole {
        return Ok(());
    }
    let zeros = [0; PAGE as usize];
    store.write(r, from, zeros.get(..(to - from) as usize).unwrap_or_default())
}

fn unnamed(found: Named) -> Binding {
    match found {
        Named::Object(id) => Binding::Object(id),
        Named::Directory(_) => Binding::Directory,
    }
}

impl Backend for ImagePool {
    fn info(&self) -> Result<PoolInfo> {
        let store = self.store();
        let (geometry, info) = (store.geometry(), store.info().map_err(self.said(""))?);
        Ok(PoolInfo {
            home: "image",
            path: self.path.clone(),
            pool_id: geometry.pool_id,
            label: String::from_utf8_lossy(geometry.label()).into_owned(),
            created: geometry.created,
            version: twz_abi::FORMAT_VERSION,
            objects: Some(info.objects.saturating_sub(info.directories)),
            capacity: info.data_pages * PAGE,
            free: info.free_pages * PAGE,
            read_only: self.read_only,
            durability: "journal: a change is whole or absent after a power cut, bytes after 'sync'",
        })
    }

    fn create(&self, new: &NewObject) -> Result<ObjectId> {
        if new.flags & meta::flags::IMMUTABLE != 0 {
            return Err(Error::Unsupported(
                "an immutable object is made by copying one that has its data",
            ));
        }
        self.place(&new.earn_id([0; 32])?.1, new)
    }

    fn adopt(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId> {
        self.place(identity, new)
    }

    fn stat(&self, id: ObjectId) -> Result<ObjectStat> {
        self.ask("", |store| {
            let (r, record) = store.find_record(id)?;
            Ok(ObjectStat {
                id,
                identity: Identity::from(&record),
                kind: record.kind,
                fingerprint: record.fingerprint,
                size: record.size,
                stored: store.pages_used(r)? * PAGE,
                names: record.names as u64,
                epoch: record.epoch,
            })
        })
    }

    fn list(&self, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()> {
        self.visit(&mut |id, kind| match kind {
            Some(meta::kind::NAMES) => Ok(()),
            _ => visit(id),
        })
    }

    fn resize(&self, id: ObjectId, size: u64) -> Result<()> {
        self.ask("", |store| store.resize(store.find(id)?, size))
    }

    fn reserve(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        if from > to {
            return Err(Error::BadSize(to));
        }
        self.ask("", |store| {
            let (r, record) = store.find_record(id)?;
            let (mut page, end) = ((DATA_START + from) / PAGE, (DATA_START + to).div_ceil(PAGE));
            // What cannot be had as a whole is not begun.
            if end - page > store.info()?.free_pages + store.pages_used(r)? {
                return Err(StoreError::Full { what: Resource::Pages });
            }
            if to > record.size {
                store.resize(r, to)?;
            }
            while page < end {
                page += store.touch_many(r, page, end - page, true)?.max(1) as u64;
            }
            Ok(())
        })
    }

    fn delete(&self, id: ObjectId) -> Result<()> {
        self.ask("", |store| {
            if store.find_record(id)?.1.kind == meta::kind::NAMES {
                return Err(StoreError::Directory { id });
            }
            // Nobody has it mapped: an image cannot be.
            let r = store.delete(id)?;
            store.reclaim(r)
        })
    }

    fn copy(&self, source: ObjectId, new: &NewObject) -> Result<ObjectId> {
        let mut store = self.store();
        let said = self.said("");
        let (r, old) = store.find_record(source).map_err(&said)?;
        let content = match new.flags & meta::flags::IMMUTABLE {
            0 => [0; 32],
            _ => hash(&store, r, old.size).map_err(&said)?,
        };
        let (id, identity) = new.earn_id(content)?;
        // The kind and the type are those of the source: the bytes are.
        let (kind, fingerprint) = (old.kind, old.fingerprint);
        let (size, epoch) = (old.size, new.epoch);
        let new = twz_core::NewObject { identity, kind, fingerprint, size, epoch };
        store.copy(r, id, &new).map_err(&said)?;
        Ok(id)
    }

    fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()> {
        self.ask("", |store| store.read(store.find(id)?, offset, into))
    }

    fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()> {
        self.ask("", |store| store.write(store.find(id)?, offset, from))
    }

    fn sync(&self, id: ObjectId) -> Result<()> {
        self.ask("", |store| {
            store.find(id)?;
            store.sync()?;
            Ok(store.media().sync())
        })?
        .map_err(Error::at("sync", &self.path))
    }

    fn lookup(&self, path: &str) -> Result<Binding> {
        self.ask(path, |store| store.lookup(path.as_bytes())).map(unnamed)
    }

    fn bind(&self, path: &str, id: ObjectId, replace: bool) -> Result<()> {
        self.ask(path, |store| match store.bind(path.as_bytes(), id, replace) {
            Err(StoreError::IsADirectory) => Err(StoreError::NameTaken),
            other => other.map(|_| ()),
        })
    }

    fn unbind(&self, path: &str) -> Result<()> {
        self.ask(path, |store| store.unbind(path.as_bytes()).map(|_| ()))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut store = self.store();
        match store.rename(from.as_bytes(), to.as_bytes()) {
            Err(error @ (StoreError::NameTaken | StoreError::NotEmpty)) => {
                Err(self.said(to)(error))
            }
            other => other.map(|_| ()).map_err(self.said(from)),
        }
    }

    fn make_dir(&self, path: &str) -> Result<()> {
        let (_, identity) = NewObject::default().earn_id([0; 32])?;
        self.ask(path, |store| store.mkdir(path.as_bytes(), &identity)).map(|_| ())
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        let mut store = self.store();
        let r = store.rmdir(path.as_bytes()).map_err(self.said(path))?;
        store.reclaim(r).map_err(self.said(path))
    }

    fn read_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()> {
        let Named::Directory(dir) = self.ask(path, |store| store.lookup(path.as_bytes()))? else {
            return Err(Error::NotADirectory(path.into()));
        };
        let (mut cursor, mut entry) = (0, NameEntry::new_zeroed());
        while let Some(found) =
            self.ask(path, |store| store.read_dir(dir, &mut cursor, &mut entry))?
        {
            // A name that is not UTF-8 has no path here.
            if let Ok(name) = std::str::from_utf8(entry.bytes()) {
                visit(name, unnamed(found))?;
            }
        }
        Ok(())
    }

    fn bump_generation(&self) -> Result<()> {
        // Nothing is mapped, so nobody has translations that could be stale.
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        self.ask("", |store| {
            store.sync()?;
            Ok(store.media().sync())
        })?
        .map_err(Error::at("sync", &self.path))
    }

    fn attach(&self, _: &Arena, view: Option<ObjectId>) -> Result<()> {
        view.map_or(Ok(()), |_| Err(NOT_MAPPED))
    }

    fn map(&self, _: ObjectId, _: &SlotWindow<'_>, _: Rights) -> Result<Mapped> {
        Err(NOT_MAPPED)
    }

    fn map_fot(&self, _: ObjectId, _: &SlotWindow<'_>, _: u32, _: u32, _: Rights) -> Result<u32> {
        Err(NOT_MAPPED)
    }

    fn unmap(&self, _: &SlotWindow<'_>) -> Result<()> {
        Ok(())
    }

    fn size(&self, id: ObjectId) -> Result<u64> {
        self.ask("", |store| Ok(store.find_record(id)?.1.size))
    }

    fn open_data(&self, _: ObjectId, _: Rights) -> Result<OwnedFd> {
        Err(NOT_MAPPED)
    }

    fn next(&self, id: ObjectId, at: u64, hole: bool) -> Result<u64> {
        self.ask("", |store| {
            let record = store.find_record(id)?.1;
            let page = DATA_START.saturating_add(at) / PAGE;
            let found = match hole {
                true => Some(store.next_hole(&record, page)?),
                false => store.next_data(&record, page)?,
            };
            let from = |page: u64| (page * PAGE).saturating_sub(DATA_START).max(at);
            Ok(found.map_or(record.size, from).min(record.size))
        })
    }

    fn punch(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        self.ask("", |store| {
            let (r, record) = store.find_record(id)?;
            let (from, to) = (DATA_START.saturating_add(from), DATA_START.saturating_add(to));
            let end = DATA_START + record.size;
            // Behind the end of the data there is nothing to keep.
            let last = if to < end { to / PAGE } else { end.div_ceil(PAGE) };
            let (mut page, to) = (from.div_ceil(PAGE), to.min(end));
            if page > last {
                return wipe(store, r, from, to);
            }
            wipe(store, r, from, (page * PAGE).min(to))?;
            wipe(store, r, (last * PAGE).max(from), to)?;
            while page < last {
                // Nobody has them mapped: an image cannot be.
                page = store.punch(r, page, last, PUNCH)?;
            }
            Ok(())
        })
    }

    fn process_file(&self) -> Result<OwnedFd> {
        Err(NOT_MAPPED)
    }

    fn wait(&self, _: &Word<'_>, _: u64, _: Option<Duration>) -> Result<Waited> {
        Err(NOT_MAPPED)
    }

    fn wake(&self, _: &Word<'_>, _: u64) -> Result<u64> {
        Err(NOT_MAPPED)
    }
}
