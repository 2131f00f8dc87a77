// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which files it is about: those beneath directories that the environment names.
//! They are taken down once, before the program can change its environment.

use std::sync::OnceLock;

use crate::raw::environment;

/// Bytes of all of them together.
pub const ROOM: usize = 4096;

struct Prefixes {
    text: [u8; ROOM],
    length: usize,
}

static PREFIXES: OnceLock<Prefixes> = OnceLock::new();

/// Takes them down. `TWZ_POSIX` has real paths; the pool's is made one.
pub fn read() {
    let mut found = Prefixes { text: [0; ROOM], length: 0 };
    found.length = match environment::copy(c"TWZ_POSIX", &mut found.text) {
        0 => environment::real_path(c"TWZ_POOL", b"/names", &mut found.text),
        length => length,
    };
    let _ = PREFIXES.set(found);
}

/// Whether there are any.
pub fn any() -> bool {
    PREFIXES.get().is_some_and(|prefixes| prefixes.length != 0)
}

/// Whether a path is beneath one of them.
pub fn covers(path: &[u8]) -> bool {
    PREFIXES.get().is_some_and(|prefixes| beneath(&prefixes.text[..prefixes.length], path))
}

fn beneath(prefixes: &[u8], path: &[u8]) -> bool {
    prefixes.split(|byte| *byte == b':').any(|prefix| {
        let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
        prefix.first() == Some(&b'/')
            && path.strip_prefix(prefix).is_some_and(|rest| rest.first() == Some(&b'/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beneath() {
        assert!(beneath(b"/a/names", b"/a/names/x"));
        assert!(beneath(b"/b:/a/names/", b"/a/names/x/y (deleted)"));
        for (prefixes, path) in [
            (&b"/a/names"[..], &b"/a/names"[..]),
            (b"/a/names", b"/a/names2/x"),
            (b"/a/names", b"/b/a/names/x"),
            (b"a", b"a/x"),
            (b"", b"/x"),
            (b":/:", b"x"),
        ] {
            assert!(!beneath(prefixes, path), "{prefixes:?} {path:?}");
        }
    }
}
