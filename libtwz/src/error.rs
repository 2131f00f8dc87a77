// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong, in words that say what to do. One enum for the library;
//! the C interface gives each variant an errno ([`Error::errno`]).

use std::{fmt, io, path::PathBuf};

use twz_abi::{FormatError, ObjectId, Rights, reason};
use twz_core::{error::StoreError, security::Spoiled};

/// Result of everything in this library.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No object has this id in the pool.
    NoObject(ObjectId),
    /// There already is an object with this id.
    Exists(ObjectId),
    /// No such name.
    NoName(String),
    /// The name is taken.
    NameTaken(String),
    /// A component of the path is not a directory.
    NotADirectory(String),
    /// The directory still holds names.
    NotEmpty(String),
    /// The object is still bound to names, or in use.
    Busy {
        /// What is in use.
        what: &'static str,
    },
    /// A right is missing.
    Denied {
        /// Over which object.
        id: ObjectId,
        /// The right that was wanted.
        wanted: Rights,
        /// What was granted and why not more, if it was a matter of rights.
        refusal: Option<Refusal>,
    },
    /// The pointer is null.
    Null,
    /// The pointer does not lead to a whole, aligned value inside an object.
    BadPointer {
        /// Why.
        why: &'static str,
    },
    /// A pointer or a field that has to be in an object is not.
    NotInObject,
    /// The object was made for another type.
    WrongType {
        /// The object.
        id: ObjectId,
        /// Fingerprint of the type it was opened as.
        expected: u64,
        /// Fingerprint it carries.
        found: u64,
    },
    /// The object is immutable.
    Immutable(ObjectId),
    /// The id does not follow from what the object says of itself.
    BadId(ObjectId),
    /// Bytes are not what they were alleged to be.
    Format {
        /// Which bytes.
        what: String,
        /// What is wrong with them.
        error: FormatError,
    },
    /// The object has no room for more.
    ObjectFull {
        /// The object.
        id: ObjectId,
        /// What ran out.
        what: &'static str,
    },
    /// Not a size an object can have.
    BadSize(u64),
    /// A file that some program made longer than an object can be: it goes on as a
    /// file, and is refused as an object.
    LongFile {
        /// The object that it would be.
        id: ObjectId,
        /// How long it is.
        size: u64,
    },
    /// No slot of the address space is free.
    NoSlot,
    /// The pool cannot be written.
    ReadOnly,
    /// The kernel module said no, for a reason that is nobody else's.
    Kernel {
        /// Its reason, in a sentence.
        reason: &'static str,
        /// The errno that came with it.
        errno: i32,
    },
    /// A rule about security contexts says no: kmod/abi/SECURITY.md.
    Context {
        /// The context or object that it is about; null for the default context.
        id: ObjectId,
        /// [`twz_abi::reason`]: the same numbers whoever decides.
        reason: u32,
        /// What exactly is wrong with a context that is not whole.
        spoiled: Option<Spoiled>,
    },
    /// The process is attached to this context already.
    Attached(ObjectId),
    /// This key does not speak for the object.
    NotOwner {
        /// The object.
        id: ObjectId,
        /// Why not.
        why: &'static str,
    },
    /// A secret key cannot be had from what is there.
    Secret(NoSecret),
    /// There is no pool here.
    NoPool(PathBuf),
    /// The kernel was asked for, and no module serves this device.
    NoModule(PathBuf),
    /// The module and this library are not of the same make.
    OtherModule {
        /// Versions of the interface and of the format: the module's.
        theirs: (u32, u32),
        /// The library's.
        ours: (u32, u32),
    },
    /// There already is a pool, or something else, here.
    PoolExists(PathBuf),
    /// This kind of pool cannot do that.
    Unsupported(&'static str),
    /// A late-bound name could not be resolved, or its resolver is unknown.
    Unresolved {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// The store of an image said no.
    Store(StoreError),
    /// The operating system said no.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file, where one is known.
        path: Option<PathBuf>,
        /// What it said.
        error: io::Error,
    },
}

/// Why a secret key cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSecret {
    /// It is sealed, and no passphrase was given.
    Sealed,
    /// The passphrase is another one.
    WrongPassphrase,
    /// The bytes are not those that were written, or no secret at all.
    Altered,
    /// The file may be read by others than its owner.
    Open,
}

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "the secret key is sealed: give its passphrase",
            Self::WrongPassphrase => {
                "this is not the passphrase that the secret key is sealed with"
            }
            Self::Altered => {
                "the secret key was altered or cut off, or is none: take it from a copy"
            }
            Self::Open => {
                "others may read the file of the secret key: chmod 600 it, and consider a new key"
            }
        })
    }
}

/// What is said of an access that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rights that there were.
    pub granted: Rights,
    /// Why, in a sentence.
    pub reason: &'static str,
}

impl Refusal {
    /// The active context allows these rights and no more.
    pub(crate) fn of_context(granted: Rights) -> Self {
        Self { granted, reason: reason::text(reason::CONTEXT_DENIES) }
    }

    /// The view does not include the access.
    pub(crate) fn of_view(granted: Rights) -> Self {
        Self { granted, reason: reason::text(reason::VIEW_DENIES) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; granted here: {}", self.reason, self.granted)
    }
}

impl Error {
    /// A right that is missing, as the library sees it.
    pub fn denied(id: ObjectId, wanted: Rights) -> Self {
        Self::Denied { id, wanted, refusal: None }
    }

    /// A context that is not whole.
    pub(crate) fn spoiled(id: ObjectId, why: Spoiled) -> Self {
        Self::Context { id, reason: reason::BAD_CONTEXT, spoiled: Some(why) }
    }

    /// What a rule about contexts says no to.
    pub(crate) fn context(id: ObjectId, reason: u32) -> Self {
        Self::Context { id, reason, spoiled: None }
    }

    /// A right that the active context does not allow.
    pub(crate) fn refused(id: ObjectId, wanted: Rights, granted: Rights) -> Self {
        Self::Denied { id, wanted, refusal: Some(Refusal::of_context(granted)) }
    }

    /// An error of the operating system, without allocating: the fault path
    /// uses it.
    pub(crate) fn os(doing: &'static str) -> Self {
        Self::Io { doing, path: None, error: io::Error::last_os_error() }
    }

    /// For `map_err` behind a call that touches `path`.
    pub(crate) fn at(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { doing, path: Some(path), error }
    }

    /// For `map_err` behind a nix call that touches `path`.
    pub(crate) fn nix(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(nix::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { doing, path: Some(path), error: error.into() }
    }

    /// The errno that says it best.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NoObject(_)
            | Self::NoName(_)
            | Self::NoPool(_)
            | Self::NoModule(_)
            | Self::Unresolved { .. } => libc::ENOENT,
            Self::OtherModule { .. } => libc::EPROTO,
            Self::Kernel { errno, .. } => *errno,
            Self::Context { reason, .. } => context_errno(*reason),
            Self::Attached(_) => libc::EEXIST,
            Self::NotOwner { .. } => libc::EPERM,
            Self::Secret(NoSecret::Altered) => libc::EUCLEAN,
            Self::Secret(_) => libc::EACCES,
            Self::Exists(_) | Self::NameTaken(_) | Self::PoolExists(_) => libc::EEXIST,
            Self::NotADirectory(_) => libc::ENOTDIR,
            Self::NotEmpty(_) => libc::ENOTEMPTY,
            Self::Busy { .. } => libc::EBUSY,
            Self::Denied { .. } => libc::EACCES,
            Self::Null | Self::BadPointer { .. } | Self::NotInObject => libc::EFAULT,
            Self::WrongType { .. } | Self::BadSize(_) => libc::EINVAL,
            Self::LongFile { .. } => libc::EFBIG,
            Self::Immutable(_) => libc::EPERM,
            Self::Format { error: FormatError::Name { .. }, .. } => libc::EINVAL,
            Self::BadId(_) | Self::Format { .. } => libc::EUCLEAN,
            Self::ObjectFull { .. } => libc::ENOSPC,
            Self::NoSlot => libc::ENOMEM,
            Self::ReadOnly => libc::EROFS,
            Self::Unsupported(_) => libc::EOPNOTSUPP,
            Self::Store(error) => store_errno(error),
            Self::Io { error, .. } => error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl Error {
    /// What has to do with the kernel module.
    fn of_module(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule(path) => write!(
                f,
                "no kernel module serves {}; load it ('insmod kmod/twz.ko', or scripts/load.sh), or say TWZ_BACKEND=embedded",
                path.display()
            ),
            Self::OtherModule { theirs, ours } => write!(
                f,
                "the kernel module speaks version {} of the interface and {} of the format, this library {} and {}; build both from the same source ('make kmod'), and load that module",
                theirs.0, theirs.1, ours.0, ours.1
            ),
            Self::Kernel { reason, errno } => {
                write!(
                    f,
                    "the kernel module refused: {reason} ({})",
                    explain(&io::Error::from_raw_os_error(*errno))
                )
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl Error {
    /// What has to do with keys and contexts.
    fn of_security(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context { id, reason, spoiled } => {
                match id.is_null() {
                    true => write!(f, "the default context: {}", reason::text(*reason))?,
                    false => write!(f, "{id}: {}", reason::text(*reason))?,
                }
                spoiled.map_or(Ok(()), |why| write!(f, " ({why:?})"))
            }
            Self::Attached(id) => write!(f, "this process is attached to {id} already"),
            Self::NotOwner { id, why } => write!(f, "this key does not speak for {id}: {why}"),
            Self::Secret(why) => fmt::Display::fmt(why, f),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Error {
    /// What has to do with how much an object holds.
    fn of_size(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = twz_abi::MAX_DATA;
        match self {
            Self::BadSize(size) => {
                write!(f, "an object cannot have {size} bytes of data; the most is {most}")
            }
            Self::LongFile { id, size } => write!(
                f,
                "{id} is a file of {size} bytes, and an object has at most {most}: use it by its name under names/, as a file, or cut it up there, as 'split -b 1000M' does"
            ),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject(id) => {
                write!(f, "no object {id} in this pool; 'twz ls' lists those there are")
            }
            Self::Exists(id) => write!(f, "object {id} is already in this pool"),
            Self::NoName(name) => {
                write!(f, "no name '{name}'; 'twz name ls' lists those there are")
            }
            Self::NameTaken(name) => {
                write!(f, "the name '{name}' is taken; bind with --replace to rebind it")
            }
            Self::NotADirectory(name) => write!(f, "'{name}' is not a directory of names"),
            Self::NotEmpty(name) => write!(f, "the directory '{name}' still holds names"),
            Self::Busy { what } | Self::Unsupported(what) => f.write_str(what),
            Self::Denied { id, wanted, refusal: Some(why) } => {
                write!(f, "object {id}: {wanted} refused: {why}")
            }
            Self::Denied { id, wanted, refusal: None } => {
                write!(f, "object {id} does not grant {wanted} here")
            }
            Self::Null => f.write_str("the pointer is null"),
            Self::BadPointer { why } => write!(f, "bad pointer: {why}"),
            Self::NotInObject => f.write_str("this has to lie in an object, and does not"),
            Self::WrongType { id, expected, found } => write!(
                f,
                "object {id} holds another type: its fingerprint is {found:#018x}, and {expected:#018x} was asked for"
            ),
            Self::Immutable(id) => {
                write!(f, "object {id} is immutable; copy it to change the copy")
            }
            Self::BadId(id) => write!(
                f,
                "object {id} is not what its id says: its owner, rights, flags or contents were altered"
            ),
            Self::Format { what, error } => write!(f, "{what}: {error}"),
            Self::ObjectFull { id, what } => write!(f, "object {id} is full: {what}"),
            Self::BadSize(_) | Self::LongFile { .. } => self.of_size(f),
            Self::NoSlot => f.write_str(
                "every slot of the address space is taken; close objects or use another space",
            ),
            Self::ReadOnly => f.write_str(
                "the pool can only be read: its directory or file system is not writable for you",
            ),
            Self::NoPool(path) => {
                write!(f, "no pool at {0}; 'twz pool init {0}' makes one", path.display())
            }
            Self::NoModule(_) | Self::OtherModule { .. } | Self::Kernel { .. } => self.of_module(f),
            Self::Context { .. } | Self::Attached(_) | Self::NotOwner { .. } | Self::Secret(_) => {
                self.of_security(f)
            }
            Self::PoolExists(path) => {
                write!(f, "{} exists already; choose another place", path.display())
            }
            Self::Unresolved { name, why } => {
                write!(f, "the late-bound name '{name}' does not resolve: {why}")
            }
            Self::Store(error) => fmt::Display::fmt(error, f),
            Self::Io { doing, path, error } => {
                let path = path.as_ref().map_or(String::new(), |at| format!(" {}", at.display()));
                write!(f, "cannot {doing}{path}: {}", explain(error))
            }
        }
    }
}

/// The errno of a reason that is about contexts.
fn context_errno(reason: u32) -> i32 {
    match reason {
        reason::BAD_CONTEXT => libc::EUCLEAN,
        reason::NOT_ATTACHED => libc::ENOENT,
        reason::TOO_MANY => libc::ENOSPC,
        reason::UNDETACHABLE => libc::EBUSY,
        reason::CONFINED | reason::TRACED | reason::BAD_STATEMENT => libc::EPERM,
        _ => libc::EACCES,
    }
}

/// The errno that says best what a store said.
fn store_errno(error: &StoreError) -> i32 {
    use StoreError as Store;
    match error {
        Store::Format(_)
        | Store::Damaged { .. }
        | Store::Corrupt { .. }
        | Store::IdMismatch { .. } => libc::EUCLEAN,
        Store::ContentMismatch { .. } => libc::EUCLEAN,
        Store::NotFound { .. } | Store::NoRecord { .. } | Store::NoName => libc::ENOENT,
        Store::Exists { .. } | Store::NameTaken => libc::EEXIST,
        Store::Full { .. } => libc::ENOSPC,
        Store::ReadOnly => libc::EROFS,
        Store::Immutable { .. } => libc::EPERM,
        Store::Bound { .. } => libc::EBUSY,
        Store::NotADirectory => libc::ENOTDIR,
        Store::IsADirectory | Store::Directory { .. } => libc::EISDIR,
        Store::NotEmpty => libc::ENOTEMPTY,
        Store::Media(_) | Store::Stopped => libc::EIO,
        _ => libc::EINVAL,
    }
}

/// What the operating system said, with what to do where that is known.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "the file system is full; nothing was changed".into(),
        Some(libc::EDQUOT) => "the disk quota is used up; nothing was changed".into(),
        Some(libc::EROFS) => "the file system is mounted read-only".into(),
        Some(libc::EACCES) => "permission denied; see the modes of the pool's files".into(),
        Some(libc::EMFILE) => "too many open files; raise 'ulimit -n'".into(),
        _ => error.to_string(),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Format { error, .. } => Some(error),
            Self::Store(error) => Some(error),
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::ReadOnly => Self::ReadOnly,
            other => Self::Store(other),
        }
    }
}
