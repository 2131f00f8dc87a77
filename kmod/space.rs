// SPDX-License-Identifier: GPL-2.0
//! The object space: all that the module knows of a pool, behind one lock.
//!
//! # Locks, in the order in which they are taken
//!
//! 1. the memory map's own (`mmap_lock` or a VMA's), which a fault comes with;
//! 2. an inode's (`inode_lock`), by reads and writes of descriptors;
//! 3. a bucket of sleepers (`wait.rs`);
//! 4. the space's lock, [`Space::state`]: for reading to map what is there, for
//!    writing to change anything;
//! 5. the turn of the 2 MiB of addresses that are mapped into (`turn.rs`);
//! 6. what mapping and zapping take (`i_mmap_rwsem`, page table locks).
//!
//! Who holds 3, 4 or 5 never touches a program's memory: that may fault, and a
//! fault takes 1 and 4. Rights, pages and bindings change under 4 for writing,
//! and the pages they concern are taken out of all address spaces before it is
//! let go; a fault looks, decides and maps under 4. So what is mapped never
//! exceeds what is granted.

use crate::{
    decisions::Decisions,
    error::{Refusal, Result},
    guard::{on, Guard},
    inode::Inodes,
    live::Live,
    member::Members,
    refusals::Refusals,
    secctx::{ContextNo, Contexts, Hold},
    stats::{Counters, Event},
    sys::{self, Frame, KernelPage, Pmem, RwSem, Tick},
    turn::Turns,
    view::{Place, Views},
    wait::Sleepers,
};
use core::ops::Range;
use kernel::prelude::*;
use twz_abi::{superblock::CONTROL_MAGIC, ObjectId, ObjectRecord, Rights, SLOT_PAGES};
use twz_core::{geometry::Geometry, Mode, RecordNo, Store, StoreError};

/// A pool in service.
#[pin_data]
pub(crate) struct Space {
    /// All that changes.
    #[pin]
    pub state: RwSem<State>,
    /// Threads that sleep on words of objects.
    #[pin]
    pub sleepers: Sleepers,
    /// Whose turn it is to map into which 2 MiB of addresses.
    #[pin]
    pub turns: Turns,
    /// Who acts in which context.
    #[pin]
    pub members: Members,
    /// Where everybody begins. Here and not behind the lock, since a view's session is
    /// opened with the lock held, and who waits to write would be between.
    pub beginning: Hold,
    #[pin]
    pub refusals: Refusals,
    #[pin]
    pub decisions: Decisions,
    pub counters: Counters,
    pub control: Control,
    /// The page that holes show.
    pub zeros: KernelPage,
    pub pool_id: [u8; 16],
    pub pages: u64,
}

/// What is behind the lock.
pub(crate) struct State {
    pub store: KBox<Store<Pmem>>,
    pub live: Live,
    pub views: Views,
    pub inodes: Inodes,
    pub contexts: Contexts,
    pub read_only: bool,
    /// The medium is gone: nothing of it may be looked at any more.
    pub dead: bool,
}

/// The control page: what everybody who maps a view can read.
pub(crate) struct Control(KernelPage);

impl Space {
    /// Opens the pool on a medium.
    pub(crate) fn open(media: Pmem, read_only: bool) -> Result<Pin<KBox<Self>>> {
        let said = |error| {
            pr_err!("the pool cannot be used: {}\n", format_args!("{error}"));
            if let StoreError::Format(twz_abi::FormatError::Magic { .. }) = error {
                pr_err!("nothing was formatted: make a pool with 'twz pool init --image DEVICE'\n");
            }
            Refusal::from(error)
        };
        let geometry = Geometry::load(&media).map_err(said)?;
        // Features that only a newer module can keep up forbid writing, no more.
        let read_only = read_only || !geometry.writable;
        let mode = if read_only { Mode::ReadOnly } else { Mode::ReadWrite };
        let mut store = closed(media, geometry, mode)?;
        store.start().map_err(said)?;
        let geometry = store.geometry();
        let (pool_id, pages) = (geometry.pool_id, geometry.pages);
        let contexts = Contexts::new()?;
        let beginning = contexts.default_hold();
        let state = State {
            live: Live::new(geometry.records)?,
            store,
            views: Views::new(),
            inodes: Inodes::new(),
            contexts,
            read_only,
            dead: false,
        };
        let control = Control::new()?;
        let refusals = Refusals::new()?;
        let decisions = Decisions::new()?;
        let zeros = KernelPage::new()?;
        let space = pin_init!(Self {
            state <- RwSem::new(state),
            sleepers <- Sleepers::new(),
            turns <- Turns::new(),
            members <- Members::new(),
            beginning,
            refusals <- refusals,
            decisions <- decisions,
            counters: Counters::new(),
            control,
            zeros,
            pool_id,
            pages,
        });
        Ok(KBox::pin_init(space, GFP_KERNEL)?)
    }

    /// Does something with the state, under the lock for writing; then gives
    /// back what nobody holds any more.
    pub(crate) fn change<T>(&self, act: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let result = {
            let mut state = self.state.write();
            state.usable().and_then(|()| act(&mut state))
        };
        self.give_back();
        result
    }

    /// Looks at the state, under the lock for reading.
    pub(crate) fn look<T>(&self, act: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let state = self.state.read();
        state.usable()?;
        act(&state)
    }

    /// Gives back to the store what was deleted and is held by nobody, a step at
    /// a time, so that others get the lock in between.
    pub(crate) fn give_back(&self) {
        if self.state.read().live.to_give_back().is_none() {
            return;
        }
        loop {
            let mut state = self.state.write();
            let Some(r) = state.live.to_give_back() else { return };
            // A pool that cannot be written any more keeps it on its list of
            // what is dying, and gives it back when it is opened again.
            if state.usable().is_err() || state.store.reclaim_some(r, GIVE_BACK).unwrap_or(true) {
                state.live.gone(r);
            }
        }
    }

    /// The medium is gone or damaged: nobody may touch it from now on.
    pub(crate) fn die(&self) {
        {
            let mut state = self.state.write();
            state.dead = true;
            state.zap_all();
        }
        self.sleepers.wake_all();
        pr_err!("the medium is gone: every mapping was taken out, every command fails\n");
    }
}

impl State {
    /// Refuses everything once the medium is gone.
    pub(crate) fn usable(&self) -> Result {
        match self.dead {
            true => Err(Refusal::dead()),
            false => Ok(()),
        }
    }

    /// An object by its id, which is verified on first use.
    pub(crate) fn find(&self, id: ObjectId) -> Result<(RecordNo, ObjectRecord)> {
        if !id.is_valid() {
            return Err(Refusal::argument());
        }
        let (r, record) = self.store.find_unverified(id)?;
        if !self.live.get(r).verified {
            twz_core::Identity::from(&record).verify(id)?;
        }
        Ok((r, record))
    }

    /// The same, if the context grants these rights on it.
    pub(crate) fn permitted(
        &self,
        id: ObjectId,
        context: ContextNo,
        wanted: Rights,
    ) -> Result<(RecordNo, ObjectRecord)> {
        let (r, record) = self.find(id)?;
        let granted = self.contexts.rights(context, &record);
        match granted.contains(wanted) {
            true => Ok((r, record)),
            false => Err(Refusal::denied(id, wanted, granted)),
        }
    }

    /// Takes pages of an object out of every address space.
    pub(crate) fn zap(&mut self, space: &Space, r: RecordNo, pages: Range<u64>) {
        space.counters.count(Event::Zap);
        let entry = *self.live.get(r);
        self.views.each_bound(entry.bound, |view, slot| view.zap(slot, pages.clone()));
        if let Some(inode) = entry.inode.checked_sub(1).and_then(|i| self.inodes.get(i)) {
            // A descriptor shows the data only, from its second page on.
            let first = pages.start.max(1) - 1;
            inode.mapping().zap(first, pages.end.max(1) - 1 - first);
        }
        if let Some(view) = entry.view.checked_sub(1) {
            self.views.forget_pages(view);
        }
    }

    /// Takes all pages of an object out of every address space.
    pub(crate) fn zap_whole(&mut self, space: &Space, r: RecordNo) {
        self.zap(space, r, 0..SLOT_PAGES);
    }

    /// Lets go of what a slot shows, for all who use the view.
    pub(crate) fn drop_slot(&mut self, space: &Space, place: Place) {
        if let Some(view) = self.views.get(place.view).filter(|_| on(Guard::RebindZap)) {
            space.counters.count(Event::Zap);
            view.zap(place.slot, 0..SLOT_PAGES);
        }
        self.views.unbind(&mut self.live, place);
    }
}

impl Control {
    fn new() -> Result<Self> {
        let page = KernelPage::new()?;
        page.set(0, CONTROL_MAGIC);
        Ok(Self(page))
    }

    pub(crate) fn frame(&self) -> Frame {
        self.0.frame()
    }

    /// What translations were made from has changed.
    pub(crate) fn bump_generation(&self) {
        self.0.add(1, 1);
    }

    /// Names have changed.
    pub(crate) fn bump_names(&self) {
        self.0.add(2, 1);
    }
}

/// The store, where it is to stay. A function of its own, so that what it needs of
/// the stack is given back before anything deep is done.
#[inline(never)]
fn closed(media: Pmem, geometry: Geometry, mode: Mode) -> Result<KBox<Store<Pmem>>> {
    Ok(KBox::new(Store::closed(media, geometry, mode), GFP_KERNEL)?)
}

/// Pages that one step of [`Space::give_back`] takes.
const GIVE_BACK: u64 = 4096;

impl Tick for Space {
    fn tick() -> bool {
        sys::space().is_some_and(|space| space.tick())
    }
}
