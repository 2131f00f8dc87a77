// SPDX-License-Identifier: MIT OR Apache-2.0
//! What most tests begin with: a session, a view and its arena.

use std::{os::fd::OwnedFd, sync::atomic::Ordering};

use twz_abi::{DATA_START, ObjectId, PAGE, Rights, SLOT, ViewEntry, ioctl as abi, meta};
use zerocopy::IntoBytes as _;

use crate::{
    map::{self, Map, RWX, arena},
    probe::atomic,
    sys::Session,
};

/// The slot that shows the view itself.
pub const VIEW_SLOT: u32 = 1;

/// READ and WRITE.
pub const RW: Rights = Rights(3);

/// READ, WRITE and EXEC.
pub const RWX_RIGHTS: Rights = Rights(7);

/// Default rights that let everything be tried: all but DELEGATE.
pub const OPEN: Rights = Rights(31);

/// A `ret`, 8 times.
pub const RET: u64 = 0xc3c3_c3c3_c3c3_c3c3;

/// A view of this process, mapped over an arena. What it made goes with it.
pub struct World {
    /// The mapping; slot `n` at `n << 30`.
    pub arena: Map,
    /// The view's descriptor.
    pub fd: OwnedFd,
    /// The view object.
    pub view: ObjectId,
    /// Slots.
    pub slots: u32,
    /// The session.
    pub session: Session,
}

/// Makes a view object with room for `slots` entries.
pub fn view_object(session: &Session, slots: u32) -> ObjectId {
    let create = abi::Create {
        kind: meta::kind::VIEW,
        size: (slots as u64 * 32).next_multiple_of(PAGE),
        default_rights: Rights::DEFAULT.0,
        ..Default::default()
    };
    session.create_as(create).expect("CREATE of a view")
}

impl World {
    /// Eight slots, of which slot 1 shows the view, to read and write.
    pub fn new() -> Self {
        Self::with(8, map::RW)
    }

    /// The same, to be run as well: without large pages, where writing and
    /// executing cannot be both.
    pub fn to_run() -> Self {
        Self::with(8, RWX)
    }

    /// So many slots, mapped with this protection.
    pub fn with(slots: u32, protection: i32) -> Self {
        let session = Session::open();
        let view = view_object(&session, slots);
        let world = Self::of(session, view, slots, protection);
        world.show(VIEW_SLOT, view, RW);
        world
    }

    /// As [`World::new`], on a pool that may not let it.
    pub fn try_new() -> Option<Self> {
        let session = Session::open();
        let kind = meta::kind::VIEW;
        let create = abi::Create { kind, size: PAGE, default_rights: 19, ..Default::default() };
        let view = session.create_as(create).ok()?;
        let fd = session.set_view(view).ok()?;
        let arena = arena(&fd, 8, RWX).ok()?;
        Some(Self { arena, fd, view, slots: 8, session })
    }

    /// The view that is there already.
    pub fn of(session: Session, view: ObjectId, slots: u32, protection: i32) -> Self {
        let fd = session.set_view(view).expect("SET_VIEW");
        let arena = arena(&fd, slots, protection).expect("the arena");
        Self { arena, fd, view, slots, session }
    }

    /// Has a slot show an object, by a command.
    pub fn show(&self, slot: u32, id: ObjectId, protection: Rights) {
        self.set_entry(slot, ViewEntry::new(id, protection));
    }

    /// Writes an entry, whatever it says.
    pub fn set_entry(&self, slot: u32, entry: ViewEntry) {
        let done = self.session.write(self.view, ViewEntry::offset(slot), entry.as_bytes());
        assert_eq!(done, Ok(32), "the entry of slot {slot}");
    }

    /// Has a slot show an object, by storing into the view.
    pub fn store_entry(&self, slot: u32, id: ObjectId, protection: Rights) {
        let at = self.slot(VIEW_SLOT, ViewEntry::offset(slot));
        atomic(at).store(id.lo, Ordering::Relaxed);
        atomic(at + 8).store(id.hi, Ordering::Relaxed);
        atomic(at + 16).store(ViewEntry::live_word(protection), Ordering::Release);
    }

    /// Has a slot show nothing.
    pub fn hide(&self, slot: u32) {
        self.set_entry(slot, ViewEntry::default());
    }

    /// Has a slot show nothing, at once.
    pub fn unmap(&self, slot: u32) {
        self.hide(slot);
        self.session.invalidate(self.view, slot, 1).expect("INVALIDATE_VIEW");
    }

    /// Makes an object and shows it with all of the view's protection.
    pub fn object(&self, slot: u32, size: u64, rights: Rights) -> ObjectId {
        let id = self.session.create(size, rights);
        self.show(slot, id, RWX_RIGHTS);
        id
    }

    /// Address of data byte `at` of a slot.
    pub fn at(&self, slot: u32, at: u64) -> usize {
        self.slot(slot, DATA_START + at)
    }

    /// Address of slot offset `offset`.
    pub fn slot(&self, slot: u32, offset: u64) -> usize {
        assert!(slot < self.slots && offset < SLOT);
        self.arena.at((slot as u64 * SLOT + offset) as usize)
    }
}
