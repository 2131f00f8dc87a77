// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon that holds the host's keys, asked by the command and by hand.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::world::{Run, World, binary};

struct Daemon<'a> {
    world: &'a World,
    process: Child,
    socket: PathBuf,
}

impl<'a> Daemon<'a> {
    fn start(world: &'a World) -> Self {
        let socket = world.path("socket");
        let mut command = Command::new(binary().with_file_name("twzd"));
        command.arg("--pool").arg(world.pool()).arg("--serve").arg("--socket").arg(&socket);
        command.arg("--state").arg(world.path("state")).stdin(Stdio::null());
        command.env_remove("TWZ_BACKEND").stderr(Stdio::null());
        let process = command.spawn().expect("twzd runs");
        let mut daemon = Self { world, process, socket };
        let until = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(&daemon.socket).is_err() {
            assert!(daemon.process.try_wait().unwrap().is_none(), "twzd has ended");
            assert!(Instant::now() < until, "twzd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.world.command(args);
        command.env("TWZD_SOCKET", &self.socket).stdin(Stdio::null());
        Run { what: format!("{command:?}"), output: command.output().expect("twz runs") }
    }

    /// Says a line, and hears one.
    fn say(&self, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        // Who is told that it is too much may not hear all of it.
        let _ = stream.write_all(line);
        let _ = stream.write_all(b"\n");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // No grace: it has nothing to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_host_signs_and_writes_it_down() {
    let world = World::new();
    let key = {
        let daemon = Daemon::start(&world);
        let key = daemon.run(&["daemon", "new-key", "web"]).ok().trim().to_string();
        daemon.run(&["daemon", "new-key", "web"]).fails(1, &["taken"]);
        daemon.run(&["daemon", "new-context", "/web", "--key", "web"]).ok();
        daemon.run(&["new", "--owner", &key, "--rights", "-", "--size", "8", "--name", "/a"]).ok();
        daemon.run(&["grant", "/web", "/a", "rg", "--host-key", "web"]).ok();
        daemon.run(&["cat", "/a"]).ends(4);
        let twz = binary().to_str().unwrap();
        daemon.run(&["run", "-c", "/web", "--host-key", "web", "--", twz, "cat", "/a"]).ok();
        daemon.run(&["run", "-c", "/web", "--host-key", "no", "--", "true"]).ends(3);
        // Only the host's own context writes what was made here.
        daemon.run(&["ctx", "mask", "/web", "/a", "rw"]).fails(4, &["context"]);
        daemon.run(&["write", "/.twzd/audit"]).ends(4);
        key
    };
    // It was killed; all it knew is there.
    let daemon = Daemon::start(&world);
    let keys = daemon.run(&["daemon", "keys", "--json"]).json();
    assert_eq!((&keys["keys"][0]["name"], &keys["keys"][0]["id"]), (&"web".into(), &key.into()));
    daemon.run(&["revoke", "/a", "--host-key", "web"]).ok();
    assert_eq!(daemon.run(&["why", "/web", "/a", "--json"]).json()["allowed"], "------");
    let log = daemon.run(&["audit", "--json"]).json();
    let said = |line: &Value| {
        let ask = line["ask"].as_object().unwrap().keys().next().unwrap().clone();
        (ask, line["decision"].as_str().unwrap().to_string())
    };
    let lines: Vec<_> = log["lines"].as_array().unwrap().iter().map(said).collect();
    let expected = [
        ("new-key", "done"),
        ("new-key", "refused"),
        ("new-context", "done"),
        ("grant", "done"),
        ("prove", "done"),
        ("prove", "refused"),
        ("revoke", "done"),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    assert_eq!(lines, expected);
    assert!(log["lines"][0]["uid"].is_u64() && log["lines"][0]["pid"].is_u64());
    let refused = daemon.run(&["audit", "--refused", "--json"]).json();
    assert_eq!(refused["lines"].as_array().unwrap().len(), 2);
    world.run(["pool", "check"]).ok();
}

#[test]
fn what_is_no_request_is_answered_and_survived() {
    let world = World::new();
    let daemon = Daemon::start(&world);
    let long = vec![b'x'; 100_000];
    for line in [
        &b""[..],
        b"garbage",
        b"\xff\xfe\0",
        b"{}",
        b"[[[[",
        br#"{"version":99,"ask":{"status":{}}}"#,
        br#"{"version":1,"ask":{"fly":{}}}"#,
        br#"{"version":1,"ask":{"new-key":{"name":"../../evil"}}}"#,
        br#"{"version":1,"ask":{"grant":{"context":"/a","terms":{"object":"","rights":"r"},"key":"x"}}}"#,
        &long,
    ] {
        let answer = daemon.say(line);
        assert!(answer.starts_with("{\"refused\""), "{answer}");
    }
    let status = daemon.run(&["daemon", "status", "--json"]).json();
    assert_eq!(status["protocol"], 1);
    let metrics = daemon.run(&["daemon", "metrics"]).ok();
    assert!(metrics.contains("twzd_garbled_lines_total 7"), "{metrics}");
}

#[test]
fn without_a_daemon_it_says_so() {
    let world = World::new();
    let socket = world.path("none").display().to_string();
    world.run(["daemon", "status", "--socket", &socket]).fails(1, &["twzd --serve"]);
    world.run(["audit"]).fails(3, &["no audit log"]);
}
