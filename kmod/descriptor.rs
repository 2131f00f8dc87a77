// SPDX-License-Identifier: GPL-2.0
//! Descriptors of objects: [`ObjectFile`], an object's data as a file.
//!
//! The rights of a descriptor were asked for when it was opened, and bound what
//! can be done with it; the object's own are asked again at every use.

use crate::{
    error::{errno, Refusal, Result},
    fault::{self, By, Shown},
    session::refused,
    slot::{self, COPY},
    space::{Space, State},
    sys::{self, Descriptor, Fault, MapRequest, Outcome},
};
use kernel::{
    bindings,
    iov::{IovIterDest, IovIterSource},
    prelude::*,
};
use twz_abi::{reason, ObjectRecord, Rights, DATA_START, MAX_DATA, PAGE};
use twz_core::{RecordNo, Translation};

/// Pages that are given back under one lock.
const PUNCH: u64 = 512;

/// An open descriptor.
pub(crate) struct ObjectFile {
    space: &'static Space,
    record: RecordNo,
    /// The object's inode, which counts this descriptor.
    inode: u32,
    rights: Rights,
}

impl ObjectFile {
    /// The object.
    pub(crate) fn record(&self) -> RecordNo {
        self.record
    }

    /// A descriptor less of the inode at `index`.
    pub(crate) fn let_go(space: &Space, index: u32) {
        let left = {
            let mut state = space.state.write();
            let state = &mut *state;
            state.inodes.close(&mut state.live, index)
        };
        // Freed here, with the lock let go: that may sleep on other locks.
        drop(left);
        space.give_back();
    }

    /// The object, if it and the descriptor grant `wanted`.
    fn permitted(&self, state: &State, wanted: Rights) -> Result<ObjectRecord> {
        let record = state.store.stat(self.record)?;
        let granted =
            state.contexts.rights(self.space.members.context(state), &record).and(self.rights);
        if !granted.contains(wanted) {
            return Err(Refusal::denied(record.id, wanted, granted));
        }
        Ok(record)
    }

    /// Reads into a buffer, as far as the data go.
    fn fetch(&self, at: u64, buffer: &mut [u8]) -> Result<usize> {
        self.space.look(|state| {
            let size = self.permitted(state, Rights::READ)?.size;
            let n = size.saturating_sub(at).min(buffer.len() as u64) as usize;
            if n != 0 {
                let part = buffer.get_mut(..n).unwrap_or(&mut []);
                state.store.read(self.record, DATA_START + at, part)?;
            }
            Ok(n)
        })
    }

    /// Writes at `at`, growing the object to it.
    fn put(&self, at: u64, from: &[u8]) -> Result {
        self.space.change(|state| {
            let record = self.permitted(state, Rights::WRITE)?;
            let end = at + from.len() as u64;
            if end > record.size {
                state.resize(self.space, self.record, end)?;
            }
            state.write(self.space, self.record, DATA_START + at, from)
        })
    }

    /// Zeros bytes within a page, if the page is there.
    fn wipe(&self, from: u64, to: u64) -> Result {
        if from >= to {
            return Ok(());
        }
        self.space.change(|state| {
            let record = self.permitted(state, Rights::WRITE)?;
            let page = (DATA_START + from) / PAGE;
            if state.store.translate_in(&record, page)? == Translation::Hole {
                return Ok(());
            }
            let zeros = [0; 512];
            let mut at = from;
            while at < to {
                let n = (to - at).min(zeros.len() as u64);
                let part = zeros.get(..n as usize).unwrap_or(&[]);
                state.write(self.space, self.record, DATA_START + at, part)?;
                at += n;
            }
            Ok(())
        })
    }
}

impl Descriptor for ObjectFile {
    fn open(tag: u64, inode: usize, rights: Rights) -> Result<KBox<Self>, Error> {
        let space = sys::space().ok_or(ENODEV)?;
        let record = RecordNo(tag as u32);
        let stale = errno(bindings::ESTALE);
        let index = space.change(|state| {
            let index = state.live.get(record).inode.checked_sub(1).ok_or(stale)?;
            let same = state.inodes.get(index).is_some_and(|found| found.file.is(inode));
            if !same {
                return Err(stale.into());
            }
            let found = state.store.stat(record)?;
            let granted = state.contexts.rights(space.members.context(state), &found);
            if !granted.contains(rights) {
                return Err(Refusal::denied(found.id, rights, granted));
            }
            state.inodes.open(&mut state.live, record, found.size)
        });
        let inode = index.map_err(|refusal| refusal.errno)?;
        let made = KBox::new(Self { space, record, inode, rights }, GFP_KERNEL);
        made.map_err(|error| {
            Self::let_go(space, inode);
            error.into()
        })
    }

    fn read(&self, at: u64, to: &mut IovIterDest<'_>) -> Result<usize, Error> {
        let mut buffer = KVec::from_elem(0, to.len().min(COPY), GFP_KERNEL)?;
        let mut done = 0;
        while !to.is_empty() {
            let room = to.len().min(buffer.len());
            let part = buffer.get_mut(..room).unwrap_or(&mut []);
            let filled = match self.fetch(at + done as u64, part) {
                Ok(filled) => filled,
                Err(_) if done != 0 => break,
                Err(refusal) => return Err(refusal.errno),
            };
            let copied = to.copy_to_iter(part.get(..filled).unwrap_or(&[]));
            done += copied;
            if copied < filled && done == 0 {
                return Err(EFAULT);
            }
            if copied < room {
                break;
            }
        }
        Ok(done)
    }

    fn write(&self, at: Option<u64>, from: &mut IovIterSource<'_>) -> Result<(u64, usize), Error> {
        // The inode's lock is held: nobody else moves the end.
        let start = match at {
            Some(at) => at,
            None => self.size()?,
        };
        if start >= MAX_DATA && !from.is_empty() {
            return Err(EFBIG);
        }
        let mut left = (from.len() as u64).min(MAX_DATA - start.min(MAX_DATA)) as usize;
        let mut buffer = KVec::from_elem(0, left.min(COPY), GFP_KERNEL)?;
        let mut done = 0;
        while left != 0 {
            let room = left.min(buffer.len());
            let copied = from.copy_from_iter(buffer.get_mut(..room).unwrap_or(&mut []));
            let step = self.put(start + done as u64, buffer.get(..copied).unwrap_or(&[]));
            if let Err(refusal) = step {
                if done == 0 {
                    return Err(refusal.errno);
                }
                break;
            }
            done += copied;
            left -= copied;
            if copied < room {
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
        }
        Ok((start, done))
    }

    fn size(&self) -> Result<u64, Error> {
        let size = self.space.look(|state| Ok(state.store.stat(self.record)?.size));
        size.map_err(|refusal| refusal.errno)
    }

    fn pages(tag: u64) -> Result<u64, Error> {
        let space = sys::space().ok_or(ENODEV)?;
        let pages = space.look(|state| Ok(state.store.pages_used(RecordNo(tag as u32))?));
        pages.map_err(|refusal| refusal.errno)
    }

    fn seek(&self, at: u64, data: bool) -> Result<u64, Error> {
        let found = self.space.look(|state| {
            let record = self.permitted(state, Rights::NONE)?;
            let from = (DATA_START + at) / PAGE;
            let end = (DATA_START + record.size).div_ceil(PAGE);
            let page = match data {
                true => state.store.next_data(&record, from)?,
                false => Some(state.store.next_hole(&record, from)?),
            };
            Ok(match page {
                Some(page) if page < end => Some((page * PAGE - DATA_START).max(at)),
                _ if data => None,
                _ => Some(record.size),
            })
        });
        found.map_err(|refusal| refusal.errno)?.ok_or(ENXIO)
    }

    fn resize(&self, size: u64) -> Result<(), Error> {
        if size > MAX_DATA {
            return Err(EFBIG);
        }
        let result = self.space.change(|state| {
            let old = self.permitted(state, Rights::WRITE)?.size;
            state.resize(self.space, self.record, size)?;
            Ok(old)
        });
        result.map(|_| ()).map_err(|refusal| refusal.errno)
    }

    fn reserve(&self, from: u64, to: u64, keep_size: bool) -> Result<(), Error> {
        if to > MAX_DATA {
            return Err(EFBIG);
        }
        let end = self.space.change(|state| {
            let size = self.permitted(state, Rights::WRITE)?.size;
            if to > size && !keep_size {
                state.resize(self.space, self.record, to)?;
                return Ok(to);
            }
            // There is no storage beyond an object's data.
            Ok(to.min(size))
        });
        let end = end.map_err(|refusal| refusal.errno)?;
        if from >= end {
            return Ok(());
        }
        let pages = (DATA_START + from) / PAGE..(DATA_START + end).div_ceil(PAGE);
        slot::make_pages(self.space, self.record, pages).map_err(|refusal| refusal.errno)
    }

    fn punch(&self, from: u64, to: u64) -> Result<(), Error> {
        let punch = || -> Result {
            let to = to.min(self.size()?);
            if from >= to {
                return Ok(());
            }
            let first = from.div_ceil(PAGE) * PAGE;
            let last = to / PAGE * PAGE;
            if first >= last {
                // Within a page or two, none of them whole.
                self.wipe(from, to.min(first))?;
                return self.wipe(first.max(from), to);
            }
            self.wipe(from, first)?;
            self.wipe(last, to)?;
            let pages = (DATA_START + first) / PAGE..(DATA_START + last) / PAGE;
            let mut cursor = pages.start;
            while cursor < pages.end {
                let before = cursor;
                self.space.change(|state| {
                    self.permitted(state, Rights::WRITE)?;
                    // Nobody may have what is given back.
                    state.zap(self.space, self.record, before..pages.end);
                    cursor = state.store.punch(self.record, before, pages.end, PUNCH)?;
                    Ok(())
                })?;
                sys::may_go_on()?;
            }
            Ok(())
        };
        punch().map_err(|refusal| refusal.errno)
    }

    fn sync(&self, from: u64, to: u64) -> Result<(), Error> {
        let to = to.min(self.size()?);
        let pages = (DATA_START + from.min(to)) / PAGE..(DATA_START + to).div_ceil(PAGE);
        slot::flush(self.space, self.record, pages).map_err(|refusal| refusal.errno)
    }

    fn map(&self, request: &MapRequest<'_>) -> Result<(), Error> {
        match request.is_shared() {
            true => Ok(()),
            false => Err(EINVAL),
        }
    }

    fn fault(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome {
        let shown = Shown::Object { record: self.record, rights: self.rights };
        fault::fault(self.space, shown, By::Caller(&self.space.members), fault, huge)
            .unwrap_or_else(|refusal| {
                match refused(self.space, &refusal, fault) {
                    // Past the end of a file, as of any.
                    Outcome::Segv if refusal.reason == reason::OUTSIDE => Outcome::Bus,
                    outcome => outcome,
                }
            })
    }

    fn close(&self) {
        Self::let_go(self.space, self.inode);
    }
}
