// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel asks, answered with [`Fs`]: one lock, and each call the one of
//! the same name. Locks of files are the kernel's own, since one daemon serves all.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use fuser::{
    BackingId, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, Notifier, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};

use super::{
    Cache, Fs, SERVER,
    attr::nanoseconds,
    open::Change,
    reply::{attr, empty, entry, forget, nothing, offset, sized},
    seek::{Seek, Seeker},
    tree::{New, Rename},
};

/// The file system, as the kernel talks to it.
pub struct Calls {
    pub fs: Arc<Mutex<Fs>>,
    pub cache: Cache,
    /// How long the kernel may rely on what it was told.
    pub valid: Duration,
    /// How long on that there is nothing of a name, unless it is to ask each time.
    pub absent: Option<Duration>,
    pub notifier: Arc<OnceLock<Notifier>>,
    pub seeker: Seeker,
}

impl Calls {
    fn fs(&self) -> MutexGuard<'_, Fs> {
        self.fs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long what is said of a file holds. Of stores to a mapping of the host's own file
    /// nobody tells the kernel's cache: while somebody may make some it is asked each time.
    fn valid(&self, fs: &Fs, said: &Result<FileAttr, Errno>) -> Duration {
        match said {
            Ok(attr) if fs.changes_unseen(attr.ino.0) => Duration::ZERO,
            _ => self.valid,
        }
    }

    /// By which the kernel reads and writes the file itself, if it can. All who have
    /// a file open have the same.
    fn backing(
        &self,
        fs: &mut Fs,
        ino: u64,
        open: impl FnOnce(&std::fs::File) -> io::Result<BackingId>,
    ) -> Option<Arc<BackingId>> {
        if self.cache != Cache::Passthrough {
            return None;
        }
        fs.backing(ino, open)
    }
}

impl Filesystem for Calls {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.set_max_write(1 << 20);
        let _ = config.add_capabilities(InitFlags::FUSE_CACHE_SYMLINKS);
        let _ = config
            .add_capabilities(InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO);
        if self.cache == Cache::Passthrough
            && (config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_err()
                || config.set_max_stack_depth(2).is_err())
        {
            self.cache = Cache::Writeback;
        }
        // Without, the kernel asks for a file's capabilities before each write of its own.
        let _ = config.add_capabilities(InitFlags::FUSE_HANDLE_KILLPRIV_V2);
        // A directory's list for what is made in it takes the umask's place.
        let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL | InitFlags::FUSE_DONT_MASK);
        if self.cache == Cache::Writeback {
            let _ = config.add_capabilities(InitFlags::FUSE_WRITEBACK_CACHE);
        }
        Ok(())
    }

    fn destroy(&mut self) {
        // There is nobody to tell of an error any more.
        let _ = self.fs().sync();
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut fs = self.fs();
        let done = fs.lookup(parent.0, name);
        match (self.absent, &done) {
            (Some(valid), Err(errno)) if i32::from(*errno) == libc::ENOENT => nothing(valid, reply),
            _ => entry(self.valid(&fs, &done), done, reply),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.fs().nodes.forget(ino.0, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let fs = self.fs();
        let done = fs.attributes(ino.0);
        attr(self.valid(&fs, &done), done, reply);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
            ctime: ctime.map(nanoseconds),
            by: (request.uid(), request.gid()),
        };
        let mut fs = self.fs();
        let done = fs.change(ino.0, &change);
        attr(self.valid(&fs, &done), done, reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let fs = self.fs();
        let text = match ino.0 {
            SERVER => Ok(fs.server().into_bytes()),
            ino => fs.read_link(ino),
        };
        match text {
            Ok(text) => reply.data(&text),
            Err(errno) => reply.error(errno),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let new = New { parent: parent.0, name, mode, umask, rdev, text: &[] };
        entry(self.valid, self.fs().make(&new, request), reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        entry(self.valid, self.fs().make_dir(parent.0, name, (mode, umask), request), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.fs().unlink(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.fs().remove_dir(parent.0, name), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let text = target.as_os_str().as_bytes();
        let new =
            New { parent: parent.0, name, mode: libc::S_IFLNK | 0o777, umask: 0, rdev: 0, text };
        entry(self.valid, self.fs().make(&new, request), reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let asked = Rename { from: (parent.0, name), to: (new_parent.0, new_name), flags };
        empty(self.fs().rename(&asked, request), reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut fs = self.fs();
        let done = fs.link(ino.0, parent.0, name);
        entry(self.valid(&fs, &done), done, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let mut fs = self.fs();
        if let Err(errno) = fs.open(ino.0, flags.0) {
            return reply.error(errno);
        }
        match self.backing(&mut fs, ino.0, |file| reply.open_backing(file)) {
            Some(id) => {
                if fs.changes_unseen(ino.0) {
                    forget(&self.notifier, ino);
                }
                reply.opened_passthrough(FileHandle(0), FopenFlags::empty(), &id);
            }
            None => reply.opened(FileHandle(0), FopenFlags::empty()),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let mut fs = self.fs();
        let mode = libc::S_IFREG | mode & 0o7777;
        let new = New { parent: parent.0, name, mode, umask, rdev: 0, text: &[] };
        let made = fs.make(&new, request).and_then(|attr| {
            let opened = fs.open(attr.ino.0, flags);
            opened.map(|_| attr).inspect_err(|_| fs.nodes.forget(attr.ino.0, 1))
        });
        let attr = match made {
            Ok(attr) => attr,
            Err(errno) => return reply.error(errno),
        };
        let (handle, how) = (FileHandle(0), FopenFlags::empty());
        match self.backing(&mut fs, attr.ino.0, |file| reply.open_backing(file)) {
            Some(id) => {
                reply.created_passthrough(&self.valid, &attr, Generation(0), handle, how, &id);
            }
            None => reply.created(&self.valid, &attr, Generation(0), handle, how),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.fs().read(ino.0, at, size as u64) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        at: u64,
        data: &[u8],
        how: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let cached = how.contains(WriteFlags::FUSE_WRITE_CACHE);
        let drop = how.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let drop = drop.then(|| (request.uid(), request.gid()));
        match self.fs().write(ino.0, at, data, cached, drop) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Nothing waits here for a close: the kernel need not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        flags: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.fs().release(ino.0, flags.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(self.fs().sync_file(ino.0), reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(self.fs().sync().map_err(super::errno), reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.fs().open_dir(ino.0) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        from: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = match self.fs().listing(handle.0, from) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(errno),
        };
        for (n, (name, ino, kind)) in (from + 1..).zip(listing.iter().skip(from as usize)) {
            if reply.add(INodeNo(*ino), n, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        dir: INodeNo,
        handle: FileHandle,
        from: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let mut fs = self.fs();
        let listing = match fs.listing(handle.0, from) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(errno),
        };
        for (n, (name, ino, _)) in (from + 1..).zip(listing.iter().skip(from as usize)) {
            let real = name != "." && name != "..";
            let attr = match real {
                true => fs.lookup(dir.0, name),
                false => fs.attributes(*ino),
            };
            // Gone since it was listed.
            let Ok(attr) = attr else { continue };
            let valid = self.valid(&fs, &Ok(attr));
            if reply.add(attr.ino, n, name, &valid, &attr, Generation(0)) {
                if real {
                    fs.nodes.forget(attr.ino.0, 1);
                }
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.fs().close_dir(handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.fs().room() {
            Ok(room) => {
                let (blocks, free) = (room.blocks, room.free);
                reply.statfs(blocks, free, free, room.files + free, free, 4096, 255, 4096);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        sized(self.fs().get_xattr(ino.0, name), size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        sized(self.fs().list_xattr(ino.0), size, reply);
    }

    fn setxattr(
        &self,
        by: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        how: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        empty(self.fs().set_xattr(ino.0, name, value, how, by), reply);
    }

    fn removexattr(&self, by: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.fs().remove_xattr(ino.0, name, by), reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        at: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        empty(self.fs().allocate(ino.0, mode, at, length), reply);
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        at: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let fs = self.fs();
        match self.cache == Cache::Writeback && fs.is_written(ino.0) {
            true => self.seeker.ask(Seek { ino, at, whence, reply }),
            false => offset(fs.seek(ino.0, at, whence), reply),
        }
    }

    fn copy_file_range(
        &self,
        _: &Request,
        from: INodeNo,
        _: FileHandle,
        from_at: u64,
        to: INodeNo,
        _: FileHandle,
        to_at: u64,
        len: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        match self.fs().copy((from.0, from_at), (to.0, to_at), len) {
            Ok(copied) => reply.written(copied as u32),
            Err(errno) => reply.error(errno),
        }
    }
}
