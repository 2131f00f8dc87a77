// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject `twz-store`: the store itself, on memory. What the kernel module
//! does for an object, without the kernel.

use std::ffi::c_void;

use twz_abi::ObjectId;
use twz_core::{
    Identity, Memory, Mode, NewObject, Store,
    format::{FormatOptions, format},
};

use super::home::{self, Full, Home};
use crate::{error::Failed, report::Record};

/// Objects that can be made beyond those that are there and their directories.
const SPARE: usize = 4096;
/// Bytes for each object: its record and head, and its name.
const EACH: usize = 1536;

/// Measures it.
pub fn measure(name: &'static str, many: usize, few: usize) -> Result<Vec<Record>, Failed> {
    let (mut large, mut small) = (Buffer::new(many)?, Buffer::new(few)?);
    let many = Full::new(InMemory::make(large.bytes(), many)?, many, 1)?;
    let few = Full::new(InMemory::make(small.bytes(), few)?, few, 1)?;
    home::measure(name, many, few)
}

/// Zeroed memory on huge pages where there are any: the kernel's own mapping of
/// persistent memory, which the store is for, has them too.
struct Buffer {
    at: *mut c_void,
    len: usize,
}

impl Buffer {
    /// Room for so many objects.
    fn new(count: usize) -> Result<Self, Failed> {
        let len = ((count + SPARE) * EACH + (16 << 20)).next_multiple_of(2 << 20);
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new memory, wherever there is room.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        // SAFETY: the range that was just mapped; this is advice only.
        unsafe { libc::madvise(at, len, libc::MADV_HUGEPAGE) };
        Ok(Self { at, len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped, zeroed, and ours alone for as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; nothing borrows it any more.
        unsafe { libc::munmap(self.at, self.len) };
    }
}

struct InMemory<'a> {
    /// Not there only while the pool is being reopened.
    store: Option<Store<Memory<'a>>>,
    made: u128,
}

impl<'a> InMemory<'a> {
    fn make(bytes: &'a mut [u8], count: usize) -> Result<Self, Failed> {
        let records = Some((count + count / 50 + SPARE) as u64);
        let mut media = Memory::new(bytes);
        format(&mut media, &FormatOptions { records, ..FormatOptions::plain() })?;
        Ok(Self { store: Some(Store::open(media, Mode::ReadWrite)?), made: 0 })
    }

    fn store(&mut self) -> Result<&mut Store<Memory<'a>>, Failed> {
        self.store.as_mut().ok_or_else(|| Failed::new("the pool did not open again"))
    }

    fn identity(&mut self) -> Identity {
        // Clear of the nonce that the root directory has.
        self.made += 1;
        Identity::plain((self.made << 8).to_be_bytes())
    }
}

impl Home for InMemory<'_> {
    fn create(&mut self) -> Result<ObjectId, Failed> {
        let identity = self.identity();
        let id = identity.id().ok_or_else(|| Failed::new("a nonce that gives no id"))?;
        self.store()?.create(id, &NewObject::bytes(identity))?;
        Ok(id)
    }

    fn delete(&mut self, id: ObjectId) -> Result<(), Failed> {
        let record = self.store()?.delete(id)?;
        Ok(self.store()?.reclaim(record)?)
    }

    fn make_dir(&mut self, path: &str) -> Result<(), Failed> {
        let identity = self.identity();
        self.store()?.mkdir(path.as_bytes(), &identity)?;
        Ok(())
    }

    fn bind(&mut self, path: &str, id: ObjectId) -> Result<(), Failed> {
        self.store()?.bind(path.as_bytes(), id, false)?;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn open(&mut self, id: ObjectId) -> Result<ObjectId, Failed> {
        let store = self.store()?;
        Ok(store.find_record(id)?.1.id)
    }

    fn lookup(&mut self, path: &str) -> Result<ObjectId, Failed> {
        Ok(self.store()?.lookup(path.as_bytes())?.id())
    }

    fn reopen(&mut self) -> Result<(), Failed> {
        let media = self.store.take().map(Store::into_media);
        let media = media.ok_or_else(|| Failed::new("the pool did not open again"))?;
        self.store = Some(Store::open(media, Mode::ReadWrite)?);
        Ok(())
    }
}
