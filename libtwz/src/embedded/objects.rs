// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects as pairs of files: making, reading, resizing and deleting them.
//!
//! An object exists if its tail does. The tail is made in `tmp/` and renamed
//! into place last, and removed first, so there is no instant at which a killed
//! process leaves half an object that anyone could open.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    sync::atomic::Ordering,
};

use twz_abi::{
    FORMAT_VERSION, MAX_DATA, META_START, Meta, ObjectId, PAGE, Rights, TAIL_START,
    meta::{Bounds, MAX_EPOCH, META_MAGIC, epoch_of, epoch_word, flags},
};
use twz_core::ident::Identity;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{EmbeddedPool, paths, paths::ObjectPath};
use crate::{
    backend::{NewObject, ObjectStat},
    error::{Error, Result},
    raw::tail::TailPage,
};

/// Where the meta record lies in the tail file.
pub(super) const META_IN_TAIL: u64 = META_START - TAIL_START;

/// The meta record of a new object.
pub(super) fn meta_of(id: ObjectId, identity: &Identity, new: &NewObject, size: u64) -> Meta {
    let mut meta = Meta::new_zeroed();
    meta.magic = META_MAGIC;
    meta.version = FORMAT_VERSION;
    meta.flags = identity.flags;
    meta.default_rights = identity.default_rights;
    meta.kind = new.kind;
    meta.id = id;
    meta.nonce = identity.nonce;
    meta.owner = identity.owner;
    meta.content = identity.content;
    meta.fingerprint = new.fingerprint;
    meta.epoch = epoch_word(new.epoch);
    meta.checksum = meta.compute_checksum();
    meta.size = size;
    meta.bounds = Bounds { data_pages: size.div_ceil(PAGE) as u32, fot_pages: 0 }.pack();
    meta
}

/// Checks a meta record that was copied out of object `id`.
pub(super) fn verify(meta: &Meta, id: ObjectId) -> Result<Identity> {
    meta.check().map_err(|error| Error::Format { what: format!("object {id}"), error })?;
    let identity = identity_of(meta);
    if meta.id != id || identity.id() != Some(id) {
        return Err(Error::BadId(id));
    }
    Ok(identity)
}

/// What an object's id is made from.
pub(super) fn identity_of(meta: &Meta) -> Identity {
    Identity {
        nonce: meta.nonce,
        owner: meta.owner,
        flags: meta.flags,
        default_rights: meta.default_rights,
        content: meta.content,
    }
}

impl EmbeddedPool {
    pub(super) fn create_object(&self, new: &NewObject) -> Result<ObjectId> {
        self.writable()?;
        check_new(new)?;
        if new.flags & flags::IMMUTABLE != 0 {
            return Err(Error::Unsupported(
                "an immutable object is made by copying one that has its data",
            ));
        }
        let (id, identity) = new.earn_id([0; 32])?;
        self.place(id, &meta_of(id, &identity, new, new.size), None)?;
        Ok(id)
    }

    pub(super) fn adopt_object(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId> {
        self.writable()?;
        check_new(new)?;
        let Some(id) = identity.id() else {
            return Err(Error::Unsupported("this identity gives no valid id"));
        };
        // An immutable object comes in as its owner's data says it is; its
        // bytes are written before anyone is told, and checked by the caller.
        self.place(id, &meta_of(id, identity, new, new.size), None)?;
        Ok(id)
    }

    /// Puts an object's files in place. `data` is a file in `tmp/` to take, or
    /// a new one of the right size is made.
    pub(super) fn place(&self, id: ObjectId, meta: &Meta, data: Option<&Path>) -> Result<()> {
        let (data_path, tail_path) = self.object_paths(id);
        if tail_path.exists() {
            return Err(Error::Exists(id));
        }
        match data {
            Some(made) => in_directory(&data_path, || fs::rename(made, &data_path))?,
            None => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(mode_for(meta));
                let file = in_directory(&data_path, || options.open(&data_path))?;
                if meta.size != 0 {
                    file.set_len(meta.size).map_err(|error| {
                        let _ = fs::remove_file(&data_path);
                        Error::at("create", &data_path)(error)
                    })?;
                }
            }
        }
        self.place_tail(&tail_path, meta).inspect_err(|_| {
            let _ = fs::remove_file(&data_path);
        })
    }

    /// Makes a tail with this meta record and an empty FOT, all at once.
    pub(super) fn place_tail(&self, path: &Path, meta: &Meta) -> Result<()> {
        let made = paths::temporary(&self.root);
        let write = || -> io::Result<()> {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(tail_mode_for(meta))
                .open(&made)?;
            file.write_all_at(meta.as_bytes(), META_IN_TAIL)?;
            fs::rename(&made, path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&made);
            Error::at("create", path)(error)
        })
    }

    pub(super) fn object_paths(&self, id: ObjectId) -> (std::path::PathBuf, std::path::PathBuf) {
        (ObjectPath::data(id).within(&self.root), ObjectPath::tail(id).within(&self.root))
    }

    /// Opens one of an object's files. Does not allocate when it succeeds.
    pub(super) fn open_file(
        &self,
        id: ObjectId,
        path: &ObjectPath,
        write: bool,
    ) -> Result<OwnedFd> {
        use nix::{
            errno::Errno,
            fcntl::{OFlag, openat},
            sys::stat::Mode,
        };
        let mode = if write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        openat(
            &self.dir,
            path.as_c_str(),
            mode | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )
        .map_err(|errno| match errno {
            Errno::ENOENT => Error::NoObject(id),
            Errno::EROFS => Error::ReadOnly,
            Errno::EACCES | Errno::EPERM => {
                Error::denied(id, if write { Rights::WRITE } else { Rights::READ })
            }
            other => Error::Io { doing: "open an object", path: None, error: other.into() },
        })
    }

    /// Reads and verifies an object's meta record.
    pub(super) fn meta(&self, id: ObjectId) -> Result<(Meta, Identity)> {
        let tail = File::from(self.open_file(id, &ObjectPath::tail(id), false)?);
        let mut meta = Meta::new_zeroed();
        tail.read_exact_at(meta.as_mut_bytes(), META_IN_TAIL).map_err(|_| Error::Format {
            what: format!("object {id}"),
            error: twz_abi::FormatError::Short { what: "tail" },
        })?;
        let identity = verify(&meta, id)?;
        Ok((meta, identity))
    }

    /// Refuses what the active context does not allow. For honest programs: the
    /// files' modes say the same to others, where they can.
    pub(super) fn require(&self, id: ObjectId, right: Rights) -> Result<()> {
        self.keep_up();
        let (meta, _) = self.meta(id)?;
        if meta.flags & flags::IMMUTABLE != 0 && right == Rights::WRITE {
            return Err(Error::Immutable(id));
        }
        self.must_allow(&meta, right)
    }

    pub(super) fn stat_object(&self, id: ObjectId) -> Result<ObjectStat> {
        let (meta, identity) = self.meta(id)?;
        let (data, tail) = self.object_paths(id);
        let at = |path: &Path| fs::metadata(path).map_err(Error::at("stat", path));
        let (data, tail) = (at(&data)?, at(&tail)?);
        Ok(ObjectStat {
            id,
            identity,
            kind: meta.kind,
            fingerprint: meta.fingerprint,
            size: data.len(),
            stored: (data.blocks() + tail.blocks()) * 512,
            names: data.nlink().saturating_sub(1),
            epoch: epoch_of(meta.epoch).unwrap_or(MAX_EPOCH),
        })
    }

    pub(super) fn list_objects(&self, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()> {
        for first in 0..=255u8 {
            let dir = self.root.join(paths::OBJECTS).join(format!("{first:02x}"));
            let entries = match fs::read_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::at("list", &dir))?,
            };
            for entry in entries {
                let entry = entry.map_err(Error::at("list", &dir))?;
                if let Some(id) = paths::id_of_tail(&entry.file_name()) {
                    visit(id)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn resize_object(&self, id: ObjectId, size: u64) -> Result<()> {
        self.writable()?;
        if size > MAX_DATA {
            return Err(Error::BadSize(size));
        }
        self.require(id, Rights::WRITE)?;
        let tail = TailPage::map(self.open_file(id, &ObjectPath::tail(id), true)?.as_fd())?;
        let file = File::from(self.open_file(id, &ObjectPath::data(id), true)?);
        let now = file.metadata().map_err(Error::at("stat", self.root.as_path()))?.len();
        let bounds = tail.word(META_START + core::mem::offset_of!(Meta, bounds) as u64)?;
        let pages = size.div_ceil(PAGE) as u32;
        // Growing claims its pages before it uses them, shrinking gives them
        // back after: the FOT never sees room that is not there.
        if size >= now {
            claim_data_pages(bounds, pages, id)?;
        }
        file.set_len(size).map_err(Error::at("resize", ObjectPath::data(id).within(&self.root)))?;
        if size < now {
            let _ = bounds.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                Some(Bounds { data_pages: pages, ..Bounds::unpack(word) }.pack())
            });
        }
        tail.word(META_START + core::mem::offset_of!(Meta, size) as u64)?
            .store(size, Ordering::Release);
        // Who knows the old end finds out by itself that there is more.
        if size < now { self.bump() } else { Ok(()) }
    }

    pub(super) fn reserve_data(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        self.writable()?;
        if to > MAX_DATA || from > to {
            return Err(Error::BadSize(to));
        }
        self.require(id, Rights::WRITE)?;
        let file = File::from(self.open_file(id, &ObjectPath::data(id), true)?);
        let at = || ObjectPath::data(id).within(&self.root);
        let now = file.metadata().map_err(Error::at("stat", at()))?.len();
        let tail = (to > now)
            .then(|| self.open_file(id, &ObjectPath::tail(id), true))
            .transpose()?
            .map(|tail| TailPage::map(tail.as_fd()))
            .transpose()?;
        if let Some(tail) = &tail {
            let bounds = tail.word(META_START + core::mem::offset_of!(Meta, bounds) as u64)?;
            claim_data_pages(bounds, to.div_ceil(PAGE) as u32, id)?;
        }
        allocate(&file, from, to).map_err(Error::at("find room for", at()))?;
        if let Some(tail) = &tail {
            tail.word(META_START + core::mem::offset_of!(Meta, size) as u64)?
                .fetch_max(to, Ordering::AcqRel);
        }
        Ok(())
    }

    pub(super) fn delete_object(&self, id: ObjectId) -> Result<()> {
        self.writable()?;
        let (data, tail) = self.object_paths(id);
        match self.require(id, Rights::DELETE) {
            // What is damaged can be deleted, if nothing else.
            Ok(()) | Err(Error::Format { .. } | Error::BadId(_)) => {}
            Err(error) => return Err(error),
        }
        match fs::metadata(&data) {
            Ok(stat) if stat.nlink() > 1 => {
                return Err(Error::Busy {
                    what: "the object is still bound to a name; unbind that first",
                });
            }
            Ok(stat) => self.forget_inode(stat.ino()),
            Err(_) => {}
        }
        match fs::remove_file(&tail) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoObject(id));
            }
            other => other.map_err(Error::at("delete", &tail))?,
        }
        match fs::remove_file(&data) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(Error::at("delete", &data)),
        }
    }

    /// The size for who uses the object.
    pub(super) fn size_now(&self, id: ObjectId) -> Result<u64> {
        self.keep_up();
        self.data_size(id)
    }

    pub(super) fn data_size(&self, id: ObjectId) -> Result<u64> {
        use nix::{errno::Errno, fcntl::AtFlags, sys::stat::fstatat};
        match fstatat(&self.dir, ObjectPath::data(id).as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => no_longer_than_an_object(id, stat.st_size as u64),
            Err(Errno::ENOENT) => Err(Error::NoObject(id)),
            Err(other) => {
                Err(Error::Io { doing: "stat an object", path: None, error: other.into() })
            }
        }
    }
}

/// Programs may make a file under `names/` as long as they like; as an object it then
/// has no slot that it fits in, and part of it would be taken for the whole.
pub(super) fn no_longer_than_an_object(id: ObjectId, size: u64) -> Result<u64> {
    if size > MAX_DATA { Err(Error::LongFile { id, size }) } else { Ok(size) }
}

/// Does what makes an object's data file; the first time in one of the 256
/// directories, that is made before.
pub(super) fn in_directory<T>(data: &Path, mut make: impl FnMut() -> io::Result<T>) -> Result<T> {
    let made = make().or_else(|error| match (error.kind(), data.parent()) {
        (io::ErrorKind::NotFound, Some(parent)) => match fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => make(),
        },
        _ => Err(error),
    });
    made.map_err(Error::at("put in place", data))
}

/// Gives a range of a file storage, and the file at least that length.
pub(super) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    use nix::{
        errno::Errno,
        fcntl::{FallocateFlags, fallocate},
    };
    if from == to {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), from as i64, (to - from) as i64) {
        // Not every file system can: there a full disk shows at the store.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) if file.metadata()?.len() < to => file.set_len(to),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Raises the data's claim to at least `pages`, unless the FOT is in the way.
pub(crate) fn claim_data_pages(
    bounds: &std::sync::atomic::AtomicU64,
    pages: u32,
    id: ObjectId,
) -> Result<()> {
    let claimed = bounds.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
        let now = Bounds::unpack(word);
        let new = Bounds { data_pages: now.data_pages.max(pages), ..now };
        new.fits().then(|| new.pack())
    });
    match claimed {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::ObjectFull { id, what: "its data and its FOT would meet" }),
    }
}

/// Permissions of an object's files, less the umask: what its default rights grant.
/// What contexts may grant besides, on what somebody owns, is for the user who made
/// it: modes know no contexts.
pub(super) fn mode_for(meta: &Meta) -> u32 {
    let rights = Rights(meta.default_rights);
    let (owned, mutable) = (!meta.owner.is_null(), meta.flags & flags::IMMUTABLE == 0);
    let mut mode = if owned && !rights.contains(Rights::READ) { 0o400 } else { 0o444 };
    if mutable && rights.contains(Rights::WRITE) {
        mode |= 0o222;
    } else if mutable && owned {
        mode |= 0o200;
    }
    if rights.contains(Rights::EXEC) {
        mode |= 0o111;
    }
    mode
}

/// The same for the tail, which holds the epoch, too: an owner raises it.
pub(super) fn tail_mode_for(meta: &Meta) -> u32 {
    mode_for(meta) | if meta.owner.is_null() { 0 } else { 0o200 }
}

fn check_new(new: &NewObject) -> Result<()> {
    if new.size > MAX_DATA {
        return Err(Error::BadSize(new.size));
    }
    if new.flags & !flags::KNOWN != 0 || !new.default_rights.check() {
        return Err(Error::Unsupported("unknown flags or rights"));
    }
    Ok(())
}
