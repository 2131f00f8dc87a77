// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is seen of a file: [`Look`], from its record, its object, and in a directory pool
//! from the host's file. Each way asks the pool for no more than it needs, for nearly all
//! that is asked of a file system begins with a look.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt as _,
};

use twz::{Joined, MAX_DATA, ObjectId, ObjectStat, Result, Rights, joined};

use super::{
    Fs,
    attr::{Attr, nanoseconds},
};

/// Most objects that are known of at a time.
const MOST_KNOWN: usize = 1 << 14;

/// A file, as it is now.
pub struct Look {
    pub attr: Attr,
    /// Bytes that it is long, and that it takes.
    pub size: u64,
    pub stored: u64,
    /// How many names it has.
    pub names: u64,
}

impl Fs {
    /// What a file is. Of one that is the host's, and has a record, that says all.
    pub(super) fn look(&self, id: ObjectId) -> Result<Look> {
        let known = self.table.get(id);
        let real = if self.native { self.real(id, known.is_some()) } else { None };
        if let (Some(known), Some(real)) = (known, &real) {
            let attr = if known.format() == libc::S_IFREG { told_by(real, known) } else { known };
            let names = real.nlink().saturating_sub(1);
            return Ok(Look { attr, size: real.len(), stored: real.blocks() * 512, names });
        }
        let stat = self.stat(id)?;
        let rights = Rights(stat.identity.default_rights);
        let attr = known.unwrap_or_else(|| Attr::of_object(rights, self.since, self.owner));
        let attr = match real {
            Some(real) => {
                let (mode, uid, gid) = (real.mode(), real.uid(), real.gid());
                told_by(&real, Attr { mode, uid, gid, ctime: i64::MIN, ..attr })
            }
            None => attr,
        };
        Ok(Look { attr, size: stat.size, stored: stat.stored, names: stat.names })
    }

    /// What the host says of its file; of one that the mount did not make, if it may be read.
    fn real(&self, id: ObjectId, made: bool) -> Option<Metadata> {
        let open = self.nodes.object(self.nodes.number_of(id)).and_then(|node| node.file.clone());
        match open {
            Some(file) => file.metadata().ok(),
            None if made => self.pool.host(id),
            None => File::from(self.pool.open_data(id, Rights::READ).ok()?).metadata().ok(),
        }
    }

    /// What an object is. In an image that is to walk all its pages, and nobody else
    /// changes it: what was asked once holds until the next change.
    fn stat(&self, id: ObjectId) -> Result<ObjectStat> {
        if !self.alone {
            return self.stat_whole(id);
        }
        let known = self.stats.borrow().get(&id).cloned();
        if let Some(stat) = known {
            return Ok(stat);
        }
        let stat = self.stat_whole(id)?;
        let mut known = self.stats.borrow_mut();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(id, stat.clone());
        Ok(stat)
    }

    /// The same of a file that is several objects: their sizes together.
    fn stat_whole(&self, id: ObjectId) -> Result<ObjectStat> {
        let mut stat = self.pool.stat(id)?;
        if self.native || stat.size < MAX_DATA {
            return Ok(stat);
        }
        let whole = Joined::find(&*self.pool, id)?;
        stat.size = whole.length;
        for part in whole.objects.into_iter().skip(1) {
            stat.stored += self.pool.stat(part)?.stored;
        }
        Ok(stat)
    }

    /// What everybody may do with an object, and its flags.
    pub(super) fn default_rights(&self, id: ObjectId) -> Result<(Rights, u32)> {
        let identity = self.stat(id)?.identity;
        Ok((Rights(identity.default_rights), identity.flags))
    }

    /// Deletes the objects that a file is: in a directory pool that is one.
    pub(super) fn delete(&self, id: ObjectId) -> Result<()> {
        if self.native { self.pool.delete(id) } else { joined::delete(&*self.pool, id) }
    }
}

/// A real file has times of its own, and knows who writes to it.
fn told_by(real: &Metadata, attr: Attr) -> Attr {
    let time = |time: std::io::Result<_>, other| time.map_or(other, nanoseconds);
    let ctime = real.ctime().saturating_mul(1_000_000_000).saturating_add(real.ctime_nsec());
    Attr {
        atime: time(real.accessed(), attr.atime),
        mtime: time(real.modified(), attr.mtime),
        ctime: ctime.max(attr.ctime),
        ..attr
    }
}
