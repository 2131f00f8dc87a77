// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Which directories' ids are known to be earned: [`Verified`].
//!
//! An id is checked on first use. A path leads through the same few directories
//! again and again, and what their ids are made from never changes while they
//! live, so they are remembered until their records are taken or left. A place
//! holds one number, which is read and written at once, so that several may
//! look things up in a store at a time.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::store::RecordNo;

/// How many are remembered, at most.
const PLACES: usize = 256;

/// A small set of records, which forgets.
pub(crate) struct Verified {
    /// Record + 1, or 0, each in the place that its number picks.
    places: [AtomicU32; PLACES],
}

impl Verified {
    pub(crate) fn new() -> Self {
        Self { places: [const { AtomicU32::new(0) }; PLACES] }
    }

    pub(crate) fn has(&self, r: RecordNo) -> bool {
        self.place(r).is_some_and(|held| held.load(Ordering::Relaxed) == r.0.wrapping_add(1))
    }

    pub(crate) fn add(&self, r: RecordNo) {
        if let Some(held) = self.place(r) {
            held.store(r.0.wrapping_add(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self, r: RecordNo) {
        if self.has(r) {
            if let Some(held) = self.place(r) {
                held.store(0, Ordering::Relaxed);
            }
        }
    }

    fn place(&self, r: RecordNo) -> Option<&AtomicU32> {
        self.places.get(r.0 as usize % PLACES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shares_a_place_is_told_apart() {
        let set = Verified::new();
        let (a, b) = (RecordNo(3), RecordNo(3 + PLACES as u32));
        assert!(!set.has(a) && !set.has(RecordNo(0)) && !set.has(RecordNo(u32::MAX - 1)));
        set.add(a);
        assert!(set.has(a) && !set.has(b));
        set.remove(b);
        assert!(set.has(a));
        set.add(b);
        assert!(set.has(b) && !set.has(a));
        set.remove(b);
        assert!(!set.has(b));
    }
}
