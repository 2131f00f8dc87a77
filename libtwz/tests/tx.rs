// SPDX-License-Identifier: MIT OR Apache-2.0
//! Transactions: what they do, what an abort undoes, many at once, and against
//! a model. What they survive: `tx_kill.rs`.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::TempPool as Pool;
use proptest::prelude::*;
use twz::{Durability, Error, Field, Global, Object, Persist, Ptr, Rights, Space, collections};

#[derive(Persist)]
#[repr(C)]
struct Root {
    words: [Field<u64>; 16],
    bytes: [Field<u8>; 64],
    next: Ptr<Root>,
}

fn root() -> Root {
    Root {
        words: [const { Field::new(0) }; 16],
        bytes: [const { Field::new(0) }; 64],
        next: Ptr::null(),
    }
}

const BOTH: [Durability; 2] = [Durability::Process, Durability::Power];

fn scene(durability: Durability) -> (Pool, Space) {
    let pool = Pool::in_memory();
    let space = pool.open();
    space.set_durability(durability);
    (pool, space)
}

fn words(object: &Object<Root>) -> Vec<u64> {
    object.root().words.iter().map(Field::get).collect()
}

/// What an aborted transaction returns.
fn no<R>() -> twz::Result<R> {
    Err(Error::Unsupported("on purpose"))
}

#[test]
fn what_is_written_comes_with_the_commit() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let (a, b) = (space.create(root()).unwrap(), space.create(root()).unwrap());
        let [x, y] = [&a.root().words[3], &b.root().words[5]];
        let got = space
            .transaction(|tx| {
                tx.set(x, 7)?;
                tx.set(y, tx.get(x)? + 1)?;
                assert_eq!((x.get(), y.get()), (0, 0), "seen too early");
                tx.set(&a.root().bytes[1], 0xab)?;
                assert_eq!(tx.get(&a.root().bytes[1])?, 0xab);
                tx.set(x, 9)?;
                assert_eq!((tx.get(x)?, tx.get(y)?), (9, 8));
                Ok("done")
            })
            .unwrap();
        assert_eq!((got, x.get(), y.get()), ("done", 9, 8));
        assert_eq!((a.root().bytes[0].get(), a.root().bytes[1].get()), (0, 0xab));
        assert!(space.transaction(|tx| tx.set(x, 1).and(no::<()>())).is_err());
        assert_eq!(x.get(), 9);
        // The locks were given back.
        drop((a.lock().unwrap(), b.lock().unwrap()));
    }
}

#[test]
fn what_is_recorded_is_put_back() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let a = space.create(root()).unwrap();
        let x = &a.root().words[0];
        x.set(1).unwrap();
        let failed = space.transaction(|tx| {
            tx.record(x)?;
            x.set(2)?;
            // Twice costs nothing, and does not keep the newer value.
            tx.record(x)?;
            x.set(3)?;
            assert_eq!(tx.get(x)?, 3);
            // Over a page edge, and not aligned.
            tx.record_bytes(&a, 3, 13)?;
            no::<()>()
        });
        assert!(failed.is_err());
        assert_eq!(x.get(), 1);
        space
            .transaction(|tx| {
                tx.record(x)?;
                x.set(5)?;
                // What is recorded is written in place.
                tx.set(x, 6)?;
                assert_eq!(x.get(), 6);
                Ok(())
            })
            .unwrap();
        assert_eq!(x.get(), 6);
        // Written, then recorded.
        let failed = space.transaction(|tx| {
            tx.set(x, 7)?;
            tx.record(x)?;
            assert_eq!(x.get(), 7);
            x.set(8)?;
            no::<()>()
        });
        assert!(failed.is_err());
        assert_eq!(x.get(), 6);
    }
}

#[test]
fn a_range_may_lie_over_the_edge_of_a_page() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let object =
            space.create_with(&twz::NewObject { size: 20_000, ..Default::default() }, ()).unwrap();
        let before: Vec<u8> = (0..20_000).map(|i| i as u8).collect();
        object.write(0, &before).unwrap();
        for (at, len) in [(4090, 13), (0, 20_000), (1, 1), (19_999, 1), (4095, 2), (8191, 4099)] {
            let failed = space.transaction(|tx| {
                tx.record_bytes(&object, at, len)?;
                object.write(at, &vec![0xee; len as usize])?;
                no::<()>()
            });
            assert!(matches!(failed, Err(Error::Unsupported("on purpose"))), "{failed:?}");
            let mut now = vec![0; 20_000];
            object.read(0, &mut now).unwrap();
            assert!(now == before, "{at} {len}");
            let new: Vec<u8> = (0..len).map(|i| (i * 3) as u8).collect();
            space
                .transaction(|tx| {
                    tx.write_bytes(&object, at, &new)?;
                    let mut seen = vec![0; len as usize];
                    tx.read_bytes(&object, at, &mut seen)?;
                    assert_eq!(seen, new);
                    object.read(at, &mut seen)?;
                    assert_eq!(seen, before[at as usize..][..len as usize], "seen too early");
                    Ok(())
                })
                .unwrap();
            object.read(0, &mut now).unwrap();
            assert_eq!(now[at as usize..][..len as usize], new);
            object.write(0, &before).unwrap();
        }
        for (at, len) in [(20_480, 1), (19_999, 1000), (u64::MAX, 2), (1 << 30, 8)] {
            assert!(space.transaction(|tx| tx.record_bytes(&object, at, len)).is_err());
            assert!(
                space.transaction(|tx| tx.write_bytes(&object, at, &[1, 2])).is_err()
                    || len == 1000
            );
        }
    }
}

#[test]
fn an_inner_one_is_undone_alone() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let a = space.create(root()).unwrap();
        let w = &a.root().words;
        space
            .transaction(|tx| {
                tx.set(&w[0], 1)?;
                tx.record(&w[1])?;
                w[1].set(1)?;
                // By name, and by a call that knows nothing of the outer one.
                let inner = tx.nested(|tx| {
                    tx.set(&w[0], 2)?;
                    tx.set(&w[1], 2)?;
                    tx.record(&w[1])?;
                    w[1].set(3)?;
                    tx.record(&w[2])?;
                    w[2].set(3)?;
                    space.transaction(|tx| tx.set(&w[3], 3))?;
                    no::<()>()
                });
                assert!(inner.is_err());
                assert_eq!((tx.get(&w[0])?, w[1].get(), w[2].get(), tx.get(&w[3])?), (1, 1, 0, 0));
                space.transaction(|tx| tx.set(&w[4], 4))?;
                assert_eq!(w[4].get(), 0, "an inner commit is no commit");
                Ok(())
            })
            .unwrap();
        assert_eq!(words(&a)[..5], [1, 1, 0, 0, 4]);
        let failed = space.transaction(|tx| {
            tx.nested(|tx| tx.set(&w[0], 9))?;
            no::<()>()
        });
        assert!(failed.is_err());
        assert_eq!(w[0].get(), 1);
    }
}

#[test]
fn a_panic_aborts() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let a = space.create(root()).unwrap();
        let w = &a.root().words;
        for inner in [false, true] {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                space.transaction(|tx| {
                    tx.record(&w[0])?;
                    w[0].set(5)?;
                    tx.set(&w[1], 5)?;
                    if inner {
                        tx.nested(|_| -> twz::Result<()> { panic!("on purpose") })?;
                    }
                    panic!("on purpose");
                    #[allow(unreachable_code)]
                    Ok(())
                })
            }));
            assert!(panicked.is_err());
            assert_eq!(words(&a), [0; 16]);
        }
        space.transaction(|tx| tx.set(&w[0], 6)).unwrap();
        assert_eq!(w[0].get(), 6);
    }
}

#[test]
fn memory_is_taken_and_given_back_with_the_commit() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let a = space.create(root()).unwrap();
        let blocks = || a.heap().check().unwrap().blocks;
        let failed = space.transaction(|tx| {
            let node = tx.alloc(&a, root())?;
            tx.store(&a.root().next, node)?;
            tx.set(&node.words[0], 3)?;
            assert_eq!(node.words[0].get(), 3, "a new block is written in place");
            // A large one too, and many.
            tx.alloc_slice(&a, 200_000, |i| i as u8)?;
            (0..5000).try_for_each(|i| tx.alloc(&a, Field::new(i)).map(drop))?;
            no::<()>()
        });
        assert!(matches!(failed, Err(Error::Unsupported("on purpose"))), "{failed:?}");
        assert_eq!((blocks(), a.root().next.is_null()), (0, true));
        space
            .transaction(|tx| {
                let node = tx.alloc(&a, root())?;
                tx.set(&node.words[1], 4)?;
                tx.store(&a.root().next, node)?;
                assert!(a.root().next.is_null());
                assert_eq!(tx.follow(&a.root().next)?.unwrap().words[1].get(), 4);
                let gone = tx.alloc(&a, Field::new(1u64))?;
                tx.free(&a, gone)?;
                assert!(tx.free(&a, gone).is_err(), "given back twice");
                tx.alloc_slice(&a, 200_000, |i| i as u8)?;
                Ok(())
            })
            .unwrap();
        assert_eq!(blocks(), 2);
        let node = a.root().next.lea().unwrap();
        assert_eq!(node.words[1].get(), 4);
        let failed = space.transaction(|tx| {
            tx.free(&a, node)?;
            tx.nested(|tx| tx.alloc(&a, root()).map(drop).and(no::<()>())).unwrap_err();
            no::<()>()
        });
        assert!(failed.is_err());
        assert_eq!(blocks(), 2);
        space
            .transaction(|tx| {
                tx.free(&a, node)?;
                tx.clear(&a.root().next)
            })
            .unwrap();
        assert_eq!(blocks(), 1);
        assert!(space.transaction(|tx| tx.free(&a, node)).is_err());
        // Chunks of both kinds side by side.
        let plain: Vec<u64> = (0..100).map(|_| a.heap().alloc(64, 8).unwrap()).collect();
        let more: Vec<u64> =
            space.transaction(|tx| (0..100).map(|_| tx.take(&a, 64, 8)).collect()).unwrap();
        let all: std::collections::BTreeSet<_> = plain.iter().chain(&more).collect();
        assert_eq!((all.len(), blocks()), (200, 201), "one block for two");
        // Each way of giving back does for both ways of taking.
        more.iter().for_each(|&block| a.heap().free(block).unwrap());
        space.transaction(|tx| plain.iter().try_for_each(|&block| tx.give(&a, block))).unwrap();
        assert_eq!(blocks(), 1);
    }
}

#[test]
fn pointers_go_with_the_transaction() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let (a, b) = (space.create(root()).unwrap(), space.create(root()).unwrap());
        assert!(
            space.transaction(|tx| tx.store(&a.root().next, b.root()).and(no::<()>())).is_err()
        );
        assert!(a.root().next.is_null());
        space.transaction(|tx| tx.store(&a.root().next, b.root())).unwrap();
        assert_eq!(a.root().next.global().unwrap().id, b.id());
        let to = Global { id: a.id(), offset: 4096 };
        space.transaction(|tx| tx.store_global(&b.root().next, to, Rights(3))).unwrap();
        assert_eq!(b.root().next.global().unwrap(), to);
    }
}

/// As another process would: a space of its own knows of no end but its own.
#[test]
fn what_another_process_put_past_the_known_end_is_found() {
    #[derive(Persist)]
    #[repr(C)]
    struct Grows {
        far: Ptr<u64>,
        wide: collections::Vec<[u64; 100]>,
    }
    let (pool, here) = scene(Durability::Process);
    let mine = here.create(Grows { far: Ptr::null(), wide: collections::Vec::new() }).unwrap();
    let there = pool.open();
    let theirs = there.open_object::<Grows>(mine.id()).unwrap();

    // Followed in a transaction.
    let run = mine.heap().alloc(200_000, 8).unwrap();
    let block = theirs.heap().alloc(2 << 20, 8).unwrap() + (1 << 20);
    let at = Global { id: mine.id(), offset: block };
    theirs.root().far.store_global(at, Rights::READ).unwrap();
    let found = here.transaction(|tx| Ok(tx.follow(&mine.root().far)?.is_some()));
    assert!(found.unwrap());

    // Moved, to where the end is known.
    let [more, _] = [100_000, 100_000].map(|len| theirs.heap().alloc(len, 8).unwrap());
    mine.heap().free(run).unwrap();
    assert!(mine.heap().grow(more, 150_000).unwrap() < block);

    // Referred to, where it lies over that end.
    for n in 0..1000 {
        theirs.root().wide.push(&theirs.lock().unwrap(), [n; 100]).unwrap();
        if n.is_power_of_two() {
            for i in 0..=n {
                assert_eq!(mine.root().wide.get_ref(i).unwrap(), Some(&[i; 100]));
            }
        }
    }
}

#[test]
fn the_log_grows_or_says_so_first() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let new = twz::NewObject { size: 200 << 20, ..Default::default() };
        let object = space.create_with(&new, ()).unwrap();
        let bytes = vec![7; 3 << 20];
        space.transaction(|tx| tx.write_bytes(&object, 5, &bytes)).unwrap();
        let mut now = vec![0; bytes.len()];
        object.read(5, &mut now).unwrap();
        assert!(now == bytes);
        let failed = space.transaction(|tx| {
            tx.record_bytes(&object, 0, 5 << 20)?;
            object.write(0, &vec![9; 5 << 20])?;
            no::<()>()
        });
        assert!(matches!(failed, Err(Error::Unsupported("on purpose"))), "{failed:?}");
        object.read(5, &mut now).unwrap();
        assert!(now == bytes);
        let failed = space.transaction(|tx| tx.record_bytes(&object, 0, 190 << 20));
        assert!(matches!(failed, Err(Error::Unsupported(why)) if why.contains("128 MiB")));
        // And goes on.
        space.transaction(|tx| tx.write_bytes(&object, 0, &[1, 2, 3])).unwrap();
    }
}

#[test]
fn a_thousand_objects_one_after_the_other_and_some_at_once() {
    for durability in BOTH {
        let (_pool, space) = scene(durability);
        let objects: Vec<_> = (0..1200).map(|_| space.create(Field::new(0u64)).unwrap()).collect();
        for (i, object) in (1..).zip(&objects) {
            space.transaction(|tx| tx.set(object.root(), i)).unwrap();
        }
        space
            .transaction(|tx| {
                objects
                    .iter()
                    .take(500)
                    .try_for_each(|object| tx.set(object.root(), tx.get(object.root())? + 10_000))
            })
            .unwrap();
        for (i, object) in (1..).zip(&objects) {
            let more = if i <= 500 { 10_000 } else { 0 };
            assert_eq!(object.root().get(), i + more);
        }
        let failed =
            space.transaction(|tx| objects.iter().try_for_each(|object| tx.set(object.root(), 0)));
        assert!(matches!(failed, Err(Error::Unsupported(why)) if why.contains("objects")));
        assert_eq!(objects[0].root().get(), 10_001);
    }
}

#[test]
fn who_has_the_lock_already_goes_on_with_it() {
    let (_pool, space) = scene(Durability::Process);
    let a = space.create(root()).unwrap();
    let writer = a.lock().unwrap();
    space.transaction(|tx| tx.set(&a.root().words[0], 1)).unwrap();
    assert!(matches!(a.lock(), Err(Error::Busy { .. })), "that would wait for itself");
    drop(writer);
    drop(a.lock().unwrap());
    assert!(matches!(
        space.transaction(|tx| tx.set(&Field::new(1u64), 2)),
        Err(Error::NotInObject)
    ));
    let read = space.open_object_read::<Root>(a.id()).unwrap();
    drop(a);
    assert!(matches!(
        space.transaction(|tx| tx.set(&read.root().words[0], 2)),
        Err(Error::Denied { .. })
    ));
}

#[test]
fn an_objects_lock_is_held_by_one() {
    let (pool, space) = scene(Durability::Process);
    let (a, b) = (space.create(root()).unwrap(), space.create(root()).unwrap());
    let held = a.lock().unwrap();
    drop(b.lock().unwrap());
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for other in [space.clone(), pool.open()] {
            let (told, id) = (told.clone(), a.id());
            scope.spawn(move || {
                let a = other.open_object::<Root>(id).unwrap();
                let held = a.lock().unwrap();
                told.send(()).unwrap();
                drop(held);
            });
        }
        let wait = std::time::Duration::from_millis(100);
        assert!(heard.recv_timeout(wait).is_err(), "two hold the lock");
        drop(held);
        (0..2).for_each(|_| heard.recv().unwrap());
    });
}

/// Money goes round between accounts that the threads choose in any order.
#[test]
fn threads_and_spaces_transfer_in_any_order() {
    const ACCOUNTS: usize = 8;
    for durability in BOTH {
        let (pool, space) = scene(durability);
        let accounts: Vec<_> =
            (0..ACCOUNTS).map(|_| space.create(Field::new(1000u64)).unwrap()).collect();
        let ids: Vec<_> = accounts.iter().map(Object::id).collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (pool, space, ids, stop) = (&pool, space.clone(), &ids, &stop);
                scope.spawn(move || {
                    // Two of the threads are as other processes.
                    let space = if thread % 2 == 0 { space } else { pool.open() };
                    space.set_durability(durability);
                    let mine: Vec<_> = ids
                        .iter()
                        .map(|&id| space.open_object::<Field<u64>>(id).unwrap())
                        .collect();
                    let mut rng = common::Rng(thread + 1);
                    for _ in 0..3000 {
                        let [from, to] = [rng.next(), rng.next()].map(|n| n as usize % ACCOUNTS);
                        let done = space.transaction(|tx| {
                            let (from, to) = (mine[from].root(), mine[to].root());
                            let amount = (rng.next() % 50).min(tx.get(from)?);
                            tx.set(from, tx.get(from)? - amount)?;
                            tx.set(to, tx.get(to)? + amount)?;
                            if rng.next().is_multiple_of(10) { no() } else { Ok(()) }
                        });
                        assert!(
                            matches!(done, Ok(()) | Err(Error::Unsupported("on purpose"))),
                            "{done:?}"
                        );
                    }
                    stop.store(true, Ordering::Relaxed);
                });
            }
        });
        assert!(stop.into_inner());
        let sum: u64 = accounts.iter().map(|account| account.root().get()).sum();
        assert_eq!(sum, 1000 * ACCOUNTS as u64);
    }
}

#[test]
fn objects_named_up_front_are_waited_for_in_one_order() {
    let (_pool, space) = scene(Durability::Process);
    let (a, b) = (space.create(Field::new(0u64)).unwrap(), space.create(Field::new(0u64)).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (space, a, b) = (&space, &a, &b);
            scope.spawn(move || {
                for _ in 0..2000 {
                    let objects: [&dyn twz::Member; 2] =
                        if thread % 2 == 0 { [a, b] } else { [b, a] };
                    let mut rounds = 0;
                    space
                        .transaction_over(&objects, |tx| {
                            rounds += 1;
                            tx.set(a.root(), tx.get(a.root())? + 1)?;
                            tx.set(b.root(), tx.get(b.root())? + 1)
                        })
                        .unwrap();
                    assert_eq!(rounds, 1, "nothing to begin anew for");
                }
            });
        }
    });
    assert_eq!((a.root().get(), b.root().get()), (6000, 6000));
}

#[derive(Clone, Debug)]
enum Step {
    Set(usize, u64),
    SetByte(usize, u8),
    Record(usize),
    InPlace(usize, u64),
    Nested(Vec<Step>, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = prop_oneof![
        (0..16usize, any::<u64>()).prop_map(|(i, v)| Step::Set(i, v)),
        (0..64usize, any::<u8>()).prop_map(|(i, v)| Step::SetByte(i, v)),
        (0..16usize).prop_map(Step::Record),
        (0..16usize, any::<u64>()).prop_map(|(i, v)| Step::InPlace(i, v)),
    ];
    leaf.prop_recursive(3, 40, 8, |inner| {
        (prop::collection::vec(inner, 0..8), any::<bool>()).prop_map(|(s, ok)| Step::Nested(s, ok))
    })
}

type Model = ([u64; 16], [u8; 64]);

fn play(tx: &twz::Tx<'_>, root: &Root, steps: &[Step], model: &mut Model) -> twz::Result<()> {
    for step in steps {
        match step {
            Step::Set(i, v) => {
                tx.set(&root.words[*i], *v)?;
                model.0[*i] = *v;
            }
            Step::SetByte(i, v) => {
                tx.set(&root.bytes[*i], *v)?;
                model.1[*i] = *v;
            }
            Step::Record(i) => tx.record(&root.words[*i])?,
            Step::InPlace(i, v) => {
                tx.record(&root.words[*i])?;
                root.words[*i].set(*v)?;
                model.0[*i] = *v;
            }
            Step::Nested(inner, ok) => {
                let before = *model;
                let done = tx.nested(|tx| {
                    play(tx, root, inner, model)?;
                    if *ok { Ok(()) } else { no() }
                });
                if done.is_err() {
                    *model = before;
                }
            }
        }
        for (i, field) in root.words.iter().enumerate() {
            assert_eq!(tx.get(field)?, model.0[i], "{step:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn as_a_model_says(
        all in prop::collection::vec((prop::collection::vec(step(), 0..12), any::<bool>()), 1..6),
        power in any::<bool>(),
    ) {
        let (_pool, space) = scene(if power { Durability::Power } else { Durability::Process });
        let object = space.create(root()).unwrap();
        let mut model: Model = ([0; 16], [0; 64]);
        for (steps, ok) in all {
            let before = model;
            let done = space.transaction(|tx| {
                play(tx, object.root(), &steps, &mut model)?;
                if ok { Ok(()) } else { no() }
            });
            if done.is_err() {
                model = before;
            }
            prop_assert_eq!(words(&object), model.0.to_vec());
            let bytes: Vec<u8> = object.root().bytes.iter().map(Field::get).collect();
            prop_assert_eq!(bytes, model.1.to_vec());
        }
    }
}
