// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree of names.

use crate::world::World;

/// What `name ls -R` shows, as paths.
fn tree(world: &World) -> Vec<String> {
    let list = world.json(["name", "ls", "-R"]);
    let names = list["names"].as_array().unwrap();
    names.iter().map(|name| name["path"].as_str().unwrap().into()).collect()
}

#[test]
fn names_are_bound_moved_and_taken_away() {
    let world = World::new();
    let id = world.run(["new"]).ok();
    let id = id.trim();
    world.run(["name", "mkdir", "/lists"]).ok();
    world.run(["name", "bind", "/lists/head", id]).ok();
    assert_eq!(world.run(["name", "resolve", "/lists/head"]).ok().trim(), id);
    world.run(["name", "mv", "/lists/head", "/first"]).ok();
    assert_eq!(tree(&world), ["/first", "/lists"]);
    // Into a directory, as mv does.
    world.run(["name", "mv", "/first", "/lists"]).ok();
    assert_eq!(tree(&world), ["/lists", "/lists/first"]);
    world.run(["name", "unbind", "/lists/first"]).ok();
    world.run(["name", "rmdir", "/lists"]).ok();
    assert_eq!(tree(&world), [""; 0]);
    world.run(["info", id]).ok();
}

#[test]
fn a_name_is_rebound_only_when_told() {
    let world = World::new();
    let one = world.object("n", b"1");
    let two = world.run(["new"]).ok();
    world.run(["name", "bind", "n", two.trim()]).fails(1, &["taken", "--replace"]);
    assert_eq!(world.run(["name", "resolve", "n"]).ok().trim(), one);
    world.run(["name", "bind", "n", two.trim(), "--replace"]).ok();
    assert_eq!(world.run(["name", "resolve", "n"]).ok().trim(), two.trim());
}

#[test]
fn directories_are_made_and_removed() {
    let world = World::new();
    world.run(["name", "mkdir", "/a/b/c"]).fails(3, &["mkdir -p"]);
    world.run(["name", "mkdir", "-p", "/a/b/c"]).ok();
    world.run(["name", "mkdir", "-p", "/a/b/c"]).ok();
    world.run(["name", "mkdir", "/a/b"]).fails(1, &["taken"]);
    world.run(["name", "rmdir", "/a/b"]).fails(1, &["still holds names"]);
    world.run(["name", "rmdir", "/a/b/c"]).ok();
    world.run(["name", "rmdir", "/a/b/c"]).fails(3, &["no name"]);
    world.object("/a/file", b"x");
    world.run(["name", "mkdir", "-p", "/a/file/d"]).ends(1);
    world.run(["name", "rmdir", "/a/file"]).fails(1, &["not a directory"]);
    world.run(["name", "unbind", "/a/b"]).fails(1, &["directory"]);
    assert_eq!(tree(&world), ["/a", "/a/b", "/a/file"]);
}

#[test]
fn listing_shows_directories_and_what_is_below() {
    let world = World::new();
    world.run(["name", "mkdir", "-p", "/a/b"]).ok();
    let id = world.object("/a/x", b"1");
    assert_eq!(world.run(["name", "ls"]).ok().lines().count(), 2);
    let list = world.run(["name", "ls", "/a"]).ok();
    assert!(list.contains("/a/b/") && list.contains(&id), "{list}");
    world.run(["name", "ls", "/none"]).fails(3, &["no name", "twz name ls"]);
    world.run(["name", "ls", "/a/x"]).fails(1, &["not a directory"]);
}

#[test]
fn what_other_programs_bind_is_seen() {
    let world = World::new();
    let names = world.pool().join("names");
    std::fs::write(names.join("plain"), b"made by another program").unwrap();
    assert_eq!(world.run(["cat", "plain"]).ok(), "made by another program");
    // Links that lead round in a circle are names, and no way down.
    std::os::unix::fs::symlink(".", names.join("round")).unwrap();
    std::os::unix::fs::symlink(".", names.join("again")).unwrap();
    std::os::unix::fs::symlink("loop", names.join("loop")).unwrap();
    assert_eq!(tree(&world), ["/again", "/plain", "/round"]);
    world.run(["cat", "loop"]).fails(1, &["symbolic links"]);
}

#[test]
fn a_name_moved_onto_another_of_the_same_object_is_gone() {
    let world = World::new();
    let id = world.object("/a", b"x");
    world.run(["name", "bind", "/b", &id]).ok();
    world.run(["name", "mv", "/a", "/b"]).ok();
    assert_eq!(tree(&world), ["/b"]);
    world.run(["name", "mv", "/b", "/b"]).ok();
    assert_eq!(tree(&world), ["/b"]);
}

#[test]
fn bad_moves_are_refused() {
    let world = World::new();
    world.run(["name", "mkdir", "-p", "/a/b"]).ok();
    world.run(["name", "mv", "/a", "/a/b"]).fails(2, &["below itself"]);
    world.run(["name", "mv", "/", "/a"]).fails(2, &["root"]);
    world.run(["name", "mv", "/none", "/a"]).fails(3, &["no name '/none'"]);
    assert_eq!(tree(&world), ["/a", "/a/b"]);
}

#[test]
fn names_cannot_play_tricks() {
    let world = World::new();
    world.object("/esc\u{1b}[2J", b"x");
    for args in [["name", "ls"], ["ls", "--names"]] {
        let out = world.run(args).ok();
        assert!(!out.contains('\u{1b}') && out.contains("\\u{1b}"), "{out}");
    }
    assert_eq!(world.json(["name", "ls"])["names"][0]["path"], "/esc\u{1b}[2J");
}
