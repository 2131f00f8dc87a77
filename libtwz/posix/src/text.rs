// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes that grow in a room of their own, as long as a path can be: this library makes
//! paths, and allocates nothing.

use core::{ffi::CStr, fmt};

/// Room for the longest path that there is, and then some bytes.
pub const ROOM: usize = 4096;
const _: () = assert!(ROOM >= libc::PATH_MAX as usize);

/// Text that fits; what does not leaves it empty, and so nothing half said.
pub struct Text {
    room: [u8; ROOM],
    length: usize,
}

impl Text {
    pub const fn new() -> Self {
        Self { room: [0; ROOM], length: 0 }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Is this from now on; nothing if it does not fit.
    pub fn set(&mut self, bytes: &[u8]) {
        self.length = 0;
        self.put(bytes);
    }

    /// Goes on so; nothing remains if that does not fit, or if there was nothing.
    pub fn add(&mut self, rest: &[u8]) {
        if self.length != 0 {
            self.put(rest);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.room.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.length = 0,
        }
    }

    /// Has C fill it: what `fill` left before the first NUL, if it says so.
    pub fn fill(&mut self, fill: impl FnOnce(&mut [u8; ROOM]) -> bool) {
        self.length = match fill(&mut self.room) {
            true => self.room.iter().position(|byte| *byte == 0).unwrap_or(0),
            false => 0,
        };
    }

    /// For C; nothing if it is empty, or its end has no room.
    pub fn c_str(&mut self) -> Option<&CStr> {
        if self.length == 0 {
            return None;
        }
        *self.room.get_mut(self.length)? = 0;
        CStr::from_bytes_until_nul(&self.room).ok()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, rest: &str) -> fmt::Result {
        self.add(rest.as_bytes());
        if self.is_empty() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_or_nothing() {
        let mut text = Text::new();
        text.add(b"to nothing");
        assert!(text.is_empty() && text.c_str().is_none());
        text.set(b"/a");
        text.add(b"/b");
        assert_eq!(text.bytes(), b"/a/b");
        assert_eq!(text.c_str(), Some(c"/a/b"));
        text.add(&[b'x'; ROOM - 4]);
        assert_eq!(text.bytes().len(), ROOM);
        assert_eq!(text.c_str(), None);
        text.add(b"x");
        assert!(text.is_empty());
        text.set(b"y");
        assert_eq!(text.c_str(), Some(c"y"));
        text.set(&[b'x'; ROOM + 1]);
        assert!(text.is_empty());
        text.fill(|room| {
            room[..3].copy_from_slice(b"/c\0");
            true
        });
        assert_eq!(text.bytes(), b"/c");
        assert!(fmt::Write::write_fmt(&mut text, format_args!("/{:02x}", 10)).is_ok());
        assert_eq!(text.bytes(), b"/c/0a");
        text.fill(|_| false);
        assert!(text.is_empty());
    }
}
