// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon with programs of all kinds: that fail, that are not there, that
//! know nothing of it.

use std::{fs, os::unix::net::UnixDatagram, time::Duration};

use crate::world::{World, program, until};

/// A shell script as a thread that is started afresh.
fn add(world: &World, name: &str, script: &str) {
    world.twz(&["threads", "add", "--afresh", name, "--", "sh", "-c", script]);
}

#[test]
fn a_program_that_is_not_there_is_reported_and_stops_no_other() {
    let world = World::new();
    let gone = world.path("gone");
    fs::copy("/bin/true", &gone).unwrap();
    world.twz(&["threads", "add", "--afresh", "a-gone", "--", gone.to_str().unwrap()]);
    fs::remove_file(&gone).unwrap();
    world.twz(&["new", "--name", "/threads/b-no-thread"]);
    add(&world, "c-there", "echo I ran");
    let daemon = world.daemon(&["--attempts", "3"]);
    world.wait_for("out", "I ran");
    world.wait_for("log", "a-gone: given up after 3 bad ends");
    world.wait_for("log", "c-there: finished");
    assert!(daemon.stop());
    let log = world.read("log");
    assert_eq!(log.matches("a-gone: cannot start ").count(), 3, "{log}");
    assert_eq!(log.matches("b-no-thread: cannot be read: ").count(), 1, "{log}");
    let gone = world.thread("a-gone");
    assert_eq!((&gone["failures"], &gone["end"]), (&3.into(), &"errno 2".into()));
}

#[test]
fn what_fails_is_tried_again_and_then_given_up() {
    let world = World::new();
    add(&world, "third", "echo x >>tries; [ $(wc -l <tries) = 3 ]");
    add(&world, "never", "exit 7");
    let daemon = world.daemon(&["--attempts", "4"]);
    world.wait_for("log", "third: finished");
    world.wait_for("log", "never: given up after 4 bad ends");
    let (third, never) = (world.thread("third"), world.thread("never"));
    assert_eq!((&third["runs"], &third["failures"]), (&3.into(), &0.into()));
    assert_eq!((&never["runs"], &never["end"]), (&4.into(), &"exit 7".into()));
    world.twz(&["threads", "resume", "never"]);
    until(|| world.thread("never")["runs"] == 8, || world.read("log"));
    assert!(daemon.stop());
}

/// What runs on without its daemon is not started a second time by the next one.
#[test]
fn nothing_is_started_twice() {
    let world = World::new();
    add(&world, "long", "echo began >>began; exec sleep 1000");
    world.daemon(&[]).pipe(|daemon| {
        world.wait_for("began", "began");
        daemon.kill();
    });
    let (one, two) = (world.daemon(&[]), world.daemon(&[]));
    // Once one of them has found it, the other has had its chance, too.
    until(|| world.process_of("long").is_some(), || world.read("log"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(world.read("began").lines().count(), 1, "{}", world.read("log"));
    assert_eq!(world.thread("long")["state"], "running");
    let pid = world.process_of("long").unwrap();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until(|| world.read("began").lines().count() == 2, || world.read("log"));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.read("began").lines().count(), 2, "{}", world.read("log"));
    assert!(one.stop() && two.stop());
}

#[test]
fn told_to_stop_it_leaves_its_programs_to_be_resumed() {
    let world = World::new();
    add(&world, "gentle", "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.01; done");
    add(&world, "deaf", "trap '' TERM; echo there; while :; do sleep 0.01; done");
    let socket = UnixDatagram::bind(world.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = world.command(&program("twzd"));
    let out = fs::File::create(world.path("out")).unwrap();
    let mut daemon = command
        .args(["--grace", "300"])
        .env("NOTIFY_SOCKET", world.path("notify"))
        .stdout(out)
        .stderr(fs::File::create(world.path("log")).unwrap())
        .spawn()
        .unwrap();
    let mut heard = String::new();
    let mut hear = |what: &str| {
        while !heard.contains(what) {
            let mut bytes = [0; 200];
            let len = socket.recv(&mut bytes).unwrap();
            heard.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    };
    hear("READY=1");
    world.wait_for("out", "hello");
    world.wait_for("out", "there");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(daemon.id() as i32),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    hear("STOPPING=1");
    assert!(daemon.wait().unwrap().success());
    assert!(world.read("out").contains("bye"));
    for name in ["gentle", "deaf"] {
        let thread = world.thread(name);
        assert_eq!((&thread["state"], &thread["failures"]), (&"lost".into(), &0.into()), "{name}");
    }
}

/// What a program that is started gets of the environment, and what not.
#[test]
fn the_environment_is_what_was_kept() {
    let world = World::new();
    let mut twz = world.command(&program("twz"));
    twz.args(["threads", "add", "--afresh", "env", "--", "env"]);
    twz.env("LC_TIME", "C.UTF-8").env("LD_PRELOAD_X", "1").env("BASH_ENV", "/x").env("SECRET", "1");
    assert!(twz.status().unwrap().success());
    assert!(world.daemon(&["--once"]).wait());
    let seen = world.read("out");
    let pool = world.pool().canonicalize().unwrap();
    for wanted in ["LC_TIME=C.UTF-8", "TWZ_THREAD=env", &format!("TWZ_POOL={}", pool.display())] {
        assert!(seen.lines().any(|line| line == wanted), "{wanted}: {seen}");
    }
    for unwanted in ["LD_PRELOAD_X", "BASH_ENV", "SECRET"] {
        assert!(!seen.contains(unwanted), "{seen}");
    }
}

#[test]
fn a_new_thread_is_found_by_a_running_daemon() {
    let world = World::new();
    let daemon = world.daemon(&[]);
    add(&world, "late", "echo late");
    world.wait_for("out", "late");
    world.wait_for("log", "late: finished");
    world.twz(&["threads", "remove", "late"]);
    assert_eq!(world.twz(&["threads"]), "");
    assert!(daemon.stop());
}

trait Pipe: Sized {
    fn pipe<R>(self, with: impl FnOnce(Self) -> R) -> R {
        with(self)
    }
}

impl<T> Pipe for T {}
