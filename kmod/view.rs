// SPDX-License-Identifier: GPL-2.0
//! Views in use: [`View`], one for each view object that somebody has a
//! descriptor of, with one set of translations for all who map it.
//!
//! A slot that was touched is *bound* to an object. The slots bound to one
//! object are a list that goes through the views' own tables ([`Link`]), so
//! that binding allocates nothing: it happens in a fault. The lists say where
//! pages have to be taken out when the object changes. All of it is guarded by
//! the space's lock.

use crate::{
    error::{Refusal, Result},
    live::Live,
    sys::{Mapping, Pmem},
};
use core::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};
use kernel::prelude::*;
use twz_abi::{
    view::{ENTRY_SIZE, MAX_SLOTS},
    ViewEntry, PAGE, SLOT_PAGES,
};
use twz_core::{Media, RecordNo, Store, Translation};
use zerocopy::FromZeros as _;

/// Entries in a page.
const PER_PAGE: u32 = (PAGE / ENTRY_SIZE) as u32;

/// Most views that can be in use.
const MAX_VIEWS: usize = 1 << 17;

/// A slot of a view, or the end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(u32);

impl Link {
    pub(crate) const END: Self = Self(0);

    fn new(place: Place) -> Self {
        Self((place.view * MAX_SLOTS + place.slot) + 1)
    }

    fn place(self) -> Option<Place> {
        let at = self.0.checked_sub(1)?;
        Some(Place { view: at / MAX_SLOTS, slot: at % MAX_SLOTS })
    }
}

/// A slot of a view.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub view: u32,
    pub slot: u32,
}

/// What a slot is bound to.
#[derive(Clone, Copy)]
struct Binding {
    /// Record + 1, or 0.
    record: u32,
    next: Link,
    previous: Link,
}

impl Binding {
    const NONE: Self = Self { record: 0, next: Link::END, previous: Link::END };
}

/// The pages of a slot that may be mapped: those up to one page in its lower half,
/// where the data begin, and those from one on in the upper half, where the meta page
/// is. Most objects are small, and to look for pages in a whole slot takes long.
struct Reach {
    below: AtomicU32,
    above: AtomicU32,
}

impl Reach {
    const HALF: u64 = SLOT_PAGES / 2;

    const fn nothing() -> Self {
        Self { below: AtomicU32::new(0), above: AtomicU32::new(SLOT_PAGES as u32) }
    }

    /// These may be mapped, too. The space's lock is held for reading: who takes pages
    /// out, with the lock held for writing, sees it.
    fn add(&self, pages: Range<u64>) {
        let (end, start) = (pages.end.min(Self::HALF) as u32, pages.start.max(Self::HALF) as u32);
        if pages.start < Self::HALF && self.below.load(Ordering::Relaxed) < end {
            self.below.fetch_max(end, Ordering::Relaxed);
        }
        if pages.end > Self::HALF && self.above.load(Ordering::Relaxed) > start {
            self.above.fetch_min(start, Ordering::Relaxed);
        }
    }

    /// What of these may be mapped.
    fn among(&self, pages: Range<u64>) -> [Range<u64>; 2] {
        let below = self.below.load(Ordering::Relaxed) as u64;
        let above = self.above.load(Ordering::Relaxed) as u64;
        [pages.start..pages.end.min(below), pages.start.max(above)..pages.end]
    }
}

impl Clone for Reach {
    fn clone(&self) -> Self {
        Self {
            below: AtomicU32::new(self.below.load(Ordering::Relaxed)),
            above: AtomicU32::new(self.above.load(Ordering::Relaxed)),
        }
    }
}

/// A view in use.
pub(crate) struct View {
    /// The view object.
    pub record: RecordNo,
    /// Who maps it, for taking pages out.
    pub mapping: Mapping,
    /// Descriptors that show it.
    files: u32,
    slots: KVVec<Binding>,
    /// What may be mapped of each slot that is bound; of the others nothing is.
    reach: KVVec<Reach>,
    /// A bit for each slot that is bound: few are, of many.
    bits: KVVec<u64>,
    /// The pool page of each page of entries, or 0 if it was not looked up yet.
    pages: KVVec<u64>,
}

/// All views in use.
pub(crate) struct Views {
    views: KVVec<Option<KBox<View>>>,
    count: usize,
}

impl Views {
    pub(crate) const fn new() -> Self {
        Self { views: KVVec::new(), count: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, view: u32) -> Option<&View> {
        self.views.get(view as usize)?.as_deref()
    }

    fn get_mut(&mut self, view: u32) -> Option<&mut View> {
        self.views.get_mut(view as usize)?.as_deref_mut()
    }

    /// Every view in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &View> {
        self.views.iter().filter_map(|view| view.as_deref())
    }

    /// A descriptor more shows the view object `r`, which has `size` bytes.
    /// Returns the view's index.
    pub(crate) fn open(&mut self, live: &mut Live, r: RecordNo, size: u64) -> Result<u32> {
        if let Some(index) = live.get(r).view.checked_sub(1) {
            if let Some(view) = self.get_mut(index) {
                view.files += 1;
                return Ok(index);
            }
        }
        let slots = (size / ENTRY_SIZE).min(MAX_SLOTS as u64) as usize;
        let index = match self.views.iter().position(|place| place.is_none()) {
            Some(index) => index,
            None if self.views.len() < MAX_VIEWS => {
                self.views.push(None, GFP_KERNEL)?;
                self.views.len() - 1
            }
            None => return Err(ENFILE.into()),
        };
        let mut view = View {
            record: r,
            mapping: Mapping::new()?,
            files: 1,
            slots: KVVec::new(),
            reach: KVVec::new(),
            bits: KVVec::new(),
            pages: KVVec::new(),
        };
        view.slots.resize(slots, Binding::NONE, GFP_KERNEL)?;
        view.reach.resize(slots, Reach::nothing(), GFP_KERNEL)?;
        view.bits.resize(slots.div_ceil(64), 0, GFP_KERNEL)?;
        view.pages.resize(slots.div_ceil(PER_PAGE as usize), 0, GFP_KERNEL)?;
        let view = KBox::new(view, GFP_KERNEL)?;
        if let Some(place) = self.views.get_mut(index) {
            *place = Some(view);
            self.count += 1;
        }
        live.hold(r);
        if let Some(entry) = live.get_mut(r) {
            entry.view = index as u32 + 1;
        }
        Ok(index as u32)
    }

    /// A descriptor less. The last one unbinds all slots and returns what is to
    /// be freed once the lock is let go.
    pub(crate) fn close(&mut self, live: &mut Live, index: u32) -> Option<KBox<View>> {
        let view = self.get_mut(index)?;
        view.files -= 1;
        if view.files != 0 {
            return None;
        }
        let slots = view.slots.len() as u32;
        for slot in 0..slots {
            self.unbind(live, Place { view: index, slot });
        }
        let view = self.views.get_mut(index as usize)?.take()?;
        self.count -= 1;
        if let Some(entry) = live.get_mut(view.record) {
            entry.view = 0;
        }
        live.release(view.record);
        Some(view)
    }

    /// What a slot is bound to.
    pub(crate) fn bound(&self, place: Place) -> Option<RecordNo> {
        let binding = self.get(place.view)?.slots.get(place.slot as usize)?;
        binding.record.checked_sub(1).map(RecordNo)
    }

    /// Binds a slot that is not bound.
    pub(crate) fn bind(&mut self, live: &mut Live, place: Place, r: RecordNo) {
        let link = Link::new(place);
        let first = live.get(r).bound;
        let Some(binding) = self.binding(place) else { return };
        *binding = Binding { record: r.0 + 1, next: first, previous: Link::END };
        self.mark(place, true);
        if let Some(next) = first.place().and_then(|place| self.binding(place)) {
            next.previous = link;
        }
        if let Some(entry) = live.get_mut(r) {
            entry.bound = link;
        }
        live.hold(r);
    }

    /// Makes a slot be bound to nothing. Its pages are to be taken out first.
    pub(crate) fn unbind(&mut self, live: &mut Live, place: Place) {
        let Some(binding) = self.binding(place) else { return };
        let Binding { record, next, previous } = core::mem::replace(binding, Binding::NONE);
        let Some(r) = record.checked_sub(1).map(RecordNo) else { return };
        self.mark(place, false);
        if let Some(after) = next.place().and_then(|place| self.binding(place)) {
            after.previous = previous;
        }
        match previous.place() {
            Some(before) => {
                if let Some(before) = self.binding(before) {
                    before.next = next;
                }
            }
            None => {
                if let Some(entry) = live.get_mut(r) {
                    entry.bound = next;
                }
            }
        }
        live.release(r);
    }

    /// Visits every slot that is bound to the object whose list begins at `first`.
    pub(crate) fn each_bound(&self, first: Link, mut visit: impl FnMut(&View, u32)) {
        let mut link = first;
        while let Some(place) = link.place() {
            let Some(view) = self.get(place.view) else { return };
            visit(view, place.slot);
            let Some(binding) = view.slots.get(place.slot as usize) else { return };
            link = binding.next;
        }
    }

    /// Forgets where the entries of a view are: its object's pages have moved.
    pub(crate) fn forget_pages(&mut self, index: u32) {
        if let Some(view) = self.get_mut(index) {
            view.pages.iter_mut().for_each(|page| *page = 0);
        }
    }

    /// Looks up where the entry of a slot is. Returns whether there is one at all.
    pub(crate) fn find_page(&mut self, store: &Store<Pmem>, place: Place) -> Result<bool> {
        let Some(view) = self.get_mut(place.view) else { return Ok(false) };
        let page = (place.slot / PER_PAGE) as usize;
        let Some(known) = view.pages.get_mut(page) else { return Ok(false) };
        let found = store.translate_in(&store.stat(view.record)?, 1 + page as u64)?;
        let Translation::Page { pool_page, .. } = found else { return Ok(false) };
        *known = pool_page;
        Ok(true)
    }

    fn mark(&mut self, place: Place, bound: bool) {
        let bit = 1 << (place.slot % 64);
        let Some(view) = self.get_mut(place.view) else { return };
        if let Some(bits) = view.bits.get_mut(place.slot as usize / 64) {
            *bits = if bound { *bits | bit } else { *bits & !bit };
        }
        if let Some(reach) = view.reach.get_mut(place.slot as usize) {
            *reach = Reach::nothing();
        }
    }

    fn binding(&mut self, place: Place) -> Option<&mut Binding> {
        self.get_mut(place.view)?.slots.get_mut(place.slot as usize)
    }
}

impl View {
    /// How many slots it has.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// How many of them are bound.
    pub(crate) fn bound(&self) -> usize {
        self.bits.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// The slots that are bound, and to what.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = (u32, RecordNo)> + '_ {
        self.bindings_in(0..self.slots())
    }

    /// Those among these.
    pub(crate) fn bindings_in(
        &self,
        slots: Range<u32>,
    ) -> impl Iterator<Item = (u32, RecordNo)> + '_ {
        let words = slots.start / 64..slots.end.div_ceil(64);
        let some = words.filter_map(|word| {
            let bits = self.bits.get(word as usize).copied().unwrap_or(0);
            (bits != 0).then_some((word, bits))
        });
        let bound = some.flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| word * 64 + bit)
        });
        bound.filter(move |slot| slots.contains(slot)).filter_map(|slot| {
            let record = self.slots.get(slot as usize)?.record.checked_sub(1)?;
            Some((slot, RecordNo(record)))
        })
    }

    /// The entry of a slot, copied out: an allegation. `None` if it is not known
    /// where it is ([`Views::find_page`]).
    pub(crate) fn entry(&self, media: &Pmem, slot: u32) -> Result<Option<ViewEntry>> {
        let Some(&page) = self.pages.get((slot / PER_PAGE) as usize) else {
            return Ok(Some(ViewEntry::default()));
        };
        if page == 0 {
            return Ok(None);
        }
        let at = page * PAGE + (slot % PER_PAGE) as u64 * ENTRY_SIZE;
        // Programs store the word last, and clear it first: an entry whose word
        // is the same before and after is whole.
        let mut entry = ViewEntry::new_zeroed();
        for _ in 0..8 {
            let mut word = [0; 8];
            media.read(at + 16, &mut word).map_err(twz_core::StoreError::from)?;
            media.read(at, entry.as_mut_bytes()).map_err(twz_core::StoreError::from)?;
            if entry.word == u64::from_le_bytes(word) {
                return Ok(Some(entry));
            }
        }
        Err(Refusal::new(EAGAIN, twz_abi::reason::BAD_VIEW))
    }

    /// Pages of a slot are about to be mapped, which is bound.
    pub(crate) fn reach(&self, slot: u32, pages: Range<u64>) {
        if let Some(reach) = self.reach.get(slot as usize) {
            reach.add(pages);
        }
    }

    /// Takes out pages of a slot, for all who map the view.
    pub(crate) fn zap(&self, slot: u32, pages: Range<u64>) {
        let Some(reach) = self.reach.get(slot as usize) else { return };
        for part in reach.among(pages) {
            let count = part.end.saturating_sub(part.start);
            self.mapping.zap(slot as u64 * SLOT_PAGES + part.start, count);
        }
    }
}
