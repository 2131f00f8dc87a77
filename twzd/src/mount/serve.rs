// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounting, serving until somebody unmounts or a signal says so, and what
//! `twz umount` does from outside.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use fuser::{Config, MountOption, Session, SessionACL};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use twz::Backend;

use super::{Fs, HIDDEN, calls::Calls, seek::Seeker};
use crate::exit::{Fail, Outcome};

const DEVICE: &str = "/dev/fuse";
/// The type that `mount` and `findmnt` show.
pub const TYPE: &str = "fuse.twz";

/// How long whoever served a mount may take to write what it has.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the kernel gets at the bytes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cache {
    /// The kernel reads and writes the objects' own files: a directory pool, as root
    Passthrough,
    /// The kernel caches, and writes when it is time
    Writeback,
    /// The kernel caches what is read, and writes at once
    Through,
}

/// How to mount.
pub struct Options {
    pub dir: PathBuf,
    pub read_only: bool,
    /// Nobody else makes names in the pool meanwhile.
    pub alone: bool,
    /// `None` chooses what is fastest here.
    pub cache: Option<Cache>,
}

/// Mounts a pool, says so, and serves it until it is unmounted.
pub fn serve(pool: Box<dyn Backend>, options: &Options, ready: impl FnOnce()) -> Outcome<()> {
    let root = nix::unistd::geteuid().is_root();
    let info = pool.info()?;
    let cache = options.cache.unwrap_or(match root && info.home == "directory" {
        true => Cache::Passthrough,
        false => Cache::Writeback,
    });
    // An image is nobody else's meanwhile.
    let image = info.home == "image";
    let valid = Duration::from_secs(if image { 60 } else { 1 });
    let absent = (image || options.alone).then_some(Duration::from_secs(60));
    let fs = Arc::new(Mutex::new(Fs::new(pool, options.read_only)?));

    open_many();
    // Before there are threads, so that none of them is who gets the signal.
    let stop = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    let signals = stop
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&stop, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK));
    let signals = signals.map_err(|error| cannot("wait for signals", error.into()))?;

    let notifier = Arc::new(OnceLock::new());
    let seeker = Seeker::start(Arc::clone(&fs), Arc::clone(&notifier))
        .map_err(|error| cannot("start a thread", error))?;
    let calls = Calls {
        fs: Arc::clone(&fs),
        cache,
        valid,
        absent,
        notifier: Arc::clone(&notifier),
        seeker,
    };
    let session = attach(calls, options, &info.path, root)?;
    let _ = notifier.set(session.notifier());
    let (here, there) = UnixStream::pair().map_err(|error| cannot("serve", error))?;
    let thread = std::thread::spawn(move || {
        let done = session.run();
        drop(there);
        done
    });
    ready();
    wait(&fs, &signals, &here, &options.dir);
    let done = thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
    done.map_err(|error| cannot("serve", error))?;
    let mut fs = fs.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(fs.sync()?)
}

/// Each file that a program has open the daemon has, too: as many as it may.
fn open_many() {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let most = fs::read_to_string("/proc/sys/fs/nr_open");
    let most = most.ok().and_then(|most| most.trim().parse().ok()).unwrap_or(hard);
    if setrlimit(Resource::RLIMIT_NOFILE, most, most).is_err() {
        // Only with rights that not even root has everywhere.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn cannot(what: &str, error: io::Error) -> Fail {
    Fail::file(what, Path::new("the mount"))(error)
}

/// Mounts. Root does so itself; anybody else has fusermount3 do it.
fn attach(calls: Calls, options: &Options, pool: &Path, root: bool) -> Outcome<Session<Calls>> {
    let dir = &options.dir;
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT) if !root => Fail::no(
            "cannot mount without root and without fusermount3",
            "install the package fuse3, or mount as root",
        ),
        _ => Fail::file("mount the pool at", dir)(error),
    };
    // The helper has no more right to the device than who calls it.
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    let device = device.map_err(Fail::file("open", Path::new(DEVICE)))?;
    if !root {
        drop(device);
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(pool.display().to_string()),
            MountOption::Subtype("twz".into()),
            MountOption::DefaultPermissions,
            MountOption::NoSuid,
            MountOption::NoDev,
        ];
        if options.read_only {
            config.mount_options.push(MountOption::RO);
        }
        return Session::new(calls, dir, &config).map_err(refused);
    }
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
        device.as_raw_fd()
    );
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if options.read_only {
        flags |= MsFlags::MS_RDONLY;
    }
    mount(Some(pool), dir, Some(TYPE), flags, Some(data.as_str()))
        .map_err(|error| refused(error.into()))?;
    Session::from_fd(calls, device.into(), SessionACL::All, Config::default()).map_err(|error| {
        let _ = umount2(dir, MntFlags::MNT_DETACH);
        refused(error)
    })
}

/// Until the session is over. The first signal takes the mount away from its place,
/// and it goes when nobody uses it any more; the second ends that.
fn wait(fs: &Mutex<Fs>, signals: &SignalFd, over: &UnixStream, dir: &Path) {
    let mut told = false;
    loop {
        let mut fds = [
            PollFd::new(over.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::from(5000u16)) {
            Ok(0) => {
                let _ = fs.lock().unwrap_or_else(PoisonError::into_inner).flush();
                continue;
            }
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [ended, signal] = fds.map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
        if ended {
            return;
        }
        if signal && matches!(signals.read_signal(), Ok(Some(_))) {
            if told || detach(dir, true).is_err() {
                let _ = fs.lock().unwrap_or_else(PoisonError::into_inner).sync();
                std::process::exit(1);
            }
            told = true;
        }
    }
}

/// Takes a mount away; `lazily`, though it is in use.
fn detach(dir: &Path, lazily: bool) -> io::Result<()> {
    let flags = if lazily { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    match umount2(dir, flags | MntFlags::UMOUNT_NOFOLLOW) {
        Err(nix::errno::Errno::EPERM) => {
            let mut helper = Command::new("fusermount3");
            helper.arg("-u").args(lazily.then_some("-z")).arg("--").arg(dir);
            match helper.status()?.success() {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::EBUSY)),
            }
        }
        other => Ok(other?),
    }
}

/// What is mounted at a directory, uppermost: its type and its source.
fn mounted(dir: &Path) -> Option<(String, String)> {
    let all = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let wanted = dir.to_str()?;
    all.lines().rev().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let place = unescape(before.split(' ').nth(4)?);
        let mut after = after.split(' ');
        (place == wanted).then(|| Some((after.next()?.into(), unescape(after.next()?))))?
    })
}

/// A path as mountinfo writes it: what would part it is in octal.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match byte {
            Some(byte) => {
                out.push(byte as char);
                out.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

/// The directory to mount at, if it can be one: empty, and nothing on it.
pub fn mount_point(dir: &Path) -> Outcome<PathBuf> {
    if !Path::new(DEVICE).exists() {
        return Err(Fail::unsupported(
            format!("there is no {DEVICE}"),
            "load the module ('modprobe fuse'); a container has to be given the device",
        ));
    }
    let lost = |error: &io::Error| error.raw_os_error() == Some(libc::ENOTCONN);
    let absolute = match fs::canonicalize(dir) {
        Err(error) if lost(&error) => return Err(dead(dir)),
        other => other.map_err(Fail::file("mount at", dir))?,
    };
    if let Some((kind, source)) = mounted(&absolute) {
        // What stat(2) says may be in the kernel's cache.
        if fs::read_dir(&absolute).is_err_and(|error| lost(&error)) {
            return Err(dead(dir));
        }
        return Err(Fail::no(
            format!("{} is in use: {source} is mounted there ({kind})", dir.display()),
            "'twz umount' takes a pool away; or choose another directory",
        ));
    }
    let mut inside = fs::read_dir(&absolute).map_err(Fail::file("mount at", dir))?;
    match inside.next() {
        None => Ok(absolute),
        Some(_) => Err(Fail::no(
            format!("{} is not empty", dir.display()),
            "mount at an empty directory, so that nothing is hidden",
        )),
    }
}

fn dead(dir: &Path) -> Fail {
    Fail::no(
        format!("{} is a mount that nobody serves any more", dir.display()),
        "'twz umount' takes it away",
    )
}

/// Takes away the pool that is mounted at a directory, and waits until whoever served
/// it has written everything. Says what it was.
pub fn unmount(dir: &Path, lazily: bool) -> Outcome<PathBuf> {
    // What nobody serves cannot be looked at, but the directory above it can.
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    let absolute = fs::canonicalize(dir).or_else(|_| {
        let above = fs::canonicalize(above.unwrap_or(Path::new(".")))?;
        Ok(above.join(dir.file_name().unwrap_or_default()))
    });
    let absolute = absolute.map_err(Fail::file("unmount", dir))?;
    let Some((_, source)) = mounted(&absolute).filter(|(kind, _)| kind == TYPE) else {
        return Err(Fail::missing(
            format!("no pool is mounted at {}", dir.display()),
            "'findmnt -t fuse.twz' shows all that are",
        ));
    };
    let server = fs::read_link(absolute.join(HIDDEN)).ok();
    detach(&absolute, lazily).map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => Fail::no(
            format!("{} is in use", dir.display()),
            "see by whom with 'fuser -m', or let it go when they are done, with --lazy",
        ),
        _ => Fail::file("unmount", dir)(error),
    })?;
    if let Some(server) = server.filter(|_| !lazily) {
        let process = Path::new("/proc").join(server);
        let begun = Instant::now();
        while process.exists() && !is_zombie(&process) {
            if begun.elapsed() > PATIENCE {
                return Err(Fail::no(
                    format!("{} is unmounted, but its daemon goes on", dir.display()),
                    "another mount namespace still shows the pool; 'lsns -t mnt' lists them",
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(source.into())
}

/// A process that has ended, and whose parent has not asked yet. Its first thread alone may
/// end before the others, which still have all that it had open.
fn is_zombie(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let first = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'));
    first && fs::read_dir(process.join("task")).map_or(0, Iterator::count) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_blanks_are_read() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\zb"), r"/a\zb");
    }

    #[test]
    fn what_is_mounted_is_found() {
        assert!(mounted(Path::new("/proc")).is_some_and(|(kind, _)| kind == "proc"));
        assert_eq!(mounted(Path::new("/proc/self")), None);
    }
}
