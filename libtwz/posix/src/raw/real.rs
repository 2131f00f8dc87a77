// SPDX-License-Identifier: MIT OR Apache-2.0
//! libc's own functions, or those of whatever else stands between: the next ones in
//! order. Each is looked up when it is first asked for.

use core::{
    ffi::{CStr, c_char, c_int, c_void},
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

use libc::{iovec, off64_t, pid_t, sigset_t, size_t, ssize_t};

/// A name and, once it was looked up, its address.
pub struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// The address. Where there is no such function, that of one that says so.
    #[inline(always)]
    pub fn address(&self) -> *mut c_void {
        let known = self.address.load(Relaxed);
        if known.is_null() { self.find() } else { known }
    }

    /// It is to be called here from now on.
    pub fn is_at(&self, address: *mut c_void) {
        self.address.store(address, Relaxed);
    }

    #[cold]
    fn find(&self) -> *mut c_void {
        // SAFETY: a name that ends in a NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        let found = if found.is_null() { missing as *mut c_void } else { found };
        self.address.store(found, Relaxed);
        found
    }
}

/// What a libc answers that does not have a function that the program asks for.
extern "C" fn missing() -> isize {
    super::sys::result(-(libc::ENOSYS as isize))
}

macro_rules! real {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        pub mod $name {
            pub static NEXT: super::Next = super::Next::new(
                match core::ffi::CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
            );
        }
        /// # Safety
        /// As for the function of libc of that name.
        #[inline(always)]
        pub unsafe fn $name($($arg: $type),*) -> $answer {
            // SAFETY: libc's function of that name has these arguments and this answer,
            // and may unwind where a thread is cancelled. The caller keeps its contract.
            unsafe {
                let next: unsafe extern "C-unwind" fn($($type),*) -> $answer =
                    core::mem::transmute($name::NEXT.address());
                next($($arg),*)
            }
        }
    )*};
}

real! {
    read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t;
    write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t;
    pread64(fd: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t;
    pwrite64(fd: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t;
    pread(fd: c_int, buffer: *mut c_void, length: size_t, offset: off64_t) -> ssize_t;
    pwrite(fd: c_int, buffer: *const c_void, length: size_t, offset: off64_t) -> ssize_t;
    lseek(fd: c_int, by: off64_t, whence: c_int) -> off64_t;
    fsync(fd: c_int) -> c_int;
    fdatasync(fd: c_int) -> c_int;
    preadv(fd: c_int, pieces: *const iovec, count: c_int, offset: off64_t) -> ssize_t;
    pwritev(fd: c_int, pieces: *const iovec, count: c_int, offset: off64_t) -> ssize_t;
    readv(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t;
    writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t;
    preadv64(fd: c_int, pieces: *const iovec, count: c_int, offset: off64_t) -> ssize_t;
    pwritev64(fd: c_int, pieces: *const iovec, count: c_int, offset: off64_t) -> ssize_t;
    __read_chk(fd: c_int, buffer: *mut c_void, length: size_t, room: size_t) -> ssize_t;
    __pread64_chk(fd: c_int, buffer: *mut c_void, length: size_t, offset: off64_t, room: size_t) -> ssize_t;
    lseek64(fd: c_int, by: off64_t, whence: c_int) -> off64_t;
    open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    openat64(at: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    open(path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    openat(at: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    __open_2(path: *const c_char, flags: c_int) -> c_int;
    __open64_2(path: *const c_char, flags: c_int) -> c_int;
    __openat_2(at: c_int, path: *const c_char, flags: c_int) -> c_int;
    __openat64_2(at: c_int, path: *const c_char, flags: c_int) -> c_int;
    creat(path: *const c_char, mode: c_int) -> c_int;
    creat64(path: *const c_char, mode: c_int) -> c_int;
    mkstemp(template: *mut c_char) -> c_int;
    mkstemp64(template: *mut c_char) -> c_int;
    mkostemp(template: *mut c_char, flags: c_int) -> c_int;
    mkostemp64(template: *mut c_char, flags: c_int) -> c_int;
    fopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
    fopen64(path: *const c_char, mode: *const c_char) -> *mut c_void;
    close(fd: c_int) -> c_int;
    dup(fd: c_int) -> c_int;
    dup2(from: c_int, to: c_int) -> c_int;
    dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
    fcntl(fd: c_int, command: c_int, argument: usize) -> c_int;
    fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int;
    fork() -> pid_t;
    _Fork() -> pid_t;
    system(command: *const c_char) -> c_int;
    popen(command: *const c_char, kind: *const c_char) -> *mut c_void;
    posix_spawn(child: *mut c_void, path: *const c_char, actions: *const c_void, attributes: *const c_void, arguments: *const c_void, environment: *const c_void) -> c_int;
    posix_spawnp(child: *mut c_void, path: *const c_char, actions: *const c_void, attributes: *const c_void, arguments: *const c_void, environment: *const c_void) -> c_int;
    close_range(first: u32, last: u32, flags: c_int) -> c_int;
    signal(signal: c_int, handler: usize) -> usize;
    sysv_signal(signal: c_int, handler: usize) -> usize;
    fileno(file: *mut c_void) -> c_int;
    sigaction(signal: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int;
    sigprocmask(how: c_int, new: *const sigset_t, old: *mut sigset_t) -> c_int;
    pthread_sigmask(how: c_int, new: *const sigset_t, old: *mut sigset_t) -> c_int;
}
