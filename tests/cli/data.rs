// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes in and out of objects.

use std::{io::Read as _, process::Stdio};

use crate::world::World;

/// Every byte there is, in no pleasant order, some megabytes of them.
fn bytes() -> Vec<u8> {
    (0..2_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn any_bytes_come_back_as_they_were() {
    let world = World::new();
    let bytes = bytes();
    let file = world.file("bytes", &bytes);
    world.run(["new", "--name", "from", "--from", file.to_str().unwrap()]).ok();
    assert!(world.run(["cat", "from"]).output.stdout == bytes);
    world.run(["new", "--name", "written"]).ok();
    world.feed(["write", "written", "-"], &bytes).ok();
    assert!(world.run(["cat", "written"]).output.stdout == bytes);
    let part = world.run(["cat", "written", "--offset", "1M", "--length", "17"]).output.stdout;
    assert_eq!(part, bytes[1 << 20..(1 << 20) + 17]);
    // And any program may open the very bytes.
    assert!(std::fs::read(world.pool().join("names/written")).unwrap() == bytes);
}

#[test]
fn writing_grows_keeps_and_truncates() {
    let world = World::new();
    world.object("a", b"0123456789");
    world.feed(["write", "a", "--offset", "2"], b"xx").ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "01xx456789");
    world.feed(["write", "a", "--offset", "8"], b"long").ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "01xx4567long");
    world.feed(["write", "a", "--truncate"], b"new").ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "new");
    // A gap is zeros.
    world.feed(["write", "a", "--offset", "5"], b"!").ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "new\0\0!");
    world.feed(["write", "a"], b"").ok();
    assert_eq!(world.json(["info", "a"])["size"], 6);
    world.feed(["write", "a", "--truncate"], b"").ok();
    assert_eq!(world.json(["info", "a"])["size"], 0);
}

#[test]
fn reading_ends_with_the_object() {
    let world = World::new();
    world.object("a", b"0123456789");
    assert_eq!(world.run(["cat", "a", "--offset", "8", "--length", "1G"]).ok(), "89");
    assert_eq!(world.run(["cat", "a", "--offset", "10"]).ok(), "");
    world.run(["cat", "a", "--offset", "11"]).fails(1, &["10 bytes", "past its end", "--offset"]);
}

#[test]
fn sizes_change() {
    let world = World::new();
    world.object("a", b"0123456789");
    world.run(["resize", "a", "4"]).ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "0123");
    world.run(["resize", "a", "6"]).ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "0123\0\0");
    world.run(["resize", "a", "1G"]).fails(2, &["cannot have", "the most is"]);
    world.run(["resize", "a", "lots"]).fails(2, &["a number of bytes"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    world.run(["new", "--size", "64M", "--name", "big"]).ok();
    let mut command = world.command(["cat", "big"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [1; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(first, [0; 10]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_size_given_is_the_size_had() {
    let world = World::new();
    world.feed(["new", "--size", "8", "--from", "-", "--name", "a"], b"abc").ok();
    assert_eq!(world.run(["cat", "a"]).ok(), "abc\0\0\0\0\0");
    world.feed(["new", "--size", "2", "--from", "-"], b"abc").fails(2, &["--size"]);
    world.run(["new", "--size", "2G"]).fails(2, &["cannot have"]);
    world.run(["new", "--from", "no-such-file"]).fails(3, &["no-such-file", "path is right"]);
    assert_eq!(world.json(["ls"])["objects"].as_array().unwrap().len(), 1);
}

/// Gives two megabytes, and the second only when a bar is due.
const SLOWLY: &str = "(head -c 1M /dev/zero; sleep 0.8; head -c 1M /dev/zero) | ";

#[test]
fn a_terminal_is_shown_a_bar() {
    let world = World::new();
    let twz = format!("{:?}", crate::world::binary());
    let shown = |options: &str| {
        // script(1), which every Debian has, is a terminal.
        let line = format!("{SLOWLY}{twz} new --from - {options}");
        let mut script = world.command([""; 0]);
        let script = std::process::Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .envs(script.env("TERM", "xterm").get_envs().filter_map(|(k, v)| Some((k, v?))))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&script.stdout).into_owned()
    };
    let out = shown("");
    assert!(out.contains("copying") && out.contains("MiB/s"), "{out}");
    assert!(!shown("--quiet").contains("copying"));
    assert!(!shown("--json").contains("copying"));
}

#[test]
fn nothing_is_drawn_where_nobody_looks() {
    let world = World::new();
    let bytes = vec![7; 48 << 20];
    let run = world.feed(["new", "--from", "-", "--name", "big"], &bytes);
    run.ok();
    assert_eq!(run.stderr(), "");
}
