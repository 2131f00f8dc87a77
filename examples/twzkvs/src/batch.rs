// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many keys set at once, for who waits for a disk: [`Writer::put`] of `lib.rs` waits
//! several times for each key.
//!
//! What is stored and not yet synced reaches the disk in any order. So the values are
//! synced before there is a pointer to one. The pointer of a key that is there is then
//! one word: whichever of its two values it leads to after a power cut, that value is
//! there. A new key is several words and two counts, and which of them has to be there
//! first is the map's to see to: each of those is waited for by itself.

use twz::{Durability, Object, Record, Records, Result, Space};

use crate::Writer;

impl<const W: usize> Writer<'_, W> {
    /// Sets the values of many keys, the later of two that are the same. They survive
    /// a power cut when it has returned, and it waits for the disk once for all values
    /// and once for all keys that are there already. If it fails, any of them are set.
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
        let mut new = Vec::new();
        let set = || -> Result<()> {
            for ((key, _), record) in pairs.iter().zip(&records) {
                if map.contains_key(key)? {
                    map.insert(&self.lock, key, record)?;
                } else {
                    new.push((key, record));
                }
            }
            Ok(())
        };
        volatile(space, set)?;
        if new.len() < records.len() {
            self.index.persist(0, self.index.len()?)?;
        }
        new.iter().try_for_each(|(key, record)| map.insert(&self.lock, key, record).map(|_| ()))?;
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
