// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every descriptor of the process, by number: its [`Word`], how many of its calls are
//! in the kernel with the kernel's offset, and how many it answered lately.

use std::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use crate::{
    inode,
    raw::sys,
    word::{State, Word},
};

/// Descriptors from here on are the kernel's business alone.
const SLOTS: usize = 1 << 16;

/// Calls that the kernel answers before it is asked what a file is.
const PATIENCE: u32 = 16;

/// One descriptor.
pub struct Slot {
    word: AtomicU64,
    /// Calls that are in the kernel, or on their way, and use its offset.
    under_way: AtomicU32,
    answered: AtomicU32,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot { word: AtomicU64::new(0), under_way: AtomicU32::new(0), answered: AtomicU32::new(0) }
}; SLOTS];

/// One more than the highest number that was ever ours.
static USED: AtomicUsize = AtomicUsize::new(0);

/// What is kept of a descriptor.
#[inline(always)]
pub fn slot(fd: i32) -> Option<&'static Slot> {
    TABLE.get(fd as u32 as usize)
}

/// All numbers that were ever ours.
pub fn all() -> impl Iterator<Item = (i32, &'static Slot)> {
    let used = USED.load(SeqCst);
    TABLE[..used].iter().enumerate().map(|(fd, slot)| (fd as i32, slot))
}

/// A number means a new descriptor, with this word.
pub fn set(fd: i32, word: Word) {
    let Some(slot) = slot(fd) else { return };
    USED.fetch_max(fd as usize + 1, SeqCst);
    // What stood there was closed in a way nobody saw.
    slot.forget();
    slot.answered.store(0, Relaxed);
    slot.under_way.store(0, Relaxed);
    slot.word.store(word.0, SeqCst);
}

/// A number means nothing any more, or nothing of ours.
pub fn forget(fd: i32) {
    if let Some(slot) = slot(fd) {
        slot.forget();
    }
}

impl Slot {
    #[inline(always)]
    pub fn word(&self) -> Word {
        Word(self.word.load(SeqCst))
    }

    /// From one word to another; whether it still was that one.
    #[inline(always)]
    pub fn change(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, SeqCst, SeqCst).is_ok()
    }

    /// The end of [`State::Busy`], by the one who began it.
    pub fn settle(&self, word: Word) {
        self.word.store(word.0, SeqCst);
    }

    /// Says that a call is on its way to the kernel and its offset, if that is still
    /// where the offset is. [`Self::answered`] has to follow.
    pub fn sets_out(&self, word: Word) -> bool {
        self.under_way.fetch_add(1, SeqCst);
        let still = self.word().state() == word.state();
        if !still {
            self.under_way.fetch_sub(1, SeqCst);
        }
        still
    }

    pub fn comes_back(&self) {
        self.under_way.fetch_sub(1, SeqCst);
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.load(SeqCst) != 0
    }

    /// The kernel answered; whether it is time to look what the file is.
    pub fn answered(&self) -> bool {
        self.answered.fetch_add(1, Relaxed) % PATIENCE == PATIENCE - 1
    }

    /// After a fork, in the child: the other threads are not here.
    pub fn bereave(&self) {
        self.under_way.store(0, Relaxed);
        let word = self.word();
        if word.state() == State::Busy {
            self.settle(word.with(State::Kernel).shared());
        }
    }

    fn forget(&self) {
        loop {
            let word = self.word();
            match word.state() {
                State::None => return,
                State::Busy => sys::give_way(),
                _ if self.change(word, Word::NONE) => {
                    inode::let_go(word.inode());
                    return;
                }
                _ => {}
            }
        }
    }
}
