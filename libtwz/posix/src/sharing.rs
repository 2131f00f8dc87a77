// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who else may see an offset, and what is done before they do: it is given back to the
//! kernel, whose it stays. And the library's way out: [`stand_aside`].

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use crate::{
    calls::Caller,
    inode, prefix,
    raw::{fault, modules, sys, thread},
    sites,
    stats::{self, Counter},
    table::{self, Slot},
    word::{State, Word},
};

/// Whether descriptors are looked at, at all.
static ON: AtomicBool = AtomicBool::new(false);
/// Forks and their like under way: no offset is taken meanwhile.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many of them have begun.
static PARTINGS: AtomicU32 = AtomicU32::new(0);
/// What has to be seen to before the next copy: vfork children that run in this memory,
/// and libraries that are being loaded.
static ATTENTION: AtomicU32 = AtomicU32::new(0);
/// Which state of the list of loaded code was searched; 0 if none was.
static SEARCHED: AtomicU32 = AtomicU32::new(0);

/// Descriptors that were ever noted.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// Begins, if there is anything to be done in this process.
pub fn begin(secure: bool) {
    prefix::read();
    if !secure && prefix::any() {
        fault::unblock();
        thread::begin();
        ON.store(true, SeqCst);
    }
}

pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Gives all offsets back, and lets go of everything, for good.
pub fn stand_aside() {
    if thread::is_borrowed() {
        return;
    }
    if ON.swap(false, SeqCst) {
        stats::add(Counter::StoodAside, 1);
    }
    for (fd, slot) in table::all() {
        give_back(fd, slot, true);
        table::forget(fd);
    }
}

/// Another process, or another number, may soon use these offsets, too.
pub fn share_all() {
    if !thread::is_borrowed() {
        for (fd, slot) in table::all() {
            give_back(fd, slot, true);
        }
    }
}

/// The same of one.
pub fn share(fd: i32) {
    if let Some(slot) = table::slot(fd)
        && !thread::is_borrowed()
    {
        give_back(fd, slot, true);
    }
}

/// Makes the offset the kernel's; for good, or for the next call.
pub fn give_back(fd: i32, slot: &Slot, for_good: bool) {
    let mark = |word: Word| if for_good { word.shared() } else { word };
    loop {
        let word = slot.word();
        match word.state() {
            State::None => return,
            State::Busy => sys::give_way(),
            State::User => {
                // A handler that came now would wait for us for ever.
                let blocked = sys::block_signals();
                let begun = slot.change(word, word.with(State::Busy));
                if begun {
                    sys::seek(fd, word.offset() as i64, libc::SEEK_SET);
                    slot.settle(mark(word.with(State::Kernel)));
                }
                sys::unblock_signals(blocked);
                if begun {
                    return;
                }
            }
            _ if word == mark(word) || slot.change(word, mark(word)) => return,
            _ => {}
        }
    }
}

/// Takes the offset, if nobody else can see it and nobody is about to use it.
pub fn take(fd: i32, slot: &Slot) {
    let word = slot.word();
    let Some(inode) = inode::of(word) else { return };
    if word.state() != State::Kernel || word.is_shared() || slot.is_under_way() {
        return;
    }
    let blocked = sys::block_signals();
    if slot.change(word, word.with(State::Busy)) {
        // Whoever set out before is seen here; whoever does from now on sees us.
        let alone = !slot.is_under_way() && FORKS.load(SeqCst) == 0 && ON.load(SeqCst);
        let offset = if alone { sys::seek(fd, 0, libc::SEEK_CUR) } else { -1 };
        let useful = u64::try_from(offset).ok().filter(|offset| *offset < inode.size());
        slot.settle(useful.map_or(word, |offset| word.user(offset)));
    }
    sys::unblock_signals(blocked);
}

/// When a descriptor was asked for: whether another process has it, too, when it is noted
/// is seen by what was forked since.
#[derive(Clone, Copy)]
pub struct Asked {
    partings: u32,
    forks: u32,
}

/// Right before it is asked for.
pub fn asked() -> Asked {
    Asked { partings: PARTINGS.load(SeqCst), forks: FORKS.load(SeqCst) }
}

/// Notes a descriptor that `open` gave with these flags.
pub fn opened(fd: i32, flags: i32, asked: Asked) {
    if fd < 0 || thread::is_borrowed() {
        return;
    }
    let odd = libc::O_PATH | libc::O_DIRECTORY | libc::O_DIRECT;
    if !is_on() || flags & odd != 0 {
        return table::forget(fd);
    }
    let mode = flags & libc::O_ACCMODE;
    let elsewhere = libc::O_APPEND | libc::O_SYNC | libc::O_DSYNC;
    let reads = mode == libc::O_RDONLY || mode == libc::O_RDWR;
    let writes = mode == libc::O_RDWR && flags & elsewhere == 0;
    let count = OPENED.fetch_add(1, Relaxed);
    table::set(fd, Word::opened(reads, writes, count));
    let Asked { partings, forks } = self::asked();
    if forks != 0 || asked.forks != 0 || partings != asked.partings {
        share(fd);
    }
}

/// Notes that `to` is another number of `from`, whose offset is shared already.
pub fn duplicated(from: i32, to: i32) {
    if to < 0 || from == to || thread::is_borrowed() {
        return;
    }
    table::forget(to);
    let word = table::slot(from).map_or(Word::NONE, Slot::word);
    if word.is_shared() && matches!(word.state(), State::Kernel | State::Counting) {
        inode::hold(word.inode());
        table::set(to, word);
    }
}

/// A number is about to be closed.
pub fn closing(fd: i32) {
    if !thread::is_borrowed() {
        table::forget(fd);
    }
}

/// Numbers from `first` to `last` are about to be closed.
pub fn closing_range(first: u32, last: u32) {
    if !thread::is_borrowed() {
        let range = |fd: i32| (first..=last).contains(&(fd as u32));
        table::all().filter(|(fd, _)| range(*fd)).for_each(|(fd, _)| table::forget(fd));
    }
}

/// Before a fork, until [`parted`] or [`born`].
pub fn parting() {
    FORKS.fetch_add(1, SeqCst);
    PARTINGS.fetch_add(1, SeqCst);
    share_all();
}

/// After it.
pub fn parted() {
    FORKS.fetch_sub(1, SeqCst);
}

/// After it, in the child of a thread that was `alone`, or was not.
///
/// What other threads were at is never finished here, and a lock that one of them had
/// is never given back. One is libc's, of the list of loaded code, which it does not make
/// free in a child: to search code there could be to wait for ever.
pub fn born(alone: bool) {
    FORKS.store(0, SeqCst);
    ATTENTION.store(0, SeqCst);
    thread::no_longer_borrowed();
    thread::no_longer_loading();
    if !alone {
        table::all().for_each(|(_, slot)| slot.bereave());
        inode::bereave();
        stand_aside();
    }
}

/// Before a vfork, whose child runs on this thread's stack, in this memory.
pub fn lending() {
    parting();
    ATTENTION.fetch_add(1, SeqCst);
    thread::now_borrowed();
}

/// After it, in the parent.
pub fn returned() {
    thread::no_longer_borrowed();
    ATTENTION.fetch_sub(1, SeqCst);
    parted();
}

/// Before code is loaded.
pub fn loading() {
    if !thread::is_borrowed() && thread::now_loading() {
        ATTENTION.fetch_add(1, SeqCst);
    }
}

/// Whether memory may answer this thread now; if not, the offset is the kernel's. Almost
/// always a load.
#[inline(always)]
pub fn may_answer(caller: Caller, fd: i32) -> bool {
    ATTENTION.load(Relaxed) == 0 || attended(caller, fd)
}

#[cold]
fn attended(caller: Caller, fd: i32) -> bool {
    if thread::is_borrowed() {
        return false;
    }
    if caller == Caller::Libc {
        share(fd);
        return false;
    }
    if SEARCHED.load(SeqCst) != 0 && !is_code_safe(caller) {
        return false;
    }
    if thread::no_longer_loading() {
        ATTENTION.fetch_sub(1, SeqCst);
    }
    true
}

/// Whether no loaded code makes system calls of its own that matter here; if it does, the
/// library has stood aside. Searches what it has not searched yet; but not for libc: the
/// loader's lock is not waited for by one who holds a stream's, since a program that walks
/// the list of loaded code may well print what it finds.
pub fn is_code_safe(caller: Caller) -> bool {
    if caller == Caller::Libc {
        return SEARCHED.load(SeqCst) != 0 && is_on();
    }
    let loaded = modules::version();
    if SEARCHED.load(SeqCst) == loaded {
        return is_on();
    }
    if modules::any_code(sites::is_dangerous) {
        stand_aside();
        return false;
    }
    SEARCHED.store(loaded, SeqCst);
    is_on()
}
