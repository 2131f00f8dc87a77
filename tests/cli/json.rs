// SPDX-License-Identifier: MIT OR Apache-2.0
//! The documents of `--json`: one for each command, with the fields that are
//! promised and no others.

use serde_json::Value;

use crate::world::World;

const OBJECT: &str = "id kind size stored rights flags fingerprint owner nonce content \
                      name_count names";
const POOL: &str = "path home label pool_id created format_version objects capacity free \
                    read_only durability";

/// The fields of an object are these, and no others.
#[track_caller]
fn has(value: &Value, fields: &str) {
    let mut wanted: Vec<&str> = fields.split_whitespace().collect();
    wanted.sort_unstable();
    let mut found: Vec<&str> =
        value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn documents_about_pools() {
    let world = World::empty();
    has(&world.json(["pool", "init"]), POOL);
    let info = world.json(["pool", "info"]);
    has(&info, POOL);
    assert!(info["created"].as_u64().unwrap() > 1_700_000_000);
    has(&world.json(["pool", "check"]), "clean objects errors warnings repaired problems");
    let to = world.path("to");
    let copy = world.json(["pool", "copy", info["path"].as_str().unwrap(), to.to_str().unwrap()]);
    has(&copy, "from to copied unchanged bytes names");
}

#[test]
fn documents_about_objects() {
    let world = World::new();
    let made = world.json(["new", "--size", "4K", "--name", "/a"]);
    has(&made, "id size name");
    assert_eq!((&made["size"], &made["name"]), (&4096.into(), &"/a".into()));
    has(&world.json(["cp", "/a"]), "id size name");
    let list = world.json(["ls"]);
    has(&list, "objects damaged");
    has(&list["objects"][0], OBJECT);
    assert!(list["objects"][0]["names"].is_null());
    let info = world.json(["info", "/a"]);
    has(&info, OBJECT);
    assert_eq!((&info["size"], &info["names"][0]), (&4096.into(), &"/a".into()));
    assert!(world.json(["ls", "--names"])["objects"][0]["names"].is_array());
    has(&world.json(["resize", "/a", "9"]), "id offset length size");
    has(&world.json(["write", "/a", "--truncate"]), "id offset length size");
    has(&world.json(["rm", "-f", "/a"]), "removed unbound");
}

#[test]
fn documents_about_bytes() {
    let world = World::new();
    world.object("/text", "häuser".as_bytes());
    let data = world.json(["cat", "/text"]);
    has(&data, "id offset length encoding data");
    assert_eq!((&data["encoding"], &data["data"]), (&"utf-8".into(), &"häuser".into()));
    let data = world.json(["cat", "/text", "--offset", "2", "--length", "1"]);
    assert_eq!((&data["encoding"], &data["data"]), (&"base64".into(), &"pA==".into()));
}

#[test]
fn documents_about_names() {
    let world = World::new();
    let id = world.object("/a", b"x");
    let name = "path kind id";
    has(&world.json(["name", "mkdir", "/d"]), name);
    let bound = world.json(["name", "bind", "/d/b", "/a"]);
    has(&bound, name);
    assert_eq!((&bound["kind"], &bound["id"]), (&"object".into(), &id.as_str().into()));
    let list = world.json(["name", "ls"]);
    has(&list, "names");
    has(&list["names"][1], name);
    assert_eq!(
        (&list["names"][1]["kind"], &list["names"][1]["id"]),
        (&"directory".into(), &Value::Null)
    );
    has(&world.json(["name", "mv", "/d/b", "/c"]), "from to");
    has(&world.json(["name", "resolve", "/c"]), name);
    has(&world.json(["name", "unbind", "/c"]), name);
    has(&world.json(["name", "rmdir", "/d"]), name);
}

#[test]
fn documents_about_pointers_and_the_rest() {
    let world = World::new();
    world.object("/a", b"x");
    has(&world.json(["fot", "/a"]), "id entries");
    has(&world.json(["graph"]), "roots nodes edges");
    has(&world.json(["graph"])["nodes"][0], "id name depth present");
    has(&world.json(["graph", "--dangling"]), "dangling");
    let file = world.path("file");
    let file = file.to_str().unwrap();
    has(&world.json(["export", "/a", file]), "id file bytes");
    world.run(["rm", "-f", "/a"]).ok();
    has(&world.json(["import", file]), "id size name");
    has(&world.json(["version"]), "version format_version abi_version backend isolation");
    has(&world.json(["completions", "fish"]), "shell script");
    let dir = world.path("man");
    has(&world.json(["man", dir.to_str().unwrap()]), "directory pages");
}

#[test]
fn documents_about_threads() {
    let world = World::new();
    has(&world.json(["threads"]), "threads damaged");
    let changed = "name id done";
    let added = world.run(["--json", "threads", "add", "--afresh", "t", "--", "true"]).ok();
    has(&serde_json::from_str(&added).unwrap(), changed);
    let thread = "name id state refused program args directory environment view contexts uid \
                  afresh runs failures mark end registered started";
    has(&world.json(["threads", "show", "t"]), thread);
    let list = world.json(["threads"]);
    has(&list["threads"][0], thread);
    assert_eq!(
        (&list["threads"][0]["state"], &list["threads"][0]["name"]),
        (&"waiting".into(), &"t".into())
    );
    world.run(["threads", "add", "t", "--", "true"]).fails(1, &["'t' already"]);
    world.run(["threads", "add", "u", "--", "/no/such"]).fails(3, &["/no/such"]);
    world.run(["threads", "show", "u"]).fails(3, &["no thread 'u'"]);
    has(&world.json(["threads", "resume", "t"]), changed);
    has(&world.json(["threads", "remove", "t"]), changed);
    world.object("/threads/x", b"no thread");
    let output = world.run(["threads", "--json"]).output;
    assert_eq!(output.status.code(), Some(6));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    has(&list["damaged"][0], "name error");
    world.run(["threads", "remove", "x"]).fails(1, &["another kind"]);
}
