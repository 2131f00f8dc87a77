// SPDX-License-Identifier: MIT OR Apache-2.0
//! A growing row of values in one block.
//!
//! ```text
//! header  block, length                  (after what header.rs has)
//! block   fingerprint of the type, capacity, elements
//! ```
//!
//! An element is written past the end and then the length is stored; what
//! changes more is a new block, or goes through the log.

use std::marker::PhantomData;

use super::{
    CORRUPT,
    header::{Change, Header, Memory},
};
use crate::{
    Object, Persist, Writer,
    error::{Error, Result},
};

const BLOCK: usize = 0;
const LENGTH: usize = 1;

/// A row of values that grows and shrinks at its end. See [`crate::collections`].
#[repr(C)]
pub struct Vec<T> {
    header: Header<2>,
    _type: PhantomData<fn() -> T>,
}

// Words only, each of which may be anything.
crate::persist::persist_leaf!([T: Persist] Vec<T>, "Vec", T);

impl<T> Default for Vec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Vec<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { header: Header::new(), _type: PhantomData }
    }
}

/// A block, checked.
#[derive(Clone, Copy)]
struct Block {
    at: u64,
    capacity: u64,
    length: u64,
}

impl<T: Persist> Vec<T> {
    const SIZE: u64 = size_of::<T>() as u64;
    /// Where the elements begin in a block.
    const ELEMENTS: u64 = if align_of::<T>() > 16 { align_of::<T>() as u64 } else { 16 };

    /// Has the elements come from the heap of another object; only while there
    /// are none and never were.
    pub fn set_home<O, H>(&self, writer: &Writer<'_, O>, object: &Object<H>) -> Result<()> {
        self.header.set_home(writer, object, |memory| memory.word(BLOCK) == 0)
    }

    #[inline]
    fn block(memory: &Memory<'_>) -> Result<Block> {
        let (at, length) = (memory.word(BLOCK), memory.word(LENGTH));
        if at == 0 {
            return if length == 0 { Ok(Block { at, capacity: 0, length }) } else { Err(CORRUPT) };
        }
        if at >= twz_abi::SLOT || memory.value::<u64>(at)? != T::FINGERPRINT {
            return Err(CORRUPT);
        }
        let capacity = memory.value::<u64>(at + 8)?;
        if length > capacity || capacity > Self::most() {
            return Err(CORRUPT);
        }
        Ok(Block { at, capacity, length })
    }

    fn most() -> u64 {
        twz_abi::SLOT / Self::SIZE.max(1)
    }

    fn place(block: u64, index: u64) -> u64 {
        block + Self::ELEMENTS + index * Self::SIZE
    }

    /// How many elements there are.
    pub fn len(&self) -> Result<u64> {
        self.header.read(|memory| Ok(Self::block(memory)?.length))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// A reference to element `index`.
    pub fn get_ref(&self, index: u64) -> Result<Option<&T>> {
        let place = self.header.read(|memory| {
            let block = Self::block(memory)?;
            Ok((index < block.length).then(|| Self::place(block.at, index)))
        })?;
        place.map(|place| self.header.reference(place)).transpose()
    }

    /// A block of at least `capacity` elements, with the first `keep` of the old.
    fn enlarged(change: &mut Change<'_>, old: Block, capacity: u64, keep: u64) -> Result<Block> {
        let wanted = capacity.max(4).max(old.capacity.saturating_mul(2).min(Self::most()));
        let capacity = if capacity > Self::most() { capacity } else { wanted.min(Self::most()) };
        let bytes = capacity.checked_mul(Self::SIZE).ok_or(Error::BadSize(capacity))?;
        let len = (Self::ELEMENTS + bytes).next_multiple_of(8);
        let at = change.alloc(len, align_of::<T>() as u64)?;
        change.init(at, &T::FINGERPRINT)?;
        change.init(at + 8, &capacity)?;
        let words = (keep * Self::SIZE).div_ceil(8);
        change.copy_words(old.at + Self::ELEMENTS, at + Self::ELEMENTS, words)?;
        change.set_word(BLOCK, at)?;
        if old.at != 0 {
            change.free(old.at);
        }
        Ok(Block { at, capacity, length: old.length })
    }

    /// Makes room for `more` elements, so that pushing them moves nothing.
    pub fn reserve<O>(&self, writer: &Writer<'_, O>, more: u64) -> Result<()> {
        let mut change = self.header.change(writer)?;
        let block = Self::block(&change.memory)?;
        let wanted = block.length.checked_add(more).ok_or(Error::BadSize(more))?;
        if wanted <= block.capacity {
            return Ok(());
        }
        Self::enlarged(&mut change, block, wanted, block.length)?;
        change.commit()
    }

    /// Adds an element at the end.
    pub fn push<O>(&self, writer: &Writer<'_, O>, value: T) -> Result<()> {
        self.append(writer, 1, |_| &value)
    }

    fn append<'v, O>(
        &self,
        writer: &Writer<'_, O>,
        more: u64,
        value: impl Fn(u64) -> &'v T,
    ) -> Result<()> {
        let mut change = self.header.change(writer)?;
        let mut block = Self::block(&change.memory)?;
        let length = block.length.checked_add(more).ok_or(Error::BadSize(more))?;
        let moved = length > block.capacity;
        if moved {
            block = Self::enlarged(&mut change, block, length, block.length)?;
        }
        for i in 0..more {
            change.init(Self::place(block.at, block.length + i), value(i))?;
        }
        if !moved {
            return change.publish(LENGTH, length);
        }
        change.set_word(LENGTH, length)?;
        change.commit()
    }

    /// Takes all elements away. Their memory stays for the next ones.
    pub fn clear<O>(&self, writer: &Writer<'_, O>) -> Result<()> {
        let mut change = self.header.change(writer)?;
        change.set_word(LENGTH, 0)?;
        change.commit()
    }
}

impl<T: Persist + Copy> Vec<T> {
    /// Element `index`.
    #[inline]
    pub fn get(&self, index: u64) -> Result<Option<T>> {
        self.header.read(|memory| {
            let block = Self::block(memory)?;
            match index < block.length {
                true => memory.value(Self::place(block.at, index)).map(Some),
                false => Ok(None),
            }
        })
    }

    /// Replaces element `index`, which must exist.
    pub fn set<O>(&self, writer: &Writer<'_, O>, index: u64, value: T) -> Result<()> {
        let mut change = self.header.change(writer)?;
        let block = Self::block(&change.memory)?;
        if index >= block.length {
            return Err(Error::BadSize(index));
        }
        change.set_value(Self::place(block.at, index), &value)?;
        change.commit()
    }

    /// Takes the last element away.
    pub fn pop<O>(&self, writer: &Writer<'_, O>) -> Result<Option<T>> {
        let mut change = self.header.change(writer)?;
        let block = Self::block(&change.memory)?;
        let Some(last) = block.length.checked_sub(1) else { return Ok(None) };
        let value = change.memory.value(Self::place(block.at, last))?;
        change.set_word(LENGTH, last)?;
        change.commit()?;
        Ok(Some(value))
    }

    /// Adds all of these at the end, as one change.
    pub fn extend_from_slice<O>(&self, writer: &Writer<'_, O>, values: &[T]) -> Result<()> {
        match values {
            [] => Ok(()),
            _ => self.append(writer, values.len() as u64, |i| &values[i as usize]),
        }
    }

    /// Has exactly these elements, as one change.
    pub fn replace<O>(&self, writer: &Writer<'_, O>, values: &[T]) -> Result<()> {
        let mut change = self.header.change(writer)?;
        let old = Self::block(&change.memory)?;
        let new = Block { capacity: 0, ..old };
        let block = Self::enlarged(&mut change, new, values.len() as u64, 0)?;
        for (i, value) in (0..).zip(values) {
            change.init(Self::place(block.at, i), value)?;
        }
        change.set_word(LENGTH, values.len() as u64)?;
        change.commit()
    }

    /// Takes element `index` away, and moves the last one into its place.
    pub fn swap_remove<O>(&self, writer: &Writer<'_, O>, index: u64) -> Result<Option<T>> {
        let mut change = self.header.change(writer)?;
        let block = Self::block(&change.memory)?;
        if index >= block.length {
            return Ok(None);
        }
        let value = change.memory.value(Self::place(block.at, index))?;
        let last: T = change.memory.value(Self::place(block.at, block.length - 1))?;
        change.set_value(Self::place(block.at, index), &last)?;
        change.set_word(LENGTH, block.length - 1)?;
        change.commit()?;
        Ok(Some(value))
    }

    /// Takes element `index` away, and moves up those after it: into a new block.
    pub fn remove<O>(&self, writer: &Writer<'_, O>, index: u64) -> Result<Option<T>> {
        let mut change = self.header.change(writer)?;
        let old = Self::block(&change.memory)?;
        if index >= old.length {
            return Ok(None);
        }
        let value = change.memory.value(Self::place(old.at, index))?;
        let fit = Block { capacity: 0, ..old };
        let new = Self::enlarged(&mut change, fit, old.capacity, index)?;
        for i in index + 1..old.length {
            let moved: T = change.memory.value(Self::place(old.at, i))?;
            change.init(Self::place(new.at, i - 1), &moved)?;
        }
        change.set_word(LENGTH, old.length - 1)?;
        change.commit()?;
        Ok(Some(value))
    }

    /// All elements as they are at one instant.
    pub fn to_vec(&self) -> Result<std::vec::Vec<T>> {
        self.header.read(|memory| {
            let block = Self::block(memory)?;
            (0..block.length).map(|i| memory.value(Self::place(block.at, i))).collect()
        })
    }

    /// The elements in order, each as it is when it is reached.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> + '_ {
        let mut index = 0;
        std::iter::from_fn(move || {
            let item = self.get(index).transpose();
            // An error is the last item.
            index = if matches!(item, Some(Ok(_))) { index + 1 } else { u64::MAX };
            item
        })
    }
}

impl Vec<u8> {
    /// All bytes as they are at one instant, read by words.
    pub(super) fn to_bytes(&self) -> Result<std::vec::Vec<u8>> {
        self.header.read(|memory| {
            let block = Self::block(memory)?;
            memory.bytes(block.at + Self::ELEMENTS, block.length)
        })
    }
}
