// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool of its own for each test, and the command run on it.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

/// The command, built as this test was. `cargo test` does not build another
/// package's command by itself, and one that lies there may be old.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("a test knows where it is");
        // TARGET/PROFILE/deps/cli-HASH
        let profile = own.ancestors().nth(2).expect("cargo keeps tests in a target directory");
        let target = profile.parent().expect("a profile lies in a target directory");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "twzd", "--target-dir"]).arg(target);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.status().expect("cargo runs");
        assert!(built.success(), "twz does not build: {build:?}");
        profile.join("twz")
    })
}

/// A directory that goes away, and the pool in it.
pub struct World {
    dir: TempDir,
    pool: PathBuf,
}

impl World {
    /// With a pool directory in it.
    pub fn new() -> Self {
        let world = Self::empty();
        world.run(["pool", "init"]).ok();
        world
    }

    /// With a pool image in it.
    pub fn image(size: &str) -> Self {
        let mut world = Self::empty();
        world.pool = world.path("pool.img");
        world.run(["pool", "init", "--image", "--size", size]).ok();
        world
    }

    /// With no pool in it.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let pool = dir.path().join("pool");
        Self { dir, pool }
    }

    /// The pool's path.
    pub fn pool(&self) -> &Path {
        &self.pool
    }

    /// A path beside the pool.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file beside the pool.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a temporary file can be written");
        path
    }

    /// The command, on this pool, about to be run.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        for unwanted in ["NO_COLOR", "XDG_DATA_HOME", "TWZ_BACKEND", "CLICOLOR_FORCE"] {
            command.env_remove(unwanted);
        }
        command.env("TWZ_POOL", &self.pool).env("HOME", self.dir.path());
        command.current_dir(self.dir.path()).args(args);
        command
    }

    /// Runs the command.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.feed(args, b"")
    }

    /// Runs the command with bytes on its standard input.
    pub fn feed<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("twz runs");
        let mut stdin = child.stdin.take().expect("it has an input");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A command that does not read its input is no failure.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().expect("twz ends")
        });
        Run { what: format!("{command:?}"), output }
    }

    /// Makes an object and returns its id.
    pub fn object(&self, name: &str, bytes: &[u8]) -> String {
        self.feed(["new", "--from", "-", "--name", name], bytes).ok().trim().into()
    }

    /// What a command answers with `--json`.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let mut command = self.command(args);
        let output = command.arg("--json").output().expect("twz runs");
        Run { what: format!("{command:?}"), output }.json()
    }
}

/// What came of running the command.
pub struct Run {
    pub what: String,
    pub output: Output,
}

impl Run {
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// It ended well, and said this.
    #[track_caller]
    pub fn ok(&self) -> String {
        self.ends(0)
    }

    /// It ended with this code, and said this on its standard output.
    #[track_caller]
    pub fn ends(&self, code: i32) -> String {
        let (what, out, err) = (&self.what, self.stdout(), self.stderr());
        assert_eq!(self.code(), code, "{what}\nstdout: {out}\nstderr: {err}");
        out
    }

    /// It failed with this code, and its complaint holds all of these words: what
    /// is wrong, and what to do.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) {
        self.ends(code);
        let err = self.stderr();
        for word in words {
            assert!(err.contains(word), "{}\nno '{word}' in: {err}", self.what);
        }
        assert!(!err.contains("panicked"), "{err}");
    }

    /// The JSON document on its standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        let out = self.stdout();
        serde_json::from_str(&out).unwrap_or_else(|error| {
            panic!("{}: {error}\nstdout: {out}\nstderr: {}", self.what, self.stderr())
        })
    }
}
