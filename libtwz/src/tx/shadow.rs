// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a transaction is going to write: the words it has written to, by place,
//! in the order in which it came to them.

/// Entries that are looked through one by one; more are found by their hash.
const FEW: usize = 12;

/// One word to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    /// The object's number in the transaction << 27 | the word's number in its slot.
    pub key: u64,
    /// What it is to be, as far as `mask` goes.
    pub value: u64,
    /// The bytes that are written.
    pub mask: u8,
    /// Readers look at it before and after.
    pub guard: bool,
}

/// What an entry was before an inner transaction changed it.
#[derive(Clone, Copy, Debug)]
struct Was {
    at: u32,
    value: u64,
    mask: u8,
    guard: bool,
}

#[derive(Default, Debug)]
pub(crate) struct Shadow {
    words: Vec<Word>,
    /// Where each key's entry is, +1; open addressing.
    table: Vec<u32>,
    indexed: usize,
    /// No key is this or above: what is written in order is not looked for.
    end: u64,
    journal: Vec<Was>,
    journaling: bool,
}

/// A point that an inner transaction goes back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    words: usize,
    journal: usize,
    journaling: bool,
}

/// The key of a word.
#[inline(always)]
pub(crate) fn key_of(object: u32, offset: u64) -> u64 {
    (object as u64) << 27 | offset >> 3
}

/// All the bits of the bytes in a mask.
#[inline(always)]
pub(super) fn bits_of(mask: u8) -> u64 {
    if mask == 0xff {
        return !0;
    }
    (0..8).filter(|i| mask & 1 << i != 0).fold(0, |bits, i| bits | 0xff << (8 * i))
}

impl Shadow {
    /// Forgets everything.
    #[inline]
    pub fn clear(&mut self) {
        if self.indexed != 0 {
            self.table.clear();
            self.indexed = 0;
        }
        self.words.clear();
        self.end = 0;
        self.journal.clear();
        self.journaling = false;
    }

    /// The words, in the order in which they were first written.
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    fn slot(&self, key: u64) -> usize {
        let mask = self.table.len() - 1;
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        loop {
            match self.table[at] {
                0 => return at,
                entry if self.words[entry as usize - 1].key == key => return at,
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Brings the index up to date; afterwards there is room for one more.
    #[cold]
    fn index(&mut self) {
        if self.table.len() < (self.words.len() + 1) * 2 {
            self.table.clear();
            self.table.resize(((self.words.len() + 1) * 4).next_power_of_two(), 0);
            self.indexed = 0;
        }
        while self.indexed < self.words.len() {
            let at = self.slot(self.words[self.indexed].key);
            self.indexed += 1;
            self.table[at] = self.indexed as u32;
        }
    }

    #[inline]
    fn position(&mut self, key: u64) -> Option<usize> {
        if key >= self.end {
            return None;
        }
        if self.words.len() <= FEW {
            return self.words.iter().position(|word| word.key == key);
        }
        if self.indexed < self.words.len() {
            self.index();
        }
        match self.table[self.slot(key)] {
            0 => None,
            entry => Some(entry as usize - 1),
        }
    }

    /// What is to be written to a word, if anything.
    #[inline]
    pub fn find(&mut self, key: u64) -> Option<Word> {
        self.position(key).map(|at| self.words[at])
    }

    /// Writes the bytes of a word that are in `mask`.
    #[inline]
    pub fn write(&mut self, key: u64, value: u64, mask: u8, guard: bool) {
        match self.position(key) {
            Some(at) => {
                let word = &mut self.words[at];
                if self.journaling {
                    let Word { value, mask, guard, .. } = *word;
                    self.journal.push(Was { at: at as u32, value, mask, guard });
                }
                let bits = bits_of(mask);
                word.value = word.value & !bits | value & bits;
                word.mask |= mask;
                word.guard |= guard;
            }
            None => {
                self.end = self.end.max(key + 1);
                self.words.push(Word { key, value, mask, guard });
            }
        }
    }

    /// Takes a word out of what is to be written.
    pub fn forget(&mut self, key: u64) {
        if let Some(at) = self.position(key) {
            let word = &mut self.words[at];
            if self.journaling {
                let Word { value, mask, guard, .. } = *word;
                self.journal.push(Was { at: at as u32, value, mask, guard });
            }
            word.mask = 0;
        }
    }

    /// Begins an inner transaction.
    pub fn mark(&mut self) -> Mark {
        let mark = Mark {
            words: self.words.len(),
            journal: self.journal.len(),
            journaling: self.journaling,
        };
        self.journaling = true;
        mark
    }

    /// It has ended well.
    pub fn keep(&mut self, mark: Mark) {
        self.journaling = mark.journaling;
        if !mark.journaling {
            self.journal.clear();
        }
    }

    /// It has not.
    pub fn go_back(&mut self, mark: Mark) {
        while self.journal.len() > mark.journal {
            let Some(was) = self.journal.pop() else { break };
            if let Some(word) = self.words.get_mut(was.at as usize) {
                (word.value, word.mask, word.guard) = (was.value, was.mask, was.guard);
            }
        }
        self.words.truncate(mark.words);
        self.table.clear();
        self.indexed = 0;
        self.journaling = mark.journaling;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_counts_and_bytes_add_up() {
        for others in [0, 5, 1000] {
            let mut shadow = Shadow::default();
            (0..others).for_each(|i| shadow.write(key_of(3, 8 * i), i, 0xff, false));
            let key = key_of(1, 4096);
            assert!(shadow.find(key).is_none());
            shadow.write(key, 0x11, 1, false);
            shadow.write(key, 0x2200, 2, false);
            shadow.write(key, 0x33, 1, true);
            let word = shadow.find(key).unwrap();
            assert_eq!((word.value & 0xffff, word.mask, word.guard), (0x2233, 3, true));
            assert_eq!(shadow.words().len() as u64, others + 1);
            shadow.clear();
            assert!(shadow.find(key).is_none());
        }
    }

    #[test]
    fn an_inner_one_that_fails_leaves_what_was() {
        for others in [0, 100] {
            let mut shadow = Shadow::default();
            (0..others).for_each(|i| shadow.write(key_of(3, 8 * i), i, 0xff, false));
            let [a, b] = [key_of(0, 8), key_of(0, 16)];
            shadow.write(a, 1, 0xff, false);
            let outer = shadow.mark();
            shadow.write(a, 2, 0xff, false);
            let inner = shadow.mark();
            shadow.write(a, 3, 0xff, false);
            shadow.write(b, 4, 0xff, false);
            shadow.forget(a);
            shadow.go_back(inner);
            assert_eq!(shadow.find(a).unwrap().value, 2);
            assert!(shadow.find(b).is_none());
            let inner = shadow.mark();
            shadow.write(a, 5, 0xff, false);
            shadow.keep(inner);
            assert_eq!(shadow.find(a).unwrap().value, 5);
            shadow.go_back(outer);
            let word = shadow.find(a).unwrap();
            assert_eq!((word.value, word.mask), (1, 0xff));
        }
    }
}
