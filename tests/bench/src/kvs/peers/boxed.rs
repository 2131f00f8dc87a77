// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `boxed`: the same table with each value in a box of its own, as in a
//! map of values of any size: the limit for a store that keeps them apart.

use std::path::Path;

use hashbrown::HashMap;

use super::hashbrown::Words;
use crate::{
    error::Failed,
    kvs::{racer::What, store::Store},
};

/// The map.
pub struct Boxed<const K: usize, const V: usize>(HashMap<Words<K>, Box<[u8; V]>>);

impl<const K: usize, const V: usize> Store<K, V> for Boxed<K, V> {
    const NAME: &'static str = "boxed";

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
            self.0.insert(Words(key), Box::new(value));
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
            key = next(self.0.get(&Words(key)).map(|value| &**value));
        }
        Ok(())
    }

    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        Ok(keys.map(|key| u64::from(self.0.remove(&Words(key)).is_some())).sum())
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        self.0.iter().for_each(|(key, value)| each(&key.0, &**value));
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        // SAFETY: a box that the map holds, from the allocator of this program.
        let size = |value: &[u8; V]| unsafe { libc::malloc_usable_size(value.as_ptr() as *mut _) };
        // The allocator keeps a word in front of each.
        let boxes: usize = self.0.values().map(|value| size(value) + size_of::<usize>()).sum();
        Ok((self.0.allocation_size() + boxes) as u64)
    }
}
