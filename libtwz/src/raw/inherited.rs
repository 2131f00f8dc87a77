// SPDX-License-Identifier: MIT OR Apache-2.0
//! A descriptor that a process leaves open for one that it starts.

use std::{
    fs::File,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _},
        unix::{fs::MetadataExt as _, process::CommandExt as _},
    },
    process::Command,
    sync::atomic::{AtomicI32, Ordering},
};

/// The one that was taken.
static TAKEN: AtomicI32 = AtomicI32::new(-1);

/// Takes descriptor `fd` over if it is open, on the same file as `same`, and was
/// not taken before. It is closed on exec from then on.
pub fn take(fd: i32, same: &File) -> Option<File> {
    // The standard streams are Rust's.
    if fd <= 2 {
        return None;
    }
    // SAFETY: a number that was checked to be open; the borrow ends here.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        // Not open, or opened by this process: what is inherited is not closed on exec.
        return None;
    }
    // SAFETY: it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let (found, wanted) = (nix::sys::stat::fstat(borrowed).ok()?, same.metadata().ok()?);
    if (found.st_dev, found.st_ino) != (wanted.dev(), wanted.ino()) {
        return None;
    }
    TAKEN.compare_exchange(-1, fd, Ordering::AcqRel, Ordering::Relaxed).ok()?;
    // SAFETY: as above.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    // SAFETY: it is open, is not one that this process opened, since those are
    // closed on exec, and nobody else takes it: `TAKEN` says so.
    Some(unsafe { File::from_raw_fd(fd) })
}

/// Leaves a descriptor open for the program that a command starts, which gets
/// no signal mask of this process either; returns its number.
pub fn leave(command: &mut Command, file: File) -> i32 {
    let fd = file.as_raw_fd();
    let prepare = move || {
        let fd = file.as_raw_fd();
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `none` is ours to be written, and was when it is read; the
        // descriptor is open, as the closure owns it.
        let done = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) == 0
                && libc::fcntl(fd, libc::F_SETFD, 0) == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: it allocates nothing and takes no lock: its calls are allowed
    // between fork and exec.
    unsafe { command.pre_exec(prepare) };
    fd
}
