// SPDX-License-Identifier: MIT OR Apache-2.0
//! One transaction while it is open: which objects take part, what it has
//! recorded, and what it is going to write. It outlives the transaction with its
//! log and its buffers, and serves the next one of the same thread.

use std::sync::atomic::Ordering;

use twz_abi::{
    Meta, ObjectId, PAGE, Rights,
    log::{PLACES, RECORD_WORDS, place_of, place_word},
};

use super::{
    lock::Patience,
    log::{LAST_SEQUENCE, Log, head},
    range::{InPlace, Range},
    shadow::{Mark as ShadowMark, Shadow, bits_of, key_of},
};
use crate::{
    error::{Error, Result},
    raw::{persist::Method, translate::Translation, words::store_bytes},
    space::Core,
    tx::{no_slot, not_in_object},
};

const _: () = {
    use core::mem::offset_of;
    assert!(twz_abi::META_START.is_multiple_of(64));
    assert!(offset_of!(Meta, log) / 64 == offset_of!(Meta, log_place) / 64);
};

/// Places of the table that are left for one transaction at least.
const OWN_PLACES: u32 = PLACES / 2;

/// An object that takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub id: ObjectId,
    pub slot: u32,
    pub own: Translation,
    /// Its place in the log's table, once it is to be changed.
    pub place: Option<u32>,
    /// Whether the lock is given back at the end.
    pub locked: bool,
}

/// Bits of a word that are to be set or cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits {
    pub object: u32,
    pub offset: u64,
    pub mask: u64,
    pub set: bool,
}

/// A block that is given back when all is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freed {
    pub object: u32,
    pub offset: u64,
}

/// A range that was recorded, and where in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub range: Range,
    /// Word of the records, of its entry.
    pub at: u64,
}

/// What an inner transaction goes back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    shadow: ShadowMark,
    recorded: usize,
    fresh: usize,
    bits: usize,
    freed: usize,
    runs: usize,
    inner: (usize, usize),
}

#[derive(Debug)]
pub(crate) struct Session {
    pub log: Log,
    /// The process that the log belongs to.
    pub owner: twz_abi::log::Owner,
    pub me: twz_abi::log::Owner,
    pub generation: u32,
    pub places: u32,
    pub sequence: u64,
    /// Word of the records where the current one begins.
    pub position: u64,
    /// Words of it that are taken: its head and the undo entries.
    pub used: u64,
    pub active: bool,
    /// Whether a lock was not to be had in time.
    pub conflict: bool,
    /// Whether something was flushed that has to be durable before a commit is written.
    pub fence_first: bool,
    pub joined: Vec<Joined>,
    pub shadow: Shadow,
    pub recorded: Vec<Recorded>,
    /// New blocks, which nobody else can see yet.
    pub fresh: Vec<Range>,
    pub bits: Vec<Bits>,
    pub freed: Vec<Freed>,
    /// Runs of chunks that were taken: object, first, how many.
    pub runs: Vec<(u32, u32, u32)>,
    /// The record, as it is put together.
    pub record: Vec<u64>,
    depth: u32,
    /// How much was recorded, and how many blocks were new, when the innermost
    /// transaction began.
    inner: (usize, usize),
    /// Where blocks of a class were last found: object, class, chunk, word.
    pub hints: Vec<(ObjectId, usize, u32, u32)>,
    /// Objects of which so many FOT pages are known to be durable.
    fot_pages: Vec<(ObjectId, u32)>,
}

impl Session {
    /// With a log that is this process's, and clean.
    pub fn on(core: &Core, log: Log) -> Result<Self> {
        let me = core.me()?;
        let words = log.head(core)?;
        let load = |at: usize| words[at].load(Ordering::Acquire);
        let table = load(head::TABLE);
        Ok(Self {
            log,
            owner: me,
            me,
            generation: (table >> 32) as u32,
            places: (table as u32).min(PLACES),
            sequence: load(head::STATE) >> 1,
            position: load(head::POSITION),
            used: RECORD_WORDS,
            active: false,
            conflict: false,
            fence_first: false,
            joined: Vec::new(),
            shadow: Shadow::default(),
            recorded: Vec::new(),
            fresh: Vec::new(),
            bits: Vec::new(),
            freed: Vec::new(),
            runs: Vec::new(),
            record: Vec::new(),
            depth: 0,
            inner: (0, 0),
            hints: Vec::new(),
            fot_pages: Vec::new(),
        })
    }

    /// Begins a transaction.
    #[inline]
    pub fn begin(&mut self, core: &Core) -> Result<()> {
        debug_assert!(!self.active);
        self.me = core.me()?;
        if self.places > PLACES - OWN_PLACES || self.sequence >= LAST_SEQUENCE {
            self.empty_table(core)?;
        }
        self.active = true;
        self.conflict = false;
        self.sequence += 1;
        Ok(())
    }

    /// Whether it has anything to commit.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.shadow.words().is_empty()
            && self.recorded.is_empty()
            && self.fresh.is_empty()
            && self.bits.is_empty()
    }

    /// Forgets what the transaction was, and gives its locks back.
    #[inline]
    pub fn end(&mut self, core: &Core) {
        self.shadow.clear();
        self.recorded.clear();
        self.fresh.clear();
        self.bits.clear();
        self.freed.clear();
        self.runs.clear();
        self.depth = 0;
        self.inner = (0, 0);
        self.used = RECORD_WORDS;
        self.active = false;
        while let Some(joined) = self.joined.pop() {
            if joined.locked {
                core.unlock_slot(joined.slot, self.me);
            }
            core.unpin(joined.slot);
        }
    }

    /// Has the object in a slot take part, locked by this thread; with `lock`,
    /// it is locked here, and given back at the end. The first one is waited
    /// for; later ones only so long that two transactions cannot wait for each
    /// other for ever.
    #[inline]
    pub fn join(&mut self, core: &Core, slot: u32, lock: bool, patience: Patience) -> Result<u32> {
        match self.joined.iter().position(|joined| joined.slot == slot) {
            Some(at) => Ok(at as u32),
            None => self.join_new(core, slot, lock, patience),
        }
    }

    /// The number of the object in a slot, if it takes part.
    pub fn number_of(&self, core: &Core, slot: u32) -> Option<u32> {
        let id = core.arena().info(slot)?.id();
        let same = |joined: &Joined| joined.slot == slot || joined.id == id;
        self.joined.iter().position(same).map(|at| at as u32)
    }

    fn join_new(&mut self, core: &Core, slot: u32, lock: bool, patience: Patience) -> Result<u32> {
        let info = core.arena().info(slot).ok_or_else(no_slot)?;
        // Mapped in another slot, with other rights.
        let id = info.id();
        if let Some(at) = self.joined.iter().position(|joined| joined.id == id) {
            return Ok(at as u32);
        }
        let mut own = core.own(slot)?;
        if !own.writable() && core.try_widen(slot) {
            own = core.translate(slot, 0)?;
        }
        if !own.writable() {
            return Err(Error::denied(info.id(), Rights::WRITE));
        }
        // Who has locked it before the transaction goes on with that.
        let lock = lock && !core.has_lock(slot, self.me)?;
        if lock && !core.lock_slot(slot, self.me, patience)? {
            self.conflict = true;
            return Err(Error::Busy { what: "another transaction has one of the objects" });
        }
        // Held for as long as the transaction may still write to it.
        info.pins.fetch_add(1, Ordering::SeqCst);
        self.joined.push(Joined { id: info.id(), slot, own, place: None, locked: lock });
        Ok(self.joined.len() as u32 - 1)
    }

    /// An object that takes part.
    #[inline]
    pub fn object(&self, number: u32) -> Result<&Joined> {
        self.joined.get(number as usize).ok_or_else(not_in_object)
    }

    /// Its place in the table, so that entries can be about it.
    #[inline]
    pub fn take_part(&mut self, core: &Core, number: u32) -> Result<()> {
        match self.object(number)?.place {
            Some(_) => Ok(()),
            None => self.find_place(core, number),
        }
    }

    fn find_place(&mut self, core: &Core, number: u32) -> Result<()> {
        let slot = self.object(number)?.slot;
        let [_, lo, hi, place] = core.lock_words(slot)? else { return Err(Error::NoSlot) };
        let word = place.load(Ordering::Acquire);
        let former = ObjectId { lo: lo.load(Ordering::Relaxed), hi: hi.load(Ordering::Relaxed) };
        let mut known = None;
        if former == self.log.id
            && let Some((index, generation)) = place_of(former, word)
            && generation == self.generation & 0x3f_ffff
        {
            known = Some(index);
        }
        let index = match known {
            Some(index) => index,
            None => self.new_place(core, number, former, word)?,
        };
        if let Some(joined) = self.joined.get_mut(number as usize) {
            joined.place = Some(index);
        }
        Ok(())
    }

    /// Has an object name this log. What its former one did to it is made
    /// durable in place first, for nobody will replay that any more.
    #[cold]
    fn new_place(&mut self, core: &Core, number: u32, former: ObjectId, word: u64) -> Result<u32> {
        let Joined { slot, id, .. } = *self.object(number)?;
        if former != self.log.id
            && let Some(place) = place_of(former, word)
        {
            core.leave_log(slot, former, place)?;
        }
        if self.places >= PLACES {
            return Err(Error::Unsupported("a transaction changes at most 512 objects"));
        }
        let index = self.places;
        let entry = self.log.place(core, index)?;
        entry[0].store(id.lo, Ordering::Relaxed);
        entry[1].store(id.hi, Ordering::Relaxed);
        self.places += 1;
        let table = (self.generation as u64) << 32 | self.places as u64;
        self.log.head(core)?[head::TABLE].store(table, Ordering::Release);
        let [_, lo, hi, place] = core.lock_words(slot)? else { return Err(Error::NoSlot) };
        // All three lie in one line, to which stores become durable in their order: so
        // the place is 0 while the log changes.
        place.store(0, Ordering::Release);
        lo.store(self.log.id.lo, Ordering::Release);
        hi.store(self.log.id.hi, Ordering::Release);
        if core.durable() {
            if core.method() == Method::Msync {
                // That it exists, too, in a directory that nobody has synced.
                core.sync_object(id)?;
            }
            core.method().flush((&raw const entry[0]) as usize, 16)?;
            self.log.flush(core, twz_abi::DATA_START, 64)?;
            // A generation that an object names is never given out a second time.
            core.fence();
        }
        place.store(place_word(self.log.id, index, self.generation), Ordering::Release);
        if core.durable() {
            core.method().flush((&raw const *place) as usize, 8)?;
            self.fence_first = true;
        }
        Ok(index)
    }

    /// The word of an object that takes part, which may have grown.
    #[inline]
    pub fn word<'a>(
        &mut self,
        core: &'a Core,
        number: u32,
        offset: u64,
    ) -> Result<&'a std::sync::atomic::AtomicU64> {
        let Joined { own, slot, .. } = *self.object(number)?;
        match core.arena().word(own, slot, offset) {
            Ok(word) => Ok(word),
            Err(_) => {
                let own = core.refresh(slot)?;
                if let Some(joined) = self.joined.get_mut(number as usize) {
                    joined.own = own;
                }
                core.arena().word(own, slot, offset)
            }
        }
    }

    /// Whether all of a range may be stored to in place: it is recorded, or in
    /// a new block.
    pub fn in_place(&self, range: Range) -> InPlace {
        let covers = |known: &Range| {
            known.object == range.object
                && known.offset <= range.offset
                && range.offset + range.len <= known.offset + known.len
        };
        let (recorded, fresh) = self.inner;
        let at = self.recorded.iter().rposition(|recorded| covers(&recorded.range));
        let new = self.fresh.iter().rposition(covers);
        match at.map(|at| at >= recorded).into_iter().chain(new.map(|at| at >= fresh)).max() {
            Some(true) => InPlace::Yes,
            Some(false) => InPlace::Outer,
            None => InPlace::No,
        }
    }

    /// Writes some bytes of one word: once it is committed, or at once where
    /// that can be taken back.
    #[inline]
    pub fn write(
        &mut self,
        core: &Core,
        number: u32,
        offset: u64,
        value: u64,
        mask: u8,
    ) -> Result<()> {
        self.take_part(core, number)?;
        if !self.recorded.is_empty() || !self.fresh.is_empty() {
            let first = mask.trailing_zeros() as u64;
            let len = 8 - mask.leading_zeros() as u64 - first;
            let range = Range { object: number, offset: (offset & !7) + first, len };
            let place = self.in_place(range);
            if place == InPlace::Outer {
                self.record(core, range)?;
            }
            if place != InPlace::No {
                store_bytes(self.word(core, number, offset)?, value, mask);
                return Ok(());
            }
        }
        // So that it is known now whether the place exists.
        self.word(core, number, offset)?;
        self.shadow.write(key_of(number, offset), value, mask, false);
        Ok(())
    }

    /// A word as this transaction sees it.
    #[inline]
    pub fn read(&mut self, core: &Core, number: u32, offset: u64) -> Result<u64> {
        let home = self.word(core, number, offset)?.load(Ordering::Acquire);
        Ok(match self.shadow.find(key_of(number, offset)) {
            None => home,
            Some(word) => {
                let bits = bits_of(word.mask);
                home & !bits | word.value & bits
            }
        })
    }

    /// Sees to it that an FOT that reaches below the tail page does so durably
    /// before an entry there is committed.
    pub fn keep_fot_pages(&mut self, core: &Core, number: u32, pages: u32) -> Result<()> {
        let id = self.object(number)?.id;
        let known = self.fot_pages.iter().position(|known| known.0 == id);
        let at = known.unwrap_or_else(|| {
            self.fot_pages.push((id, 0));
            self.fot_pages.len() - 1
        });
        if let Some(known) = self.fot_pages.get_mut(at).filter(|known| known.1 < pages) {
            core.sync_object(id)?;
            known.1 = pages;
        }
        Ok(())
    }

    /// Notes a new block: what is in it is made durable with the commit.
    pub fn note_fresh(&mut self, range: Range) {
        self.fresh.push(range);
    }

    /// Whether an inner transaction is open.
    pub fn is_nested(&self) -> bool {
        self.depth != 0
    }

    /// Begins an inner transaction.
    pub fn mark(&mut self) -> Mark {
        let (recorded, fresh) = (self.recorded.len(), self.fresh.len());
        self.depth += 1;
        let inner = std::mem::replace(&mut self.inner, (recorded, fresh));
        Mark {
            shadow: self.shadow.mark(),
            recorded,
            fresh,
            bits: self.bits.len(),
            freed: self.freed.len(),
            runs: self.runs.len(),
            inner,
        }
    }

    /// It has ended well.
    pub fn keep(&mut self, mark: Mark) {
        self.shadow.keep(mark.shadow);
        self.depth = self.depth.saturating_sub(1);
        self.inner = mark.inner;
    }

    /// It has not. What it recorded is put back. The entries stay in the log: a
    /// range has there, as its oldest, what it held when the whole began.
    pub fn go_back(&mut self, core: &Core, mark: Mark) -> Result<()> {
        for at in (mark.recorded..self.recorded.len()).rev() {
            let Some(recorded) = self.recorded.get(at).copied() else { break };
            self.put_back(core, recorded)?;
            if core.durable() {
                // No entry of the commit is going to be about it.
                let Range { object, offset, len } = recorded.range;
                let base = self.object(object)?.own.base();
                core.method().flush(base + offset as usize, len as usize)?;
                self.fence_first = true;
            }
        }
        core.return_runs(self, mark.runs)?;
        self.shadow.go_back(mark.shadow);
        self.depth = self.depth.saturating_sub(1);
        self.recorded.truncate(mark.recorded);
        self.fresh.truncate(mark.fresh);
        self.bits.truncate(mark.bits);
        self.freed.truncate(mark.freed);
        self.inner = mark.inner;
        Ok(())
    }

    /// Refuses a range that is not all in one object's data.
    pub fn check_range(&mut self, core: &Core, range: Range) -> Result<()> {
        let end = range.offset.checked_add(range.len).filter(|&end| end <= twz_abi::TAIL_START);
        if range.offset < PAGE || end.is_none() {
            return Err(Error::BadPointer { why: "the range lies outside its object" });
        }
        if range.len != 0 {
            self.word(core, range.object, range.offset)?;
            self.word(core, range.object, range.offset + range.len - 1)?;
        }
        Ok(())
    }
}
