// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pools made here and written to the raw device: good ones with known objects,
//! to be damaged before the module is loaded.

use std::os::{
    fd::AsRawFd as _,
    unix::fs::{FileExt as _, OpenOptionsExt as _},
};

use twz_abi::{ObjectId, PAGE, Superblock, superblock::SUPER_MAGIC};
use twz_core::{
    Identity, Memory, Mode, NewObject, Store,
    format::{FormatOptions, format},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{options::options, rng::Rng, sys, world::OPEN};

/// Bytes of a pool: small, so that it is soon written.
const BYTES: usize = 6 << 20;

/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;

/// Objects in it.
pub const OBJECTS: u64 = 60;

/// A pool in memory.
#[derive(Clone)]
pub struct Image {
    /// All of it.
    pub bytes: Vec<u8>,
}

/// The identity of an object of the pool.
pub fn identity(n: u64) -> Identity {
    let nonce = (u128::from(n) + 1).to_le_bytes();
    Identity { default_rights: OPEN.0, ..Identity::plain(nonce) }
}

/// Its id.
pub fn id(n: u64) -> ObjectId {
    identity(n).id().expect("an id")
}

impl Image {
    /// With objects of all sizes, copies and names.
    pub fn new() -> Self {
        let mut bytes = vec![0; BYTES];
        let mut media = Memory::new(&mut bytes);
        format(&mut media, &FormatOptions::plain()).expect("a pool");
        let mut store = Store::open(media, Mode::ReadWrite).expect("the pool");
        store.mkdir(b"/dir", &identity(1000)).expect("a directory");
        let mut rng = Rng::new(11);
        for n in 0..OBJECTS {
            let size = [100, 3 * PAGE, 20 * PAGE, 600 * PAGE][n as usize % 4];
            let new = NewObject { size, ..NewObject::bytes(identity(n)) };
            let r = store.create(id(n), &new).expect("an object");
            for _ in 0..4 {
                let at = PAGE + rng.below(size.div_ceil(8)) * 8;
                store.write(r, at.min(PAGE + size - 8), &n.to_le_bytes()).expect("a write");
            }
            let path = format!("/dir/object {n}");
            store.bind(path.as_bytes(), id(n), false).expect("a name");
        }
        for n in OBJECTS..OBJECTS + 10 {
            let source = store.find(id(n - OBJECTS)).expect("a source");
            store.copy(source, id(n), &NewObject::bytes(identity(n))).expect("a copy");
        }
        store.sync().expect("a fence");
        Self { bytes }
    }

    /// The superblock in place `slot`.
    pub fn superblock(&self, slot: usize) -> Superblock {
        let at = slot * PAGE as usize;
        Superblock::read_from_bytes(&self.bytes[at..at + PAGE as usize]).expect("4096 bytes")
    }

    /// The one that counts.
    pub fn current(&self) -> Superblock {
        let [a, b] = [0, 1].map(|slot| self.superblock(slot));
        let valid = |s: &Superblock| s.magic == SUPER_MAGIC && s.check().is_ok();
        if valid(&b) && (!valid(&a) || b.sequence > a.sequence) { b } else { a }
    }

    /// Changes both superblocks, and makes their sums right.
    pub fn change_superblocks(&mut self, change: impl Fn(&mut Superblock)) {
        for slot in 0..2 {
            let mut superblock = self.superblock(slot);
            change(&mut superblock);
            superblock.checksum = superblock.compute_checksum();
            let at = slot * PAGE as usize;
            self.bytes[at..at + PAGE as usize].copy_from_slice(superblock.as_bytes());
        }
    }

    /// Random bytes in `pages` pages from `page` on.
    pub fn scribble(&mut self, page: u64, pages: u64, rng: &mut Rng) {
        let (from, len) = ((page * PAGE) as usize, (pages * PAGE) as usize);
        let bytes = rng.bytes(len);
        self.bytes[from..from + len].copy_from_slice(&bytes);
    }

    /// Puts it on the device, and nothing behind it.
    pub fn store(&self) {
        put(&self.bytes);
    }
}

/// Writes bytes at the device's beginning, past the page cache.
pub fn put(bytes: &[u8]) {
    #[repr(align(4096))]
    struct Aligned([u8; CHUNK]);
    let path = &options().device;
    let mut open = std::fs::OpenOptions::new();
    let open = open.write(true).custom_flags(libc::O_DIRECT);
    let device = open.open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut aligned = Box::new(Aligned([0; CHUNK]));
    for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
        aligned.0[..chunk.len()].copy_from_slice(chunk);
        let len = chunk.len().next_multiple_of(PAGE as usize);
        device.write_all_at(&aligned.0[..len], (i * CHUNK) as u64).expect("a write");
    }
    device.sync_all().expect("fsync");
    const BLKFLSBUF: u32 = 0x1261;
    let _ = sys::ioctl(device.as_raw_fd(), BLKFLSBUF, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_good_and_can_be_damaged() {
        let mut image = Image::new();
        assert!(image.current().check().is_ok());
        let mut copy = image.bytes.clone();
        let store = Store::open(Memory::new(&mut copy), Mode::ReadWrite).expect("a pool");
        assert!((0..OBJECTS + 10).all(|n| store.find(id(n)).is_ok()));
        image.change_superblocks(|s| s.version = 9);
        assert!(image.current().check().is_err());
        assert!(Store::open(Memory::new(&mut image.bytes), Mode::ReadWrite).is_err());
    }
}
