// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands of `/dev/twz` as safe functions: the one place that gives them
//! to the kernel. Their numbers and arguments are those of [`twz_abi::ioctl`].
//!
//! A [`Session`] belongs to the address space that opened it. In a child that
//! was forked it is opened anew when the kernel first says so, under the same
//! descriptor; all of that may happen in the fault handler, so nothing on the
//! way allocates.

use std::{
    ffi::CString,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
};

use nix::errno::Errno;
use twz_abi::{
    FORMAT_VERSION, ObjectId, Rights,
    decision::Decision,
    ioctl::{self as abi, DirEntry},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::{Error, Result};

/// What the kernel answers.
pub type Said<T> = std::result::Result<T, Errno>;

/// An argument: the kernel reads it, and writes it back.
pub trait Argument: FromBytes + IntoBytes + Immutable + Copy {}
impl<T: FromBytes + IntoBytes + Immutable + Copy> Argument for T {}

/// An argument without an address that the kernel writes to or reads from, and
/// without a descriptor that would have to be closed.
pub trait Plain: Argument {}
macro_rules! plain {
    ($($type:ident)*) => { $(impl Plain for abi::$type {})* };
}
plain! {
    Handshake Info LastError Fault Create Adopt Stat Resize Reserve Delete Sync Copy Wait Wake
    InvalidateView Resolve ContextState Attach ContextOnly Revoke
}

/// Gives one command to the kernel.
///
/// # Safety
///
/// Addresses in the argument are of memory that the command may read or write,
/// for as many bytes as the argument says.
unsafe fn give<const COMMAND: u32, T: Argument>(fd: BorrowedFd<'_>, argument: &mut T) -> Said<()> {
    const { assert!(size_of::<T>() == (COMMAND >> 16 & 0x3fff) as usize) };
    // SAFETY: 1. the command reads and writes as many bytes as its number says,
    // which are those of the argument (asserted above); 2. any bytes are a value
    // of it; 3. what it points to is the caller's to vouch for.
    match unsafe { libc::ioctl(fd.as_raw_fd(), COMMAND as _, &raw mut *argument) } {
        done if done < 0 => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// An open device.
pub struct Session {
    fd: OwnedFd,
    path: CString,
    /// The descriptor of the view in force, or -1: to map a slot of it anew.
    shown: AtomicI32,
    /// Counts the address spaces that this was opened for.
    count: AtomicU32,
    renewing: AtomicBool,
}

impl Session {
    /// Opens the device, and agrees with the module on what is spoken.
    pub fn open(path: &Path) -> Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::Unsupported("the path of a device has no NUL in it"))?;
        let fd = open(&name).map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => Error::NoModule(path.into()),
            errno => Error::at("open", path)(errno.into()),
        })?;
        match greet(fd.as_fd()) {
            Ok(_) => {}
            Err((Errno::EPROTO, theirs)) => {
                let theirs = (theirs.abi_version, theirs.format_version);
                let ours = (abi::ABI_VERSION, FORMAT_VERSION);
                return Err(Error::OtherModule { theirs, ours });
            }
            // It does not know the command: something else is there.
            Err((Errno::ENOTTY | Errno::EINVAL, _)) => return Err(Error::NoModule(path.into())),
            Err((errno, _)) => return Err(Error::at("talk to", path)(errno.into())),
        }
        Ok(Self::new(fd, name))
    }

    fn new(fd: OwnedFd, path: CString) -> Self {
        let (count, renewing) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { fd, path, shown: AtomicI32::new(-1), count, renewing }
    }

    /// Which address space this is for: another number in a child.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Gives a command whose argument has no addresses.
    pub fn ask<const COMMAND: u32, T: Plain>(&self, argument: &mut T) -> Said<()> {
        // SAFETY: a plain argument has no addresses.
        self.retry(argument, |fd, argument| unsafe { give::<COMMAND, T>(fd, argument) })
    }

    fn retry<T: Argument>(
        &self,
        argument: &mut T,
        give: impl Fn(BorrowedFd<'_>, &mut T) -> Said<()>,
    ) -> Said<()> {
        let before = *argument;
        match give(self.fd.as_fd(), argument) {
            Err(Errno::EPERM) if self.renew() => {
                *argument = before;
                give(self.fd.as_fd(), argument)
            }
            other => other,
        }
    }

    /// Opens the device anew if this address space is not the one that it was
    /// opened in. `false` if that cannot be done.
    pub fn renew(&self) -> bool {
        while self.renewing.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        let here = !self.is_foreign() || self.reopen().is_ok();
        self.renewing.store(false, Ordering::Release);
        here
    }

    fn is_foreign(&self) -> bool {
        let mut last = abi::LastError::default();
        // SAFETY: a plain argument has no addresses.
        let asked = unsafe { give::<{ abi::LAST_ERROR }, _>(self.fd.as_fd(), &mut last) };
        asked == Err(Errno::EPERM)
    }

    fn reopen(&self) -> Said<()> {
        let new = open(&self.path)?;
        greet(new.as_fd()).map_err(|(errno, _)| errno)?;
        // SAFETY: both are open, and the second stays ours: it goes on under its
        // number, for the new session.
        let done = unsafe { libc::dup3(new.as_raw_fd(), self.fd.as_raw_fd(), libc::O_CLOEXEC) };
        if done < 0 {
            return Err(Errno::last());
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Why this thread's last command or touch was refused.
    pub fn last_error(&self) -> Option<abi::LastError> {
        let mut last = abi::LastError::default();
        self.ask::<{ abi::LAST_ERROR }, _>(&mut last).ok()?;
        (last.errno != 0).then_some(last)
    }

    /// Keeps the descriptor of the view in force, in place of the one before.
    pub fn keep_shown(&self, fd: OwnedFd) -> Said<()> {
        match self.shown.load(Ordering::Acquire) {
            // SAFETY: both are open, and the second stays ours.
            at if at >= 0 => match unsafe { libc::dup3(fd.as_raw_fd(), at, libc::O_CLOEXEC) } {
                done if done < 0 => Err(Errno::last()),
                _ => Ok(()),
            },
            _ => {
                self.shown.store(fd.into_raw_fd(), Ordering::Release);
                Ok(())
            }
        }
    }

    /// The descriptor of the view in force.
    pub fn shown(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.shown.load(Ordering::Acquire);
        // SAFETY: ours, and open until this is dropped.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// A descriptor of an object's data.
    pub fn open_fd(&self, id: ObjectId, rights: Rights) -> Said<OwnedFd> {
        let mut argument = abi::OpenFd { id, rights: rights.0, fd: -1 };
        // SAFETY: it has no addresses.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::OPEN_FD }, _>(fd, argument)
        })?;
        owned(argument.fd)
    }

    /// A descriptor to map what a view shows.
    pub fn set_view(&self, view: ObjectId) -> Said<OwnedFd> {
        let mut argument = abi::SetView { view, fd: -1, reserved: 0 };
        // SAFETY: it has no addresses.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::SET_VIEW }, _>(fd, argument)
        })?;
        owned(argument.fd)
    }

    /// Puts ids into `ids`; how many there were, none at the end.
    pub fn list(&self, cursor: &mut u64, ids: &mut [ObjectId]) -> Said<usize> {
        let (address, count) = (ids.as_mut_ptr() as u64, ids.len() as u32);
        let mut argument = abi::List { cursor: *cursor, ids: address, count, reserved: 0 };
        // SAFETY: `ids` is ours to be written and has that many places; any bytes
        // are ids.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::LIST }, _>(fd, argument)
        })?;
        *cursor = argument.cursor;
        Ok((argument.count as usize).min(ids.len()))
    }

    /// Copies decisions out; how many.
    pub fn decisions(&self, into: &mut [Decision]) -> Said<usize> {
        let (address, len) = (into.as_mut_ptr(), size_of_val(into));
        // SAFETY: `into` is ours to be written, for all its bytes; any bytes are decisions.
        let read = || unsafe { libc::read(self.fd.as_raw_fd(), address.cast(), len) };
        let got = match read() {
            -1 if Errno::last() == Errno::EPERM && self.renew() => read(),
            got => got,
        };
        match usize::try_from(got) {
            Ok(bytes) => Ok((bytes / size_of::<Decision>()).min(into.len())),
            Err(_) => Err(Errno::last()),
        }
    }

    /// Copies bytes out of an object's slot; how many.
    pub fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Said<usize> {
        let (address, len) = (into.as_mut_ptr() as u64, into.len() as u64);
        let mut argument = abi::Transfer { id, offset, address, len };
        // SAFETY: `into` is ours to be written, for all its bytes.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::READ }, _>(fd, argument)
        })?;
        Ok((argument.len as usize).min(into.len()))
    }

    /// Copies bytes into an object's slot; how many.
    pub fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Said<usize> {
        let (address, len) = (from.as_ptr() as u64, from.len() as u64);
        let mut argument = abi::Transfer { id, offset, address, len };
        // SAFETY: `from` can be read, for all its bytes.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::WRITE }, _>(fd, argument)
        })?;
        Ok((argument.len as usize).min(from.len()))
    }

    /// What a path is bound to: [`twz_abi::name::kind`], and the id.
    pub fn lookup(&self, path: &str) -> Said<(u32, ObjectId)> {
        let (path, len) = text(path);
        let mut argument = abi::Lookup { path, len, ..Default::default() };
        // SAFETY: `text` gave the address and length of text that can be read.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::LOOKUP }, _>(fd, argument)
        })?;
        Ok((argument.kind, argument.id))
    }

    /// Binds a path.
    pub fn bind(&self, path: &str, id: ObjectId, replace: bool) -> Said<()> {
        let (path, len) = text(path);
        let mut argument = abi::Bind { path, len, replace: replace as u32, id };
        // SAFETY: `text` gave the address and length of text that can be read.
        self.retry(&mut argument, |fd, argument| unsafe { give::<{ abi::BIND }, _>(fd, argument) })
    }

    /// UNBIND, MKDIR and RMDIR.
    pub fn at_path<const COMMAND: u32>(&self, path: &str) -> Said<()> {
        const { assert!(matches!(COMMAND, abi::UNBIND | abi::MKDIR | abi::RMDIR)) };
        let (path, len) = text(path);
        let mut argument = abi::PathOnly { path, len, reserved: 0 };
        // SAFETY: `text` gave the address and length of text that can be read,
        // and none of these commands writes to it.
        self.retry(&mut argument, |fd, argument| unsafe { give::<COMMAND, _>(fd, argument) })
    }

    /// Renames.
    pub fn rename(&self, from: &str, to: &str) -> Said<()> {
        let ((from, from_len), (to, to_len)) = (text(from), text(to));
        let mut argument = abi::Rename { from, to, from_len, to_len };
        // SAFETY: `text` gave addresses and lengths of text that can be read.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::RENAME }, _>(fd, argument)
        })
    }

    /// Puts names of a directory into `entries`; how many, none at the end.
    pub fn read_dir(&self, path: &str, cursor: &mut u64, entries: &mut [DirEntry]) -> Said<usize> {
        let (path, len) = text(path);
        let (address, count) = (entries.as_mut_ptr() as u64, entries.len() as u32);
        let mut argument = abi::ReadDir { path, entries: address, cursor: *cursor, len, count };
        // SAFETY: `text` gave the address and length of text that can be read;
        // `entries` is ours to be written and has that many places, and any
        // bytes are entries.
        self.retry(&mut argument, |fd, argument| unsafe {
            give::<{ abi::READ_DIR }, _>(fd, argument)
        })?;
        *cursor = argument.cursor;
        Ok((argument.count as usize).min(entries.len()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let fd = *self.shown.get_mut();
        if fd >= 0 {
            // SAFETY: ours, and nobody has it any more.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

fn open(path: &CString) -> Said<OwnedFd> {
    // SAFETY: the path ends in a NUL.
    owned(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })
        .map_err(|_| Errno::last())
}

/// The first command; with the module's versions when it is refused.
fn greet(fd: BorrowedFd<'_>) -> std::result::Result<abi::Handshake, (Errno, abi::Handshake)> {
    let mut hello = abi::Handshake {
        abi_version: abi::ABI_VERSION,
        format_version: FORMAT_VERSION,
        ..Default::default()
    };
    // SAFETY: a plain argument has no addresses.
    match unsafe { give::<{ abi::HANDSHAKE }, _>(fd, &mut hello) } {
        Ok(()) => Ok(hello),
        Err(errno) => Err((errno, hello)),
    }
}

/// A descriptor that the kernel has just given.
fn owned(fd: i32) -> Said<OwnedFd> {
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: open, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Address and length of a path.
fn text(path: &str) -> (u64, u32) {
    (path.as_ptr() as u64, path.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_device_is_told_from_one_that_is_not_there() {
        let why = |path: &str| Session::open(Path::new(path)).err().unwrap();
        assert!(matches!(why("/dev/no-such-device"), Error::NoModule(_)));
        // It is there, and knows no command.
        assert!(matches!(why("/dev/null"), Error::NoModule(_)));
        assert!(matches!(why("/dev"), Error::Io { .. }));
        let text = why("/dev/null").to_string();
        assert!(text.contains("insmod") && text.contains("TWZ_BACKEND"), "{text}");
    }

    #[test]
    fn what_the_kernel_says_is_passed_on() {
        // A session on something that answers every command in the same way.
        let fd = || open(&c"/dev/null".into()).unwrap();
        let session = Session::new(fd(), c"/dev/null".into());
        let id = ObjectId::from_u128(1 << 64 | 1);
        let mut stat = abi::Stat { id, ..Default::default() };
        assert_eq!(session.ask::<{ abi::STAT }, _>(&mut stat), Err(Errno::ENOTTY));
        assert_eq!(session.read(id, 4096, &mut [0; 4]), Err(Errno::ENOTTY));
        assert_eq!(session.at_path::<{ abi::MKDIR }>("a"), Err(Errno::ENOTTY));
        assert_eq!(session.set_view(id).err(), Some(Errno::ENOTTY));
        assert_eq!(session.last_error(), None);
        session.keep_shown(fd()).unwrap();
        let first = session.shown().unwrap().as_raw_fd();
        session.keep_shown(fd()).unwrap();
        assert_eq!(session.shown().unwrap().as_raw_fd(), first);
        assert!(session.renew());
        assert_eq!(session.count(), 0);
    }
}
