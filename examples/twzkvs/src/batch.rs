// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many keys set at once, for who waits for a disk: [`Writer::put`] of `lib.rs` waits
//! several times for each key.
//!
//! What is stored and not yet synced reaches the disk in any order. So the values are
//! synced before there is a pointer to one; the pointers are the map's to see to.

use twz::{Durability, Object, Record, Records, Result, Space};

use crate::Writer;

impl<const W: usize> Writer<'_, W> {
    /// Sets the values of many keys, the later of two that are the same. They survive
    /// a power cut when it has returned, and it waits for the disk once for all values
    /// and, as `PtrMap::insert_all` does, a few times for all keys. If it fails, any of
    /// them are set.
    ///
    /// It is for a page cache; on persistent memory [`Writer::put`] of each is faster.
    /// Meanwhile no other thread may change anything through the same [`Space`].
    pub fn put_all(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        let data = self.take_data()?;
        let done = self.put_most(&data, pairs);
        self.data = Some(data);
        // Where the data object was full, or whatever else is in the way.
        pairs[done?..].iter().try_for_each(|(key, value)| self.put(key, value))
    }

    /// The same for as many of them as the data object has room for; how many.
    fn put_most(&self, data: &Object<Records>, pairs: &[(&[u8], &[u8])]) -> Result<usize> {
        let (space, map, reach) = (self.index.space(), &self.index.root().map, data.len()?);
        let append = |(_, value): &(_, &[u8])| data.append(value).ok();
        let records: Vec<&Record> = volatile(space, || pairs.iter().map_while(append).collect());
        match data.len()? == reach {
            true => data.persist(0, data.used())?,
            false => data.sync()?,
        }
        let set: Vec<_> =
            pairs.iter().zip(&records).map(|((key, _), record)| (*key, *record)).collect();
        map.insert_all(&self.lock, &set)?;
        Ok(records.len())
    }
}

/// Does something of which nothing has to be durable yet.
fn volatile<R>(space: &Space, change: impl FnOnce() -> R) -> R {
    let before = space.durability();
    space.set_durability(Durability::Process);
    let changed = change();
    space.set_durability(before);
    changed
}
