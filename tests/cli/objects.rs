// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making, listing, describing, copying and deleting objects.

use crate::world::World;

#[test]
fn a_new_object_is_listed_and_described() {
    let world = World::new();
    let id = world.run(["new", "--size", "1M", "--rights", "r--ud-", "--name", "/big"]).ok();
    let id = id.trim();
    assert_eq!(id.len(), 32);
    let list = world.run(["ls", "-l", "--names"]).ok();
    for word in ["STORED", id, "bytes", "1.0 MiB", "r--ud-", "/big"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    let info = world.run(["info", "/big"]).ok();
    for word in [id, "1.0 MiB (1048576 bytes)", "r--ud-", "/big", "nobody"] {
        assert!(info.contains(word), "{word}: {info}");
    }
}

#[test]
fn an_empty_pool_lists_nothing() {
    assert_eq!(World::new().run(["ls", "-l"]).ok(), "");
}

#[test]
fn objects_are_found_by_id_prefix_and_name() {
    let world = World::new();
    let id = world.object("greeting", b"hello");
    let upper = id.to_uppercase();
    for text in [&id, &id[..4], &id[..9], &upper[..6], "/greeting", "greeting", "//greeting/"] {
        assert_eq!(world.run(["cat", text]).ok(), "hello", "{text}");
    }
}

#[test]
fn a_prefix_of_several_ids_is_ambiguous() {
    let world = World::new();
    // Ids are hashes: two of a few hundred that share four digits are soon there.
    let mut seen = std::collections::HashMap::new();
    let pool = twz::open_pool(world.pool()).unwrap();
    let (one, two) = loop {
        let id = pool.create(&twz::NewObject::default()).unwrap().to_string();
        match seen.insert(id[..4].to_owned(), id.clone()) {
            Some(other) => break (id, other),
            None => assert!(seen.len() < 5000, "no two ids share four digits"),
        }
    };
    world.run(["info", &one[..4]]).fails(2, &["ambiguous", &one, &two, "more digits"]);
    world.run(["info", &one]).ok();
}

#[test]
fn a_name_that_looks_like_an_id_is_found() {
    let world = World::new();
    let id = world.object("cafe", b"a name");
    assert_eq!(world.run(["cat", "cafe"]).ok(), "a name");
    // And where it is the beginning of an id as well, one has to say.
    let other = world.object(&format!("/{}", &id[..5]), b"b");
    world.run(["cat", &id[..5]]).fails(2, &["is a name, and the beginning of an id", "write '/"]);
    assert!(world.run(["info", &format!("/{}", &id[..5])]).ok().contains(&other));
}

#[test]
fn an_immutable_object_cannot_change() {
    let world = World::new();
    let id = world.feed(["new", "--from", "-", "--immutable", "--name", "im"], b"fixed").ok();
    let info = world.json(["info", id.trim()]);
    assert_eq!(info["flags"][0], "immutable");
    assert_eq!(info["rights"], "r--ud-");
    assert_eq!(info["content"].as_str().unwrap().len(), 64);
    world.feed(["write", "im"], b"x").fails(4, &["immutable", "copy it"]);
    world.run(["resize", "im", "0"]).fails(4, &["immutable", "copy it"]);
    assert_eq!(world.run(["cat", "im"]).ok(), "fixed");
    // Only what was asked for is left, and not what it was made from.
    assert_eq!(world.json(["ls"])["objects"].as_array().unwrap().len(), 1);
}

#[test]
fn rights_are_those_asked_for_even_with_bytes() {
    let world = World::new();
    world.feed(["new", "--from", "-", "--rights", "r-----", "--name", "ro"], b"read me").ok();
    assert_eq!(world.json(["info", "ro"])["rights"], "r-----");
    assert_eq!(world.run(["cat", "ro"]).ok(), "read me");
    world.feed(["write", "ro"], b"x").fails(4, &["does not grant"]);
    assert_eq!(world.json(["ls"])["objects"].as_array().unwrap().len(), 1);
}

#[test]
fn a_copy_is_the_same_and_apart() {
    let world = World::new();
    let id = world.object("a", b"before");
    let copy = world.run(["cp", "a", "--name", "b"]).ok();
    assert_ne!(copy.trim(), id);
    world.feed(["write", "a"], b"AFTER").ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "AFTERe");
    assert_eq!(world.run(["cat", "b"]).ok(), "before");
    let sealed = world.run(["cp", "a", "--immutable"]).ok();
    assert_eq!(world.json(["info", sealed.trim()])["flags"][0], "immutable");
}

#[test]
fn a_named_object_is_deleted_only_by_force() {
    let world = World::new();
    let id = world.object("a", b"x");
    let other = world.run(["new"]).ok();
    world.run(["name", "bind", "/second", &id]).ok();
    // All or nothing: the one without a name stays too.
    world.run(["rm", other.trim(), &id]).fails(1, &["is named", "nothing was deleted", "--force"]);
    world.run(["info", other.trim()]).ok();
    world.run(["rm", "--force", &id, "/a", other.trim()]).ok();
    world.run(["info", &id]).fails(3, &["no object", "twz ls"]);
    assert_eq!(world.run(["name", "ls", "-R"]).ok(), "");
    assert_eq!(world.run(["ls"]).ok(), "");
}

#[test]
fn what_the_library_keeps_for_itself_is_shown_with_all() {
    let world = World::new();
    let id = world.object("mine", b"x");
    let pool = twz::open_pool(world.pool()).unwrap();
    // As a pool without a directory has it; a log comes with a transaction.
    let kind = twz::kind::PROCESSES;
    let processes = pool.create(&twz::NewObject { kind, ..Default::default() }).unwrap();
    pool.bind(".processes", processes, false).unwrap();
    let space = twz::Space::open(world.pool()).unwrap();
    let count = space.create(twz::Field::new(1u64)).unwrap();
    space.transaction(|tx| tx.set(count.root(), 2)).unwrap();
    let kinds = |args: &[&str]| -> Vec<String> {
        let list = world.json(args);
        let objects = list["objects"].as_array().unwrap();
        let mut kinds: Vec<String> =
            objects.iter().map(|object| object["kind"].as_str().unwrap().into()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&["ls"]), ["bytes", "typed"]);
    assert_eq!(kinds(&["ls", "--all"]), ["bytes", "log", "processes", "typed"]);
    let shown = world.run(["ls"]).ok();
    assert!(shown.contains(&id) && !shown.contains(&processes.to_string()), "{shown}");

    world.run(["name", "mkdir", "-p", "/.d/e"]).ok();
    let names = |args: &[&str]| world.run(args).ok().lines().count() - 1;
    assert_eq!(names(&["name", "ls", "-R"]), 1, "/mine");
    assert_eq!(names(&["name", "ls", "-R", "-a"]), 4);
    assert_eq!(names(&["name", "ls", "/.d"]), 1, "asked for by its name");
}

#[test]
fn a_taken_name_costs_no_object() {
    let world = World::new();
    world.object("a", b"x");
    world.run(["new", "--name", "/a"]).fails(1, &["taken", "--replace"]);
    world.run(["cp", "/a", "--name", "/a"]).fails(1, &["taken", "--replace"]);
    world.run(["new", "--name", "/no/such/dir"]).fails(3, &["has no place", "mkdir -p"]);
    assert_eq!(world.json(["ls"])["objects"].as_array().unwrap().len(), 1);
}
