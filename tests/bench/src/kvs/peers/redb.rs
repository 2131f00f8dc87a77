// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `redb`. A batch is one transaction, which is not made durable; each
//! durable insert is one that is.

use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableTable as _, TableDefinition};

use crate::{
    error::Failed,
    kvs::store::{Store, files, whole},
};

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("kvs");

/// A database of redb's.
pub struct Redb {
    database: Database,
    directory: PathBuf,
}

impl Redb {
    fn put<const K: usize, const V: usize>(
        &self,
        durability: Durability,
        pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        let mut write = self.database.begin_write()?;
        write.set_durability(durability);
        {
            let mut table = write.open_table(TABLE)?;
            for (key, value) in pairs {
                table.insert(&key[..], &value[..])?;
            }
        }
        Ok(write.commit()?)
    }
}

impl<const K: usize, const V: usize> Store<K, V> for Redb {
    const NAME: &'static str = "redb";
    const SLOW: bool = true;

    fn create(directory: &Path, _: usize) -> Result<Self, Failed> {
        let made = Self {
            database: Database::create(directory.join("redb"))?,
            directory: directory.into(),
        };
        made.put::<K, V>(Durability::Immediate, std::iter::empty())?;
        Ok(made)
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        let database = Database::open(directory.join("redb"))?;
        Ok(Self { database, directory: directory.into() })
    }

    fn insert(&mut self, pairs: impl Iterator<Item = ([u8; K], [u8; V])>) -> Result<(), Failed> {
        self.put(Durability::None, pairs)
    }

    fn insert_durable(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        pairs.try_for_each(|pair| self.put(Durability::Immediate, std::iter::once(pair)))
    }

    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut key = first;
        for _ in 0..times {
            key = match table.get(&key[..])? {
                Some(found) => next(Some(whole(found.value())?)),
                None => next(None),
            };
        }
        Ok(())
    }

    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::None);
        let mut gone = 0;
        {
            let mut table = write.open_table(TABLE)?;
            for key in keys {
                gone += u64::from(table.remove(&key[..])?.is_some());
            }
        }
        write.commit()?;
        Ok(gone)
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        for pair in self.database.begin_read()?.open_table(TABLE)?.iter()? {
            let (key, value) = pair?;
            each(key.value(), value.value());
        }
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        files(&self.directory)
    }
}
