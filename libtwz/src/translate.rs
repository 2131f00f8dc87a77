// SPDX-License-Identifier: MIT OR Apache-2.0
//! The slow path of a pointer: from an FOT entry to a mapped slot. The fast
//! path is [`crate::raw::translate`]; what is found here is remembered there.

use std::sync::atomic::{AtomicU64, Ordering};

use twz_abi::{
    DATA_START, ObjectId, PtrBits, Rights,
    fot::{FotTarget, flags},
};

use crate::{
    error::{Error, Result},
    raw::{
        fault, object,
        translate::{self, Translation},
    },
    resolver::{FRESH, NAMESPACE, Namespace, Resolver as _},
    slots::Hold,
    space::{Core, Resolved, coarse_now},
};

/// Where `bits`, found in an object at the address of `place`, leads.
#[inline(always)]
pub(crate) fn target_of<A: ?Sized>(place: &A, bits: PtrBits) -> Result<Translation> {
    let address = (&raw const *place).cast::<u8>() as usize;
    if !translate::in_object(address) {
        return Err(Error::NotInObject);
    }
    match translate::cached(address, bits) {
        Some(target) => Ok(target),
        None => slow(place, address, bits),
    }
}

#[cold]
#[inline(never)]
fn slow<A: ?Sized>(place: &A, address: usize, bits: PtrBits) -> Result<Translation> {
    let core = fault::owner_of(place, address).ok_or(Error::NotInObject)?;
    let slot = core.arena().slot_of(address).ok_or(Error::NotInObject)?;
    core.translate(slot, bits.index())
}

/// The space and slot that a place in an object belongs to.
pub(crate) fn home_of<A: ?Sized>(place: &A) -> Result<(&Core, u32)> {
    let address = (&raw const *place).cast::<u8>() as usize;
    let Some(core) = fault::owner_of(place, address) else { return Err(Error::NotInObject) };
    let Some(slot) = core.arena().slot_of(address) else { return Err(Error::NotInObject) };
    Ok((core, slot))
}

impl Core {
    /// Where entry `index` of a slot's table leads; 0 is the slot itself.
    pub(crate) fn translate(&self, slot: u32, index: u32) -> Result<Translation> {
        if index == 0
            && let Some(own) = translate::cached(self.arena().address(slot), PtrBits::NULL)
        {
            return Ok(own);
        }
        if index == 0 {
            return self.refresh(slot);
        }
        let pending = self.arena().begin_translation();
        let reached = self.fot_target(slot, index)?;
        // An entry that asks for nothing asks for what programs commonly need.
        let rights = match reached.rights.and(Rights(7)) {
            Rights::NONE => Rights(Rights::READ.0 | Rights::WRITE.0),
            rights => rights.or(Rights::READ),
        };
        match reached.target {
            FotTarget::Id(id) if reached.flags & flags::DERIVE != 0 => {
                let copy = self.fot_derive(slot, &reached, id)?;
                self.translation(self.slot_for(copy, rights, Hold::Reach)?)
            }
            FotTarget::Id(id) => {
                // By way of what is known of the target itself, if anything is:
                // a mapped target then costs no system call.
                let target = self.translate(self.slot_for(id, rights, Hold::Reach)?, 0)?;
                self.arena().remember(&pending, slot, index, target);
                Ok(target)
            }
            FotTarget::Name { text, resolver } => {
                self.translate_name(slot, index, (text, resolver), rights)
            }
            FotTarget::Entry(_) => {
                Err(Error::BadPointer { why: "its FOT entry leads round in a circle" })
            }
        }
    }

    /// A late-bound entry: asked anew whenever the generation has moved or the
    /// last answer has gone stale, so it is never kept in the fast path.
    fn translate_name(
        &self,
        slot: u32,
        index: u32,
        name: (u64, u64),
        rights: Rights,
    ) -> Result<Translation> {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        let generation = (load(self.arena().generation()), load(self.arena().names_generation()));
        let now = coarse_now();
        let lock = || self.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = lock().get(&(slot, index))
            && known.generation == generation
            && now.saturating_sub(known.at) < FRESH
        {
            return Ok(known.target);
        }
        let text = self.name_text(slot, name.0)?;
        let id = self.resolve_name(&text, name.1)?;
        let target = self.translation(self.slot_for(id, rights, Hold::Reach)?)?;
        lock().insert((slot, index), Resolved { generation, at: now, target });
        Ok(target)
    }

    /// The text of a name in an object: a length, then bytes.
    pub(crate) fn name_text(&self, slot: u32, offset: u64) -> Result<String> {
        let own = self.translation(slot)?;
        let len = *object::place::<u16, _>(self, own, offset)? as u64;
        let bytes = object::place_slice::<u8, _>(self, own, offset + 2, len)?.to_vec();
        String::from_utf8(bytes)
            .map_err(|_| Error::BadPointer { why: "its late-bound name is not UTF-8" })
    }

    /// What the name whose text is at `offset` stands for now.
    pub(crate) fn resolve_text(&self, slot: u32, offset: u64, resolver: u64) -> Result<ObjectId> {
        self.resolve_name(&self.name_text(slot, offset)?, resolver)
    }

    /// Puts a name's text into an object, where its FOT can point to it. An
    /// entry with the same text is used again.
    pub(crate) fn name_in(&self, slot: u32, name: &str) -> Result<u64> {
        let _ = twz_abi::name::components(name.as_bytes())
            .map_err(|error| Error::Format { what: format!("'{name}'"), error })?;
        for index in 1..=twz_abi::pointer::MAX_FOT_INDEX {
            let Some(entry) = self.fot_entry(slot, index)?.filter(|entry| entry.a != 0) else {
                break;
            };
            if let Ok(FotTarget::Name { text, .. }) = entry.target()
                && self.name_text(slot, text).is_ok_and(|there| there == name)
            {
                return Ok(text);
            }
        }
        let mut bytes = (name.len() as u16).to_le_bytes().to_vec();
        bytes.extend_from_slice(name.as_bytes());
        let offset = self.heap_alloc(slot, bytes.len() as u64, 8)?;
        object::write_bytes(self.translation(slot)?, offset, &bytes)?;
        Ok(offset)
    }

    fn resolve_name(&self, name: &str, resolver: u64) -> Result<ObjectId> {
        if resolver == NAMESPACE {
            return Namespace.resolve(self.backend(), name);
        }
        let resolvers = self.resolvers.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found = resolvers.get(&resolver).cloned();
        drop(resolvers);
        match found {
            Some(resolver) => resolver.resolve(self.backend(), name),
            None => Err(Error::Unresolved {
                name: name.into(),
                why: "its resolver is not registered in this program",
            }),
        }
    }

    /// The translation of a slot as it is now, remembered.
    pub(crate) fn refresh(&self, slot: u32) -> Result<Translation> {
        let pending = self.arena().begin_translation();
        self.map_slot(slot)?;
        let own = self.translation(slot)?;
        self.arena().remember(&pending, slot, 0, own);
        Ok(own)
    }

    /// Makes sure that slot offsets `start` to `end` are data with storage
    /// behind them, so that storing there cannot fail.
    pub(crate) fn reserve(&self, slot: u32, start: u64, end: u64) -> Result<Translation> {
        let id = self.arena().info(slot).ok_or(Error::NoSlot)?.id();
        self.backend().reserve(
            id,
            start.saturating_sub(DATA_START),
            end.saturating_sub(DATA_START),
        )?;
        self.refresh(slot)
    }

    /// Makes sure that the data reaches to slot offset `end`, what is new with
    /// storage behind it.
    pub(crate) fn reach(&self, slot: u32, end: u64) -> Result<Translation> {
        let own = self.translate(slot, 0)?;
        if own.end() >= end { Ok(own) } else { self.reserve(slot, own.end(), end) }
    }
}
