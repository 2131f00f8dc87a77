// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loading and unloading the module, and what the kernel's log says of it.

use std::{ffi::CString, fs::File, io::Read as _, os::fd::AsRawFd as _};

use crate::{
    errno::{Errno, Result},
    options::options,
    process,
};

/// Loads the module with these parameters.
pub fn load_with(parameters: &str) -> Result {
    let path = &options().module;
    let file = File::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let parameters = CString::new(parameters).expect("parameters without a NUL");
    let arguments = [file.as_raw_fd() as usize, parameters.as_ptr() as usize, 0, 0, 0, 0];
    // The string lives until the call returns.
    process::syscall(libc::SYS_finit_module, arguments).map(|_| ())
}

/// Loads the module as the command line says.
pub fn load() -> Result {
    load_with(&options().parameters)
}

/// Unloads the module, or says why not, without waiting.
pub fn unload() -> Result {
    let name = c"twz".as_ptr() as usize;
    let flags = libc::O_NONBLOCK as usize;
    // The string is static.
    process::syscall(libc::SYS_delete_module, [name, flags, 0, 0, 0, 0]).map(|_| ())
}

/// Whether it is loaded.
pub fn is_loaded() -> bool {
    std::path::Path::new("/sys/module/twz").exists()
}

/// Unloads it, and waits for who is about to let go of it.
pub fn unload_soon() -> Result {
    for _ in 0..50 {
        match unload() {
            Err(Errno::EAGAIN) => std::thread::sleep(std::time::Duration::from_millis(100)),
            other => return other,
        }
    }
    unload()
}

/// The kernel's log from where `mark` was set on.
pub struct Log(File);

impl Log {
    /// Everything that is logged from now on.
    pub fn mark() -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut open = std::fs::OpenOptions::new();
        let file = open.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
        let file = file.expect("/dev/kmsg");
        // SAFETY: a plain seek.
        unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_END) };
        Self(file)
    }

    /// What was logged since.
    pub fn text(&mut self) -> String {
        let (mut all, mut record) = (String::new(), [0; 8192]);
        // One record a read, until there is none.
        while let Ok(n @ 1..) = self.0.read(&mut record) {
            let line = String::from_utf8_lossy(&record[..n]).into_owned();
            all.push_str(line.split_once(';').map_or("", |(_, text)| text));
        }
        all
    }
}
