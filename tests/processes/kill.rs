// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kill at every system call: each operation is run under strace, which kills
//! it on the way into the first call that changes anything, then the second, and
//! so on until the operation gets through. After each kill the pool must check
//! without an error, and the operation must succeed when it is tried again.
//! (`main.rs` has kills at random instants, between system calls too.)

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use twz_tests::{Node, TempPool, check_pool};

/// Calls that change files.
const CALLS: [&str; 19] = [
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "ftruncate",
    "fallocate",
    "pwrite64",
    "copy_file_range",
    "fchmod",
    "chmod",
    "fchmodat",
    "flock",
];

/// Objects `a`, `b` and `c`, with a pointer from `a` to `b`, and a plain file.
fn fixture(within: &Path) -> TempPool {
    let pool = TempPool::within(within);
    let space = pool.open();
    let [a, b, c] = [1, 2, 3].map(|i| space.create(Node::new(i)).unwrap());
    for (name, object) in [("a", &a), ("b", &b), ("c", &c)] {
        space.bind(name, object.id()).unwrap();
    }
    a.root().next.store(b.root()).unwrap();
    std::fs::write(pool.path().join("names/file"), b"some bytes").unwrap();
    pool
}

fn parent() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if tempfile::tempdir_in(&shm).is_ok() { shm } else { std::env::temp_dir() }
}

/// Runs the operation, to be killed on entering `call` for the `n`th time;
/// whether it was.
fn killed_at(pool: &Path, operation: &str, call: &str, n: u32) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={n}");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
        .arg(env!("CARGO_BIN_EXE_worker"))
        .args(["once", pool.to_str().unwrap(), operation])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    match status.signal() {
        Some(libc::SIGKILL) => true,
        _ => {
            assert!(status.success(), "{operation}, {call} {n}: {status}");
            false
        }
    }
}

fn survives(operation: &str) {
    if twz_tests::on_kernel() {
        let why = "the kernel's pool changes by one call, which is not cut into others";
        return twz_tests::skip(&format!("kill at {operation}"), why);
    }
    let traces = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !traces.is_ok_and(|status| status.success()) {
        return twz_tests::skip(
            "kill",
            "strace cannot trace here: nothing is killed at a system call",
        );
    }
    let parent = parent();
    let mut kills = 0;
    for call in CALLS {
        let mut n = 1;
        while survives_at(&parent, operation, call, n) {
            kills += 1;
            n += 1;
        }
    }
    assert!(kills > 0, "{operation} makes no call that changes anything");
    println!("{operation}: killed at each of {kills} system calls");
}

/// One kill, and what comes after it; `false` if the operation got through.
fn survives_at(parent: &Path, operation: &str, call: &str, n: u32) -> bool {
    let pool = fixture(parent);
    let path = pool.path();
    if !killed_at(&path, operation, call, n) {
        return false;
    }
    let nothing = Vec::<String>::new();
    assert_eq!(check_pool(&path), nothing, "{operation}, killed at {call} {n}");
    super::run(&["once", path.to_str().unwrap(), operation]);
    assert_eq!(check_pool(&path), nothing, "{operation}, again after a kill at {call} {n}");
    // Nothing else was touched.
    let space = pool.open();
    if operation != "delete" {
        let c = space.open_name::<Node>("c").unwrap();
        assert_eq!(c.root().value.get(), 3, "{operation}, {call} {n}");
    }
    true
}

macro_rules! killed {
    ($($name:ident $operation:literal;)*) => {
        $(#[test] fn $name() { survives($operation); })*
    };
}

killed! {
    a_killed_create "create";
    a_killed_bind "bind";
    a_killed_rebind "rebind";
    a_killed_unbind "unbind";
    a_killed_rename "rename";
    a_killed_delete "delete";
    a_killed_copy "copy";
    a_killed_seal "seal";
    a_killed_grow "grow";
    a_killed_shrink "shrink";
    a_killed_adoption "adopt";
    a_killed_insert "insert";
    a_killed_alloc "alloc";
}
