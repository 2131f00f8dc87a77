// SPDX-License-Identifier: GPL-2.0
//! Reading a context from its object: LOAD, and what ATTACH needs of it.
//!
//! The object's bytes are copied once, and then looked at without the lock (rule C5).
//! What comes of it takes the place of what was loaded before; a load that is refused
//! changes nothing. Of two loads at a time, that of the later bytes stays.

use super::{
    context::{Context, Kept, Table},
    facts::{Asked, Ed25519},
    withdraw::Cause,
    Hold, Loaded, MAX_KEPT,
};
use crate::{
    command::zero,
    decisions::grants,
    error::{Refusal, Result},
    guard::{on, Guard},
    session::Session,
    slot::COPY,
    space::{Space, State},
    stats::Event,
    sys,
};
use kernel::{prelude::*, sync::Arc};
use twz_abi::{
    decision::what,
    ioctl::ContextOnly,
    reason,
    security::{Record, GRANT_MAGIC, RECORD},
    ObjectId, Rights, DATA_START,
};
use twz_core::{
    security::{
        link::{self, Bytes},
        rules::Built,
        Flaw, Link, Spoiled,
    },
    RecordNo,
};

/// A context's bytes, copied: the header, and the records that are not empty.
struct Copied {
    header: Bytes,
    records: KVVec<Bytes>,
}

impl Session {
    /// Reads a context's object anew, for all who are attached to it.
    pub(crate) fn load(&self, load: &mut ContextOnly) -> Result {
        zero(load.reserved)?;
        self.space.look(|state| {
            let (_, record) = state.find(load.context)?;
            let granted = state.contexts.rights(self.context(state), &record);
            // Who is attached or may be, and who may write what is to be read.
            let loaded = state.contexts.find(load.context);
            let attached = loaded.is_some_and(|no| self.member().is_attached(no));
            match attached || !granted.and(Rights::USE.or(Rights::WRITE)).is_empty() {
                true => Ok(()),
                false => Err(Refusal::denied(load.context, Rights::USE, granted)),
            }
        })?;
        let loaded = self.space.load_context(load.context)?;
        (load.grants, load.void) = (loaded.grants, loaded.void);
        Ok(())
    }
}

impl Space {
    /// A context to attach to, loaded if nobody holds it yet. Its object has to be there.
    pub(crate) fn hold_context(&self, id: ObjectId) -> Result<Hold> {
        let held = self.look(|state| {
            state.find(id)?;
            let loaded = state.contexts.find(id).and_then(|no| state.contexts.get(no));
            let held = loaded.filter(|context| context.holders() != 0);
            Ok(held.and_then(|context| state.contexts.hold(context.no())))
        })?;
        match held {
            Some(hold) => Ok(hold),
            None => self.load_context(id).map(|loaded| loaded.hold),
        }
    }

    /// Reads a context's object anew, for all who are attached to it.
    pub(crate) fn load_context(&self, id: ObjectId) -> Result<Loaded> {
        self.counters.count(Event::Load);
        let ticket = self.state.read().contexts.ticket();
        let refused = |why: Spoiled| match why {
            Spoiled::Interrupted => EINTR.into(),
            _ => {
                if sys::may_log() {
                    pr_warn!(
                        "{}: refused context {}: {why:?}\n",
                        sys::thread(),
                        format_args!("{id}")
                    );
                }
                Refusal::new(EINVAL, reason::BAD_CONTEXT).of(id)
            }
        };
        let (r, size) = self.hold_bytes(id, &refused)?;
        let copied = self.copy_context(r, size);
        self.state.write().live.release(r);
        self.give_back();
        let kept = self.judged(id, copied?, &refused)?;
        let table = Table::room(&kept)?;
        let loaded = self.install(Arc::new(kept, GFP_KERNEL)?, table, ticket)?;
        self.decided(what::LOADED, id, grants(loaded.grants, loaded.void));
        Ok(loaded)
    }

    /// Holds the object of a context, if it is of the kind and a size that can be.
    fn hold_bytes(
        &self,
        id: ObjectId,
        refused: &impl Fn(Spoiled) -> Refusal,
    ) -> Result<(RecordNo, u64)> {
        self.change(|state| {
            let (r, record) = state.find(id)?;
            link::count(record.kind, record.size).map_err(refused)?;
            state.live.hold(r);
            Ok((r, record.size))
        })
    }

    /// Copies the bytes of a context's object, which is held.
    fn copy_context(&self, r: RecordNo, size: u64) -> Result<Copied> {
        let mut buffer = KVec::from_elem(0, COPY, GFP_KERNEL)?;
        let mut copied = Copied { header: [0; RECORD], records: KVVec::new() };
        let mut at = 0;
        while at < size {
            let room = (size - at).min(COPY as u64) as usize;
            let part = buffer.get_mut(..room).unwrap_or(&mut []);
            self.look(|state| Ok(state.store.read(r, DATA_START + at, part)?))?;
            for (n, bytes) in part.chunks_exact(RECORD).enumerate() {
                let Ok(bytes) = Bytes::try_from(bytes) else { continue };
                if at == 0 && n == 0 {
                    copied.header = bytes;
                } else if !bytes.starts_with(&[0; 8]) {
                    copied.records.push(bytes, GFP_KERNEL_ACCOUNT)?;
                }
            }
            at += room as u64;
            if !sys::may_finish() {
                return Err(EINTR.into());
            }
        }
        Ok(copied)
    }

    /// Looks at what was copied, without the lock.
    fn judged(
        &self,
        id: ObjectId,
        copied: Copied,
        refused: &impl Fn(Spoiled) -> Refusal,
    ) -> Result<Kept> {
        let Copied { header, records } = copied;
        let mut links = KVVec::new();
        links.resize(records.len(), Link::EMPTY, GFP_KERNEL_ACCOUNT)?;
        let (policy, count) = link::read(id, &header, &records, &mut links).map_err(refused)?;
        links.truncate(count);
        let before = self.look(|state| {
            let loaded = state.contexts.find(id).and_then(|no| state.contexts.get(no));
            Ok(loaded.map(|context| context.kept.clone()))
        })?;
        let known: &[Link] = before.as_ref().map_or(&[], |kept| &kept.links);
        let verifier = Ed25519::new(self);
        link::judge(&records, &mut links, known, &Asked(self), &verifier).map_err(refused)?;
        let is_grant = |link: &Link| {
            let bytes = records.get(link.place() as usize);
            bytes.is_some_and(|bytes| bytes.starts_with(&GRANT_MAGIC.to_le_bytes()))
        };
        let sound = links.iter().filter(|link| link.flaw().is_none() && is_grant(link)).count();
        self.counters.add(Event::Known, (sound as u64).saturating_sub(verifier.good.get()));
        Ok(Kept { id, policy, records, links })
    }

    /// Has what was loaded be what counts, and what is no longer allowed taken out.
    fn install(&self, kept: Arc<Kept>, table: Table, ticket: u64) -> Result<Loaded> {
        let id = kept.id;
        let mut forgotten = KVec::new();
        let (loaded, replaced, flaw) = self.change(|state| {
            let records = kept.records.len();
            while state.contexts.crowded(records) {
                let Some(context) = state.contexts.forget() else { break };
                forgotten.push(context, GFP_KERNEL)?;
            }
            if state.contexts.iter().map(Context::records).sum::<usize>() + records > MAX_KEPT {
                return Err(Refusal::new(ENOSPC, reason::TOO_MANY).of(id));
            }
            let flaw = state.first_flaw(&kept);
            let (loaded, replaced) = state.install(self, kept, table, ticket)?;
            Ok((loaded, replaced, flaw))
        })?;
        // Freed here, with the lock let go.
        drop((forgotten, replaced));
        if let Some(flaw) = flaw.filter(|_| sys::may_log()) {
            let (void, rule) = (loaded.void, flaw.rule());
            pr_info!("context {}: {void} grants are void: {rule}\n", format_args!("{id}"));
        }
        sys::tick_soon();
        Ok(loaded)
    }
}

impl State {
    /// Puts a context in place. Returns what it takes the place of, to be freed.
    fn install(
        &mut self,
        space: &Space,
        kept: Arc<Kept>,
        mut table: Table,
        ticket: u64,
    ) -> Result<(Loaded, Option<(Arc<Kept>, Table)>)> {
        table.fill(&kept, sys::now(), &mut |id| self.epoch(id));
        let built = table.built;
        let id = kept.id;
        let loaded = |hold| Loaded { hold, grants: built.grants, void: built.void };
        let no = self.contexts.find(id).filter(|_| !id.is_null());
        let Some(no) = no else {
            let make = |holders| Context { holders, kept, table, ticket };
            return Ok((loaded(self.contexts.add(make, id)?), None));
        };
        let hold = self.contexts.hold(no).ok_or(ENOENT)?;
        let Some(context) = self.contexts.get_mut(no) else { return Err(ENOENT.into()) };
        // Somebody who began later has read what we have, or what came after it.
        if context.ticket > ticket && on(Guard::LoadOrder) {
            let Built { grants, void, .. } = context.table.built;
            return Ok((Loaded { hold, grants, void }, Some((kept, table))));
        }
        context.ticket = ticket;
        let kept = core::mem::replace(&mut context.kept, kept);
        let old = [(no, core::mem::replace(&mut context.table, table))];
        self.withdraw(space, &old, Cause::Load);
        let [(_, table)] = old;
        Ok((loaded(hold), Some((kept, table))))
    }

    /// Why the first grant of a context that does not hold does not.
    pub(crate) fn flaw(&self, context: &Context) -> Option<Flaw> {
        self.first_flaw(&context.kept)
    }

    fn first_flaw(&self, kept: &Kept) -> Option<Flaw> {
        let (loaded, now) = (kept.loaded(), sys::now());
        let mut epoch = |id| self.epoch(id);
        let mut grants =
            kept.links.iter().filter(|link| matches!(loaded.record(link), Record::Grant(_)));
        grants.find_map(|link| link::holds(&loaded, link, now, &mut epoch).err())
    }
}
