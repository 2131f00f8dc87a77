// SPDX-License-Identifier: MIT OR Apache-2.0
//! stress-ng: one call, or a few that belong together, over and over for two seconds, with
//! what they did verified.
//!
//! These are the stressors that have to do with files in a directory. Left out are
//! `io-uring`, `iomix` and `io`, which fail now and then on any directory (`io` syncs every
//! file system there is), and what asks for devices, mounts or the whole host.

use super::Job;
use crate::{
    case::{Case, Outcome},
    room::Room,
};

const STRESSORS: [&str; 47] = [
    "access",
    "aio",
    "aiol",
    "chdir",
    "chmod",
    "chown",
    "copy-file",
    "dentry",
    "dir",
    "dirdeep",
    "dirmany",
    "dnotify",
    "dup",
    "fallocate",
    "fcntl",
    "fiemap",
    "file-ioctl",
    "filename",
    "flock",
    "fpunch",
    "fsize",
    "fstat",
    "getdent",
    "handle",
    "hdd",
    "inode-flags",
    "inotify",
    "lease",
    "link",
    "locka",
    "lockf",
    "lockofd",
    "mknod",
    "mmap",
    "msync",
    "open",
    "readahead",
    "rename",
    "revio",
    "seek",
    "sendfile",
    "splice",
    "symlink",
    "sync-file",
    "touch",
    "utime",
    "xattr",
];

pub fn jobs() -> Vec<Job> {
    let job = |stressor: &'static str| {
        Job::new(stressor, move |room| vec![Case::new(stressor, run(room, stressor))])
    };
    STRESSORS.map(job).into()
}

fn run(room: &Room, stressor: &str) -> Outcome {
    let own = format!("--{stressor}");
    let options = ["1", "--timeout", "2", "--verify", "--temp-path", "."];
    match room.run("stress-ng", [own.as_str()].into_iter().chain(options)) {
        Ok(said) => judge(said),
        Err(said) => Outcome::Fail(said),
    }
}

/// What it said, having ended well: which it also does when it tried nothing, and when it
/// found something wrong that it does not count.
fn judge(said: String) -> Outcome {
    let line = |words: &str| said.lines().find(|line| line.contains(words)).map(str::to_owned);
    if line("stress-ng: fail:").is_some() {
        Outcome::Fail(said)
    } else if let Some(why) = line("skipping stress") {
        Outcome::Skip(why)
    } else if line("successful run completed").is_none() {
        Outcome::Fail(said)
    } else {
        Outcome::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_has_not_passed() {
        let run = |middle: &str| {
            judge(format!("stress-ng: info: dispatching hogs\n{middle}successful run completed\n"))
        };
        assert_eq!(run(""), Outcome::Pass);
        assert!(matches!(run("stress-ng: info: x, skipping stressor\n"), Outcome::Skip(_)));
        assert!(matches!(run("stress-ng: fail: 17\n"), Outcome::Fail(_)));
        assert!(matches!(judge(String::new()), Outcome::Fail(_)));
    }
}
