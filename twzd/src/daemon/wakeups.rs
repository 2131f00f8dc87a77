// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the daemon sleeps for: signals, which it reads instead of being
//! interrupted by, and the time.

use std::{os::fd::AsFd as _, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

/// The signals that are waited for.
pub struct Wakeups(SignalFd);

impl Wakeups {
    pub fn new() -> nix::Result<Self> {
        let wanted = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
        let set: SigSet = wanted.into_iter().collect();
        // Programs that are started get none of it: the claim that they are
        // handed comes with an empty mask.
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Sleeps until a signal comes, or for so long. Whether it is told to stop.
    pub fn sleep(&self, most: Duration) -> nix::Result<bool> {
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], most) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut stop = false;
        while let Some(signal) = self.0.read_signal()? {
            let is = |which: Signal| signal.ssi_signo == which as u32;
            stop |= is(Signal::SIGTERM) || is(Signal::SIGINT);
        }
        Ok(stop)
    }
}
