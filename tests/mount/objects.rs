// SPDX-License-Identifier: MIT OR Apache-2.0
//! That the mount and `twz` show one pool: the same names, bytes and rights.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use crate::place::{Home, Place, errno, homes, mountable};

#[test]
fn both_see_the_same() {
    if !mountable("objects::both_see_the_same") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        let text = place.beside("text");
        fs::write(&text, "made by twz").expect("written");
        let text = text.to_str().expect("UTF-8");
        place.twz(&["name", "mkdir", "/dir"]);
        place.twz(&["new", "--from", text, "--name", "/dir/object"]);
        place.mount();
        assert_eq!(fs::read_to_string(place.at("dir/object")).expect("read"), "made by twz");
        fs::write(place.at("dir/file"), "made by a program").expect("written");
        fs::create_dir(place.at("dir/below")).expect("made");
        fs::rename(place.at("dir"), place.at("there")).expect("renamed");
        place.unmount();
        assert_eq!(place.twz(&["cat", "/there/file"]), "made by a program");
        assert_eq!(place.twz(&["cat", "/there/object"]), "made by twz");
        let names = place.twz(&["name", "ls", "-R", "/"]);
        for name in ["/there/object", "/there/file", "/there/below"] {
            assert!(names.contains(name), "{name} in {names}");
        }
        assert!(!names.contains(".mount"), "housekeeping in {names}");
        place.check();
    }
}

/// What has an image open has it alone; of the others both are used at once.
#[test]
fn both_see_the_same_at_once() {
    if !mountable("objects::both_see_the_same_at_once") {
        return;
    }
    for &home in homes().iter().filter(|home| **home != Home::Image) {
        let place = Place::mounted(home);
        fs::write(place.at("file"), "first").expect("written");
        assert_eq!(place.twz(&["cat", "/file"]), "first");
        place.twz(&["cp", "/file", "--name", "/copy"]);
        assert_eq!(fs::read_to_string(place.at("copy")).expect("read"), "first");
        if home == Home::Kernel {
            // Where the kernel writes when it likes it trusts nobody else's lengths.
            continue;
        }
        place.twz(&["resize", "/file", "2"]);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(fs::read_to_string(place.at("file")).expect("read"), "fi");
        place.unmount();
        place.check();
    }
}

#[test]
fn what_was_an_object_stays_one() {
    if !mountable("objects::what_was_an_object_stays_one") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        let id = place.twz(&["new", "--size", "10", "--name", "/old"]).trim().to_owned();
        place.mount();
        fs::write(place.at("new"), "x").expect("written");
        let made = place.unmounted(|| place.twz(&["name", "resolve", "/new"]).trim().to_owned());
        fs::remove_file(place.at("old")).expect("removed");
        fs::remove_file(place.at("new")).expect("removed");
        place.unmount();
        place.twz(&["info", &id]);
        assert_eq!(place.refused(&["info", &made]).0, 3, "{made} is gone");
        place.check();
    }
}

#[test]
fn rights_are_respected() {
    if !mountable("objects::rights_are_respected") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        let text = place.beside("text");
        fs::write(&text, "bytes").expect("written");
        let text = text.to_str().expect("UTF-8");
        let key = place.beside("key");
        let key = key.to_str().expect("UTF-8");
        place.twz(&["key", "new", "--file", key, "--name", "/owner"]);
        place.twz(&[
            "new", "--owner", "/owner", "--rights", "-", "--from", text, "--name", "/closed",
        ]);
        place.twz(&["new", "--rights", "r", "--from", text, "--name", "/read"]);
        place.twz(&["new", "--immutable", "--from", text, "--name", "/fixed"]);
        place.mount();
        let write = |name: &str| OpenOptions::new().write(true).open(place.at(name));
        assert_eq!(errno(fs::read(place.at("closed"))), libc::EACCES, "{home:?}");
        assert_eq!(errno(write("closed")), libc::EACCES);
        for name in ["read", "fixed"] {
            assert_eq!(fs::read_to_string(place.at(name)).expect("read"), "bytes");
            let refused = errno(write(name));
            assert!([libc::EACCES, libc::EPERM].contains(&refused), "{name}: {refused}");
            assert_eq!(fs::metadata(place.at(name)).expect("stat").mode() & 0o222, 0, "{name}");
        }
        // A mode gives no right that the object does not.
        fs::set_permissions(place.at("read"), fs::Permissions::from_mode(0o666)).expect("chmod");
        assert!(write("read").is_err());
        place.unmount();
        assert_eq!(place.twz(&["cat", "/read"]), "bytes");
    }
}

#[test]
fn a_directory_of_twz_can_be_used_and_removed() {
    if !mountable("objects::a_directory_of_twz_can_be_used_and_removed") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        place.twz(&["name", "mkdir", "-p", "/plain/below"]);
        place.mount();
        assert_eq!(fs::metadata(place.at("plain")).expect("stat").mode(), libc::S_IFDIR | 0o755);
        fs::set_permissions(place.at("plain"), fs::Permissions::from_mode(0o700)).expect("chmod");
        place.again();
        assert_eq!(fs::metadata(place.at("plain")).expect("stat").mode() & 0o777, 0o700);
        assert_eq!(errno(fs::remove_dir(place.at("plain"))), libc::ENOTEMPTY);
        fs::remove_dir(place.at("plain/below")).expect("removed");
        fs::remove_dir(place.at("plain")).expect("removed, marker and all");
        place.unmount();
        place.check();
    }
}

impl Place {
    /// Does something while it is not mounted.
    fn unmounted<T>(&self, act: impl FnOnce() -> T) -> T {
        self.unmount();
        let done = act();
        self.mount();
        done
    }
}
