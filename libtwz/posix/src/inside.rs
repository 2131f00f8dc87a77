// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the calls that libc makes within itself, for its streams, come here as well. If
//! they do, what `fopen` gives is noted like what `open` gives; if not, streams are the
//! kernel's, as everything is that nobody sees.
//!
//! They are turned here ([`crate::raw::patch`]) when the program first opens a stream on a
//! file that could be ours, not before. It is tried once.

use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

use crate::{
    calls::{self, Caller},
    prefix,
    raw::{patch, sys, thread},
    sharing::{self, Asked},
    stats::{self, Counter},
    table,
    word::State,
};

/// As many blocks of a stream's as calls that the kernel answers first (`table.rs`).
const LONG: u64 = 16 * 4096;

const UNTRIED: u8 = 0;
const COME: u8 = 1;
const STAY: u8 = 2;

static CALLS: AtomicU8 = AtomicU8::new(UNTRIED);

/// They are never to come.
pub fn leave() {
    CALLS.store(STAY, SeqCst);
}

/// A stream was opened, on this number, in this mode of `fopen`.
pub fn opened(fd: i32, mode: &[u8], asked: Asked) {
    if fd < 0 || !sharing::is_on() || thread::is_borrowed() {
        return;
    }
    match sys::flags(fd) {
        Some(flags) if is_plain(mode) && come(fd) => sharing::opened(fd, flags, asked),
        _ => sharing::closing(fd),
    }
}

/// A stream is about to be made of this number, in this mode of `fdopen`.
pub fn wrapping(fd: i32, mode: &[u8]) {
    if !sharing::is_on() {
        return;
    }
    if mode.first() == Some(&b'a') {
        // It will append, whatever it did.
        calls::flags_set(fd, libc::O_APPEND);
    }
    let noted = table::slot(fd).is_some_and(|slot| slot.word().state() != State::None);
    if noted && !(is_plain(mode) && !thread::is_borrowed() && come(fd)) {
        sharing::share(fd);
    }
}

/// Whether a stream of this mode is read, written and moved by the three functions: not by
/// those that are spared (`c`: no call is a point to be cancelled at), nor as mapped (`m`).
fn is_plain(mode: &[u8]) -> bool {
    !mode.iter().any(|byte| matches!(byte, b'c' | b'm'))
}

/// Whether they come, which is seen to now if this is the first file that it matters for.
fn come(fd: i32) -> bool {
    match CALLS.load(SeqCst) {
        UNTRIED => sys::with_path(fd, prefix::covers) && is_long(fd) && begin(),
        state => state == COME,
    }
}

/// Whether a stream has enough to read that its descriptor would ever be looked at. Before
/// that, all code is searched, which is dear in a compiler that only writes what it made.
fn is_long(fd: i32) -> bool {
    sys::stat(fd).is_some_and(|stat| stat.size >= LONG)
}

/// No stream's lock is held here: what libc asks of its list of loaded code is asked now,
/// and not when a stream is read.
#[cold]
fn begin() -> bool {
    if !sharing::is_code_safe(Caller::Program) {
        return false;
    }
    let done = thread::is_alone() && patch::redirect();
    CALLS.store(if done { COME } else { STAY }, SeqCst);
    stats::add(if done { Counter::Redirected } else { Counter::NotRedirected }, 1);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_go_other_ways_are_told() {
        for mode in [&b"r"[..], b"w+", b"rb", b"ab+", b"wxe"] {
            assert!(is_plain(mode), "{mode:?}");
        }
        for mode in [&b"rce"[..], b"rm", b"r,ccs=UTF-8"] {
            assert!(!is_plain(mode), "{mode:?}");
        }
    }
}
