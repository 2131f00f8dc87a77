// SPDX-License-Identifier: MIT OR Apache-2.0
//! A log object as it is mapped: its header, its table, its records. What the
//! bytes mean is `twz_abi::log`'s.

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::{
    DATA_START, ObjectId, Rights,
    log::{
        LOG_MAGIC, LOG_VERSION, LogHeader, Owner, PLACES, RECORDS, TABLE, check_start, mix,
        stored_mark,
    },
    meta::kind,
};

use crate::{
    backend::NewObject,
    error::{Error, Result},
    raw::{
        object as memory,
        persist::{self, Method},
        translate::Translation,
    },
    slots::Hold,
    space::Core,
};

/// Bytes of records that a log begins with.
const FIRST_ROOM: u64 = 64 << 10;
/// Most bytes of records that a log grows to.
pub(super) const MOST_ROOM: u64 = 128 << 20;

/// From here on a log begins anew with 1, under another generation: a record has 40
/// bits for its sequence, and a recovery goes on a margin after the last one.
pub(super) const LAST_SEQUENCE: u64 = (1 << 40) - (1 << 32);

/// Words of the header.
pub(super) mod head {
    use super::LogHeader;
    use core::mem::offset_of;
    pub const OWNER: usize = offset_of!(LogHeader, owner) / 8;
    pub const BOOT: usize = offset_of!(LogHeader, boot) / 8;
    pub const STATE: usize = offset_of!(LogHeader, state) / 8;
    pub const POSITION: usize = offset_of!(LogHeader, position) / 8;
    pub const FLOOR: usize = offset_of!(LogHeader, floor) / 8;
    pub const TABLE: usize = offset_of!(LogHeader, table) / 8;
    pub const NEXT: usize = offset_of!(LogHeader, next) / 8;
}

/// Where a log is mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    pub id: ObjectId,
    pub slot: u32,
    own: Translation,
}

impl Log {
    /// A log that exists; refused if it is none, or one of another version. Its
    /// slot stays pinned.
    pub fn attach(core: &Core, id: ObjectId) -> Result<Self> {
        let slot = core.slot_for(id, Rights(Rights::READ.0 | Rights::WRITE.0), Hold::Pin)?;
        let checked = Self::check(core, id, slot);
        if checked.is_err() {
            core.unpin(slot);
        }
        checked
    }

    fn check(core: &Core, id: ObjectId, slot: u32) -> Result<Self> {
        let own = core.refresh(slot)?;
        let log = Self { id, slot, own };
        let refused = |error| Error::Format {
            what: format!(
                "object {id}, the log of an unfinished transaction (a release that wrote it can \
                 finish it; else delete it, and take the object as it is)"
            ),
            error,
        };
        if own.end() < RECORDS + 64 || core.arena().meta(slot)?.kind != kind::LOG {
            return Err(refused(twz_abi::FormatError::Short { what: "transaction log" }));
        }
        let head = log.head(core)?;
        let (magic, version) = (head[0].load(Ordering::Acquire), head[1].load(Ordering::Acquire));
        LogHeader::check(magic, version as u32).map_err(refused)?;
        Ok(log)
    }

    /// A new log, which nobody has.
    pub fn create(core: &Core, owner: Owner) -> Result<Self> {
        let size = RECORDS - DATA_START + FIRST_ROOM;
        let new = NewObject { kind: kind::LOG, size, ..NewObject::default() };
        let id = core.backend().create(&new)?;
        let made = Self::fill(core, id, owner);
        if made.is_err() {
            // Nobody knows of it yet.
            let _ = core.backend().delete(id);
        }
        made
    }

    fn fill(core: &Core, id: ObjectId, owner: Owner) -> Result<Self> {
        let slot = core.slot_for(id, Rights(Rights::READ.0 | Rights::WRITE.0), Hold::Pin)?;
        let own = core.reserve(slot, DATA_START, RECORDS + FIRST_ROOM)?;
        let log = Self { id, slot, own };
        let head = log.head(core)?;
        head[head::OWNER].store(owner.0, Ordering::Relaxed);
        head[head::BOOT].store(persist::boot(), Ordering::Relaxed);
        head[1].store(LOG_VERSION as u64, Ordering::Relaxed);
        head[0].store(LOG_MAGIC, Ordering::Release);
        log.flush(core, DATA_START, size_of::<LogHeader>() as u64)?;
        core.fence();
        if core.method() != Method::Nothing {
            // That it exists has to outlast what is going to be in it.
            core.sync_object(id)?;
        }
        Ok(log)
    }

    /// The words of the header.
    #[inline]
    pub fn head<'a>(&self, core: &'a Core) -> Result<&'a [AtomicU64]> {
        memory::words(core, self.own, DATA_START, size_of::<LogHeader>() as u64 / 8)
    }

    /// The words of the records.
    #[inline]
    pub fn records<'a>(&self, core: &'a Core) -> Result<&'a [AtomicU64]> {
        memory::words(core, self.own, RECORDS, self.room() / 8)
    }

    /// Bytes of records that there is room for.
    #[inline]
    pub fn room(&self) -> u64 {
        (self.own.end() - RECORDS) & !63
    }

    /// Makes room for records of so many bytes in all.
    #[cold]
    pub fn grow(&mut self, core: &Core, room: u64) -> Result<()> {
        if room > MOST_ROOM {
            return Err(Error::Unsupported("a transaction changes at most 128 MiB, log included"));
        }
        let room = room.max(2 * self.room()).next_multiple_of(4096).min(MOST_ROOM);
        self.own = core.reserve(self.slot, self.own.end(), RECORDS + room)?;
        if self.room() < room & !63 {
            return Err(Error::ObjectFull { id: self.id, what: "the log cannot grow" });
        }
        // How far it goes has to be durable before what lies there is.
        if core.durable() {
            core.sync_object(self.id)?;
        }
        Ok(())
    }

    /// Refuses a log that can only be looked at.
    pub fn writable(&self) -> Result<()> {
        match self.own.writable() {
            true => Ok(()),
            false => Err(Error::Busy {
                what: "a transaction was cut off, and has to be finished by who may write to the \
                       pool: open it once with the right to write",
            }),
        }
    }

    /// How far it goes may have changed.
    pub fn renew(&mut self, core: &Core) -> Result<()> {
        self.own = core.refresh(self.slot)?;
        Ok(())
    }

    /// The two words of a place in the table.
    pub fn place<'a>(&self, core: &'a Core, index: u32) -> Result<&'a [AtomicU64]> {
        memory::words(core, self.own, TABLE + (index % PLACES) as u64 * 16, 2)
    }

    /// The object at a place of the table.
    pub fn object(&self, core: &Core, index: u32) -> Result<ObjectId> {
        let [lo, hi] = self.place(core, index)? else { return Ok(ObjectId::NULL) };
        Ok(ObjectId { lo: lo.load(Ordering::Acquire), hi: hi.load(Ordering::Acquire) })
    }

    /// Flushes a range of it.
    #[inline]
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn flush(&self, core: &Core, offset: u64, len: u64) -> Result<()> {
        core.method().flush(core.arena().address(self.slot) + offset as usize, len as usize)
    }

    /// Flushes words of the records.
    #[inline]
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn flush_words(&self, core: &Core, from: u64, words: u64) -> Result<()> {
        self.flush(core, RECORDS + from * 8, words * 8)
    }

    /// The generation of its table.
    pub fn generation(&self, core: &Core) -> Result<u32> {
        Ok((self.head(core)?[head::TABLE].load(Ordering::Acquire) >> 32) as u32)
    }
}

/// The check of a record, over its words from the second on.
#[inline]
pub(super) fn record_check(
    log: ObjectId,
    generation: u32,
    sequence: u64,
    at: u64,
    words: &[AtomicU64],
) -> u64 {
    let start = check_start(log, generation, sequence, at);
    words.iter().skip(1).fold(start, |sum, word| mix(sum, word.load(Ordering::Relaxed)))
}

/// The check of an undo entry: of its header and bytes.
pub(super) fn undo_check(
    log: ObjectId,
    generation: u32,
    sequence: u64,
    at: u64,
    header: u64,
    bytes: &[AtomicU64],
) -> u64 {
    let start = mix(check_start(log, generation, sequence, at), header);
    bytes.iter().fold(start, |sum, word| mix(sum, word.load(Ordering::Relaxed)))
}

/// Whether a check word vouches for what it stands before: by the check, or,
/// where no power was lost since, by the mark.
pub(super) fn vouches(found: u64, check: u64, sequence: u64, at: u64, same_boot: bool) -> bool {
    found == check || same_boot && found == stored_mark(sequence, at)
}
