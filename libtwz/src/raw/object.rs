// SPDX-License-Identifier: MIT OR Apache-2.0
//! References into mapped objects. Each function says what its caller has
//! checked; the safe types above ([`crate::Object`], [`crate::Ptr`]) are where
//! the checking is done, through [`super::translate::Translation::place`].

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::PtrBits;

use super::arena::{Arena, SLOT_BYTES, slot_state};
use crate::{
    Persist,
    error::{Error, Result},
    raw::translate::{Home, Translation},
};

/// A reference to a `T` at slot offset `offset` of a translated object, for as
/// long as `anchor`, which must be in or keep alive the same space.
#[inline(always)]
pub fn place<T: Persist, A: ?Sized>(_anchor: &A, target: Translation, offset: u64) -> Result<&T> {
    if !offset.is_multiple_of(align_of::<T>() as u64) {
        return Err(Error::BadPointer { why: "the offset is not aligned for its type" });
    }
    match target.place(offset, size_of::<T>() as u64) {
        // SAFETY: 1. in the data of a mapped slot, which stays mapped while the
        // anchor lives (module invariants 1 and 2); 2. aligned, as slots are;
        // 3. every bit pattern is a T (invariant 3).
        Some(address) => Ok(unsafe { &*(address as *const T) }),
        None => Err(Error::BadPointer { why: "it leads outside its object" }),
    }
}

/// A reference to what `bits` lead to, found in the pointer `holder`; `None`
/// sends the caller to the slow path, which knows why.
#[inline(always)]
pub fn follow<T: Persist, A: ?Sized>(holder: &A, bits: PtrBits) -> Option<&T> {
    follow_from(Home::of((&raw const *holder).cast::<u8>() as usize)?, holder, bits)
}

/// The same for a holder that is in this slot, if it is.
#[inline(always)]
pub fn follow_from<T: Persist, A: ?Sized>(home: Home, holder: &A, bits: PtrBits) -> Option<&T> {
    let (len, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    let (target, _) = within(home, holder, bits, len, align)?;
    // SAFETY: as in `place`: `within` has found the holder in a live arena and
    // checked bounds and alignment; the target stays mapped while the holder does.
    Some(unsafe { &*(target as *const T) })
}

/// The bytes behind a length of 8 bytes that `bits` lead to, found in the
/// pointer `holder`; `None` sends the caller to the slow path.
#[inline(always)]
pub fn follow_run<A: ?Sized>(holder: &A, bits: PtrBits) -> Option<&[u8]> {
    follow_run_from(Home::of((&raw const *holder).cast::<u8>() as usize)?, holder, bits)
}

/// The same for a holder that is in this slot, if it is.
#[inline(always)]
pub fn follow_run_from<A: ?Sized>(home: Home, holder: &A, bits: PtrBits) -> Option<&[u8]> {
    let (target, room) = within(home, holder, bits, 8, 8)?;
    // SAFETY: as in `follow_from`, for a word.
    let len = unsafe { &*(target as *const AtomicU64) }.load(Ordering::Acquire);
    if len > room - 8 {
        return None;
    }
    // SAFETY: as in `slice`: after the word there are `room - 8` bytes of data, in
    // a slot that stays mapped while the holder does; any byte is a u8.
    Some(unsafe { std::slice::from_raw_parts((target + 8) as *const u8, len as usize) })
}

/// What `bits` in the holder lead to, if that is in this slot.
#[inline(always)]
fn within<A: ?Sized>(
    home: Home,
    holder: &A,
    bits: PtrBits,
    len: u64,
    align: u64,
) -> Option<(usize, u64)> {
    let address = (&raw const *holder).cast::<u8>() as usize;
    if (address ^ home.base()) >= SLOT_BYTES {
        return None;
    }
    home.resolve(bits, len, align)
}

/// References to `len` values in a row at slot offset `offset` of a translated
/// object, for as long as `anchor`, which must be in or keep alive the same space.
#[inline(always)]
pub fn slice<T: Persist, A: ?Sized>(
    _anchor: &A,
    target: Translation,
    offset: u64,
    len: u64,
) -> Option<&[T]> {
    if !offset.is_multiple_of(align_of::<T>() as u64) {
        return None;
    }
    let bytes = len.checked_mul(size_of::<T>() as u64).filter(|&bytes| bytes < twz_abi::SLOT)?;
    let address = target.place(offset, bytes)?;
    // SAFETY: as in `place`, for all of the `len` values.
    Some(unsafe { std::slice::from_raw_parts(address as *const T, len as usize) })
}

/// The same, and what is wrong with the offset if there are none.
#[inline(always)]
pub fn place_slice<T: Persist, A: ?Sized>(
    anchor: &A,
    target: Translation,
    offset: u64,
    len: u64,
) -> Result<&[T]> {
    slice(anchor, target, offset, len).ok_or_else(|| Error::BadPointer {
        why: match offset.is_multiple_of(align_of::<T>() as u64) {
            true => "it leads outside its object",
            false => "the offset is not aligned for its type",
        },
    })
}

/// Writes bytes, and before them at `offset` a word that says how many they are,
/// where nobody knows of them yet; says whether there was room.
#[inline(always)]
pub fn write_run<A: ?Sized>(anchor: &A, target: Translation, offset: u64, bytes: &[u8]) -> bool {
    let count = bytes.len() as u64;
    let to = target.place(offset, count.saturating_add(8)).filter(|_| target.writable());
    let (Some(to), Some([len])) = (to, slice::<AtomicU64, A>(anchor, target, offset, 1)) else {
        return false;
    };
    // SAFETY: in the data of a mapped, writable slot, behind the word; `bytes` is
    // private memory or, in an object, may overlap: `copy` allows that.
    unsafe { std::ptr::copy(bytes.as_ptr(), (to + 8) as *mut u8, bytes.len()) };
    len.store(count, Ordering::Release);
    true
}

/// Writes a value that no other reference can see yet: freshly allocated, not
/// published.
pub fn init<T: Persist>(target: Translation, offset: u64, value: T) -> Result<()> {
    if !target.writable() || !offset.is_multiple_of(align_of::<T>() as u64) {
        return Err(Error::BadPointer { why: "a new value needs writable, aligned memory" });
    }
    match target.place(offset, size_of::<T>() as u64) {
        Some(address) => {
            // SAFETY: in the data of a mapped, writable slot, aligned; `write`
            // drops nothing, as nothing was there.
            unsafe { (address as *mut T).write(value) };
            Ok(())
        }
        None => Err(Error::BadPointer { why: "it leads outside its object" }),
    }
}

/// Copies bytes into the data of an object.
pub fn write_bytes(target: Translation, offset: u64, bytes: &[u8]) -> Result<()> {
    let address = target.place(offset, bytes.len() as u64).filter(|_| target.writable());
    let Some(address) = address else {
        return Err(Error::BadPointer { why: "the bytes do not fit in the object" });
    };
    // SAFETY: in the data of a mapped, writable slot; `bytes` is either private
    // memory or, in an object, may overlap: `copy` allows that.
    unsafe { std::ptr::copy(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    Ok(())
}

/// Writes zeros into the data of an object.
pub fn zero_bytes(target: Translation, offset: u64, len: u64) -> Result<()> {
    let address = target.place(offset, len).filter(|_| target.writable());
    let Some(address) = address else {
        return Err(Error::BadPointer { why: "the bytes do not fit in the object" });
    };
    // SAFETY: in the data of a mapped, writable slot.
    unsafe { (address as *mut u8).write_bytes(0, len as usize) };
    Ok(())
}

/// Words of an object's data from `offset`, as atomics.
pub fn words<A: ?Sized>(
    anchor: &A,
    target: Translation,
    offset: u64,
    len: u64,
) -> Result<&[AtomicU64]> {
    place_slice::<AtomicU64, A>(anchor, target, offset, len)
}

impl Arena {
    /// Words in the tail of a mapped slot: the FOT pages that are mapped, and
    /// the tail page. The caller holds a reference that keeps the slot mapped.
    pub(crate) fn tail_words(&self, slot: u32, offset: u64, len: u64) -> Result<&[AtomicU64]> {
        use std::sync::atomic::Ordering;
        let Some(info) = self.info(slot) else { return Err(Error::NotInObject) };
        loop {
            match info.state.load(Ordering::Acquire) {
                slot_state::MAPPED => break,
                slot_state::EMPTY => {
                    return Err(Error::BadPointer { why: "nothing is mapped there" });
                }
                // Another thread is mapping more of it.
                _ => std::thread::yield_now(),
            }
        }
        let pages = info.fot_pages.load(Ordering::Acquire) as u64;
        let start = twz_abi::TAIL_START - pages * twz_abi::PAGE;
        if offset < start || !offset.is_multiple_of(8) || len * 8 > SLOT_BYTES as u64 - offset {
            return Err(Error::BadPointer { why: "outside the tail" });
        }
        let address = self.address(slot) + offset as usize;
        // SAFETY: 1. inside the pages that `fot_pages` says are mapped, which
        // stay mapped while the slot is; 2. a multiple of 8; 3. atomics, for
        // which any bits are a value. Stores are the caller's to withhold where
        // the slot was mapped read-only.
        Ok(unsafe { std::slice::from_raw_parts(address as *const AtomicU64, len as usize) })
    }

    /// The slot's meta record, copied out.
    pub(crate) fn meta(&self, slot: u32) -> Result<twz_abi::Meta> {
        let words = self.tail_words(slot, twz_abi::META_START, twz_abi::META_SIZE / 8)?;
        let mut copy = [0u64; (twz_abi::META_SIZE / 8) as usize];
        for (to, from) in copy.iter_mut().zip(words) {
            *to = from.load(std::sync::atomic::Ordering::Acquire);
        }
        Ok(zerocopy::transmute!(copy))
    }
}
