// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any word of an object, data or tail, for who writes to it by offset.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use twz_abi::{DATA_START, TAIL_START};

use super::{arena::Arena, translate::Translation};
use crate::error::{Error, Result};

impl Arena {
    /// The aligned word of a mapped slot that `offset` lies in. The last word of
    /// the data may reach past its end: what is there is on the same page.
    #[inline]
    pub(crate) fn word(&self, own: Translation, slot: u32, offset: u64) -> Result<&AtomicU64> {
        let at = offset & !7;
        if (DATA_START..own.end()).contains(&at) {
            // SAFETY: 1. the first byte is data of a mapped slot, and the other
            // seven lie on its page, as the offset is a multiple of 8; 2. so is
            // the base of a slot; 3. any bits are a value of an atomic.
            return Ok(unsafe { &*((own.base() + at as usize) as *const AtomicU64) });
        }
        match self.tail_words(slot, at, 1) {
            Ok([word, ..]) if at >= own.end() && at < TAIL_START + twz_abi::PAGE => Ok(word),
            _ => Err(Error::BadPointer { why: "the place lies outside its object" }),
        }
    }
}

/// Stores the bytes of `value` that are in `mask` to a word, and no others.
#[inline]
pub fn store_bytes(word: &AtomicU64, value: u64, mask: u8) {
    if mask == 0xff {
        return word.store(value, Ordering::Relaxed);
    }
    let mut at = 0u32;
    while mask >> at != 0 {
        let rest = mask >> at;
        let first = word.as_ptr().cast::<u8>().wrapping_add(at as usize);
        let part = value >> (8 * at);
        // SAFETY: all of it lies in the word, aligned for its size; the word may
        // be stored to, and atomics make races defined.
        unsafe {
            if rest & 15 == 15 && at.is_multiple_of(4) {
                (*first.cast::<AtomicU32>()).store(part as u32, Ordering::Relaxed);
                at += 4;
            } else if rest & 3 == 3 && at.is_multiple_of(2) {
                (*first.cast::<AtomicU16>()).store(part as u16, Ordering::Relaxed);
                at += 2;
            } else {
                if rest & 1 != 0 {
                    (*first.cast::<AtomicU8>()).store(part as u8, Ordering::Relaxed);
                }
                at += 1;
            }
        }
        if at == 8 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_in_the_mask_change() {
        for mask in 0..=255u8 {
            let word = AtomicU64::new(0x1111_1111_1111_1111);
            store_bytes(&word, 0x2222_2222_2222_2222, mask);
            let found = word.into_inner().to_le_bytes();
            for (i, byte) in found.into_iter().enumerate() {
                assert_eq!(byte, if mask & 1 << i != 0 { 0x22 } else { 0x11 }, "{mask:08b} {i}");
            }
        }
    }
}
