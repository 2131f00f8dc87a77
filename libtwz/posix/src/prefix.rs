// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which files it is about: those beneath directories that the environment names.
//! They are taken down once, before the program can change its environment.

use std::sync::OnceLock;

use crate::{raw::environment, text::Text};

static PREFIXES: OnceLock<Text> = OnceLock::new();

/// Takes them down. `TWZ_POSIX` has real paths; the pool's is made one.
pub fn read() {
    let mut found = Text::new();
    environment::copy(c"TWZ_POSIX", &mut found);
    if found.is_empty() {
        environment::real_path(c"TWZ_POOL", &mut found);
        found.add(b"/names");
    }
    let _ = PREFIXES.set(found);
}

/// Whether there are any.
pub fn any() -> bool {
    PREFIXES.get().is_some_and(|prefixes| !prefixes.is_empty())
}

/// Whether a path is beneath one of them.
pub fn covers(path: &[u8]) -> bool {
    of(path).is_some()
}

/// The one that a path is beneath, without a `/` at its end.
pub fn of(path: &[u8]) -> Option<&'static [u8]> {
    PREFIXES.get().and_then(|prefixes| find(prefixes.bytes(), path))
}

fn find<'a>(prefixes: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
    let each = prefixes.split(|byte| *byte == b':');
    each.map(|prefix| prefix.strip_suffix(b"/").unwrap_or(prefix)).find(|prefix| {
        prefix.first() == Some(&b'/')
            && path.strip_prefix(*prefix).is_some_and(|rest| rest.first() == Some(&b'/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beneath() {
        let beneath = |prefixes, path| find(prefixes, path).is_some();
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
            assert!(find(prefixes, path).is_none(), "{prefixes:?} {path:?}");
        }
    }
}
