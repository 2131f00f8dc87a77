// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fresh directory for one job, and how programs are started in it.

use std::{
    cell::Cell,
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{copied::Copied, layer::Mount};

/// Seconds after which a program hangs, and does not just take its time.
const HUNG: &str = "1800";

/// Where a job works. Gone with everything in it when dropped.
pub struct Room {
    // Dropped in this order: nothing can be removed below a mount.
    mount: Option<Mount>,
    temp: TempDir,
    dir: PathBuf,
    pool: Option<PathBuf>,
    prefix: Vec<OsString>,
    tools: PathBuf,
    /// Whether the directory was given to the user who is not root.
    is_theirs: Cell<bool>,
}

impl Room {
    pub fn new(
        temp: TempDir,
        dir: PathBuf,
        pool: Option<PathBuf>,
        prefix: Vec<OsString>,
        tools: PathBuf,
        mount: Option<Mount>,
    ) -> Self {
        Self { mount, temp, dir, pool, prefix, tools, is_theirs: Cell::new(false) }
    }

    /// The served directory: the current one of every program.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The pool that its files are objects of.
    pub fn pool(&self) -> Option<&Path> {
        self.pool.as_deref()
    }

    /// Where the layer's programs count what they copied, if that is what it does.
    pub fn counters(&self) -> PathBuf {
        self.aside("copied")
    }

    /// What they counted so far.
    pub fn copied(&self) -> Option<Copied> {
        Copied::read(&self.counters()).ok()
    }

    /// Ends what serves the directory: all that was written is in the pool then.
    pub fn settle(&mut self) {
        self.mount = None;
    }

    /// A place that is not served, for logs, sockets and configurations.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A directory that is not served, where that user may write.
    pub fn aside_for_user(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.aside(name);
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o777)))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// A program, or a file, that came with the suites.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools.join(name)
    }

    /// Runs a program as the layer has it, and gives what it said.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, String> {
        let log = self.aside("log");
        let output = File::create(&log).map_err(|error| error.to_string())?;
        let also = output.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", HUNG]).args(&self.prefix).arg(program).args(arguments);
        command.current_dir(&self.dir).stdin(Stdio::null()).stdout(output).stderr(also);
        self.environment(&mut command);
        let status = command.status().map_err(|error| format!("timeout: {error}"))?;
        let said = fs::read(&log).map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&said).into_owned();
        match status.success() {
            true => Ok(said),
            false => Err(format!("{status}\n{said}")),
        }
    }

    /// The same, run as a user who is not root, and whose directory it is then.
    pub fn run_as_user<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, String> {
        if !nix::unistd::geteuid().is_root() {
            return self.run(program, arguments);
        }
        if !self.is_theirs.replace(true) {
            self.run("chown", ["nobody:nogroup".as_ref(), self.dir.as_os_str()])?;
        }
        let user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"];
        let mut words: Vec<OsString> = user.map(Into::into).into();
        words.push(program.as_ref().into());
        words.extend(arguments.into_iter().map(|word| word.as_ref().into()));
        self.run("setpriv", words)
    }

    /// Debian's programs, and nothing of who runs the tests.
    fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.dir)
            .env("TMPDIR", &self.dir)
            .env("ASIDE", self.temp.path())
            .env("TOOLS", &self.tools);
        if let Some(pool) = &self.pool {
            command.env("TWZ_POOL", pool);
        }
        if self.counters().exists() {
            command.env("TWZ_POSIX_STATS", self.counters());
        }
    }
}
