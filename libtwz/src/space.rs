// SPDX-License-Identifier: MIT OR Apache-2.0
//! A space: one pool, one arena, one view. What a program opens first.
//!
//! [`Core`] is the part that the fault handler sees: it maps what the view
//! says, without allocating or locking. Around it, a [`Space`] opens objects
//! ([`crate::Object`]), resolves pointers ([`crate::ptr`]) and names
//! ([`crate::resolver`]).

use std::{
    cell::Cell,
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use twz_abi::{DATA_START, ObjectId, PAGE, Rights, fot};
use twz_core::rights::Access;

use crate::{
    Persist,
    backend::{Backend, Binding, NewObject, Touch},
    embedded::EmbeddedPool,
    error::{Error, Refusal, Result},
    object::{self, Object},
    pools::{self, Choice},
    raw::{
        Arena, SlotWindow,
        arena::{MAX_SLOTS, SlotInfo, slot_state},
        fault::{self, Outcome},
        persist::Method,
        sys,
        translate::Translation,
    },
    resolver::Resolver,
    tx,
};

/// What the fault handler needs.
pub struct Core {
    arena: Arena,
    backend: Box<dyn Backend>,
    pub(crate) resolvers: RwLock<HashMap<u64, Arc<dyn Resolver>>>,
    pub(crate) names: Mutex<HashMap<(u32, u32), Resolved>>,
    shared_view: AtomicBool,
    /// Where a private view begins to look for slots: other in each process, so
    /// that nothing can come to depend on an address.
    salt: u32,
    /// Held by who takes slots back.
    pub(crate) sweep: Mutex<()>,
    /// Who this process is among those that use the pool.
    pub(crate) identity: tx::Identity,
    /// Tells this space from others of the process.
    pub(crate) key: u64,
    /// Logs of transactions that objects were found to name.
    pub(crate) logs: Mutex<HashMap<ObjectId, tx::Log>>,
    pub(crate) idle: Mutex<tx::Idle>,
    pub(crate) method: Method,
    pub(crate) durable: AtomicBool,
}

thread_local! {
    /// Why the library refused this thread's last touch.
    static REFUSED: Cell<Option<(ObjectId, Refusal)>> = const { Cell::new(None) };
}

/// A resolved late-bound name, kept for a moment.
pub(crate) struct Resolved {
    /// Of the pool's translations, and of its names.
    pub(crate) generation: (u64, u64),
    pub(crate) at: std::time::Duration,
    pub(crate) target: Translation,
}

pub(crate) struct Inner {
    core: Box<Core>,
    pub(crate) handles: AtomicUsize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        fault::retire(&self.core);
    }
}

/// A pool, opened by this process. Cheap to clone; the arena goes with the last
/// clone and the last [`Object`].
#[derive(Clone)]
pub struct Space(pub(crate) Arc<Inner>);

impl Space {
    /// Opens the pool at `path`: a directory, or the kernel module's device.
    /// Where `TWZ_BACKEND` asks for the other kind, that is an error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::on(pools::open_as(path.as_ref(), Choice::from_env()?)?)
    }

    /// Opens the pool that [`pools::default_pool`] finds; a directory is made
    /// first if there is none.
    pub fn open_default() -> Result<Self> {
        let path = pools::default_pool()?;
        match Self::open(&path) {
            Err(Error::NoPool(_)) => {
                EmbeddedPool::init(&path, &crate::embedded::InitOptions::default())?;
                Self::open(&path)
            }
            other => other,
        }
    }

    /// A space on any backend that can map.
    pub fn on(backend: Box<dyn Backend>) -> Result<Self> {
        Self::with_slots(backend, MAX_SLOTS)
    }

    /// The same with at most so many slots.
    pub(crate) fn with_slots(backend: Box<dyn Backend>, most: u32) -> Result<Self> {
        let arena = Arena::reserve(most)?;
        backend.attach(&arena, None)?;
        let (method, durable) = tx::how_durable(backend.medium())?;
        let core = Box::new(Core {
            arena,
            backend,
            resolvers: RwLock::default(),
            names: Mutex::default(),
            shared_view: AtomicBool::new(false),
            salt: u32::from_le_bytes(sys::random()?),
            sweep: Mutex::default(),
            identity: tx::Identity::default(),
            key: tx::next_key(),
            logs: Mutex::default(),
            idle: Mutex::default(),
            method,
            durable: AtomicBool::new(durable),
        });
        fault::enlist(&core);
        Ok(Self(Arc::new(Inner { core, handles: AtomicUsize::new(0) })))
    }

    /// The home of the objects.
    pub fn backend(&self) -> &dyn Backend {
        &*self.0.core.backend
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0.core
    }

    /// Makes an object whose root is `root`, with default rights.
    pub fn create<T: Persist>(&self, root: T) -> Result<Object<T>> {
        self.create_with(&NewObject::default(), root)
    }

    /// Makes an object whose root is `root`.
    pub fn create_with<T: Persist>(&self, new: &NewObject, root: T) -> Result<Object<T>> {
        object::create(self, new, root, true)
    }

    /// Opens an object that was made for a `T`.
    pub fn open_object<T: Persist>(&self, id: ObjectId) -> Result<Object<T>> {
        object::open(self, id, Rights(Rights::READ.0 | Rights::WRITE.0))
    }

    /// Opens an object for reading only, whatever more it grants.
    pub fn open_object_read<T: Persist>(&self, id: ObjectId) -> Result<Object<T>> {
        object::open(self, id, Rights::READ)
    }

    /// Opens the object that a name is bound to.
    pub fn open_name<T: Persist>(&self, path: &str) -> Result<Object<T>> {
        self.open_object(self.resolve(path)?)
    }

    /// The object that a name is bound to now.
    pub fn resolve(&self, path: &str) -> Result<ObjectId> {
        match self.backend().lookup(path)? {
            Binding::Object(id) => Ok(id),
            Binding::Directory => {
                Err(Error::Unresolved { name: path.into(), why: "it is a directory of names" })
            }
        }
    }

    /// Binds a name to an object, or rebinds it: running programs see the
    /// change at their next use of the name.
    pub fn bind(&self, path: &str, id: ObjectId) -> Result<()> {
        self.backend().bind(path, id, true)
    }
}

impl Core {
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Whether the view in force is an object that others may use too.
    pub(crate) fn view_is_shared(&self) -> bool {
        self.shared_view.load(Ordering::Acquire)
    }

    /// Where in the view to begin to look for a slot. All who share a view begin
    /// at the same place, and so find the same slots.
    pub(crate) fn first_slot(&self) -> u64 {
        if self.view_is_shared() { 0 } else { self.salt as u64 }
    }

    pub(crate) fn note_shared_view(&self, shared: bool) {
        self.shared_view.store(shared, Ordering::Release);
    }

    /// What a fault at `address` is to be. Runs in the signal handler.
    pub(crate) fn fault(&self, address: usize, access: Access, present: bool) -> Outcome {
        match self.backend.touched(&self.arena, address, access, present) {
            Touch::Map => {}
            Touch::Again => return Outcome::Resolved,
            Touch::Refused => return Outcome::Refused,
        }
        let Some(slot) = self.arena.slot_of(address) else { return Outcome::Refused };
        let offset = (address - self.arena.address(slot)) as u64;
        let Some(info) = self.arena.info(slot) else { return Outcome::Refused };
        if offset < DATA_START {
            return Outcome::Refused;
        }
        let resolved = match info.state.load(Ordering::Acquire) {
            slot_state::EMPTY | slot_state::BUSY => self.map_slot(slot).is_ok(),
            // All of a mapped slot is mapped, so with the right granted this
            // fault was overtaken by another thread's.
            _ if info.granted().contains(access.right()) => true,
            _ => self.widen(slot, info, access),
        };
        if resolved {
            return Outcome::Resolved;
        }
        self.note_refusal(slot, access);
        Outcome::Refused
    }

    /// Keeps in mind why a touch was refused. Runs in the signal handler.
    fn note_refusal(&self, slot: u32, access: Access) {
        let Ok(Some(entry)) = self.view_entry(slot) else { return REFUSED.set(None) };
        let granted = self.backend.may(entry.id).unwrap_or(Rights::NONE);
        REFUSED.set(Some((
            entry.id,
            match entry.protection.contains(access.right()) {
                true => Refusal::of_context(granted),
                false => Refusal::of_view(granted.and(entry.protection)),
            },
        )));
    }

    /// The error for a right that a mapped slot does not have.
    pub(crate) fn lacks(&self, slot: u32, wanted: Rights) -> Error {
        let Some(info) = self.arena.info(slot) else { return Error::NoSlot };
        let (id, granted) = (info.id(), info.granted());
        let refusal = match Rights(info.requested.load(Ordering::Relaxed)).contains(wanted) {
            true => Refusal::of_context(granted),
            false => Refusal::of_view(granted),
        };
        Error::Denied { id, wanted, refusal: Some(refusal) }
    }

    /// Why this thread's last touch was refused.
    pub(crate) fn refusal(&self) -> Option<(ObjectId, Refusal)> {
        self.backend.refusal().or_else(|| REFUSED.get())
    }

    /// Says why an access at `address` is fatal. Runs in the signal handler.
    pub(crate) fn describe(
        &self,
        address: usize,
        access: Access,
        no_storage: bool,
        out: &mut dyn std::fmt::Write,
    ) -> std::fmt::Result {
        let slot = self.arena.slot_of(address).unwrap_or(0);
        let offset = address - self.arena.address(slot);
        if let Some((id, why)) = self.backend.refusal() {
            return match id.is_valid() {
                true => {
                    writeln!(out, "twz: object {id}, offset {offset:#x}: {access:?} refused: {why}")
                }
                false => {
                    writeln!(out, "twz: slot {slot}, offset {offset:#x}: {access:?} refused: {why}")
                }
            };
        }
        match self
            .arena
            .info(slot)
            .filter(|info| info.state.load(Ordering::Acquire) == slot_state::MAPPED)
        {
            Some(info) if no_storage => writeln!(
                out,
                "twz: object {}, offset {offset:#x}: no storage behind it: the object was shrunk, or the disk is full",
                info.id()
            ),
            Some(info) => writeln!(
                out,
                "twz: object {}, offset {offset:#x}: {access:?} refused; granted here: {}",
                info.id(),
                info.granted()
            ),
            None => match self.view_entry(slot) {
                Ok(Some(entry)) => {
                    writeln!(
                        out,
                        "twz: object {}, offset {offset:#x}: cannot be mapped for {access:?}",
                        entry.id
                    )
                }
                _ => writeln!(
                    out,
                    "twz: slot {slot}, offset {offset:#x}: the view shows no object there"
                ),
            },
        }
    }

    /// Maps what the view says about a slot, unless it is mapped already.
    pub(crate) fn map_slot(&self, slot: u32) -> Result<()> {
        let info = self.arena.info(slot).ok_or(Error::NoSlot)?;
        if info.state.load(Ordering::SeqCst) == slot_state::MAPPED {
            return self.readable(slot, info);
        }
        loop {
            match info.state.compare_exchange(
                slot_state::EMPTY,
                slot_state::BUSY,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => break,
                Err(slot_state::MAPPED) => return self.readable(slot, info),
                Err(_) => std::thread::yield_now(),
            }
        }
        let mapped = self.map_claimed(slot, info);
        let state = if mapped.is_ok() { slot_state::MAPPED } else { slot_state::EMPTY };
        info.state.store(state, Ordering::Release);
        mapped
    }

    fn map_claimed(&self, slot: u32, info: &SlotInfo) -> Result<()> {
        let entry = self
            .view_entry(slot)?
            .ok_or(Error::BadPointer { why: "its view shows nothing there" })?;
        let mapped = self.backend.map(
            entry.id,
            &SlotWindow::claimed(&self.arena, slot),
            entry.protection,
        )?;
        info.set_id(entry.id);
        info.requested.store(entry.protection.0, Ordering::Relaxed);
        info.fot_pages.store(mapped.fot_pages, Ordering::Relaxed);
        info.granted.store(mapped.granted.0, Ordering::Release);
        Ok(())
    }

    /// An access that was not granted when the slot was mapped: maybe it is by now.
    fn widen(&self, slot: u32, info: &SlotInfo, access: Access) -> bool {
        let requested = Rights(info.requested.load(Ordering::Relaxed));
        if !requested.contains(access.right()) {
            return false;
        }
        if !self.claim_mapped(slot) {
            // Emptied meanwhile: let the access fault on what it is now.
            return true;
        }
        // Another thread may have asked while this one waited.
        let granted = info.granted().contains(access.right()) || {
            let window = SlotWindow::claimed(&self.arena, slot);
            let mapped = self.backend.map(info.id(), &window, requested);
            if let Ok(mapped) = &mapped {
                info.fot_pages.store(mapped.fot_pages, Ordering::Relaxed);
                info.granted.store(mapped.granted.0, Ordering::Release);
            }
            self.arena.forget_slot(slot);
            mapped.is_ok_and(|mapped| mapped.granted.contains(access.right()))
        };
        info.state.store(slot_state::MAPPED, Ordering::Release);
        granted
    }

    /// Asks again what every mapped slot is granted, and takes away what is not.
    /// What is granted besides comes when it is touched.
    pub(crate) fn recheck(&self) {
        let mut changed = false;
        for slot in 1..self.arena.slots() {
            let Some(info) = self.arena.info(slot) else { continue };
            // Where another thread is mapping now, it may have asked before.
            if info.state.load(Ordering::SeqCst) == slot_state::EMPTY || !self.claim_mapped(slot) {
                continue;
            }
            let (id, had) = (info.id(), info.granted());
            if !self.backend.may(id).is_ok_and(|now| now.contains(had)) {
                let window = SlotWindow::claimed(&self.arena, slot);
                let requested = Rights(info.requested.load(Ordering::Relaxed));
                let (granted, fot_pages) = match self.backend.map(id, &window, requested) {
                    Ok(mapped) => (mapped.granted, mapped.fot_pages),
                    Err(_) => {
                        // Whoever holds the slot keeps it; what is touched is refused.
                        let _ = self.backend.withdraw(&window);
                        (Rights::NONE, 0)
                    }
                };
                changed |= granted != had;
                info.fot_pages.store(fot_pages, Ordering::Relaxed);
                info.granted.store(granted.0, Ordering::Release);
            }
            info.state.store(slot_state::MAPPED, Ordering::SeqCst);
        }
        if changed {
            self.arena.forget_all();
        }
    }

    /// Refuses a slot whose object a context has taken away, and does not allow now.
    fn readable(&self, slot: u32, info: &SlotInfo) -> Result<()> {
        match info.granted().contains(Rights::READ) || self.widen(slot, info, Access::Read) {
            true => Ok(()),
            false => Err(self.lacks(slot, Rights::READ)),
        }
    }

    /// Asks again for the right to write to a slot that was mapped without it.
    pub(crate) fn try_widen(&self, slot: u32) -> bool {
        self.arena.info(slot).is_some_and(|info| self.widen(slot, info, Access::Write))
    }

    /// Maps FOT pages so that entry `index` is reachable.
    pub(crate) fn map_fot(&self, slot: u32, index: u32) -> Result<()> {
        let info = self.arena.info(slot).ok_or(Error::NoSlot)?;
        let pages = fot::pages_for(index);
        if info.fot_pages.load(Ordering::Acquire) >= pages {
            return Ok(());
        }
        if !self.claim_mapped(slot) {
            return Err(Error::BadPointer { why: "nothing is mapped there" });
        }
        let have = info.fot_pages.load(Ordering::Acquire);
        let done = if have >= pages {
            Ok(have)
        } else {
            let window = SlotWindow::claimed(&self.arena, slot);
            self.backend.map_fot(info.id(), &window, have, pages, info.granted())
        };
        if let Ok(now) = done {
            info.fot_pages.store(now, Ordering::Release);
        }
        info.state.store(slot_state::MAPPED, Ordering::Release);
        done.map(|_| ())
    }

    /// Where a mapped slot's object is and how far its data goes now.
    pub(crate) fn translation(&self, slot: u32) -> Result<Translation> {
        let info = self.arena.info(slot).ok_or(Error::NoSlot)?;
        self.readable(slot, info)?;
        let size = self.backend.size(info.id())?;
        let fot_pages = info.fot_pages.load(Ordering::Acquire) as u64;
        let end = (DATA_START + size).min(twz_abi::TAIL_START - fot_pages * PAGE);
        Ok(Translation::new(self.arena.address(slot), end, info.granted().contains(Rights::WRITE)))
    }
}

/// For the age of cached names.
pub(crate) fn coarse_now() -> std::time::Duration {
    sys::coarse_now()
}
