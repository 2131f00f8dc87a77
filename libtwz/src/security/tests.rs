// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test: a change of a context that stops after any of its stores leaves the context
//! as it was, or as it was to be.

use std::{cell::Cell, os::fd::OwnedFd, time::Duration};

use twz_abi::{ObjectId, Rights};
use twz_core::ident::Identity;

use super::{Context, Grant, KeyPair, NewContext, Terms, digest, sign};
use crate::{
    backend::{Backend, Binding, Mapped, NewObject, ObjectStat, PoolInfo, Waited, Word},
    common::pool::TempPool,
    error::{Error, Result},
    raw::{Arena, SlotWindow},
};

/// A pool that stops after so many changes; half of a longer one happens.
struct Cut<'a>(&'a dyn Backend, std::sync::Mutex<Cell<u32>>);

const STOPPED: Error = Error::Unsupported("cut");

impl Cut<'_> {
    fn left(&self) -> bool {
        let left = self.1.lock().unwrap();
        left.replace(left.get().saturating_sub(1)) > 0
    }
}

/// What no change of a context needs.
macro_rules! never {
    ($($name:ident($($arg:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $(_: $arg),*) -> Result<$out> { Err(STOPPED) })*
    };
}

impl Backend for Cut<'_> {
    fn stat(&self, id: ObjectId) -> Result<ObjectStat> {
        self.0.stat(id)
    }
    fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()> {
        self.0.read(id, offset, into)
    }
    fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()> {
        if self.left() {
            return self.0.write(id, offset, from);
        }
        // Of 8 bytes all or nothing.
        let half = if from.len() > 8 { from.len() / 16 * 8 } else { 0 };
        self.0.write(id, offset, &from[..half])?;
        Err(STOPPED)
    }
    fn resize(&self, id: ObjectId, size: u64) -> Result<()> {
        if self.left() { self.0.resize(id, size) } else { Err(STOPPED) }
    }
    never! {
        info() -> PoolInfo;
        create(&NewObject) -> ObjectId;
        adopt(&Identity, &NewObject) -> ObjectId;
        list(&mut dyn FnMut(ObjectId) -> Result<()>) -> ();
        reserve(ObjectId, u64, u64) -> ();
        delete(ObjectId) -> ();
        copy(ObjectId, &NewObject) -> ObjectId;
        sync(ObjectId) -> ();
        lookup(&str) -> Binding;
        bind(&str, ObjectId, bool) -> ();
        unbind(&str) -> ();
        rename(&str, &str) -> ();
        make_dir(&str) -> ();
        remove_dir(&str) -> ();
        read_dir(&str, &mut dyn FnMut(&str, Binding) -> Result<()>) -> ();
        bump_generation() -> ();
        attach(&Arena, Option<ObjectId>) -> ();
        map(ObjectId, &SlotWindow<'_>, Rights) -> Mapped;
        map_fot(ObjectId, &SlotWindow<'_>, u32, u32, Rights) -> u32;
        unmap(&SlotWindow<'_>) -> ();
        size(ObjectId) -> u64;
        open_data(ObjectId, Rights) -> OwnedFd;
        process_file() -> OwnedFd;
        wait(&Word<'_>, u64, Option<Duration>) -> Waited;
        wake(&Word<'_>, u64) -> u64;
    }
}

type Said = (Vec<[u8; 32]>, Vec<(ObjectId, u32)>);

/// What a context says: grants and masks, sorted; `None` if it is not whole.
fn said(context: &Context<'_>) -> Option<Said> {
    let mut grants: Vec<_> =
        context.grants().ok()?.iter().map(|entry| digest(&entry.record)).collect();
    let masks = context.masks().ok()?;
    let mut masks: Vec<_> = masks.iter().map(|e| (e.record.target, e.record.rights)).collect();
    grants.sort();
    masks.sort();
    Some((grants, masks))
}

fn target(n: u64) -> ObjectId {
    ObjectId { lo: n + 1, hi: 1 }
}

/// Stops a change after each of its stores; after how many it is done.
fn cut(change: impl Fn(&Context<'_>, &Grant, &Grant) -> Result<()>) -> u32 {
    let (pool, key) = (TempPool::in_memory(), KeyPair::from_seed(&[1; 32]));
    let backend = pool.backend();
    for stores in 0.. {
        let whole = Context::create(&*backend, &NewContext::default()).unwrap();
        let make = |n| sign(Terms::new(target(n), Rights::READ).unsigned(whole.id(), 0), &key);
        let grants: Vec<_> = (0..6).map(make).collect();
        // The same records in another one, to see what the change comes to.
        let twin = Context::create(&*backend, &NewContext::default()).unwrap();
        for context in [&whole, &twin] {
            for grant in grants.iter().take(5) {
                context.add(grant).unwrap();
            }
            context.set_mask(target(9), Rights::READ).unwrap();
            // Gaps, to be filled.
            for gone in [0, 2] {
                assert!(context.remove(&digest(&grants[gone])).unwrap());
            }
        }
        let before = said(&whole);
        let stopping = Cut(&*backend, std::sync::Mutex::new(Cell::new(stores)));
        let done = change(&whole.in_pool(&stopping), &grants[1], &grants[5]);
        assert!(whole.mend().unwrap() <= 1);
        let after = said(&whole);
        if done.is_ok() {
            return stores;
        }
        // A change that was cut did not happen, or all of it did.
        change(&twin, &grants[1], &grants[5]).unwrap();
        let to_be = said(&twin);
        assert!(after.is_some() && (after == before || after == to_be), "cut after {stores}");
    }
    unreachable!()
}

#[test]
fn every_change_of_a_context_happens_or_does_not() {
    assert!(cut(|context, _, new| context.add(new).map(|_| ())) >= 2);
    assert!(cut(|context, old, _| context.remove(&digest(old)).map(|_| ())) >= 1);
    assert!(cut(|context, _, _| context.set_mask(target(9), Rights::NONE)) >= 1);
    assert!(cut(|context, _, _| context.set_mask(target(3), Rights::NONE)) >= 2);
    assert!(cut(|context, _, _| context.clear_mask(target(9)).map(|_| ())) >= 1);
    assert!(cut(|context, _, _| context.compact().map(|_| ())) >= 5);
}
