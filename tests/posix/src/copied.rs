// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the preload library counts while a job runs: how many bytes of its files were
//! moved by memory, and how many by the kernel. The file of counters is what `twz run
//! --stats` has its programs fill (`libtwz/posix/src/stats.rs` has the order); here
//! it lies beside the room, so that all programs of a job add to one, whoever they run as.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde::Serialize;

/// What the library looks for before it counts: fewer bytes, and it does not.
const SIZE: usize = 4096;

/// Sums over all programs of a job, or of several.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Copied {
    reads: u64,
    read_bytes: u64,
    writes: u64,
    write_bytes: u64,
    seeks: u64,
    kernel_calls: u64,
    kernel_bytes: u64,
    mappings: u64,
    fixed_up: u64,
    stood_aside: u64,
}

impl Copied {
    /// Makes a file of counters that any user can add to.
    pub fn make(path: &Path) -> io::Result<()> {
        fs::write(path, [0; SIZE])?;
        fs::set_permissions(path, Permissions::from_mode(0o666))
    }

    /// What was counted so far.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let mut words = bytes.chunks_exact(8).map(|w| w.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || words.next().unwrap_or(0);
        Ok(Self {
            reads: next(),
            read_bytes: next(),
            writes: next(),
            write_bytes: next(),
            seeks: next(),
            kernel_calls: next(),
            kernel_bytes: next(),
            mappings: next(),
            fixed_up: next(),
            stood_aside: next(),
        })
    }

    pub fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.read_bytes += other.read_bytes;
        self.writes += other.writes;
        self.write_bytes += other.write_bytes;
        self.seeks += other.seeks;
        self.kernel_calls += other.kernel_calls;
        self.kernel_bytes += other.kernel_bytes;
        self.mappings += other.mappings;
        self.fixed_up += other.fixed_up;
        self.stood_aside += other.stood_aside;
    }

    /// Bytes that were a copy, and no call.
    pub fn bytes(&self) -> u64 {
        self.read_bytes + self.write_bytes
    }

    /// Whether anything was counted: then the library was loaded.
    pub fn was_there(&self) -> bool {
        self.bytes() + self.kernel_calls + self.stood_aside != 0
    }

    /// On one line.
    pub fn text(&self) -> String {
        format!(
            "{} bytes by memory ({} reads, {} writes, {} seeks), {} by the kernel ({} calls); \
             {} processes stood aside",
            self.bytes(),
            self.reads,
            self.writes,
            self.seeks,
            self.kernel_bytes,
            self.kernel_calls,
            self.stood_aside
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_their_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        Copied::make(file.path()).unwrap();
        assert_eq!(Copied::read(file.path()).unwrap().bytes(), 0);
        let words: Vec<u8> = (1..=10u64).flat_map(u64::to_le_bytes).collect();
        fs::write(file.path(), words).unwrap();
        let mut twice = Copied::read(file.path()).unwrap();
        let once = twice;
        twice.add(&once);
        // Bytes read and written are the second and the fourth.
        assert_eq!((once.bytes(), twice.bytes()), (2 + 4, 2 * (2 + 4)));
        assert_eq!(
            twice.text(),
            "12 bytes by memory (2 reads, 6 writes, 10 seeks), 14 by the kernel (12 calls); \
             20 processes stood aside"
        );
    }
}
