// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The object table: chains of records by the hash of their id, the list of
//! freed records, and the list of dying ones.
//!
//! There are at least twice as many chains as records, so a lookup reads a head
//! and hardly ever more than one record, however many objects there are. That
//! record is read at once: where memory is far away, its lines come together.

use twz_abi::{
    meta::kind,
    record::{state, RECORD_SIZE},
    ObjectId, ObjectRecord,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use crate::{
    error::{Resource, Result, StoreError},
    geometry::Geometry,
    ident::Identity,
    media::Media,
    store::{RecordNo, Store},
};

/// Who points to a record of a chain.
pub(crate) enum Before {
    /// The chain's head.
    Head,
    /// Another record.
    Record(RecordNo),
}

/// The head of an id's chain.
pub(crate) fn head_of(geo: &Geometry, id: ObjectId) -> u64 {
    let product = (id.lo ^ geo.hash_seed) as u128 * (id.hi ^ 0x9e37_79b9_7f4a_7c15) as u128;
    ((product as u64) ^ (product >> 64) as u64) & (geo.heads - 1)
}

impl<M: Media> Store<M> {
    /// The record of the object with this id. What is found is checked, and
    /// that the id was earned.
    pub fn find(&self, id: ObjectId) -> Result<RecordNo> {
        Ok(self.find_record(id)?.0)
    }

    /// As [`Store::find`], with what [`Store::stat`] would say.
    pub fn find_record(&self, id: ObjectId) -> Result<(RecordNo, ObjectRecord)> {
        let (r, record) = self.find_unverified(id)?;
        Identity::from(&record).verify(id)?;
        Ok((r, record))
    }

    /// The same without the last, for who knows it or sees to it: the id of an object
    /// does not cease to be earned.
    pub fn find_unverified(&self, id: ObjectId) -> Result<(RecordNo, ObjectRecord)> {
        let mut record = ObjectRecord::new_zeroed();
        let (r, _) = self.walk_chain(id, &mut record)?.ok_or(StoreError::NotFound { id })?;
        if self.txn.holds(r) {
            return Ok((r, self.live(r)?));
        }
        record.check().map_err(StoreError::damaged(self.geo.record_at(r.0)))?;
        match record.state {
            state::LIVE => Ok((r, record)),
            _ => Err(StoreError::NoRecord { record: r.0 }),
        }
    }

    /// Ids of objects, in the order of their records; `cursor` begins at 0 and
    /// says where to go on. Returns how many were put into `out`: 0 at the end.
    pub fn list(&self, cursor: &mut u64, out: &mut [ObjectId]) -> Result<usize> {
        let mut filled = 0;
        for slot in out.iter_mut() {
            match self.next_live(cursor)? {
                Some(id) => *slot = id,
                None => break,
            }
            filled += 1;
        }
        Ok(filled)
    }

    /// Walks the chain of `id`: its record, and who points to it.
    pub(crate) fn search_chain(&self, id: ObjectId) -> Result<Option<(RecordNo, Before)>> {
        self.walk_chain(id, &mut ObjectRecord::new_zeroed())
    }

    /// The same; `record` becomes the record as it is on the medium, unchecked.
    fn walk_chain(
        &self,
        id: ObjectId,
        record: &mut ObjectRecord,
    ) -> Result<Option<(RecordNo, Before)>> {
        let head = self.geo.head_at(head_of(&self.geo, id));
        let (mut next, mut before) = (self.half(head)?, Before::Head);
        // Brent's: a chain that comes back to `mark` never ends.
        let (mut mark, mut steps, mut limit) = (0, 0u64, 8u64);
        while let Some(n) = next.checked_sub(1) {
            let at = self.geo.record_at(n);
            if n as u64 >= self.state.unused_record {
                return Err(StoreError::Corrupt { what: "a chain leaves the object table", at });
            }
            if next == mark || steps > self.geo.records {
                return Err(StoreError::Corrupt { what: "a chain of objects is a ring", at });
            }
            if steps == limit {
                (mark, limit) = (next, limit.saturating_mul(2));
            }
            steps += 1;
            self.media.read(at, record.as_mut_bytes())?;
            if record.id == id {
                return Ok(Some((RecordNo(n), before)));
            }
            (next, before) = (record.next, Before::Record(RecordNo(n)));
        }
        Ok(None)
    }

    /// Puts a record into the table, in the open change.
    pub(crate) fn insert(&mut self, mut record: ObjectRecord) -> Result<RecordNo> {
        let r = self.take_record()?;
        self.verified.remove(r);
        let head = self.geo.head_at(head_of(&self.geo, record.id));
        record.state = state::LIVE;
        record.next = self.half(head)?;
        self.set_half(head, r.0 + 1)?;
        self.put_record(r, &record)?;
        self.state.objects = self.state.objects.saturating_add(1);
        let directory = (record.kind == kind::NAMES) as u64;
        self.state.directories = self.state.directories.saturating_add(directory);
        Ok(r)
    }

    /// Takes a record out of the table and puts it on the dying list.
    pub(crate) fn retire(&mut self, r: RecordNo, before: Before) -> Result<()> {
        let record = self.live(r)?;
        self.verified.remove(r);
        match before {
            Before::Head => {
                self.set_half(self.geo.head_at(head_of(&self.geo, record.id)), record.next)?;
            }
            Before::Record(p) => {
                let mut previous = self.live(p)?;
                previous.next = record.next;
                self.put_record(p, &previous)?;
            }
        }
        self.put_dying(r, record)?;
        self.state.objects = self.state.objects.saturating_sub(1);
        let directory = (record.kind == kind::NAMES) as u64;
        self.state.directories = self.state.directories.saturating_sub(directory);
        Ok(())
    }

    /// Puts a record that is in no list on the dying list.
    pub(crate) fn put_dying(&mut self, r: RecordNo, mut record: ObjectRecord) -> Result<()> {
        record.state = state::DYING;
        record.next = self.state.dying_record;
        record.names = 0;
        self.put_record(r, &record)?;
        self.link_back(record.next, r.0 + 1)?;
        self.state.dying_record = r.0 + 1;
        Ok(())
    }

    /// Takes a record off the dying list and frees it.
    pub(crate) fn free_record(&mut self, r: RecordNo) -> Result<()> {
        let record = self.record(r)?;
        match record.names.checked_sub(1) {
            None => self.state.dying_record = record.next,
            Some(p) => {
                let mut previous = self.dying(RecordNo(p))?;
                previous.next = record.next;
                self.put_record(RecordNo(p), &previous)?;
            }
        }
        self.link_back(record.next, record.names)?;
        let mut free = ObjectRecord::new_zeroed();
        free.state = state::FREE;
        free.next = self.state.free_record;
        self.put_record(r, &free)?;
        self.state.free_record = r.0 + 1;
        Ok(())
    }

    /// Record `r`, which must be dying.
    pub(crate) fn dying(&self, r: RecordNo) -> Result<ObjectRecord> {
        let record = self.record(r)?;
        if record.state != state::DYING {
            return Err(StoreError::NoRecord { record: r.0 });
        }
        Ok(record)
    }

    /// In a dying record `names` is the one before it in the list.
    fn link_back(&mut self, next: u32, before: u32) -> Result<()> {
        if let Some(n) = next.checked_sub(1) {
            let mut record = self.dying(RecordNo(n))?;
            record.names = before;
            self.put_record(RecordNo(n), &record)?;
        }
        Ok(())
    }

    /// A record that is no object's.
    pub(crate) fn take_record(&mut self) -> Result<RecordNo> {
        if let Some(n) = self.state.free_record.checked_sub(1) {
            let record = self.record(RecordNo(n))?;
            if record.state != state::FREE {
                let at = self.geo.record_at(n);
                return Err(StoreError::Corrupt { what: "a free record is in use", at });
            }
            self.state.free_record = record.next;
            return Ok(RecordNo(n));
        }
        if self.state.unused_record >= self.geo.records {
            return Err(StoreError::Full { what: Resource::Records });
        }
        let n = self.state.unused_record as u32;
        self.state.unused_record += 1;
        Ok(RecordNo(n))
    }

    fn next_live(&self, cursor: &mut u64) -> Result<Option<ObjectId>> {
        while *cursor < self.state.unused_record {
            let at = self.geo.record_at(*cursor as u32);
            *cursor += 1;
            let (mut id, mut now) = (ObjectId::NULL, [0; 4]);
            self.media.read(at + core::mem::offset_of!(ObjectRecord, state) as u64, &mut now)?;
            if u32::from_le_bytes(now) == state::LIVE {
                self.media.read(at, id.as_mut_bytes())?;
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

const _: () = assert!(RECORD_SIZE == core::mem::size_of::<ObjectRecord>() as u64);
