// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call comes to: a copy, or whatever the kernel says. Each function is given how
//! to ask libc, and asks exactly once, unless a copy was the answer.

use crate::{
    inode::{self, Inode},
    prefix,
    raw::{sys, sys::Piece},
    sharing,
    stats::{self, Counter},
    table::{self, Slot},
    word::{MAX_OFFSET, State, Word},
};

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Read,
    Write,
}

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Program,
    /// libc, for a stream, whose lock this thread may hold.
    Libc,
}

/// The most that one call moves, as Linux has it.
const MOST: usize = 0x7fff_f000;

/// `pread`, `pwrite` and their like: at an offset of the caller's.
#[inline(always)]
pub fn at(way: Way, fd: i32, pieces: &[Piece], offset: i64, libc: impl FnOnce() -> isize) -> isize {
    let Some(slot) = table::slot(fd) else { return libc() };
    let (word, caller) = (slot.word(), Caller::Program);
    if word.state() == State::None || !sharing::may_answer(caller, fd) {
        return libc();
    }
    if let (Some(inode), Ok(offset), Some(length)) =
        (inode::of(word), u64::try_from(offset), length(pieces))
        && may(way, word)
        && copied(way, caller, inode, slot, word, pieces, offset)
    {
        return length as isize;
    }
    let answer = stamped(way, inode::of(word), libc);
    asked(caller, fd, slot, answer, false);
    answer
}

/// `read`, `write` and their like: at the descriptor's offset.
#[inline(always)]
pub fn next(
    way: Way,
    caller: Caller,
    fd: i32,
    pieces: &[Piece],
    libc: impl FnOnce() -> isize,
) -> isize {
    let Some(slot) = table::slot(fd) else { return libc() };
    loop {
        let word = slot.word();
        if word.state() == State::None || !sharing::may_answer(caller, fd) {
            return libc();
        }
        match word.state() {
            State::User => match claimed(way, caller, fd, slot, word, pieces) {
                Claim::Answer(answer) => return answer,
                Claim::Again => {}
                Claim::Kernel => sharing::give_back(fd, slot, false),
            },
            State::Busy => sys::give_way(),
            _ if word.is_shared() => {
                let answer = stamped(way, inode::of(word), libc);
                asked(caller, fd, slot, answer, false);
                return answer;
            }
            _ if slot.sets_out(word) => {
                let answer = stamped(way, inode::of(word), libc);
                slot.comes_back();
                asked(caller, fd, slot, answer, true);
                return answer;
            }
            _ => {}
        }
    }
}

/// `lseek`.
#[inline(always)]
pub fn seek(caller: Caller, fd: i32, by: i64, whence: i32, libc: impl FnOnce() -> i64) -> i64 {
    let Some(slot) = table::slot(fd) else { return libc() };
    loop {
        let word = slot.word();
        if word.state() == State::None || !sharing::may_answer(caller, fd) {
            return libc();
        }
        match word.state() {
            State::User => {
                let to = match whence {
                    libc::SEEK_SET => Some(by),
                    libc::SEEK_CUR => by.checked_add(word.offset() as i64),
                    _ => None,
                };
                match to.filter(|to| (0..MAX_OFFSET as i64).contains(to)) {
                    None => sharing::give_back(fd, slot, false),
                    Some(to) if slot.change(word, word.user(to as u64)) => {
                        stats::add(Counter::SeeksByMemory, 1);
                        return to;
                    }
                    Some(_) => {}
                }
            }
            State::Busy => sys::give_way(),
            _ if word.is_shared() => return libc(),
            _ if slot.sets_out(word) => {
                let answer = libc();
                slot.comes_back();
                return answer;
            }
            _ => {}
        }
    }
}

/// What came of an attempt to move the offset and copy.
enum Claim {
    Answer(isize),
    /// Somebody else was faster.
    Again,
    /// It is not for memory.
    Kernel,
}

#[inline(always)]
fn claimed(way: Way, caller: Caller, fd: i32, slot: &Slot, word: Word, pieces: &[Piece]) -> Claim {
    let (Some(inode), Some(length)) = (inode::of(word), length(pieces)) else {
        return Claim::Kernel;
    };
    let from = word.offset();
    let to = from + length as u64;
    if !may(way, word) || to > inode.size() || to >= MAX_OFFSET {
        return Claim::Kernel;
    }
    let moved = word.user(to);
    if !slot.change(word, moved) {
        return Claim::Again;
    }
    if copied(way, caller, inode, slot, moved, pieces, from) {
        return Claim::Answer(length as isize);
    }
    // The bytes are claimed; the kernel moves them, and says if there were fewer.
    let answer = stamped(way, Some(inode), || match way {
        Way::Read => sys::read_at(fd, pieces, from),
        Way::Write => sys::write_at(fd, pieces, from),
    });
    stats::by_kernel(answer);
    let done = answer.max(0) as u64;
    if done != length as u64 {
        slot.change(moved, word.user(from + done));
    }
    Claim::Answer(sys::result(answer))
}

fn may(way: Way, word: Word) -> bool {
    match way {
        Way::Read => word.may_read(),
        Way::Write => word.may_write(),
    }
}

/// Bytes of all pieces, if memory may move as many.
#[inline(always)]
fn length(pieces: &[Piece]) -> Option<usize> {
    let sum = pieces.iter().try_fold(0usize, |sum, piece| sum.checked_add(piece.length))?;
    (1..=MOST).contains(&sum).then_some(sum)
}

/// Copies all pieces, if every one of them can be.
#[inline(always)]
fn copied(
    way: Way,
    caller: Caller,
    inode: &Inode,
    slot: &Slot,
    word: Word,
    pieces: &[Piece],
    offset: u64,
) -> bool {
    let still = || slot.word().inode() == word.inode();
    let done = inode.with(still, |held| {
        let mut at = offset;
        for piece in pieces.iter().filter(|piece| piece.length != 0) {
            let copied = match way {
                Way::Read => held.read(at, piece.address, piece.length),
                Way::Write => held.write(at, piece.address, piece.length),
            };
            at += piece.length as u64;
            copied.then_some(())?;
        }
        Some((at - offset) as usize)
    });
    let Some(done) = done else { return false };
    match way {
        Way::Read => stats::copied(Counter::ReadsByMemory, Counter::ReadBytesByMemory, done),
        Way::Write => stats::copied(Counter::WritesByMemory, Counter::WriteBytesByMemory, done),
    }
    if caller == Caller::Libc {
        stats::copied(Counter::LibcByMemory, Counter::LibcBytesByMemory, done);
    }
    true
}

/// `fsync` and `fdatasync`.
#[inline(always)]
pub fn sync(fd: i32, libc: impl FnOnce() -> i32) -> i32 {
    let answer = libc();
    if let Some(inode) = table::slot(fd).and_then(|slot| inode::of(slot.word())) {
        inode.synced();
    }
    answer
}

/// Has the kernel do it; if that is a write, the file is stamped in this tick.
fn stamped(way: Way, inode: Option<&Inode>, ask: impl FnOnce() -> isize) -> isize {
    let (Way::Write, Some(inode)) = (way, inode) else { return ask() };
    let tick = sys::tick();
    let answer = ask();
    if answer > 0 {
        inode.stamped(tick);
    }
    answer
}

/// The kernel has answered: every now and then it is asked what the file is.
fn asked(caller: Caller, fd: i32, slot: &Slot, answer: isize, uses_offset: bool) {
    stats::by_kernel(answer);
    if slot.answered() && answer >= 0 {
        consider(caller, fd, slot, uses_offset);
    }
}

/// Looks what a descriptor is, maps it, and takes its offset if calls use that.
#[cold]
fn consider(caller: Caller, fd: i32, slot: &Slot, uses_offset: bool) {
    let word = slot.word();
    if word.state() == State::Counting && !identify(caller, fd, slot, word) {
        return;
    }
    let word = slot.word();
    if let Some(inode) = inode::of(word) {
        inode.look(fd, slot);
        if uses_offset {
            sharing::take(fd, slot);
        }
    }
}

/// Whether it is a file of ours, which its word says then.
fn identify(caller: Caller, fd: i32, slot: &Slot, word: Word) -> bool {
    let ours = sharing::is_on()
        && sys::stat(fd).is_some_and(|stat| stat.is_file)
        && sys::is_coherent(fd)
        && sys::with_path(fd, prefix::covers)
        && sharing::is_code_safe(caller);
    if !ours {
        // Gone meanwhile, or another: then that was not asked about.
        slot.change(word, Word::NONE);
        return false;
    }
    let Some(index) = sys::stat(fd).and_then(|stat| inode::find(&stat)) else { return false };
    let known = slot.change(word, word.with(State::Kernel).of_inode(index));
    if !known {
        inode::let_go(index);
    }
    known
}

/// `ftruncate`: what is tried afterwards is to be right at once.
pub fn truncated(fd: i32, size: i64) {
    let inode = table::slot(fd).and_then(|slot| inode::of(slot.word()));
    if let (Some(inode), Ok(size)) = (inode, u64::try_from(size)) {
        inode.shorten(size);
    }
}

/// `fcntl(F_SETFL)`: a write that appends, or bypasses the page cache, is the kernel's.
pub fn flags_set(fd: i32, flags: i32) {
    if flags & (libc::O_APPEND | libc::O_DIRECT) == 0 {
        return;
    }
    sharing::share(fd);
    if flags & libc::O_DIRECT != 0 {
        return sharing::closing(fd);
    }
    while let Some(slot) = table::slot(fd) {
        let word = slot.word();
        if word == word.read_only() || slot.change(word, word.read_only()) {
            return;
        }
    }
}
