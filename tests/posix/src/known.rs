// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a layer is known not to do, and why. Such a case counts as failed and is named with
//! its reason, but is no failure of the run; when one passes after all, that is: so this
//! list says what is so.

use crate::layer::Kind;

use Kind::{Image, Mount};

const BOTH: &[Kind] = &[Mount, Image];

/// Layers, the case as `SUITE.CASE` or `SUITE.JOB.CASE`, and the reason.
const KNOWN: &[(&[Kind], &str, &str)] = &[
    (BOTH, "progs.o_tmpfile", "no O_TMPFILE on a mount"),
    (BOTH, "progs.long_and_odd_names", "names of a pool are UTF-8"),
    (&[Image], "progs.seek_data_and_hole", "what the kernel caches may be data"),
    (BOTH, "python.test_cmd_line_script", "names of a pool are UTF-8"),
    (BOTH, "python.test_import", "names of a pool are UTF-8"),
    (BOTH, "python.test_os", "names of a pool are UTF-8"),
    (BOTH, "python.test_posixpath", "names of a pool are UTF-8"),
    (BOTH, "python.test_zipimport", "names of a pool are UTF-8"),
    (BOTH, "coreutils.cp.acl", "no access control lists on a mount"),
    (BOTH, "coreutils.ls.slink-acl", "no access control lists on a mount"),
    (BOTH, "coreutils.mkdir.p-acl", "no access control lists on a mount"),
    (BOTH, "coreutils.mv.acl", "no access control lists on a mount"),
    (BOTH, "coreutils.du.bigtime", "times of a mount are nanoseconds in 64 bits"),
    (BOTH, "coreutils.tail-2.inotify-dir-recreate", "tail polls on FUSE"),
    (BOTH, "coreutils.tail-2.inotify-rotate-resources", "tail polls on FUSE"),
];

/// Why a case is known to fail on a layer.
pub fn why(kind: Kind, case: &str) -> Option<&'static str> {
    let known = KNOWN.iter().find(|(kinds, name, _)| *name == case && kinds.contains(&kind));
    known.map(|(.., why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_the_layers_that_are_named() {
        assert!(why(Mount, "progs.o_tmpfile").is_some());
        assert_eq!(why(Kind::Names, "progs.o_tmpfile"), None);
        assert_eq!(why(Mount, "progs.seek_data_and_hole"), None);
        assert_eq!(why(Mount, "o_tmpfile"), None);
    }
}
