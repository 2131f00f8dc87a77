// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a file, however many descriptors it has: where it is mapped, and
//! how long it was when last looked at.
//!
//! Whoever copies holds the mapping by `users`, raised before `base` is read; whoever
//! unmaps takes `base` away before he reads `users`. Both in one order for all threads,
//! so one of the two sees the other, and nothing is unmapped under a copy.
//!
//! [`LOCK`] guards every change but those of counts. It is only ever tried: a signal
//! handler that finds it taken goes without.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use crate::{
    raw::{copy, fault, sys, sys::Stat},
    stats::{self, Counter},
    table::Slot,
    word::{INODES, Word},
};

const PAGE: u64 = 4096;
/// Address space that a small file is given to grow in.
const ROOM: u64 = 1 << 20;
/// The most that a large one is given beyond its size.
const MOST_ROOM: u64 = 1 << 30;

/// A file.
pub struct Inode {
    device: AtomicU64,
    number: AtomicU64,
    /// Descriptors.
    held: AtomicU32,
    /// Copies under way.
    users: AtomicI32,
    /// Where it is mapped; 0 if it is not.
    base: AtomicUsize,
    /// Bytes of that.
    mapped: AtomicU64,
    /// Whether they may be stored to.
    stores: AtomicBool,
    /// Its size when last looked at, or 0 if it is not to be touched: a hint.
    size: AtomicU64,
    /// The tick of the clock in which the kernel last stamped it.
    tick: AtomicU64,
}

static TABLE: [Inode; INODES] = [const {
    Inode {
        device: AtomicU64::new(0),
        number: AtomicU64::new(0),
        held: AtomicU32::new(0),
        users: AtomicI32::new(0),
        base: AtomicUsize::new(0),
        mapped: AtomicU64::new(0),
        stores: AtomicBool::new(false),
        size: AtomicU64::new(0),
        tick: AtomicU64::new(0),
    }
}; INODES];

static LOCK: AtomicBool = AtomicBool::new(false);
/// Somebody let go of an inode and could not clear it away.
static LEFT: AtomicBool = AtomicBool::new(false);

/// The file of a word, if it has one.
#[inline(always)]
pub fn of(word: Word) -> Option<&'static Inode> {
    match word.inode() {
        0 => None,
        index => TABLE.get(index),
    }
}

/// One descriptor more has this file.
pub fn hold(index: usize) {
    if index != 0 {
        TABLE[index].held.fetch_add(1, SeqCst);
    }
}

/// One descriptor less has this file; with the last one it is unmapped.
pub fn let_go(index: usize) {
    if index != 0 && TABLE[index].held.fetch_sub(1, SeqCst) == 1 {
        LEFT.store(true, SeqCst);
        locked(|| ());
    }
}

/// The number of a file, held once more; `None` if there is no room or somebody else is
/// at it, and then it is no file of ours for now.
pub fn find(stat: &Stat) -> Option<usize> {
    locked(|| {
        let is = |inode: &Inode| {
            inode.number.load(Relaxed) == stat.inode && inode.device.load(Relaxed) == stat.device
        };
        let free = |inode: &Inode| inode.number.load(Relaxed) == 0;
        let index = (1..INODES)
            .find(|&i| is(&TABLE[i]))
            .or_else(|| (1..INODES).find(|&i| free(&TABLE[i])))?;
        TABLE[index].device.store(stat.device, Relaxed);
        TABLE[index].number.store(stat.inode, Relaxed);
        hold(index);
        Some(index)
    })
    .flatten()
}

/// After a fork, in the child: the threads that copied are not here.
pub fn bereave() {
    for inode in &TABLE {
        inode.users.store(0, Relaxed);
    }
}

/// Does something with the table, if nobody else is at it; clears away what was left.
fn locked<T>(body: impl FnOnce() -> T) -> Option<T> {
    let mut body = Some(body);
    let mut answer = None;
    loop {
        if LOCK.swap(true, SeqCst) {
            return answer;
        }
        if let Some(body) = body.take() {
            answer = Some(body());
        }
        if LEFT.swap(false, SeqCst) {
            let kept = TABLE[1..].iter().filter(|inode| !inode.clear()).count();
            LEFT.fetch_or(kept != 0, SeqCst);
            LOCK.store(false, SeqCst);
            return answer;
        }
        LOCK.store(false, SeqCst);
        // Left while it was locked: whoever left it could not do it.
        if !LEFT.load(SeqCst) {
            return answer;
        }
    }
}

impl Inode {
    /// Looks how long it is, and maps it, if it can be mapped as a whole.
    ///
    /// Nobody else gives a number of descriptor this file while the lock is held, so one
    /// that still has it when the file is mapped had it when it was asked.
    pub fn look(&self, fd: i32, slot: &Slot) {
        let word = slot.word();
        locked(|| {
            let Some(stat) = sys::stat(fd) else { return };
            if stat.inode != self.number.load(Relaxed) || stat.device != self.device.load(Relaxed) {
                return;
            }
            let usable = stat.size != 0
                && stat.size < crate::word::MAX_OFFSET
                && !stat.has_holes()
                && self.map(fd, slot, word, &stat);
            self.size.store(if usable { stat.size } else { 0 }, SeqCst);
        });
    }

    /// Sees to it that there is a mapping that is long enough, and good for stores if this
    /// descriptor may write. Called with the lock.
    fn map(&self, fd: i32, slot: &Slot, word: Word, stat: &Stat) -> bool {
        let stores = word.may_read() && word.may_write() && !stat.lends_rights();
        let there = self.base.load(SeqCst) != 0;
        let long = self.mapped.load(Relaxed) >= stat.size;
        if there && long && (!stores || self.stores.load(Relaxed)) {
            return true;
        }
        if !word.may_read() {
            return there && long;
        }
        if !fault::guard() || !self.unmap() {
            return false;
        }
        let room = stat.size.clamp(ROOM, MOST_ROOM);
        let length = (stat.size + room).next_multiple_of(PAGE);
        let Some(base) = sys::map(fd, length as usize, stores) else { return false };
        if slot.word().inode() != word.inode() {
            sys::unmap(base, length as usize);
            return false;
        }
        stats::add(Counter::Mappings, 1);
        self.mapped.store(length, Relaxed);
        self.stores.store(stores, Relaxed);
        self.base.store(base, SeqCst);
        true
    }

    /// Whether it could be: not while somebody copies. Called with the lock.
    fn unmap(&self) -> bool {
        let base = self.base.swap(0, SeqCst);
        if base == 0 {
            return true;
        }
        if self.users.load(SeqCst) != 0 {
            self.base.store(base, SeqCst);
            return false;
        }
        sys::unmap(base, self.mapped.load(Relaxed) as usize);
        true
    }

    /// Clears it away if nobody has it. Whether nothing is left to be done.
    fn clear(&self) -> bool {
        if self.number.load(Relaxed) == 0 || self.held.load(SeqCst) != 0 {
            return true;
        }
        let gone = self.unmap();
        if gone {
            self.size.store(0, SeqCst);
            self.tick.store(0, Relaxed);
            self.number.store(0, Relaxed);
        }
        gone
    }

    /// Somebody makes it shorter: what is tried is to be right again.
    pub fn shorten(&self, size: u64) {
        self.size.fetch_min(size, SeqCst);
    }

    pub fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// The kernel stamps it in this tick.
    pub fn stamped(&self, tick: u64) {
        self.tick.store(tick, Relaxed);
    }

    /// What was written of it is on its disk: the next write goes to the kernel. A page that
    /// was written out may not be stored to before a fault, which costs more than the call.
    pub fn synced(&self) {
        // What is on no device is memory, and is not written out.
        if libc::major(self.device.load(Relaxed)) != 0 {
            self.tick.store(0, Relaxed);
        }
    }

    /// Holds the mapping while a copy runs; `still` says whether the descriptor is
    /// still of this file, asked when it is held.
    #[inline(always)]
    pub fn with<T>(
        &self,
        still: impl FnOnce() -> bool,
        body: impl FnOnce(&Held<'_>) -> Option<T>,
    ) -> Option<T> {
        self.users.fetch_add(1, SeqCst);
        let base = self.base.load(SeqCst);
        let answer = if base != 0 && still() {
            let size = self.size.load(Relaxed).min(self.mapped.load(Relaxed));
            body(&Held { inode: self, base, size })
        } else {
            None
        };
        self.users.fetch_sub(1, SeqCst);
        answer
    }
}

/// A file whose mapping stays for now.
pub struct Held<'a> {
    inode: &'a Inode,
    base: usize,
    size: u64,
}

impl Held<'_> {
    /// Where a range that is within the known size is mapped, and the page behind it if
    /// that has bytes of the file, too.
    #[inline(always)]
    fn range(&self, offset: u64, length: usize) -> Option<(usize, Option<usize>)> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size)?;
        let next = end.next_multiple_of(PAGE);
        let next = (next < self.size).then(|| self.base + next as usize);
        Some((self.base + offset as usize, next))
    }

    /// Whether these bytes are now at `buffer`, and were the file's.
    #[inline(always)]
    pub fn read(&self, offset: u64, buffer: usize, length: usize) -> bool {
        let Some((from, next)) = self.range(offset, length) else { return false };
        match next {
            // The page behind is there: so were these.
            Some(next) => copy::copy(buffer, from, length, next).is_some(),
            // In the last page what was cut off is zeros: what is not zero was not.
            None => {
                let last = self.base + (self.size - 1) as usize;
                match copy::copy(buffer, from, length, last) {
                    None => false,
                    Some(0) => copy::peek(from + length - 1).is_some_and(|byte| byte != 0),
                    Some(_) => true,
                }
            }
        }
    }

    /// Whether these bytes are now in the file, which was stamped in this tick.
    #[inline(always)]
    pub fn write(&self, offset: u64, buffer: usize, length: usize) -> bool {
        let Some((to, Some(next))) = self.range(offset, length) else { return false };
        self.inode.stores.load(Relaxed)
            && self.inode.tick.load(Relaxed) == sys::tick()
            && copy::copy(to, buffer, length, next).is_some()
    }
}
