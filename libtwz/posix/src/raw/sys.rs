// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls of the library's own: not through libc's names, which are ours, with no
//! errno, and never a point where a thread is cancelled.

use core::{arch::asm, ffi::CStr, mem::MaybeUninit};

/// Bytes of a program: an `iovec`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Piece {
    pub address: usize,
    pub length: usize,
}

const _: () = assert!(size_of::<Piece>() == size_of::<libc::iovec>());

/// What a file is.
pub struct Stat {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub is_file: bool,
    blocks: u64,
    mode: u32,
    owner: u32,
}

impl Stat {
    /// Whether part of it may have no place yet.
    pub fn has_holes(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }

    /// Whether nobody but this user can have written it.
    pub fn is_own(&self) -> bool {
        // SAFETY: no arguments.
        let user = unsafe { call(libc::SYS_geteuid, [0; 6]) };
        user == self.owner as isize && self.mode & (libc::S_IWGRP | libc::S_IWOTH) == 0
    }

    /// Whether a write would have to take rights away.
    pub fn lends_rights(&self) -> bool {
        self.mode & (libc::S_ISUID | libc::S_ISGID) != 0
    }
}

/// # Safety
/// The arguments are what the call of that number may be given.
#[inline(always)]
unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let answer: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the kernel changes these registers and what the arguments lead to, which
    // the caller vouches for.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b,
             in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// What libc would answer, and have in errno.
pub fn result(answer: isize) -> isize {
    if answer >= 0 {
        return answer;
    }
    set_errno(-answer as i32);
    -1
}

pub fn set_errno(errno: i32) {
    // SAFETY: this thread's errno is always there.
    unsafe { *libc::__errno_location() = errno };
}

/// Copies bytes of this process by way of the kernel, if they are there.
pub fn fetch<const N: usize>(from: usize) -> Option<[u8; N]> {
    let mut bytes = [0u8; N];
    let to = Piece { address: bytes.as_mut_ptr() as usize, length: N };
    let from = Piece { address: from, length: N };
    let (to, from) = (&raw const to as usize, &raw const from as usize);
    // SAFETY: as much room as is said; the other side may be anything.
    let length = unsafe {
        let process = call(libc::SYS_getpid, [0; 6]) as usize;
        call(libc::SYS_process_vm_readv, [process, to, 1, from, 1, 0])
    };
    (length == N as isize).then_some(bytes)
}

/// What a descriptor is.
pub fn stat(fd: i32) -> Option<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: room for a stat, which is numbers alone; here libc's is the kernel's.
    let stat = unsafe {
        if call(libc::SYS_fstat, [fd as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some(Stat {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).ok()?,
        is_file: stat.st_mode & libc::S_IFMT == libc::S_IFREG,
        blocks: u64::try_from(stat.st_blocks).ok()?,
        mode: stat.st_mode,
        owner: stat.st_uid,
    })
}

/// Whether its file system is one whose mappings and calls share pages, whoever makes them.
pub fn is_coherent(fd: i32) -> bool {
    const XFS: i64 = 0x5846_5342;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: room for a statfs, which is numbers alone; here libc's is the kernel's.
    let kind = unsafe {
        if call(libc::SYS_fstatfs, [fd as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) != 0 {
            return false;
        }
        stat.assume_init().f_type
    };
    [libc::TMPFS_MAGIC, libc::EXT4_SUPER_MAGIC, XFS].contains(&kind)
}

/// Asks something of the path of a descriptor's file.
pub fn with_path(fd: i32, ask: impl FnOnce(&[u8]) -> bool) -> bool {
    let mut name = *b"/proc/self/fd/0000000000\0";
    let (mut digits, mut at) = (fd as u32, name.len() - 1);
    while at > 14 {
        at -= 1;
        name[at] = b'0' + (digits % 10) as u8;
        digits /= 10;
    }
    // The number without its leading zeros.
    let first = (14..name.len() - 2).find(|at| name[*at] != b'0').unwrap_or(name.len() - 2);
    name.copy_within(first.., 14);
    let mut path = [0u8; libc::PATH_MAX as usize];
    let (from, to) = (name.as_ptr() as usize, path.as_mut_ptr() as usize);
    // SAFETY: a path that ends in a NUL, and as much room as is said.
    let length = unsafe { call(libc::SYS_readlink, [from, to, path.len(), 0, 0, 0]) };
    usize::try_from(length).is_ok_and(|length| ask(&path[..length]))
}

/// Reads the begin of a symbolic link; whether it filled the room. The path ends in a NUL.
pub fn read_link(path: &CStr, to: &mut [u8]) -> bool {
    let (from, room) = (path.as_ptr() as usize, to.as_mut_ptr() as usize);
    // SAFETY: a path that ends in a NUL, and as much room as is said.
    let length = unsafe { call(libc::SYS_readlink, [from, room, to.len(), 0, 0, 0]) };
    length == to.len() as isize
}

/// Opens a file for the library itself; one that it makes is this user's alone.
pub fn open(path: *const libc::c_char, flags: i32) -> Option<i32> {
    // SAFETY: the path ends in a NUL, or the kernel says that it is none.
    let fd = unsafe { call(libc::SYS_open, [path as usize, flags as usize, 0o600, 0, 0, 0]) };
    (fd >= 0).then_some(fd as i32)
}

/// Closes a descriptor of the library itself.
pub fn close(fd: i32) {
    // SAFETY: numbers alone.
    unsafe { call(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// The flags that a descriptor was opened with, or has by now.
pub fn flags(fd: i32) -> Option<i32> {
    // SAFETY: numbers alone.
    let flags = unsafe { call(libc::SYS_fcntl, [fd as usize, libc::F_GETFL as usize, 0, 0, 0, 0]) };
    i32::try_from(flags).ok().filter(|flags| *flags >= 0)
}

/// Reads a file of the library's own; how much.
pub fn read(fd: i32, to: &mut [u8]) -> usize {
    let (room, length) = (to.as_mut_ptr() as usize, to.len());
    // SAFETY: as much room as is said.
    let done = unsafe { call(libc::SYS_read, [fd as usize, room, length, 0, 0, 0]) };
    usize::try_from(done).unwrap_or(0)
}

/// Writes to a file of the library's own; how much.
pub fn write(fd: i32, bytes: &[u8]) -> usize {
    let (from, length) = (bytes.as_ptr() as usize, bytes.len());
    // SAFETY: as many bytes as are said.
    let done = unsafe { call(libc::SYS_write, [fd as usize, from, length, 0, 0, 0]) };
    usize::try_from(done).unwrap_or(0)
}

/// Makes a directory of this user's alone, if there is none.
pub fn make_directory(path: &CStr) {
    // SAFETY: a path that ends in a NUL.
    unsafe { call(libc::SYS_mkdir, [path.as_ptr() as usize, 0o700, 0, 0, 0, 0]) };
}

/// Removes a file.
pub fn remove(path: &CStr) {
    // SAFETY: a path that ends in a NUL.
    unsafe { call(libc::SYS_unlink, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// Puts a file in another's place. Whether it is there.
pub fn rename(from: &CStr, to: &CStr) -> bool {
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    // SAFETY: paths that end in a NUL.
    unsafe { call(libc::SYS_rename, [from, to, 0, 0, 0, 0]) == 0 }
}

/// The number of this process.
pub fn process() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(libc::SYS_getpid, [0; 6]) as u32 }
}

/// Lets the pages of some code be stored to, or no longer. Whether that was allowed.
pub fn protect_code(begin: usize, length: usize, stores: bool) -> bool {
    let rights = libc::PROT_READ | libc::PROT_EXEC | if stores { libc::PROT_WRITE } else { 0 };
    let first = begin & !4095;
    let length = (begin + length).next_multiple_of(4096) - first;
    // SAFETY: code stays code, and readable; who is given what it is for has checked it.
    unsafe { call(libc::SYS_mprotect, [first, length, rights as usize, 0, 0, 0]) == 0 }
}

/// Maps a file from its begin, shared; where it is.
pub fn map(fd: i32, length: usize, stores: bool) -> Option<usize> {
    let rights = libc::PROT_READ | if stores { libc::PROT_WRITE } else { 0 };
    let (rights, shared) = (rights as usize, libc::MAP_SHARED as usize);
    // SAFETY: at no fixed address, so nothing that is there is replaced.
    let base = unsafe { call(libc::SYS_mmap, [0, length, rights, shared, fd as usize, 0]) };
    (base > 0).then_some(base as usize)
}

/// Undoes that.
pub fn unmap(base: usize, length: usize) {
    // SAFETY: a mapping of ours that nobody uses, by the rules of `inode.rs`.
    unsafe { call(libc::SYS_munmap, [base, length, 0, 0, 0, 0]) };
}

/// Moves the kernel's offset, or says where it is.
pub fn seek(fd: i32, by: i64, whence: i32) -> i64 {
    // SAFETY: numbers alone.
    unsafe { call(libc::SYS_lseek, [fd as usize, by as usize, whence as usize, 0, 0, 0]) as i64 }
}

/// Reads at an offset.
pub fn read_at(fd: i32, pieces: &[Piece], offset: u64) -> isize {
    let (from, count) = (pieces.as_ptr() as usize, pieces.len());
    // SAFETY: where the pieces are is the program's word, as it would be with libc's call.
    unsafe { call(libc::SYS_preadv, [fd as usize, from, count, offset as usize, 0, 0]) }
}

/// Writes at an offset.
pub fn write_at(fd: i32, pieces: &[Piece], offset: u64) -> isize {
    let (from, count) = (pieces.as_ptr() as usize, pieces.len());
    // SAFETY: where the pieces are is the program's word, as it would be with libc's call.
    unsafe { call(libc::SYS_pwritev, [fd as usize, from, count, offset as usize, 0, 0]) }
}

/// Blocks all signals; what was blocked before.
pub fn block_signals() -> u64 {
    change_signals(libc::SIG_BLOCK, u64::MAX)
}

/// Has these blocked, and no others.
pub fn unblock_signals(blocked: u64) {
    change_signals(libc::SIG_SETMASK, blocked);
}

/// Changes what this thread blocks; what it did before.
pub fn change_signals(how: i32, signals: u64) -> u64 {
    let mut before = 0u64;
    let (new, old) = (&raw const signals as usize, &raw mut before as usize);
    // SAFETY: two sets of 8 bytes, which is what the kernel's have.
    unsafe { call(libc::SYS_rt_sigprocmask, [how as usize, new, old, 8, 0, 0]) };
    before
}

/// Lets another thread run, which has something to finish.
pub fn give_way() {
    // SAFETY: no arguments.
    unsafe { call(libc::SYS_sched_yield, [0; 6]) };
}

/// Sends this thread a signal.
pub fn raise(signal: i32) {
    // SAFETY: numbers alone.
    unsafe {
        let process = call(libc::SYS_getpid, [0; 6]) as usize;
        let thread = call(libc::SYS_gettid, [0; 6]) as usize;
        call(libc::SYS_tgkill, [process, thread, signal as usize, 0, 0, 0]);
    }
}

/// The clock that the kernel stamps files with.
#[inline(always)]
pub fn tick() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for a time. No call: the kernel's page of clocks is read.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}
