// SPDX-License-Identifier: MIT OR Apache-2.0
//! Containers in transactions, and containers whose every change survives a
//! power cut: against models, and with readers beside them.

mod common;

use std::{
    collections::{BTreeMap as Tree, HashMap as Map},
    sync::atomic::{AtomicBool, Ordering},
};

use common::{Rng, TempPool as Pool};
use twz::{Durability, Error, Object, Persist, Space, Writer, collections};

#[derive(Persist)]
#[repr(C)]
struct All {
    map: collections::HashMap<u32, [u64; 2]>,
    tree: collections::BTreeMap<u64, [u16; 5]>,
    vec: collections::Vec<[u32; 3]>,
    text: collections::String,
}

fn make(space: &Space) -> Object<All> {
    let object = space.create(All {
        map: collections::HashMap::new(),
        tree: collections::BTreeMap::new(),
        vec: collections::Vec::new(),
        text: collections::String::new(),
    });
    object.unwrap()
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    map: Map<u32, [u64; 2]>,
    tree: Tree<u64, [u16; 5]>,
    vec: Vec<[u32; 3]>,
    text: String,
}

/// One change, of the container and of the model.
fn step(all: &All, w: &Writer<'_, All>, model: &mut Model, rng: &mut Rng) -> twz::Result<()> {
    let (key, n) = (rng.next() % 60, rng.next());
    match rng.next() % 12 {
        0..=2 => {
            let new = all.map.insert(w, key as u32, [n; 2])?;
            assert_eq!(new, model.map.insert(key as u32, [n; 2]).is_none());
        }
        3 => assert_eq!(all.map.remove(w, &(key as u32))?, model.map.remove(&(key as u32))),
        4..=6 => {
            let new = all.tree.insert(w, key, [n as u16; 5])?;
            assert_eq!(new, model.tree.insert(key, [n as u16; 5]).is_none());
        }
        7 => assert_eq!(all.tree.remove(w, &key)?, model.tree.remove(&key)),
        8 | 9 => {
            all.vec.push(w, [n as u32; 3])?;
            model.vec.push([n as u32; 3]);
        }
        10 => assert_eq!(all.vec.pop(w)?, model.vec.pop()),
        _ if n % 20 == 0 => {
            all.map.clear(w)?;
            all.text.set(w, "anew")?;
            model.map.clear();
            model.text = "anew".into();
        }
        _ => {
            all.text.push_str(w, "text ")?;
            model.text.push_str("text ");
        }
    }
    Ok(())
}

fn look(all: &All) -> Model {
    let model = Model {
        map: all.map.iter().map(Result::unwrap).collect(),
        tree: all.tree.iter().map(Result::unwrap).collect(),
        vec: all.vec.to_vec().unwrap(),
        text: all.text.get().unwrap(),
    };
    for (key, value) in &model.map {
        assert_eq!(all.map.get(key).unwrap(), Some(*value));
    }
    assert_eq!(all.map.len().unwrap(), model.map.len() as u64);
    assert_eq!(all.tree.len().unwrap(), model.tree.len() as u64);
    model
}

#[test]
fn they_are_as_the_models_within_and_after() {
    for durability in [Durability::Process, Durability::Power] {
        let pool = Pool::in_memory();
        let space = pool.open();
        space.set_durability(durability);
        let object = make(&space);
        let all = object.root();
        let (mut model, mut rng) = (Model::default(), Rng(5));
        for round in 0..300 {
            let before = model.clone();
            let (steps, end) = (rng.next() % 30, rng.next() % 3);
            let done = space.transaction(|tx| {
                let w = tx.lock(&object)?;
                for _ in 0..steps {
                    step(all, &w, &mut model, &mut rng)?;
                }
                assert!(look(all) == model, "{round}: not its own");
                let saved = model.clone();
                let inner = tx.nested(|_| {
                    step(all, &w, &mut model, &mut rng)?;
                    Err::<(), _>(Error::Unsupported("on purpose"))
                });
                assert!(inner.is_err());
                model = saved;
                assert!(look(all) == model, "{round}: an inner one stayed");
                if end == 0 { Err(Error::Unsupported("on purpose")) } else { Ok(()) }
            });
            assert_eq!(done.is_err(), end == 0, "{done:?}");
            if end == 0 {
                model = before;
            }
            assert!(look(all) == model, "{round}: {durability:?}");
            // Alone, between them.
            let w = object.lock().unwrap();
            step(all, &w, &mut model, &mut rng).unwrap();
            drop(w);
            assert!(look(all) == model, "{round}: alone, {durability:?}");
        }
        drop(space);
        let again = pool.open();
        assert!(look(again.open_object::<All>(object.id()).unwrap().root()) == model);
        // Nothing is lost: what is empty takes no memory but for a vector's.
        let w = object.lock().unwrap();
        all.map.clear(&w).unwrap();
        all.tree.clear(&w).unwrap();
        assert!(object.heap().check().unwrap().blocks <= 2);
    }
}

/// Readers, of this process and as of another one, never see half a transaction.
#[test]
fn readers_see_all_of_a_change_or_nothing() {
    for durability in [Durability::Process, Durability::Power] {
        let pool = Pool::in_memory();
        let space = pool.open();
        space.set_durability(durability);
        let object = make(&space);
        let (stop, id) = (AtomicBool::new(false), object.id());
        std::thread::scope(|scope| {
            for other in [false, true] {
                let (space, pool, stop) = (space.clone(), &pool, &stop);
                scope.spawn(move || {
                    let space = if other { pool.open() } else { space };
                    let object = space.open_object::<All>(id).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        let all: Vec<[u32; 3]> = object.root().vec.to_vec().unwrap();
                        assert!(all.len().is_multiple_of(3), "{} of three", all.len());
                        assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
                    }
                });
            }
            for n in 0..400u32 {
                let done = space.transaction(|tx| {
                    let w = tx.lock(&object)?;
                    let vec = &object.root().vec;
                    for i in 0..vec.len()? {
                        vec.set(&w, i, [n; 3])?;
                    }
                    (0..3).try_for_each(|_| vec.push(&w, [n; 3]))?;
                    if n % 7 == 0 { Err(Error::Unsupported("on purpose")) } else { Ok(()) }
                });
                assert_eq!(done.is_err(), n % 7 == 0, "{done:?}");
                if n % 20 == 19 {
                    let w = object.lock().unwrap();
                    object.root().vec.clear(&w).unwrap();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// The contents in an object of their own: that is locked, too.
#[test]
fn contents_elsewhere_take_part() {
    for durability in [Durability::Process, Durability::Power] {
        let pool = Pool::in_memory();
        let space = pool.open();
        space.set_durability(durability);
        let (object, contents) = (make(&space), make(&space));
        let map = &object.root().map;
        map.set_home(&object.lock().unwrap(), &contents).unwrap();
        let failed = space.transaction(|tx| {
            let w = tx.lock(&object)?;
            (0..50).try_for_each(|i| map.insert(&w, i, [i as u64; 2]).map(drop))?;
            assert_eq!(map.get(&49)?, Some([49; 2]));
            Err::<(), _>(Error::Unsupported("on purpose"))
        });
        assert!(matches!(failed, Err(Error::Unsupported("on purpose"))), "{failed:?}");
        assert_eq!((map.len().unwrap(), contents.heap().check().unwrap().blocks), (0, 0));
        space
            .transaction(|tx| {
                let w = tx.lock(&object)?;
                (0..50).try_for_each(|i| map.insert(&w, i, [i as u64; 2]).map(drop))
            })
            .unwrap();
        assert_eq!(map.get(&49).unwrap(), Some([49; 2]));
        assert_eq!(contents.heap().check().unwrap().blocks, 1);
    }
}

#[test]
fn a_writer_of_ones_own_is_no_part_of_a_transaction() {
    let pool = Pool::in_memory();
    let space = pool.open();
    space.set_durability(Durability::Power);
    let (a, b) = (make(&space), make(&space));
    space
        .transaction(|tx| {
            let w = tx.lock(&a)?;
            a.root().map.insert(&w, 1, [1; 2])?;
            let own = b.lock()?;
            let refused = b.root().map.insert(&own, 1, [1; 2]);
            assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
            Ok(())
        })
        .unwrap();
    assert_eq!((a.root().map.len().unwrap(), b.root().map.len().unwrap()), (1, 0));
}
