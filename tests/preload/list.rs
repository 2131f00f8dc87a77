// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of libc's call sites that is kept for each build of it: what was kept is
//! believed only as far as libc's code says the same, and where nothing can be kept the
//! streams work all the same.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use twz_preload_tests::{World, library, streams};

/// Runs a program that reads by streams, with this cache; libc's calls come to the library.
#[track_caller]
fn comes(world: &World, cache: &Path) {
    let before = world.counters();
    let mut command = world.command(streams(), &library().display().to_string());
    command.env("XDG_CACHE_HOME", cache).arg("mixed").arg(world.names());
    world.ended(&command.output().unwrap());
    let after = world.counters();
    assert_eq!(after.redirected(), (before.redirected().0 + 1, 0), "{cache:?}: {after:?}");
    assert!(after.libcs() > before.libcs() + 100, "{cache:?}: {after:?}");
}

/// The only list there is, with what it is in.
fn kept(world: &World) -> (PathBuf, Vec<u8>) {
    let all = fs::read_dir(world.cache().join("twz")).unwrap();
    let all: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let name = all[0].file_name().unwrap().to_str().unwrap();
    let build = name.strip_prefix("sites-").unwrap();
    assert!(build.len() == 40 && build.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    (all[0].clone(), fs::read(&all[0]).unwrap())
}

/// A list with a sum that is right, whatever else it says.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let sum = bytes[..56].iter().fold(0xcbf2_9ce4_8422_2325, step);
    bytes[56..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn world() -> World {
    World::beneath(&std::env::temp_dir())
}

#[test]
fn a_list_is_kept_and_used_again() {
    let world = world();
    comes(&world, &world.cache());
    let (path, list) = kept(&world);
    assert_eq!(list.len(), 64);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    comes(&world, &world.cache());
    assert_eq!(kept(&world), (path.clone(), list.clone()));
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "it was made anew");

    // One that says that there is nothing to be done is believed, too: that it was read
    // is seen by it. Nothing is wrong with that, but that it is not faster.
    let mut nothing = list;
    nothing[32..44].fill(0);
    fs::write(&path, summed(nothing)).unwrap();
    let counters = world.part_of(streams(), "mixed", "");
    assert_eq!(counters.redirected(), (2, 1), "{counters:?}");
}

#[test]
fn a_list_that_is_wrong_is_made_anew() {
    let world = world();
    comes(&world, &world.cache());
    let (path, list) = kept(&world);
    let changed = |at: usize, by: u8| {
        let mut bytes = list.clone();
        bytes[at] = bytes[at].wrapping_add(by);
        bytes
    };
    let (build, begin) = (8, 32);
    for wrong in [
        changed(0, 1),
        changed(begin, 1),
        changed(63, 1),
        list[..63].to_vec(),
        [&list[..], &[0]].concat(),
        Vec::new(),
        // What nobody tore, but somebody made up: another build's, other functions.
        summed(changed(build, 1)),
        summed(changed(begin, 16)),
        summed(changed(begin + 6, 1)),
        summed(changed(begin + 11, 0x80)),
        summed([&list[..32], &[0xff; 12], &list[44..]].concat()),
    ] {
        fs::write(&path, &wrong).unwrap();
        comes(&world, &world.cache());
        assert_eq!(kept(&world), (path.clone(), list.clone()), "{wrong:?} is still there");
    }
}

#[test]
fn a_list_that_somebody_else_could_have_written_is_not_believed() {
    let world = world();
    comes(&world, &world.cache());
    let (path, list) = kept(&world);
    let mut nothing = list.clone();
    nothing[32..44].fill(0);
    let nothing = summed(nothing);
    let rights = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();

    for mode in [0o606, 0o660] {
        fs::write(&path, &nothing).unwrap();
        rights(mode);
        comes(&world, &world.cache());
        assert_eq!(kept(&world).1, list);
    }
    // A link to one, and what cannot be a list at all.
    fs::write(world.outside().join("nothing"), &nothing).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(world.outside().join("nothing"), &path).unwrap();
    comes(&world, &world.cache());
    assert_eq!(kept(&world).1, list);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    comes(&world, &world.cache());
}

#[test]
fn nothing_can_be_kept() {
    let world = world();
    let file = world.outside().join("file");
    fs::write(&file, "").unwrap();
    // What programs work with is not added to either.
    let names = world.names().canonicalize().unwrap();
    let nowhere = Path::new("/proc/nothing/is/made/here");
    for cache in [nowhere, &file, Path::new("relative"), &names] {
        comes(&world, cache);
    }
    assert!(!names.join("twz").exists());
    assert!(!Path::new("relative").exists());
    // Nor is there anywhere to keep it.
    let before = world.counters();
    let mut command = world.command(streams(), &library().display().to_string());
    command.env_remove("XDG_CACHE_HOME").env_remove("HOME").arg("mixed").arg(world.names());
    world.ended(&command.output().unwrap());
    assert!(world.counters().libcs() > before.libcs() + 100);
}

#[test]
fn a_home_is_enough() {
    let world = world();
    let before = world.counters();
    let mut command = world.command(streams(), &library().display().to_string());
    command.env_remove("XDG_CACHE_HOME").env("HOME", world.outside());
    command.arg("mixed").arg(world.names());
    world.ended(&command.output().unwrap());
    assert!(world.counters().libcs() > before.libcs() + 100);
    let kept = fs::read_dir(world.outside().join(".cache/twz")).unwrap().count();
    assert_eq!(kept, 1);
}
