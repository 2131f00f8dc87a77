// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file in which the list of libc's call sites is kept: one for each build, in
//! `$XDG_CACHE_HOME/twz` or `~/.cache/twz`. Without one, or where it cannot be used, libc
//! is searched each time.

use core::{ffi::CStr, fmt::Write as _};
use std::sync::OnceLock;

use super::{environment, sys};
use crate::{
    list::{self, List},
    prefix,
    text::Text,
};

/// The directory, without a `/` at its end; nothing if there is none.
static PLACE: OnceLock<Text> = OnceLock::new();

/// Takes down where it is, before the program can change its environment.
pub fn begin() {
    let mut place = Text::new();
    environment::copy(c"XDG_CACHE_HOME", &mut place);
    if place.is_empty() {
        environment::copy(c"HOME", &mut place);
        place.add(b"/.cache");
    }
    place.add(b"/twz");
    // What programs work with is not added to.
    if place.bytes().first() != Some(&b'/') || prefix::covers(place.bytes()) {
        place.set(b"");
    }
    let _ = PLACE.set(place);
}

/// What is said to be the list of this build; nobody but this user can have said it.
pub fn read(build: &[u8; 20]) -> Option<List> {
    let mut path = name(build, 0)?;
    let path = path.c_str()?;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let fd = sys::open(path.as_ptr(), flags)?;
    let mut bytes = [0u8; list::SIZE + 1];
    let own = sys::stat(fd).is_some_and(|stat| stat.is_file && stat.is_own());
    let length = if own { sys::read(fd, &mut bytes) } else { 0 };
    sys::close(fd);
    List::read(bytes.get(..length)?, build)
}

/// Keeps it, whole or not at all.
pub fn write(build: &[u8; 20], list: &List) {
    let (new, path) = (name(build, sys::process()), name(build, 0));
    let (Some(mut new), Some(mut path)) = (new, path) else { return };
    let (Some(new), Some(path)) = (new.c_str(), path.c_str()) else { return };
    make_directories(path);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    // One of this name is of a process that was killed: the next one makes it.
    let whole = sys::open(new.as_ptr(), flags).is_some_and(|fd| {
        let length = sys::write(fd, &list.write(build));
        sys::close(fd);
        length == list::SIZE
    });
    if !whole || !sys::rename(new, path) {
        sys::remove(new);
    }
}

/// The directory, and the one that it is in.
fn make_directories(path: &CStr) {
    let slashes = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'/');
    let bytes = path.to_bytes();
    let Some(last) = slashes(bytes) else { return };
    for end in [slashes(&bytes[..last]).unwrap_or(last), last] {
        let mut directory = Text::new();
        directory.set(&bytes[..end]);
        if let Some(directory) = directory.c_str() {
            sys::make_directory(directory);
        }
    }
}

/// The path of a build's file, or of one that this process is to put in its place.
fn name(build: &[u8; 20], process: u32) -> Option<Text> {
    let mut path = Text::new();
    path.set(PLACE.get()?.bytes());
    write!(path, "/sites-").ok()?;
    build.iter().try_for_each(|byte| write!(path, "{byte:02x}")).ok()?;
    if process != 0 {
        write!(path, ".{process:08x}").ok()?;
    }
    Some(path)
}
