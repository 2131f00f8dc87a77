// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making, describing, checking and copying pools; objects as files.

use std::{fs, path::PathBuf};

use crate::world::World;

#[test]
fn a_pool_is_made_and_described() {
    let world = World::empty();
    world.run(["pool", "info"]).fails(3, &["no pool at", "twz pool init"]);
    world.run(["pool", "init", "--label", "demo"]).ok();
    let info = world.run(["pool", "info"]).ok();
    for word in ["directory", "demo", world.pool().to_str().unwrap(), "reading and writing"] {
        assert!(info.contains(word), "{word}: {info}");
    }
    world.run(["pool", "init"]).fails(1, &["exists already", "another place"]);
}

#[test]
fn the_pool_is_where_one_says() {
    let world = World::empty();
    let there = world.path("there");
    let there = there.to_str().unwrap();
    world.run(["pool", "init", there]).ok();
    world.run(["--pool", there, "new"]).ok();
    assert_eq!(world.json(["pool", "info", "--pool", there])["objects"], 1);
    // The default without TWZ_POOL, and with an empty one.
    let mut command = world.command(["pool", "init"]);
    assert!(command.env("TWZ_POOL", "").output().unwrap().status.success());
    assert!(world.path(".local/share/twz").is_dir());
}

#[test]
fn a_label_has_its_limits() {
    let world = World::empty();
    world.run(["pool", "init", "--label", &"l".repeat(64)]).fails(2, &["64 bytes", "shorter"]);
    world.run(["pool", "init", "--size", "1M"]).fails(2, &["--image"]);
}

#[test]
fn a_whole_pool_is_clean() {
    let world = World::new();
    world.object("/a", b"hello");
    let out = world.run(["pool", "check"]).ok();
    assert!(out.contains("1 object checked: nothing is wrong"), "{out}");
}

/// The tail of the only object.
fn tail(world: &World) -> PathBuf {
    let ids = world.json(["ls"]);
    let id = ids["objects"][0]["id"].as_str().unwrap();
    world.pool().join("objects").join(&id[..2]).join(format!("{id}.tail"))
}

#[test]
fn damage_is_found_and_said() {
    let world = World::new();
    world.object("/a", b"hello");
    let tail = tail(&world);
    let mut bytes = fs::read(&tail).unwrap();
    bytes[3584 + 48] ^= 1; // the nonce, in the meta record
    fs::write(&tail, bytes).unwrap();
    world.run(["info", "/a"]).ends(6);
    let list = world.run(["ls"]).ends(6);
    assert!(list.contains("damaged: "), "{list}");
    assert_eq!(world.run(["ls", "--json"]).json()["damaged"].as_array().unwrap().len(), 1);
    let out = world.run(["pool", "check"]).ends(1);
    assert!(out.contains("error: ") && out.contains("1 error"), "{out}");
    let check = world.run(["pool", "check", "--json"]);
    check.ends(1);
    let check = check.json();
    assert_eq!(check["clean"], false);
    let problem = &check["problems"][0];
    for field in ["severity", "what", "where"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
}

#[test]
fn what_has_a_second_copy_is_mended() {
    let world = World::new();
    world.object("/a", b"hello");
    let file = world.pool().join("pool.twz");
    let mut bytes = fs::read(&file).unwrap();
    bytes[30] ^= 1; // in the first of two superblocks
    fs::write(&file, bytes).unwrap();
    let out = world.run(["pool", "check"]).ends(1);
    assert!(out.contains("superblock 0") && out.contains("written anew"), "{out}");
    let run = world.run(["pool", "check", "--repair", "--json"]);
    run.ok();
    let check = run.json();
    assert_eq!((&check["clean"], &check["repaired"]), (&true.into(), &1.into()));
    assert_eq!(check["problems"][0]["repaired"], true);
    assert!(world.run(["pool", "check"]).ok().contains("nothing is wrong"));
    assert_eq!(world.run(["cat", "/a"]).ok(), "hello");
}

#[test]
fn a_check_needs_a_pool() {
    World::empty().run(["pool", "check"]).fails(3, &["no pool at", "twz pool init"]);
}

#[test]
fn a_copied_pool_has_the_same_objects_and_names() {
    let world = World::new();
    world.run(["name", "mkdir", "/d"]).ok();
    let id = world.object("/d/a", b"hello");
    world.feed(["new", "--from", "-", "--immutable"], b"fixed").ok();
    let (image, back) = (world.path("copy.img"), world.path("back"));
    let (image, back) = (image.to_str().unwrap(), back.to_str().unwrap());
    let from = world.pool().to_str().unwrap();
    let out = world.run(["pool", "copy", from, image, "--image", "--size", "8M"]).ok();
    assert!(out.starts_with("copied 2 objects"), "{out}");
    world.run(["pool", "copy", image, back]).ok();
    assert_eq!(world.run(["--pool", back, "name", "resolve", "/d/a"]).ok().trim(), id);
    assert_eq!(world.run(["--pool", back, "cat", "/d/a"]).ok(), "hello");
    // Again: all is there.
    let again = world.json(["pool", "copy", from, image]);
    assert_eq!((&again["copied"], &again["unchanged"]), (&0.into(), &2.into()));
    world.run(["pool", "copy", from, from]).fails(2, &["into itself"]);
    world.run(["pool", "copy", "nowhere", back]).fails(3, &["no pool at"]);
}

#[test]
fn an_object_travels_as_a_file() {
    let world = World::new();
    let id = world.object("/a", b"hello");
    let file = world.path("a.twzo");
    let file = file.to_str().unwrap();
    world.run(["export", "/a", file]).ok();
    world.run(["import", file]).fails(1, &["already in this pool"]);
    let other = World::new();
    let out = other.run(["import", file, "--name", "/b"]).ok();
    assert_eq!(out.trim(), id);
    assert_eq!(other.run(["cat", "/b"]).ok(), "hello");
    // The same through a pipe.
    let bytes = world.run(["export", "/a", "-"]).output.stdout;
    assert_eq!(bytes, fs::read(file).unwrap());
    let third = World::new();
    assert_eq!(third.feed(["import", "-"], &bytes).ok().trim(), id);
    world.run(["export", "/a", "-", "--json"]).fails(2, &["cannot hold both"]);
    let leftovers = fs::read_dir(world.path("")).unwrap().count();
    assert_eq!(leftovers, 2, "the pool and the file, and no half of one");
}

#[test]
fn what_was_altered_on_the_way_stays_outside() {
    let world = World::new();
    world.object("/a", b"hello");
    let good = world.run(["export", "/a", "-"]).output.stdout;
    for at in [0, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let other = World::new();
        other.feed(["import", "-"], &bad).ends(6);
        assert_eq!(other.run(["ls"]).ok(), "", "byte {at}");
    }
    let other = World::new();
    other.feed(["import", "-"], &good[..good.len() - 1]).ends(6);
    other.feed(["import", "-"], b"").ends(6);
    assert_eq!(other.run(["ls"]).ok(), "");
}
