// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the files of a pool are. Paths of objects are made without
//! allocation, because the fault handler opens them.

use std::{
    ffi::CStr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use twz_abi::ObjectId;

/// The file with superblock and control page.
pub const POOL_FILE: &str = "pool.twz";
/// Data and tails.
pub const OBJECTS: &str = "objects";
/// The namespace.
pub const NAMES: &str = "names";
/// Who an inode is.
pub const INODES: &str = "inodes";
/// Process slots.
pub const LOCKS: &str = "locks";
/// Files not yet in place.
pub const TMP: &str = "tmp";

/// Path of an object's file, relative to the pool, ended by a NUL.
pub struct ObjectPath([u8; 56]);

const HEX: &[u8; 16] = b"0123456789abcdef";

impl ObjectPath {
    /// The data file.
    pub fn data(id: ObjectId) -> Self {
        let mut path = [0u8; 56];
        path[..8].copy_from_slice(b"objects/");
        let bytes = id.as_u128().to_be_bytes();
        for (i, byte) in bytes.iter().enumerate() {
            let digits = [HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]];
            if i == 0 {
                path[8..10].copy_from_slice(&digits);
                path[10] = b'/';
            }
            path[11 + 2 * i..13 + 2 * i].copy_from_slice(&digits);
        }
        Self(path)
    }

    /// The tail file.
    pub fn tail(id: ObjectId) -> Self {
        let mut path = Self::data(id);
        path.0[43..48].copy_from_slice(b".tail");
        path
    }

    /// For openat.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }

    /// For everything that may allocate.
    pub fn within(&self, pool: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        pool.join(std::ffi::OsStr::from_bytes(self.as_c_str().to_bytes()))
    }
}

/// A path in `tmp/` that nobody else uses.
pub fn temporary(pool: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // The clock parts processes that had the same number in other pid namespaces.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos());
    pool.join(TMP).join(format!("{}-{now:x}-{count}", std::process::id()))
}

/// The id that a file name in `objects/ab/` stands for, if it is a tail.
pub fn id_of_tail(name: &std::ffi::OsStr) -> Option<ObjectId> {
    name.to_str()?.strip_suffix(".tail")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let id = "0123456789abcdef0011223344556677".parse().unwrap();
        assert_eq!(ObjectPath::data(id).as_c_str(), c"objects/01/0123456789abcdef0011223344556677");
        assert_eq!(
            ObjectPath::tail(id).as_c_str(),
            c"objects/01/0123456789abcdef0011223344556677.tail"
        );
        assert_eq!(id_of_tail("0123456789abcdef0011223344556677.tail".as_ref()), Some(id));
        assert_eq!(id_of_tail("0123456789abcdef0011223344556677".as_ref()), None);
    }
}
