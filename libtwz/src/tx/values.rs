// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be done within a transaction: reading, writing and recording
//! values, storing pointers, taking and giving back memory.

use twz_abi::{DATA_START, PtrBits, Rights, fot};

use super::{
    Tx,
    range::{Range, each_word},
    session::Session,
    shadow::key_of,
};
use crate::{
    Field, Global, Object, Persist, Ptr,
    error::{Error, Result},
    ptr::{again, bits_for},
    raw::{
        object::{self as memory, place},
        value::{put_together, take_apart, unit_of},
    },
    translate::target_of,
    tx::not_in_object,
};

/// Which bytes of its word a unit at `offset` is.
#[inline(always)]
pub(crate) fn mask_of(offset: u64, unit: u64) -> u8 {
    match unit {
        8 => 0xff,
        _ => (((1u16 << unit) - 1) << (offset & 7)) as u8,
    }
}

impl Tx<'_> {
    /// The object that an address lies in, which takes part from now on, and
    /// where in its slot.
    #[inline]
    fn locate<A: ?Sized>(&self, session: &mut Session, at: &A) -> Result<(u32, u64)> {
        let address = (&raw const *at).cast::<u8>() as usize;
        let arena = self.core().arena();
        let slot = arena.slot_of(address).ok_or_else(not_in_object)?;
        Ok((self.join(session, slot)?, (address - arena.address(slot)) as u64))
    }

    fn put<A: ?Sized, T: Persist>(&self, at: &A, value: &T) -> Result<()> {
        let mut session = self.session.borrow_mut();
        let (number, start) = self.locate(&mut session, at)?;
        take_apart(value, |at, bits| {
            let (offset, unit) = (start + at, unit_of::<T>());
            let shifted = bits << (8 * (offset & 7));
            session.write(self.core(), number, offset, shifted, mask_of(offset, unit))
        })
    }

    fn look<A: ?Sized, T: Persist>(&self, at: &A) -> Result<T> {
        let mut session = self.session.borrow_mut();
        let (number, start) = self.locate(&mut session, at)?;
        put_together(|at| {
            let offset = start + at;
            let word = session.read(self.core(), number, offset)?;
            Ok(word >> (8 * (offset & 7)) & (!0 >> (64 - 8 * unit_of::<T>())))
        })
    }

    /// Writes to a field, once the transaction commits. Its object is locked.
    #[inline]
    pub fn set<T: Persist + Copy>(&self, field: &Field<T>, value: T) -> Result<()> {
        self.put(field, &value)
    }

    /// A field's value as this transaction sees it. Its object is locked.
    #[inline]
    pub fn get<T: Persist + Copy>(&self, field: &Field<T>) -> Result<T> {
        self.look(field)
    }

    /// Keeps what is in a value now, so that it may be changed in place, by any
    /// means, and is put back if the transaction does not commit.
    pub fn record<T: Persist>(&self, value: &T) -> Result<()> {
        let mut session = self.session.borrow_mut();
        let (object, offset) = self.locate(&mut session, value)?;
        let range = Range { object, offset, len: size_of::<T>() as u64 };
        session.record(self.core(), range)
    }

    /// The same for bytes of an object's data from byte `at`.
    pub fn record_bytes<T>(&self, object: &Object<T>, at: u64, len: u64) -> Result<()> {
        self.record_ranges(object, &[(at, len)])
    }

    /// The same for several ranges, which takes no longer than for one.
    pub fn record_ranges<T>(&self, object: &Object<T>, ranges: &[(u64, u64)]) -> Result<()> {
        let mut session = self.session.borrow_mut();
        let number = self.join(&mut session, object.slot())?;
        let ranges: Vec<Range> = ranges
            .iter()
            .map(|&(at, len)| Range { object: number, offset: at.saturating_add(DATA_START), len })
            .collect();
        session.record_all(self.core(), &ranges)
    }

    /// Writes bytes to an object's data from byte `at`, once the transaction
    /// commits.
    pub fn write_bytes<T>(&self, object: &Object<T>, at: u64, bytes: &[u8]) -> Result<()> {
        let mut session = self.session.borrow_mut();
        let number = self.join(&mut session, object.slot())?;
        let offset = at.saturating_add(DATA_START);
        let len = bytes.len() as u64;
        session.check_range(self.core(), Range { object: number, offset, len })?;
        session.take_part(self.core(), number)?;
        let plain = session.recorded.is_empty() && session.fresh.is_empty();
        each_word(offset, len, |word, mask| {
            let whole = bytes.get(word.wrapping_sub(offset) as usize..);
            let value = match whole.and_then(<[u8]>::first_chunk) {
                Some(whole) if mask == 0xff => u64::from_le_bytes(*whole),
                _ => (0..8).filter(|i| mask & 1 << i != 0).fold(0, |value, i| {
                    let byte = bytes.get((word + i - offset) as usize).copied();
                    value | (byte.unwrap_or_default() as u64) << (8 * i)
                }),
            };
            match plain {
                true => session.shadow.write(key_of(number, word), value, mask, false),
                false => session.write(self.core(), number, word, value, mask)?,
            }
            Ok(())
        })
    }

    /// Copies bytes of an object's data out as this transaction sees them.
    pub fn read_bytes<T>(&self, object: &Object<T>, at: u64, into: &mut [u8]) -> Result<()> {
        let mut session = self.session.borrow_mut();
        let number = self.join(&mut session, object.slot())?;
        let offset = at.saturating_add(DATA_START);
        let len = into.len() as u64;
        session.check_range(self.core(), Range { object: number, offset, len })?;
        each_word(offset, len, |word, mask| {
            let value = session.read(self.core(), number, word)?.to_le_bytes();
            for (i, byte) in value.into_iter().enumerate().filter(|(i, _)| mask & 1 << i != 0) {
                into[(word + i as u64 - offset) as usize] = byte;
            }
            Ok(())
        })
    }

    /// Makes a pointer lead to a value in the same object or another one of the
    /// space. The entry that this may take in the object's table stays if the
    /// transaction aborts, and does no harm there.
    pub fn store<T: Persist>(&self, ptr: &Ptr<T>, target: &T) -> Result<()> {
        self.put_bits(ptr, bits_for(ptr, (&raw const *target) as usize)?)
    }

    /// The same for a place that need not be mapped, nor even exist yet.
    pub fn store_global<T: Persist>(&self, ptr: &Ptr<T>, to: Global, rights: Rights) -> Result<()> {
        let (core, slot) = crate::translate::home_of(ptr)?;
        self.put_bits(ptr, core.foreign_bits(slot, to, rights, 0)?)
    }

    /// Makes a pointer lead nowhere.
    pub fn clear<T: Persist>(&self, ptr: &Ptr<T>) -> Result<()> {
        self.put_bits(ptr, PtrBits::NULL)
    }

    pub(crate) fn put_bits<T: Persist>(&self, ptr: &Ptr<T>, bits: PtrBits) -> Result<()> {
        self.put(ptr, &bits.0)?;
        if bits.index() == 0 || !self.core().durable() {
            return Ok(());
        }
        // The entry is there for everybody, but may not be on the medium: it
        // goes the way of the pointer that leads through it.
        let mut session = self.session.borrow_mut();
        let (number, _) = self.locate(&mut session, ptr)?;
        let pages = fot::pages_for(bits.index());
        if pages != 0 {
            session.keep_fot_pages(self.core(), number, pages)?;
        }
        let entry = fot::entry_offset(bits.index());
        let slot = session.object(number)?.slot;
        for (i, word) in (0..).zip(self.core().arena().tail_words(slot, entry, 4)?) {
            let value = word.load(std::sync::atomic::Ordering::Acquire);
            session.write(self.core(), number, entry + 8 * i, value, 0xff)?;
        }
        Ok(())
    }

    /// The place that a pointer leads to as this transaction sees it, or `None`
    /// for null.
    pub fn follow<'a, T: Persist>(&'a self, ptr: &'a Ptr<T>) -> Result<Option<&'a T>> {
        let bits = PtrBits(self.look(ptr)?);
        match bits.is_null() {
            true => Ok(None),
            false => {
                // The object may have grown since its end was remembered: another
                // process has taken the block.
                place(ptr, target_of(ptr, bits)?, bits.offset())
                    .or_else(|_| place(ptr, again(ptr, bits)?, bits.offset()))
                    .map(Some)
            }
        }
    }

    /// Puts a value into an object. If the transaction does not commit, the
    /// memory was never taken.
    pub fn alloc<'a, T, U: Persist>(&'a self, object: &'a Object<T>, value: U) -> Result<&'a U> {
        let offset = self.take(object, size_of::<U>() as u64, align_of::<U>() as u64)?;
        let own = self.core().own(object.slot())?;
        memory::init(own, offset, value)?;
        place(object, own, offset)
    }

    /// Puts a run of values into an object, each made by `make`.
    pub fn alloc_slice<'a, T, U: Persist>(
        &'a self,
        object: &'a Object<T>,
        len: u64,
        mut make: impl FnMut(u64) -> U,
    ) -> Result<&'a [U]> {
        let bytes = len.checked_mul(size_of::<U>() as u64).ok_or(Error::BadSize(len))?;
        let offset = self.take(object, bytes, align_of::<U>() as u64)?;
        let own = self.core().own(object.slot())?;
        for i in 0..len {
            memory::init(own, offset + i * size_of::<U>() as u64, make(i))?;
        }
        memory::place_slice(object, own, offset, len)
    }

    /// Takes `len` bytes aligned to `align`, a power of two of at most 64 KiB,
    /// from an object's heap: where they are. What is stored there before the
    /// commit is a part of the transaction.
    pub fn take<T>(&self, object: &Object<T>, len: u64, align: u64) -> Result<u64> {
        let mut session = self.session.borrow_mut();
        let number = self.join(&mut session, object.slot())?;
        let offset = self.core().heap_alloc_in(&mut session, number, len.max(1), align)?;
        session.note_fresh(Range { object: number, offset, len });
        Ok(offset)
    }

    /// Gives a value's memory back once the transaction commits.
    pub fn free<T, U: Persist>(&self, object: &Object<T>, value: &U) -> Result<()> {
        let address = (&raw const *value) as usize;
        if self.core().arena().slot_of(address) != Some(object.slot()) {
            return Err(Error::NotInObject);
        }
        self.give(object, (address - object.address()) as u64)
    }

    /// Gives a block back once the transaction commits, by where it is.
    pub fn give<T>(&self, object: &Object<T>, offset: u64) -> Result<()> {
        let mut session = self.session.borrow_mut();
        let number = self.join(&mut session, object.slot())?;
        self.core().heap_free_in(&mut session, number, offset)
    }
}
