// SPDX-License-Identifier: MIT OR Apache-2.0
//! The foreign object table at work: inserting entries while other processes
//! do, following them, and pointing them elsewhere.
//!
//! The protocol is FORMAT.md's, section "FOT". [`crate::ptr`] is what programs
//! use; [`crate::graph`] reads whole tables.

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::{
    FotEntry, META_START, Meta, ObjectId, Rights,
    fot::{self, FotTarget, FotWord, entry_offset, kind, pages_for, state},
    meta::Bounds,
    pointer::MAX_FOT_INDEX,
};

use crate::{
    error::{Error, Result},
    space::Core,
    tx::{lock::Patience, session_if_active},
    view::take,
};

/// Forwards and aliases that are followed before a table is called cyclic.
const MAX_HOPS: u32 = 32;

/// How an entry of one object's table reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What the entry names in the end.
    pub target: FotTarget,
    /// The rights it requests.
    pub rights: Rights,
    /// Its flags.
    pub flags: u8,
    /// The entry that `target` is in, after aliases and forwards.
    pub entry: u32,
}

impl Core {
    fn entry_words(&self, slot: u32, index: u32) -> Result<&[AtomicU64]> {
        self.arena().tail_words(slot, entry_offset(index), 4)
    }

    /// How many entries the mapped part of a slot's table has room for, after
    /// catching up with what other processes have added.
    fn reachable_entries(&self, slot: u32) -> Result<u32> {
        let pages = Bounds::unpack(self.bounds(slot)?.load(Ordering::Acquire)).fot_pages;
        let have = self.arena().info(slot).map_or(0, |info| info.fot_pages.load(Ordering::Acquire));
        if pages > have && pages < MAX_FOT_INDEX / fot::PAGE_ENTRIES {
            self.map_fot(slot, fot::entries_in(pages))?;
        }
        let have = self.arena().info(slot).map_or(0, |info| info.fot_pages.load(Ordering::Acquire));
        Ok(fot::entries_in(have).min(MAX_FOT_INDEX))
    }

    pub(crate) fn bounds(&self, slot: u32) -> Result<&AtomicU64> {
        let offset = META_START + core::mem::offset_of!(Meta, bounds) as u64;
        self.arena().tail_words(slot, offset, 1)?.first().ok_or(Error::NotInObject)
    }

    /// One entry, copied out; `None` past the end of the table.
    pub(crate) fn fot_entry(&self, slot: u32, index: u32) -> Result<Option<FotEntry>> {
        if index == 0 || index > self.reachable_entries(slot)? {
            return Ok(None);
        }
        let words = self.entry_words(slot, index)?;
        let word = words[2].load(Ordering::Acquire);
        let load = |i: usize| words[i].load(Ordering::Relaxed);
        Ok(Some(FotEntry { a: load(0), b: load(1), word, check: load(3) }))
    }

    /// What entry `index` means, through aliases and forwards.
    pub(crate) fn fot_target(&self, slot: u32, index: u32) -> Result<Reached> {
        let mut at = index;
        let mut first: Option<FotWord> = None;
        for _ in 0..MAX_HOPS {
            let entry = self
                .fot_entry(slot, at)?
                .filter(FotEntry::is_live)
                .ok_or(Error::BadPointer { why: "its FOT entry does not exist" })?;
            let word = FotWord::unpack(entry.word);
            let first = *first.get_or_insert(word);
            match entry.target() {
                Ok(FotTarget::Entry(next)) => at = next,
                Ok(target) => {
                    let rights = Rights(first.rights as u32);
                    let flags = first.flags | word.flags;
                    return Ok(Reached { target, rights, flags, entry: at });
                }
                Err(error) => {
                    let what = format!("FOT entry {at}");
                    return Err(Error::Format { what, error });
                }
            }
        }
        Err(Error::BadPointer { why: "its FOT entry leads round in a circle" })
    }

    /// The entry that reaches object `id` with these rights, made if need be.
    pub(crate) fn fot_insert_id(
        &self,
        slot: u32,
        id: ObjectId,
        rights: Rights,
        flags: u8,
    ) -> Result<u32> {
        let entry = FotEntry::by_id(id, rights, flags);
        match self.fot_insert(slot, &entry)? {
            Inserted::At(index) => Ok(index),
            Inserted::SameTarget(primary) => {
                match self.fot_insert(slot, &FotEntry::alias(primary, rights, flags))? {
                    Inserted::At(index) | Inserted::SameTarget(index) => Ok(index),
                }
            }
        }
    }

    /// The entry for the name whose text is at `text`, made if need be.
    pub(crate) fn fot_insert_name(
        &self,
        slot: u32,
        text: u64,
        resolver: u64,
        rights: Rights,
        flags: u8,
    ) -> Result<u32> {
        match self.fot_insert(slot, &FotEntry::by_name(text, resolver, rights, flags))? {
            Inserted::At(index) | Inserted::SameTarget(index) => Ok(index),
        }
    }

    fn fot_insert(&self, slot: u32, new: &FotEntry) -> Result<Inserted> {
        let info = self.arena().info(slot).ok_or(Error::NoSlot)?;
        if !info.granted().contains(Rights::WRITE) {
            return Err(Error::denied(info.id(), Rights::WRITE));
        }
        for index in 1..=MAX_FOT_INDEX {
            if index > self.reachable_entries(slot)? {
                self.grow_fot(slot, index)?;
            }
            let words = self.entry_words(slot, index)?;
            if !take(&words[0], new.a) || !take(&words[1], new.b) {
                continue;
            }
            words[3].store(new.check, Ordering::Relaxed);
            match words[2].compare_exchange(0, new.word, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Inserted::At(index)),
                Err(there) if there == new.word => return Ok(Inserted::At(index)),
                Err(there) => {
                    // The same words; the same kind, then, is the same target.
                    // A forwarded entry has come to mean something else.
                    let (there, ours) = (FotWord::unpack(there), FotWord::unpack(new.word));
                    if there.state == state::LIVE
                        && there.kind == ours.kind
                        && there.kind != kind::ALIAS
                    {
                        return Ok(Inserted::SameTarget(index));
                    }
                }
            }
        }
        Err(Error::ObjectFull { id: info.id(), what: "its FOT has no entry left" })
    }

    /// Claims the pages that entry `index` needs, unless the data has them.
    fn grow_fot(&self, slot: u32, index: u32) -> Result<()> {
        let pages = (pages_for(index) + 1).next_power_of_two() - 1;
        let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        let claimed =
            self.bounds(slot)?.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let now = Bounds::unpack(word);
                let new = Bounds { fot_pages: now.fot_pages.max(pages), ..now };
                new.fits().then(|| new.pack())
            });
        match claimed {
            Ok(_) => self.map_fot(slot, index),
            Err(_) => Err(Error::ObjectFull { id, what: "its FOT and its data would meet" }),
        }
    }

    /// Makes every pointer of a slot's object that reaches `from` reach `to`
    /// instead, by one 8-byte store. Returns whether there was an entry for `from`.
    pub(crate) fn fot_retarget(&self, slot: u32, from: ObjectId, to: ObjectId) -> Result<bool> {
        // A transaction writes the entries that it uses once more when it commits.
        let open = session_if_active(self).filter(|_| self.durable());
        if open.is_some_and(|open| open.borrow().number_of(self, slot).is_some()) {
            return Err(Error::Busy {
                what: "this thread's transaction has the object; end it first",
            });
        }
        let me = self.me()?;
        let lock = self.durable() && !self.has_lock(slot, me)?;
        if lock {
            self.lock_slot(slot, me, Patience::Endless)?;
        }
        let done = self.retarget_locked(slot, from, to);
        if lock {
            self.unlock_slot(slot, me);
        }
        done
    }

    fn retarget_locked(&self, slot: u32, from: ObjectId, to: ObjectId) -> Result<bool> {
        let Some((index, word)) = self.primary_of(slot, from)? else { return Ok(false) };
        if from == to {
            return Ok(true);
        }
        let flags = word.flags & !fot::flags::DERIVE;
        let new = self.fot_insert_id(slot, to, Rights(word.rights as u32), flags)?;
        let forward = FotWord { kind: kind::FORWARD, index: new, ..word };
        let words = self.entry_words(slot, index)?;
        // What the pointers are going to lead through has to be there before they do.
        self.keep_entry(slot, new)?;
        let done = words[2].compare_exchange(
            word.pack(),
            forward.pack(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        done.map_err(|_| Error::Busy {
            what: "another process retargets the same entry; look again",
        })?;
        self.keep_entry(slot, index)?;
        let generation = META_START + core::mem::offset_of!(Meta, generation) as u64;
        if let Some(word) = self.arena().tail_words(slot, generation, 1)?.first() {
            word.fetch_add(1, Ordering::AcqRel);
        }
        self.backend().bump_generation()?;
        Ok(true)
    }

    /// Makes an entry durable, whatever a transaction did to it before, where what
    /// is changed is to survive a power cut.
    fn keep_entry(&self, slot: u32, index: u32) -> Result<()> {
        if !self.durable() {
            return Ok(());
        }
        self.forget_log(slot)?;
        if pages_for(index) != 0 {
            // That its page exists is the backend's to keep.
            let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
            self.sync_object(id)?;
        }
        let entry = self.arena().address(slot) + entry_offset(index) as usize;
        self.method().flush(entry, size_of::<FotEntry>())?;
        self.fence();
        Ok(())
    }

    /// The live entry that names `id` itself.
    fn primary_of(&self, slot: u32, id: ObjectId) -> Result<Option<(u32, FotWord)>> {
        for index in 1..=MAX_FOT_INDEX {
            let Some(entry) = self.fot_entry(slot, index)? else { return Ok(None) };
            if entry.a == 0 {
                return Ok(None);
            }
            let word = FotWord::unpack(entry.word);
            if word.kind == kind::ID && entry.target() == Ok(FotTarget::Id(id)) {
                return Ok(Some((index, word)));
            }
        }
        Ok(None)
    }

    /// On first use of a "derive" entry: copies the target, and makes the entry
    /// stand for the copy. Whoever comes second throws their copy away.
    pub(crate) fn fot_derive(
        &self,
        slot: u32,
        reached: &Reached,
        source: ObjectId,
    ) -> Result<ObjectId> {
        let words = self.entry_words(slot, reached.entry)?;
        let word = FotWord::unpack(words[2].load(Ordering::Acquire));
        let copy = self.backend().copy(source, &crate::NewObject::default())?;
        let index = self.fot_insert_id(slot, copy, reached.rights, 0)?;
        let forward = FotWord { kind: kind::FORWARD, flags: 0, index, ..word };
        match words[2].compare_exchange(
            word.pack(),
            forward.pack(),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Ok(copy),
            Err(_) => {
                let _ = self.backend().delete(copy);
                match self.fot_target(slot, reached.entry)?.target {
                    FotTarget::Id(id) => Ok(id),
                    _ => {
                        Err(Error::BadPointer { why: "its FOT entry changed while it was copied" })
                    }
                }
            }
        }
    }
}

enum Inserted {
    /// The entry is there, with exactly these words.
    At(u32),
    /// An entry for the same target is there, with other rights or flags.
    SameTarget(u32),
}
