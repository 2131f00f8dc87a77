// SPDX-License-Identifier: MIT OR Apache-2.0
//! The counter, killed at random, with the daemon or without it: what is told
//! once, and what at least once.

use std::{thread, time::Duration};

use nix::sys::signal::{Signal, kill};

use crate::world::{Daemon, Random, World, program, until};

/// How often something is killed.
fn rounds() -> u32 {
    if std::env::var_os("TWZ_LONG").is_some() { 600 } else { 30 }
}

/// Kills the counter, its daemon, or both, again and again; how often the counter.
fn kill_at_random(world: &World) -> u32 {
    let mut random = Random::new();
    let start = || world.daemon(&["--settled", "0"]);
    let mut daemon = Some(start());
    let (mut killed, mut gone) = (0, None);
    let rounds = rounds();
    for _ in 0..rounds {
        let mut running = None;
        until(
            || {
                running = world.process_of("counter");
                running.is_some() && running != gone
            },
            || world.read("log"),
        );
        thread::sleep(Duration::from_micros(random.below(60_000)));
        let what = random.below(3);
        // The daemon first, so that it sees nothing of what comes.
        if what != 0
            && let Some(daemon) = daemon.take()
        {
            daemon.kill();
        }
        if what != 1
            && let Some(pid) = running
        {
            kill(pid, Signal::SIGKILL).unwrap();
            killed += 1;
            gone = running;
        }
        daemon.get_or_insert_with(&start);
    }
    let last = last_number(world);
    until(|| last_number(world) > last, || "it does not go on".into());
    assert!(daemon.is_some_and(Daemon::stop));
    assert!(killed >= rounds / 3, "{killed} of {rounds}");
    println!("{rounds} rounds, the counter killed {killed} times");
    // One that outlived its daemon was not stopped by this one.
    if let Some(pid) = world.process_of("counter") {
        let _ = kill(pid, Signal::SIGKILL);
    }
    killed + 1
}

fn last_number(world: &World) -> u64 {
    let told = world.read("out") + &world.read("told");
    let numbers = told.lines().filter_map(|line| line.split(' ').next()?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// Who cannot be asked is told every number in order, and one again for a kill at
/// most, marked.
#[test]
fn no_number_is_lost_and_none_repeated_unmarked() {
    let world = World::new();
    let counter = program("counter");
    let counter = counter.to_str().unwrap();
    world.twz(&["threads", "add", "counter", "--", counter, "--every", "0"]);
    let kills = kill_at_random(&world);
    let (mut last, mut again) = (0u64, 0);
    for line in world.read("out").lines() {
        match line.strip_suffix(" again") {
            Some(number) => {
                let number: u64 = number.parse().unwrap();
                assert!(number == last || number == last + 1, "{line} after {last}");
                last = number;
                again += 1;
            }
            None => {
                assert_eq!(line.parse(), Ok(last + 1), "after {last}");
                last += 1;
            }
        }
    }
    assert!(last > rounds() as u64, "{last}");
    assert!(again <= kills, "{again} told again, and {kills} kills");
    println!("{last} numbers, {again} of them in doubt at a kill");
}

/// Who can be asked is told each exactly once.
#[test]
fn a_listener_that_can_be_asked_is_told_each_number_once() {
    let world = World::new();
    let counter = program("counter");
    let (counter, to) = (counter.to_str().unwrap(), world.path("told"));
    let to = to.to_str().unwrap();
    world.twz(&["threads", "add", "counter", "--", counter, "--every", "0", "--to", to]);
    kill_at_random(&world);
    let mut last = 0u64;
    for line in world.read("told").lines() {
        last += 1;
        assert_eq!(line.parse(), Ok(last));
    }
    assert!(last > rounds() as u64, "{last}");
}

/// Started by hand it is the same thread: the daemon leaves it alone while it runs,
/// and goes on with it after.
#[test]
fn what_was_started_by_hand_is_kept_too() {
    let world = World::new();
    let out = std::fs::File::create(world.path("out")).unwrap();
    let mut command = world.command(&program("counter"));
    let mut byhand = command.args(["--every", "5"]).stdout(out).spawn().unwrap();
    world.wait_for("out", "20\n");
    let daemon = world.daemon(&[]);
    world.wait_for("out", "60\n");
    assert_eq!(world.process_of("counter"), None);
    assert_eq!(world.thread("counter")["state"], "running");
    byhand.kill().unwrap();
    byhand.wait().unwrap();
    world.wait_for("log", "counter: resumed as process");
    let last = last_number(&world);
    until(|| last_number(&world) > last, || "it does not go on".into());
    assert!(daemon.stop());
    assert_eq!(world.thread("counter")["state"], "lost");
}

#[test]
fn a_count_that_is_done_is_finished() {
    let world = World::new();
    let counter = program("counter");
    let counter = counter.to_str().unwrap();
    let add = ["threads", "add", "counter", "--", counter, "--every", "0", "--upto", "10"];
    world.twz(&add);
    assert!(world.daemon(&["--once"]).wait());
    assert!(world.read("log").contains("counter: finished"), "{}", world.read("log"));
    assert_eq!(world.thread("counter")["state"], "finished");
    assert_eq!(world.read("out").lines().count(), 10);
    assert!(world.daemon(&["--once"]).wait());
    assert_eq!(world.thread("counter")["runs"], 1);
}
