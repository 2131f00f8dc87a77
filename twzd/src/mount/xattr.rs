// SPDX-License-Identifier: MIT OR Apache-2.0
//! Extended attributes. In a directory pool they are those of the host's own file, and in
//! any other in objects of their own ([`Extra`]), which go with what they are about
//! ([`super::table`]). Who may read and set which is the kernel's to decide.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    fs::File,
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

use fuser::{Errno, Request};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use twz::{Backend, Binding, DATA_START, Error, NewObject, ObjectId, Result, Rights};

use super::{
    Fs,
    access::{self, ACCESS, DEFAULT},
    attr::now,
    errno,
};

type Answer<T> = std::result::Result<T, Errno>;
type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the names of those begin with that are not programs' own.
const OWN: &[u8] = b"user.twz.";

/// The attribute that says which object a file is. It is not listed: whoever copies
/// attributes is not to copy it.
const ID: &[u8] = b"user.twz.id";

/// The directory that has the objects, each by the id of what it is about.
pub const PLACE: &str = ".mount.attributes";

/// First bytes of such an object.
const MAGIC: &[u8] = b"TWZXATTR";

/// Most bytes that the attributes of one file take.
const MOST: usize = 1 << 20;

/// What objects have attributes that a pool does not know of.
#[derive(Default)]
pub struct Extra(HashSet<ObjectId>);

impl Extra {
    /// Finds those of a pool. What is about something that is gone goes as well.
    pub fn open(pool: &dyn Backend, read_only: bool) -> Result<Self> {
        let mut known = HashSet::new();
        let seen = pool.read_dir(PLACE, &mut |name, _| {
            known.extend(name.parse::<ObjectId>());
            Ok(())
        });
        match seen {
            Ok(()) | Err(Error::NoName(_)) => {}
            Err(error) => return Err(error),
        }
        let mut extra = Self(known);
        if !read_only {
            let gone = |id: &ObjectId| matches!(pool.stat(*id), Err(Error::NoObject(_)));
            let left: Vec<ObjectId> = extra.0.iter().copied().filter(gone).collect();
            left.into_iter().try_for_each(|id| extra.remove(pool, id))?;
        }
        Ok(extra)
    }

    /// Whether an object has any.
    pub fn has(&self, id: ObjectId) -> bool {
        self.0.contains(&id)
    }

    fn read(&self, pool: &dyn Backend, id: ObjectId) -> Result<Values> {
        if !self.has(id) {
            return Ok(Values::new());
        }
        let Binding::Object(place) = pool.lookup(&path(id))? else { return Ok(Values::new()) };
        let mut bytes = vec![0; (pool.size(place)? as usize).min(2 * MOST)];
        pool.read(place, DATA_START, &mut bytes)?;
        Ok(parse(&bytes).unwrap_or_default())
    }

    /// Puts others in the place of those there are, in one step.
    fn write(&mut self, pool: &dyn Backend, id: ObjectId, values: &Values) -> Result<()> {
        if values.is_empty() {
            return self.remove(pool, id);
        }
        let bytes = image(values);
        match pool.make_dir(PLACE) {
            Ok(()) | Err(Error::NameTaken(_)) => {}
            Err(error) => return Err(error),
        }
        let old = if self.has(id) { pool.lookup(&path(id)).ok() } else { None };
        let new = NewObject { size: bytes.len() as u64, ..NewObject::default() };
        let new = pool.create(&new)?;
        let done = pool
            .write(new, DATA_START, &bytes)
            .and_then(|()| pool.sync(new))
            .and_then(|()| pool.bind(&path(id), new, true));
        if let Err(error) = done {
            let _ = pool.delete(new);
            return Err(error);
        }
        self.0.insert(id);
        match old {
            Some(Binding::Object(old)) => pool.delete(old),
            _ => Ok(()),
        }
    }

    /// Takes all of an object's away.
    pub fn remove(&mut self, pool: &dyn Backend, id: ObjectId) -> Result<()> {
        if !self.0.remove(&id) {
            return Ok(());
        }
        match pool.lookup(&path(id))? {
            Binding::Object(place) => {
                pool.unbind(&path(id))?;
                pool.delete(place)
            }
            Binding::Directory => Ok(()),
        }
    }
}

fn path(id: ObjectId) -> String {
    format!("{PLACE}/{id}")
}

/// Names and values as they are in an object. MOUNT.md has the format.
fn image(values: &Values) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (name, value) in values {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(name);
        bytes.extend(value);
    }
    bytes
}

fn parse(bytes: &[u8]) -> Option<Values> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut values = Values::new();
    while let Some((lengths, behind)) = rest.split_first_chunk::<8>() {
        let (name, value) = lengths.split_at(4);
        let length = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize);
        let (name, behind) = behind.split_at_checked(length(name)?)?;
        let (value, behind) = behind.split_at_checked(length(value)?)?;
        values.insert(name.to_vec(), value.to_vec());
        rest = behind;
    }
    Some(values)
}

/// An attribute of a kind that a file can have here.
fn settable(name: &OsStr) -> Answer<&[u8]> {
    let name = name.as_bytes();
    let known = [&b"user."[..], b"trusted.", b"security."];
    match known.iter().any(|kind| name.starts_with(kind)) {
        true if name.starts_with(OWN) => Err(Errno::EPERM),
        true => Ok(name),
        false => Err(Errno::EOPNOTSUPP),
    }
}

/// What an attribute is named on the host's file: a list there would be for that file.
fn on_host(name: &[u8]) -> Cow<'_, [u8]> {
    match access::which(name) {
        Some(list) => [OWN, list.strip_prefix(b"system.").unwrap_or(list)].concat().into(),
        None => name.into(),
    }
}

/// The name by which programs know what the host's file has, if they are to.
fn for_programs(name: &[u8]) -> Option<&[u8]> {
    match name.starts_with(OWN) {
        true => [ACCESS, DEFAULT].into_iter().find(|list| *on_host(list) == *name),
        false => Some(name),
    }
}

fn host(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

impl Fs {
    /// The object that has a file's or directory's attributes; a directory may have none.
    pub(super) fn keeper(&self, ino: u64) -> Option<ObjectId> {
        self.id_of(ino).or_else(|| self.nodes.dir(ino)?.marker)
    }

    /// The host's file.
    fn host_file(&self, ino: u64, id: ObjectId) -> Answer<Arc<File>> {
        match self.nodes.object(ino).and_then(|object| object.file.clone()) {
            Some(file) => Ok(file),
            None => Ok(Arc::new(self.pool.open_data(id, Rights::READ).map_err(errno)?.into())),
        }
    }

    /// What an attribute is, whatever its name.
    pub(super) fn value(&self, ino: u64, id: ObjectId, name: &[u8]) -> Answer<Option<Vec<u8>>> {
        if !self.native {
            return Ok(self.table.extra.read(&*self.pool, id).map_err(errno)?.remove(name));
        }
        let mut value = vec![0; 1 << 16];
        match fgetxattr(&*self.host_file(ino, id)?, &*on_host(name), &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(rustix::io::Errno::NODATA) => return Ok(None),
            Err(error) => return Err(host(error)),
        }
        Ok(Some(value))
    }

    /// Sets an attribute, or takes it away.
    pub(super) fn keep(
        &mut self,
        ino: u64,
        id: ObjectId,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Answer<()> {
        if self.native {
            let (file, name) = (self.host_file(ino, id)?, on_host(name));
            return match value {
                Some(value) => fsetxattr(&*file, &*name, value, XattrFlags::empty()),
                None => fremovexattr(&*file, &*name),
            }
            .map_err(host);
        }
        let mut values = self.table.extra.read(&*self.pool, id).map_err(errno)?;
        match value {
            Some(value) => values.insert(name.to_vec(), value.to_vec()),
            None => values.remove(name),
        };
        if image(&values).len() > MOST {
            return Err(Errno::ENOSPC);
        }
        self.table.extra.write(&*self.pool, id, &values).map_err(errno)
    }

    pub fn get_xattr(&self, ino: u64, name: &OsStr) -> Answer<Vec<u8>> {
        if let Some(list) = access::which(name.as_bytes()) {
            return self.acl(ino, list)?.map(|acl| acl.bytes()).ok_or(Errno::NO_XATTR);
        }
        let id = self.keeper(ino).ok_or(Errno::NO_XATTR)?;
        if name.as_bytes() == ID {
            return self.id_of(ino).map(|id| id.to_string().into()).ok_or(Errno::NO_XATTR);
        }
        let name = settable(name)?;
        self.value(ino, id, name)?.ok_or(Errno::NO_XATTR)
    }

    /// Their names, each ended by a NUL.
    pub fn list_xattr(&self, ino: u64) -> Answer<Vec<u8>> {
        let Some(id) = self.keeper(ino) else { return Ok(Vec::new()) };
        let there: Vec<Vec<u8>> = if self.native {
            let mut names = vec![0; 1 << 16];
            let file = self.host_file(ino, id)?;
            let length = flistxattr(&*file, &mut names[..]).map_err(host)?;
            names.truncate(length);
            names.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
        } else {
            self.table.extra.read(&*self.pool, id).map_err(errno)?.into_keys().collect()
        };
        let shown = there.iter().filter(|name| !name.is_empty());
        let shown: Vec<&[u8]> = shown.filter_map(|name| for_programs(name)).collect();
        Ok(shown.into_iter().flat_map(|name| [name, b"\0"].concat()).collect())
    }

    pub fn set_xattr(
        &mut self,
        ino: u64,
        name: &OsStr,
        value: &[u8],
        how: i32,
        by: &Request,
    ) -> Answer<()> {
        self.writable()?;
        if let Some(list) = access::which(name.as_bytes()) {
            return self.set_acl(ino, list, Some(value), by);
        }
        let name = settable(name)?;
        self.give_record(ino)?;
        let id = self.keeper(ino).ok_or(Errno::EOPNOTSUPP)?;
        let there = how != 0 && self.value(ino, id, name)?.is_some();
        match how {
            libc::XATTR_CREATE if there => return Err(Errno::EEXIST),
            libc::XATTR_REPLACE if !there => return Err(Errno::NO_XATTR),
            _ => self.keep(ino, id, name, Some(value))?,
        }
        self.note(ino, |attr| attr.ctime = now());
        Ok(())
    }

    pub fn remove_xattr(&mut self, ino: u64, name: &OsStr, by: &Request) -> Answer<()> {
        self.writable()?;
        if let Some(list) = access::which(name.as_bytes()) {
            return self.set_acl(ino, list, None, by);
        }
        let name = settable(name)?;
        let id = self.keeper(ino).ok_or(Errno::NO_XATTR)?;
        self.value(ino, id, name)?.ok_or(Errno::NO_XATTR)?;
        self.keep(ino, id, name, None)?;
        self.note(ino, |attr| attr.ctime = now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_read_again() {
        let mut values = Values::new();
        values.insert(b"user.a".to_vec(), b"some\0bytes".to_vec());
        values.insert(b"user.b".to_vec(), Vec::new());
        let bytes = image(&values);
        assert_eq!(parse(&bytes), Some(values));
        for cut in 0..bytes.len() {
            // Never more than there is, whatever is missing.
            let _ = parse(&bytes[..cut]);
        }
        assert_eq!(parse(b"anything"), None);
        assert_eq!(parse(&[MAGIC, &[255; 9]].concat()), None);
    }
}
