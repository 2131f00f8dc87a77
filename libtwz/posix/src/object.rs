// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which object an open file is: the pool writes down who an inode is, in `inodes/`
//! beside `names/`, when the object gets its first name or is first asked for.

use core::fmt::Write as _;

use crate::{prefix, raw::sys, text::Text};

/// The id of a descriptor's object, most significant half first; an errno if it is none.
pub fn of(fd: i32) -> Result<[u64; 2], i32> {
    let stat = sys::stat(fd).ok_or(libc::EBADF)?;
    let mut entry = Text::new();
    sys::with_path(fd, |path| {
        let pool = prefix::of(path).and_then(|prefix| prefix.strip_suffix(b"/names"));
        pool.is_some_and(|pool| join(pool, stat.inode, &mut entry))
    });
    let entry = entry.c_str().ok_or(libc::ENOTTY)?;
    let mut text = [0u8; 32];
    if !sys::read_link(entry, &mut text) {
        return Err(libc::ENODATA);
    }
    let text = core::str::from_utf8(&text).map_err(|_| libc::EIO)?;
    let id = u128::from_str_radix(text, 16).map_err(|_| libc::EIO)?;
    Ok([(id >> 64) as u64, id as u64])
}

/// Makes it `POOL/inodes/NUMBER`. Whether that is not too long.
fn join(pool: &[u8], number: u64, to: &mut Text) -> bool {
    to.set(pool);
    write!(to, "/inodes/{number}").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::ROOM;

    #[test]
    fn an_entry_is_beside_the_names() {
        let mut to = Text::new();
        assert!(join(b"/a/pool", 1205, &mut to));
        assert_eq!(to.bytes(), b"/a/pool/inodes/1205");
        assert!(!join(&[b'x'; ROOM], 0, &mut to) && to.is_empty());
    }
}
