// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections, over TCP and a Unix socket, served by one thread: it polls, reads
//! what is there, runs all complete requests as one [`Round`], and answers. What a
//! durable store has answered is durable: the store says so before it returns.

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
    closing: bool,
}

/// Serves until something is wrong with the listeners themselves.
pub fn serve(listeners: &Listeners, store: &Store) -> io::Result<()> {
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
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        drop(fds);
        let mut round = Round::new(store);
        let (listening, talking) = ready.split_at(first);
        for (connection, _) in connections.iter_mut().zip(talking).filter(|(_, ready)| **ready) {
            connection.serve(&mut round, &mut buffer);
        }
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
        Self { stream, asked, need: 1, reply, sent: 0, closing: false }
    }

    fn is_over(&self) -> bool {
        self.closing && self.sent == self.reply.0.len()
    }

    fn interest(&self) -> PollFlags {
        match self.sent == self.reply.0.len() {
            true => PollFlags::POLLIN,
            // Who does not read is not read from.
            false => PollFlags::POLLOUT,
        }
    }

    fn serve(&mut self, round: &mut Round<'_>, buffer: &mut [u8]) {
        if self.sent == self.reply.0.len() && !self.closing {
            match self.stream.read(buffer) {
                Ok(0) => return self.abandon(),
                Ok(len) => self.asked.extend_from_slice(&buffer[..len]),
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.abandon(),
            }
        }
        // What was asked while the client did not read waits for that.
        loop {
            self.send();
            if self.sent != self.reply.0.len() || self.closing || !self.run(round) {
                return;
            }
        }
    }

    /// Runs requests that are complete; whether there is anything to send then.
    fn run(&mut self, round: &mut Round<'_>) -> bool {
        let mut done = 0;
        while self.asked.len() - done >= self.need && self.reply.0.len() < UNREAD && !self.closing {
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
        !self.reply.0.is_empty()
    }

    fn send(&mut self) {
        while self.sent < self.reply.0.len() {
            match self.stream.write(&self.reply.0[self.sent..]) {
                Ok(0) => return self.abandon(),
                Ok(len) => self.sent += len,
                Err(error) if is_passing(&error) => return,
                Err(_) => return self.abandon(),
            }
        }
        self.reply.0.clear();
        self.sent = 0;
    }

    fn abandon(&mut self) {
        self.closing = true;
        self.reply.0.clear();
        self.sent = 0;
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
