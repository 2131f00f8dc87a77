// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program in the machine says to whoever reads the log. It says it with
//! `cpuid`, which any program may use and no kernel sees: [`ASKS`] in eax, which no
//! processor has a leaf for, one of these in ecx, and a value in rsi.

/// In eax: a mark, and no question about the processor.
pub const ASKS: u32 = 0x547a_574d;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Eight bytes more of the text that the next mark needs, zeros at its end.
    Text,
    /// A pool begins at this physical address.
    Pool,
    /// It has so many bytes.
    Length,
    /// A case begins, called as the text says, with the promise of this number.
    Begin,
    /// An operation of the case has returned.
    Done,
    /// The case is over.
    End,
}

const MARKS: [Mark; 6] = [Mark::Text, Mark::Pool, Mark::Length, Mark::Begin, Mark::Done, Mark::End];

impl Mark {
    /// In ecx.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// What a number says, if anything.
    pub fn numbered(number: u64) -> Option<Self> {
        MARKS.get(usize::try_from(number).ok()?).copied()
    }
}

/// What is promised of a case, as its number says: in the words of the crash model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// All of it or nothing.
    Whole,
    /// Each word of the data is old or new; the rest all or nothing.
    Words,
    /// All or nothing, but for the number of free pages.
    Shown,
}

impl Promise {
    /// What a number says, if anything.
    pub fn numbered(number: u64) -> Option<Self> {
        [Self::Whole, Self::Words, Self::Shown].get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_they_are() {
        for (i, mark) in MARKS.into_iter().enumerate() {
            assert_eq!((mark.number(), Mark::numbered(i as u64)), (i as u32, Some(mark)));
        }
        assert_eq!(Mark::numbered(99), None);
        assert_eq!(Promise::numbered(Promise::Shown as u64), Some(Promise::Shown));
        assert_eq!(Promise::numbered(3), None);
    }
}
