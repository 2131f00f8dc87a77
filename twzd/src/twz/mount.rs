// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz mount` and `twz umount`: a pool as a file system. What it is like is in
//! `twzd/src/mount`; here is how the daemon is started.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::{Args, ValueHint};

use crate::{
    exit::{Exit, Fail, Outcome},
    fuse::{self, Cache, Options},
    json,
    session::Session,
};

/// What a daemon says once it serves.
const READY: &str = "mounted\n";

/// Show a pool as a file system, to every program
///
/// Its names are directories and files there, and an object's data is a file's bytes.
/// Files that programs make are objects, which 'twz ls' shows. A daemon serves it
/// until it is unmounted, or gets SIGTERM.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz mount /mnt
  twz --pool pool.img mount --read-only /mnt
  twz umount /mnt

A line of /etc/fstab, where mount.fuse.twz is in /sbin:
  /var/lib/pool.img  /mnt  fuse.twz  noatime,nofail  0 0")]
pub struct MountArgs {
    /// An empty directory
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Change nothing
    #[arg(long, short)]
    read_only: bool,
    /// Nobody else makes names in the pool meanwhile: what is not there need not be asked for
    ///
    /// The kernel relies for a minute on that a name is missing. In an image it does anyway.
    #[arg(long)]
    alone: bool,
    /// Stay in the foreground until it is unmounted
    #[arg(long, short)]
    foreground: bool,
    /// How the kernel gets at the bytes of files [default: passthrough in a directory
    /// pool, as root; else writeback]
    #[arg(long, value_enum)]
    cache: Option<Cache>,
    /// What is in the foreground is the daemon, whose parent reads its output
    #[arg(long, hide = true)]
    daemon: bool,
}

/// Take a pool away that 'twz mount' showed
///
/// Returns when everything is written and its daemon has ended.
#[derive(Args)]
#[command(after_help = "EXAMPLES\n  twz umount /mnt\n  twz umount --lazy /mnt")]
pub struct UmountArgs {
    /// Where it is mounted
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Though it is in use: it goes when nobody uses it any more
    #[arg(long, short)]
    lazy: bool,
}

impl MountArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let dir = fuse::mount_point(&self.dir)?;
        if !self.foreground && !self.daemon {
            return self.start(session, &dir);
        }
        let options =
            Options { dir, read_only: self.read_only, alone: self.alone, cache: self.cache };
        fuse::serve(session.open()?, &options, || {
            if self.daemon {
                let _ = part();
            }
        })?;
        Ok(Exit::Done)
    }

    /// Starts the daemon, and waits until it serves, or says why not.
    fn start(&self, session: &mut Session, dir: &Path) -> Outcome {
        let program = std::env::current_exe().map_err(Fail::file("find", Path::new("twz")))?;
        let pool = session.pool_path()?;
        let mut command = Command::new(program);
        // The daemon's directory is the root, so that it keeps no other from its place.
        let absolute = std::path::absolute(&pool).map_err(Fail::file("find", &pool))?;
        command.arg("--pool").arg(absolute).arg("mount").arg("--daemon");
        command.args(self.read_only.then_some("--read-only"));
        command.args(self.alone.then_some("--alone"));
        command.args(session.json().then_some("--json"));
        if let Some(cache) = self.cache {
            command.arg(format!("--cache={}", format!("{cache:?}").to_lowercase()));
        }
        command.arg("--").arg(dir).stdin(Stdio::null()).stdout(Stdio::piped());
        let started = Fail::file("start", Path::new("the daemon"));
        let mut child = command.current_dir("/").spawn().map_err(started)?;
        let mut said = String::new();
        if let Some(mut out) = child.stdout.take() {
            let mut some = [0; 64];
            while said != READY {
                match out.read(&mut some) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => said.push_str(&String::from_utf8_lossy(some.get(..n).unwrap_or(&[]))),
                }
            }
        }
        if said != READY {
            // It has said why on the standard error, which is ours; and as JSON on its output.
            session.raw().write_all(said.as_bytes()).map_err(Fail::stdout)?;
            let status = child.wait().map_err(Fail::file("wait for", Path::new("the daemon")))?;
            return Ok(ended(status.code()));
        }
        let document = json::Mounted {
            pool: pool.display().to_string(),
            dir: dir.display().to_string(),
            pid: child.id(),
        };
        let sentence = format!("{} is mounted at {}", pool.display(), dir.display());
        session.confirm(&document, &sentence)?;
        Ok(Exit::Done)
    }
}

/// How the daemon ended that could not serve.
fn ended(code: Option<i32>) -> Exit {
    let all = [
        Exit::Done,
        Exit::No,
        Exit::Usage,
        Exit::NotFound,
        Exit::Denied,
        Exit::NoSpace,
        Exit::Damaged,
    ];
    let same = all.into_iter().find(|exit| Some(*exit as i32) == code);
    same.filter(|exit| *exit != Exit::Done).unwrap_or(Exit::No)
}

/// Says that all is well, and leaves whoever started it.
fn part() -> nix::Result<()> {
    nix::unistd::setsid()?;
    let mut out = std::io::stdout();
    let _ = out.write_all(READY.as_bytes()).and_then(|()| out.flush());
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    if let Ok(null) = null {
        nix::unistd::dup2_stdout(&null)?;
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}

impl UmountArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = fuse::unmount(&self.dir, self.lazy)?.display().to_string();
        let dir = self.dir.display().to_string();
        let sentence = format!("{pool} is no longer mounted at {dir}");
        session.confirm(&json::Unmounted { pool, dir }, &sentence)?;
        Ok(Exit::Done)
    }
}
