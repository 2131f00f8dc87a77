// SPDX-License-Identifier: GPL-2.0
//! Commands that make objects be shown: descriptors of views and of objects,
//! the news that a view has changed, and what a fault would be granted.

use crate::{
    command::{fetch, store, zero},
    descriptor::ObjectFile,
    error::{Refusal, Result},
    guard::{on, Guard},
    secctx::ContextNo,
    session::Session,
    space::State,
    stats::Event,
    sys::DeviceFile,
    view::Place,
};
use kernel::prelude::*;
use twz_abi::{
    ioctl::{InvalidateView, OpenFd, Resolve, SetView},
    meta, reason, ObjectId, Rights, SLOT_PAGES,
};
use twz_core::RecordNo;

impl Session {
    /// A descriptor to map what a view shows.
    pub(crate) fn set_view(&self, file: &DeviceFile, address: usize) -> Result<isize> {
        let mut set: SetView = fetch(address)?;
        zero(set.reserved as u64)?;
        let view = self.space.change(|state| {
            let (r, record) = state.permitted(set.view, self.context(state), Rights::READ)?;
            if record.kind != meta::kind::VIEW {
                return Err(Refusal::new(EINVAL, reason::BAD_VIEW).of(set.view));
            }
            state.views.open(&mut state.live, r, record.size)
        })?;
        let made = {
            let state = self.space.state.read();
            match state.views.get(view) {
                Some(shown) => file
                    .open_again(&shown.mapping, |session: &Session| session.show(view))
                    .map_err(Refusal::from),
                None => Err(ENOENT.into()),
            }
        };
        let made = made.inspect_err(|_| self.close_view(view))?;
        set.fd = made.number();
        // If this fails, the new session closes, and the view with it.
        store(address, &set)?;
        made.install();
        Ok(0)
    }

    /// Lets go of what slots of a view show, for all who use it.
    pub(crate) fn invalidate_view(&self, slots: &mut InvalidateView) -> Result {
        let end = slots.first.checked_add(slots.count).ok_or(Refusal::argument())?;
        if end > twz_abi::view::MAX_SLOTS {
            return Err(Refusal::argument());
        }
        self.space.change(|state| {
            let r = state.view_of(slots.view, self.context(state))?;
            state.invalidate(r, slots.first..end);
            self.space.counters.count(Event::Invalidated);
            self.space.control.bump_generation();
            Ok(())
        })
    }

    /// What a fault on an object would be granted.
    pub(crate) fn resolve(&self, resolve: &mut Resolve) -> Result {
        zero(resolve.reserved as u64)?;
        let wanted = Rights(resolve.wanted);
        if !wanted.check() {
            return Err(Refusal::argument());
        }
        self.space.look(|state| {
            let (_, record) = state.find(resolve.id)?;
            let mut granted = state.contexts.rights(self.context(state), &record).and(wanted);
            if state.read_only {
                granted = granted.without(Rights::WRITE);
            }
            resolve.granted = granted.0;
            resolve.fot_pages =
                (SLOT_PAGES - 1 - state.store.extent(&record)?.fot_first_page) as u32;
            resolve.size = record.size;
            Ok(())
        })
    }

    /// A descriptor of an object's data.
    pub(crate) fn open_fd(&self, address: usize) -> Result<isize> {
        let mut open: OpenFd = fetch(address)?;
        let wanted = Rights(open.rights);
        let both = Rights::READ.or(Rights::WRITE);
        if wanted.is_empty() || !both.contains(wanted) {
            return Err(Refusal::argument());
        }
        let (index, file) = self.space.change(|state| {
            let (r, record) = state.permitted(open.id, self.context(state), wanted)?;
            if state.read_only && wanted.contains(Rights::WRITE) {
                return Err(Refusal::new(EROFS, reason::READ_ONLY).of(open.id));
            }
            let index = state.inodes.open(&mut state.live, r, record.size)?;
            let file = state.inodes.get(index).map(|inode| inode.file.again());
            Ok((index, file))
        })?;
        // The descriptor takes a hold of its own; this one was for the way there.
        let made = file.ok_or(ENOENT).and_then(|file| file.descriptor(wanted));
        ObjectFile::let_go(self.space, index);
        let made = made?;
        open.fd = made.number();
        store(address, &open)?;
        made.install();
        Ok(0)
    }
}

impl State {
    /// A view object that `context` may change. One that was deleted is still a
    /// view to those who show it.
    fn view_of(&self, id: ObjectId, context: ContextNo) -> Result<RecordNo> {
        let shown = self.views.iter().find_map(|view| {
            let record = self.store.stat(view.record).ok()?;
            (record.id == id).then_some((view.record, record))
        });
        let (r, record) = match shown {
            Some(found) => found,
            None => self.find(id)?,
        };
        let granted = self.contexts.rights(context, &record);
        if !granted.contains(Rights::WRITE) {
            return Err(Refusal::denied(id, Rights::WRITE, granted));
        }
        match record.kind {
            meta::kind::VIEW => Ok(r),
            _ => Err(Refusal::new(EINVAL, reason::BAD_VIEW).of(id)),
        }
    }

    /// Takes out what slots of the view object `r` show, and unbinds them.
    fn invalidate(&mut self, r: RecordNo, slots: core::ops::Range<u32>) {
        let Some(index) = self.live.get(r).view.checked_sub(1) else { return };
        let Some(view) = self.views.get(index) else { return };
        let end = slots.end.min(view.slots());
        if on(Guard::InvalidateZap) {
            view.bindings_in(slots.start..end).for_each(|(slot, _)| view.zap(slot, 0..SLOT_PAGES));
        }
        for slot in slots.start..end {
            self.views.unbind(&mut self.live, Place { view: index, slot });
        }
    }
}
