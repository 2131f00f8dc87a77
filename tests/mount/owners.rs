// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a change of owner does to a mode, and what it does not.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
};

use crate::place::everywhere;

#[test]
fn a_new_owner_takes_privileges_away() {
    everywhere("owners::a_new_owner_takes_privileges_away", |place| {
        let (path, pipe) = (place.at("file"), place.at("pipe"));
        fs::write(&path, "x").expect("written");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("made");
        fs::set_permissions(&pipe, Permissions::from_mode(0o6755)).expect("chmod");
        chown(&pipe, Some(12), None).expect("chown");
        assert_eq!(fs::metadata(&pipe).expect("stat").mode() & 0o7777, 0o755);
        for (owner, group) in [(Some(12), None), (None, Some(34)), (None, None)] {
            fs::set_permissions(&path, Permissions::from_mode(0o6755)).expect("chmod");
            assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o7777, 0o6755);
            chown(&path, owner, group).expect("chown");
            let mode = fs::metadata(&path).expect("stat").mode() & 0o7777;
            assert_eq!(mode, 0o755, "{owner:?} {group:?} on {:?}", place.home);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o4755)).expect("chmod");
        let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(9);
        let file = fs::File::open(&path).expect("it opens");
        file.set_times(fs::FileTimes::new().set_accessed(past)).expect("times");
        fs::hard_link(&path, place.at("link")).expect("linked");
        fs::rename(&path, place.at("moved")).expect("renamed");
        let mode = fs::metadata(place.at("moved")).expect("stat").mode() & 0o7777;
        assert_eq!(mode, 0o4755, "nobody owns it who did not");
    });
}
