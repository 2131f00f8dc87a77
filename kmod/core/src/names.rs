// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Paths: names of objects in a tree of directories.
//!
//! A path is walked from the root, component by component, so it ends whatever
//! the directories hold. Each change of names is one transaction. A directory
//! has one name, given by `mkdir` or `rename`, and is never moved below itself;
//! so there are no rings.

use twz_abi::{
    meta,
    name::{self, deep_components, NameEntry},
    ObjectId, ObjectRecord,
};

use crate::{
    directory::Named,
    error::{Resource, Result, StoreError},
    ident::Identity,
    media::Media,
    object::NewObject,
    store::{RecordNo, Store},
};

/// What a name is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// An object.
    Object(ObjectId),
    /// A directory.
    Directory(ObjectId),
}

impl Binding {
    /// The object's or directory's id.
    pub fn id(&self) -> ObjectId {
        match *self {
            Self::Object(id) | Self::Directory(id) => id,
        }
    }

    fn of(entry: &NameEntry) -> Self {
        match entry.kind {
            name::kind::DIRECTORY => Self::Directory(entry.id),
            _ => Self::Object(entry.id),
        }
    }
}

impl<M: Media> Store<M> {
    /// What `path` is bound to; `/` is the root directory.
    pub fn lookup(&self, path: &[u8]) -> Result<Binding> {
        let mut found = Binding::Directory(self.geo.root_names);
        for part in deep_components(path).map_err(StoreError::Name)? {
            let Binding::Directory(id) = found else { return Err(StoreError::NotADirectory) };
            let (_, dir) = self.directory(id)?;
            let named = self.find_name(&dir, part)?.ok_or(StoreError::NoName)?;
            found = Binding::of(&named.entry);
        }
        Ok(found)
    }

    /// Binds `path` to object `id`. If the name is bound to an object already,
    /// and `replace` is said, it is rebound at one instant: nobody ever finds it
    /// missing. Returns what it was bound to.
    pub fn bind(&mut self, path: &[u8], id: ObjectId, replace: bool) -> Result<Option<ObjectId>> {
        self.writable()?;
        let ((dir, record), name) = self.parent(path, None)?;
        let (r, named) = self.find_record(id)?;
        if named.kind == meta::kind::NAMES {
            return Err(StoreError::Directory { id });
        }
        let entry = NameEntry::new(name, name::kind::OBJECT, id).map_err(StoreError::Name)?;
        let old = self.find_name(&record, name)?;
        let was = match &old {
            Some(named) if named.entry.kind == name::kind::DIRECTORY => {
                return Err(StoreError::IsADirectory)
            }
            Some(_) if !replace => return Err(StoreError::NameTaken),
            Some(named) => Some(named.entry.id),
            None => None,
        };
        self.transact(|s| {
            s.count_name(r, true)?;
            match old {
                Some(named) => {
                    s.uncount(named.entry.id)?;
                    s.replace_name(named.at, &entry)
                }
                None => s.insert_name(dir, &entry),
            }
        })?;
        Ok(was)
    }

    /// Removes the name of an object, and returns the object's id.
    pub fn unbind(&mut self, path: &[u8]) -> Result<ObjectId> {
        self.writable()?;
        let ((_, dir), name) = self.parent(path, None)?;
        let named = self.find_name(&dir, name)?.ok_or(StoreError::NoName)?;
        if named.entry.kind == name::kind::DIRECTORY {
            return Err(StoreError::IsADirectory);
        }
        self.transact(|s| {
            s.uncount(named.entry.id)?;
            s.remove_name(named.at)
        })?;
        Ok(named.entry.id)
    }

    /// Gives what is named `from` the name `to` instead. An object that had the
    /// name `to` loses it; a directory does not. Returns that object's id.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<Option<ObjectId>> {
        self.writable()?;
        let ((_, from_dir), from_name) = self.parent(from, None)?;
        let moved = self.find_name(&from_dir, from_name)?.ok_or(StoreError::NoName)?;
        let is_dir = moved.entry.kind == name::kind::DIRECTORY;
        let ((to_dir, record), to_name) = self.parent(to, is_dir.then_some(moved.entry.id))?;
        let old = self.find_name(&record, to_name)?;
        match &old {
            Some(named) if named.at == moved.at => return Ok(None),
            Some(named) if named.entry.kind == name::kind::DIRECTORY => {
                return Err(StoreError::NameTaken)
            }
            Some(_) if is_dir => return Err(StoreError::NameTaken),
            _ => {}
        }
        let entry = NameEntry::new(to_name, moved.entry.kind, moved.entry.id);
        let entry = entry.map_err(StoreError::Name)?;
        let was = old.as_ref().map(|named| named.entry.id);
        self.transact(|s| {
            match old {
                Some(Named { at, .. }) => {
                    s.uncount(was.unwrap_or_default())?;
                    s.replace_name(at, &entry)?;
                }
                None => s.insert_name(to_dir, &entry)?,
            }
            s.remove_name(moved.at)
        })?;
        Ok(was)
    }

    /// Makes a directory.
    pub fn mkdir(&mut self, path: &[u8], identity: &Identity) -> Result<ObjectId> {
        self.writable()?;
        let id = identity.id().ok_or(StoreError::Nonce)?;
        identity.verify(id)?;
        if identity.is_immutable() {
            return Err(StoreError::Immutable { id });
        }
        self.absent(id)?;
        let ((dir, record), name) = self.parent(path, None)?;
        if self.find_name(&record, name)?.is_some() {
            return Err(StoreError::NameTaken);
        }
        let entry = NameEntry::new(name, name::kind::DIRECTORY, id).map_err(StoreError::Name)?;
        let new = NewObject { kind: meta::kind::NAMES, ..NewObject::bytes(*identity) };
        self.transact(|s| {
            let mut record = new.record(id);
            record.names = 1;
            s.insert(record)?;
            s.insert_name(dir, &entry)
        })?;
        Ok(id)
    }

    /// Removes an empty directory, name and object. The caller reclaims it.
    pub fn rmdir(&mut self, path: &[u8]) -> Result<RecordNo> {
        self.writable()?;
        let ((_, dir), name) = self.parent(path, None)?;
        let named = self.find_name(&dir, name)?.ok_or(StoreError::NoName)?;
        if named.entry.kind != name::kind::DIRECTORY {
            return Err(StoreError::NotADirectory);
        }
        let id = named.entry.id;
        let (r, _) = self.directory(id)?;
        if self.next_name(r, &mut 0)?.is_some() {
            return Err(StoreError::NotEmpty);
        }
        let (r, before) = self.search_chain(id)?.ok_or(StoreError::NotFound { id })?;
        self.transact(|s| {
            s.retire(r, before)?;
            s.remove_name(named.at)
        })?;
        Ok(r)
    }

    /// The names in a directory, one at a time: what the next one is bound to,
    /// and in `entry` the name. `cursor` begins at 0 and says where to go on;
    /// a name that stays bound all the while is found exactly once.
    pub fn read_dir(
        &self,
        dir: ObjectId,
        cursor: &mut u64,
        entry: &mut NameEntry,
    ) -> Result<Option<Binding>> {
        let (dir, _) = self.directory(dir)?;
        Ok(self.next_name(dir, cursor)?.map(|named| {
            *entry = named.entry;
            Binding::of(entry)
        }))
    }

    /// The directory that the last component of `path` is in, and that
    /// component. `not_below` must not be on the way.
    fn parent<'p>(
        &self,
        path: &'p [u8],
        not_below: Option<ObjectId>,
    ) -> Result<((RecordNo, ObjectRecord), &'p [u8])> {
        let mut parts = deep_components(path).map_err(StoreError::Name)?;
        // The root itself has no name that could change.
        let mut last = parts.next().ok_or(StoreError::IsADirectory)?;
        let mut dir = self.directory(self.geo.root_names)?;
        for part in parts {
            let named = self.find_name(&dir.1, last)?.ok_or(StoreError::NoName)?;
            if named.entry.kind != name::kind::DIRECTORY {
                return Err(StoreError::NotADirectory);
            }
            if Some(named.entry.id) == not_below {
                return Err(StoreError::BelowItself);
            }
            (dir, last) = (self.directory(named.entry.id)?, part);
        }
        Ok((dir, last))
    }

    /// An object has one name more or less.
    fn count_name(&mut self, r: RecordNo, more: bool) -> Result<()> {
        let mut record = self.live(r)?;
        let count = match more {
            true => record.names.checked_add(1),
            false => record.names.checked_sub(1),
        };
        record.names = count.ok_or(StoreError::Full { what: Resource::Count })?;
        self.put_record(r, &record)
    }

    /// The object of a name that goes. A name whose object is gone can go too.
    fn uncount(&mut self, id: ObjectId) -> Result<()> {
        match self.search_chain(id)? {
            Some((r, _)) if self.live(r)?.names != 0 => self.count_name(r, false),
            _ => Ok(()),
        }
    }
}
