// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of libc's that answer here themselves. Those that only have to do
//! something first and then become libc's are in [`super::before`].

use core::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use libc::{iovec, off64_t, pid_t, sigset_t, size_t, ssize_t};

use super::{
    copy, fault, real,
    sys::{self, Piece},
};
use crate::{
    calls::{self, Caller, Way},
    inode, inside, sharing, table,
};

/// Pieces of one call that memory looks at; a call of more is the kernel's.
const PIECES: usize = 16;

macro_rules! names {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty $body:block)*) => {$(
        /// # Safety
        /// As for the function of libc of that name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $answer {
            // SAFETY: the caller keeps libc's contract, and what is asked of it is the same.
            unsafe { $body }
        }
    )*};
}

fn piece<T>(buffer: *const T, length: usize) -> [Piece; 1] {
    [Piece { address: buffer as usize, length }]
}

/// The program's pieces, if memory may be concerned with them: then the file is mapped,
/// so that a pointer that leads nowhere is an answer.
fn pieces(fd: c_int, from: *const iovec, count: c_int, to: &mut [Piece; PIECES]) -> &[Piece] {
    let mapped = table::slot(fd).is_some_and(|slot| inode::of(slot.word()).is_some());
    let length = count as u32 as usize * size_of::<Piece>();
    if !mapped || count as u32 as usize > PIECES || !fault::stands() {
        return &[];
    }
    match copy::copy(to.as_mut_ptr() as usize, from as usize, length, to.as_ptr() as usize) {
        Some(_) => &to[..count as usize],
        None => &[],
    }
}

const NO_PIECES: [Piece; PIECES] = [Piece { address: 0, length: 0 }; PIECES];

names! {
    read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
        calls::next(Way::Read, Caller::Program, fd, &piece(buffer, length), || real::read(fd, buffer, length))
    }
    __read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t { read(fd, buffer, length) }
    __read_chk(fd: c_int, buffer: *mut c_void, length: size_t, room: size_t) -> ssize_t {
        if length > room {
            return real::__read_chk(fd, buffer, length, room);
        }
        read(fd, buffer, length)
    }
    write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
        calls::next(Way::Write, Caller::Program, fd, &piece(buffer, length), || real::write(fd, buffer, length))
    }
    __write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
        write(fd, buffer, length)
    }
    pread64(fd: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t {
        let ask = || real::pread64(fd, buffer, length, offset);
        calls::at(Way::Read, fd, &piece(buffer, length), offset, ask)
    }
    pread(fd: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t {
        let ask = || real::pread(fd, buffer, length, offset);
        calls::at(Way::Read, fd, &piece(buffer, length), offset, ask)
    }
    __pread64(fd: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t {
        pread64(fd, buffer, length, offset)
    }
    __pread_chk(fd: c_int, buffer: *mut c_void, length: size_t, at: off64_t, room: size_t) -> ssize_t {
        __pread64_chk(fd, buffer, length, at, room)
    }
    __pread64_chk(fd: c_int, buffer: *mut c_void, length: size_t, at: off64_t, room: size_t) -> ssize_t {
        if length > room {
            return real::__pread64_chk(fd, buffer, length, at, room);
        }
        pread64(fd, buffer, length, at)
    }
    pwrite64(fd: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
        let ask = || real::pwrite64(fd, buffer, length, offset);
        calls::at(Way::Write, fd, &piece(buffer, length), offset, ask)
    }
    pwrite(fd: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
        let ask = || real::pwrite(fd, buffer, length, offset);
        calls::at(Way::Write, fd, &piece(buffer, length), offset, ask)
    }
    __pwrite64(fd: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t {
        pwrite64(fd, buffer, length, offset)
    }
    readv(fd: c_int, from: *const iovec, count: c_int) -> ssize_t {
        let mut room = NO_PIECES;
        let pieces = pieces(fd, from, count, &mut room);
        calls::next(Way::Read, Caller::Program, fd, pieces, || real::readv(fd, from, count))
    }
    writev(fd: c_int, from: *const iovec, count: c_int) -> ssize_t {
        let mut room = NO_PIECES;
        let pieces = pieces(fd, from, count, &mut room);
        calls::next(Way::Write, Caller::Program, fd, pieces, || real::writev(fd, from, count))
    }
    preadv64(fd: c_int, from: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
        let mut room = NO_PIECES;
        let pieces = pieces(fd, from, count, &mut room);
        calls::at(Way::Read, fd, pieces, offset, || real::preadv64(fd, from, count, offset))
    }
    preadv(fd: c_int, from: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
        let mut room = NO_PIECES;
        let pieces = pieces(fd, from, count, &mut room);
        calls::at(Way::Read, fd, pieces, offset, || real::preadv(fd, from, count, offset))
    }
    pwritev64(fd: c_int, from: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
        let mut room = NO_PIECES;
        let pieces = pieces(fd, from, count, &mut room);
        calls::at(Way::Write, fd, pieces, offset, || real::pwritev64(fd, from, count, offset))
    }
    pwritev(fd: c_int, from: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
        let mut room = NO_PIECES;
        let pieces = pieces(fd, from, count, &mut room);
        calls::at(Way::Write, fd, pieces, offset, || real::pwritev(fd, from, count, offset))
    }
    lseek64(fd: c_int, by: off64_t, whence: c_int) -> off64_t {
        calls::seek(Caller::Program, fd, by, whence, || real::lseek64(fd, by, whence))
    }
    lseek(fd: c_int, by: off64_t, whence: c_int) -> off64_t {
        calls::seek(Caller::Program, fd, by, whence, || real::lseek(fd, by, whence))
    }
    __lseek(fd: c_int, by: off64_t, whence: c_int) -> off64_t { lseek(fd, by, whence) }
    llseek(fd: c_int, by: off64_t, whence: c_int) -> off64_t { lseek(fd, by, whence) }
    fsync(fd: c_int) -> c_int { calls::sync(fd, || real::fsync(fd)) }
    fdatasync(fd: c_int) -> c_int { calls::sync(fd, || real::fdatasync(fd)) }
}

/// `close`, by a name of our own: libc's is in [`super::before`].
///
/// # Safety
/// As for `close`.
pub unsafe fn closed(fd: c_int) -> c_int {
    sharing::closing(fd);
    // SAFETY: the caller keeps libc's contract.
    unsafe { real::close(fd) }
}

/// Opens, notes what was opened, and hands it on.
fn opened(open: impl FnOnce() -> c_int, flags: c_int) -> c_int {
    let asked = sharing::asked();
    let fd = open();
    sharing::opened(fd, flags, asked);
    fd
}

/// Of a file that was made and opened for both.
const NEW: c_int = libc::O_RDWR;

// A mode that was not passed is read from a register all the same, and not used.
names! {
    open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        opened(|| real::open(path, flags, mode), flags)
    }
    __open(path: *const c_char, flags: c_int, mode: c_int) -> c_int { open(path, flags, mode) }
    open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        opened(|| real::open64(path, flags, mode), flags)
    }
    __open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int { open64(path, flags, mode) }
    openat(at: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        opened(|| real::openat(at, path, flags, mode), flags)
    }
    openat64(at: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        opened(|| real::openat64(at, path, flags, mode), flags)
    }
    __open_2(path: *const c_char, flags: c_int) -> c_int {
        opened(|| real::__open_2(path, flags), flags)
    }
    __open64_2(path: *const c_char, flags: c_int) -> c_int {
        opened(|| real::__open64_2(path, flags), flags)
    }
    __openat_2(at: c_int, path: *const c_char, flags: c_int) -> c_int {
        opened(|| real::__openat_2(at, path, flags), flags)
    }
    __openat64_2(at: c_int, path: *const c_char, flags: c_int) -> c_int {
        opened(|| real::__openat64_2(at, path, flags), flags)
    }
    creat(path: *const c_char, mode: c_int) -> c_int {
        opened(|| real::creat(path, mode), libc::O_WRONLY)
    }
    creat64(path: *const c_char, mode: c_int) -> c_int {
        opened(|| real::creat64(path, mode), libc::O_WRONLY)
    }
    mkstemp(template: *mut c_char) -> c_int { opened(|| real::mkstemp(template), NEW) }
    mkstemp64(template: *mut c_char) -> c_int { opened(|| real::mkstemp64(template), NEW) }
    mkostemp(template: *mut c_char, flags: c_int) -> c_int {
        opened(|| real::mkostemp(template, flags), flags & !libc::O_ACCMODE | NEW)
    }
    mkostemp64(template: *mut c_char, flags: c_int) -> c_int {
        opened(|| real::mkostemp64(template, flags), flags & !libc::O_ACCMODE | NEW)
    }
}

/// Opens a stream, notes on what, and hands it on.
///
/// # Safety
/// The mode is what libc is called with.
unsafe fn streaming(open: impl FnOnce() -> *mut c_void, mode: *const c_char) -> *mut c_void {
    let asked = sharing::asked();
    let stream = open();
    if !stream.is_null() {
        // SAFETY: a text that ends in a NUL, as libc was promised, or it would have given
        // no stream.
        inside::opened(number(stream), unsafe { CStr::from_ptr(mode) }.to_bytes(), asked);
    }
    stream
}

names! {
    fopen(path: *const c_char, mode: *const c_char) -> *mut c_void {
        streaming(|| real::fopen(path, mode), mode)
    }
    fopen64(path: *const c_char, mode: *const c_char) -> *mut c_void {
        streaming(|| real::fopen64(path, mode), mode)
    }
}

/// Notes that `to` is another number of `from`, and hands it on.
fn duplicated(from: c_int, to: c_int) -> c_int {
    sharing::duplicated(from, to);
    to
}

/// `fcntl`: what it does to an offset or a number.
fn controlled(fd: c_int, command: c_int, argument: usize, real: impl Fn() -> c_int) -> c_int {
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => {
            sharing::share(fd);
            return duplicated(fd, real());
        }
        libc::F_SETFL => calls::flags_set(fd, argument as c_int),
        libc::F_SETLK
        | libc::F_SETLKW
        | libc::F_GETLK
        | libc::F_OFD_SETLK
        | libc::F_OFD_SETLKW
        | libc::F_OFD_GETLK => {
            // A lock may begin at the offset.
            let from_offset = |lock: [u8; 4]| lock[2] as c_int == libc::SEEK_CUR;
            if sharing::is_on() && fault::fetch::<4>(argument).is_none_or(from_offset) {
                sharing::share(fd);
            }
        }
        _ => {}
    }
    real()
}

names! {
    dup(fd: c_int) -> c_int {
        sharing::share(fd);
        duplicated(fd, real::dup(fd))
    }
    dup2(from: c_int, to: c_int) -> c_int {
        replaced(from, to, &|| real::dup2(from, to))
    }
    __dup2(from: c_int, to: c_int) -> c_int { dup2(from, to) }
    dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
        replaced(from, to, &|| real::dup3(from, to, flags))
    }
    fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
        controlled(fd, command, argument, || real::fcntl(fd, command, argument))
    }
    __fcntl(fd: c_int, command: c_int, argument: usize) -> c_int { fcntl(fd, command, argument) }
    fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
        controlled(fd, command, argument, || real::fcntl64(fd, command, argument))
    }
}

/// A number is closed and means another's file, if that works.
fn replaced(from: c_int, to: c_int, real: &dyn Fn() -> c_int) -> c_int {
    sharing::share(from);
    if from != to {
        // Should it fail, this one stays open, with its offset.
        sharing::share(to);
        sharing::closing(to);
    }
    duplicated(from, real())
}

/// Forks, and tells both.
fn forked(real: impl Fn() -> pid_t) -> pid_t {
    if super::thread::is_borrowed() {
        return real();
    }
    let alone = super::thread::is_alone();
    sharing::parting();
    let child = real();
    if child == 0 {
        sharing::born(alone)
    } else {
        sharing::parted()
    }
    child
}

/// Begins a program, which has these descriptors, too.
fn begun<T>(real: impl Fn() -> T) -> T {
    if super::thread::is_borrowed() {
        return real();
    }
    sharing::parting();
    let answer = real();
    sharing::parted();
    answer
}

names! {
    fork() -> pid_t { forked(|| real::fork()) }
    __fork() -> pid_t { fork() }
    _Fork() -> pid_t { forked(|| real::_Fork()) }
    system(command: *const c_char) -> c_int { begun(|| real::system(command)) }
    popen(command: *const c_char, kind: *const c_char) -> *mut c_void {
        begun(|| real::popen(command, kind))
    }
    posix_spawn(
        child: *mut c_void, path: *const c_char, actions: *const c_void, attributes: *const c_void,
        arguments: *const c_void, environment: *const c_void
    ) -> c_int {
        begun(|| real::posix_spawn(child, path, actions, attributes, arguments, environment))
    }
    posix_spawnp(
        child: *mut c_void, path: *const c_char, actions: *const c_void, attributes: *const c_void,
        arguments: *const c_void, environment: *const c_void
    ) -> c_int {
        begun(|| real::posix_spawnp(child, path, actions, attributes, arguments, environment))
    }
}

names! {
    sigaction(signal: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int {
        fault::sigaction(signal, new, old)
    }
    __sigaction(signal: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int {
        fault::sigaction(signal, new, old)
    }
    signal(signal: c_int, handler: usize) -> usize {
        match fault::is_ours(signal) {
            true => fault::simple(signal, handler, libc::SA_RESTART),
            false => real::signal(signal, handler),
        }
    }
    bsd_signal(number: c_int, handler: usize) -> usize { signal(number, handler) }
    ssignal(number: c_int, handler: usize) -> usize { signal(number, handler) }
    sysv_signal(signal: c_int, handler: usize) -> usize {
        match fault::is_ours(signal) {
            true => fault::simple(signal, handler, libc::SA_RESETHAND | libc::SA_NODEFER),
            false => real::sysv_signal(signal, handler),
        }
    }
    __sysv_signal(number: c_int, handler: usize) -> usize { sysv_signal(number, handler) }
    sigprocmask(how: c_int, new: *const sigset_t, old: *mut sigset_t) -> c_int {
        fault::sigmask(how, new, old, real::sigprocmask)
    }
    pthread_sigmask(how: c_int, new: *const sigset_t, old: *mut sigset_t) -> c_int {
        fault::sigmask(how, new, old, real::pthread_sigmask)
    }
    close_range(first: u32, last: u32, flags: c_int) -> c_int {
        const UNSHARE: c_int = 2;
        const CLOEXEC: c_int = 4;
        if flags & UNSHARE != 0 {
            sharing::stand_aside();
        } else if flags & CLOEXEC == 0 {
            sharing::closing_range(first, last);
        }
        real::close_range(first, last, flags)
    }
}

/// The number of a stream of libc's, or -1.
pub fn number(stream: *mut c_void) -> c_int {
    if stream.is_null() {
        return -1;
    }
    // SAFETY: a stream of libc's, by the contract of the function that was called with it;
    // this thread's errno is always there.
    unsafe {
        let errno = ptr::read(libc::__errno_location());
        let fd = real::fileno(stream);
        sys::set_errno(errno);
        fd
    }
}
