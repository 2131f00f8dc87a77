// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which slot shows which object: a lock-free table from ids to slots, as a
//! hint. The view decides; the slot table confirms.

use std::sync::atomic::Ordering;

use twz_abi::{ObjectId, Rights};

use super::arena::{Arena, slot_state};

impl Arena {
    fn start(&self, id: ObjectId) -> usize {
        ((id.lo ^ id.hi).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }

    /// A slot that is noted to show `id` with exactly these requested rights.
    pub fn find(&self, id: ObjectId, rights: Rights) -> Option<u32> {
        let table = self.id_table();
        let start = self.start(id);
        for i in 0..table.len() {
            let slot = table[(start + i) % table.len()].load(Ordering::Acquire);
            if slot == 0 {
                return None;
            }
            let info = self.info(slot)?;
            if info.id() == id
                && info.state.load(Ordering::Acquire) == slot_state::MAPPED
                && info.requested.load(Ordering::Relaxed) == rights.0
            {
                return Some(slot);
            }
        }
        None
    }

    /// Notes that `slot` shows `id`. Stale notes are harmless, and dropped by
    /// [`Arena::forget_notes`].
    pub fn note(&self, id: ObjectId, slot: u32) {
        let table = self.id_table();
        let start = self.start(id);
        for i in 0..table.len() {
            let place = &table[(start + i) % table.len()];
            match place.compare_exchange(0, slot, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) if other == slot => return,
                Err(_) => {}
            }
        }
    }

    /// Drops all notes, for another view.
    pub fn forget_notes(&self) {
        for place in self.id_table() {
            place.store(0, Ordering::Release);
        }
    }
}
