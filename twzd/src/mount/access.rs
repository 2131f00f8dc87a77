// SPDX-License-Identifier: MIT OR Apache-2.0
//! Access control lists of files and directories, and what is made gets of its directory's.
//! Each is an extended attribute ([`super::xattr`]); an object that has any is marked so in
//! the table, so that the others cost nothing. The kernel heeds them.

use fuser::{Errno, Request};
use twz::ObjectId;

use super::{
    Fs,
    acl::Acl,
    attr::{Attr, now},
};

type Answer<T> = Result<T, Errno>;

/// What a file or a directory may be done with.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// What is made in a directory may be.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// What is made in a directory gets.
pub struct Heritage {
    pub attr: Attr,
    pub acls: Vec<(&'static [u8], Acl)>,
}

/// One of the two, if an attribute's name is that.
pub fn which(name: &[u8]) -> Option<&'static [u8]> {
    [ACCESS, DEFAULT].into_iter().find(|list| *list == name)
}

impl Fs {
    /// The object that keeps the lists of a file or directory, if it has any.
    fn acl_keeper(&self, ino: u64) -> Option<ObjectId> {
        let has = |id: &ObjectId| self.table.get(*id).is_some_and(|attr| attr.has_acl);
        self.keeper(ino).filter(has)
    }

    /// The bytes of a list, if there is one.
    fn acl_bytes(&self, ino: u64, which: &[u8]) -> Answer<Option<Vec<u8>>> {
        self.acl_keeper(ino).map_or(Ok(None), |id| self.value(ino, id, which))
    }

    /// A list, if there is one. Of one that is damaged nobody knows whom it kept out.
    pub fn acl(&self, ino: u64, which: &[u8]) -> Answer<Option<Acl>> {
        let bytes = self.acl_bytes(ino, which)?;
        bytes.map(|bytes| Acl::parse(&bytes).ok_or(Errno::EIO)).transpose()
    }

    /// Sets a list, or takes it away.
    pub fn set_acl(
        &mut self,
        ino: u64,
        which: &[u8],
        bytes: Option<&[u8]>,
        by: &Request,
    ) -> Answer<()> {
        let acl = bytes.map(|bytes| Acl::parse(bytes).ok_or(Errno::EINVAL)).transpose()?;
        if which == DEFAULT && self.nodes.dir(ino).is_none() {
            return if acl.is_some() { Err(Errno::EACCES) } else { Ok(()) };
        }
        let there = self.acl_bytes(ino, which)?.is_some();
        if acl.is_none() && !there {
            return Ok(());
        }
        self.give_record(ino)?;
        let id = self.keeper(ino).ok_or(Errno::EOPNOTSUPP)?;
        let mode = acl.as_ref().filter(|_| which == ACCESS).map(Acl::mode);
        // One that says what a mode does is that mode.
        let kept = acl.filter(|acl| which == DEFAULT || !acl.is_mode());
        let other = if which == ACCESS { DEFAULT } else { ACCESS };
        let has_acl = kept.is_some() || self.acl_bytes(ino, other)?.is_some();
        if kept.is_some() || there {
            self.keep(ino, id, which, kept.map(|acl| acl.bytes()).as_deref())?;
        }
        self.note(ino, |attr| {
            attr.has_acl = has_acl;
            if let Some(mode) = mode {
                attr.mode = attr.mode & !0o777 | mode;
                if by.uid() != 0 && by.gid() != attr.gid {
                    attr.mode &= !libc::S_ISGID;
                }
            }
            attr.ctime = now();
        });
        self.table.write(&*self.pool, id).map_err(super::errno)
    }

    /// Has a list say what the mode will.
    pub fn acl_follows(&mut self, ino: u64, mode: u32) -> Answer<()> {
        let (Some(mut acl), Some(id)) = (self.acl(ino, ACCESS)?, self.acl_keeper(ino)) else {
            return Ok(());
        };
        acl.set_mode(mode);
        self.keep(ino, id, ACCESS, Some(&acl.bytes()))
    }

    /// Who is to own what is made in `parent`, its mode, and its lists: those that the
    /// directory has for that, and without any what the umask leaves of the mode.
    pub fn inherited(
        &self,
        parent: u64,
        (mode, umask): (u32, u32),
        request: &Request,
    ) -> Answer<Heritage> {
        let mut attr = Attr::new(mode, request.uid(), request.gid());
        let directory = attr.format() == libc::S_IFDIR;
        let Some(dir) = self.nodes.dir(parent).map(|dir| self.dir_attr(dir)) else {
            return Err(Errno::ENOENT);
        };
        if dir.mode & libc::S_ISGID != 0 {
            attr.gid = dir.gid;
            if directory {
                attr.mode |= libc::S_ISGID;
            }
        }
        let mut acls = Vec::new();
        if attr.format() == libc::S_IFLNK {
            return Ok(Heritage { attr, acls });
        }
        match self.acl(parent, DEFAULT)? {
            Some(default) => {
                let mut access = default.clone();
                access.limit(mode);
                attr.mode = attr.mode & !0o777 | access.mode();
                if !access.is_mode() {
                    acls.push((ACCESS, access));
                }
                if directory {
                    acls.push((DEFAULT, default));
                }
            }
            None => attr.mode &= !(umask & 0o777),
        }
        attr.has_acl = !acls.is_empty();
        Ok(Heritage { attr, acls })
    }

    /// Gives what was just made its lists.
    pub fn give_acls(&mut self, id: ObjectId, heritage: &Heritage) -> Answer<()> {
        let mut acls = heritage.acls.iter();
        acls.try_for_each(|(which, acl)| self.keep(0, id, which, Some(&acl.bytes())))
    }
}
