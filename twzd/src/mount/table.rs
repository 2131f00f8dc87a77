// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the attributes are: [`Table`], an object of the pool that has a record of
//! 64 bytes for each object that has any. All of it is in memory too; changes are
//! written at once, changes of times at the next flush. MOUNT.md has the format.

use std::{
    collections::{HashMap, hash_map},
    fs::File,
    os::unix::fs::FileExt as _,
};

use nix::fcntl::{Flock, FlockArg};
use twz::{Backend, Binding, DATA_START, Error, NewObject, ObjectId, Result, Rights, joined};

use super::{
    attr::{Attr, RECORD},
    xattr::Extra,
};

/// The name of the table in the root; in any other directory, that of the object
/// whose record is the directory's.
pub const HIDDEN: &str = ".mount";

/// Whether a name is for the mount itself: that one, or one that begins with it and a dot.
pub fn is_hidden(name: &str) -> bool {
    name.strip_prefix(HIDDEN).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

const MAGIC: [u8; 8] = *b"TWZMOUNT";
const VERSION: u64 = 1;
/// How much the table grows at a time.
const GROWTH: u64 = 1 << 14;

struct Entry {
    attr: Attr,
    /// Which record of the table it is; `None` while it is in no record.
    slot: Option<u64>,
    dirty: bool,
}

/// The attributes of a pool's files.
pub struct Table {
    /// `None` in a pool that cannot be written and has none.
    object: Option<ObjectId>,
    entries: HashMap<ObjectId, Entry>,
    free: Vec<u64>,
    /// Records that the object has room for.
    room: u64,
    read_only: bool,
    /// Extended attributes, which go with what they are about.
    pub extra: Extra,
    /// The object's data, where the pool gives it as a file. Held by the one mount of the
    /// pool, and written to without asking the pool each time whether that may be.
    file: Option<Flock<File>>,
}

impl Table {
    /// Reads the table of a pool, or makes one.
    pub fn open(pool: &dyn Backend, read_only: bool) -> Result<Self> {
        let object = match pool.lookup(HIDDEN) {
            Ok(Binding::Object(id)) => Some(id),
            Ok(Binding::Directory) => return Err(Error::NameTaken(HIDDEN.into())),
            Err(Error::NoName(_)) if read_only => None,
            Err(Error::NoName(_)) => Some(Self::make(pool)?),
            Err(error) => return Err(error),
        };
        let mut table = Self {
            object,
            entries: HashMap::new(),
            free: Vec::new(),
            room: 0,
            read_only,
            extra: Extra::default(),
            file: object.map(|id| lock(pool, id, read_only)).transpose()?.flatten(),
        };
        if let Some(id) = object {
            table.load(pool, id)?;
        }
        table.extra = Extra::open(pool, read_only)?;
        Ok(table)
    }

    fn make(pool: &dyn Backend) -> Result<ObjectId> {
        let id = pool.create(&NewObject { size: GROWTH, ..NewObject::default() })?;
        let mut head = [0; 16];
        head[..8].copy_from_slice(&MAGIC);
        head[8..].copy_from_slice(&VERSION.to_le_bytes());
        pool.write(id, DATA_START, &head)?;
        pool.sync(id)?;
        pool.bind(HIDDEN, id, false)?;
        Ok(id)
    }

    /// The object with the table.
    pub fn object(&self) -> Option<ObjectId> {
        self.object
    }

    fn load(&mut self, pool: &dyn Backend, id: ObjectId) -> Result<()> {
        let size = pool.size(id)?;
        let mut bytes = vec![0; size as usize];
        for (n, chunk) in bytes.chunks_mut(1 << 20).enumerate() {
            pool.read(id, DATA_START + ((n as u64) << 20), chunk)?;
        }
        let (records, _) = bytes.as_chunks::<RECORD>();
        let Some((head, records)) = records.split_first() else {
            return Err(Error::NameTaken(HIDDEN.into()));
        };
        if head[..8] != MAGIC || head[8..16] != VERSION.to_le_bytes() {
            return Err(Error::NameTaken(HIDDEN.into()));
        }
        self.room = records.len() as u64;
        for (slot, record) in (0..).zip(records) {
            let Some((id, attr)) = Attr::of_record(record) else {
                self.free.push(slot);
                continue;
            };
            match self.settle(pool, id, attr) {
                Some(attr) => {
                    let entry = Entry { attr, slot: Some(slot), dirty: false };
                    // Of two records of one object the first is the one that is kept.
                    match self.entries.entry(id) {
                        hash_map::Entry::Vacant(place) => drop(place.insert(entry)),
                        hash_map::Entry::Occupied(_) => self.wipe(pool, slot)?,
                    }
                }
                None => self.wipe(pool, slot)?,
            }
        }
        // Low records first.
        self.free.reverse();
        Ok(())
    }

    /// What is left of a record at the start: nothing if its object is gone, and a
    /// file that was unlinked while a daemon that died had it open goes now.
    fn settle(&self, pool: &dyn Backend, id: ObjectId, attr: Attr) -> Option<Attr> {
        if self.read_only {
            return Some(attr);
        }
        match pool.stat(id) {
            Err(Error::NoObject(_)) => None,
            Ok(stat) if attr.orphan && stat.names == 0 => match joined::delete(pool, id) {
                Ok(()) | Err(Error::NoObject(_)) => None,
                Err(_) => Some(attr),
            },
            Ok(_) => Some(Attr { orphan: false, ..attr }),
            Err(_) => Some(attr),
        }
    }

    fn wipe(&mut self, pool: &dyn Backend, slot: u64) -> Result<()> {
        self.free.push(slot);
        match self.object {
            Some(table) if !self.read_only => self.put(pool, table, slot, &[0; RECORD]),
            _ => Ok(()),
        }
    }

    fn put(
        &self,
        pool: &dyn Backend,
        table: ObjectId,
        slot: u64,
        record: &[u8; RECORD],
    ) -> Result<()> {
        let at = place(slot);
        match &self.file {
            Some(file) => file.write_all_at(record, at - DATA_START).map_err(|error| Error::Io {
                doing: "write the mount's table",
                path: None,
                error,
            }),
            None => pool.write(table, at, record),
        }
    }

    /// The attributes of an object, if it has any.
    pub fn get(&self, id: ObjectId) -> Option<Attr> {
        self.entries.get(&id).map(|entry| entry.attr)
    }

    /// Changes them, and writes that.
    pub fn set(&mut self, pool: &dyn Backend, id: ObjectId, attr: Attr) -> Result<()> {
        self.note(id, attr);
        self.write(pool, id)
    }

    /// Changes them, to be written at the next flush.
    pub fn note(&mut self, id: ObjectId, attr: Attr) {
        let slot = self.entries.get(&id).and_then(|entry| entry.slot);
        self.entries.insert(id, Entry { attr, slot, dirty: true });
    }

    /// Forgets an object that is gone.
    pub fn remove(&mut self, pool: &dyn Backend, id: ObjectId) -> Result<()> {
        self.extra.remove(pool, id)?;
        match self.entries.remove(&id).and_then(|entry| entry.slot) {
            Some(slot) => self.wipe(pool, slot),
            None => Ok(()),
        }
    }

    /// Writes what is not written yet of one object.
    pub fn write(&mut self, pool: &dyn Backend, id: ObjectId) -> Result<()> {
        let (Some(table), false) = (self.object, self.read_only) else { return Ok(()) };
        let Some((slot, attr)) = self.entries.get(&id).map(|entry| (entry.slot, entry.attr)) else {
            return Ok(());
        };
        let slot = match slot {
            Some(slot) => slot,
            None => self.take(pool, table)?,
        };
        self.put(pool, table, slot, &attr.record(id))?;
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.slot, entry.dirty) = (Some(slot), false);
        }
        Ok(())
    }

    /// A record that is free.
    fn take(&mut self, pool: &dyn Backend, table: ObjectId) -> Result<u64> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        let room = self.room + GROWTH / RECORD as u64;
        pool.resize(table, (room + 1) * RECORD as u64)?;
        self.free.extend((self.room..room).rev());
        self.room = room;
        self.free.pop().ok_or(Error::NoSlot)
    }

    /// Writes all that is not written yet.
    pub fn flush(&mut self, pool: &dyn Backend) -> Result<()> {
        let dirty: Vec<ObjectId> =
            self.entries.iter().filter(|(_, entry)| entry.dirty).map(|(id, _)| *id).collect();
        dirty.into_iter().try_for_each(|id| self.write(pool, id))
    }

    /// Makes what is written durable.
    pub fn sync(&self, pool: &dyn Backend) -> Result<()> {
        match self.object {
            Some(table) if !self.read_only => pool.sync(table),
            _ => Ok(()),
        }
    }
}

/// Where a record is; the first 64 bytes are the head.
fn place(slot: u64) -> u64 {
    DATA_START + (slot + 1) * RECORD as u64
}

/// So that one daemon at a time has a table in memory. An image is held as a whole.
fn lock(pool: &dyn Backend, id: ObjectId, read_only: bool) -> Result<Option<Flock<File>>> {
    let rights = if read_only { Rights::READ } else { Rights(Rights::READ.0 | Rights::WRITE.0) };
    let fd = match pool.open_data(id, rights) {
        Ok(fd) => fd,
        Err(Error::Unsupported(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let how =
        if read_only { FlockArg::LockSharedNonblock } else { FlockArg::LockExclusiveNonblock };
    match Flock::lock(File::from(fd), how) {
        Ok(held) => Ok(Some(held)),
        Err(_) => Err(Error::Busy {
            what: "the pool is mounted already; 'findmnt -t fuse.twz' shows where",
        }),
    }
}

#[cfg(test)]
mod tests {
    use twz::{ImageOptions, ImagePool};

    use super::*;

    fn pool() -> (tempfile::TempDir, ImagePool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool");
        ImagePool::format(&path, &ImageOptions::default()).unwrap();
        let pool = ImagePool::open_unsynced(&path).unwrap();
        (dir, pool)
    }

    #[test]
    fn what_was_set_is_read_again() {
        let (_dir, pool) = pool();
        let mut table = Table::open(&pool, false).unwrap();
        let ids: Vec<ObjectId> =
            (0..700).map(|_| pool.create(&NewObject::default()).unwrap()).collect();
        for (n, id) in (0..).zip(&ids) {
            table.set(&pool, *id, Attr::new(libc::S_IFREG | 0o600, n, 0)).unwrap();
        }
        table.remove(&pool, ids[3]).unwrap();
        table.note(ids[4], Attr::new(libc::S_IFREG, 4, 77));
        table.flush(&pool).unwrap();
        drop(table);
        pool.delete(ids[5]).unwrap();
        let again = Table::open(&pool, false).unwrap();
        assert_eq!(again.get(ids[699]).map(|attr| attr.uid), Some(699));
        assert_eq!(again.get(ids[3]), None);
        assert_eq!(again.get(ids[4]).map(|attr| attr.gid), Some(77));
        assert_eq!(again.get(ids[5]), None, "its object is gone");
    }

    #[test]
    fn an_orphan_goes_at_the_next_start() {
        let (_dir, pool) = pool();
        let mut table = Table::open(&pool, false).unwrap();
        let id = pool.create(&NewObject::default()).unwrap();
        let attr = Attr { orphan: true, ..Attr::new(libc::S_IFREG, 0, 0) };
        table.set(&pool, id, attr).unwrap();
        let named = pool.create(&NewObject::default()).unwrap();
        pool.bind("kept", named, false).unwrap();
        table.set(&pool, named, attr).unwrap();
        drop(table);
        let again = Table::open(&pool, false).unwrap();
        assert!(pool.size(id).is_err());
        assert_eq!(again.get(named).map(|attr| attr.orphan), Some(false));
    }

    #[test]
    fn another_object_of_that_name_is_no_table() {
        let (_dir, pool) = pool();
        let id = pool.create(&NewObject { size: 100, ..NewObject::default() }).unwrap();
        pool.bind(HIDDEN, id, false).unwrap();
        assert!(matches!(Table::open(&pool, false), Err(Error::NameTaken(_))));
    }
}
