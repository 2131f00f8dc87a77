// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file in which the list of libc's call sites is kept: one for each build, in
//! `$XDG_CACHE_HOME/twz` or `~/.cache/twz`. Without one, or where it cannot be used, libc
//! is searched each time.

use core::ffi::CStr;
use std::sync::OnceLock;

use super::{environment, sys};
use crate::{
    list::{self, List},
    prefix::{self, ROOM},
};

/// The directory, without a `/` at its end; nothing if there is none.
struct Place {
    text: [u8; ROOM],
    length: usize,
}

static PLACE: OnceLock<Place> = OnceLock::new();

/// Takes down where it is, before the program can change its environment.
pub fn begin() {
    let mut place = Place { text: [0; ROOM], length: 0 };
    let add = |place: &mut Place, rest: &[u8]| match place
        .text
        .get_mut(place.length..place.length + rest.len())
    {
        Some(room) if place.length != 0 => {
            room.copy_from_slice(rest);
            place.length += rest.len();
        }
        _ => place.length = 0,
    };
    place.length = environment::copy(c"XDG_CACHE_HOME", &mut place.text);
    if place.length == 0 {
        place.length = environment::copy(c"HOME", &mut place.text);
        add(&mut place, b"/.cache");
    }
    add(&mut place, b"/twz");
    // What programs work with is not added to.
    if place.text[0] != b'/' || prefix::covers(&place.text[..place.length]) {
        place.length = 0;
    }
    let _ = PLACE.set(place);
}

/// What is said to be the list of this build; nobody but this user can have said it.
pub fn read(build: &[u8; 20]) -> Option<List> {
    let mut room = [0u8; ROOM];
    let path = name(build, 0, &mut room)?;
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
    let (mut new, mut path) = ([0u8; ROOM], [0u8; ROOM]);
    let new = name(build, sys::process(), &mut new);
    let (Some(new), Some(path)) = (new, name(build, 0, &mut path)) else { return };
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
    let mut room = [0u8; ROOM];
    let slashes = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'/');
    let bytes = path.to_bytes();
    let Some(last) = slashes(bytes) else { return };
    for end in [slashes(&bytes[..last]).unwrap_or(last), last] {
        room[..end].copy_from_slice(&bytes[..end]);
        if let Ok(directory) = CStr::from_bytes_until_nul(&room) {
            sys::make_directory(directory);
        }
    }
}

/// The path of a build's file, or of one that this process is to put in its place.
fn name<'a>(build: &[u8; 20], process: u32, to: &'a mut [u8; ROOM]) -> Option<&'a CStr> {
    let place = PLACE.get().filter(|place| place.length != 0)?;
    let mut at = 0;
    let mut add = |part: &[u8]| {
        to.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
        Some(())
    };
    add(&place.text[..place.length])?;
    add(b"/sites-")?;
    build.iter().try_for_each(|byte| add(&hexadecimal(*byte)))?;
    if process != 0 {
        add(b".")?;
        process.to_be_bytes().iter().try_for_each(|byte| add(&hexadecimal(*byte)))?;
    }
    add(b"\0")?;
    CStr::from_bytes_until_nul(to).ok()
}

fn hexadecimal(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|half| b"0123456789abcdef"[usize::from(half)])
}
