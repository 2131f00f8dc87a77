// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of one descriptor, in 64 bits, so that one compare-and-swap changes
//! it: whoever claims bytes by moving the offset has also proven that the number
//! still means the same file.

/// Offsets from here on are the kernel's.
pub const MAX_OFFSET: u64 = 1 << 47;
/// Numbers of inodes: 0 is none.
pub const INODES: usize = 1 << 10;

const INODE_AT: u32 = 47;
const READ: u64 = 1 << 57;
const WRITE: u64 = 1 << 58;
const SHARED: u64 = 1 << 59;
const STATE_AT: u32 = 60;

/// Where a descriptor's offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The kernel's; the descriptor is not ours.
    None,
    /// The kernel's; nothing is known yet.
    Counting,
    /// The kernel's.
    Kernel,
    /// In the word.
    User,
    /// Being moved.
    Busy,
}

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    /// Of a descriptor that is not ours.
    pub const NONE: Self = Self(0);

    /// Of one that was just opened. The count of all that ever were stands where the
    /// offset would, so that two on the same number are told apart.
    pub const fn opened(read: bool, write: bool, count: u64) -> Self {
        let may = if read { READ } else { 0 } | if write { WRITE } else { 0 };
        Self(Self(may).with(State::Counting).0 | count & (MAX_OFFSET - 1))
    }

    pub const fn state(self) -> State {
        match self.0 >> STATE_AT {
            1 => State::Counting,
            2 => State::Kernel,
            3 => State::User,
            4 => State::Busy,
            _ => State::None,
        }
    }

    /// The same, elsewhere; no offset is left in it.
    pub const fn with(self, state: State) -> Self {
        let kept = self.0 & ((1 << STATE_AT) - 1) & !(MAX_OFFSET - 1);
        Self(kept | (state as u64) << STATE_AT)
    }

    /// The same, with the offset in it.
    pub const fn user(self, offset: u64) -> Self {
        Self(self.with(State::User).0 | offset & (MAX_OFFSET - 1))
    }

    pub const fn offset(self) -> u64 {
        self.0 & (MAX_OFFSET - 1)
    }

    pub const fn inode(self) -> usize {
        (self.0 >> INODE_AT) as usize & (INODES - 1)
    }

    pub const fn of_inode(self, inode: usize) -> Self {
        let mask = ((INODES - 1) as u64) << INODE_AT;
        Self(self.0 & !mask | (inode as u64) << INODE_AT & mask)
    }

    pub const fn may_read(self) -> bool {
        self.0 & READ != 0
    }

    /// Whether a write goes where the offset says and may be a store.
    pub const fn may_write(self) -> bool {
        self.0 & WRITE != 0
    }

    pub const fn read_only(self) -> Self {
        Self(self.0 & !WRITE)
    }

    /// Whether somebody else may see its offset: then it is never ours.
    pub const fn is_shared(self) -> bool {
        self.0 & SHARED != 0
    }

    pub const fn shared(self) -> Self {
        Self(self.0 | SHARED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_apart() {
        let word = Word::opened(true, false, 5).of_inode(1023).user(MAX_OFFSET - 1);
        assert_eq!(
            (word.state(), word.inode(), word.offset()),
            (State::User, 1023, MAX_OFFSET - 1)
        );
        assert!(word.may_read() && !word.may_write() && !word.is_shared());
        let word = word.shared().with(State::Kernel);
        assert_eq!((word.state(), word.inode(), word.offset()), (State::Kernel, 1023, 0));
        assert!(word.is_shared() && word.may_read());
        assert_eq!(word.of_inode(1).inode(), 1);
        assert_eq!(Word::opened(false, true, 7).read_only(), Word::opened(false, false, 7));
        assert_ne!(Word::opened(true, true, 1), Word::opened(true, true, 2));
        assert_eq!(Word::NONE.state(), State::None);
    }

    #[test]
    fn states_are_their_numbers() {
        for state in [State::None, State::Counting, State::Kernel, State::User, State::Busy] {
            assert_eq!(Word::NONE.with(state).state(), state);
        }
    }
}
