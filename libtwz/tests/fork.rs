// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a child that was forked has of its parent's space: all of it, at the
//! same addresses, and from then on for itself.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::TempPool;
use twz::{Field, Object, Persist, Ptr, Rights, Space};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

fn node(space: &Space, value: u64) -> Object<Node> {
    space.create(Node { value: Field::new(value), next: Ptr::null() }).unwrap()
}

/// Does the work in a child, and waits for it to have succeeded.
fn in_child(work: impl FnOnce()) {
    // SAFETY: the child does its work and ends, without running what the test
    // harness has registered for the end of the process.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let done = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: no preconditions.
        unsafe { libc::_exit(if done.is_ok() { 0 } else { 1 }) };
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: `status` is ours to be written.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
}

#[test]
fn a_child_reads_and_writes_what_its_parent_had_open() {
    let pool = TempPool::new();
    let space = pool.open();
    let (a, b, far) = (node(&space, 1), node(&space, 2), node(&space, 3).id());
    a.root().next.store(b.root()).unwrap();
    assert_eq!(a.root().next.lea().unwrap().value.get(), 2);
    let address = a.address();
    in_child(|| {
        assert_eq!((a.root().value.get(), a.address()), (1, address));
        a.root().value.set(10).unwrap();
        a.root().next.lea().unwrap().value.set(20).unwrap();
        // What its parent never touched, what it makes, and what it allocates.
        let far = space.open_object::<Node>(far).unwrap();
        far.root().value.set(30).unwrap();
        let own = node(&space, 4);
        far.root().next.store(own.root()).unwrap();
        own.root()
            .next
            .store(own.alloc(Node { value: Field::new(5), next: Ptr::null() }).unwrap())
            .unwrap();
        assert_eq!(a.len().unwrap(), 64);
        drop(a.lock().unwrap());
        space.bind("child", own.id()).unwrap();
    });
    assert_eq!((a.root().value.get(), b.root().value.get()), (10, 20));
    let far = space.open_object::<Node>(far).unwrap();
    assert_eq!(far.root().value.get(), 30);
    let made = far.root().next.lea().unwrap();
    assert_eq!((made.value.get(), made.next.lea().unwrap().value.get()), (4, 5));
    assert_eq!(space.resolve("child").unwrap(), far.root().next.global().unwrap().id);
}

#[test]
fn a_child_that_opens_and_closes_leaves_its_parents_slots_alone() {
    let pool = TempPool::new();
    let space = pool.open();
    let kept: Vec<_> = (0..40).map(|i| node(&space, i)).collect();
    in_child(|| {
        for i in 0..200 {
            let own = node(&space, 1000 + i);
            assert_eq!(own.root().value.get(), 1000 + i);
        }
        for (i, object) in kept.iter().enumerate() {
            assert_eq!(object.root().value.get(), i as u64);
            assert_eq!(space.view().get(object.slot()).unwrap().unwrap().id, object.id());
        }
    });
    for (i, object) in kept.iter().enumerate() {
        assert_eq!(object.root().value.get(), i as u64);
        assert_eq!(space.view().get(object.slot()).unwrap().unwrap().id, object.id());
    }
    let more: Vec<_> = (0..40).map(|i| node(&space, 100 + i)).collect();
    for (i, object) in more.iter().enumerate() {
        assert_eq!(object.root().value.get(), 100 + i as u64);
    }
}

#[test]
fn a_childs_threads_may_begin_all_at_once() {
    let pool = TempPool::new();
    let space = pool.open();
    let objects: Vec<_> = (0..32).map(|i| node(&space, i)).collect();
    for _ in 0..5 {
        in_child(|| {
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for first in 0..4 {
                    let (start, objects) = (&start, &objects);
                    scope.spawn(move || {
                        start.wait();
                        for i in (first * 8..32).chain(0..first * 8) {
                            assert_eq!(objects[i].root().value.get(), i as u64);
                        }
                    });
                }
            });
        });
    }
}

#[test]
fn a_childs_child_and_one_that_maps_nothing() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = node(&space, 1);
    in_child(|| {
        // The kernel is asked before anything is touched.
        assert_eq!(space.backend().stat(object.id()).unwrap().size, 64);
        in_child(|| object.root().value.set(2).unwrap());
        assert_eq!(object.root().value.get(), 2);
        in_child(|| assert_eq!(object.root().value.get(), 2));
    });
    in_child(|| assert_eq!(space.backend().stat(object.id()).unwrap().names, 0));
    assert_eq!(object.root().value.get(), 2);
}

#[test]
fn a_child_goes_on_in_a_view_that_is_shared() {
    let pool = TempPool::new();
    let space = pool.open();
    let id = node(&space, 7).id();
    let view = space.create_view().unwrap();
    space.set_view(Some(view)).unwrap();
    in_child(|| {
        let object = space.open_object::<Node>(id).unwrap();
        assert_eq!(object.root().value.get(), 7);
        space.view().set(99, id, Rights::READ).unwrap();
    });
    assert_eq!(space.view().get(99).unwrap().unwrap().id, id);
    assert_eq!(space.open_object::<Node>(id).unwrap().root().value.get(), 7);
}
