// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/dev/twz` as it is: a [`Session`] and its commands, one function each, and
//! the raw call below them that takes any number and any address.

use std::{
    cell::RefCell,
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use twz_abi::{ObjectId, PAGE, Rights, ioctl as abi};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes};

use crate::errno::{Errno, Result};

/// The device.
pub const DEVICE: &str = "/dev/twz";

/// An open of the device that was greeted. What it created goes with it.
pub struct Session {
    fd: OwnedFd,
    pid: u32,
    created: RefCell<Vec<ObjectId>>,
}

/// Opens a path with these flags.
pub fn open(path: &str, flags: i32) -> Result<OwnedFd> {
    let path = std::ffi::CString::new(path).expect("a path without a NUL");
    // SAFETY: the path ends in a NUL, and a descriptor that is returned is nobody else's.
    unsafe {
        let fd = Errno::check(libc::open(path.as_ptr(), flags, 0o600) as libc::c_long)?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Any ioctl: what the kernel reads or writes at `address` is its affair.
pub fn ioctl(fd: RawFd, number: u32, address: usize) -> Result<usize> {
    // SAFETY: whoever passes an address of memory that is in use passes that of
    // an argument as long as the command's; the others are to be refused.
    Errno::check(unsafe { libc::ioctl(fd, number as libc::c_ulong, address) } as libc::c_long)
}

/// A command with its argument.
pub fn command<T: IntoBytes + FromBytes + Immutable>(
    fd: RawFd,
    number: u32,
    argument: &mut T,
) -> Result {
    debug_assert_eq!(number >> 16 & 0x3fff, size_of::<T>() as u32);
    ioctl(fd, number, argument.as_mut_bytes().as_mut_ptr() as usize).map(|_| ())
}

/// An open of the device before the handshake.
pub fn open_device() -> Result<OwnedFd> {
    open(DEVICE, libc::O_RDWR | libc::O_CLOEXEC)
}

/// The argument of a handshake between equals.
pub fn greeting() -> abi::Handshake {
    abi::Handshake {
        abi_version: abi::ABI_VERSION,
        format_version: twz_abi::FORMAT_VERSION,
        ..Default::default()
    }
}

impl Session {
    /// A session of this process.
    pub fn open() -> Self {
        let fd = open_device().unwrap_or_else(|e| panic!("{DEVICE} does not open: {e:?}"));
        let mut hello = greeting();
        let done = command(fd.as_raw_fd(), abi::HANDSHAKE, &mut hello);
        done.unwrap_or_else(|e| panic!("the handshake failed with {e:?}: {hello:?}"));
        Self { fd, pid: std::process::id(), created: RefCell::default() }
    }

    /// Its descriptor.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// A command with its argument.
    pub fn call<T: IntoBytes + FromBytes + Immutable>(&self, number: u32, arg: &mut T) -> Result {
        command(self.raw(), number, arg)
    }

    fn answer<T: IntoBytes + FromBytes + Immutable>(&self, number: u32, mut arg: T) -> Result<T> {
        self.call(number, &mut arg)?;
        Ok(arg)
    }

    /// The pool.
    pub fn info(&self) -> abi::Info {
        self.answer(abi::INFO, abi::Info::new_zeroed()).expect("INFO")
    }

    /// Why the last command or fault of this thread was refused.
    pub fn last_error(&self) -> abi::LastError {
        self.answer(abi::LAST_ERROR, abi::LastError::default()).expect("LAST_ERROR")
    }

    /// Asks to look again at an access that was refused.
    pub fn fault(&self, address: usize, access: Rights) -> Result {
        let address = address as u64;
        self.answer(abi::FAULT, abi::Fault { address, access: access.0, reserved: 0 }).map(|_| ())
    }

    /// Makes an object, which is deleted with the session.
    pub fn create_as(&self, create: abi::Create) -> Result<ObjectId> {
        let id = self.answer(abi::CREATE, create)?.id;
        self.created.borrow_mut().push(id);
        Ok(id)
    }

    /// Makes an object of `size` bytes that grants `rights`.
    pub fn create(&self, size: u64, rights: Rights) -> ObjectId {
        let create = abi::Create { size, default_rights: rights.0, ..Default::default() };
        self.create_as(create).expect("CREATE")
    }

    /// Makes an object of `size` bytes with the default rights.
    pub fn object(&self, size: u64) -> ObjectId {
        self.create(size, Rights::DEFAULT)
    }

    /// Puts in place an object with this identity.
    pub fn adopt(&self, adopt: abi::Adopt) -> Result<ObjectId> {
        let id = self.answer(abi::ADOPT, adopt)?.create.id;
        self.created.borrow_mut().push(id);
        Ok(id)
    }

    /// What an object is.
    pub fn stat(&self, id: ObjectId) -> Result<abi::Stat> {
        self.answer(abi::STAT, abi::Stat { id, ..Default::default() })
    }

    /// Some ids from `cursor` on.
    pub fn list_some(&self, cursor: &mut u64, room: usize) -> Result<Vec<ObjectId>> {
        let mut ids = vec![ObjectId::NULL; room];
        let mut list = abi::List {
            cursor: *cursor,
            ids: ids.as_mut_ptr() as u64,
            count: room as u32,
            reserved: 0,
        };
        self.call(abi::LIST, &mut list)?;
        *cursor = list.cursor;
        ids.truncate(list.count as usize);
        Ok(ids)
    }

    /// Every id.
    pub fn list(&self, room: usize) -> Vec<ObjectId> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let some = self.list_some(&mut cursor, room).expect("LIST");
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    /// Changes the size of the data.
    pub fn resize(&self, id: ObjectId, size: u64) -> Result {
        self.answer(abi::RESIZE, abi::Resize { id, size, reserved: 0 }).map(|_| ())
    }

    /// Puts storage behind data.
    pub fn reserve(&self, id: ObjectId, from: u64, to: u64) -> Result {
        // Slot offsets, as the command counts; the tests count data.
        let [from, to] = [from, to].map(|at| at + twz_abi::DATA_START);
        self.answer(abi::RESERVE, abi::Reserve { id, from, to }).map(|_| ())
    }

    /// Deletes an object.
    pub fn delete(&self, id: ObjectId) -> Result {
        self.answer(abi::DELETE, abi::Delete { id, reserved: 0 }).map(|_| ())
    }

    /// Makes an object durable.
    pub fn sync(&self, id: ObjectId) -> Result {
        self.answer(abi::SYNC, abi::Sync { id, reserved: 0 }).map(|_| ())
    }

    /// Copies an object into one that is as `create` says.
    pub fn copy_as(&self, source: ObjectId, create: abi::Create) -> Result<ObjectId> {
        let id = self.answer(abi::COPY, abi::Copy { source, create, epoch: 0 })?.create.id;
        self.created.borrow_mut().push(id);
        Ok(id)
    }

    /// Copies an object, with the default rights.
    pub fn copy(&self, source: ObjectId) -> Result<ObjectId> {
        let default_rights = Rights::DEFAULT.0;
        self.copy_as(source, abi::Create { default_rights, ..Default::default() })
    }

    /// Reads bytes of a slot; how many.
    pub fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<u64> {
        let (address, len) = (into.as_mut_ptr() as u64, into.len() as u64);
        Ok(self.answer(abi::READ, abi::Transfer { id, offset, address, len })?.len)
    }

    /// Writes bytes of a slot; how many.
    pub fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<u64> {
        let (address, len) = (from.as_ptr() as u64, from.len() as u64);
        Ok(self.answer(abi::WRITE, abi::Transfer { id, offset, address, len })?.len)
    }

    /// Reads the word at data byte `at`.
    pub fn word(&self, id: ObjectId, at: u64) -> u64 {
        let mut bytes = [0; 8];
        assert_eq!(self.read(id, PAGE + at, &mut bytes), Ok(8), "READ of {id} at {at:#x}");
        u64::from_le_bytes(bytes)
    }

    /// Writes the word at data byte `at`.
    pub fn set_word(&self, id: ObjectId, at: u64, word: u64) {
        let done = self.write(id, PAGE + at, &word.to_le_bytes());
        assert_eq!(done, Ok(8), "WRITE of {id} at {at:#x}");
    }

    /// A descriptor of an object's data.
    pub fn open_fd(&self, id: ObjectId, rights: Rights) -> Result<OwnedFd> {
        let fd = self.answer(abi::OPEN_FD, abi::OpenFd { id, rights: rights.0, fd: -1 })?.fd;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Sleeps while the word at slot offset `offset` is `value`.
    pub fn wait(&self, id: ObjectId, offset: u64, value: u64, timeout: u64) -> Result {
        self.answer(abi::WAIT, abi::Wait { id, offset, value, timeout }).map(|_| ())
    }

    /// Wakes; how many.
    pub fn wake(&self, id: ObjectId, offset: u64, count: u64) -> Result<u64> {
        Ok(self.answer(abi::WAKE, abi::Wake { id, offset, count })?.count)
    }

    /// A descriptor to map what a view shows.
    pub fn set_view(&self, view: ObjectId) -> Result<OwnedFd> {
        let fd = self.answer(abi::SET_VIEW, abi::SetView { view, fd: -1, reserved: 0 })?.fd;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Tells that slots of a view have changed.
    pub fn invalidate(&self, view: ObjectId, first: u32, count: u32) -> Result {
        self.answer(abi::INVALIDATE_VIEW, abi::InvalidateView { view, first, count }).map(|_| ())
    }

    /// What a fault would be granted.
    pub fn resolve(&self, id: ObjectId, wanted: Rights) -> Result<abi::Resolve> {
        self.answer(abi::RESOLVE, abi::Resolve { id, wanted: wanted.0, ..Default::default() })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // In a forked child these are the parent's.
        if self.pid == std::process::id() {
            for id in self.created.take() {
                let _ = self.delete(id);
            }
        }
    }
}
