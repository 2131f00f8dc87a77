// SPDX-License-Identifier: MIT OR Apache-2.0
//! What serves a directory to programs: nobody (a directory of the file system), the
//! `names/` of a pool, the same with the preload library, or a mount of such a pool or of
//! one that is an image.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tempfile::TempDir;
use twz::{EmbeddedPool, InitOptions};

use crate::{Arguments, copied::Copied, room::Room};

/// The layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// An ordinary directory, to compare with.
    Native,
    /// The directory `names/` of a pool.
    Names,
    /// The same, for programs started by `twz run`.
    Run,
    /// A directory pool that `twz mount` serves.
    Mount,
    /// A pool in an image that `twz mount` serves.
    Image,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Names => "names",
            Self::Run => "run",
            Self::Mount => "mount",
            Self::Image => "image",
        }
    }

    /// Why it cannot be had here.
    pub fn lacks(self) -> Option<&'static str> {
        let mounted = matches!(self, Self::Mount | Self::Image);
        (mounted && !Path::new("/dev/fuse").exists()).then_some("there is no /dev/fuse")
    }
}

/// How large an image may become: what no job writes.
const IMAGE: &str = "8G";

/// A layer, ready to make rooms.
pub struct Layer {
    kind: Kind,
    on: PathBuf,
    tools: PathBuf,
    pub twz: PathBuf,
}

impl Layer {
    pub fn new(kind: Kind, arguments: &Arguments) -> Result<Self, String> {
        let at = |path: &Path| {
            path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(Self {
            kind,
            on: at(&arguments.on)?,
            tools: at(&arguments.tools)?,
            twz: at(&arguments.twz)?,
        })
    }

    /// A fresh directory to work in, with all that serves it.
    pub fn room(&self) -> Result<Room, String> {
        let temp = TempDir::with_prefix_in("twz-posix-", &self.on)
            .map_err(|error| format!("{}: {error}", self.on.display()))?;
        // Programs run as other users, too.
        let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755));
        open(temp.path()).map_err(|error| error.to_string())?;
        let pool = temp.path().join("pool");
        match self.kind {
            Kind::Native => {}
            Kind::Image => self.image(&pool)?,
            Kind::Names | Kind::Run | Kind::Mount => {
                EmbeddedPool::init(&pool, &InitOptions::default())
                    .map_err(|error| error.to_string())?;
            }
        }
        let (dir, mount) = match self.kind {
            Kind::Native => (temp.path().join("room"), None),
            Kind::Names | Kind::Run => (pool.join("names/room"), None),
            Kind::Mount | Kind::Image => {
                let at = temp.path().join("mount");
                let mount = Mount::new(&self.twz, &pool, at.clone())?;
                (at.join("room"), Some(mount))
            }
        };
        fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let prefix = match self.kind {
            Kind::Run => vec![self.twz.clone().into(), "run".into(), "--".into()],
            _ => Vec::new(),
        };
        let pool = (self.kind != Kind::Native).then_some(pool);
        let room = Room::new(temp, dir, pool, prefix, self.tools.clone(), mount);
        if self.kind == Kind::Run {
            Copied::make(&room.counters()).map_err(|error| error.to_string())?;
        }
        Ok(room)
    }

    fn image(&self, pool: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.twz);
        command.arg("--pool").arg(pool).args(["pool", "init", "--image", "--size", IMAGE]);
        let output = command.output().map_err(|error| format!("twz pool init: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// A running `twz mount`, unmounted when it is dropped.
pub struct Mount {
    twz: PathBuf,
    at: PathBuf,
    daemon: Child,
}

impl Mount {
    fn new(twz: &Path, pool: &Path, at: PathBuf) -> Result<Self, String> {
        fs::create_dir(&at).map_err(|error| error.to_string())?;
        let mut command = Command::new(twz);
        command.arg("--pool").arg(pool).arg("mount").arg(&at);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let daemon = command.spawn().map_err(|error| format!("twz mount: {error}"))?;
        let mut mount = Self { twz: twz.into(), at, daemon };
        // As long as it takes, and it lives.
        while !mount.is_mounted() {
            if let Ok(Some(status)) = mount.daemon.try_wait()
                && !mount.is_mounted()
                && !status.success()
            {
                return Err(format!("twz mount ended: {status}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(mount)
    }

    fn is_mounted(&self) -> bool {
        let place = format!(" {} ", self.at.display());
        fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| mounts.contains(&place))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let tried = |program: &Path, option: &str| {
            let mut command = Command::new(program);
            let status = command.arg(option).arg(&self.at).stdout(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        // What programs left running may be in it for a while.
        let left = Instant::now() + Duration::from_secs(30);
        while !tried(&self.twz, "umount") {
            if Instant::now() > left {
                tried(Path::new("umount"), "-l");
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        if self.is_mounted() {
            let _ = self.daemon.kill();
        }
        let _ = self.daemon.wait();
    }
}
