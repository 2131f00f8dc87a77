// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket: who connects, and lines in and out. What they ask is `host.rs`'s.
//! The socket comes from the service manager, or is made here.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::{Gid, Uid},
};
use twzd::{LONGEST, Refusal, Reply, Request, VERSION};

use crate::{config::Peer, host::Host, say};

/// Connections at the same time; more are told to come again.
const MOST: usize = 64;
/// How long somebody may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket that the service manager has made, if it has.
pub fn inherited() -> Option<UnixListener> {
    listenfd::ListenFd::from_env().take_unix_listener(0).ok().flatten()
}

/// Makes a socket in the place of one that nobody listens on any more.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() || UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // Everybody may ask; what for is decided by who they are.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves until the process ends.
pub fn serve(listener: UnixListener, host: Host) {
    let host = Arc::new(Mutex::new(host));
    let busy = Arc::new(AtomicUsize::new(0));
    let follows = host.clone();
    thread::spawn(move || {
        while lock(&follows).follow() {
            thread::sleep(Duration::from_secs(1));
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // No descriptors left, perhaps: others give theirs back.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            lock(&host).metrics.connections += 1;
            if busy.fetch_add(1, Ordering::AcqRel) >= MOST {
                busy.fetch_sub(1, Ordering::AcqRel);
                refuse(&stream, "too many ask at once; ask again", libc::EBUSY);
                continue;
            }
            let (host, busy) = (host.clone(), busy.clone());
            thread::spawn(move || {
                if let Err(error) = talk(&stream, &host) {
                    say!("a connection ended: {error}");
                }
                busy.fetch_sub(1, Ordering::AcqRel);
            });
        }
    });
}

/// Whoever panicked with it has left no half of anything: the pool is what counts.
fn lock(host: &Mutex<Host>) -> std::sync::MutexGuard<'_, Host> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(mut stream: &UnixStream, message: &str, errno: i32) {
    let reply = Reply::Refused(Refusal { message: message.into(), errno });
    if let Ok(mut line) = serde_json::to_string(&reply) {
        line.push('\n');
        // Who does not listen is not told.
        let _ = stream.write_all(line.as_bytes());
    }
}

fn talk(stream: &UnixStream, host: &Mutex<Host>) -> io::Result<()> {
    let who = getsockopt(stream, PeerCredentials)?;
    let peer = Peer::new(Uid::from_raw(who.uid()), Gid::from_raw(who.gid()), who.pid());
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let got = (&mut lines).take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
        match got {
            Ok(0) => return Ok(()),
            Ok(_) if line.len() > LONGEST => {
                refuse(stream, "a line is too long", libc::E2BIG);
                return Ok(());
            }
            Ok(_) => {}
            // Somebody who has gone, or says nothing for long.
            Err(_) => return Ok(()),
        }
        let reply = match read(&line) {
            Ok(request) => lock(host).answer(&peer, &request.ask),
            Err(refusal) => {
                lock(host).metrics.garbled += 1;
                Reply::Refused(refusal)
            }
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        let mut to = stream;
        to.write_all(&text)?;
    }
}

fn read(line: &[u8]) -> Result<Request, Refusal> {
    let refuse = |message: String| Refusal { message, errno: libc::EINVAL };
    let request: Request = serde_json::from_slice(line)
        .map_err(|error| refuse(format!("that is no request: {error}")))?;
    match request.version {
        1..=VERSION => Ok(request),
        other => Err(refuse(format!("version {other} is not known here, up to {VERSION} are"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_refused() {
        assert!(read(br#"{"version":1,"ask":{"status":{}}}"#).is_ok());
        for line in [r#"{"version":2,"ask":{"status":{}}}"#, r#"{"version":0,"ask":{"status":{}}}"#]
        {
            assert!(
                read(line.as_bytes()).is_err_and(|refusal| refusal.message.contains("version"))
            );
        }
    }
}
