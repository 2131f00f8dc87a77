// SPDX-License-Identifier: MIT OR Apache-2.0
//! The nodes of a [`super::BTreeMap`]: blocks that are written once, and then
//! only a child or a value in them is ever changed.
//!
//! ```text
//! node    fingerprint of key and value, kind(32) count(32), keys, then
//!         values (leaf, kind 1) or nodes below (inner, kind 2)
//! ```
//!
//! Key `i` of an inner node is at most the smallest key below child `i`; key 0
//! is not looked at.

use std::marker::PhantomData;

use super::{
    CORRUPT,
    header::{Change, Memory},
};
use crate::{Persist, error::Result, persist::fingerprint};

const LEAF: u64 = 1;
const INNER: u64 = 2;
/// About what a node takes.
const BYTES: u64 = 512;
/// No tree in an object is deeper: every level at least doubles, but for
/// removals, and those leave no node empty.
pub const DEPTH: usize = 40;

const fn most(entry: u64) -> u64 {
    let fit = (BYTES - 16) / if entry == 0 { 1 } else { entry };
    if fit < 4 {
        4
    } else if fit > 62 {
        62
    } else {
        fit
    }
}

const fn larger(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

/// A node, checked.
pub struct Node<K, V> {
    /// Its block.
    pub at: u64,
    /// Whether it has values.
    pub leaf: bool,
    /// How many keys it has.
    pub count: u64,
    _types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Node<K, V> {}

impl<K: Persist + Copy + Ord, V: Persist> Node<K, V> {
    const FINGERPRINT: u64 =
        fingerprint("node", 0, 0, &[("key", K::FINGERPRINT, 0), ("value", V::FINGERPRINT, 0)]);
    const KEYS: u64 = larger(16, align_of::<K>() as u64);
    /// Most entries of a leaf.
    pub const LEAF: u64 = most(size_of::<K>() as u64 + size_of::<V>() as u64);
    /// Most entries of an inner node.
    pub const INNER: u64 = most(size_of::<K>() as u64 + 8);
    const VALUES: u64 = (Self::KEYS + Self::LEAF * size_of::<K>() as u64)
        .next_multiple_of(larger(8, align_of::<V>() as u64));
    const CHILDREN: u64 = (Self::KEYS + Self::INNER * size_of::<K>() as u64).next_multiple_of(8);
    const ALIGN: u64 = larger(larger(align_of::<K>() as u64, align_of::<V>() as u64), 16);

    /// The node that the block at `at` is alleged to be.
    #[inline]
    pub fn check(memory: &Memory<'_>, at: u64) -> Result<Self> {
        if at >= twz_abi::SLOT || memory.value::<u64>(at)? != Self::FINGERPRINT {
            return Err(CORRUPT);
        }
        let word: u64 = memory.value(at + 8)?;
        let (kind, count) = (word >> 32, word & u32::MAX as u64);
        let most = if kind == LEAF { Self::LEAF } else { Self::INNER };
        if !(kind == LEAF || kind == INNER) || count == 0 || count > most {
            return Err(CORRUPT);
        }
        Ok(Self { at, leaf: kind == LEAF, count, _types: PhantomData })
    }

    /// Key `i`.
    #[inline]
    pub fn key(&self, memory: &Memory<'_>, i: u64) -> Result<K> {
        memory.value(self.at + Self::KEYS + i * size_of::<K>() as u64)
    }

    /// Where value `i` of a leaf is.
    pub fn value(&self, i: u64) -> u64 {
        self.at + Self::VALUES + i * size_of::<V>() as u64
    }

    /// Where child `i` of an inner node is noted.
    pub fn child(&self, i: u64) -> u64 {
        self.at + Self::CHILDREN + i * 8
    }

    /// How many keys, from number `from` on, `is_before` holds for.
    #[inline]
    fn partition(
        &self,
        memory: &Memory<'_>,
        from: u64,
        is_before: impl Fn(&K) -> bool,
    ) -> Result<u64> {
        let (mut low, mut high) = (from, self.count);
        while low < high {
            let middle = (low + high) / 2;
            if is_before(&self.key(memory, middle)?) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The child to look for a key in; the first one for `None`.
    pub fn child_for(&self, memory: &Memory<'_>, key: Option<&K>) -> Result<u64> {
        match key {
            Some(key) => Ok(self.partition(memory, 1, |there| there <= key)? - 1),
            None => Ok(0),
        }
    }

    /// In a leaf: where a key is, or else where it would be.
    pub fn search(&self, memory: &Memory<'_>, key: &K) -> Result<std::result::Result<u64, u64>> {
        let at = self.partition(memory, 0, |there| there < key)?;
        let found = at < self.count && self.key(memory, at)? == *key;
        Ok(if found { Ok(at) } else { Err(at) })
    }

    /// The entries of a leaf.
    pub fn entries(&self, memory: &Memory<'_>) -> Result<Vec<(K, V)>> {
        (0..self.count).map(|i| Ok((self.key(memory, i)?, memory.value(self.value(i))?))).collect()
    }

    /// The entries of an inner node.
    pub fn children(&self, memory: &Memory<'_>) -> Result<Vec<(K, u64)>> {
        (0..self.count).map(|i| Ok((self.key(memory, i)?, memory.value(self.child(i))?))).collect()
    }

    /// Makes leaves of these entries: none, one or two. Returns the first key and
    /// the place of each.
    pub fn make_leaves(change: &mut Change<'_>, entries: &[(K, V)]) -> Result<Vec<(K, u64)>> {
        let len = Self::VALUES + Self::LEAF * size_of::<V>() as u64;
        halves(entries, Self::LEAF)
            .map(|half| {
                let node = Self::make(change, len, LEAF, half)?;
                for (i, (_, value)) in (0..).zip(half) {
                    change.init(node.value(i), value)?;
                }
                Ok((half[0].0, node.at))
            })
            .collect()
    }

    /// The same for inner nodes.
    pub fn make_inner(change: &mut Change<'_>, entries: &[(K, u64)]) -> Result<Vec<(K, u64)>> {
        let len = Self::CHILDREN + Self::INNER * 8;
        halves(entries, Self::INNER)
            .map(|half| {
                let node = Self::make(change, len, INNER, half)?;
                for (i, (_, child)) in (0..).zip(half) {
                    change.init(node.child(i), child)?;
                }
                Ok((half[0].0, node.at))
            })
            .collect()
    }

    fn make<W>(change: &mut Change<'_>, len: u64, kind: u64, of: &[(K, W)]) -> Result<Self> {
        let at = change.alloc(len, Self::ALIGN)?;
        let count = of.len() as u64;
        change.init(at, &Self::FINGERPRINT)?;
        change.init(at + 8, &(kind << 32 | count))?;
        for (i, (key, _)) in (0..).zip(of) {
            change.init(at + Self::KEYS + i * size_of::<K>() as u64, key)?;
        }
        Ok(Self { at, leaf: kind == LEAF, count, _types: PhantomData })
    }
}

/// What fits in one node as it is, and more in two halves.
fn halves<E>(entries: &[E], most: u64) -> impl Iterator<Item = &[E]> {
    let at = if entries.len() as u64 > most { entries.len() / 2 } else { entries.len() };
    let (first, second) = entries.split_at(at);
    [first, second].into_iter().filter(|half| !half.is_empty())
}
