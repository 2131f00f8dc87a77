// SPDX-License-Identifier: MIT OR Apache-2.0
//! Extended attributes. In a directory pool they are those of the host's own file, and in
//! any other in objects of their own ([`Extra`]), which go with what they are about
//! ([`super::table`]). Who may read and set which is the kernel's to decide.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    fs::File,
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

use fuser::Errno;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use twz::{Backend, Binding, DATA_START, Error, NewObject, ObjectId, Result, Rights};

use super::{Fs, attr::now, errno};

type Answer<T> = std::result::Result<T, Errno>;
type Values = BTreeMap<Vec<u8>, Vec<u8>>;

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
        true if name == ID => Err(Errno::EPERM),
        true => Ok(name),
        false => Err(Errno::EOPNOTSUPP),
    }
}

fn host(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

impl Fs {
    /// The object that has a file's or directory's attributes; a directory may have none.
    fn keeper(&self, ino: u64) -> Option<ObjectId> {
        self.id_of(ino).or_else(|| self.nodes.dir(ino)?.marker)
    }

    /// The host's file.
    fn host_file(&self, ino: u64, id: ObjectId) -> Answer<Arc<File>> {
        match self.nodes.object(ino).and_then(|object| object.file.clone()) {
            Some(file) => Ok(file),
            None => Ok(Arc::new(self.pool.open_data(id, Rights::READ).map_err(errno)?.into())),
        }
    }

    pub fn get_xattr(&self, ino: u64, name: &OsStr) -> Answer<Vec<u8>> {
        let id = self.keeper(ino).ok_or(Errno::NO_XATTR)?;
        if name.as_bytes() == ID {
            return self.id_of(ino).map(|id| id.to_string().into()).ok_or(Errno::NO_XATTR);
        }
        let name = settable(name)?;
        if !self.native {
            let found = self.table.extra.read(&*self.pool, id).map_err(errno)?.remove(name);
            return found.ok_or(Errno::NO_XATTR);
        }
        let file = self.host_file(ino, id)?;
        let mut value = vec![0; 1 << 16];
        let length = fgetxattr(&*file, name, &mut value[..]).map_err(host)?;
        value.truncate(length);
        Ok(value)
    }

    /// Their names, each ended by a NUL.
    pub fn list_xattr(&self, ino: u64) -> Answer<Vec<u8>> {
        let Some(id) = self.keeper(ino) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        if !self.native {
            for name in self.table.extra.read(&*self.pool, id).map_err(errno)?.keys() {
                names.extend(name);
                names.push(0);
            }
            return Ok(names);
        }
        let file = self.host_file(ino, id)?;
        names.resize(1 << 16, 0);
        let length = flistxattr(&*file, &mut names[..]).map_err(host)?;
        names.truncate(length);
        Ok(names)
    }

    pub fn set_xattr(&mut self, ino: u64, name: &OsStr, value: &[u8], how: i32) -> Answer<()> {
        self.writable()?;
        let name = settable(name)?;
        self.give_record(ino)?;
        let id = self.keeper(ino).ok_or(Errno::EOPNOTSUPP)?;
        if self.native {
            let file = self.host_file(ino, id)?;
            let how = XattrFlags::from_bits_retain(how as u32);
            fsetxattr(&*file, name, value, how).map_err(host)?;
        } else {
            let mut values = self.table.extra.read(&*self.pool, id).map_err(errno)?;
            match values.contains_key(name) {
                true if how & libc::XATTR_CREATE != 0 => return Err(Errno::EEXIST),
                false if how & libc::XATTR_REPLACE != 0 => return Err(Errno::NO_XATTR),
                _ => values.insert(name.to_vec(), value.to_vec()),
            };
            if image(&values).len() > MOST {
                return Err(Errno::ENOSPC);
            }
            self.table.extra.write(&*self.pool, id, &values).map_err(errno)?;
        }
        self.note(ino, |attr| attr.ctime = now());
        Ok(())
    }

    pub fn remove_xattr(&mut self, ino: u64, name: &OsStr) -> Answer<()> {
        self.writable()?;
        let name = settable(name)?;
        let id = self.keeper(ino).ok_or(Errno::NO_XATTR)?;
        if self.native {
            fremovexattr(&*self.host_file(ino, id)?, name).map_err(host)?;
        } else {
            let mut values = self.table.extra.read(&*self.pool, id).map_err(errno)?;
            values.remove(name).ok_or(Errno::NO_XATTR)?;
            self.table.extra.write(&*self.pool, id, &values).map_err(errno)?;
        }
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
