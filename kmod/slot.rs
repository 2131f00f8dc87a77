// SPDX-License-Identifier: GPL-2.0
//! The bytes of an object's slot: the commands that read, write and wait on
//! them, and the steps in which long work on an object's pages is done, so that
//! others get the lock in between.

use crate::{
    error::{Refusal, Result},
    session::Session,
    space::{Space, State},
    sys::{self, UserBytes},
    wait::Word,
};
use core::ops::Range;
use kernel::prelude::*;
use twz_abi::{
    ioctl::{Transfer, Wait, Wake},
    reason,
    record::FANOUT,
    ObjectId, Rights, DATA_START, META_START, PAGE, SLOT,
};
use twz_core::{RecordNo, Translation};

/// Bytes that are copied under one lock.
pub(crate) const COPY: usize = 64 << 10;

/// Pages that are flushed under one lock.
const FLUSH: u64 = 256;

/// Pages that are made under one lock.
const MAKE: u64 = 64;

impl Session {
    /// Copies bytes of a slot to the caller.
    pub(crate) fn read(&self, transfer: &mut Transfer) -> Result {
        let mut buffer = self.buffer(transfer)?;
        let mut done = 0;
        let result = loop {
            let part = transfer.part(&mut buffer, done);
            if part.is_empty() {
                break Ok(());
            }
            let at = transfer.offset + done;
            let step = self.space.look(|state| {
                let (r, _) = state.permitted(transfer.id, self.context(state), Rights::READ)?;
                Ok(state.store.read(r, at, part)?)
            });
            let step = step.and_then(|()| {
                Ok(UserBytes::new((transfer.address + done) as usize, part.len()).write(part)?)
            });
            if let Err(error) = step {
                break Err(error);
            }
            done += part.len() as u64;
        };
        transfer.finish(done, result)
    }

    /// Copies bytes of the caller into a slot.
    pub(crate) fn write(&self, transfer: &mut Transfer) -> Result {
        let mut buffer = self.buffer(transfer)?;
        let mut done = 0;
        let result = loop {
            let part = transfer.part(&mut buffer, done);
            if part.is_empty() {
                break Ok(());
            }
            let at = transfer.offset + done;
            let from = UserBytes::new((transfer.address + done) as usize, part.len());
            let step = from.read(part).map_err(Refusal::from).and_then(|()| {
                self.space.change(|state| {
                    let (r, _) = state.find(transfer.id)?;
                    if !state.live.get(r).filling {
                        state.permitted(transfer.id, self.context(state), Rights::WRITE)?;
                    }
                    state.write(self.space, r, at, part)
                })
            });
            if let Err(error) = step {
                break Err(error);
            }
            done += part.len() as u64;
        };
        transfer.finish(done, result)
    }

    fn buffer(&self, transfer: &Transfer) -> Result<KVec<u8>> {
        let end = transfer.offset.checked_add(transfer.len).filter(|end| *end <= SLOT);
        if end.is_none() || transfer.offset < DATA_START {
            return Err(Refusal::argument());
        }
        Ok(KVec::from_elem(0, (transfer.len as usize).min(COPY), GFP_KERNEL)?)
    }

    /// Sleeps while a word holds a value.
    pub(crate) fn wait(&self, wait: &mut Wait) -> Result {
        let word = self.word(wait.id, wait.offset, Rights::READ)?;
        let value = wait.value;
        let result = self.space.sleepers.wait(self.space, word, wait.timeout, || {
            self.space.look(|state| {
                let mut now = [0; 8];
                state.store.read(word.record, word.offset, &mut now)?;
                Ok(u64::from_le_bytes(now) == value)
            })
        });
        self.release(word.record);
        // Woken because the medium is gone is not woken.
        result.and_then(|()| self.space.look(|_| Ok(())))
    }

    /// Wakes who sleeps on a word.
    pub(crate) fn wake(&self, wake: &mut Wake) -> Result {
        let word = self.word(wake.id, wake.offset, Rights::WRITE)?;
        wake.count = self.space.sleepers.wake(self.space, word, wake.count);
        self.release(word.record);
        Ok(())
    }

    /// A word of an object, which is held.
    fn word(&self, id: ObjectId, offset: u64, wanted: Rights) -> Result<Word> {
        if offset % 8 != 0 || !(DATA_START..SLOT).contains(&offset) {
            return Err(Refusal::argument());
        }
        self.space.change(|state| {
            let (record, found) = state.permitted(id, self.context(state), wanted)?;
            if state.store.pages_from(&found, offset / PAGE)? == 0 {
                return Err(Refusal::new(EINVAL, reason::OUTSIDE).of(id));
            }
            state.live.hold(record);
            Ok(Word { record, offset })
        })
    }
}

/// The bounds of one step of a transfer.
trait Parts {
    fn part<'b>(&self, buffer: &'b mut KVec<u8>, done: u64) -> &'b mut [u8];
    fn finish(&mut self, done: u64, result: Result) -> Result;
}

impl Parts for Transfer {
    fn part<'b>(&self, buffer: &'b mut KVec<u8>, done: u64) -> &'b mut [u8] {
        let left = (self.len - done).min(buffer.len() as u64) as usize;
        buffer.get_mut(..left).unwrap_or(&mut [])
    }

    /// What was done counts; if that was nothing, why.
    fn finish(&mut self, done: u64, result: Result) -> Result {
        self.len = done;
        if done == 0 {
            result
        } else {
            Ok(())
        }
    }
}

impl State {
    /// Writes to an object's slot. Pages that were holes or shared may be mapped
    /// as what they were: they are taken out.
    pub(crate) fn write(&mut self, space: &Space, r: RecordNo, at: u64, from: &[u8]) -> Result {
        let record = self.store.stat(r)?;
        let end = at.saturating_add(from.len() as u64);
        let pages = at / PAGE..end.div_ceil(PAGE);
        let mut moves = false;
        for page in pages.clone() {
            if at >= META_START || moves {
                break;
            }
            moves = match self.store.translate_in(&record, page)? {
                Translation::Page { shared, .. } => shared,
                Translation::Hole => self.live.get(r).zeros,
            };
        }
        let result = self.store.fill(r, at, from);
        if moves {
            self.zap(space, r, pages);
        }
        Ok(result?)
    }
}

/// Makes slot pages be there, for writing. The caller holds the object.
pub(crate) fn make_pages(space: &Space, r: RecordNo, pages: Range<u64>) -> Result {
    let mut page = pages.start;
    while page < pages.end {
        page += space.change(|state| {
            let left = pages.end - page;
            let made = match page % FANOUT == 0 && left >= FANOUT {
                true => match state.store.touch_huge(r, page)? {
                    Translation::Page { huge: true, .. } => FANOUT,
                    _ => 1,
                },
                false => state.store.touch_many(r, page, left.min(MAKE), true)? as u64,
            };
            if made == 0 {
                return Err(Refusal::argument());
            }
            // Shared pages were copied, and holes may be mapped as zeros.
            state.zap(space, r, page..page + made);
            Ok(made)
        })?;
        sys::may_go_on()?;
    }
    Ok(())
}

/// Makes durable what was stored to slot pages of an object, through mappings
/// too. The caller holds it.
pub(crate) fn flush(space: &Space, r: RecordNo, pages: Range<u64>) -> Result {
    let mut page = pages.start;
    while page < pages.end {
        page = space.change(|state| {
            if state.read_only {
                return Ok(pages.end);
            }
            Ok(state.store.flush_data(r, page, pages.end, FLUSH)?)
        })?;
        sys::may_go_on()?;
    }
    Ok(())
}
