// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads within one process: a claim that is given up is a run that was lost.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use super::*;
use crate::{
    NewObject, Rights, Space,
    common::pool::TempPool,
    security::{Context, DEFAULT, How, KeyPair, NewContext, Policy, Terms, sign},
};

/// A thread that was registered, and whose process is gone.
fn lost(space: &Space, name: &str, mark: u64) {
    let thread = register(space, name, |_| Ok(())).unwrap();
    thread.set_mark(mark).unwrap();
    let claim = thread.claim.lock().unwrap().take();
    claim.unwrap().give_up();
}

#[test]
fn the_handler_is_called_for_what_was_lost_and_only_then() {
    let pool = TempPool::new();
    let space = pool.open();
    let mut called = Vec::new();
    for round in 0..3 {
        let thread = register(&space, "t", |lost| {
            called.push(*lost);
            Ok(())
        });
        let thread = thread.unwrap();
        assert_eq!((thread.generation(), thread.mark()), (round + 1, 10 * round));
        thread.claim.lock().unwrap().take().unwrap().give_up();
        lost_again(&space, round);
        fn lost_again(space: &Space, round: u64) {
            let id = find(space.backend(), "t").unwrap().id;
            let mut claim = Claim::take(space.backend(), id).unwrap().unwrap();
            claim.update(|state| state.mark = 10 * (round + 1)).unwrap();
        }
    }
    assert_eq!(called.len(), 2);
    let second = Lost { cause: Cause::Killed, generation: 2, mark: 20 };
    assert_eq!((called[0].mark, called[1]), (10, second));
}

#[test]
fn what_is_finished_is_not_lost() {
    let pool = TempPool::new();
    let space = pool.open();
    lost(&space, "t", 5);
    register(&space, "t", |_| Ok(())).unwrap().finish().unwrap();
    assert!(!find(space.backend(), "t").unwrap().state.wants_to_run());
    let thread = register(&space, "t", |_| panic!("nothing was lost")).unwrap();
    assert_eq!((thread.mark(), thread.lost(), thread.generation()), (0, None, 3));
    thread.finish().unwrap();
}

#[test]
fn a_thread_of_another_boot_was_cut_off() {
    let pool = TempPool::new();
    let space = pool.open();
    lost(&space, "t", 5);
    let id = find(space.backend(), "t").unwrap().id;
    let mut claim = Claim::take(space.backend(), id).unwrap().unwrap();
    claim.update(|state| state.boot ^= 2).unwrap();
    drop(claim);
    let thread = register(&space, "t", |lost| {
        assert_eq!(lost.cause, Cause::PowerCut);
        Ok(())
    });
    thread.unwrap().finish().unwrap();
}

#[test]
fn only_one_process_is_a_thread() {
    let pool = TempPool::new();
    let space = pool.open();
    let thread = register(&space, "t", |_| Ok(())).unwrap();
    assert!(find(space.backend(), "t").unwrap().running);
    assert!(matches!(register(&space, "t", |_| Ok(())), Err(Error::Busy { .. })));
    assert!(matches!(remove(space.backend(), "t"), Err(Error::Busy { .. })));
    // Dropped, it is still this process.
    drop(thread);
    assert!(matches!(register(&space, "t", |_| Ok(())), Err(Error::Busy { .. })));
    lost(&space, "u", 0);
    remove(space.backend(), "u").unwrap();
    assert!(matches!(find(space.backend(), "u"), Err(Error::NoName(_))));
}

#[test]
fn a_handler_that_fails_leaves_the_thread_lost() {
    let pool = TempPool::new();
    let space = pool.open();
    lost(&space, "t", 5);
    for _ in 0..2 {
        let refused = register(&space, "t", |_| Err(Error::Null));
        assert!(matches!(refused, Err(Error::Null)));
    }
    let mut called = false;
    let thread = register(&space, "t", |lost| {
        called = true;
        assert_eq!(lost.mark, 5);
        Ok(())
    });
    thread.unwrap().finish().unwrap();
    assert!(called);
}

#[test]
fn the_view_is_attached_again() {
    let pool = TempPool::new();
    let view = {
        let space = pool.open();
        let view = space.create_view().unwrap();
        let thread = register(&space, "t", |_| Ok(())).unwrap();
        thread.set_view(&space, Some(view)).unwrap();
        let object = space.create(crate::Field::new(3u64)).unwrap();
        space.bind("it", object.id()).unwrap();
        let slot = object.slot();
        thread.claim.lock().unwrap().take().unwrap().give_up();
        (slot, object.id())
    };
    let space = pool.open();
    let mut seen = None;
    let thread = register(&space, "t", |_| {
        seen = space.view().get(view.0)?.map(|shown| shown.id);
        Ok(())
    });
    thread.unwrap().finish().unwrap();
    assert_eq!(seen, Some(view.1));
}

/// The slot that a crash has torn does not count; the one before does.
/// A context that grants to read an object which nobody has by default.
fn guarded(space: &Space, rights: Rights) -> (KeyPair, ObjectId, ObjectId) {
    let pool = space.backend();
    let key = KeyPair::generate().unwrap();
    let owner = key.publish(pool).unwrap();
    let new = NewObject { owner, default_rights: Rights::NONE, size: 8, ..NewObject::default() };
    let secret = pool.create(&new).unwrap();
    let policy = Policy::OPEN;
    let context = Context::create_with(pool, &NewContext { owner, policy, rights }, |id| {
        vec![sign(Terms::new(secret, Rights::READ).unsigned(id, 0), &key)]
    });
    let context = context.unwrap().id();
    (key, secret, context)
}

/// Has a thread act in a context and be lost; this process leaves the context.
fn lost_in(space: &Space, key: &KeyPair, context: ObjectId) {
    let thread = register(space, "t", |_| Ok(())).unwrap();
    space.attach_with_key(context, key, How { switch: true, cloexec: false }).unwrap();
    thread.keep_contexts(space).unwrap();
    thread.claim.lock().unwrap().take().unwrap().give_up();
    space.switch(DEFAULT).unwrap();
    space.detach(context).unwrap();
}

#[test]
fn a_resumed_thread_acts_in_its_context_again() {
    let pool = TempPool::new();
    let space = pool.open();
    let (key, secret, context) = guarded(&space, Rights::READ.or(Rights::USE));
    lost_in(&space, &key, context);
    assert!(space.open_object_read::<()>(secret).is_err());
    let mut could = false;
    let thread = register(&space, "t", |_| {
        could = space.open_object_read::<()>(secret).is_ok();
        Ok(())
    });
    let there = space.attached().unwrap();
    assert!(could && there.active == context && there.all.contains(&DEFAULT));
    thread.unwrap().finish().unwrap();
    assert_eq!(find(space.backend(), "t").unwrap().state.contexts, []);
}

/// A thread's object says what it was attached to; it proves nothing.
#[test]
fn a_context_that_takes_a_proof_is_not_had_for_having_been_kept() {
    let pool = TempPool::new();
    let space = pool.open();
    let (key, secret, context) = guarded(&space, Rights::READ);
    lost_in(&space, &key, context);
    let refused = register(&space, "t", |_| panic!("it goes on without its context"));
    assert!(matches!(refused, Err(Error::Context { id, .. }) if id == context), "{refused:?}");
    assert!(space.open_object_read::<()>(secret).is_err());
    assert!(find(space.backend(), "t").unwrap().state.wants_to_run(), "as lost as before");
    // Who can prove it does so first.
    space.attach_with_key(context, &key, How::default()).unwrap();
    let thread = register(&space, "t", |_| {
        assert_eq!(space.attached().unwrap().active, context);
        Ok(())
    });
    thread.unwrap().finish().unwrap();
}

#[test]
fn a_torn_state_is_the_one_before() {
    let pool = TempPool::new();
    let space = pool.open();
    lost(&space, "t", 5);
    let found = find(space.backend(), "t").unwrap();
    let rights = Rights(3);
    let file = std::fs::File::from(space.backend().open_data(found.id, rights).unwrap());
    for mark in 6..10 {
        let mut claim = Claim::take(space.backend(), found.id).unwrap().unwrap();
        let (before, torn) = (claim.state().mark, claim.slot_of_next());
        claim.update(|state| state.mark = mark).unwrap();
        drop(claim);
        file.write_all_at(&[0xff; 64], torn * 8192 + 4096).unwrap();
        let found = find(space.backend(), "t").unwrap();
        assert_eq!(found.state.mark, before);
        let mut claim = Claim::take(space.backend(), found.id).unwrap().unwrap();
        claim.update(|state| state.mark = mark).unwrap();
    }
    file.write_all_at(&[0xff; 64], 100).unwrap();
    file.write_all_at(&[0xff; 64], 8192 + 100).unwrap();
    assert!(matches!(find(space.backend(), "t"), Err(Error::Format { .. })));
    remove(space.backend(), "t").unwrap();
}

/// Nobody has a thread run by writing to an object that is not theirs alone.
#[test]
fn a_state_that_others_may_write_is_not_believed() {
    if crate::common::pool::on_kernel() {
        return crate::common::pool::skip("threads", "rights are no file modes there");
    }
    let pool = TempPool::new();
    let space = pool.open();
    lost(&space, "t", 5);
    let found = find(space.backend(), "t").unwrap();
    assert_eq!(found.may_run(), Ok(()));
    let file = std::fs::File::from(space.backend().open_data(found.id, Rights(3)).unwrap());
    file.set_permissions(std::fs::Permissions::from_mode(0o664)).unwrap();
    assert!(find(space.backend(), "t").unwrap().may_run().is_err());
    file.set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut claim = Claim::take(space.backend(), found.id).unwrap().unwrap();
    claim.update(|state| state.uid += 1).unwrap();
    drop(claim);
    assert!(find(space.backend(), "t").unwrap().may_run().is_err());
    assert!(register(&space, "t", |_| Ok(())).is_err(), "another user's");
}

/// In a copy of the pool, the same bytes are nobody's thread.
#[test]
fn a_copied_thread_is_none() {
    if crate::common::pool::on_kernel() {
        return crate::common::pool::skip("threads", "there is one pool there");
    }
    let (from, to) = (TempPool::new(), TempPool::new());
    let space = from.open();
    lost(&space, "t", 5);
    let id = find(space.backend(), "t").unwrap().id;
    let mut bytes = vec![0; 16384];
    space.backend().read(id, crate::DATA_START, &mut bytes).unwrap();
    let other = to.open();
    lost(&other, "t", 5);
    let there = find(other.backend(), "t").unwrap().id;
    other.backend().write(there, crate::DATA_START, &bytes).unwrap();
    assert!(matches!(find(other.backend(), "t"), Err(Error::Format { .. })));
}
