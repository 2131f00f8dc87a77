// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of the preload library share: the library as it was built with them,
//! the C programs (`traps.c`, `parting.c`, `streams.c`), a directory that is in a prefix, and the
//! counters.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use tempfile::TempDir;

/// Where cargo put the test that runs: TARGET/PROFILE.
fn profile() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it is");
    own.ancestors().nth(2).expect("cargo keeps tests in a target directory").to_owned()
}

/// The library, built as the test was.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| built("twz-posix", "libtwz_posix.so"))
}

/// The command, built as the test was, or where `TWZ_BINARY` says that one is.
pub fn twz() -> &'static Path {
    static TWZ: OnceLock<PathBuf> = OnceLock::new();
    TWZ.get_or_init(|| {
        let given = std::env::var_os("TWZ_BINARY").map(PathBuf::from);
        given.unwrap_or_else(|| built("twzd", "twz"))
    })
}

/// What a package is built to.
fn built(package: &str, file: &str) -> PathBuf {
    let profile = profile();
    let target = profile.parent().expect("a profile lies in a target directory");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", package, "--target-dir"]).arg(target);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "it does not build: {build:?}");
    profile.join(file)
}

/// Compiles one of the C files beside this one, once for these arguments.
fn compiled(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let to = profile().join(format!("preload-{name}"));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&to);
    cc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).args(flags);
    let output = cc.output().expect("cc runs");
    assert!(output.status.success(), "{cc:?}\n{}", String::from_utf8_lossy(&output.stderr));
    to
}

/// The program of `traps.c`.
pub fn traps() -> &'static Path {
    static TRAPS: OnceLock<PathBuf> = OnceLock::new();
    TRAPS.get_or_init(|| compiled("traps.c", "traps", &["-pthread"]))
}

/// The same, with a system call instruction in it.
pub fn raw_traps() -> &'static Path {
    static TRAPS: OnceLock<PathBuf> = OnceLock::new();
    TRAPS.get_or_init(|| compiled("traps.c", "raw", &["-pthread", "-DRAW"]))
}

/// The same, with libc in it: nothing can be preloaded.
pub fn static_traps() -> &'static Path {
    static TRAPS: OnceLock<PathBuf> = OnceLock::new();
    TRAPS.get_or_init(|| compiled("traps.c", "static", &["-pthread", "-static"]))
}

/// Another library that is preloaded: it counts.
pub fn other() -> &'static Path {
    static OTHER: OnceLock<PathBuf> = OnceLock::new();
    OTHER.get_or_init(|| compiled("other.c", "other.so", &["-shared", "-fPIC"]))
}

/// The program of `parting.c`.
pub fn parting() -> &'static Path {
    static PARTING: OnceLock<PathBuf> = OnceLock::new();
    PARTING.get_or_init(|| compiled("parting.c", "parting", &["-pthread"]))
}

/// The program of `streams.c`.
pub fn streams() -> &'static Path {
    static STREAMS: OnceLock<PathBuf> = OnceLock::new();
    STREAMS.get_or_init(|| compiled("streams.c", "streams", &["-pthread"]))
}

/// One that stands before libc's `read`.
pub fn reader() -> &'static Path {
    static READER: OnceLock<PathBuf> = OnceLock::new();
    READER.get_or_init(|| compiled("other.c", "reader.so", &["-shared", "-fPIC", "-DREADS"]))
}

/// One that stands before libc's `open`, and has some of them take their time.
pub fn opener() -> &'static Path {
    static OPENER: OnceLock<PathBuf> = OnceLock::new();
    OPENER.get_or_init(|| compiled("other.c", "opener.so", &["-shared", "-fPIC", "-DOPENS"]))
}

/// A library with a system call instruction in it.
pub fn raw_library() -> &'static Path {
    static RAW: OnceLock<PathBuf> = OnceLock::new();
    RAW.get_or_init(|| compiled("raw.c", "raw.so", &["-shared", "-fPIC"]))
}

/// Says that a test could not be run, where `scripts/test.sh` looks; where nobody looks it
/// fails, so that none is ever counted as passed for this.
pub fn skip(why: &str) {
    let path = std::env::var_os("TWZ_SKIPS");
    let path = path.unwrap_or_else(|| panic!("{why}; set TWZ_SKIPS to a file for such tests"));
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| writeln!(file, "preload: {why}")).expect("a line is added");
}

/// What was counted, in the order of `libtwz/posix/src/stats.rs`.
#[derive(Debug)]
pub struct Counters(Vec<u64>);

impl Counters {
    /// Reads that were a copy.
    pub fn reads(&self) -> u64 {
        self.0[0]
    }

    /// Writes that were a copy.
    pub fn writes(&self) -> u64 {
        self.0[2]
    }

    /// Seeks without a call.
    pub fn seeks(&self) -> u64 {
        self.0[4]
    }

    /// Copies that faulted.
    pub fn fixed_up(&self) -> u64 {
        self.0[8]
    }

    /// Processes that stood aside.
    pub fn stood_aside(&self) -> u64 {
        self.0[9]
    }

    /// Reads and writes of libc's own that were a copy.
    pub fn libcs(&self) -> u64 {
        self.0[10]
    }

    /// Their bytes.
    pub fn libcs_bytes(&self) -> u64 {
        self.0[11]
    }

    /// Processes in which libc's own calls came to the library, and in which they did not.
    pub fn redirected(&self) -> (u64, u64) {
        (self.0[12], self.0[13])
    }
}

/// A directory in a prefix, and one that is not, on tmpfs or where temporary files are.
pub struct World {
    home: TempDir,
}

impl World {
    /// One on each file system that there is to be had.
    pub fn each() -> impl Iterator<Item = Self> {
        let homes =
            [Some(std::env::temp_dir()), Path::new("/dev/shm").is_dir().then(|| "/dev/shm".into())];
        homes.into_iter().flatten().map(|home| Self::beneath(&home))
    }

    /// One in this directory.
    pub fn beneath(home: &Path) -> Self {
        let home = tempfile::Builder::new().prefix("twz-preload-").tempdir_in(home);
        let world = Self { home: home.expect("a temporary directory") };
        fs::create_dir(world.names()).expect("a directory");
        fs::write(world.stats(), [0; 4096]).expect("a file");
        world
    }

    /// What is in the prefix.
    pub fn names(&self) -> PathBuf {
        self.home.path().join("names")
    }

    /// What is beside it.
    pub fn outside(&self) -> &Path {
        self.home.path()
    }

    /// Where lists of call sites are kept, in `twz` there.
    pub fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    fn stats(&self) -> PathBuf {
        self.home.path().join("stats")
    }

    /// A program, with these libraries preloaded.
    pub fn command(&self, program: &Path, preload: &str) -> Command {
        let mut command = Command::new(program);
        let names = self.names().canonicalize().expect("it is there");
        command.env("LD_PRELOAD", preload).env("TWZ_POSIX", names);
        command.env("TWZ_POSIX_STATS", self.stats()).env("XDG_CACHE_HOME", self.cache());
        command
    }

    /// Has a part run with the library; it has to end well.
    #[track_caller]
    pub fn part(&self, part: &str, argument: &str) -> Counters {
        self.part_of(traps(), part, argument)
    }

    /// The same of another program.
    #[track_caller]
    pub fn part_of(&self, program: &Path, part: &str, argument: &str) -> Counters {
        let mut command = self.command(program, &library().display().to_string());
        let output = command.arg(part).arg(self.names()).arg(argument).output().expect("it runs");
        self.ended(&output);
        self.counters()
    }

    /// It ended well.
    #[track_caller]
    pub fn ended(&self, output: &Output) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} in {:?}: {said}", output.status, self.home);
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let bytes = fs::read(self.stats()).expect("it was made");
        let words = bytes[..112].chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().unwrap()));
        Counters(words.collect())
    }
}
