// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys and values that outlive programs: an index object whose pointers lead into
//! data objects.
//!
//! ```text
//! index   a map from keys to pointers, and a pointer to the data object in use
//! data    records, each a value: written once, and never changed
//! ```
//!
//! [`Kvs::get`] hands out the value where it lies, without a lock. A value is set by
//! one store of a pointer to what is there and never changes, so a reader in whatever
//! process sees a value whole, the one before or the one after. One [`Writer`] at a
//! time changes things; one that is killed leaves each key as before or after.
//!
//! Who may see what is not decided here, but by the rights of the objects: the values
//! of one index can lie in data objects of as many owners as there are, and a value
//! can be in many indexes. In a space with [`twz::Durability::Power`] a put that has
//! returned survives the plug.
#![forbid(unsafe_code)]

mod batch;

use twz::{
    Error, NewObject, Object, ObjectId, Persist, Ptr, Record, Records, Result, Rights, Space,
    collections::PtrMap,
};

/// The root of an index.
#[derive(Persist)]
#[repr(C)]
pub struct Index<const W: usize> {
    map: PtrMap<Record, W>,
    data: Ptr<Records>,
}

/// Keys, and their values or why they cannot be seen.
pub type Rows<'a> = Vec<(Vec<u8>, Result<&'a [u8]>)>;

/// What a store shall be.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys of `8 * W` bytes to make room for; it grows past that by itself.
    pub capacity: u64,
    /// Rights and owner of the index.
    pub index: NewObject,
    /// Rights and owner of the data objects that it makes by itself.
    pub data: NewObject,
}

/// A store. Keys of just `8 * W` bytes are the fastest, but any will do.
pub struct Kvs<const W: usize = 2> {
    index: Object<Index<W>>,
}

/// The right to change a store: one thread of one process has it at a time.
pub struct Writer<'a, const W: usize = 2> {
    index: &'a Object<Index<W>>,
    lock: twz::Writer<'a, Index<W>>,
    data: Option<Object<Records>>,
}

impl<const W: usize> Kvs<W> {
    /// Makes one.
    pub fn create(space: &Space, options: &Options) -> Result<Self> {
        let root = Index { map: PtrMap::new(), data: Ptr::null() };
        let kvs = Self { index: space.create_with(&options.index, root)? };
        kvs.index.root().data.store(space.create_records(&options.data)?.root())?;
        kvs.index.root().map.reserve(&kvs.index.lock()?, options.capacity.max(1))?;
        kvs.index.sync()?;
        Ok(kvs)
    }

    /// Opens one by its index.
    pub fn open(space: &Space, id: ObjectId) -> Result<Self> {
        Ok(Self { index: space.open_object(id)? })
    }

    /// The index.
    pub fn id(&self) -> ObjectId {
        self.index.id()
    }

    /// The space that it is in.
    pub fn space(&self) -> &Space {
        self.index.space()
    }

    /// How many keys there are.
    pub fn len(&self) -> u64 {
        self.index.root().map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key, where it lies.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        self.index.root().map.bytes(key)
    }

    /// Whether a key is there, which the index alone says.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        self.index.root().map.contains_key(key)
    }

    /// The record that is a key's value, to be linked from another index.
    pub fn find(&self, key: &[u8]) -> Result<Option<&Record>> {
        self.index.root().map.get(key)
    }

    /// Some of the keys, and from where to go on: 0 to begin with, and at the end.
    /// Keys that are there all the while are among them, whatever changes meanwhile.
    pub fn scan(&self, from: u64) -> Result<(u64, Rows<'_>)> {
        let (next, rows) = self.index.root().map.walk(from, Ptr::bytes)?;
        let there = |value: Result<Option<_>>| value.map(Option::unwrap_or_default);
        Ok((next, rows.into_iter().map(|(key, value)| (key, there(value))).collect()))
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Vec<u8>, &[u8])>> {
        let mut next = Some(0);
        let batches = std::iter::from_fn(move || {
            let (after, rows) =
                self.scan(next?).unwrap_or_else(|error| (0, vec![(Vec::new(), Err(error))]));
            next = (after != 0).then_some(after);
            Some(rows)
        });
        batches.flatten().map(|(key, value)| Ok((key, value?)))
    }

    /// The data objects that hold its values, each once.
    pub fn data(&self) -> Result<Vec<ObjectId>> {
        let (mut found, mut from) = (vec![self.index.root().data.global()?.id], 0);
        loop {
            let (next, rows) = self.index.root().map.walk(from, Ptr::global)?;
            for (_, place) in rows {
                let id = place?.id;
                if !found.contains(&id) {
                    found.push(id);
                }
            }
            match next {
                0 => return Ok(found),
                next => from = next,
            }
        }
    }

    /// Waits for the right to change it.
    pub fn write(&self) -> Result<Writer<'_, W>> {
        Ok(Writer { index: &self.index, lock: self.index.lock()?, data: None })
    }
}

impl<const W: usize> Writer<'_, W> {
    /// Sets the value of a key.
    #[inline]
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match &self.data {
            Some(data) if self.set(data, key, value).is_ok() => Ok(()),
            _ => self.put_again(key, value),
        }
    }

    /// The first time, and where something is in the way.
    #[inline(never)]
    fn put_again(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let data = self.take_data()?;
        match self.set(&data, key, value) {
            Err(Error::ObjectFull { id, .. }) if id == data.id() && data.used() > 4096 => {
                self.data = Some(self.renew(&data)?);
                self.put(key, value)
            }
            done => {
                self.data = Some(data);
                done
            }
        }
    }

    /// The data object in use.
    fn take_data(&mut self) -> Result<Object<Records>> {
        match self.data.take() {
            Some(data) => Ok(data),
            None => self.index.space().open_object(self.index.root().data.global()?.id),
        }
    }

    /// The same, with the value in this object ([`Space::create_records`]).
    pub fn put_in(&mut self, data: &Object<Records>, key: &[u8], value: &[u8]) -> Result<()> {
        self.set(data, key, value)
    }

    #[inline(always)]
    fn set(&self, data: &Object<Records>, key: &[u8], value: &[u8]) -> Result<()> {
        self.index.root().map.insert(&self.lock, key, data.append(value)?).map(|_| ())
    }

    /// The same for a value that is somewhere already.
    pub fn link(&mut self, key: &[u8], value: &Record) -> Result<()> {
        self.index.root().map.insert(&self.lock, key, value).map(|_| ())
    }

    /// Takes a key away; whether it was there.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool> {
        self.index.root().map.remove(&self.lock, key)
    }

    /// Has new values go into a new object, of the same owner and rights.
    fn renew(&self, data: &Object<Records>) -> Result<Object<Records>> {
        let like = data.stat()?.identity;
        let (owner, default_rights) = (like.owner, Rights(like.default_rights));
        let new = NewObject { owner, default_rights, ..NewObject::default() };
        let data = self.index.space().create_records(&new)?;
        self.index.root().data.store(data.root())?;
        self.index.sync()?;
        Ok(data)
    }

    /// Copies what is live of its own data object to a new one, so that what was
    /// overwritten or deleted takes no space any more. The old one is returned, to be
    /// deleted when no other index leads there.
    pub fn compact(&mut self) -> Result<ObjectId> {
        let old = self.index.space().open_object::<Records>(self.index.root().data.global()?.id)?;
        let new = self.renew(&old)?;
        let mut from = 0;
        loop {
            let own = |value: &Ptr<Record>| value.global().map(|at| at.id == old.id());
            let (next, rows) = self.index.root().map.walk(from, own)?;
            for (key, own) in rows {
                if own? && let Some(value) = self.index.root().map.with(&key, Ptr::bytes)?.flatten()
                {
                    self.put_in(&new, &key, value)?;
                }
            }
            match next {
                0 => break,
                next => from = next,
            }
        }
        self.data = Some(new);
        Ok(old.id())
    }
}
