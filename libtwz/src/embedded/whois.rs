// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who an inode is: from a file under `names/` to the id of its object.
//!
//! `inodes/N` is a symbolic link whose text is `ID-NONCE`. It is made when an
//! object gets its first name, or when a file that some program made under
//! `names/` is looked up for the first time and becomes an object. The text is
//! enough to finish that, whoever was killed in the middle.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, symlink},
    },
    path::Path,
};

use nix::fcntl::{AtFlags, Flock, FlockArg};
use twz_abi::ObjectId;

use super::{
    EmbeddedPool,
    objects::{identity_of, in_directory, meta_of},
    paths,
    paths::ObjectPath,
};
use crate::{
    backend::NewObject,
    error::{Error, Result},
};

/// The id and nonce that an entry of `inodes/` gives.
fn parse(text: &Path) -> Option<(ObjectId, [u8; 16])> {
    let (id, nonce) = text.to_str()?.split_once('-')?;
    let nonce: ObjectId = nonce.parse().ok()?;
    Some((id.parse().ok()?, nonce.as_u128().to_be_bytes()))
}

fn text(id: ObjectId, nonce: [u8; 16]) -> String {
    format!("{id}-{}", ObjectId::from_u128(u128::from_be_bytes(nonce)))
}

impl EmbeddedPool {
    fn inode_path(&self, inode: u64) -> std::path::PathBuf {
        self.root.join(paths::INODES).join(inode.to_string())
    }

    /// The object that an open file under `names/` is, making it one if it is
    /// the first time that anyone asks.
    pub(super) fn who_is(&self, file: &File, inode: u64) -> Result<ObjectId> {
        if let Some((id, _)) = self.known(inode)
            && self.is_whole(id, inode)
        {
            return Ok(id);
        }
        self.adopt_file(file, inode)
    }

    fn known(&self, inode: u64) -> Option<(ObjectId, [u8; 16])> {
        parse(&fs::read_link(self.inode_path(inode)).ok()?)
    }

    /// Whether the object has both files and the data is this inode.
    fn is_whole(&self, id: ObjectId, inode: u64) -> bool {
        let (data, tail) = self.object_paths(id);
        fs::symlink_metadata(data).is_ok_and(|stat| stat.ino() == inode) && tail.exists()
    }

    /// Makes an ordinary file an object, or finishes what another began.
    fn adopt_file(&self, file: &File, inode: u64) -> Result<ObjectId> {
        self.writable()?;
        // One at a time; the kernel lets go when a process dies.
        let guard =
            File::open(self.root.join(paths::INODES)).map_err(Error::at("open", &self.root))?;
        let _guard = Flock::lock(guard, FlockArg::LockExclusive).map_err(|(_, errno)| {
            Error::Io { doing: "lock the pool's inode table", path: None, error: errno.into() }
        })?;
        let begun = self.known(inode);
        if let Some((id, _)) = begun
            && self.is_whole(id, inode)
        {
            return Ok(id);
        }
        let new = NewObject { nonce: begun.map(|(_, nonce)| nonce), ..NewObject::default() };
        let (id, identity) = new.earn_id([0; 32])?;
        if begun.is_none_or(|(known, _)| known != id) {
            self.record_inode(inode, id, identity.nonce)?;
        }
        let (data, tail) = self.object_paths(id);
        in_directory(&data, || match link_open_file(file, &data) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        })?;
        if !tail.exists() {
            let size =
                file.metadata().map_err(Error::at("stat", &data))?.len().min(twz_abi::MAX_DATA);
            self.place_tail(&tail, &meta_of(id, &identity, &new, size))?;
        }
        Ok(id)
    }

    /// Writes down who an inode is, whatever stood there before.
    pub(super) fn record_inode(&self, inode: u64, id: ObjectId, nonce: [u8; 16]) -> Result<()> {
        let path = self.inode_path(inode);
        // Nearly always the inode is new, or was forgotten with the object that had it.
        match symlink(text(id, nonce), &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map_err(Error::at("write", &path)),
        }
        if self.known(inode) == Some((id, nonce)) {
            return Ok(());
        }
        let made = paths::temporary(&self.root);
        symlink(text(id, nonce), &made).map_err(Error::at("write", &path))?;
        fs::rename(&made, &path).map_err(|error| {
            let _ = fs::remove_file(&made);
            Error::at("write", &path)(error)
        })
    }

    /// The object is going away.
    pub(super) fn forget_inode(&self, inode: u64) {
        let _ = fs::remove_file(self.inode_path(inode));
    }

    /// Makes `inodes/` anew from the objects that have names.
    pub(super) fn rebuild_inodes(&self) -> Result<()> {
        let dir = self.root.join(paths::INODES);
        for entry in fs::read_dir(&dir).map_err(Error::at("list", &dir))? {
            let entry = entry.map_err(Error::at("list", &dir))?;
            fs::remove_file(entry.path()).map_err(Error::at("remove", entry.path()))?;
        }
        self.list_objects(&mut |id| {
            let data = ObjectPath::data(id).within(&self.root);
            if let Ok(stat) = fs::symlink_metadata(&data)
                && stat.nlink() > 1
                && let Ok((meta, _)) = self.meta(id)
            {
                self.record_inode(stat.ino(), id, identity_of(&meta).nonce)?;
            }
            Ok(())
        })
    }
}

/// Gives an open file another name.
fn link_open_file(file: &File, to: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let own = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let here = nix::fcntl::AT_FDCWD;
    nix::unistd::linkat(here, own.as_str(), here, to, AtFlags::AT_SYMLINK_FOLLOW)
        .map_err(Into::into)
}
