// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool of its own for each test, mounted on a directory that goes away.

use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use twz_tests::{on_kernel, skip};

/// What a test is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Directory,
    Image,
    Kernel,
}

/// The kinds of pool there are here.
pub fn homes() -> &'static [Home] {
    if on_kernel() { &[Home::Kernel] } else { &[Home::Directory, Home::Image] }
}

/// Whether anything can be mounted here; if not, the test is skipped.
pub fn mountable(test: &str) -> bool {
    let why = match File::options().read(true).write(true).open("/dev/fuse") {
        Err(error) => format!("/dev/fuse: {error}"),
        Ok(_) if !nix::unistd::geteuid().is_root() => "only root mounts for all".into(),
        // A container may have the device, and not the right to mount.
        Ok(_) if may_mount() => return true,
        Ok(_) => "no right to mount".into(),
    };
    skip(test, &why);
    false
}

/// Whether this process has the capability (CAP_SYS_ADMIN). It is looked up, not tried: a
/// namespace made for a try would hold the mounts of other tests.
fn may_mount() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok())
        .is_some_and(|held| held & 1 << 21 != 0)
}

/// Waits for what has to become so.
#[track_caller]
pub fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An image that is mounted, for a test that is about nothing else.
pub fn image(test: &str) -> Option<Place> {
    (mountable(test) && homes().contains(&Home::Image)).then(|| Place::mounted(Home::Image))
}

/// Runs a test on each kind of pool, which is whole afterwards.
pub fn everywhere(test: &str, act: impl Fn(&Place)) {
    if !mountable(test) {
        return;
    }
    for &home in homes() {
        let place = Place::mounted(home);
        act(&place);
        place.unmount();
        place.check();
    }
}

/// Tells a process, and waits until it has ended, with all of its threads.
#[track_caller]
pub fn end(process: Pid, signal: Signal) {
    kill(process, signal).expect("told");
    let process = PathBuf::from(format!("/proc/{process}"));
    let ended = |stat: String| stat.contains(") Z ");
    let threads = || std::fs::read_dir(process.join("task")).map_or(0, Iterator::count);
    until("it ends", || {
        std::fs::read_to_string(process.join("stat")).map_or(true, ended) && threads() <= 1
    });
}

/// Whether a program is here; if not, the test is skipped.
pub fn has(test: &str, programs: &[&str]) -> bool {
    for program in programs {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()));
        if !found {
            skip(test, &format!("there is no {program}"));
            return false;
        }
    }
    true
}

/// The command: `TWZ_COMMAND_PATH`, or the one that was built as this test was.
pub fn binary() -> PathBuf {
    match std::env::var_os("TWZ_COMMAND_PATH") {
        Some(path) => path.into(),
        None => crate::world::binary().into(),
    }
}

/// A pool, and a directory to mount it at.
pub struct Place {
    dir: TempDir,
    pool: PathBuf,
    pub home: Home,
}

impl Place {
    /// With a pool that is not mounted.
    pub fn new(home: Home) -> Self {
        let parent = if Path::new("/dev/shm").exists() { "/dev/shm" } else { "/tmp" };
        let dir = tempfile::tempdir_in(parent).expect("a temporary directory");
        // Some tests act as another user.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("chmod");
        let pool = match home {
            Home::Kernel => twz::kernel::device(),
            _ => dir.path().join("pool"),
        };
        let place = Self { dir, pool, home };
        std::fs::create_dir(place.dir()).expect("a directory to mount at");
        match home {
            Home::Directory => drop(place.twz(&["pool", "init"])),
            Home::Image => drop(place.twz(&["pool", "init", "--image", "--size", "256M"])),
            // Emptied, as for every test there.
            Home::Kernel => drop(twz_tests::TempPool::new()),
        }
        place
    }

    /// With a pool that is mounted.
    pub fn mounted(home: Home) -> Self {
        let place = Self::new(home);
        place.mount();
        place
    }

    pub fn mount(&self) {
        self.twz(&["mount", self.dir().to_str().expect("UTF-8")]);
    }

    /// Which succeeds as soon as nothing in it is open. What a test has closed may be open
    /// in a child of another one, which is about to become its program.
    #[track_caller]
    pub fn unmount(&self) {
        let dir = self.dir();
        let args = ["umount", dir.to_str().expect("UTF-8")];
        until("nothing is open in the mount", || {
            let output = self.command(&args).output().expect("twz runs");
            let (out, err) = text(&output);
            let busy = err.contains("is in use");
            assert!(output.status.success() || busy, "twz {args:?}: {out}{err}");
            !busy
        });
    }

    /// Unmounts it, and mounts it again: nothing but the pool remembers.
    pub fn again(&self) {
        self.unmount();
        self.mount();
    }

    /// Where it is mounted.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// A path in the mount.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir().join(path)
    }

    /// A path beside the mount.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn pool(&self) -> &Path {
        &self.pool
    }

    /// The process that serves the mount.
    pub fn server(&self) -> Pid {
        let text = std::fs::read_link(self.at(".mount")).expect("the link to the server");
        let pid = text.to_str().and_then(|pid| pid.parse().ok()).expect("a process id");
        Pid::from_raw(pid)
    }

    /// The command on this pool, about to be run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.env_remove("TWZ_BACKEND").env("HOME", self.dir.path());
        command.arg("--pool").arg(&self.pool).args(args).stdin(Stdio::null());
        command
    }

    /// Runs the command, which does what it is to do.
    #[track_caller]
    pub fn twz(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("twz runs");
        let (out, err) = text(&output);
        assert!(output.status.success(), "twz {args:?}: {out}{err}");
        out
    }

    /// Runs the command, which does not; says with which code, and what it said.
    #[track_caller]
    pub fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.command(args).output().expect("twz runs");
        let (_, err) = text(&output);
        assert!(!output.status.success(), "twz {args:?} is to fail");
        (output.status.code().unwrap_or(-1), err)
    }

    /// The pool, where it can be checked from outside, is whole.
    #[track_caller]
    pub fn check(&self) {
        // Of files that the kernel wrote to itself the check may say that they are longer
        // than their records have it. That is how a directory pool works.
        self.has_no_errors(self.home == Home::Directory);
    }

    /// The same, of a pool whose daemon was killed: an image may have a change in its
    /// journal that is finished by the next who opens it.
    #[track_caller]
    pub fn check_unfinished(&self) {
        self.has_no_errors(true);
    }

    #[track_caller]
    fn has_no_errors(&self, but_warnings: bool) {
        if self.home == Home::Kernel {
            return;
        }
        let output = self.command(&["pool", "check"]).output().expect("twz runs");
        let (out, err) = text(&output);
        let warned = but_warnings && out.contains(" checked: 0 errors and ");
        assert!(out.contains("nothing is wrong") || warned, "{out}{err}");
    }

    /// Runs a script in the mount, which ends well.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).current_dir(self.dir()).stdin(Stdio::null());
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            shell.env(name, "a").env(name.replace("NAME", "EMAIL"), "a@example.org");
        }
        shell.env("HOME", self.dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        let output = shell.output().expect("sh runs");
        let (out, err) = text(&output);
        assert!(output.status.success(), "on {:?}: {script}\n{out}{err}", self.home);
        out
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whatever the test has left of it; one that is not mounted is no failure.
        let _ = self.command(&["umount", "--lazy"]).arg(self.dir()).output();
    }
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Which error a call ended with.
#[track_caller]
pub fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.expect_err("it is to fail").raw_os_error().expect("an error of the system")
}
