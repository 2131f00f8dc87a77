// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What opening for writing does about a power cut: replay, then finish.
//!
//! A long change is several transactions, each of which leaves the store
//! consistent and carries the record it is about. So the records of the newest
//! transaction, and the dying list, are all that can need finishing.

use twz_abi::record::{state, RECORD_SIZE};

use crate::{
    error::{Result, StoreError},
    geometry::Geometry,
    journal::{self, Entries, Held},
    media::Media,
    store::{RecordNo, Store},
};

/// Records one transaction can hold.
const RECORDS: usize = 4;

/// Replays what the journal holds, and returns the newest of it.
///
/// Wherever this is cut, and however often, it can be done again: until its
/// first fence nothing is in place that was not, and what it destroys of the
/// journal was not valid before, nor is it with some of its header zeroed.
pub(crate) fn replay<M: Media>(media: &mut M, geo: &Geometry) -> Result<Option<Held>> {
    let pending = journal::pending(media, geo)?;
    for held in pending.into_iter().flatten() {
        journal::verify(media, geo, held)?;
    }
    for slot in 0..2 {
        match pending.into_iter().flatten().find(|held| held.sequence & 1 == slot) {
            // Its writer may have been killed before it was durable, and nothing
            // of it may be in place before it is.
            Some(held) => media.flush(geo.slot_at(slot), journal::HEADER + held.len)?,
            // A torn record lacks words that the next one in its slot may have.
            None => journal::destroy(media, geo, slot)?,
        }
    }
    media.fence()?;
    for held in pending.into_iter().flatten() {
        journal::replay(media, geo, held)?;
    }
    media.fence()?;
    Ok(newest(pending))
}

/// Empties the journal, which was replayed or cannot be. The next fence makes
/// that so; should a cut leave the newest record valid, then it is alone.
pub(crate) fn empty<M: Media>(media: &mut M, geo: &Geometry) -> Result<()> {
    let last = newest(journal::pending(media, geo)?).map_or(1, |held| held.sequence & 1);
    journal::destroy(media, geo, 1 - last)?;
    // An older record alone would take back what the newest did.
    media.fence()?;
    journal::destroy(media, geo, last)
}

/// Refuses a store whose newest transaction is not wholly in place.
pub(crate) fn refuse_unfinished<M: Media>(media: &M, geo: &Geometry) -> Result<Option<Held>> {
    let newest = newest(journal::pending(media, geo)?);
    match newest {
        Some(held) if !journal::in_place(media, geo, held)? => Err(StoreError::Unfinished),
        _ => Ok(newest),
    }
}

/// The newest transaction, if it is whole and not wholly in place.
pub(crate) fn unfinished<M: Media>(media: &M, geo: &Geometry) -> Result<Option<Held>> {
    let found = || {
        let Some(held) = newest(journal::pending(media, geo)?) else { return Ok(None) };
        journal::verify(media, geo, held)?;
        Ok((!journal::in_place(media, geo, held)?).then_some(held))
    };
    match found() {
        Err(StoreError::Media(why)) => Err(why.into()),
        // It is told, and there is nothing to replay.
        other => Ok(other.unwrap_or(None)),
    }
}

fn newest(pending: [Option<Held>; 2]) -> Option<Held> {
    let [first, second] = pending;
    second.or(first)
}

impl<M: Media> Store<M> {
    /// Mends the other superblock, finishes the resize that was cut, and gives
    /// back what deleted objects had: no mapping survives a power cut.
    pub(crate) fn finish_what_was_cut(&mut self, newest: Option<Held>) -> Result<()> {
        if !self.geo.both {
            crate::repair::mend_superblock(&mut self.media, &self.geo)?;
            self.geo.both = true;
        }
        if let Some(held) = newest {
            let (records, n) = self.records_in(held)?;
            for &r in records.iter().take(n) {
                if self.record(r).is_ok_and(|record| record.state == state::LIVE) {
                    self.settle(r)?;
                }
            }
        }
        // A list that does not end is a damaged one; each step takes a record off it.
        for _ in 0..self.state.unused_record {
            match self.state.dying_record.checked_sub(1) {
                Some(r) => self.reclaim(RecordNo(r))?,
                None => break,
            }
        }
        Ok(())
    }

    /// The records that a transaction writes.
    fn records_in(&self, held: Held) -> Result<([RecordNo; RECORDS], usize)> {
        let mut found = ([RecordNo(0); RECORDS], 0);
        let mut entries = Entries::new(&self.geo, held);
        let first = self.geo.record_at(0);
        while let Some((entry, _)) = entries.next(&self.media, &self.geo)? {
            let n = entry.target.wrapping_sub(first) / RECORD_SIZE;
            if entry.len as u64 == RECORD_SIZE && n < self.state.unused_record {
                if let Some(free) = found.0.get_mut(found.1) {
                    *free = RecordNo(n as u32);
                    found.1 += 1;
                }
            }
        }
        Ok(found)
    }
}
