// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directories: how many are in one, and how deep one may be.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, RenameFlags, openat, renameat2},
    sys::stat::{Mode, mkdirat},
    unistd::{UnlinkatFlags, unlinkat},
};

use crate::place::{Home, Place, everywhere};

#[test]
fn a_directory_counts_those_in_it() {
    everywhere("dirs::a_directory_counts_those_in_it", |place| {
        let links = |path: &str| fs::metadata(place.at(path)).expect("stat").nlink();
        let make = |path: &str| fs::create_dir(place.at(path)).expect("made");
        let rename = |from: &str, to: &str, how| {
            let (from, to) = (place.at(from), place.at(to));
            let here = nix::fcntl::AT_FDCWD;
            renameat2(here, &from, here, &to, how).expect("renamed");
        };
        let none = RenameFlags::empty();
        let root = links("");
        for name in ["a", "b", "a/x", "a/y"] {
            make(name);
        }
        fs::write(place.at("a/file"), "no directory").expect("written");
        assert_eq!((links(""), links("a"), links("b"), links("a/x")), (root + 2, 4, 2, 2));
        rename("a/x", "b/x", none);
        assert_eq!((links("a"), links("b")), (3, 3));
        rename("a/y", "b/x", none);
        assert_eq!((links("a"), links("b")), (2, 3), "one took the place of another");
        rename("a/file", "b/x", RenameFlags::RENAME_EXCHANGE);
        assert_eq!((links("a"), links("b")), (3, 2));
        place.again();
        assert_eq!((links(""), links("a"), links("b")), (root + 2, 3, 2));
        fs::remove_dir(place.at("a/file")).expect("removed");
        assert_eq!((links(""), links("a"), links("b")), (root + 2, 2, 2));
    });
}

#[test]
fn who_begins_again_sees_what_came_meanwhile() {
    everywhere("dirs::who_begins_again_sees_what_came_meanwhile", |place| {
        let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let mut dir = Dir::open(&place.dir(), how, Mode::empty()).expect("it opens");
        let mut names = || {
            let names = dir.iter().map(|entry| entry.expect("an entry"));
            let names = names.map(|entry| entry.file_name().to_owned().into_string());
            let mut names: Vec<_> = names.map(|name| name.expect("UTF-8")).collect();
            names.sort();
            names
        };
        assert_eq!(names(), [".", ".."]);
        fs::write(place.at("new"), "x").expect("written");
        assert_eq!(names(), [".", "..", "new"], "begun again");
        fs::remove_file(place.at("new")).expect("removed");
        assert_eq!(names(), [".", ".."]);
    });
}

/// Goes down from the mount, into directories that are all named alike.
fn down(place: &Place, name: &str, levels: usize) -> Vec<OwnedFd> {
    let mut dirs = vec![File::open(place.dir()).expect("it opens").into()];
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    for _ in 0..levels {
        let above: &OwnedFd = dirs.last().expect("there is one");
        dirs.push(openat(above, name, how, Mode::empty()).expect("it opens"));
    }
    dirs
}

#[test]
fn a_directory_may_be_deeper_than_a_path() {
    everywhere("dirs::a_directory_may_be_deeper_than_a_path", |place| {
        let name = "deep".repeat(50);
        let mut made = 0;
        let end = loop {
            let dirs = down(place, &name, made);
            match mkdirat(dirs.last().expect("there is one"), &*name, Mode::S_IRWXU) {
                Ok(()) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(end, Errno::ENAMETOOLONG);
        let deepest = if place.home == Home::Kernel { 4095 } else { 16383 };
        assert_eq!(made, (deepest - 7) / (name.len() + 1));
        let open = |dirs: &[OwnedFd], name: &str, how| {
            let dir = dirs.last().expect("there is one");
            File::from(openat(dir, name, how, Mode::S_IRWXU).expect("it opens"))
        };
        let dirs = down(place, &name, made);
        let mut file = open(&dirs, "file", OFlag::O_CREAT | OFlag::O_WRONLY);
        file.write_all(b"far down").expect("written");
        let dir = dirs.last().expect("there is one");
        renameat2(dir, "file", dir, "moved", RenameFlags::empty()).expect("renamed");
        drop((file, dirs));
        place.again();
        let dirs = down(place, &name, made);
        let mut text = String::new();
        let mut file = open(&dirs, "moved", OFlag::O_RDONLY);
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "far down");
        let mut dirs = dirs.iter().rev();
        unlinkat(dirs.next().expect("there is one"), "moved", UnlinkatFlags::NoRemoveDir)
            .expect("removed");
        for above in dirs {
            unlinkat(above, &*name, UnlinkatFlags::RemoveDir).expect("removed");
        }
        assert_eq!(fs::read_dir(place.dir()).expect("listed").count(), 0);
    });
}
