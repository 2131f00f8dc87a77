// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values by key, in the keys' order.
//!
//! ```text
//! header  root node, length
//! ```
//!
//! A leaf that gains or loses a key is written anew, and so is each node above
//! that gains or loses a child; then one word, a child or the root, leads to
//! the new ones instead of the old. Nodes go when they are empty.
//! [`super::node`] has the rest of the layout.

use std::{
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use super::{
    CORRUPT,
    header::{Change, Header, Memory},
    node::{DEPTH, Node},
};
use crate::{Object, Persist, Writer, error::Result};

const ROOT: usize = 0;
const LENGTH: usize = 1;

/// Values by key, in order. See [`crate::collections`].
#[repr(C)]
pub struct BTreeMap<K, V> {
    header: Header<2>,
    _types: PhantomData<fn() -> (K, V)>,
}

// Words only, each of which may be anything.
crate::persist::persist_leaf!([K: Persist, V: Persist] BTreeMap<K, V>, "BTreeMap", K, V);

impl<K, V> Default for BTreeMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> BTreeMap<K, V> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { header: Header::new(), _types: PhantomData }
    }
}

/// The inner nodes from the root down, each with the child taken, and the leaf.
type Path<K, V> = (std::vec::Vec<(Node<K, V>, u64)>, Node<K, V>);

/// Entries of a leaf, and the first key that a later leaf may have.
type Batch<K, V> = (std::vec::Vec<(K, V)>, Option<K>);

impl<K: Persist + Copy + Ord, V: Persist> BTreeMap<K, V> {
    /// Has the contents come from the heap of another object; only while there
    /// are none.
    pub fn set_home<O, H>(&self, writer: &Writer<'_, O>, object: &Object<H>) -> Result<()> {
        self.header.set_home(writer, object, |memory| memory.word(ROOT) == 0)
    }

    /// How many keys there are.
    pub fn len(&self) -> Result<u64> {
        self.header.read(|memory| Ok(memory.word(LENGTH)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The leaf that a key is in, if it is anywhere; `visit` sees the inner
    /// nodes on the way, with the child that `choose` took.
    #[inline]
    fn descend(
        memory: &Memory<'_>,
        choose: impl Fn(&Node<K, V>) -> Result<u64>,
        mut visit: impl FnMut(&Node<K, V>, u64) -> Result<()>,
    ) -> Result<Option<Node<K, V>>> {
        let mut at = memory.word(ROOT);
        if at == 0 {
            return Ok(None);
        }
        for _ in 0..DEPTH {
            let node = Node::check(memory, at)?;
            if node.leaf {
                return Ok(Some(node));
            }
            let child = choose(&node)?;
            visit(&node, child)?;
            at = memory.value(node.child(child))?;
        }
        Err(CORRUPT)
    }

    fn path(memory: &Memory<'_>, key: &K) -> Result<Option<Path<K, V>>> {
        let mut above = std::vec::Vec::new();
        let leaf = Self::descend(
            memory,
            |node| node.child_for(memory, Some(key)),
            |node, child| {
                above.push((*node, child));
                Ok(())
            },
        )?;
        Ok(leaf.map(|leaf| (above, leaf)))
    }

    /// Where the value of a key is.
    #[inline]
    fn place(memory: &Memory<'_>, key: &K) -> Result<Option<u64>> {
        let leaf = Self::descend(memory, |node| node.child_for(memory, Some(key)), |_, _| Ok(()))?;
        let Some(leaf) = leaf else { return Ok(None) };
        Ok(leaf.search(memory, key)?.ok().map(|i| leaf.value(i)))
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &K) -> Result<bool> {
        self.header.read(|memory| Ok(Self::place(memory, key)?.is_some()))
    }

    /// A reference to the value of a key.
    pub fn get_ref(&self, key: &K) -> Result<Option<&V>> {
        let place = self.header.read(|memory| Self::place(memory, key))?;
        place.map(|place| self.header.reference(place)).transpose()
    }

    /// Sets the value of a key; returns whether the key is new.
    pub fn insert<O>(&self, writer: &Writer<'_, O>, key: K, value: V) -> Result<bool> {
        let mut change = self.header.change(writer)?;
        let length = change.memory.word(LENGTH).saturating_add(1);
        let Some((above, leaf)) = Self::path(&change.memory, &key)? else {
            let root = Node::make_leaves(&mut change, &[(key, value)])?;
            Self::hang(&mut change, std::vec::Vec::new(), root)?;
            change.set_word(LENGTH, length)?;
            change.commit()?;
            return Ok(true);
        };
        match leaf.search(&change.memory, &key)? {
            Ok(i) => {
                change.set_value(leaf.value(i), &value)?;
                change.commit()?;
                Ok(false)
            }
            Err(i) => {
                let mut entries = leaf.entries(&change.memory)?;
                entries.insert((i as usize).min(entries.len()), (key, value));
                let new = Node::make_leaves(&mut change, &entries)?;
                change.free(leaf.at);
                Self::hang(&mut change, above, new)?;
                change.set_word(LENGTH, length)?;
                change.commit()?;
                Ok(true)
            }
        }
    }

    /// Puts new nodes where the path led to an old one: none, one or two.
    fn hang(
        change: &mut Change<'_>,
        mut above: std::vec::Vec<(Node<K, V>, u64)>,
        mut new: std::vec::Vec<(K, u64)>,
    ) -> Result<()> {
        while let Some((parent, child)) = above.pop() {
            if let [(_, only)] = new[..] {
                return change.set_value(parent.child(child), &only);
            }
            let mut children = parent.children(&change.memory)?;
            // The parent's own key for the first: it may be lower than any there is.
            if let (Some(first), Some(old)) = (new.first_mut(), children.get(child as usize)) {
                first.0 = old.0;
            }
            let child = (child as usize).min(children.len().saturating_sub(1));
            children.splice(child..child + 1, new);
            change.free(parent.at);
            new = match children[..] {
                // A root with one child is that child.
                [only] if above.is_empty() => vec![only],
                _ => Node::<K, V>::make_inner(change, &children)?,
            };
        }
        let root = match new[..] {
            [] => 0,
            [(_, root)] => root,
            _ => Node::<K, V>::make_inner(change, &new)?.first().map_or(0, |(_, root)| *root),
        };
        change.set_word(ROOT, root)
    }

    /// Takes all keys away, and gives their memory back.
    pub fn clear<O>(&self, writer: &Writer<'_, O>) -> Result<()> {
        let mut change = self.header.change(writer)?;
        let mut below = match change.memory.word(ROOT) {
            0 => std::vec::Vec::new(),
            root => vec![(root, 0)],
        };
        // More nodes than fit into an object are nodes met twice.
        let mut left = twz_abi::SLOT / 64;
        while let Some((at, depth)) = below.pop() {
            left = left.checked_sub(1).filter(|_| depth < DEPTH).ok_or(CORRUPT)?;
            let node = Node::<K, V>::check(&change.memory, at)?;
            if !node.leaf {
                let children = node.children(&change.memory)?;
                below.extend(children.into_iter().map(|(_, child)| (child, depth + 1)));
            }
            change.free(at);
        }
        change.set_word(ROOT, 0)?;
        change.set_word(LENGTH, 0)?;
        change.commit()
    }
}

impl<K: Persist + Copy + Ord, V: Persist + Copy> BTreeMap<K, V> {
    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.header.read(|memory| match Self::place(memory, key)? {
            Some(place) => memory.value(place).map(Some),
            None => Ok(None),
        })
    }

    /// Takes a key away; returns its value.
    pub fn remove<O>(&self, writer: &Writer<'_, O>, key: &K) -> Result<Option<V>> {
        let mut change = self.header.change(writer)?;
        let Some((above, leaf)) = Self::path(&change.memory, key)? else { return Ok(None) };
        let Ok(i) = leaf.search(&change.memory, key)? else { return Ok(None) };
        let mut entries = leaf.entries(&change.memory)?;
        let (_, value) = entries.remove(i as usize);
        let new = Node::make_leaves(&mut change, &entries)?;
        change.free(leaf.at);
        Self::hang(&mut change, above, new)?;
        let length = change.memory.word(LENGTH).saturating_sub(1);
        change.set_word(LENGTH, length)?;
        change.commit()?;
        Ok(Some(value))
    }

    /// The smallest key and its value.
    pub fn first(&self) -> Result<Option<(K, V)>> {
        self.header.read(|memory| {
            let leaf = Self::descend(memory, |_| Ok(0), |_, _| Ok(()))?;
            leaf.map(|leaf| Ok((leaf.key(memory, 0)?, memory.value(leaf.value(0))?))).transpose()
        })
    }

    /// The largest key and its value.
    pub fn last(&self) -> Result<Option<(K, V)>> {
        self.header.read(|memory| {
            let leaf = Self::descend(memory, |node| Ok(node.count - 1), |_, _| Ok(()))?;
            let last = leaf.map(|leaf| (leaf, leaf.count - 1));
            last.map(|(leaf, i)| Ok((leaf.key(memory, i)?, memory.value(leaf.value(i))?)))
                .transpose()
        })
    }

    /// The entries of the leaf that keys from `from` on begin in, and the first
    /// key that a later leaf may have.
    fn batch(&self, from: Option<&K>) -> Result<Batch<K, V>> {
        self.header.read(|memory| {
            let mut next = None;
            let leaf = Self::descend(
                memory,
                |node| node.child_for(memory, from),
                |node, child| {
                    if child + 1 < node.count {
                        next = Some(node.key(memory, child + 1)?);
                    }
                    Ok(())
                },
            )?;
            Ok((leaf.map_or(Ok(std::vec::Vec::new()), |leaf| leaf.entries(memory))?, next))
        })
    }

    /// All keys with their values, in order. Those of one leaf are as they are
    /// at one instant.
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, V)>> + '_ {
        self.range(..)
    }

    /// The keys in a range with their values, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = Result<(K, V)>> + '_ {
        let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
        let mut from = match start {
            Bound::Included(key) | Bound::Excluded(key) => Some(Some(key)),
            Bound::Unbounded => Some(None),
        };
        let within = move |(key, _): &(K, V)| (start, end).contains(key);
        std::iter::from_fn(move || {
            let now = from.take()?;
            let (entries, next) = match self.batch(now.as_ref()) {
                Ok(batch) => batch,
                Err(error) => return Some(vec![Err(error)]),
            };
            let over = |key: &K| match &end {
                Bound::Included(end) => key > end,
                Bound::Excluded(end) => key >= end,
                Bound::Unbounded => false,
            };
            let mut items: std::vec::Vec<_> = entries.into_iter().filter(within).map(Ok).collect();
            match next {
                // Keys only ever go up, so this ends.
                Some(next) if now.is_some_and(|now| next <= now) => items.push(Err(CORRUPT)),
                Some(next) if !over(&next) => from = Some(Some(next)),
                _ => {}
            }
            Some(items)
        })
        .flatten()
    }
}
