// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `unixkvs`: the same structure in two mapped files, in plain POSIX. It
//! takes its lock for a batch of inserts, and for each delete.

use std::path::{Path, PathBuf};

use unixkvs::UnixKvs;

use crate::{
    error::Failed,
    kvs::store::{Store, files, whole},
};

/// A store whose keys are `W` words.
pub struct Unixkvs<const W: usize> {
    kvs: UnixKvs<W>,
    directory: PathBuf,
}

impl<const W: usize, const K: usize, const V: usize> Store<K, V> for Unixkvs<W> {
    const NAME: &'static str = "unixkvs";

    fn create(directory: &Path, _: usize) -> Result<Self, Failed> {
        Ok(Self { kvs: UnixKvs::create(directory, 0)?, directory: directory.into() })
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        Ok(Self { kvs: UnixKvs::open(directory)?, directory: directory.into() })
    }

    fn insert(&mut self, pairs: impl Iterator<Item = ([u8; K], [u8; V])>) -> Result<(), Failed> {
        Ok(self.kvs.put_all(pairs)?)
    }

    fn insert_durable(
        &mut self,
        pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        self.kvs.set_durable(true);
        let put = self.kvs.put_all(pairs);
        self.kvs.set_durable(false);
        Ok(put?)
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
            key = next(self.kvs.get(&key)?.map(whole).transpose()?);
        }
        Ok(())
    }

    fn delete(&mut self, mut keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        keys.try_fold(0, |gone, key| Ok(gone + u64::from(self.kvs.delete(&key)?)))
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        for pair in self.kvs.iter() {
            let (key, value) = pair?;
            each(&key, value);
        }
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        files(&self.directory)
    }
}
