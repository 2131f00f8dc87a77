// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which object an open file is: the pool writes down who an inode is, in `inodes/`
//! beside `names/`, when the object gets its first name or is first asked for.

use crate::{prefix, raw::sys};

/// The longest path of an entry.
const ROOM: usize = 4096;

/// The id of a descriptor's object, most significant half first; an errno if it is none.
pub fn of(fd: i32) -> Result<[u64; 2], i32> {
    let stat = sys::stat(fd).ok_or(libc::EBADF)?;
    let mut entry = [0u8; ROOM];
    let mut length = 0;
    sys::with_path(fd, |path| {
        let pool = prefix::of(path).and_then(|prefix| prefix.strip_suffix(b"/names"));
        length = pool.map_or(0, |pool| join(pool, stat.inode, &mut entry));
        length != 0
    });
    if length == 0 {
        return Err(libc::ENOTTY);
    }
    let mut text = [0u8; 32];
    if !sys::read_link(&entry[..=length], &mut text) {
        return Err(libc::ENODATA);
    }
    let text = core::str::from_utf8(&text).map_err(|_| libc::EIO)?;
    let id = u128::from_str_radix(text, 16).map_err(|_| libc::EIO)?;
    Ok([(id >> 64) as u64, id as u64])
}

/// Writes `POOL/inodes/NUMBER` and a NUL; the length without that, 0 if it is too long.
fn join(pool: &[u8], number: u64, to: &mut [u8; ROOM]) -> usize {
    let mut digits = [0u8; 20];
    let (mut rest, mut first) = (number, digits.len());
    while rest != 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut at = 0;
    for part in [pool, b"/inodes/", &digits[first..], b"\0"] {
        let Some(room) = to.get_mut(at..at + part.len()) else { return 0 };
        room.copy_from_slice(part);
        at += part.len();
    }
    at - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_beside_the_names() {
        let mut to = [1u8; ROOM];
        let length = join(b"/a/pool", 1205, &mut to);
        assert_eq!(&to[..=length], b"/a/pool/inodes/1205\0");
        assert_eq!(join(&[b'x'; ROOM], 0, &mut to), 0);
    }
}
