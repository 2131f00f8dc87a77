// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names: looking them up, making, moving and taking them away. The kernel has
//! checked permissions, and that what is there fits what is asked.

use std::{borrow::Cow, ffi::OsStr};

use fuser::{Errno, FileAttr, RenameFlags, Request};
use twz::{Binding, Error, MAX_DATA, NewObject, ObjectId, Rights};

use super::{
    Fs, PROCESSES,
    access::Heritage,
    attr::{Attr, now},
    errno,
    look::Look,
    nodes::{Dir, ROOT, SERVER},
    spelling,
    table::{HIDDEN, is_hidden},
};

type Answer<T> = Result<T, Errno>;

/// The longest name, here and there.
const LONGEST: usize = 255;
/// The longest path from the root, with room for what is hidden in a directory.
const MOST_DEEP: usize = 16383 - (1 + HIDDEN.len());
const MOST_PATH: usize = 4095;

/// What is to be made.
pub struct New<'a> {
    pub parent: u64,
    pub name: &'a OsStr,
    pub mode: u32,
    pub umask: u32,
    pub rdev: u32,
    /// What is in it from the start: the text of a symbolic link.
    pub text: &'a [u8],
}

/// What rename(2) is asked: each name in its directory.
pub struct Rename<'a> {
    pub from: (u64, &'a OsStr),
    pub to: (u64, &'a OsStr),
    pub flags: RenameFlags,
}

impl Fs {
    /// A name, and the path that it has in the pool.
    fn place<'n>(&self, parent: u64, name: &'n OsStr) -> Answer<(Cow<'n, str>, String)> {
        if name.len() > LONGEST {
            return Err(Errno::ENAMETOOLONG);
        }
        let name = spelling::in_pool(name);
        if name.len() > LONGEST {
            return Err(Errno::EILSEQ);
        }
        if is_hidden(&name) || parent == ROOT && name == PROCESSES {
            return Err(Errno::EPERM);
        }
        let path = self.join(parent, &name)?;
        Ok((name, path))
    }

    fn join(&self, parent: u64, name: &str) -> Answer<String> {
        let dir = self.nodes.path(parent).ok_or(Errno::ENOENT)?;
        let path = if dir.is_empty() { name.into() } else { format!("{dir}/{name}") };
        // The kernel's pool is told of a path in one call.
        let most = if self.native || self.alone { MOST_DEEP } else { MOST_PATH };
        if path.len() > most { Err(Errno::ENAMETOOLONG) } else { Ok(path) }
    }

    /// Whether anything may be changed, which the caller is about to do.
    pub(super) fn writable(&self) -> Answer<()> {
        self.stats.borrow_mut().clear();
        if self.read_only { Err(Errno::EROFS) } else { Ok(()) }
    }

    pub fn lookup(&mut self, parent: u64, name: &OsStr) -> Answer<FileAttr> {
        if parent == ROOT && name == HIDDEN {
            return self.attributes(SERVER);
        }
        let (name, path) = match self.place(parent, name) {
            Err(refused) if i32::from(refused) == libc::EPERM => return Err(Errno::ENOENT),
            other => other?,
        };
        let ino = match self.pool.lookup(&path).map_err(errno)? {
            Binding::Object(id) => self.nodes.meet_at(id, parent, &name),
            Binding::Directory => {
                let marker = self.marker(&path);
                self.meet_dir(parent, &name, marker)
            }
        };
        self.attributes(ino).inspect_err(|_| self.nodes.forget(ino, 1))
    }

    fn meet_dir(&mut self, parent: u64, name: &str, marker: Option<ObjectId>) -> u64 {
        let attr = Attr::of_directory(self.since, self.owner);
        self.nodes.meet_dir(Dir::new(parent, name, marker, attr))
    }

    /// The object whose record is that of the directory at `path`.
    pub(super) fn marker(&self, path: &str) -> Option<ObjectId> {
        match self.pool.lookup(&format!("{path}/{HIDDEN}")) {
            Ok(Binding::Object(id)) => Some(id),
            _ => None,
        }
    }

    /// What stat(2) says of an inode.
    pub fn attributes(&self, ino: u64) -> Answer<FileAttr> {
        if ino == SERVER {
            let attr = Attr::of_object(Rights::READ, self.since, self.owner);
            let mode = libc::S_IFLNK | 0o777;
            return Ok(Attr { mode, ..attr }.told(ino, self.server().len() as u64, 0, 1));
        }
        if let Some(object) = self.nodes.object(ino) {
            let look = self.look(object.id).map_err(errno)?;
            let (size, blocks) = match look.attr.format() {
                libc::S_IFREG | libc::S_IFLNK => (look.size, look.stored.div_ceil(512)),
                _ => (0, 0),
            };
            return Ok(look.attr.told(ino, size, blocks, look.names as u32));
        }
        let dir = self.nodes.dir(ino).ok_or(Errno::ENOENT)?;
        Ok(self.dir_attr(dir).told(ino, 4096, 8, self.links(ino, dir)))
    }

    /// The text of the link that says which process serves the mount.
    pub fn server(&self) -> String {
        std::process::id().to_string()
    }

    pub(super) fn dir_attr(&self, dir: &Dir) -> Attr {
        dir.marker.and_then(|id| self.table.get(id)).unwrap_or(dir.attr)
    }

    /// Changes the record of a directory or a file, to be written soon.
    pub(super) fn note(&mut self, ino: u64, change: impl FnOnce(&mut Attr)) {
        if self.read_only {
            return;
        }
        if let Some(object) = self.nodes.object(ino) {
            let id = object.id;
            let known = self.table.get(id).filter(|_| !self.native);
            let Some(mut attr) = known.or_else(|| Some(self.look(id).ok()?.attr)) else {
                return;
            };
            change(&mut attr);
            self.table.note(id, attr);
        } else if let Some(dir) = self.nodes.dir(ino) {
            let (mut attr, marker) = (self.dir_attr(dir), dir.marker);
            change(&mut attr);
            match marker {
                Some(id) => self.table.note(id, attr),
                None => {
                    if let Some(dir) = self.nodes.dir_mut(ino) {
                        dir.attr = attr;
                    }
                }
            }
        }
    }

    /// A directory has other names in it than before.
    fn changed(&mut self, dir: u64) {
        self.note(dir, |attr| (attr.mtime, attr.ctime) = (now(), now()));
    }

    /// Makes a file of any type but a directory.
    pub fn make(&mut self, new: &New<'_>, request: &Request) -> Answer<FileAttr> {
        self.writable()?;
        let (name, path) = self.place(new.parent, new.name)?;
        let heritage = self.inherited(new.parent, (new.mode, new.umask), request)?;
        let attr = Attr { rdev: new.rdev, ..heritage.attr };
        let size = new.text.len() as u64;
        let id = self.pool.create(&NewObject { size, ..NewObject::default() }).map_err(errno)?;
        // What is no plain file has its type in the table: that goes first.
        let plain = attr.format() == libc::S_IFREG;
        let mut done = self.give_acls(id, &heritage);
        if done.is_ok() && !plain {
            done = self.table.set(&*self.pool, id, attr).map_err(errno);
            if size != 0 {
                let written = || self.pool.write(id, twz::DATA_START, new.text).map_err(errno);
                done = done.and_then(|()| written());
            }
        }
        done = done.and_then(|()| self.pool.bind(&path, id, false).map_err(errno));
        if done.is_ok() && plain {
            done = self.table.set(&*self.pool, id, attr).map_err(errno);
            if done.is_err() {
                let _ = self.pool.unbind(&path);
            }
        }
        if let Err(errno) = done {
            let _ = self.table.remove(&*self.pool, id);
            let _ = self.pool.delete(id);
            return Err(errno);
        }
        self.changed(new.parent);
        let ino = self.nodes.meet_at(id, new.parent, &name);
        self.attributes(ino)
    }

    pub fn make_dir(
        &mut self,
        parent: u64,
        name: &OsStr,
        (mode, umask): (u32, u32),
        request: &Request,
    ) -> Answer<FileAttr> {
        self.writable()?;
        let (name, path) = self.place(parent, name)?;
        let mode = libc::S_IFDIR | mode & 0o7777;
        let heritage = self.inherited(parent, (mode, umask), request)?;
        self.pool.make_dir(&path).map_err(errno)?;
        let marker = self.mark(&path, &heritage).inspect_err(|_| {
            let _ = self.pool.remove_dir(&path);
        })?;
        self.changed(parent);
        self.count(parent, 1);
        let ino = self.meet_dir(parent, &name, Some(marker));
        self.attributes(ino)
    }

    /// Gives the directory at `path` a record.
    pub(super) fn mark(&mut self, path: &str, heritage: &Heritage) -> Answer<ObjectId> {
        let id = self.pool.create(&NewObject::default()).map_err(errno)?;
        let hidden = format!("{path}/{HIDDEN}");
        let done = self.give_acls(id, heritage).and_then(|()| {
            let set = self.table.set(&*self.pool, id, heritage.attr);
            set.and_then(|()| self.pool.bind(&hidden, id, false)).map_err(errno)
        });
        if done.is_err() {
            let _ = self.table.remove(&*self.pool, id);
            let _ = self.pool.delete(id);
        }
        done.map(|()| id)
    }

    pub fn unlink(&mut self, parent: u64, name: &OsStr) -> Answer<()> {
        self.writable()?;
        let (_, path) = self.place(parent, name)?;
        let id = if self.native {
            self.pool.take_name(&path).map_err(errno)?
        } else {
            let Binding::Object(id) = self.pool.lookup(&path).map_err(errno)? else {
                return Err(Errno::EISDIR);
            };
            self.losing_name(id);
            self.pool.unbind(&path).map_err(errno).inspect_err(|_| self.lost_name(id))?;
            id
        };
        self.changed(parent);
        self.lost_name(id);
        Ok(())
    }

    /// A file of several objects is about to lose a name. If that is the last, who is
    /// killed before all of them are deleted is to leave word of it.
    fn losing_name(&mut self, id: ObjectId) {
        if self.native || self.pool.size(id).is_ok_and(|size| size < MAX_DATA) {
            return;
        }
        let Ok(Look { attr, names, .. }) = self.look(id) else { return };
        if attr.made && names == 1 {
            let _ = self.table.set(&*self.pool, id, Attr { orphan: true, ..attr });
        }
    }

    /// An object has a name less. One that the mount made goes with the last, as soon
    /// as nobody has it open; one that was an object before stays one.
    pub(super) fn lost_name(&mut self, id: ObjectId) {
        self.stats.borrow_mut().remove(&id);
        let Ok(Look { attr, names, .. }) = self.look(id) else { return };
        let mut attr = Attr { orphan: false, ctime: now(), ..attr };
        if names != 0 || !attr.made {
            return self.table.note(id, attr);
        }
        let open = self.nodes.object(self.nodes.number_of(id)).is_some_and(|node| node.opens != 0);
        if open {
            attr.orphan = true;
            // Unwritten, it would have to be found by a check.
            let _ = self.table.set(&*self.pool, id, attr);
        } else if self.delete(id).is_ok() {
            let _ = self.table.remove(&*self.pool, id);
        }
    }

    pub fn remove_dir(&mut self, parent: u64, name: &OsStr) -> Answer<()> {
        self.writable()?;
        let (name, path) = self.place(parent, name)?;
        if self.pool.lookup(&path).map_err(errno)? != Binding::Directory {
            return Err(Errno::ENOTDIR);
        }
        let marker = self.clear(&path)?;
        if let Err(error) = self.pool.remove_dir(&path) {
            self.restore(&path, marker);
            return Err(errno(error));
        }
        self.drop_marker(marker);
        self.nodes.remove_dir(parent, &name);
        self.changed(parent);
        self.count(parent, -1);
        Ok(())
    }

    /// Takes its record's name out of a directory that has nothing else in it.
    fn clear(&self, path: &str) -> Answer<Option<ObjectId>> {
        let mut empty = true;
        let seen = self.pool.read_dir(path, &mut |name, _| {
            empty &= name == HIDDEN;
            Ok(())
        });
        seen.map_err(errno)?;
        if !empty {
            return Err(Errno::ENOTEMPTY);
        }
        let marker = self.marker(path);
        if marker.is_some() {
            self.pool.unbind(&format!("{path}/{HIDDEN}")).map_err(errno)?;
        }
        Ok(marker)
    }

    fn restore(&self, path: &str, marker: Option<ObjectId>) {
        if let Some(id) = marker {
            let _ = self.pool.bind(&format!("{path}/{HIDDEN}"), id, false);
        }
    }

    fn drop_marker(&mut self, marker: Option<ObjectId>) {
        if let Some(id) = marker
            && self.pool.delete(id).is_ok()
        {
            let _ = self.table.remove(&*self.pool, id);
        }
    }

    pub fn link(&mut self, ino: u64, parent: u64, name: &OsStr) -> Answer<FileAttr> {
        self.writable()?;
        let (name, path) = self.place(parent, name)?;
        let id = self.nodes.object(ino).ok_or(Errno::EPERM)?.id;
        if self.table.get(id).is_some_and(|attr| attr.orphan) {
            return Err(Errno::ENOENT);
        }
        self.pool.bind(&path, id, false).map_err(errno)?;
        self.note(ino, |attr| attr.ctime = now());
        self.changed(parent);
        self.nodes.meet_at(id, parent, &name);
        self.attributes(ino)
    }

    pub fn rename(&mut self, asked: &Rename<'_>, request: &Request) -> Answer<()> {
        match asked.flags.contains(RenameFlags::RENAME_WHITEOUT) {
            true => self.move_and_white_out(asked, request),
            false => self.move_name(asked),
        }
    }

    fn move_name(&mut self, &Rename { from, to, flags }: &Rename<'_>) -> Answer<()> {
        self.writable()?;
        let (old_name, old) = self.place(from.0, from.1)?;
        let (new_name, new) = self.place(to.0, to.1)?;
        let source = self.pool.lookup(&old).map_err(errno)?;
        let target = match self.pool.lookup(&new) {
            Err(Error::NoName(_)) => None,
            other => Some(other.map_err(errno)?),
        };
        if flags == RenameFlags::RENAME_EXCHANGE {
            target.ok_or(Errno::ENOENT)?;
            self.exchange((&old, &new), (from.0, &old_name), (to.0, &new_name))?;
        } else if flags.is_empty() || flags == RenameFlags::RENAME_NOREPLACE {
            if !flags.is_empty() && target.is_some() {
                return Err(Errno::EEXIST);
            }
            if source == Binding::Directory && target == Some(Binding::Directory) {
                self.replace_dir(&old, &new)?;
                self.nodes.remove_dir(to.0, &new_name);
            } else {
                self.replace(&old, &new, target)?;
            }
            self.nodes.move_dir((from.0, &old_name), (to.0, &new_name));
            if let Some(Binding::Object(id)) = target {
                self.lost_name(id);
            }
        } else {
            return Err(Errno::EINVAL);
        }
        let dirs = [Some(source), target].contains(&Some(Binding::Directory));
        for dir in [from.0, to.0] {
            self.changed(dir);
            if dirs {
                self.uncount(dir);
            }
        }
        let moved = match source {
            Binding::Object(id) => self.nodes.number_of(id),
            Binding::Directory => self.nodes.number_of_dir(to.0, &new_name, None),
        };
        self.note(moved, |attr| attr.ctime = now());
        Ok(())
    }

    /// Renames, and leaves a device that there is not where it was: a whiteout. Until that
    /// has the name it is an orphan, which the next mount deletes.
    fn move_and_white_out(&mut self, asked: &Rename<'_>, request: &Request) -> Answer<()> {
        self.writable()?;
        let flags = asked.flags.difference(RenameFlags::RENAME_WHITEOUT);
        let (_, old) = self.place(asked.from.0, asked.from.1)?;
        let attr = Attr::new(libc::S_IFCHR, request.uid(), request.gid());
        let id = self.pool.create(&NewObject::default()).map_err(errno)?;
        let made = self.table.set(&*self.pool, id, Attr { orphan: true, ..attr }).map_err(errno);
        let done = made
            .and_then(|()| self.move_name(&Rename { flags, ..*asked }))
            .and_then(|()| self.pool.bind(&old, id, false).map_err(errno));
        if done.is_ok() {
            return self.table.set(&*self.pool, id, attr).map_err(errno);
        }
        let _ = self.table.remove(&*self.pool, id);
        let _ = self.pool.delete(id);
        done
    }

    /// Renames what may take the place of a file.
    fn replace(&mut self, old: &str, new: &str, target: Option<Binding>) -> Answer<()> {
        let Some(Binding::Object(id)) = target else {
            return self.pool.rename(old, new).map_err(errno);
        };
        self.losing_name(id);
        self.pool.rename(old, new).map_err(errno).inspect_err(|_| self.lost_name(id))
    }

    /// Renames a directory to the name of one that has nothing in it.
    fn replace_dir(&mut self, old: &str, new: &str) -> Answer<()> {
        let marker = self.clear(new)?;
        let renamed = match self.pool.rename(old, new) {
            // A store puts no directory in the place of another.
            Err(Error::NameTaken(_)) => self.pool.remove_dir(new).and_then(|()| {
                self.pool.rename(old, new).inspect_err(|_| {
                    let _ = self.pool.make_dir(new);
                })
            }),
            other => other,
        };
        if let Err(error) = renamed {
            self.restore(new, marker);
            return Err(errno(error));
        }
        self.drop_marker(marker);
        Ok(())
    }

    /// Exchanges two names, by a third that is hidden. MOUNT.md says what a power cut
    /// can leave of that.
    fn exchange(&mut self, paths: (&str, &str), a: (u64, &str), b: (u64, &str)) -> Answer<()> {
        let dir = paths.0.rsplit_once('/').map_or("", |(dir, _)| dir);
        let between = format!("{dir}/{HIDDEN}.{:x}", now());
        self.pool.rename(paths.0, &between).map_err(errno)?;
        if let Err(error) = self.pool.rename(paths.1, paths.0) {
            let _ = self.pool.rename(&between, paths.0);
            return Err(errno(error));
        }
        self.pool.rename(&between, paths.1).map_err(errno)?;
        let third = (a.0, "\0");
        self.nodes.move_dir(a, third);
        self.nodes.move_dir(b, a);
        self.nodes.move_dir(third, b);
        Ok(())
    }
}
