// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a layer is known not to do, and why. Such a case counts as failed and is named with
//! its reason, but is no failure of the run; when one passes after all, that is: so this
//! list says what is so.

use crate::layer::Kind;

use Kind::{Image, Mount};

const BOTH: &[Kind] = &[Mount, Image];

/// Layers, the reason, and the cases as `SUITE.CASE` or `SUITE.JOB.CASE`.
const KNOWN: &[(&[Kind], &str, &[&str])] = &[
    (BOTH, "no O_TMPFILE on a mount", &["progs.o_tmpfile"]),
    (&[Image], "no room behind a file's end", &["coreutils.cp.sparse-extents"]),
    (&[Image], "a file has at most 113 GiB", &["coreutils.cp.sparse-perf"]),
    (BOTH, "what is mounted is a path, and df looks there", &["coreutils.df.df-symlink"]),
    (&[Mount], "times of a mount are nanoseconds in 64 bits", &["coreutils.du.bigtime"]),
    (
        BOTH,
        "tail polls on FUSE",
        &["coreutils.tail-2.inotify-dir-recreate", "coreutils.tail-2.inotify-rotate-resources"],
    ),
];

/// Why a case is known to fail on a layer.
pub fn why(kind: Kind, case: &str) -> Option<&'static str> {
    let known =
        KNOWN.iter().find(|(kinds, _, cases)| kinds.contains(&kind) && cases.contains(&case));
    known.map(|(_, why, _)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_the_layers_that_are_named() {
        assert!(why(Mount, "progs.o_tmpfile").is_some());
        assert_eq!(why(Kind::Names, "progs.o_tmpfile"), None);
        assert_eq!(why(Mount, "coreutils.cp.sparse-perf"), None);
        assert_eq!(why(Mount, "o_tmpfile"), None);
    }
}
