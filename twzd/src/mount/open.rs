// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is open, and what is done to it: files, listings of directories, attributes,
//! durability. Who may open what is the pool's to say, besides the mode: an object
//! that the daemon may not read is EACCES for all.

use std::{ffi::OsString, fs::File, sync::Arc};

use fuser::{BackingId, Errno, FileAttr, FileType, TimeOrNow};
use twz::{Binding, Error, Joined, NewObject, ObjectId, Rights, flags, joined};

use super::{
    Fs, PROCESSES,
    access::Heritage,
    attr::{kind, nanoseconds, now},
    content::Content,
    errno,
    nodes::{Object, ROOT},
    spelling,
    table::is_hidden,
};

type Answer<T> = Result<T, Errno>;

/// What is in a directory, as it was when it was read: a name, its inode and type.
pub type Listing = Arc<Vec<(OsString, u64, FileType)>>;

/// Changes of attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<TimeOrNow>,
    pub mtime: Option<TimeOrNow>,
    pub ctime: Option<i64>,
    /// Who asks: user and group.
    pub by: (u32, u32),
}

impl Change {
    /// Whether it is a chown(2). One that leaves both owners as they are takes privileges
    /// away, too, and is known by changing nothing else; so is what the kernel asks before
    /// it writes itself.
    fn owned(&self) -> bool {
        let other =
            self.mode.is_some() || self.size.is_some() || self.atime.or(self.mtime).is_some();
        self.uid.or(self.gid).is_some() || !other
    }
}

/// How much room there is, in blocks of 4096 bytes.
pub struct Room {
    pub blocks: u64,
    pub free: u64,
    pub files: u64,
}

/// Whether who opens a file so may write to it.
fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY
}

impl Fs {
    fn object(&self, ino: u64) -> Answer<&Object> {
        match self.nodes.dir(ino) {
            Some(_) => Err(Errno::EISDIR),
            None => self.nodes.object(ino).ok_or(Errno::ENOENT),
        }
    }

    /// Opens a file once more.
    pub fn open(&mut self, ino: u64, flags: i32) -> Answer<Option<Arc<File>>> {
        let write = writes(flags);
        if write && self.read_only {
            return Err(Errno::EROFS);
        }
        let object = self.object(ino)?;
        let (id, mut file, mut writable) = (object.id, object.file.clone(), object.writable);
        if file.is_none() || write && !writable {
            (file, writable) = self.open_data(id, write)?;
        }
        if let Some(object) = self.nodes.object_mut(ino) {
            object.opens += 1;
            object.writers += u64::from(write);
            (object.file, object.writable) = (file.clone(), writable);
        }
        Ok(file)
    }

    /// The data of an object, for writing too if that is allowed, or asked for.
    fn open_data(&self, id: ObjectId, write: bool) -> Answer<(Option<Arc<File>>, bool)> {
        let both = Rights(Rights::READ.0 | Rights::WRITE.0);
        let opened = match self.read_only {
            true => Err(Error::ReadOnly),
            false => self.pool.open_data(id, both),
        };
        match opened {
            Ok(fd) => Ok((Some(Arc::new(fd.into())), true)),
            Err(Error::Unsupported(_)) => self.of_image(id, write),
            Err(error) if write => Err(errno(error)),
            Err(_) => match self.pool.open_data(id, Rights::READ) {
                Ok(fd) => Ok((Some(Arc::new(fd.into())), false)),
                Err(Error::Unsupported(_)) => self.of_image(id, write),
                Err(error) => Err(errno(error)),
            },
        }
    }

    /// Nobody asks in an image: what everybody has is what there is.
    fn of_image(&self, id: ObjectId, write: bool) -> Answer<(Option<Arc<File>>, bool)> {
        let (rights, what) = self.default_rights(id).map_err(errno)?;
        let writable = rights.contains(Rights::WRITE) && what & flags::IMMUTABLE == 0;
        match rights.contains(Rights::READ) && (writable || !write) {
            true => Ok((None, writable)),
            false => Err(Errno::EACCES),
        }
    }

    /// Whether a file may be changed behind the kernel's back, which writes to it itself.
    pub fn changes_unseen(&self, ino: u64) -> bool {
        let open = self.nodes.object(ino);
        open.is_some_and(|object| object.backing.is_some()) && self.is_written(ino)
    }

    /// Whether somebody has a file open for writing, so that the kernel may have some of it
    /// that it has not written: who closes it last has that written.
    pub fn is_written(&self, ino: u64) -> bool {
        self.nodes.object(ino).is_some_and(|object| object.writers != 0)
    }

    /// Closes a file once that was opened with these flags.
    pub fn release(&mut self, ino: u64, flags: i32) {
        let Some(object) = self.nodes.object_mut(ino) else { return };
        object.opens = object.opens.saturating_sub(1);
        object.writers = object.writers.saturating_sub(u64::from(writes(flags)));
        if object.opens != 0 {
            return;
        }
        (object.file, object.backing) = (None, None);
        let id = object.id;
        self.stats.borrow_mut().remove(&id);
        if self.table.get(id).is_some_and(|attr| attr.orphan) && self.delete(id).is_ok() {
            let _ = self.table.remove(&*self.pool, id);
        }
    }

    /// What is in a file.
    fn content<T>(&self, ino: u64, act: impl FnOnce(Content<'_>) -> Answer<T>) -> Answer<T> {
        let object = self.object(ino)?;
        let (id, file) = (object.id, object.file.as_deref());
        act(Content { pool: &*self.pool, id, file, native: self.native })
    }

    pub fn read(&mut self, ino: u64, at: u64, n: u64) -> Answer<Vec<u8>> {
        let bytes = self.content(ino, |content| content.read(at, n))?;
        self.accessed(ino);
        Ok(bytes)
    }

    /// A read moves the time of the last access where that is before a change.
    fn accessed(&mut self, ino: u64) {
        let known = self.object(ino).ok().and_then(|object| self.table.get(object.id));
        if !self.native && known.is_some_and(|attr| attr.atime <= attr.mtime.max(attr.ctime)) {
            self.note(ino, |attr| attr.atime = now());
        }
    }

    /// `cached`: the kernel wrote to its cache before, and knows the time of that.
    pub fn write(
        &mut self,
        ino: u64,
        at: u64,
        bytes: &[u8],
        cached: bool,
        drop: Option<(u32, u32)>,
    ) -> Answer<()> {
        self.writable()?;
        self.content(ino, |content| content.write(at, bytes))?;
        if !cached || drop.is_some() {
            self.note(ino, |attr| {
                (attr.mtime, attr.ctime) = (now(), now());
                if let Some(by) = drop {
                    attr.drop_privileges(by);
                }
            });
        }
        Ok(())
    }

    pub fn allocate(&mut self, ino: u64, mode: i32, at: u64, length: u64) -> Answer<()> {
        self.writable()?;
        self.content(ino, |content| content.allocate(mode, at, length))?;
        self.note(ino, |attr| (attr.mtime, attr.ctime) = (now(), now()));
        Ok(())
    }

    pub fn seek(&self, ino: u64, at: i64, whence: i32) -> Answer<i64> {
        self.content(ino, |content| content.seek(at, whence))
    }

    /// Copies from one file into another. A whole one into an empty one is the pool's
    /// copy, which shares what it can.
    pub fn copy(&mut self, from: (u64, u64), to: (u64, u64), n: u64) -> Answer<u64> {
        self.writable()?;
        let size = self.content(from.0, |content| content.size())?;
        let whole = from.1 == 0 && to.1 == 0 && n >= size && size != 0;
        if whole && !self.native && self.share(from.0, to.0).is_some() {
            return Ok(size);
        }
        let done = self.content(from.0, |source| {
            self.content(to.0, |target| source.copy_to(from.1, &target, to.1, n))
        })?;
        self.note(to.0, |attr| (attr.mtime, attr.ctime) = (now(), now()));
        Ok(done)
    }

    /// Puts a copy of one object in the place of another that is empty and has one name.
    fn share(&mut self, from: u64, to: u64) -> Option<()> {
        let (source, target) = (self.nodes.object(from)?.id, self.nodes.object(to)?);
        let (old, (parent, name)) = (target.id, target.met.clone());
        let attr = self.table.get(old).filter(|attr| attr.made && !attr.orphan)?;
        let stat = self.pool.stat(old).ok().filter(|stat| stat.size == 0 && stat.names == 1)?;
        let dir = self.nodes.path(parent)?;
        let path = format!("{dir}/{name}");
        if source == old
            || self.table.extra.has(old)
            || !matches!(self.pool.lookup(&path), Ok(Binding::Object(id)) if id == old)
        {
            return None;
        }
        let default_rights = Rights(stat.identity.default_rights);
        let new = NewObject { default_rights, ..NewObject::default() };
        let copy = joined::copy(&*self.pool, source, &new).ok()?;
        let done = self.open_data(copy, true).and_then(|opened| {
            self.table.set(&*self.pool, copy, attr).map_err(errno)?;
            self.pool.bind(&path, copy, true).map_err(errno)?;
            Ok(opened)
        });
        let Ok((file, writable)) = done else {
            let _ = self.table.remove(&*self.pool, copy);
            let _ = joined::delete(&*self.pool, copy);
            return None;
        };
        self.nodes.replace(to, copy);
        if let Some(object) = self.nodes.object_mut(to) {
            (object.file, object.writable) = (file, writable);
        }
        if joined::delete(&*self.pool, old).is_ok() {
            let _ = self.table.remove(&*self.pool, old);
        }
        self.note(to, |attr| (attr.mtime, attr.ctime) = (now(), now()));
        Some(())
    }

    pub fn change(&mut self, ino: u64, change: &Change) -> Answer<FileAttr> {
        self.writable()?;
        if let Some(size) = change.size {
            self.content(ino, |content| content.resize(size))?;
        }
        let resized = change.size.is_some();
        let (mode, id) = match self.nodes.object(ino) {
            Some(object) => (None, Some(object.id)),
            None => (change.mode, None),
        };
        if mode.or(change.uid).or(change.gid).is_some() && id.is_none() {
            self.give_record(ino)?;
        }
        if let Some(mode) = change.mode {
            self.acl_follows(ino, mode)?;
        }
        self.note(ino, |attr| {
            let now = now();
            if let Some(mode) = change.mode {
                attr.mode = attr.format() | mode & 0o7777;
            }
            if change.owned() || resized && change.by.0 != 0 {
                attr.drop_privileges(change.by);
            }
            attr.uid = change.uid.unwrap_or(attr.uid);
            attr.gid = change.gid.unwrap_or(attr.gid);
            let at = |time: TimeOrNow| match time {
                TimeOrNow::SpecificTime(time) => nanoseconds(time),
                TimeOrNow::Now => now,
            };
            attr.atime = change.atime.map_or(attr.atime, at);
            attr.mtime = change.mtime.map_or(if resized { now } else { attr.mtime }, at);
            attr.ctime = change.ctime.unwrap_or(now);
        });
        if let Some(id) = id {
            self.set_native_times(ino, id, change);
            // Times alone can wait.
            if change.mode.or(change.uid).or(change.gid).is_some() {
                self.table.write(&*self.pool, id).map_err(errno)?;
            }
        }
        self.attributes(ino)
    }

    /// A real file keeps its times itself, and says what is now.
    fn set_native_times(&self, ino: u64, id: ObjectId, change: &Change) {
        if !self.native || change.atime.or(change.mtime).is_none() {
            return;
        }
        let open = self.nodes.object(ino).and_then(|object| object.file.clone());
        let file = open.or_else(|| {
            self.pool.open_data(id, Rights::READ).ok().map(|fd| Arc::new(File::from(fd)))
        });
        use nix::sys::{stat::futimens, time::TimeSpec};
        let time = |time: Option<TimeOrNow>| match time {
            Some(TimeOrNow::SpecificTime(time)) => {
                let ns = nanoseconds(time);
                TimeSpec::new(ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000))
            }
            Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
            None => TimeSpec::UTIME_OMIT,
        };
        if let Some(file) = file {
            let _ = futimens(&*file, &time(change.atime), &time(change.mtime));
        }
    }

    /// A directory that is to have attributes gets the object that they belong to.
    pub(super) fn give_record(&mut self, ino: u64) -> Answer<()> {
        let Some(dir) = self.nodes.dir(ino).filter(|dir| dir.marker.is_none() && ino != ROOT)
        else {
            return Ok(());
        };
        let attr = dir.attr;
        let path = self.nodes.path(ino).ok_or(Errno::ENOENT)?;
        let marker = match self.marker(&path) {
            Some(id) => id,
            None => self.mark(&path, &Heritage { attr, acls: Vec::new() })?,
        };
        if let Some(dir) = self.nodes.dir_mut(ino) {
            dir.marker = Some(marker);
        }
        Ok(())
    }

    pub fn read_link(&self, ino: u64) -> Answer<Vec<u8>> {
        self.content(ino, |content| content.read(0, 4096))
    }

    /// Opens a directory.
    pub fn open_dir(&mut self, ino: u64) -> Answer<u64> {
        self.nodes.dir(ino).ok_or(Errno::ENOTDIR)?;
        self.last_handle += 1;
        self.listings.insert(self.last_handle, (ino, Listing::default()));
        Ok(self.last_handle)
    }

    /// What is in an open directory, as it is when somebody begins to read: who goes back
    /// to the begin sees what came meanwhile.
    pub fn listing(&mut self, handle: u64, from: u64) -> Answer<Listing> {
        let (ino, known) = self.listings.get(&handle).ok_or(Errno::EBADF)?;
        if from != 0 {
            return Ok(Arc::clone(known));
        }
        let (ino, listing) = (*ino, self.list(*ino)?);
        self.listings.insert(handle, (ino, Arc::clone(&listing)));
        Ok(listing)
    }

    fn list(&self, ino: u64) -> Answer<Listing> {
        let dir = self.nodes.dir(ino).ok_or(Errno::ENOTDIR)?;
        let above = dir.parent;
        let mut found =
            vec![(".".into(), ino, FileType::Directory), ("..".into(), above, FileType::Directory)];
        if let Some(path) = self.nodes.path(ino) {
            let mut names = Vec::new();
            let seen = self.pool.read_dir(&path, &mut |name, binding| {
                if !is_hidden(name)
                    && (ino != ROOT || name != PROCESSES)
                    && let Some(shown) = spelling::for_programs(name)
                {
                    names.push((name.to_owned(), shown, binding));
                }
                Ok(())
            });
            seen.map_err(errno)?;
            found.extend(names.into_iter().map(|(name, shown, binding)| match binding {
                Binding::Object(id) => {
                    let mode = self.table.get(id).map_or(0, |attr| attr.mode);
                    (shown, self.nodes.number_of(id), kind(mode))
                }
                Binding::Directory => {
                    let marker = self.marker(&format!("{path}/{name}"));
                    let number = self.nodes.number_of_dir(ino, &name, marker);
                    (shown, number, FileType::Directory)
                }
            }));
        }
        Ok(Arc::new(found))
    }

    pub fn close_dir(&mut self, handle: u64) {
        self.listings.remove(&handle);
    }

    /// Makes what was done to a file durable.
    pub fn sync_file(&mut self, ino: u64) -> Answer<()> {
        if self.read_only {
            return Ok(());
        }
        let id = self.object(ino)?.id;
        let whole = if self.native { vec![id] } else { self.objects(id)? };
        whole.iter().try_for_each(|id| self.pool.sync(*id)).map_err(errno)?;
        self.table.write(&*self.pool, id).map_err(errno)?;
        self.table.sync(&*self.pool).map_err(errno)
    }

    /// The objects that a file is.
    fn objects(&self, id: ObjectId) -> Answer<Vec<ObjectId>> {
        Ok(Joined::find(&*self.pool, id).map_err(errno)?.objects)
    }

    pub fn room(&self) -> Answer<Room> {
        let info = self.pool.info().map_err(errno)?;
        let (blocks, free) = (info.capacity / 4096, info.free / 4096);
        Ok(Room { blocks, free, files: info.objects.unwrap_or(0) })
    }

    /// By which the kernel reads and writes an open file itself, where it can.
    pub fn backing(
        &mut self,
        ino: u64,
        open: impl FnOnce(&File) -> std::io::Result<BackingId>,
    ) -> Option<Arc<BackingId>> {
        let object = self.nodes.object_mut(ino)?;
        if object.backing.is_none() {
            object.backing = open(object.file.as_deref()?).ok().map(Arc::new);
        }
        object.backing.clone()
    }

    /// Writes the attributes that are not written yet.
    pub fn flush(&mut self) -> twz::Result<()> {
        self.table.flush(&*self.pool)
    }

    /// The id of what is a file.
    pub fn id_of(&self, ino: u64) -> Option<ObjectId> {
        self.nodes.object(ino).map(|object| object.id)
    }
}
