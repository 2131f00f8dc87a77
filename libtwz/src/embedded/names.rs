// SPDX-License-Identifier: MIT OR Apache-2.0
//! The namespace: a real directory tree under `names/`, whose files are hard
//! links to the data files of objects. Any program sees the same names.
//!
//! Paths are resolved by the kernel, beneath `names/` and nowhere else, so that
//! a symbolic link some program left there cannot lead out of the pool.

use std::{
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2, renameat},
    sys::stat::{Mode, fstat, fstatat, mkdirat},
    unistd::{UnlinkatFlags, linkat, unlinkat},
};
use twz_abi::{ObjectId, name};

use super::{EmbeddedPool, paths, paths::ObjectPath};
use crate::{
    backend::Binding,
    error::{Error, Result},
};

impl EmbeddedPool {
    /// The checked path, relative to the pool.
    fn relative(path: &str) -> Result<String> {
        if path.len() > name::MAX_DEEP || path.split('/').any(|part| part.len() > name::MAX_NAME) {
            // As a system call would say it.
            return Err(Error::nix("look up", path)(Errno::ENAMETOOLONG));
        }
        let parts = name::deep_components(path.as_bytes())
            .map_err(|error| Error::Format { what: format!("'{path}'"), error })?;
        let mut relative = String::from(paths::NAMES);
        for part in parts {
            relative.push('/');
            relative.push_str(&String::from_utf8_lossy(part));
        }
        Ok(relative)
    }

    /// The place of a name that is to be made or removed: its parent must be a
    /// directory beneath `names/`.
    fn place_of(&self, path: &str) -> Result<Place<'_>> {
        let relative = Self::relative(path)?;
        let Some((parent, last)) = relative.rsplit_once('/') else {
            return Err(Error::NameTaken("/".into()));
        };
        let inside = parent.strip_prefix(paths::NAMES).unwrap_or(parent);
        let (name, path) = (last.into(), self.root.join(&relative));
        if inside.is_empty() {
            return Ok(Place { dir: Above::Root(self.names()?), name, path });
        }
        match self.open_name(inside)? {
            (dir, Found::Directory) => Ok(Place { dir: Above::Below(dir), name, path }),
            _ => Err(Error::NotADirectory(inside.trim_start_matches('/').into())),
        }
    }

    fn open_name(&self, path: &str) -> Result<(File, Found)> {
        let relative = Self::relative(path)?;
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // Beneath the pool, the link text decides; beneath `names/` it must stay.
        let inside = relative.strip_prefix(paths::NAMES).unwrap_or("").trim_start_matches('/');
        let file: File = match open_beneath(self.names()?, inside, how) {
            Ok(fd) => fd.into(),
            Err(Errno::ENOENT) => return Err(Error::NoName(path.into())),
            Err(Errno::ENOTDIR) => return Err(Error::NotADirectory(path.into())),
            Err(Errno::EXDEV) => {
                return Err(Error::Unresolved {
                    name: path.into(),
                    why: "a symbolic link in it leads out of the pool",
                });
            }
            Err(error) => return Err(Error::nix("look up", self.root.join(relative))(error)),
        };
        let stat = file.metadata().map_err(Error::at("stat", self.root.join(relative)))?;
        let found = match stat.file_type() {
            kind if kind.is_dir() => Found::Directory,
            kind if kind.is_file() => Found::File { inode: stat.ino() },
            _ => Found::Other,
        };
        Ok((file, found))
    }

    pub(super) fn lookup_name(&self, path: &str) -> Result<Binding> {
        match self.open_name(path)? {
            (_, Found::Directory) => Ok(Binding::Directory),
            (file, Found::File { inode }) => self.who_is(&file, inode).map(Binding::Object),
            (_, Found::Other) => Err(Error::Unresolved {
                name: path.into(),
                why: "it is neither a file nor a directory",
            }),
        }
    }

    pub(super) fn bind_name(&self, path: &str, id: ObjectId, replace: bool) -> Result<()> {
        self.writable()?;
        let place = self.place_of(path)?;
        let (meta, _) = self.meta(id)?;
        let data = ObjectPath::data(id).within(&self.root);
        let inode = fs::metadata(&data).map_err(Error::at("stat", &data))?.ino();
        self.record_inode(inode, id, meta.nonce)?;
        match linkat(AT_FDCWD, &data, &place.dir, &*place.name, AtFlags::empty()) {
            Ok(()) => self.bump_names(),
            Err(Errno::EEXIST) if replace => {
                let made = paths::temporary(&self.root);
                fs::hard_link(&data, &made).map_err(Error::at("bind", &place.path))?;
                let renamed = renameat(AT_FDCWD, &made, &place.dir, &*place.name);
                // Renaming one name of a file over another does nothing at all.
                let _ = fs::remove_file(&made);
                match renamed {
                    Err(Errno::EISDIR) => Err(Error::NameTaken(path.into())),
                    other => other.map_err(place.failed("bind")).and_then(|()| self.bump_names()),
                }
            }
            Err(Errno::EEXIST) => Err(Error::NameTaken(path.into())),
            Err(error) => Err(place.failed("bind")(error)),
        }
    }

    pub(super) fn unbind_name(&self, path: &str) -> Result<ObjectId> {
        self.writable()?;
        let place = self.place_of(path)?;
        // An object stays when its name goes: so the file must be one first.
        let Binding::Object(id) = self.lookup_name(path)? else {
            return Err(Error::Unsupported(
                "that is a directory of names; 'twz name rmdir' removes it",
            ));
        };
        place.remove(UnlinkatFlags::NoRemoveDir).map_err(place.failed("unbind"))?;
        self.bump_names()?;
        Ok(id)
    }

    pub(super) fn rename_name(&self, from: &str, to: &str) -> Result<()> {
        self.writable()?;
        let (old, new) = (self.place_of(from)?, self.place_of(to)?);
        if old.is(&new) {
            return self.lookup_name(from).map(|_| ());
        }
        // What `to` was bound to stays an object, so it must be known as one.
        if let Ok(Binding::Object(_)) = self.lookup_name(to) {}
        match renameat(&old.dir, &*old.name, &new.dir, &*new.name) {
            Err(Errno::ENOENT) => return Err(Error::NoName(from.into())),
            Err(Errno::ENOTEMPTY) => return Err(Error::NotEmpty(to.into())),
            other => other.map_err(old.failed("rename"))?,
        }
        // Renaming one name of a file to another name of it does nothing at all.
        if let Ok((_, Found::File { inode })) = self.open_name(to)
            && old.is_file(inode)
        {
            old.remove(UnlinkatFlags::NoRemoveDir).map_err(old.failed("rename"))?;
        }
        self.bump_names()
    }

    pub(super) fn make_name_dir(&self, path: &str) -> Result<()> {
        self.writable()?;
        let place = self.place_of(path)?;
        match mkdirat(&place.dir, &*place.name, Mode::from_bits_truncate(0o777)) {
            Err(Errno::EEXIST) => Err(Error::NameTaken(path.into())),
            other => other.map_err(place.failed("make")),
        }
    }

    pub(super) fn remove_name_dir(&self, path: &str) -> Result<()> {
        self.writable()?;
        let place = self.place_of(path)?;
        match place.remove(UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY) => Err(Error::NotEmpty(path.into())),
            Err(Errno::ENOENT) => Err(Error::NoName(path.into())),
            Err(Errno::ENOTDIR) => Err(Error::NotADirectory(path.into())),
            other => other.map_err(place.failed("remove")),
        }
    }

    /// How many directories are in a directory, where the file system keeps count.
    pub(super) fn count_name_dirs(&self, path: &str) -> Result<Option<u32>> {
        let links = if path.is_empty() {
            fstat(self.names()?).map_err(Error::nix("stat", path))?.st_nlink
        } else if let (dir, Found::Directory) = self.open_name(path)? {
            dir.metadata().map_err(Error::at("stat", path))?.nlink()
        } else {
            return Err(Error::NotADirectory(path.into()));
        };
        Ok(links.checked_sub(2).map(|below| u32::try_from(below).unwrap_or(u32::MAX)))
    }

    pub(super) fn read_name_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()> {
        let (dir, Found::Directory) = self.open_name(path)? else {
            return Err(Error::NotADirectory(path.into()));
        };
        let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let failed = || Error::nix("list", self.root.join(paths::NAMES).join(path));
        let mut dir = Dir::openat(&dir, ".", how, Mode::empty()).map_err(failed())?;
        for entry in dir.iter() {
            let entry = entry.map_err(failed())?;
            // A name that is not UTF-8 has no path here; ordinary programs still see it.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            let inner = format!("{path}/{name}");
            match self.lookup_name(&inner) {
                Ok(binding) => visit(name, binding)?,
                // Gone meanwhile, a link that leads nowhere, or a socket: no binding to
                // show. So is a plain file in a pool where it cannot become an object.
                Err(
                    Error::NoName(_)
                    | Error::NotADirectory(_)
                    | Error::Unresolved { .. }
                    | Error::ReadOnly,
                ) => {}
                Err(error) if matches!(error.errno(), libc::ELOOP | libc::ENAMETOOLONG) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Opens a path beneath a directory. What is longer than a call takes is opened in steps,
/// each beneath the one before: links in it lead no higher than that.
fn open_beneath(from: BorrowedFd<'_>, path: &str, how: OpenHow) -> nix::Result<OwnedFd> {
    let (mut dir, mut rest): (Option<OwnedFd>, _) = (None, path);
    while rest.len() > name::MAX_PATH {
        let step = rest.as_bytes().get(..=name::MAX_PATH).unwrap_or_default();
        let end = step.iter().rposition(|byte| *byte == b'/').ok_or(Errno::ENAMETOOLONG)?;
        let (step, behind) = rest.split_at(end);
        dir = Some(openat2(dir.as_ref().map_or(from, OwnedFd::as_fd), step, how)?);
        rest = behind.trim_start_matches('/');
    }
    let dir = dir.as_ref().map_or(from, OwnedFd::as_fd);
    openat2(dir, if rest.is_empty() { "." } else { rest }, how)
}

/// Where a name is or is to be: relative to its directory, for the path that leads there
/// from the root of the host may be longer than one that a call takes.
struct Place<'a> {
    dir: Above<'a>,
    name: String,
    /// For messages.
    path: PathBuf,
}

/// The directory that a name is in. The root is open already.
enum Above<'a> {
    Root(BorrowedFd<'a>),
    Below(File),
}

impl AsFd for Above<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(root) => *root,
            Self::Below(dir) => dir.as_fd(),
        }
    }
}

impl Place<'_> {
    fn failed(&self, what: &'static str) -> impl FnOnce(Errno) -> Error {
        Error::nix(what, &self.path)
    }

    fn remove(&self, how: UnlinkatFlags) -> nix::Result<()> {
        unlinkat(&self.dir, &*self.name, how)
    }

    /// Whether this is one name: in one directory, however it was reached.
    fn is(&self, other: &Self) -> bool {
        let inode = |place: &Self| fstat(&place.dir).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        self.name == other.name && inode(self) == inode(other)
    }

    /// Whether it is a name of this file.
    fn is_file(&self, inode: u64) -> bool {
        let stat = fstatat(&self.dir, &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_ino == inode)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Directory,
    File { inode: u64 },
    Other,
}
