// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pointers by key: against a model, under readers that look while it is rebuilt,
//! with writers that are killed, and with any bytes at all in it.

mod common;

use std::{
    cell::Cell,
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use common::{Rng, TempPool as Pool, child, kill_some};
use twz::{
    Durability, Error, Field, NewObject, Object, Persist, Ptr, Record, Records, Space, Writer,
    collections::PtrMap,
};

type Map<const W: usize> = PtrMap<Record, W>;

struct Store<const W: usize> {
    index: Object<Map<W>>,
    data: Object<Records>,
}

impl<const W: usize> Store<W> {
    fn new(space: &Space) -> Self {
        let data = space.create_records(&NewObject::default()).unwrap();
        Self { index: space.create(PtrMap::new()).unwrap(), data }
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.index.root().with(key, Ptr::bytes).unwrap().flatten()
    }

    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let (next, found) = self.index.root().walk(from, Ptr::bytes).unwrap();
            all.extend(found.into_iter().map(|(k, v)| (k, v.unwrap().unwrap().to_vec())));
            from = next;
            if from == 0 {
                return all;
            }
        }
    }
}

/// Few enough that they meet, of lengths around what fits in a slot.
fn key(n: u64) -> Vec<u8> {
    let len = [8, 8, 8, 16, 16, 0, 1, 7, 9, 15, 17, 40, 300][n as usize % 13];
    n.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// The same, each of its own: at least 7 bytes.
fn own_key(n: u64) -> Vec<u8> {
    if key(n).len() < 7 { [b"number ", &n.to_le_bytes()[..]].concat() } else { key(n) }
}

fn against_a_model<const W: usize>(seed: u64) {
    let pool = Pool::in_memory();
    let space = pool.open();
    let store = Store::<W>::new(&space);
    let (mut model, mut rng) = (HashMap::<Vec<u8>, Vec<u8>>::new(), Rng(seed));
    let (map, w) = (store.index.root(), store.index.lock().unwrap());
    for round in 0..8_000u64 {
        let key = key(rng.next() % 3000);
        match rng.next() % 8 {
            0..4 => {
                let value = round.to_le_bytes()[..rng.next() as usize % 9].to_vec();
                let record = store.data.append(&value).unwrap();
                let new = map.insert(&w, &key, record).unwrap();
                assert_eq!(new, model.insert(key, value).is_none());
            }
            4..6 => {
                assert_eq!(map.remove(&w, &key).unwrap(), model.remove(&key).is_some());
                assert!(!map.contains_key(&key).unwrap());
            }
            _ => assert_eq!(store.get(&key), model.get(&key).map(|value| &value[..])),
        }
        assert_eq!(map.len(), model.len() as u64);
    }
    drop(w);
    let all: HashMap<_, _> = store.all().into_iter().collect();
    assert_eq!(all, model);
    store.index.heap().check().unwrap();
    let id = store.index.id();
    drop((store, space));
    let index = pool.open().open_object::<Map<W>>(id).unwrap();
    for (key, value) in &model {
        assert_eq!(index.root().get(key).unwrap().unwrap().bytes().unwrap(), value);
    }
}

#[test]
fn it_does_what_a_map_does() {
    against_a_model::<1>(1);
    against_a_model::<2>(2);
    against_a_model::<5>(3);
}

#[test]
fn under_power_it_does_the_same() {
    let pool = Pool::in_memory();
    let space = pool.open();
    space.set_durability(Durability::Power);
    let store = Store::<1>::new(&space);
    let w = store.index.lock().unwrap();
    for n in 0..2000u64 {
        store.index.root().insert(&w, &key(n), store.data.append(&key(n)).unwrap()).unwrap();
    }
    for n in 0..2000 {
        assert_eq!(store.get(&key(n)), Some(&key(n)[..]));
    }
}

/// Batches with keys of all lengths, some that are there and some that come twice.
fn in_batches(durability: Durability) {
    let pool = Pool::in_memory();
    let space = pool.open();
    space.set_durability(durability);
    let store = Store::<2>::new(&space);
    let (mut model, mut rng) = (HashMap::<Vec<u8>, Vec<u8>>::new(), Rng(77));
    let (map, w) = (store.index.root(), store.index.lock().unwrap());
    for round in 0..60u64 {
        let keys: Vec<_> = (0..rng.next() % 60).map(|_| key(rng.next() % 900)).collect();
        let values: Vec<_> =
            (0..keys.len()).map(|n| [round, n as u64].map(u64::to_le_bytes)).collect();
        let records = values.iter().map(|value| store.data.append(value.as_flattened()).unwrap());
        let pairs: Vec<_> = keys.iter().map(Vec::as_slice).zip(records).collect();
        map.insert_all(&w, &pairs).unwrap();
        for (key, value) in keys.into_iter().zip(values) {
            model.insert(key, value.as_flattened().to_vec());
        }
        if round % 3 == 0 {
            let gone: Vec<_> = model.keys().take(5).cloned().collect();
            for key in gone {
                assert!(map.remove(&w, &key).unwrap());
                model.remove(&key);
            }
        }
        assert_eq!(map.len(), model.len() as u64);
    }
    assert!(model.len() > 400);
    assert_eq!(store.all().into_iter().collect::<HashMap<_, _>>(), model);
    map.insert_all(&w, &[]).unwrap();
    // What cannot be pointed to leaves no key behind.
    let plain = space.create(PtrMap::<Field<u64>, 2>::new()).unwrap();
    let (w, key, here) = (plain.lock().unwrap(), [b'k'; 16], plain.alloc(Field::new(7)).unwrap());
    let (both, nowhere) = ([[b'l'; 16], key], Field::new(8));
    let pairs = [(&both[0][..], here), (&both[1][..], &nowhere)];
    assert!(matches!(plain.root().insert_all(&w, &pairs), Err(Error::NotInObject)));
    assert!(!plain.root().contains_key(&key).unwrap());
    plain.root().insert_all(&w, &[(&key, here)]).unwrap();
    assert_eq!(plain.root().get(&key).unwrap().map(Field::get), Some(7));
    let there = both.iter().filter(|key| plain.root().contains_key(*key).unwrap()).count();
    assert_eq!(plain.root().len(), there as u64);
}

#[test]
fn many_at_once_are_as_one_after_the_other() {
    in_batches(Durability::Process);
}

#[test]
fn and_so_are_many_at_once_under_power() {
    in_batches(Durability::Power);
}

#[test]
fn a_map_of_another_width_is_another_type() {
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Map::<1>::new()).unwrap().id();
    assert!(matches!(space.open_object::<Map<2>>(id), Err(Error::WrongType { .. })));
}

#[test]
fn it_is_changed_by_the_writer_of_its_object_and_in_no_transaction() {
    let pool = Pool::new();
    let space = pool.open();
    let (mine, other) = (Store::<1>::new(&space), Store::<1>::new(&space));
    let record = mine.data.append(b"x").unwrap();
    let w = other.index.lock().unwrap();
    assert!(matches!(mine.index.root().insert(&w, b"k", record), Err(Error::NotInObject)));
    drop(w);
    let done = space.transaction(|tx| {
        let w = tx.lock(&mine.index)?;
        mine.index.root().insert(&w, b"k", record).map(|_| ())
    });
    assert!(matches!(done, Err(Error::Unsupported(_))), "{done:?}");
    assert!(mine.index.root().is_empty() && mine.get(b"k").is_none());
}

/// Readers of other spaces, as other processes are, while it is rebuilt again and
/// again: a key that is there is found, with a value that was its own.
#[test]
fn readers_find_what_is_there_while_it_is_rebuilt() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let store = Store::<1>::new(&space);
    let done = AtomicBool::new(false);
    let (there, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (pool, done, there, reads) = (&pool, &done, &there, &reads);
            let id = store.index.id();
            scope.spawn(move || {
                let space = pool.open();
                let index = space.open_object::<Map<1>>(id).unwrap();
                let mut rng = Rng(reader + 5);
                while !done.load(Ordering::Relaxed) {
                    let most = there.load(Ordering::Acquire);
                    let n = rng.next() % (most + 10);
                    let seen = index.root().with(&own_key(n), Ptr::bytes).unwrap().flatten();
                    match seen {
                        Some(value) => assert_eq!(&value[..8], n.to_le_bytes(), "another's value"),
                        None => assert!(n >= most, "key {n} of {most} is not found"),
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let w = store.index.lock().unwrap();
        for n in 0..20_000u64 {
            // Some of them twice, of which the second is as good.
            for n in [n, n / 2] {
                let value = [n.to_le_bytes(), [n as u8; 8]].concat();
                store
                    .index
                    .root()
                    .insert(&w, &own_key(n), store.data.append(&value).unwrap())
                    .unwrap();
            }
            there.store(n, Ordering::Release);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 1000);
}

/// A search ends at a free slot, which may be another key's a moment later. Each key
/// here takes one of the few that a table of the smallest size has.
#[test]
fn a_key_that_is_not_there_is_never_found_as_another() {
    let pool = Pool::in_memory();
    let store = Store::<1>::new(&pool.open());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for n in 0..16 {
                    assert_eq!(store.get(format!("absent{n:02}").as_bytes()), None);
                }
            }
        });
        let value = store.data.append(b"of another key").unwrap();
        let writer = store.index.lock().unwrap();
        for n in 0..400_000u64 {
            store.index.root().insert(&writer, &n.to_le_bytes(), value).unwrap();
            store.index.root().remove(&writer, &n.to_le_bytes()).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_walk_sees_all_that_is_there_from_beginning_to_end() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let store = Store::<1>::new(&space);
    let record = store.data.append(b"x").unwrap();
    let w = store.index.lock().unwrap();
    let map = store.index.root();
    let mut next = 0..u64::MAX;
    for _ in 0..500 {
        map.insert(&w, &own_key(next.next().unwrap()), record).unwrap();
    }
    let (mut from, mut seen) = (0, HashMap::new());
    let mut steps = 0;
    loop {
        let (after, found) = map.walk(from, |_| ()).unwrap();
        for (key, ()) in found {
            *seen.entry(key).or_insert(0) += 1;
        }
        // It grows to many times what it was, and keys go.
        for _ in 0..if steps < 10 { 1000 } else { 0 } {
            let n = next.next().unwrap();
            map.insert(&w, &own_key(n), record).unwrap();
            if n % 3 == 0 {
                map.remove(&w, &own_key(n)).unwrap();
            }
        }
        (from, steps) = (after, steps + 1);
        if from == 0 || steps > 1000 {
            break;
        }
    }
    assert!(steps > 20 && steps < 1000, "{steps} steps");
    for n in 0..500 {
        assert!(seen.contains_key(&own_key(n)), "key {n} was there all the while");
    }
}

/// Has the map's table rebuilt, perhaps as a smaller one: keys come and go, of
/// which no more than `slots` can.
fn churn(store: &Store<1>, w: &Writer<'_, Map<1>>, rng: &mut Rng, slots: u64) {
    let (map, record) = (store.index.root(), store.data.append(b"passing by").unwrap());
    for _ in 0..slots {
        let key = (rng.next() | 1 << 60).to_le_bytes();
        map.insert(w, &key, record).unwrap();
        map.remove(w, &key).unwrap();
    }
}

/// A map of `keys`, each of which leads to itself.
fn selves(store: &Store<1>, w: &Writer<'_, Map<1>>, keys: u64) {
    for n in 0..keys {
        let key = n.to_le_bytes();
        store.index.root().insert(w, &key, store.data.append(&key).unwrap()).unwrap();
    }
}

/// Between the two looks at the word that leads to the table, that table goes, and
/// its memory is another's: what was made of it does not count.
#[test]
fn what_is_seen_in_a_table_that_has_gone_does_not_count() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let store = Store::<1>::new(&space);
    let (map, w) = (store.index.root(), store.index.lock().unwrap());
    selves(&store, &w, 30);
    let mut rng = Rng(3);
    let (stale, mut again) = (Cell::new(0), 0);
    for round in 0..200 {
        let key = (round % 30u64).to_le_bytes();
        let calls = Cell::new(0u32);
        let look = |ptr: &Ptr<Record>| {
            calls.set(calls.get() + 1);
            let bytes = || ptr.bytes().map(|seen| seen.map(<[u8]>::to_vec));
            let is_own = || matches!(bytes(), Ok(Some(seen)) if seen == key);
            if calls.get() == 1 {
                // Up to a key that is kept where the table was.
                for n in (0..40).take_while(|_| is_own()) {
                    churn(&store, &w, &mut Rng(round << 8 | n | 1), 60);
                    let long = (round << 8 | n | 0xff << 56).to_le_bytes().repeat(383);
                    map.insert(&w, &long, store.data.append(b"long").unwrap()).unwrap();
                    map.remove(&w, &long).unwrap();
                }
                stale.set(stale.get() + !is_own() as u32);
            }
            bytes()
        };
        assert_eq!(map.with(&key, look).unwrap().flatten().unwrap(), key);
        again += (calls.get() > 1) as u32;
        churn(&store, &w, &mut rng, 1 + round % 50);
    }
    let stale = stale.get();
    assert!(again == 200 && stale > 100, "{again} looked again, {stale} saw another's");
}

/// The same with readers that are wherever they are when a table goes.
#[test]
fn readers_find_what_is_there_while_tables_come_and_go() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let store = Store::<1>::new(&space);
    let w = store.index.lock().unwrap();
    selves(&store, &w, 30);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (pool, id, done) = (&pool, store.index.id(), &done);
            scope.spawn(move || {
                let space = pool.open();
                let index = space.open_object::<Map<1>>(id).unwrap();
                let mut rng = Rng(reader + 5);
                while !done.load(Ordering::Relaxed) {
                    let key = (rng.next() % 30).to_le_bytes();
                    let seen = index.root().with(&key, Ptr::bytes).unwrap().flatten();
                    assert_eq!(seen, Some(&key[..]));
                }
            });
        }
        let mut rng = Rng(9);
        for round in 0..2000 {
            churn(&store, &w, &mut rng, 40);
            if round % 7 == 0 {
                store.index.root().reserve(&w, 100 + rng.next() % 400).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Keys that lie beyond the place that a walk parts at, or before it since the table
/// was full at its end, are elsewhere in the next table.
#[test]
fn a_walk_parts_where_no_key_can_cross() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let mut rng = Rng(11);
    for round in 0..300u64 {
        let store = Store::<1>::new(&space);
        let (map, w) = (store.index.root(), store.index.lock().unwrap());
        // A full table that will grow, and a sparse one that will shrink or stay.
        map.reserve(&w, [290, 1500, 1500][round as usize % 3]).unwrap();
        selves(&store, &w, 290);
        let (mut from, mut seen, mut steps) = (0, HashMap::new(), 0);
        let change = if round % 3 == 0 { 1 + rng.next() % 5 } else { 15 + rng.next() % 15 };
        loop {
            let (next, found) = map.walk(from, Ptr::bytes).unwrap();
            for (key, value) in found {
                assert_eq!(value.unwrap().unwrap(), key);
                *seen.entry(key).or_insert(0) += 1;
            }
            (from, steps) = (next, steps + 1);
            if from == 0 {
                break;
            }
            if steps == change {
                match round % 3 {
                    0 => map.reserve(&w, 3000).unwrap(),
                    1 => churn(&store, &w, &mut rng, 1300),
                    _ => {}
                }
            }
        }
        for n in 0..290u64 {
            let times = seen.get(&n.to_le_bytes()[..]).copied().unwrap_or(0);
            let most = if round % 3 == 2 { 1 } else { 2 };
            assert!((1..=most).contains(&times), "round {round}: key {n} is seen {times} times");
        }
    }
}

#[test]
fn child_inserts() {
    let Some((pool, id)) = child("child_inserts") else { return };
    let space = Space::open(pool).unwrap();
    let index = space.open_object::<Map<1>>(id).unwrap();
    let data = space.create_records(&NewObject::default()).unwrap();
    let mut rng = Rng(std::process::id() as u64 | 1);
    loop {
        let w = index.lock().unwrap();
        for _ in 0..100 {
            let key = key(rng.next() % 5000);
            match rng.next() % 3 {
                0 => drop(index.root().remove(&w, &key).unwrap()),
                _ => {
                    let value = [&key[..], &[rng.next() as u8; 50]].concat();
                    index.root().insert(&w, &key, data.append(&value).unwrap()).unwrap();
                }
            }
        }
    }
}

#[test]
fn child_inserts_many() {
    let Some((pool, id)) = child("child_inserts_many") else { return };
    let space = Space::open(pool).unwrap();
    space.set_durability(Durability::Power);
    let index = space.open_object::<Map<1>>(id).unwrap();
    let data = space.create_records(&NewObject::default()).unwrap();
    let mut rng = Rng(std::process::id() as u64 | 1);
    loop {
        let keys: Vec<_> = (0..50).map(|_| key(rng.next() % 5000)).collect();
        let value = |key: &Vec<u8>, byte| [&key[..], &[byte; 50]].concat();
        let values = keys.iter().map(|key| value(key, rng.next() as u8)).collect::<Vec<_>>();
        let records = values.iter().map(|value| data.append(value).unwrap());
        let pairs: Vec<_> = keys.iter().map(Vec::as_slice).zip(records).collect();
        let w = index.lock().unwrap();
        index.root().insert_all(&w, &pairs).unwrap();
        for key in &keys[..20] {
            index.root().remove(&w, key).unwrap();
        }
    }
}

#[test]
fn a_killed_writer_leaves_each_key_as_before_or_after() {
    killed("child_inserts");
}

#[test]
fn and_so_does_one_that_sets_many_at_once() {
    killed("child_inserts_many");
}

fn killed(writer: &str) {
    let pool = Pool::in_memory();
    let space = pool.open();
    let store = Store::<1>::new(&space);
    for _ in 0..10 {
        kill_some(writer, pool.path(), store.index.id(), 2);
        let all = store.all();
        for (key, value) in &all {
            assert_eq!(&value[..key.len()], key);
            assert!(value[key.len()..].iter().all(|byte| *byte == value[key.len()]));
        }
        // The next change counts anew where that is needed.
        let w = store.index.lock().unwrap();
        store.index.root().remove(&w, b"no such key").unwrap();
        assert_eq!(store.index.root().len(), all.len() as u64);
    }
    store.index.heap().check().unwrap();
}

#[test]
fn hostile_bytes_are_errors() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let mut rng = Rng(77);
    let mut errors = 0;
    for round in 0..60 {
        let store = Store::<1>::new(&space);
        let record = store.data.append(b"x").unwrap();
        let (map, w) = (store.index.root(), store.index.lock().unwrap());
        for n in 0..300 {
            map.insert(&w, &key(n), record).unwrap();
        }
        let size = store.index.len().unwrap();
        for _ in 0..1 + rng.next() % 40 {
            let at = match round % 3 {
                0 => rng.next() % size_of::<Map<1>>() as u64,
                1 => 131_072 - 4096 + rng.next() % (size + 4096 - 131_072),
                _ => rng.next() % size,
            };
            let word = match rng.next() % 4 {
                0 => rng.next() << 8,
                1 => rng.next() % (size + 8192) / 16 * 16,
                2 => u64::MAX,
                _ => rng.next() % 40,
            };
            store.index.write((at / 8 * 8).min(size - 8), &word.to_le_bytes()).unwrap();
        }
        for n in 0..400 {
            errors += map.with(&key(n), Ptr::bytes).is_err() as u32;
            errors += map.insert(&w, &key(n), record).is_err() as u32;
            errors += map.remove(&w, &key(n / 2)).is_err() as u32;
        }
        let mut from = 0;
        for _ in 0..1000 {
            from = map.walk(from, Ptr::bytes).map_or(0, |(next, _)| next);
            if from == 0 {
                break;
            }
        }
    }
    assert!(errors > 100, "{errors} errors");
}

/// A map needs not be the root, nor lead to records, nor out of its object.
#[test]
fn it_is_a_field_like_any_other() {
    #[derive(Persist)]
    #[repr(C)]
    struct Root {
        number: Field<u64>,
        map: PtrMap<Field<u64>, 3>,
    }
    let pool = Pool::new();
    let space = pool.open();
    let object = space.create(Root { number: Field::new(7), map: PtrMap::new() }).unwrap();
    let root = object.root();
    let w = object.lock().unwrap();
    root.map.insert(&w, b"itself", &root.number).unwrap();
    root.map.insert(&w, b"apart", object.alloc(Field::new(8)).unwrap()).unwrap();
    let value = |key: &[u8]| root.map.get(key).unwrap().map(Field::get);
    assert_eq!((value(b"itself"), value(b"apart"), value(b"")), (Some(7), Some(8), None));
    root.map.reserve(&w, 100_000).unwrap();
    assert!(matches!(root.map.reserve(&w, u64::MAX), Err(Error::ObjectFull { .. })));
    assert_eq!((value(b"itself"), value(b"apart")), (Some(7), Some(8)));
}

/// Counts that a medium has lost, or that somebody has written over.
#[test]
fn wrong_counts_are_found_out() {
    let pool = Pool::in_memory();
    let space = pool.open();
    // Bytes before a count in the data, and what it becomes.
    let (used, len) = ([16, 24], 32);
    for (at, wrong) in [(used[0], 0), (used[0], u64::MAX), (used[0], 1 << 20), (used[1], 0)]
        .into_iter()
        .chain([0, u64::MAX, 5000].map(|wrong| (len, wrong)))
    {
        let store = Store::<1>::new(&space);
        let value = store.data.append(b"there").unwrap();
        let key = |n: u64| if n & 1 == 0 { n.to_le_bytes().to_vec() } else { own_key(n) };
        let put = |n| store.index.root().insert(&store.index.lock().unwrap(), &key(n), value);
        for n in 0..1000 {
            assert!(put(n).unwrap());
        }
        let before = store.index.heap().report().unwrap();
        store.index.write(at, &wrong.to_le_bytes()).unwrap();
        assert!(put(1000).unwrap());
        if (at, wrong) != (len, 0) {
            assert_eq!(store.index.root().len(), 1001, "{wrong} at {at}");
        }
        assert_eq!(store.index.heap().report().unwrap(), before, "{wrong} at {at}: it has grown");
        for n in 1001..4000 {
            assert!(put(n).unwrap());
        }
        assert!((0..4000).all(|n| store.get(&key(n)).is_some()), "{wrong} at {at}");
        let (index, data) = (store.index.id(), store.data.id());
        drop(store);
        space.backend().delete(index).unwrap();
        space.backend().delete(data).unwrap();
    }
}
