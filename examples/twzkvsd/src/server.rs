// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections, over TCP and a Unix socket, served by one thread: it polls, reads
//! what is there, runs all complete requests as one [`Round`], and answers when that is
//! over: nobody is told of anything before it is as durable as it is to be.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixListener},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    command::{Round, Store, Then},
    resp::{Parsed, Reply, parse},
};

/// Bytes read at a time, and of replies that may wait for a client that does not read.
const READ: usize = 64 << 10;
const UNREAD: usize = 64 << 20;

/// Where clients come from.
#[derive(Default)]
pub struct Listeners {
    pub tcp: Option<TcpListener>,
    pub unix: Option<UnixListener>,
}

trait Stream: Read + Write + AsFd {}
impl<T: Read + Write + AsFd> Stream for T {}

struct Connection {
    stream: Box<dyn Stream>,
    asked: Vec<u8>,
    /// Bytes that `asked` must have before looking at it is worth while.
    need: usize,
    reply: Reply,
    sent: usize,
    /// There may be requests left, for which there was no room to answer.
    more: bool,
    closing: bool,
}

/// Serves until something is wrong with the listeners themselves. What a round sets is
/// set together or each by itself.
pub fn serve(listeners: &Listeners, store: &Store, together: bool) -> io::Result<()> {
    if let Some(tcp) = &listeners.tcp {
        tcp.set_nonblocking(true)?;
    }
    if let Some(unix) = &listeners.unix {
        unix.set_nonblocking(true)?;
    }
    let mut connections: Vec<Connection> = Vec::new();
    let mut buffer = vec![0; READ];
    loop {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(connections.len() + 2);
        fds.extend(listeners.tcp.iter().map(|l| PollFd::new(l.as_fd(), PollFlags::POLLIN)));
        fds.extend(listeners.unix.iter().map(|l| PollFd::new(l.as_fd(), PollFlags::POLLIN)));
        let first = fds.len();
        fds.extend(connections.iter().map(|c| PollFd::new(c.stream.as_fd(), c.interest())));
        let at_once = connections.iter().any(Connection::goes_on);
        match poll(&mut fds, if at_once { PollTimeout::ZERO } else { PollTimeout::NONE }) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        drop(fds);
        let (listening, talking) = ready.split_at(first);
        let mut served: Vec<&mut Connection> = connections
            .iter_mut()
            .zip(talking)
            .filter_map(|(one, ready)| (*ready || one.goes_on()).then_some(one))
            .collect();
        let mut round = Round::new(store, together);
        served.iter_mut().for_each(|connection| connection.serve(&mut round, &mut buffer));
        round.commit();
        served.iter_mut().for_each(|connection| connection.answer(round.failed()));
        drop(round);
        connections.retain(|connection| !connection.is_over());
        if listening.contains(&true) {
            accept(listeners, &mut connections);
        }
    }
}

fn accept(listeners: &Listeners, connections: &mut Vec<Connection>) {
    // What cannot be accepted now will be asked again at the next poll.
    while let Some(Ok((stream, _))) = listeners.tcp.as_ref().map(TcpListener::accept) {
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_ok() {
            connections.push(Connection::new(Box::new(stream)));
        }
    }
    while let Some(Ok((stream, _))) = listeners.unix.as_ref().map(UnixListener::accept) {
        if stream.set_nonblocking(true).is_ok() {
            connections.push(Connection::new(Box::new(stream)));
        }
    }
}

impl Connection {
    fn new(stream: Box<dyn Stream>) -> Self {
        let (asked, reply) = (Vec::new(), Reply::default());
        Self { stream, asked, need: 1, reply, sent: 0, more: false, closing: false }
    }

    fn is_idle(&self) -> bool {
        self.sent == self.reply.bytes.len()
    }

    /// Whether it need not be waited for.
    fn goes_on(&self) -> bool {
        self.more && self.is_idle() && !self.closing
    }

    fn is_over(&self) -> bool {
        self.closing && self.is_idle()
    }

    fn interest(&self) -> PollFlags {
        match self.is_idle() {
            true => PollFlags::POLLIN,
            // Who does not read is not read from.
            false => PollFlags::POLLOUT,
        }
    }

    /// Takes what is asked, and runs it. What was asked while the client did not read
    /// waits for that.
    fn serve(&mut self, round: &mut Round<'_>, buffer: &mut [u8]) {
        if !self.is_idle() {
            self.send();
        } else if !self.more && !self.closing {
            match self.stream.read(buffer) {
                Ok(0) => return self.abandon(),
                Ok(len) => self.asked.extend_from_slice(&buffer[..len]),
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.abandon(),
            }
        }
        if self.is_idle() && !self.closing {
            self.run(round);
        }
    }

    /// Answers what was asked, now that the round is over.
    fn answer(&mut self, failed: Option<&str>) {
        self.reply.settle(failed);
        self.send();
    }

    /// Runs requests that are complete.
    fn run(&mut self, round: &mut Round<'_>) {
        let mut done = 0;
        while self.asked.len() - done >= self.need
            && self.reply.bytes.len() < UNREAD
            && !self.closing
        {
            match parse(&self.asked[done..]) {
                Ok(Parsed::Request(words, len)) => {
                    self.closing = round.run(&words, &mut self.reply) == Then::Close;
                    done += len;
                    self.need = 1;
                }
                Ok(Parsed::More(need)) => self.need = need,
                Err(why) => {
                    self.reply.error(&format!("ERR {why}"));
                    self.closing = true;
                }
            }
        }
        self.asked.drain(..done);
        self.more = self.reply.bytes.len() >= UNREAD;
    }

    fn send(&mut self) {
        while self.sent < self.reply.bytes.len() {
            match self.stream.write(&self.reply.bytes[self.sent..]) {
                Ok(0) => return self.abandon(),
                Ok(len) => self.sent += len,
                Err(error) if is_passing(&error) => return,
                Err(_) => return self.abandon(),
            }
        }
        self.reply.clear();
        self.sent = 0;
    }

    fn abandon(&mut self) {
        self.closing = true;
        self.reply.clear();
        self.sent = 0;
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
