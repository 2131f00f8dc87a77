// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command, as it is typed.

#[path = "../../../libtwz/tests/common/pool.rs"]
mod pool;

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn twzkvs(pool: &pool::TempPool, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twzkvs"))
        .args(args)
        .env("TWZ_POOL", pool.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn it_does_what_it_says() {
    let pool = pool::TempPool::new();
    let run = |args: &[&str], input: &[u8]| said(&twzkvs(&pool, args, input));
    assert_eq!(run(&["create", "/kvs"], b"").0, 0);
    assert_eq!(run(&["put", "/kvs", "key", "value"], b"").0, 0);
    assert_eq!(run(&["put", "--durable", "/kvs", "typed"], b"from\0input").0, 0);
    assert_eq!(run(&["get", "/kvs", "key"], b""), (0, "value".into(), String::new()));
    assert_eq!(run(&["get", "/kvs", "typed"], b"").1, "from\0input");
    assert_eq!(run(&["has", "/kvs", "key"], b"").0, 0);
    assert_eq!(run(&["has", "/kvs", "other"], b"").0, 1);
    let (_, list, _) = run(&["list", "/kvs"], b"");
    assert!(list.contains("key\t5 bytes\n") && list.contains("typed\t10 bytes\n"), "{list}");
    let before = run(&["info", "/kvs"], b"").1;
    assert_eq!(run(&["compact", "/kvs"], b"").0, 0);
    let after = run(&["info", "/kvs"], b"").1;
    assert!(after.contains("keys     2\n") && before != after, "{after}");
    assert_eq!(run(&["delete", "/kvs", "key"], b"").0, 0);
    let (code, _, error) = run(&["delete", "/kvs", "key"], b"");
    assert_eq!((code, error.as_str()), (1, "twzkvs: there is no key 'key'\n"));
}

#[test]
fn what_is_wrong_it_says() {
    let pool = pool::TempPool::new();
    let run = |args: &[&str]| said(&twzkvs(&pool, args, b""));
    let (code, _, error) = run(&["get", "/nothing", "key"]);
    assert!(code == 2 && error.contains("/nothing") || error.contains("nothing"), "{error}");
    assert_eq!(run(&["create", "/kvs"]).0, 0);
    let objects = pool.objects().len();
    let (code, _, error) = run(&["create", "/kvs"]);
    assert!(code == 2 && error.contains("kvs"), "{error}");
    assert_eq!(pool.objects().len(), objects, "what could not be named was left");
    let (code, help, _) = run(&["--help"]);
    assert!(code == 0 && help.contains("compact") && help.contains("TWZ_POOL"), "{help}");
    assert_eq!(run(&["frobnicate"]).0, 2);
}
