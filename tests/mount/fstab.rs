// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twzd/mount.fuse.twz`, which mount(8) calls for a line of /etc/fstab: what options become.

use std::{fs, process::Command};

use crate::place::{Home, Place, binary, errno, has, homes, mountable};

/// Calls it as mount(8) does; how it ended, and what it said.
fn helper(place: &Place, options: &[&str]) -> (Option<i32>, String) {
    let script = include_str!("../../twzd/mount.fuse.twz");
    let script = script.replace("@PREFIX@/bin/twz", binary().to_str().expect("UTF-8"));
    fs::write(place.beside("helper"), script).expect("written");
    let mut bash = Command::new("bash");
    bash.arg(place.beside("helper")).args([place.pool(), &place.dir()]).args(options);
    let output = bash.env_remove("TWZ_BACKEND").output().expect("bash runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The options that the kernel shows of the mount, if it is there.
fn shown(place: &Place) -> Option<String> {
    let (mounts, dir) = (fs::read_to_string("/proc/self/mounts").ok()?, place.dir());
    let is_it = |line: &&str| line.split(' ').nth(1).map(AsRef::as_ref) == Some(dir.as_path());
    mounts.lines().find(is_it).and_then(|line| Some(line.split(' ').nth(3)?.to_owned()))
}

#[test]
fn options_of_a_line_are_heeded_or_refused() {
    let test = "fstab::options_of_a_line_are_heeded_or_refused";
    if !mountable(test) || !has(test, &["bash", "mount"]) {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        let usual = "rw,noexec,noatime,cache=writeback,alone,nofail,x-systemd.automount";
        assert_eq!(helper(&place, &["-n", "-o", usual]), (Some(0), String::new()));
        let options = shown(&place).expect("mounted");
        assert!(
            ["noexec", "noatime", "nosuid"].iter().all(|one| options.contains(one)),
            "{options}"
        );
        fs::write(place.at("file"), "x").expect("written");
        place.unmount();
        assert_eq!(helper(&place, &["-o", "defaults", "-o", "ro"]), (Some(0), String::new()));
        assert_eq!(errno(fs::write(place.at("file"), "y")), libc::EROFS);
        assert_eq!(fs::read(place.at("file")).expect("read"), b"x");
        place.unmount();
        for (options, word) in
            [("noatime,bogus", "bogus"), ("dev", "nodev"), ("cache=x", "cache=x")]
        {
            let (code, said) = helper(&place, &["-o", options]);
            assert!(code == Some(1) && said.contains(word), "{options}: {code:?} {said}");
            assert_eq!(shown(&place), None);
        }
        assert_eq!(helper(&place, &["-f", "-s", "-o", "bogus"]), (Some(0), String::new()));
        assert_eq!(shown(&place), None, "that only tried");
        place.check();
    }
    let nowhere = Place::new(Home::Directory);
    fs::remove_dir(nowhere.dir()).expect("removed");
    let (code, said) = helper(&nowhere, &[]);
    assert!(code.is_some_and(|code| code > 0) && said.contains("cannot mount"), "{said}");
}
