// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same commands on a pool in one file.

use crate::world::World;

#[test]
fn what_does_not_map_works_on_an_image() {
    let world = World::image("8M");
    assert_eq!(world.json(["pool", "info"])["home"], "image");
    let id = world.object("/a", b"hello");
    assert_eq!(world.run(["cat", &id[..8]]).ok(), "hello");
    world.feed(["write", "/a", "--offset", "5"], b" there").ok();
    assert_eq!(world.run(["cat", "/a"]).ok(), "hello there");
    world.run(["resize", "/a", "5"]).ok();
    world.run(["cp", "/a", "--immutable", "--name", "/fixed"]).ok();
    world.feed(["write", "/fixed"], b"x").fails(4, &["immutable"]);
    world.run(["name", "mkdir", "-p", "/d/e"]).ok();
    world.run(["name", "mv", "/a", "/d/e"]).ok();
    world.run(["name", "bind", "/second", "/d/e/a"]).ok();
    let names = world.run(["name", "ls", "-R"]).ok();
    assert!(names.contains("/d/e/a") && names.contains("/second"), "{names}");
    assert!(world.run(["info", "/second"]).ok().contains("/d/e/a"));
    world.run(["rm", &id]).fails(1, &["is named"]);
    world.run(["rm", "-f", &id]).ok();
    world.run(["fot", "/fixed"]).ok();
    world.run(["graph"]).ok();
    let list = world.run(["ls", "-l", "--names"]).ok();
    assert!(list.contains("/fixed") && !list.contains(&id), "{list}");
}

#[test]
fn an_image_cannot_be_retargeted_and_says_what_to_do() {
    let world = World::image("8M");
    world.object("/a", b"x");
    world.run(["retarget", "/a", "/a", "/a"]).fails(1, &["image", "twz pool copy"]);
}

#[test]
fn a_full_image_says_so() {
    let world = World::image("2M");
    let bytes = vec![1; 4 << 20];
    world.feed(["new", "--from", "-", "--name", "big"], &bytes).fails(5, &["full", "larger pool"]);
    // Nothing half-made is left.
    assert_eq!(world.run(["name", "ls"]).ok(), "");
    assert!(!world.run(["ls"]).ok().contains("bytes"));
    world.object("small", b"fits");
}

#[test]
fn an_image_is_checked() {
    let world = World::image("4M");
    world.object("/a", b"hello");
    assert!(world.run(["pool", "check"]).ok().contains("nothing is wrong"));
    let good = std::fs::read(world.pool()).unwrap();
    let id: twz::ObjectId = world.run(["name", "resolve", "/a"]).ok().trim().parse().unwrap();
    let needle = id.as_u128().to_le_bytes();
    let places = good.windows(16).enumerate().filter(|(_, window)| *window == needle);
    let mut found = 0;
    for (at, _) in places {
        let mut bytes = good.clone();
        bytes[at + 20] ^= 0x10;
        std::fs::write(world.pool(), &bytes).unwrap();
        let check = world.run(["pool", "check"]);
        if check.code() == 0 {
            // A page of the journal, of a change that was done long ago.
            assert_eq!(world.run(["cat", "/a"]).ok(), "hello", "byte {at}");
            continue;
        }
        let out = check.ends(1);
        assert!(out.contains("error: ") || out.contains("warning: "), "{out}");
        found += 1;
        std::fs::write(world.pool(), &bytes).unwrap();
        let out = world.run(["pool", "check", "--repair"]).ok();
        assert!(out.contains("mended: ") && out.contains("mended "), "{out}");
        world.run(["pool", "check"]).ok();
    }
    assert!(found >= 2, "the object's record and its name");
}

#[test]
fn an_image_that_cannot_be_is_not_made() {
    let world = World::empty();
    let init = |options: &[&str]| world.run(["pool", "init", "--image"].iter().chain(options));
    init(&["--size", "4K"]).fails(2, &["too small", "larger --size"]);
    init(&["--size", "64K", "--records", "100000"]).fails(2, &["too small", "fewer --records"]);
    init(&["--records", "0"]).fails(2, &["records", "give other"]);
    assert!(!world.pool().exists());
}

#[test]
fn what_is_no_pool_is_refused() {
    let world = World::empty();
    world.file("pool", b"this is a letter, and no pool");
    for args in [&["ls"][..], &["pool", "info"], &["new"], &["pool", "check"]] {
        world.run(args).ends(6);
    }
    world.run(["pool", "init"]).ends(1);
}

/// Where a file goes on is written in its object, which can be damaged where the pool's
/// record of it is not.
#[test]
fn a_list_goes_on_behind_what_is_damaged() {
    let world = World::image("8M");
    let id = world.run(["new", "--name", "/long"]).ok().trim().to_owned();
    world.run(["resize", "/long", &(twz::MAX_DATA + 1).to_string()]).ok();
    world.object("/other", b"hello");
    let id = id.parse::<twz::ObjectId>().unwrap().as_u128();
    let mut bytes = std::fs::read(world.pool()).unwrap();
    // The meta record is in the tail page's last 512 bytes; its id is 32 into it.
    let has = |page: &&mut [u8]| page[3584 + 32..][..16] == id.to_le_bytes();
    let page = bytes.chunks_exact_mut(4096).find(has).unwrap();
    page[3584] ^= 1;
    std::fs::write(world.pool(), bytes).unwrap();
    let list = world.run(["ls"]).ends(6);
    assert!(list.contains("damaged: "), "{list}");
    let list = world.run(["ls", "--json"]).json();
    let count = |what: &str| list[what].as_array().unwrap().len();
    assert_eq!((count("objects"), count("damaged")), (1, 1), "{list}");
}
