// SPDX-License-Identifier: GPL-2.0
//! Commands about objects as wholes: create, adopt, stat, list, resize,
//! reserve, delete, sync, copy.

use crate::{
    command::zero,
    error::{Refusal, Result},
    guard::{on, Guard},
    session::Session,
    slot,
    space::State,
    sys::{self, UserBytes},
};
use kernel::prelude::*;
use twz_abi::{
    ioctl::{Adopt, Copy, Create, Delete, List, Reserve, Resize, Stat, Sync},
    meta::{self, flags},
    reason,
    view::MAX_SLOTS,
    ObjectId, ObjectRecord, Rights, DATA_START, MAX_DATA, PAGE, SLOT, SLOT_PAGES,
};
use twz_core::{ident::ContentHash, Identity, NewObject, RecordNo, StoreError};

/// Bytes that are hashed, and pages that are made or flushed, under one lock.
const STEP: u64 = 64;

/// Ids that are listed under one lock.
const IDS: usize = 128;

impl Session {
    pub(crate) fn create(&self, new: &mut Create) -> Result {
        if new.flags & flags::IMMUTABLE != 0 {
            // It is made by copying an object that has its data.
            return Err(Refusal::argument());
        }
        let identity = identity(new, [0; 32])?;
        new.id = self.place(new, &identity, 0)?;
        Ok(())
    }

    pub(crate) fn adopt(&self, adopt: &mut Adopt) -> Result {
        let identity = identity(&adopt.create, adopt.content)?;
        if identity.id() != Some(adopt.create.id) {
            return Err(Refusal::new(EINVAL, reason::BAD_ID).of(adopt.create.id));
        }
        let id = self.place(&adopt.create, &identity, adopt.epoch)?;
        if adopt.create.flags & flags::IMMUTABLE == 0 {
            return Ok(());
        }
        // Whoever brings it in has yet to fill it, until a SYNC finds it whole.
        self.space.change(|state| {
            let r = state.store.find(id)?;
            if let Some(entry) = state.live.get_mut(r) {
                entry.filling = true;
            }
            Ok(())
        })
    }

    fn place(&self, new: &Create, identity: &Identity, epoch: u64) -> Result<ObjectId> {
        let id = identity.id().ok_or(Refusal::argument())?;
        let Create { kind, fingerprint, size, .. } = *new;
        if kind == meta::kind::NAMES || size > MAX_DATA {
            return Err(Refusal::argument());
        }
        let new = NewObject { identity: *identity, kind, fingerprint, size, epoch };
        self.space.change(|state| {
            let r = state.store.create(id, &new)?;
            if let Some(entry) = state.live.get_mut(r) {
                entry.verified = true;
            }
            Ok(id)
        })
    }

    pub(crate) fn stat(&self, stat: &mut Stat) -> Result {
        self.space.look(|state| {
            let (r, record) = state.find(stat.id)?;
            *stat = Stat {
                id: record.id,
                nonce: record.nonce,
                owner: record.owner,
                content: record.content,
                flags: record.flags,
                default_rights: record.default_rights,
                kind: record.kind,
                names: record.names,
                fingerprint: record.fingerprint,
                size: record.size,
                pages: state.store.pages_used(r)?,
                references: state.live.get(r).holders as u64,
                epoch: record.epoch,
            };
            Ok(())
        })
    }

    pub(crate) fn list(&self, list: &mut List) -> Result {
        zero(list.reserved as u64)?;
        let (mut done, wanted) = (0, list.count);
        while done < wanted {
            let mut ids = [ObjectId::NULL; IDS];
            let room = IDS.min((wanted - done) as usize);
            let ids = ids.get_mut(..room).unwrap_or(&mut []);
            let mut cursor = list.cursor;
            let filled = self.space.look(|state| Ok(state.store.list(&mut cursor, ids)?))?;
            let ids = ids.get(..filled).unwrap_or(&[]);
            let at = list.ids as usize + done as usize * core::mem::size_of::<ObjectId>();
            UserBytes::new(at, core::mem::size_of_val(ids)).write(ids.as_bytes())?;
            list.cursor = cursor;
            done += filled as u32;
            if filled < room {
                break;
            }
        }
        list.count = done;
        Ok(())
    }

    pub(crate) fn resize(&self, resize: &mut Resize) -> Result {
        zero(resize.reserved)?;
        self.space.change(|state| {
            let (r, _) = state.permitted(resize.id, self.context(state), Rights::WRITE)?;
            state.resize(self.space, r, resize.size)
        })
    }

    pub(crate) fn reserve(&self, reserve: &mut Reserve) -> Result {
        let (from, to) = (reserve.from, reserve.to);
        if from < DATA_START || from > to || to > SLOT {
            return Err(Refusal::argument());
        }
        let r = self.space.change(|state| {
            let (r, record) = state.permitted(reserve.id, self.context(state), Rights::WRITE)?;
            let fot = state.store.extent(&record)?.fot_first_page * PAGE;
            if from < fot && to > DATA_START + record.size {
                state.resize(self.space, r, to - DATA_START)?;
            }
            state.live.hold(r);
            Ok(r)
        })?;
        let result = slot::make_pages(self.space, r, from / PAGE..to.div_ceil(PAGE));
        self.release(r);
        result
    }

    pub(crate) fn delete(&self, delete: &mut Delete) -> Result {
        zero(delete.reserved)?;
        self.space.change(|state| {
            let (_, record) = state.permitted(delete.id, self.context(state), Rights::DELETE)?;
            if record.kind == meta::kind::NAMES {
                return Err(StoreError::Directory { id: delete.id }.into());
            }
            let r = state.store.delete(delete.id)?;
            state.live.kill(r);
            Ok(())
        })
    }

    pub(crate) fn sync(&self, sync: &mut Sync) -> Result {
        zero(sync.reserved)?;
        let (r, record) = self.space.change(|state| {
            let (r, record) = state.find(sync.id)?;
            state.live.hold(r);
            Ok((r, record))
        })?;
        let result = slot::flush(self.space, r, 1..SLOT_PAGES).and_then(|()| {
            match self.space.look(|state| Ok(state.live.get(r).filling))? {
                true => self.fill(r, &record),
                false => Ok(()),
            }
        });
        self.release(r);
        result
    }

    /// Finds an immutable object that was brought in whole, or refuses it.
    fn fill(&self, r: RecordNo, record: &ObjectRecord) -> Result {
        if self.hash(r)? != record.content {
            return Err(StoreError::ContentMismatch { id: record.id }.into());
        }
        self.space.change(|state| {
            if let Some(entry) = state.live.get_mut(r) {
                entry.filling = false;
            }
            Ok(())
        })
    }

    /// Lets go of a record that a command held.
    pub(crate) fn release(&self, r: RecordNo) {
        self.space.state.write().live.release(r);
        self.space.give_back();
    }

    pub(crate) fn copy(&self, copy: &mut Copy) -> Result {
        let create = &mut copy.create;
        let immutable = create.flags & flags::IMMUTABLE != 0;
        let (r, _) = self.space.change(|state| {
            let (r, record) = state.permitted(copy.source, self.context(state), Rights::READ)?;
            state.live.hold(r);
            Ok((r, record))
        })?;
        let result = self.copy_held(r, create, immutable, copy.epoch);
        self.release(r);
        create.id = result?;
        Ok(())
    }

    /// Copies a record that is held. The id of an immutable copy covers what the
    /// data were when they were hashed; if somebody stored to them since, the
    /// copy is not what its id says, and goes again.
    fn copy_held(
        &self,
        r: RecordNo,
        create: &Create,
        immutable: bool,
        epoch: u64,
    ) -> Result<ObjectId> {
        let content = match immutable {
            true => {
                // What the id covers is durable before the id is.
                slot::flush(self.space, r, 1..SLOT_PAGES)?;
                self.hash(r)?
            }
            false => [0; 32],
        };
        let identity = identity(create, content)?;
        let id = identity.id().ok_or(Refusal::argument())?;
        let made = self.space.change(|state| {
            let ObjectRecord { kind, fingerprint, size, .. } = state.store.stat(r)?;
            let new = NewObject { identity, kind, fingerprint, size, epoch };
            let made = state.store.copy(r, id, &new)?;
            // Pages that are shared from now on must not be written through.
            if on(Guard::CowZap) {
                state.zap_whole(self.space, r);
            }
            state.live.hold(made);
            Ok(made)
        })?;
        let same = match immutable {
            true => self.hash(made).map(|hash| hash == content),
            false => Ok(true),
        };
        let taken_back = match same {
            Ok(true) => Ok(()),
            // Unless somebody else has deleted it meanwhile.
            _ => self.space.change(|state| {
                let there = state.find(id).is_ok_and(|(r, _)| r == made);
                if there {
                    state.live.kill(state.store.delete(id)?);
                }
                Ok(())
            }),
        };
        self.release(made);
        taken_back?;
        match same? {
            true => Ok(id),
            false => Err(EBUSY.into()),
        }
    }

    /// SHA-256 of an object's data. The caller holds it.
    fn hash(&self, r: RecordNo) -> Result<[u8; 32]> {
        let mut buffer = KVec::from_elem(0u8, (STEP * PAGE) as usize, GFP_KERNEL)?;
        let (mut hash, mut at) = (ContentHash::new(), 0);
        loop {
            let filled = self.space.look(|state| {
                let size = state.store.stat(r)?.size;
                let n = size.saturating_sub(at).min(STEP * PAGE) as usize;
                let part = buffer.get_mut(..n).unwrap_or(&mut []);
                state.store.read(r, DATA_START + at, part)?;
                Ok(n)
            })?;
            if filled == 0 {
                return Ok(hash.finish());
            }
            hash.update(buffer.get(..filled).unwrap_or(&[]));
            at += filled as u64;
            sys::may_go_on()?;
        }
    }
}

impl State {
    /// Changes the size of an object's data, and takes out what is no longer its.
    pub(crate) fn resize(&mut self, space: &crate::space::Space, r: RecordNo, size: u64) -> Result {
        let record = self.store.stat(r)?;
        if record.kind == meta::kind::VIEW && size < record.size {
            let most = MAX_SLOTS as u64 * twz_abi::view::ENTRY_SIZE;
            if self.live.get(r).view != 0 && size < most {
                // Those who show the view have a table of its slots.
                return Err(EBUSY.into());
            }
        }
        if size < record.size {
            // Nobody may have what is given back.
            self.zap_whole(space, r);
            space.control.bump_generation();
        }
        if let Some(cut) = self.store.resize_detached(r, size)? {
            self.live.kill(cut);
        }
        if let Some(inode) = self.live.get(r).inode.checked_sub(1).and_then(|i| self.inodes.get(i))
        {
            inode.file.set_size(size);
        }
        Ok(())
    }
}

/// What an object's id is to be made from. A nonce of zeros is a random one.
fn identity(new: &Create, content: [u8; 32]) -> Result<Identity> {
    zero(new.reserved as u64)?;
    if new.flags & !flags::KNOWN != 0 || !Rights(new.default_rights).check() {
        return Err(Refusal::argument());
    }
    if (new.flags & flags::IMMUTABLE == 0) != (content == [0; 32]) {
        return Err(Refusal::argument());
    }
    if new.owner != ObjectId::NULL && !new.owner.is_valid() {
        return Err(Refusal::argument());
    }
    let of = |nonce| Identity {
        nonce,
        owner: new.owner,
        flags: new.flags,
        default_rights: new.default_rights,
        content,
    };
    if new.nonce != [0; 16] {
        return Ok(of(new.nonce));
    }
    loop {
        let identity = of(sys::random());
        if identity.id().is_some() {
            return Ok(identity);
        }
    }
}
