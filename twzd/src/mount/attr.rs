// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a file has that an object has not: mode, owner, times, and for what is no
//! plain file its type. [`Attr`], and the 64 bytes that [`super::table`] keeps of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use nix::time::ClockId;
use twz::{ObjectId, Rights};

/// Bytes of a record.
pub const RECORD: usize = 64;

/// Above the mode: the mount made the object, and deletes it with its last name.
const MADE: u32 = 1 << 16;
/// The last name is gone, and the object goes when nobody has it open.
const ORPHAN: u32 = 1 << 17;
/// It has access control lists.
const HAS_ACL: u32 = 1 << 18;

/// What POSIX says of a file. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    pub made: bool,
    pub orphan: bool,
    pub has_acl: bool,
}

impl Attr {
    /// Of what is made now.
    pub fn new(mode: u32, uid: u32, gid: u32) -> Self {
        let now = now();
        let (atime, mtime, ctime) = (now, now, now);
        let (made, orphan, has_acl) = (true, false, false);
        Self { mode, uid, gid, rdev: 0, atime, mtime, ctime, made, orphan, has_acl }
    }

    /// Of an object that has no record: what its default rights say.
    pub fn of_object(rights: Rights, since: i64, (uid, gid): (u32, u32)) -> Self {
        let bit = |right, bits| if rights.contains(right) { bits } else { 0 };
        let mode = bit(Rights::READ, 0o444) | bit(Rights::WRITE, 0o200) | bit(Rights::EXEC, 0o111);
        let (atime, mtime, ctime) = (since, since, since);
        let mode = libc::S_IFREG | mode;
        Self { atime, mtime, ctime, made: false, ..Self::new(mode, uid, gid) }
    }

    /// Of a directory of names that has no record.
    pub fn of_directory(since: i64, (uid, gid): (u32, u32)) -> Self {
        let (atime, mtime, ctime) = (since, since, since);
        let mode = libc::S_IFDIR | 0o755;
        Self { atime, mtime, ctime, made: false, ..Self::new(mode, uid, gid) }
    }

    /// The type bits of the mode.
    pub fn format(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    /// Takes away what a write or a new owner takes away: set-user-id, and
    /// set-group-id where it means that, or who does it is not of that group.
    pub fn drop_privileges(&mut self, (uid, gid): (u32, u32)) {
        if self.format() == libc::S_IFDIR {
            return;
        }
        self.mode &= !libc::S_ISUID;
        if self.mode & libc::S_IXGRP != 0 || uid != 0 && gid != self.gid {
            self.mode &= !libc::S_ISGID;
        }
    }

    /// As the kernel is told.
    pub fn told(&self, ino: u64, size: u64, blocks: u64, nlink: u32) -> FileAttr {
        FileAttr {
            ino: INodeNo(ino),
            size,
            blocks,
            atime: system(self.atime),
            mtime: system(self.mtime),
            ctime: system(self.ctime),
            crtime: UNIX_EPOCH,
            kind: kind(self.mode),
            perm: (self.mode & 0o7777) as u16,
            nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            blksize: 4096,
            flags: 0,
        }
    }

    /// The record of `id`. MOUNT.md says what is where.
    pub fn record(&self, id: ObjectId) -> [u8; RECORD] {
        let flags = [(self.made, MADE), (self.orphan, ORPHAN), (self.has_acl, HAS_ACL)];
        let flags = flags.iter().filter(|(so, _)| *so).fold(0, |all, (_, flag)| all | flag);
        let words = [
            id.lo,
            id.hi,
            (self.mode | flags) as u64 | (self.rdev as u64) << 32,
            self.uid as u64 | (self.gid as u64) << 32,
            self.atime as u64,
            self.mtime as u64,
            self.ctime as u64,
            0,
        ];
        let mut bytes = [0; RECORD];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// What a record says; `None` of one that is free.
    pub fn of_record(bytes: &[u8; RECORD]) -> Option<(ObjectId, Self)> {
        let mut words = [0u64; RECORD / 8];
        for (word, place) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*place);
        }
        let [lo, hi, mode, owner, atime, mtime, ctime, _] = words;
        let id = ObjectId { lo, hi };
        let flags = mode as u32;
        let attr = Self {
            mode: flags & 0xffff,
            rdev: (mode >> 32) as u32,
            uid: owner as u32,
            gid: (owner >> 32) as u32,
            atime: atime as i64,
            mtime: mtime as i64,
            ctime: ctime as i64,
            made: flags & MADE != 0,
            orphan: flags & ORPHAN != 0,
            has_acl: flags & HAS_ACL != 0,
        };
        id.is_valid().then_some((id, attr))
    }
}

/// Now, as a time of a file: by the clock that the kernel stamps with where it does so
/// itself, for one that is exact is ahead of it, and what came later would look older.
pub fn now() -> i64 {
    match ClockId::CLOCK_REALTIME_COARSE.now() {
        Ok(now) => Duration::from(now).as_nanos().try_into().unwrap_or(i64::MAX),
        Err(_) => nanoseconds(SystemTime::now()),
    }
}

/// A time of a file; what is beyond 1677 or 2262 is the last that can be said.
pub fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

fn system(ns: i64) -> SystemTime {
    let away = Duration::from_nanos(ns.unsigned_abs());
    let there = if ns < 0 { UNIX_EPOCH.checked_sub(away) } else { UNIX_EPOCH.checked_add(away) };
    there.unwrap_or(UNIX_EPOCH)
}

/// The type that a mode says.
pub fn kind(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_was_put_in() {
        let id = ObjectId { lo: 7, hi: 9 };
        for (made, orphan, has_acl) in
            [(true, false, false), (false, false, true), (true, true, false)]
        {
            let attr = Attr {
                mode: libc::S_IFCHR | 0o4751,
                uid: 3,
                gid: u32::MAX - 1,
                rdev: 0x0103,
                atime: -5,
                mtime: i64::MAX,
                ctime: 1,
                made,
                orphan,
                has_acl,
            };
            assert_eq!(Attr::of_record(&attr.record(id)), Some((id, attr)));
        }
        assert_eq!(Attr::of_record(&[0; RECORD]), None);
    }

    #[test]
    fn times_before_1970_and_after_2262() {
        assert_eq!(nanoseconds(system(-1)), -1);
        assert_eq!(nanoseconds(UNIX_EPOCH + Duration::from_secs(1 << 40)), i64::MAX);
    }
}
