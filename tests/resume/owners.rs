// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may have what run: a thread object makes a daemon run a program, so what
//! somebody else can have written is not believed.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
};

use crate::world::{World, program};

/// Somebody who is neither root nor the user of the tests.
const SOMEBODY: u32 = 65534;

fn add(world: &World, name: &str) {
    let script = format!("id -u; echo {name} ran");
    world.twz(&["threads", "add", "--afresh", name, "--", "sh", "-c", &script]);
}

fn object_of(world: &World, name: &str) -> PathBuf {
    let id = world.twz(&["name", "resolve", &format!("/threads/{name}")]);
    let id = id.split_whitespace().find(|word| word.len() == 32).unwrap();
    world.pool().join("objects").join(&id[..2]).join(id)
}

fn runs_only_the_good_one(world: &World, why: &str) {
    add(world, "good");
    assert!(!world.daemon(&["--once"]).wait());
    let (out, log) = (world.read("out"), world.read("log"));
    assert!(out.contains("good ran") && !out.contains("bad ran"), "{out}{log}");
    assert!(log.contains("bad: not run: ") && log.contains(why), "{log}");
    assert!(!world.thread("bad")["refused"].is_null());
}

#[test]
fn what_others_may_write_is_not_run() {
    let world = World::new();
    add(&world, "bad");
    fs::set_permissions(object_of(&world, "bad"), Permissions::from_mode(0o666)).unwrap();
    runs_only_the_good_one(&world, "others may write");
}

#[test]
fn what_says_that_it_is_another_users_is_not_run_as_them() {
    if !nix::unistd::geteuid().is_root() {
        return twz_tests::skip("threads of other users", "only root can make them");
    }
    let world = World::new();
    add(&world, "bad");
    // Its bytes say root, and its file is somebody's.
    chown(object_of(&world, "bad"), Some(SOMEBODY), None).unwrap();
    runs_only_the_good_one(&world, "its object is another's");
}

/// A pool where `SOMEBODY` may do everything, with programs that they can run.
fn open_to_somebody(world: &World) -> PathBuf {
    let dir = world.path(".");
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let twz = world.path("twz");
    fs::copy(program("twz"), &twz).unwrap();
    let give = |path: &Path| chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let mut below = vec![world.pool()];
    while let Some(path) = below.pop() {
        give(&path);
        if path.is_dir() {
            below.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    twz
}

#[test]
fn root_runs_each_as_its_user_and_its_own_nowhere_else() {
    if !nix::unistd::geteuid().is_root() {
        return twz_tests::skip("threads of other users", "only root can run them");
    }
    let world = World::new();
    let twz = open_to_somebody(&world);
    let mut command = world.command(&twz);
    command.args(["threads", "add", "--afresh", "theirs", "--", "sh", "-c"]);
    command.arg("id -u; id -G; touch /proc/1/environ || echo theirs ran");
    command.uid(SOMEBODY).gid(SOMEBODY);
    assert!(command.status().unwrap().success());
    // Root's thread, in a pool where another user can move and replace things.
    add(&world, "bad");
    assert!(!world.daemon(&["--once"]).wait());
    let (out, log) = (world.read("out"), world.read("log"));
    assert!(!out.contains("bad ran"), "{out}");
    assert!(log.contains("bad: not run: its object is another user's than the pool"), "{log}");
    let ids: Vec<&str> = out.lines().filter(|line| line.starts_with("65534")).collect();
    assert_eq!(ids, ["65534", "65534"], "{out}{log}");
    assert!(out.contains("theirs ran"), "{out}");
}

/// A daemon that is not root's leaves other users' threads alone.
#[test]
fn anybody_else_runs_their_own_only() {
    if !nix::unistd::geteuid().is_root() {
        return twz_tests::skip("threads of other users", "only root can make them");
    }
    let world = World::new();
    open_to_somebody(&world);
    add(&world, "roots");
    let twzd = world.path("twzd");
    fs::copy(program("twzd"), &twzd).unwrap();
    let mut command = world.command(&twzd);
    let output = command.arg("--once").uid(SOMEBODY).gid(SOMEBODY).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ran"));
    assert_eq!(world.thread("roots")["runs"], 0);
}
