// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `sled`. Nothing is flushed in the background; a durable insert is
//! one with a flush.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    error::Failed,
    kvs::store::{Store, files, whole},
};

/// Milliseconds to wait for it to let go.
const PATIENCE: usize = 30_000;

/// A tree of sled's.
pub struct Sled {
    tree: sled::Db,
    directory: PathBuf,
}

impl Sled {
    fn at(directory: &Path) -> Result<Self, Failed> {
        let config = sled::Config::new()
            .path(directory.join("sled"))
            .mode(sled::Mode::HighThroughput)
            .cache_capacity(4 << 30)
            .flush_every_ms(None);
        // One that was closed just now may still have a thread that is at its end,
        // and with it the lock.
        let mut patience = PATIENCE;
        loop {
            match config.open() {
                Ok(tree) => return Ok(Self { tree, directory: directory.into() }),
                Err(sled::Error::Io(_)) if patience > 0 => patience -= 1,
                Err(error) => return Err(error.into()),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl<const K: usize, const V: usize> Store<K, V> for Sled {
    const NAME: &'static str = "sled";
    const SLOW: bool = true;

    fn create(directory: &Path, _: usize) -> Result<Self, Failed> {
        Self::at(directory)
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        Self::at(directory)
    }

    fn insert(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        pairs.try_for_each(|(key, value)| {
            self.tree.insert(key, &value[..])?;
            Ok(())
        })
    }

    fn insert_durable(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        pairs.try_for_each(|(key, value)| {
            self.tree.insert(key, &value[..])?;
            self.tree.flush()?;
            Ok(())
        })
    }

    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        let mut key = first;
        for _ in 0..times {
            key = match self.tree.get(key)? {
                Some(found) => next(Some(whole(&found)?)),
                None => next(None),
            };
        }
        Ok(())
    }

    fn delete(&mut self, mut keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        keys.try_fold(0, |gone, key| Ok(gone + u64::from(self.tree.remove(key)?.is_some())))
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        for pair in self.tree.iter() {
            let (key, value) = pair?;
            each(&key, &value);
        }
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        self.tree.flush()?;
        files(&self.directory)
    }
}
