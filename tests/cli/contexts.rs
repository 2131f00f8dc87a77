// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, contexts and grants by the command, as its help says.

use serde_json::Value;

use crate::world::World;

/// A key in a file, an object that only it speaks for, and two contexts.
fn stage() -> (World, String) {
    let world = World::new();
    let file = world.path("web.key").display().to_string();
    world.run(["key", "new", "--file", &file, "--name", "/key"]).ok();
    world.run(["new", "--owner", "/key", "--rights", "-", "--size", "8", "--name", "/ledger"]).ok();
    world.run(["ctx", "new", "--owner", "/key", "--name", "/web"]).ok();
    world.run(["ctx", "new", "--owner", "/key", "--name", "/log"]).ok();
    (world, file)
}

fn allowed(world: &World, context: &str) -> String {
    world.json(["why", context, "/ledger"])["allowed"].as_str().unwrap().into()
}

#[test]
fn what_is_granted_is_allowed_and_what_is_revoked_is_not() {
    let (world, key) = stage();
    world.run(["why", "/web", "/ledger"]).ends(1);
    world.run(["grant", "/web", "/ledger", "rwg", "--key-file", &key]).ok();
    assert_eq!(allowed(&world, "/web"), "rw---g");
    assert_eq!(allowed(&world, "/log"), "------");
    world.run(["delegate", "/web", "/log", "/ledger", "r", "--key-file", &key]).ok();
    assert_eq!(allowed(&world, "/log"), "r-----");
    world.run(["delegate", "/log", "/web", "/ledger", "r", "--key-file", &key]).ends(4);
    world.run(["revoke", "/web", "--key-file", &key]).ok();
    assert_eq!(allowed(&world, "/log"), "------", "what /web has passed on");
    assert_eq!(allowed(&world, "/web"), "rw---g");
    world.run(["revoke", "/ledger", "--key-file", &key]).ok();
    assert_eq!(allowed(&world, "/web"), "------");
    world.run(["revoke", "/ledger", "--epoch", "1", "--key-file", &key]).fails(2, &["epoch 1"]);
    world.run(["why", "/log", "/ledger"]).ends(1);
    let why = world.json(["why", "/log", "/ledger"]);
    let rules: Vec<_> = why["grants"].as_array().unwrap().iter().map(|g| &g["rule"]).collect();
    assert!(rules.contains(&&Value::from("G7")), "{why}");
}

#[test]
fn a_program_has_what_its_context_has() {
    let (world, key) = stage();
    world.run(["grant", "/web", "/ledger", "rw", "--key-file", &key]).ok();
    world.run(["cat", "/ledger"]).fails(4, &["refused"]);
    world.run(["run", "-c", "/web", "--", "true"]).fails(4, &["proof"]);
    let twz = crate::world::binary().to_str().unwrap();
    let run = ["run", "-c", "/web", "--key-file", &key, "--", twz];
    let inside = |args: &[&str]| world.run(run.iter().chain(args));
    assert_eq!(inside(&["cat", "/ledger"]).ok().len(), 8);
    world.feed(run.iter().chain(&["write", "/ledger"]), b"new").ok();
    assert!(inside(&["cat", "/ledger"]).ok().starts_with("new"));
    let attached = world.run(run.iter().chain(&["attach", "--json"])).json();
    assert_eq!(attached["attached"].as_array().unwrap().len(), 2);
    assert!(attached["active"].is_string());
    world.run(["ctx", "mask", "/web", "/ledger", "-"]).ok();
    assert_eq!(inside(&["cat", "/ledger"]).ok().len(), 8, "masks limit defaults alone");
    world.run(["cap", "rm", "/web", &hash(&world, "/web")]).ok();
    inside(&["cat", "/ledger"]).ends(4);
}

/// The hash of a context's only grant.
fn hash(world: &World, context: &str) -> String {
    let grants = world.json(["cap", "ls", context]);
    assert_eq!(grants["grants"].as_array().unwrap().len(), 1);
    grants["grants"][0]["hash"].as_str().unwrap().into()
}

#[test]
fn grants_travel_as_files() {
    let (world, key) = stage();
    world.run(["grant", "/web", "/ledger", "r", "--until", "+1h", "--key-file", &key]).ok();
    let hash = hash(&world, "/web");
    let file = world.path("grant").display().to_string();
    world.run(["cap", "export", "/web", &hash[..6], "-o", &file]).ok();
    world.run(["cap", "add", "/web", &file]).ends(1);
    world.run(["cap", "rm", "/web", &hash]).ok();
    assert_eq!(allowed(&world, "/web"), "------");
    world.run(["cap", "add", "/web", &file]).ok();
    assert_eq!(allowed(&world, "/web"), "r-----");
    // Into another context it goes, and grants nothing there.
    world.run(["cap", "add", "/log", &file]).ok();
    assert_eq!(allowed(&world, "/log"), "------");
    world
        .run(["cap", "add", "/web", &world.file("odd", b"no grant").display().to_string()])
        .fails(1, &["is no grant"]);
    world.run(["cap", "rm", "/web", "0000"]).fails(3, &["holds no grant"]);
}

#[test]
fn secrets_are_kept() {
    let (world, _) = stage();
    let words = world.file("words", b"open sesame\nmore").display().to_string();
    let wrong = world.file("wrong", b"open barley\n").display().to_string();
    world.run(["key", "new"]).fails(2, &["--passphrase"]);
    let id = world.run(["key", "new", "--passphrase-file", &words]).ok();
    let id = id.trim();
    let list = world.json(["key", "ls"]);
    let key = list["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(key["secrets"].as_array().unwrap().len(), 1);
    world.run(["new", "--owner", id, "--rights", "-", "--name", "/own"]).ok();
    let sign = |words: &str| {
        world.run(["grant", "/web", "/own", "r", "--key", id, "--passphrase-file", words])
    };
    sign(&wrong).fails(4, &["not the passphrase"]);
    world.run(["grant", "/web", "/own", "r", "--key", id]).fails(4, &["--passphrase-file"]);
    sign(&words).ok();
    // Another's object is not this key's to grant.
    world
        .run(["grant", "/web", "/ledger", "r", "--key", id, "--passphrase-file", &words])
        .fails(4, &["another key owns it"]);
    let file = world.path("web.key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    world.run(["grant", "/web", "/ledger", "r", "--key-file", file.to_str().unwrap()]).ends(4);
}

#[test]
fn contexts_are_described_and_changed() {
    let (world, key) = stage();
    let show = || world.json(["ctx", "show", "/web"]);
    assert_eq!((&show()["mask"], &show()["rights"]), (&"rwxudg".into(), &"rw----".into()));
    world.run(["ctx", "set", "/web", "--mask", "r", "--flag", "undetachable"]).ok();
    assert_eq!((&show()["mask"], &show()["flags"][0]), (&"r-----".into(), &"undetachable".into()));
    world.run(["ctx", "mask", "/web", "/ledger", "rw"]).ok();
    assert_eq!(show()["masks"].as_array().unwrap().len(), 1);
    world.run(["ctx", "mask", "/web", "/ledger", "--clear"]).ok();
    world.run(["ctx", "set", "/web", "--no-flags"]).ok();
    assert_eq!(
        (&show()["masks"], &show()["flags"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    let until = ["--until", "@1", "--key-file", &key];
    world.run(["grant", "/web", "/ledger", "r"].iter().chain(&until)).ok();
    assert_eq!(world.json(["cap", "ls", "/web"])["grants"][0]["rule"], "G6");
    world.run(["ctx", "compact", "/web"]).ok();
    assert_eq!(show()["grants"], 0);
    world.run(["ctx", "show", "/ledger"]).ends(1);
    world.run(["ctx", "new", "--owner", "/ledger"]).ends(1);
    assert_eq!(world.json(["ctx", "ls"])["contexts"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let (world, key) = stage();
    let grant = |args: &[&str]| {
        world.run(["grant", "/web", "/ledger"].iter().chain(args).chain(&["--key-file", &key]))
    };
    grant(&["q"]).fails(2, &["rwxudg"]);
    grant(&["r", "--gate", "0x1000:64:16"]).fails(2, &["takes the right 'x'"]);
    grant(&["rx", "--gate", "0x1000:64:3"]).fails(2, &["power of two"]);
    grant(&["r", "--until", "tomorrow"]).fails(2, &["+90m"]);
    grant(&["r", "--from", "@9", "--until", "@5"]).fails(2, &["ends before"]);
    world.run(["grant", "/web", "/ledger", "r"]).fails(2, &["--key"]);
    world.run(["run", "--", "/none/at/all"]).ends(3);
    world.run(["key", "new", "--name", "/none/key", "--rights", "-"]).fails(3, &["mkdir"]);
}
