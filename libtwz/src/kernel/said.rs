// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel said, in the library's words.

use nix::errno::Errno;
use twz_abi::{ObjectId, Rights, ioctl as abi, meta, reason};

use super::KernelPool;
use crate::error::{Error, Refusal};

impl KernelPool {
    /// Why something about an object was refused for which `wanted` is needed.
    /// Runs in the fault handler: it does not allocate.
    pub(super) fn refused(&self, errno: Errno, id: ObjectId, wanted: Rights) -> Error {
        match errno {
            Errno::ENOENT => Error::NoObject(id),
            Errno::EEXIST => Error::Exists(id),
            Errno::EACCES => Error::Denied { id, wanted, refusal: self.why().map(|(_, why)| why) },
            Errno::EROFS => Error::ReadOnly,
            Errno::EBADMSG => Error::BadId(id),
            Errno::EBUSY => {
                Error::Busy { what: "the object is still bound to a name; unbind that first" }
            }
            Errno::EISDIR => {
                Error::Unsupported("that is a directory of names; 'twz name rmdir' removes it")
            }
            errno => match self.session.last_error().map(|last| last.reason) {
                Some(reason::NONE) | None => {
                    Error::Io { doing: "have the kernel do this", path: None, error: errno.into() }
                }
                Some(said) => Error::Kernel { reason: reason::text(said), errno: errno as i32 },
            },
        }
    }

    /// The same for what changes an object.
    pub(super) fn refused_change(&self, errno: Errno, id: ObjectId) -> Error {
        let error = self.refused(errno, id, Rights::WRITE);
        let is_immutable = |stat: abi::Stat| stat.flags & meta::flags::IMMUTABLE != 0;
        match error {
            Error::Denied { .. } if self.stat_any(id).is_ok_and(is_immutable) => {
                Error::Immutable(id)
            }
            error => error,
        }
    }

    /// The same for what makes an object larger, to a size that one can have.
    pub(super) fn refused_size(&self, errno: Errno, id: ObjectId) -> Error {
        match errno {
            Errno::EINVAL | Errno::EFBIG => {
                Error::ObjectFull { id, what: "its data and its FOT would meet" }
            }
            errno => self.refused_change(errno, id),
        }
    }

    /// The same about a name.
    pub(super) fn refused_name(&self, errno: Errno, path: &str) -> Error {
        let name = || path.to_owned();
        match errno {
            Errno::ENOENT => Error::NoName(name()),
            Errno::EEXIST => Error::NameTaken(name()),
            Errno::ENOTDIR => Error::NotADirectory(name()),
            Errno::ENOTEMPTY => Error::NotEmpty(name()),
            errno => self.refused(errno, ObjectId::NULL, Rights::NONE),
        }
    }

    /// What the module says of what it last refused this thread, a command or a
    /// touch, and over which object.
    pub(super) fn why(&self) -> Option<(ObjectId, Refusal)> {
        let last = self.session.last_error()?;
        let (granted, reason) = (Rights(last.granted & Rights::ALL.0), reason::text(last.reason));
        Some((last.id, Refusal { granted, reason }))
    }
}
