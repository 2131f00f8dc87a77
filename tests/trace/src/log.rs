// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log: one [`Record`] after another, 32 bytes each, in the order in which
//! the one processor did it.

/// Bytes of a record.
pub const SIZE: usize = 32;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `len` bytes at physical address `at` became `value`.
    Store,
    /// The same, past the caches: on its way to the medium already.
    StorePast,
    /// The cache line at `at` is on its way.
    Flush,
    /// The same, of a line of which nobody knows where it is: `at` is virtual.
    FlushLost,
    /// `sfence` or `mfence`.
    Fence,
    /// An instruction that fences too, as a locked one does.
    Locked,
    /// A program says something: what is in `at`, with `value`.
    Mark,
    /// The first record: what is logged is `value` bytes at `at`, all zeros so far.
    Range,
}

const KINDS: [Kind; 8] = [
    Kind::Store,
    Kind::StorePast,
    Kind::Flush,
    Kind::FlushLost,
    Kind::Fence,
    Kind::Locked,
    Kind::Mark,
    Kind::Range,
];

/// One thing that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What.
    pub kind: Kind,
    /// How many bytes, of a store.
    pub len: u32,
    /// Where.
    pub at: u64,
    /// With which value.
    pub value: u64,
    /// The address of the instruction.
    pub by: u64,
}

impl Record {
    /// As bytes.
    pub fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..4].copy_from_slice(&(self.kind as u32 + 1).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        for (i, word) in [self.at, self.value, self.by].into_iter().enumerate() {
            bytes[8 + i * 8..16 + i * 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// From bytes, if they are one.
    pub fn from_bytes(bytes: &[u8; SIZE]) -> Option<Self> {
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let kind = *KINDS.get((half(0) as usize).checked_sub(1)?)?;
        Some(Self { kind, len: half(4), at: word(8), value: word(16), by: word(24) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for (i, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
            let record = Record { kind, len: 8, at: 1 << 32, value: u64::MAX, by: 7 };
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
        assert_eq!(Record::from_bytes(&[0; SIZE]), None);
        assert_eq!(Record::from_bytes(&[9; SIZE]), None);
    }
}
