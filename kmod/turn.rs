// SPDX-License-Identifier: GPL-2.0
//! Turns: into the same 2 MiB of addresses, one thread maps at a time.
//!
//! The kernel asks about many faults at once, and looks at its tables before it
//! asks. A small page must not be put where a large one has come to be since: it
//! would take that for a table. So `fault.rs` waits for its turn at the place
//! before it maps, and looks at the table again. Places have turns of their own, as
//! far as they do not meet by chance: then one waits for the other, that is all.
//!
//! What is taken out meanwhile needs no turn: an empty place takes pages of any size.

use crate::sys::Fault;
use kernel::{
    prelude::*,
    sync::{new_mutex, Mutex, MutexGuard},
};

const PLACES: usize = 256;

/// The turns of all places.
#[pin_data]
pub(crate) struct Turns {
    #[pin]
    places: [Place; PLACES],
}

#[pin_data]
struct Place {
    #[pin]
    lock: Mutex<()>,
}

impl Turns {
    pub(crate) fn new() -> impl PinInit<Self> {
        let place = |_| pin_init!(Place { lock <- new_mutex!(()) });
        pin_init!(Self { places <- pin_init::pin_init_array_from_fn(place) })
    }

    /// Waits for the turn of the 2 MiB around a fault.
    pub(crate) fn take(&self, fault: &Fault<'_>) -> MutexGuard<'_, ()> {
        // Neighbours come far apart; the upper bits are the mixed ones.
        let mixed = (fault.place() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.places[(mixed >> 32) as usize % PLACES].lock.lock()
    }
}
