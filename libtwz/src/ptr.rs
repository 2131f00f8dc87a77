// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pointers that live in objects: 8 bytes, valid at every address and on every
//! machine, into the same object or through its FOT into another.
//!
//! A [`Ptr`] means something only where it lies, so it can be neither copied
//! nor cloned; what can be carried around is a [`Global`]. Following one
//! ([`Ptr::lea`]) gives a reference or says why not: it never reads outside an
//! object's data, whatever its bits are.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

use twz_abi::{DATA_START, ObjectId, PtrBits, Rights, fot::flags};

use crate::{
    Persist,
    error::{Error, Result},
    raw::{arena::SLOT_BYTES, object, translate as fast},
    resolver::NAMESPACE,
    space::Core,
    translate::{home_of, target_of},
};

/// A pointer to a `T`, in an object.
#[repr(transparent)]
pub struct Ptr<T> {
    bits: AtomicU64,
    _type: PhantomData<fn() -> T>,
}

crate::persist::persist_leaf!([T: Persist] Ptr<T>, "Ptr", T);

/// A place that means the same everywhere: an object and an offset in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    /// The object.
    pub id: ObjectId,
    /// Slot offset; data begins at 4096.
    pub offset: u64,
}

impl<T> Ptr<T> {
    /// The pointer to nothing.
    pub const fn null() -> Self {
        Self { bits: AtomicU64::new(0), _type: PhantomData }
    }

    /// The bits, as they lie in the object.
    pub fn bits(&self) -> PtrBits {
        PtrBits(self.bits.load(Ordering::Acquire))
    }

    /// Whether it points to nothing.
    pub fn is_null(&self) -> bool {
        self.bits().is_null()
    }

    /// Makes it point to nothing.
    pub fn clear(&self) -> Result<()> {
        self.put(PtrBits::NULL)
    }

    /// Stores bits, if the memory they go to may be written.
    pub(crate) fn put(&self, bits: PtrBits) -> Result<()> {
        writable(self)?;
        self.put_unasked(bits);
        Ok(())
    }

    /// The same for who has asked whether it may be written.
    #[inline(always)]
    pub(crate) fn put_unasked(&self, bits: PtrBits) {
        self.bits.store(bits.0, Ordering::Release);
    }
}

impl<T: Persist> Ptr<T> {
    /// What it points to.
    #[inline(always)]
    pub fn lea(&self) -> Result<&T> {
        let bits = self.bits();
        match object::follow(self, bits) {
            Some(value) => Ok(value),
            None => self.lea_slow(bits),
        }
    }

    /// The whole way: what is not known yet, has grown since, or is an error.
    #[cold]
    #[inline(never)]
    fn lea_slow(&self, bits: PtrBits) -> Result<&T> {
        if bits.is_null() {
            return Err(Error::Null);
        }
        object::place(self, target_of(self, bits)?, bits.offset())
            .or_else(|_| object::place(self, again(self, bits)?, bits.offset()))
    }

    /// What it points to, or `None` for null.
    pub fn get(&self) -> Result<Option<&T>> {
        match self.lea() {
            Err(Error::Null) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes it point to a value in the same object, or in another one of the
    /// same space.
    #[inline(always)]
    pub fn store(&self, target: &T) -> Result<()> {
        let (place, target) = ((&raw const *self) as usize, (&raw const *target) as usize);
        match fast::Home::of(place).and_then(|home| home.bits_to_store(target)) {
            Some(bits) => {
                self.bits.store(bits.0, Ordering::Release);
                Ok(())
            }
            None => self.store_slow(target),
        }
    }

    /// The whole way: the first store to an object, or one that is an error.
    #[cold]
    #[inline(never)]
    fn store_slow(&self, target: usize) -> Result<()> {
        self.put(bits_for(self, target)?)
    }

    /// Makes it point to a place that need not be mapped, nor even exist yet.
    pub fn store_global(&self, to: Global, rights: Rights) -> Result<()> {
        let (core, slot) = home_of(self)?;
        self.put(core.foreign_bits(slot, to, rights, 0)?)
    }

    /// Makes it point into whatever object `name` is bound to at each use.
    /// Offset 4096 is that object's root.
    pub fn store_name(&self, name: &str, offset: u64, rights: Rights) -> Result<()> {
        self.store_name_with(name, NAMESPACE, offset, rights)
    }

    /// The same with a resolver of the program's own.
    pub fn store_name_with(
        &self,
        name: &str,
        resolver: u64,
        offset: u64,
        rights: Rights,
    ) -> Result<()> {
        let (core, slot) = home_of(self)?;
        let text = core.name_in(slot, name)?;
        let index = core.fot_insert_name(slot, text, resolver, rights, 0)?;
        self.put(
            PtrBits::new(index, offset)
                .ok_or(Error::BadPointer { why: "the offset is too large" })?,
        )
    }

    /// Makes it point to a private copy of an object, made on first use.
    pub fn store_derived(&self, to: Global, rights: Rights) -> Result<()> {
        let (core, slot) = home_of(self)?;
        self.put(core.foreign_bits(slot, to, rights, flags::DERIVE)?)
    }

    /// The place it points to, through its FOT but without mapping anything.
    pub fn global(&self) -> Result<Global> {
        let bits = self.bits();
        if bits.is_null() {
            return Err(Error::Null);
        }
        let (core, slot) = home_of(self)?;
        Ok(Global { id: core.id_behind(slot, bits.index())?, offset: bits.offset() })
    }
}

/// A run of values, in an object: a pointer and a length.
#[repr(C)]
pub struct PtrSlice<T> {
    first: Ptr<T>,
    len: AtomicU64,
}

crate::persist::persist_leaf!([T: Persist] PtrSlice<T>, "PtrSlice", T);

impl<T: Persist> PtrSlice<T> {
    /// The empty run.
    pub const fn empty() -> Self {
        Self { first: Ptr::null(), len: AtomicU64::new(0) }
    }

    /// How many values it has.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values.
    pub fn lea(&self) -> Result<&[T]> {
        let (bits, len) = (self.first.bits(), self.len());
        if len == 0 {
            return Ok(&[]);
        }
        if bits.is_null() {
            return Err(Error::Null);
        }
        let target = target_of(&self.first, bits)?;
        object::place_slice(self, target, bits.offset(), len)
            .or_else(|_| object::place_slice(self, again(&self.first, bits)?, bits.offset(), len))
    }

    /// Makes it stand for values in an object of the same space. Readers see
    /// the length change after the pointer, and none between: it is emptied first.
    pub fn store(&self, values: &[T]) -> Result<()> {
        let bits = match values {
            [] => PtrBits::NULL,
            [first, ..] => bits_for(&self.first, (&raw const *first) as usize)?,
        };
        writable(self)?;
        self.len.store(0, Ordering::Release);
        self.first.put(bits)?;
        self.len.store(values.len() as u64, Ordering::Release);
        Ok(())
    }
}

/// Bits that, stored at `place`, point to the mapped address `target`.
pub(crate) fn bits_for<A: ?Sized>(place: &A, target: usize) -> Result<PtrBits> {
    let address = (&raw const *place).cast::<u8>() as usize;
    if !fast::in_object(address) || !fast::in_object(target) {
        return Err(Error::NotInObject);
    }
    if let Some(bits) = fast::Home::of(address).and_then(|home| home.bits_to_store(target)) {
        return Ok(bits);
    }
    let offset = (target & (SLOT_BYTES - 1)) as u64;
    let same = address & !(SLOT_BYTES - 1) == target & !(SLOT_BYTES - 1);
    let index = if same { 0 } else { slow_index(place, target)? };
    match PtrBits::new(index, offset) {
        Some(bits) => Ok(bits),
        None => Err(Error::BadPointer { why: "the offset is too large" }),
    }
}

#[cold]
#[inline(never)]
fn slow_index<A: ?Sized>(place: &A, target: usize) -> Result<u32> {
    let (core, from) = home_of(place)?;
    let to = core.arena().slot_of(target).ok_or(Error::Unsupported(
        "a pointer cannot lead into an object of another space; use store_global",
    ))?;
    let pending = core.arena().begin_translation();
    let info = core.arena().info(to).ok_or(Error::NoSlot)?;
    let rights = Rights(info.requested.load(Ordering::Relaxed));
    let index = core.fot_insert_id(from, info.id(), rights, 0)?;
    core.arena().remember_store(&pending, from, to, index);
    Ok(index)
}

/// The translation behind `bits`, asked anew.
pub(crate) fn again<A: ?Sized>(
    place: &A,
    bits: PtrBits,
) -> Result<crate::raw::translate::Translation> {
    let (core, slot) = home_of(place)?;
    if bits.index() == 0 {
        return core.refresh(slot);
    }
    // What is known of the target itself may be as old.
    if let Some(to) = core.arena().slot_of(core.translate(slot, bits.index())?.base()) {
        core.refresh(to)?;
    }
    core.arena().forget_slot(slot);
    core.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    core.translate(slot, bits.index())
}

/// Refuses a store to memory that is mapped read-only.
#[inline(always)]
pub(crate) fn writable<A: ?Sized>(place: &A) -> Result<()> {
    let address = (&raw const *place).cast::<u8>() as usize;
    match fast::may_store(address) {
        Some(true) => Ok(()),
        _ => ask_writable(place),
    }
}

#[cold]
#[inline(never)]
fn ask_writable<A: ?Sized>(place: &A) -> Result<()> {
    let (core, slot) = home_of(place)?;
    match core.translate(slot, 0)?.writable() || core.try_widen(slot) {
        true => Ok(()),
        false => Err(core.lacks(slot, Rights::WRITE)),
    }
}

impl Core {
    /// Bits for a place in another object, or in this one.
    pub(crate) fn foreign_bits(
        &self,
        slot: u32,
        to: Global,
        rights: Rights,
        flags: u8,
    ) -> Result<PtrBits> {
        if to.offset < DATA_START || !to.id.is_valid() {
            return Err(Error::BadPointer { why: "not a place in an object's data" });
        }
        let own = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        let index = if to.id == own { 0 } else { self.fot_insert_id(slot, to.id, rights, flags)? };
        PtrBits::new(index, to.offset).ok_or(Error::BadPointer { why: "the offset is too large" })
    }

    /// The object behind an entry, without mapping it.
    pub(crate) fn id_behind(&self, slot: u32, index: u32) -> Result<ObjectId> {
        use twz_abi::fot::FotTarget;
        if index == 0 {
            return Ok(self.arena().info(slot).ok_or(Error::NoSlot)?.id());
        }
        match self.fot_target(slot, index)?.target {
            FotTarget::Id(id) => Ok(id),
            FotTarget::Name { text, resolver } => self.resolve_text(slot, text, resolver),
            FotTarget::Entry(_) => {
                Err(Error::BadPointer { why: "its FOT entry leads round in a circle" })
            }
        }
    }
}
