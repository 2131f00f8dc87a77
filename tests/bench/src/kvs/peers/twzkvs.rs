// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject: twzkvs, an index object that points into data objects, in a pool
//! directory. It begins small and grows, as those do that can.

use std::path::{Path, PathBuf};

use twz::{Durability, EmbeddedPool, InitOptions, Space};
use twzkvs::{Kvs, Options};

use crate::{
    error::Failed,
    kvs::store::{Store, files, whole},
};

/// What the store is called in its pool.
const NAME: &str = "kvs";

/// A store whose keys are `W` words.
pub struct Twzkvs<const W: usize> {
    kvs: Kvs<W>,
    space: Space,
    directory: PathBuf,
}

impl<const W: usize> Twzkvs<W> {
    /// The pool in a directory, where nothing is to survive a power cut unless it is
    /// said: the space would choose that by itself, as flushing is forced here.
    fn space(path: &Path) -> Result<Space, Failed> {
        let space = Space::open(path)?;
        space.set_durability(Durability::Process);
        Ok(space)
    }

    fn put<const K: usize, const V: usize>(
        &self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        let mut writer = self.kvs.write()?;
        pairs.try_for_each(|(key, value)| Ok(writer.put(&key, &value)?))
    }
}

impl<const W: usize, const K: usize, const V: usize> Store<K, V> for Twzkvs<W> {
    const NAME: &'static str = "twzkvs";

    fn create(directory: &Path, _: usize) -> Result<Self, Failed> {
        let path = directory.join("pool");
        EmbeddedPool::init(&path, &InitOptions::default())?;
        let space = Self::space(&path)?;
        let kvs = Kvs::create(&space, &Options::default())?;
        // Below valgrind there is no openat2(2), which names need, and nobody who
        // opens the store again: who does finds no name, and says so.
        let _ = space.bind(NAME, kvs.id());
        Ok(Self { kvs, space, directory: path })
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        let path = directory.join("pool");
        let space = Self::space(&path)?;
        let kvs = Kvs::open(&space, space.resolve(NAME)?)?;
        Ok(Self { kvs, space, directory: path })
    }

    fn insert(&mut self, pairs: impl Iterator<Item = ([u8; K], [u8; V])>) -> Result<(), Failed> {
        self.put(pairs)
    }

    fn insert_durable(
        &mut self,
        pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        self.space.set_durability(Durability::Power);
        let put = self.put(pairs);
        self.space.set_durability(Durability::Process);
        put
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
        let mut writer = self.kvs.write()?;
        keys.try_fold(0, |gone, key| Ok(gone + u64::from(writer.delete(&key)?)))
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
