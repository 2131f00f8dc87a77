// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `hashbrown`: keys and values inline in a table in DRAM. It keeps
//! nothing, and is the limit.

use std::{
    hash::{Hash, Hasher},
    path::Path,
};

use hashbrown::HashMap;

use crate::{
    error::Failed,
    kvs::{racer::What, store::Store},
};

/// A key that is hashed as words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words<const K: usize>(pub [u8; K]);

impl<const K: usize> Hash for Words<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, rest) = self.0.as_chunks::<8>();
        words.iter().for_each(|word| state.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            state.write(rest);
        }
    }
}

/// The map.
pub struct Hashbrown<const K: usize, const V: usize>(HashMap<Words<K>, [u8; V]>);

impl<const K: usize, const V: usize> Store<K, V> for Hashbrown<K, V> {
    const NAME: &'static str = "hashbrown";

    fn races(what: What) -> bool {
        !matches!(what, What::InsertDurable | What::Reopen)
    }

    fn create(_: &Path, _: usize) -> Result<Self, Failed> {
        Ok(Self(HashMap::new()))
    }

    fn open(_: &Path) -> Result<Self, Failed> {
        Err(Failed::new("a map in DRAM is gone when it is closed"))
    }

    fn insert(&mut self, pairs: impl Iterator<Item = ([u8; K], [u8; V])>) -> Result<(), Failed> {
        pairs.for_each(|(key, value)| {
            self.0.insert(Words(key), value);
        });
        Ok(())
    }

    fn insert_durable(
        &mut self,
        _: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        Err(Failed::new("a map in DRAM is not durable"))
    }

    #[inline]
    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        let mut key = first;
        for _ in 0..times {
            key = next(self.0.get(&Words(key)));
        }
        Ok(())
    }

    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        Ok(keys.map(|key| u64::from(self.0.remove(&Words(key)).is_some())).sum())
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        self.0.iter().for_each(|(key, value)| each(&key.0, value));
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        Ok(self.0.allocation_size() as u64)
    }
}
