// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys and values in objects: an index object that points into data objects.
#![forbid(unsafe_code)]

use twz::{Error, NewObject, ObjectId, Persist, Result, Space};

const LATER: Error = Error::Unsupported("not there yet");

/// The root of a data object.
#[derive(Persist)]
#[repr(C)]
pub struct Data {
    end: u64,
}

/// What a store shall be.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys to make room for; it grows past that by itself.
    pub capacity: u64,
    /// Rights and owner of the index.
    pub index: NewObject,
    /// Rights and owner of the data objects that it makes by itself.
    pub data: NewObject,
}

/// A store. Keys of up to `8 * W` bytes lie in the index itself.
pub struct Kvs<const W: usize = 1> {
    id: ObjectId,
}

/// The right to change a store; there is one at a time among all processes.
pub struct Writer<'a, const W: usize> {
    kvs: &'a Kvs<W>,
}

impl<const W: usize> Kvs<W> {
    /// Makes one.
    pub fn create(_: &Space, _: &Options) -> Result<Self> {
        Err(LATER)
    }

    /// Opens one by its index.
    pub fn open(_: &Space, _: ObjectId) -> Result<Self> {
        Err(LATER)
    }

    /// The index.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The value of a key, where it lies.
    pub fn get(&self, _key: &[u8]) -> Result<Option<&[u8]>> {
        Err(LATER)
    }

    /// Whether a key is there, which the index alone says.
    pub fn contains(&self, _key: &[u8]) -> Result<bool> {
        Err(LATER)
    }

    /// How many keys there are.
    pub fn len(&self) -> u64 {
        0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes on the medium.
    pub fn stored(&self) -> Result<u64> {
        Err(LATER)
    }

    /// The right to change it.
    pub fn write(&self) -> Result<Writer<'_, W>> {
        Ok(Writer { kvs: self })
    }
}

impl<const W: usize> Writer<'_, W> {
    /// Sets the value of a key.
    pub fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<()> {
        Err(LATER)
    }

    /// Takes a key away; whether it was there.
    pub fn delete(&mut self, _key: &[u8]) -> Result<bool> {
        self.kvs.contains(_key)
    }
}
