// SPDX-License-Identifier: MIT OR Apache-2.0
//! What several suites need: a pool of their own, children that are killed, and
//! numbers.
#![allow(dead_code, unused_imports)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use twz::ObjectId;

pub mod pool;

pub use pool::TempPool;

/// Numbers that differ enough (xorshift64*).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }
}

/// In a process that [`start`] made for the test `name`: its pool and object.
pub fn child(name: &str) -> Option<(PathBuf, ObjectId)> {
    if std::env::var("TWZ_TEST_CHILD").as_deref() != Ok(name) {
        return None;
    }
    let id = std::env::var("TWZ_TEST_OBJECT").unwrap().parse().unwrap();
    Some((std::env::var_os("TWZ_TEST_POOL").unwrap().into(), id))
}

/// Runs the test `name` of this binary as a child process.
pub fn start(name: &str, pool: &Path, id: ObjectId) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("TWZ_TEST_CHILD", name)
        .env("TWZ_TEST_POOL", pool)
        .env("TWZ_TEST_OBJECT", id.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts children, two at a time, and kills each in the middle of its work.
/// Returns how many were killed.
pub fn kill_some(name: &str, pool: PathBuf, id: ObjectId, rounds: u64) -> u64 {
    let mut rng = Rng(std::process::id() as u64 | 1);
    for _ in 0..rounds / 2 {
        let mut pair = [start(name, &pool, id), start(name, &pool, id)];
        for child in &mut pair {
            std::thread::sleep(Duration::from_micros(20_000 + rng.next() % 60_000));
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
                panic!("a child ended by itself: {status}\n{said}");
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    rounds
}
