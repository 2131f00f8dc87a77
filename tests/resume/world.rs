// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool, the daemon on it, and the real programs.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// A program of another package, built as this test was: cargo does not do it by
/// itself.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let profile = BUILT.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        // TARGET/PROFILE/deps/resume-HASH
        let profile = own.ancestors().nth(2).unwrap().to_path_buf();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "twzd", "-p", "twz-examples", "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{build:?}");
        profile
    });
    profile.join(name)
}

/// A directory that goes away, and the pool in it.
pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.twz(&["pool", "init", "--quiet"]);
        world
    }

    /// A path beside the pool.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn pool(&self) -> PathBuf {
        self.path("pool")
    }

    /// A program, about to be run on this pool.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for unwanted in ["TWZ_BACKEND", "TWZ_PERSIST", "NOTIFY_SOCKET", "NO_COLOR"] {
            command.env_remove(unwanted);
        }
        command.env("TWZ_POOL", self.pool()).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs the command `twz`, which must succeed.
    pub fn twz(&self, args: &[&str]) -> String {
        let output = self.command(&program("twz")).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "twz {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A thread, as `twz threads show` says it is.
    pub fn thread(&self, name: &str) -> Value {
        serde_json::from_str(&self.twz(&["threads", "show", name, "--json"])).unwrap()
    }

    /// Starts the daemon. What the programs print is added to the file `out`, and
    /// what it says itself to the file `log`.
    pub fn daemon(&self, args: &[&str]) -> Daemon<'_> {
        let append = |name: &str| -> File {
            OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap()
        };
        let mut command = self.command(&program("twzd"));
        command.args(["--backoff", "5", "--rescan", "20"]).args(args);
        let child = command.stdout(append("out")).stderr(append("log")).spawn().unwrap();
        Daemon { child, world: self }
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a file has this text.
    #[track_caller]
    pub fn wait_for(&self, name: &str, text: &str) {
        until(
            || self.read(name).contains(text),
            || format!("'{text}' never came in {name}: {}", self.read(name)),
        );
    }

    /// The process of a thread, as the daemon last told it.
    pub fn process_of(&self, thread: &str) -> Option<Pid> {
        let log = self.read("log");
        let begins = format!("twzd: {thread}: ");
        let told = log.lines().rev().filter_map(|line| line.strip_prefix(&begins));
        let pid = told.filter_map(|line| line.split_once("as process ")).next()?.1;
        Some(Pid::from_raw(pid.parse().unwrap()))
    }
}

/// Waits for something that takes a moment.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool, why: impl Fn() -> String) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", why());
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running daemon. Dropped, it is told to stop, and its programs with it.
pub struct Daemon<'a> {
    child: Child,
    world: &'a World,
}

impl Daemon<'_> {
    /// Kills it, and nothing that it has started.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop, once it listens, and waits until it has; whether it says that
    /// all is well.
    pub fn stop(mut self) -> bool {
        until(|| self.listens(), || "twzd never came to wait for signals".into());
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap().success()
    }

    /// Waits until it ends by itself; whether it says that all is well.
    pub fn wait(mut self) -> bool {
        let mut ended = None;
        until(
            || {
                ended = self.child.try_wait().unwrap();
                ended.is_some()
            },
            || format!("twzd --once goes on: {}", self.world.read("log")),
        );
        ended.unwrap().success()
    }

    /// Whether signals no longer end it: it blocks them first of all, to read them.
    fn listens(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        blocked.is_some_and(|mask| mask >> (Signal::SIGTERM as u32 - 1) & 1 == 1)
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

/// Numbers that are hard to foresee, from a seed that is printed.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = std::env::var("TWZ_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(now.as_nanos() as u64);
        println!("TWZ_SEED={seed}");
        Self(seed)
    }

    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }
}
