// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every store is asked to do, whatever it is.
//!
//! A whole batch is handed over in one call, so that a store with transactions
//! can do it in one, as one would who has many to do, and so that there is no
//! call through a table between a batch's operations. See `peers` for who
//! implements it.

use std::path::Path;

use super::racer::What;
use crate::error::Failed;

/// A store of pairs with keys of `K` bytes and values of `V`.
pub trait Store<const K: usize, const V: usize>: Sized {
    /// Its name in the report.
    const NAME: &'static str;

    /// Whether it takes part in fewer rounds, so that the others need not wait.
    const SLOW: bool = false;

    /// Whether it can do this at all.
    fn races(_what: What) -> bool {
        true
    }

    /// A new one in an empty directory. A store that can grow begins small; one
    /// that cannot may make room for `pairs`.
    fn create(directory: &Path, pairs: usize) -> Result<Self, Failed>;

    /// The one that is in a directory.
    fn open(directory: &Path) -> Result<Self, Failed>;

    /// Puts pairs in, the fastest way there is if none need survive a power cut
    /// yet. A key that is there gets the new value.
    fn insert(&mut self, pairs: impl Iterator<Item = ([u8; K], [u8; V])>) -> Result<(), Failed>;

    /// Puts pairs in, each of which survives a power cut before the next begins.
    fn insert_durable(
        &mut self,
        pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed>;

    /// Looks up `times` keys: the first, and then each that `next` answers when
    /// it is shown what was found.
    fn get(
        &self,
        first: [u8; K],
        times: u64,
        next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed>;

    /// Takes keys out, like [`Store::insert`] puts them in; how many were there.
    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed>;

    /// Shows every pair once, in any order.
    fn iterate(&self, each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed>;

    /// Bytes of memory or of files that it takes.
    fn space(&self) -> Result<u64, Failed>;
}

/// A value as the array it is.
pub fn whole<const V: usize>(found: &[u8]) -> Result<&[u8; V], Failed> {
    found.try_into().map_err(|_| Failed::new("a value has come back with another size"))
}

/// Bytes that the files in a directory take, holes not counted.
pub fn files(directory: &Path) -> Result<u64, Failed> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => files(&entry.path())?,
            false => entry.metadata()?.blocks() * 512,
        };
    }
    Ok(bytes)
}
