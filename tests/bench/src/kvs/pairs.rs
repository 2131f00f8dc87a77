// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pairs: the same for all stores. Every value begins with another key, so
//! that all keys are one cycle that a dependent lookup can follow.

use std::array;

use crate::ptr::Random;

/// A pair as it is kept here: the value is made of the key that it leads to.
#[derive(Clone, Copy)]
pub struct Pair<const K: usize> {
    /// The key.
    pub key: [u8; K],
    /// The key that its value begins with.
    pub next: [u8; K],
}

impl<const K: usize> Pair<K> {
    /// The pair itself.
    pub fn full<const V: usize>(&self) -> ([u8; K], [u8; V]) {
        (self.key, value(&self.next))
    }

    /// The pair with another value.
    pub fn changed<const V: usize>(&self) -> ([u8; K], [u8; V]) {
        (self.key, value(&self.key))
    }
}

/// A value that begins with this key, and repeats it.
fn value<const K: usize, const V: usize>(next: &[u8; K]) -> [u8; V] {
    array::from_fn(|at| next[at % K])
}

/// What is added up over the values that were found.
pub fn head(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// All pairs of a race.
pub struct Pairs<const K: usize> {
    /// Those that a full store holds, in the order in which they are put in.
    pub held: Vec<Pair<K>>,
    /// Others, to be put in and taken out.
    pub spare: Vec<Pair<K>>,
    /// The keys that are held in the order of their cycle, which has nothing to
    /// do with the order above.
    pub walk: Vec<[u8; K]>,
    /// Heads of all keys of `walk` before a position.
    sums: Vec<u64>,
}

impl<const K: usize> Pairs<K> {
    /// So many of them.
    pub fn new(held: usize, spare: usize) -> Self {
        let mut random = Random(0x006b_7673);
        let mut order: Vec<u32> = (0..held as u32).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let mut pairs: Vec<Pair<K>> =
            (0..held).map(|i| Pair { key: key(i as u64), next: [0; K] }).collect();
        let mut sums = vec![0u64];
        for (&from, &to) in order.iter().zip(order.iter().cycle().skip(1)) {
            pairs[from as usize].next = pairs[to as usize].key;
            let sum = sums.last().copied().unwrap_or(0);
            sums.push(sum.wrapping_add(head(&pairs[from as usize].key)));
        }
        let walk = order.iter().map(|&i| pairs[i as usize].key).collect();
        let spare = (held..held + spare).map(|i| key(i as u64)).map(|key| Pair { key, next: key });
        Self { held: pairs, spare: spare.collect(), walk, sums }
    }

    /// The key at a position of the walk.
    pub fn at(&self, position: usize) -> [u8; K] {
        self.walk[position % self.walk.len()]
    }

    /// What the heads of the values of `times` keys from a position add up to.
    pub fn expected(&self, position: usize, times: u64) -> u64 {
        let n = self.walk.len();
        let (from, to) = (position % n + 1, position % n + 1 + times as usize);
        let before = |end: usize| {
            self.sums[n].wrapping_mul((end / n) as u64).wrapping_add(self.sums[end % n])
        };
        before(to).wrapping_sub(before(from))
    }
}

/// Key number `i`: no two have the same first 8 bytes.
fn key<const K: usize>(i: u64) -> [u8; K] {
    let mut random = Random(i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17));
    let mut key = [0; K];
    // The first is a bijection of the number.
    for chunk in key.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
    }
    key
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_walk_is_one_cycle_and_its_sums_are_right() {
        let pairs = Pairs::<16>::new(100, 7);
        let keys: HashSet<_> = pairs.held.iter().chain(&pairs.spare).map(|p| p.key).collect();
        assert_eq!(keys.len(), 107);
        let next = |key: [u8; 16]| pairs.held.iter().find(|p| p.key == key).unwrap().next;
        for (start, times) in [(0, 100), (3, 1), (99, 5), (250, 333)] {
            let (mut at, mut sum) = (pairs.at(start), 0u64);
            for _ in 0..times {
                at = next(at);
                sum = sum.wrapping_add(head(&at));
            }
            assert_eq!(sum, pairs.expected(start, times as u64));
            assert_eq!(at, pairs.at(start + times));
        }
    }

    #[test]
    fn a_value_is_told_from_a_changed_one() {
        let pairs = Pairs::<8>::new(10, 0);
        assert!(pairs.held.iter().all(|p| p.full::<100>().1 != p.changed::<100>().1));
    }
}
