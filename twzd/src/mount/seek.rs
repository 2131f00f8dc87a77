// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where data and holes are in a file that the kernel caches writes of, which only it
//! knows: it is told to write them first. Meanwhile it asks the daemon to, so that is
//! done in a thread of its own, and [`super::calls`] goes on.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
};

use fuser::{Errno, INodeNo, Notifier, ReplyLseek};

use super::{Fs, reply::offset};

/// An lseek(2) with SEEK_DATA or SEEK_HOLE.
pub struct Seek {
    pub ino: INodeNo,
    pub at: i64,
    pub whence: i32,
    pub reply: ReplyLseek,
}

/// Who answers them.
pub struct Seeker(mpsc::Sender<Seek>);

impl Seeker {
    /// Starts the thread, which ends when this is dropped.
    pub fn start(fs: Arc<Mutex<Fs>>, kernel: Arc<OnceLock<Notifier>>) -> io::Result<Self> {
        let (sender, seeks) = mpsc::channel::<Seek>();
        thread::Builder::new().name("seek".into()).spawn(move || {
            for seek in seeks {
                let found = seek.written(&kernel).and_then(|()| {
                    let fs = fs.lock().unwrap_or_else(PoisonError::into_inner);
                    fs.seek(seek.ino.0, seek.at, seek.whence)
                });
                offset(found, seek.reply);
            }
        })?;
        Ok(Self(sender))
    }

    /// Answers one, in a while.
    pub fn ask(&self, seek: Seek) {
        // One that nobody takes is answered by being dropped: EIO.
        let _ = self.0.send(seek);
    }
}

impl Seek {
    /// Has the kernel write what it has of the file, and forget it. Who seeks keeps other
    /// writers out meanwhile, but for those of mappings.
    fn written(&self, kernel: &OnceLock<Notifier>) -> Result<(), Errno> {
        kernel.get().ok_or(Errno::EIO)?.inval_inode(self.ino, 0, 0).map_err(|_| Errno::EIO)
    }
}
