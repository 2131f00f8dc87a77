// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many keys at once: what is set, and in which order it reaches the disk.

#[path = "../../../libtwz/tests/common/mod.rs"]
mod common;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    process::Command,
};

use common::{Rng, TempPool as Pool};
use twz::{Durability, Object, ObjectId, Space, crash_hooks};
use twzkvs::{Index, Kvs, Options};

#[test]
fn it_sets_what_many_puts_would() {
    let pool = Pool::in_memory();
    let space = pool.open();
    for durability in [Durability::Process, Durability::Power] {
        space.set_durability(durability);
        let kvs = Kvs::<2>::create(&space, &Options::default()).unwrap();
        let (mut model, mut rng) = (HashMap::new(), Rng(5));
        for round in 0..40u64 {
            let pairs: Vec<(Vec<u8>, Vec<u8>)> = (0..rng.next() % 60)
                .map(|i| {
                    let n = rng.next() % 300;
                    let key = format!("{n:0width$}", width = 1 + n as usize % 20).into_bytes();
                    (key, vec![(round + i) as u8; rng.next() as usize % 9000])
                })
                .collect();
            let borrowed: Vec<_> = pairs.iter().map(|(k, v)| (&k[..], &v[..])).collect();
            kvs.write().unwrap().put_all(&borrowed).unwrap();
            assert_eq!(space.durability(), durability);
            model.extend(pairs);
        }
        let all: HashMap<_, _> =
            kvs.iter().map(|pair| pair.map(|(k, v)| (k, v.to_vec())).unwrap()).collect();
        assert!(all == model);
        assert_eq!(kvs.len(), model.len() as u64);
    }
}

/// What was made to reach the disk, and how many of the values could be found then.
#[derive(Debug)]
enum Waited {
    For { start: usize, end: usize, seen: usize },
    Synced { object: ObjectId, seen: usize },
}

impl Waited {
    fn seen(&self) -> usize {
        match *self {
            Self::For { seen, .. } | Self::Synced { seen, .. } => seen,
        }
    }
}

thread_local! {
    static STORE: RefCell<Option<Kvs>> = const { RefCell::new(None) };
    static ROUND: Cell<u8> = const { Cell::new(0) };
    static WAITED: RefCell<Vec<Waited>> = const { RefCell::new(Vec::new()) };
}

const KEYS: usize = 40;

fn key(n: usize) -> [u8; 16] {
    let mut key = *b"key number 00000";
    key[14..].copy_from_slice(format!("{n:02}").as_bytes());
    key
}

/// How many keys have the value of this round.
fn seen() -> usize {
    STORE.with_borrow(|store| {
        let store = store.as_ref().unwrap();
        let has = |n: &usize| store.get(&key(*n)).unwrap().is_some_and(|v| v[0] == ROUND.get());
        (0..KEYS).filter(has).count()
    })
}

fn on_flush(address: usize, len: usize, _: crash_hooks::Line) {
    if ROUND.get() > 0 {
        let waited = Waited::For { start: address, end: address + len, seen: seen() };
        WAITED.with_borrow_mut(|all| all.push(waited));
    }
}

fn on_sync(object: ObjectId, _: crash_hooks::Line) {
    if ROUND.get() > 0 {
        WAITED.with_borrow_mut(|all| all.push(Waited::Synced { object, seen: seen() }));
    }
}

/// Sets all keys to values of so many bytes; what was waited for.
fn round(number: u8, len: usize) -> Vec<Waited> {
    ROUND.set(number);
    STORE.with_borrow(|store| {
        let (keys, value) = ((0..KEYS).map(key).collect::<Vec<_>>(), vec![number; len]);
        let pairs: Vec<_> = keys.iter().map(|key| (&key[..], &value[..])).collect();
        store.as_ref().unwrap().write().unwrap().put_all(&pairs).unwrap();
    });
    assert_eq!(seen(), KEYS);
    ROUND.set(0);
    WAITED.take()
}

/// Whether all values lie in this range.
fn has_values(start: usize, end: usize) -> bool {
    STORE.with_borrow(|store| {
        (0..KEYS).all(|n| {
            let value = store.as_ref().unwrap().get(&key(n)).unwrap().unwrap().as_ptr_range();
            start <= value.start as usize && value.end as usize <= end
        })
    })
}

#[test]
fn child_waits_for_values_and_then_for_pointers() {
    if std::env::var_os("TWZ_TEST_BATCH").is_none() {
        return;
    }
    let pool = Pool::new();
    let space: Space = pool.open();
    space.set_durability(Durability::Power);
    crash_hooks::observe(on_flush, |_| (), on_sync);
    let options = Options { capacity: 1000, ..Options::default() };
    let kvs = Kvs::<2>::create(&space, &options).unwrap();
    let (id, data) = (kvs.id(), kvs.data().unwrap()[0]);
    STORE.set(Some(kvs));

    // New ones: no pointer before all values are there.
    let waited = round(1, 20);
    let first = waited.iter().position(|one| match one {
        Waited::For { start, end, seen: 0 } => has_values(*start, *end),
        Waited::Synced { object, seen: 0 } => *object == data,
        _ => false,
    });
    assert_eq!(first, Some(0), "{waited:?}");
    // Then what the keys need, with no key to be seen, and the pointers of all at once.
    let counts: Vec<_> = waited.iter().map(Waited::seen).collect();
    let (last, before) = counts.split_last().unwrap();
    assert!((*last, before.len()) == (KEYS, 2) || (*last, before.len()) == (KEYS, 3), "{waited:?}");
    assert!(before.iter().all(|seen| *seen == 0), "{waited:?}");

    // Those that are there: twice, once for the values and once for the index.
    let waited = round(2, 20);
    let index: Object<Index<2>> = space.open_object(id).unwrap();
    let from = (&raw const *index.root()) as usize;
    let to = from + index.len().unwrap() as usize;
    match waited[..] {
        [
            Waited::For { start, end, seen: 0 },
            Waited::For { start: first, end: last, seen: KEYS },
        ] => {
            assert!(has_values(start, end));
            assert!(from <= first && last <= to);
        }
        _ => panic!("{waited:?}"),
    }

    // The data object has to grow: that it is so long, too.
    let waited = round(3, 9000);
    match waited[..] {
        [Waited::Synced { object, seen: 0 }, Waited::For { start, end, seen: KEYS }] => {
            assert_eq!(object, data);
            assert!(from <= start && end <= to);
        }
        _ => panic!("{waited:?}"),
    }
}

/// In a process of its own, whose pool is on a disk whatever it is on.
#[test]
fn it_waits_for_values_and_then_for_pointers() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child_waits_for_values_and_then_for_pointers", "--exact", "--nocapture"])
        .env("TWZ_TEST_BATCH", "1")
        .env("TWZ_PERSIST", "msync")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "it ran nothing");
}
