// SPDX-License-Identifier: MIT OR Apache-2.0
//! The namespace: a real directory tree under `names/`, whose files are hard
//! links to the data files of objects. Any program sees the same names.
//!
//! Paths are resolved by the kernel, beneath `names/` and nowhere else, so that
//! a symbolic link some program left there cannot lead out of the pool.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
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
        if path.len() > name::MAX_PATH || path.split('/').any(|part| part.len() > name::MAX_NAME) {
            // As a system call would say it.
            return Err(Error::nix("look up", path)(Errno::ENAMETOOLONG));
        }
        let parts = name::components(path.as_bytes())
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
    fn place_of(&self, path: &str) -> Result<PathBuf> {
        let relative = Self::relative(path)?;
        let Some((parent, last)) = relative.rsplit_once('/') else {
            return Err(Error::NameTaken("/".into()));
        };
        let inside = parent.strip_prefix(paths::NAMES).unwrap_or(parent);
        match self.open_name(inside)?.1 {
            Found::Directory => Ok(self.root.join(parent).join(last)),
            _ => Err(Error::NotADirectory(inside.trim_start_matches('/').into())),
        }
    }

    fn open_name(&self, path: &str) -> Result<(File, Found)> {
        let relative = Self::relative(path)?;
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // Beneath the pool, the link text decides; beneath `names/` it must stay.
        let names = nix::fcntl::openat(
            &self.dir,
            paths::NAMES,
            OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY,
            nix::sys::stat::Mode::empty(),
        )
        .map_err(Error::nix("open", self.root.join(paths::NAMES)))?;
        let inside = relative.strip_prefix(paths::NAMES).unwrap_or("").trim_start_matches('/');
        let inside = if inside.is_empty() { "." } else { inside };
        let file: File = match openat2(names, inside, how) {
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
        match fs::hard_link(&data, &place) {
            Ok(()) => self.bump_names(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && replace => {
                let made = paths::temporary(&self.root);
                fs::hard_link(&data, &made).map_err(Error::at("bind", &place))?;
                let renamed = fs::rename(&made, &place);
                // Renaming one name of a file over another does nothing at all.
                let _ = fs::remove_file(&made);
                match renamed {
                    Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                        Err(Error::NameTaken(path.into()))
                    }
                    other => {
                        other.map_err(Error::at("bind", &place)).and_then(|()| self.bump_names())
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::NameTaken(path.into()))
            }
            Err(error) => Err(Error::at("bind", &place)(error)),
        }
    }

    pub(super) fn unbind_name(&self, path: &str) -> Result<()> {
        self.writable()?;
        let place = self.place_of(path)?;
        // An object stays when its name goes: so the file must be one first.
        if let Binding::Directory = self.lookup_name(path)? {
            return Err(Error::Unsupported(
                "that is a directory of names; 'twz name rmdir' removes it",
            ));
        }
        fs::remove_file(&place).map_err(Error::at("unbind", &place))?;
        self.bump_names()
    }

    pub(super) fn rename_name(&self, from: &str, to: &str) -> Result<()> {
        self.writable()?;
        let (old, new) = (self.place_of(from)?, self.place_of(to)?);
        if same_place(&old, &new) {
            return self.lookup_name(from).map(|_| ());
        }
        // What `to` was bound to stays an object, so it must be known as one.
        if let Ok(Binding::Object(_)) = self.lookup_name(to) {}
        match fs::rename(&old, &new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoName(from.into()));
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => {
                return Err(Error::NotEmpty(to.into()));
            }
            other => other.map_err(Error::at("rename", &old))?,
        }
        // Renaming one name of a file to another name of it does nothing at all.
        if let Ok((_, Found::File { inode })) = self.open_name(to)
            && fs::symlink_metadata(&old).is_ok_and(|stat| stat.is_file() && stat.ino() == inode)
        {
            fs::remove_file(&old).map_err(Error::at("rename", &old))?;
        }
        self.bump_names()
    }

    pub(super) fn make_name_dir(&self, path: &str) -> Result<()> {
        self.writable()?;
        let place = self.place_of(path)?;
        match fs::create_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::NameTaken(path.into()))
            }
            other => other.map_err(Error::at("make", &place)),
        }
    }

    pub(super) fn remove_name_dir(&self, path: &str) -> Result<()> {
        self.writable()?;
        let place = self.place_of(path)?;
        match fs::remove_dir(&place) {
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => {
                Err(Error::NotEmpty(path.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoName(path.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(Error::NotADirectory(path.into()))
            }
            Err(error) => Err(Error::at("remove", &place)(error)),
        }
    }

    pub(super) fn read_name_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()> {
        if self.open_name(path)?.1 != Found::Directory {
            return Err(Error::NotADirectory(path.into()));
        }
        let dir = self.root.join(Self::relative(path)?);
        for entry in fs::read_dir(&dir).map_err(Error::at("list", &dir))? {
            let entry = entry.map_err(Error::at("list", &dir))?;
            let name = entry.file_name();
            // A name that is not UTF-8 has no path here; ordinary programs still see it.
            let Some(name) = name.to_str() else { continue };
            let inner = format!("{path}/{name}");
            match self.lookup_name(&inner) {
                Ok(binding) => visit(name, binding)?,
                // Gone meanwhile, a loop, or a socket: no binding to show. So
                // is a plain file in a pool where it cannot become an object.
                Err(Error::NoName(_) | Error::Unresolved { .. } | Error::ReadOnly) => {}
                Err(error) if error.errno() == libc::ELOOP => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether two paths are one name: in one directory, however it was reached.
fn same_place(a: &Path, b: &Path) -> bool {
    let parent = |path: &Path| {
        let stat = fs::metadata(path.parent()?).ok()?;
        Some((stat.dev(), stat.ino()))
    };
    a.file_name() == b.file_name() && parent(a) == parent(b)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Directory,
    File { inode: u64 },
    Other,
}
