// SPDX-License-Identifier: MIT OR Apache-2.0
//! What cannot be meant, each with its exit code and a sentence that says what
//! to do.

use crate::world::World;

#[test]
fn objects_that_cannot_be_found() {
    let world = World::new();
    world.object("/a", b"x");
    world.run(["name", "mkdir", "/d"]).ok();
    let missing = "0000000000000001".repeat(2);
    world.run(["cat", &missing]).fails(3, &["no object", "twz ls"]);
    world.run(["cat", "/none"]).fails(3, &["no name '/none'", "twz name ls"]);
    world.run(["cat", "/a/below"]).ends(1);
    world.run(["cat", "abcde"]).fails(3, &["no object's id begins with 'abcde'", "no name"]);
    world.run(["cat", "abc"]).fails(2, &["too short", "at least 4"]);
    world.run(["cat", "/d"]).fails(2, &["directory of names", "twz name ls /d"]);
    world.run(["cat", "/../etc/passwd"]).fails(2, &["'.' and '..' are not names"]);
    world.run(["cat", ""]).fails(2, &["no object", "give an id"]);
    world.run(["cat", &"n".repeat(5000)]).fails(2, &["at most 4095"]);
}

#[test]
fn names_that_cannot_be() {
    let world = World::new();
    world.object("/a", b"x");
    for bad in ["..", "/a/./b", "", &"n".repeat(256)] {
        world.run(["name", "bind", bad, "/a"]).ends(2);
        world.run(["name", "mkdir", bad]).ends(2);
        world.run(["new", "--name", bad]).ends(2);
    }
    world.run(["name", "bind", "/", "/a"]).ends(1);
    world.run(["name", "bind", "/no/where", "/a"]).fails(3, &["mkdir -p"]);
    world.run(["name", "unbind", "/none"]).fails(3, &["no name"]);
}

#[test]
fn options_that_cannot_be() {
    let world = World::new();
    world.run(["new", "--rights", "rwz"]).fails(2, &["rwxudg"]);
    world.run(["new", "--immutable", "--rights", "rw"]).fails(2, &["cannot grant 'w'", "--rights"]);
    world.run(["new", "--size", "12Q"]).fails(2, &["K, M or G"]);
    world.run(["frobnicate"]).fails(2, &["frobnicate", "--help"]);
    world.run(["rm"]).ends(2);
    world.run(["ls", "--color", "sometimes"]).fails(2, &["auto"]);
    world.run(["completions", "tcsh"]).fails(2, &["bash", "zsh", "fish"]);
    let nothing: [&str; 0] = [];
    world.run(nothing).fails(2, &["Usage"]);
}

#[test]
fn a_backend_that_is_not_there() {
    let world = World::new();
    let cases = [("kernel", "no kernel module serves", 3), ("cloud", "TWZ_BACKEND is one of", 1)];
    for (backend, word, code) in cases {
        let mut command = world.command(["ls"]);
        command.env("TWZ_BACKEND", backend).env("TWZ_DEVICE", "/dev/no-such-device");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(word), "{stderr}");
    }
}

#[test]
fn every_error_is_json_when_asked() {
    let world = World::new();
    let cases: [(&[&str], i32, i64); 4] = [
        (&["cat", "/none"], 3, 2),
        (&["frobnicate"], 2, 22),
        (&["pool", "init"], 1, 17),
        (&["cat", "abc"], 2, 22),
    ];
    for (args, code, errno) in cases {
        let run = world.run(args.iter().chain(&["--json"]));
        run.ends(code);
        let document: serde_json::Value = serde_json::from_str(&run.stderr()).unwrap();
        let error = &document["error"];
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!(error["errno"], errno);
        assert!(error["hint"].is_string(), "{document}");
        assert!(run.output.stdout.is_empty());
    }
}

#[test]
fn a_pool_of_a_newer_version_is_left_alone() {
    use zerocopy::{FromBytes as _, IntoBytes as _};
    let world = World::new();
    world.object("/a", b"x");
    let file = world.pool().join("pool.twz");
    let good = std::fs::read(&file).unwrap();
    let with = |change: fn(&mut twz_abi::Superblock)| {
        let mut bytes = good.clone();
        for slot in [0, 4096] {
            let mut block =
                twz_abi::Superblock::read_from_bytes(&bytes[slot..slot + 4096]).unwrap();
            change(&mut block);
            block.checksum = block.compute_checksum();
            bytes[slot..slot + 4096].copy_from_slice(block.as_bytes());
        }
        std::fs::write(&file, bytes).unwrap();
    };
    with(|block| block.version = 99);
    world.run(["ls"]).fails(6, &["version 99", "use a newer twz"]);
    with(|block| block.incompat = 1 << 40);
    world.run(["ls"]).fails(6, &["use a newer twz"]);
    // Features that only writing needs to know: it can be read.
    with(|block| block.ro_compat = 1 << 40);
    assert_eq!(world.run(["cat", "/a"]).ok(), "x");
    assert_eq!(world.json(["pool", "info"])["read_only"], true);
    let changes: [&[&str]; 7] = [
        &["new"],
        &["resize", "/a", "9"],
        &["cp", "/a"],
        &["rm", "-f", "/a"],
        &["name", "mkdir", "/d"],
        &["name", "unbind", "/a"],
        &["name", "mv", "/a", "/b"],
    ];
    for args in changes {
        world.run(args).fails(4, &["only be read"]);
    }
    assert_eq!(world.run(["cat", "/a"]).ok(), "x");
}
