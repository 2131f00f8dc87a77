// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the bench `posix` works, and with what: a [`Place`] on tmpfs and one on a disk's page
//! cache, and [`Tools`], built as they are now.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{error::Failed, machine};

/// Names the directory of the second file system, where none is to be looked for.
const DISK: &str = "TWZ_BENCH_DISK";

/// A directory of our own on a file system.
pub struct Place {
    /// The file system's type, and the name of the peer.
    pub kind: &'static str,
    dir: TempDir,
}

impl Place {
    pub fn in_memory() -> Result<Self, Failed> {
        Ok(Self { kind: "tmpfs", dir: machine::scratch()? })
    }

    /// On ext4 or xfs: where `TWZ_BENCH_DISK` says, or else where there is one.
    pub fn on_disk() -> Result<Self, String> {
        let given = std::env::var_os(DISK).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let tried = match given {
            Some(dir) => vec![dir],
            None => vec![std::env::temp_dir(), "/var/tmp".into(), "target".into()],
        };
        let found = tried.iter().find_map(|dir| Some((dir, kind_of(dir)?)));
        let Some((dir, kind)) = found else {
            return Err(format!("neither ext4 nor xfs at {tried:?}; {DISK} names a directory"));
        };
        let made = tempfile::Builder::new().prefix("twz-bench-").tempdir_in(dir);
        let dir = made.map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self { kind, dir })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A directory below, made if it is not there.
    pub fn below(&self, name: &str) -> Result<PathBuf, Failed> {
        let dir = self.path().join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// Which of the two a directory is on: what is mounted nearest above it.
fn kind_of(dir: &Path) -> Option<&'static str> {
    let dir = fs::canonicalize(dir).ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let places = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    // Of two at one place the later one is on top.
    let above = places.filter(|(place, _)| dir.starts_with(place));
    let (_, kind) = above.max_by_key(|(place, _)| place.len())?;
    ["ext4", "xfs"].into_iter().find(|known| *known == kind)
}

/// Whether this process can mount a pool.
pub fn mountable() -> Result<(), String> {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.map_err(|error| format!("/dev/fuse: {error}"))?;
    match Command::new("unshare").args(["-m", "true"]).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("no right to mount".into()),
    }
}

/// The programs.
pub struct Tools {
    /// The preload library.
    pub library: PathBuf,
    /// The command `twz`.
    pub twz: PathBuf,
    /// `ops.c`, compiled.
    pub ops: PathBuf,
    /// SQLite's measure of speed, or why there is none.
    pub speedtest1: Result<PathBuf, String>,
    _dir: TempDir,
}

impl Tools {
    pub fn build() -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let release = built()?;
        Ok(Self {
            library: release.join("libtwz_posix.so"),
            twz: release.join("twz"),
            ops: compiled(dir.path())?,
            speedtest1: speedtest1(),
            _dir: dir,
        })
    }
}

/// The library and the command as they are now, built as this was: where they are.
fn built() -> Result<PathBuf, Failed> {
    let own = std::env::current_exe()?;
    let profile = own.ancestors().find(|dir| dir.join("deps").is_dir());
    let (Some(profile), Some(target)) = (profile, profile.and_then(Path::parent)) else {
        return Err(Failed::new("not where cargo builds"));
    };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "twz-posix", "-p", "twzd", "--target-dir"]).arg(target);
    build.args(profile.ends_with("release").then_some("--release"));
    match build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success() {
        true => Ok(profile.into()),
        false => Err(Failed::new("the preload library or the command does not build")),
    }
}

fn compiled(to: &Path) -> Result<PathBuf, Failed> {
    let program = to.join("ops");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/posix/ops.c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source);
    match cc.status()?.success() {
        true => Ok(program),
        false => Err(Failed::new("ops.c does not compile")),
    }
}

/// Debian's source of SQLite has it; the recipe of that name builds it once.
fn speedtest1() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/posix-tools.sh");
    let output = Command::new(script).arg("speedtest1").env("CARGO", env!("CARGO")).output();
    let output = output.map_err(|error| format!("posix-tools.sh: {error}"))?;
    let folder = String::from_utf8_lossy(&output.stdout);
    let program = Path::new(folder.trim()).join("speedtest1");
    match output.status.success() && program.exists() {
        true => Ok(program),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().last().unwrap_or("posix-tools.sh does not make it").to_owned())
        }
    }
}
