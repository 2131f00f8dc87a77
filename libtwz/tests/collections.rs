// SPDX-License-Identifier: MIT OR Apache-2.0
//! The containers: against std's as models, over reopening and across objects,
//! with readers that take no lock, with writers that are killed, and with bytes
//! that are not theirs.

mod common;

use std::{
    collections::{BTreeMap as StdTree, HashMap as StdMap},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use common::{Rng, TempPool as Pool, child, kill_some};
use proptest::prelude::*;
use twz::{Error, Field, Object, Persist, Ptr, Space, Writer, collections};

/// More than a word, not a multiple of one: a torn one shows.
#[derive(Persist, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Wide([u32; 5]);

impl Wide {
    fn of(n: u64) -> Self {
        Self([n as u32, n as u32 ^ 1, n as u32 ^ 2, n as u32 ^ 3, n as u32 ^ 4])
    }

    fn is_whole(&self) -> bool {
        *self == Self::of(self.0[0] as u64)
    }
}

#[derive(Persist)]
#[repr(C)]
struct All {
    vec: collections::Vec<Wide>,
    bytes: collections::Vec<u8>,
    text: collections::String,
    map: collections::HashMap<u64, Wide>,
    tree: collections::BTreeMap<u16, Wide>,
    counts: collections::BTreeMap<[u8; 3], u64>,
}

impl All {
    fn new() -> Self {
        Self {
            vec: collections::Vec::new(),
            bytes: collections::Vec::new(),
            text: collections::String::new(),
            map: collections::HashMap::new(),
            tree: collections::BTreeMap::new(),
            counts: collections::BTreeMap::new(),
        }
    }
}

#[derive(Default, Debug, PartialEq)]
struct Model {
    vec: Vec<Wide>,
    bytes: Vec<u8>,
    text: String,
    map: StdMap<u64, Wide>,
    tree: StdTree<u16, Wide>,
    counts: StdTree<[u8; 3], u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Pop,
    Set(usize, u64),
    Remove(usize),
    SwapRemove(usize),
    Extend(Vec<u8>),
    Reserve(u64),
    Text(String),
    Add(String),
    Insert(u64, u64),
    Take(u64),
    Clear(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u64..300;
    prop_oneof![
        6 => any::<u64>().prop_map(Step::Push),
        2 => Just(Step::Pop),
        2 => (any::<usize>(), any::<u64>()).prop_map(|(at, n)| Step::Set(at, n)),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => any::<usize>().prop_map(Step::SwapRemove),
        2 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Extend),
        1 => (0u64..50).prop_map(Step::Reserve),
        1 => ".{0,20}".prop_map(Step::Text),
        2 => ".{0,20}".prop_map(Step::Add),
        24 => (key.clone(), any::<u64>()).prop_map(|(key, n)| Step::Insert(key, n)),
        12 => key.prop_map(Step::Take),
        1 => (0u8..60).prop_map(Step::Clear),
        1 => Just(Step::Reopen),
    ]
}

fn triple(key: u64) -> [u8; 3] {
    [(key % 3) as u8, (key / 7) as u8, key as u8]
}

fn perform(all: &All, w: &Writer<'_, All>, model: &mut Model, step: &Step) {
    let pick = |at: usize| (!model.vec.is_empty()).then(|| at % model.vec.len());
    match step {
        Step::Push(n) => {
            all.vec.push(w, Wide::of(*n)).unwrap();
            model.vec.push(Wide::of(*n));
        }
        Step::Pop => assert_eq!(all.vec.pop(w).unwrap(), model.vec.pop()),
        Step::Set(at, n) => match pick(*at) {
            Some(at) => {
                all.vec.set(w, at as u64, Wide::of(*n)).unwrap();
                model.vec[at] = Wide::of(*n);
            }
            None => assert!(all.vec.set(w, 0, Wide::of(1)).is_err()),
        },
        Step::Remove(at) => {
            let Some(at) = pick(*at) else { return };
            assert_eq!(all.vec.remove(w, at as u64).unwrap(), Some(model.vec.remove(at)));
        }
        Step::SwapRemove(at) => {
            let Some(at) = pick(*at) else { return };
            let removed = all.vec.swap_remove(w, at as u64).unwrap();
            assert_eq!(removed, Some(model.vec.swap_remove(at)));
        }
        Step::Extend(bytes) => {
            all.bytes.extend_from_slice(w, bytes).unwrap();
            model.bytes.extend_from_slice(bytes);
        }
        Step::Reserve(more) => all.vec.reserve(w, *more).unwrap(),
        Step::Text(text) => {
            all.text.set(w, text).unwrap();
            model.text.clone_from(text);
        }
        Step::Add(text) => {
            all.text.push_str(w, text).unwrap();
            model.text.push_str(text);
        }
        Step::Insert(key, n) => {
            let (short, value) = (*key as u16, Wide::of(*n));
            let new = all.map.insert(w, *key, value).unwrap();
            assert_eq!(new, model.map.insert(*key, value).is_none());
            let new = all.tree.insert(w, short, value).unwrap();
            assert_eq!(new, model.tree.insert(short, value).is_none());
            let new = all.counts.insert(w, triple(*key), *n).unwrap();
            assert_eq!(new, model.counts.insert(triple(*key), *n).is_none());
        }
        Step::Take(key) => {
            let short = *key as u16;
            assert_eq!(all.map.remove(w, key).unwrap(), model.map.remove(key));
            assert_eq!(all.tree.remove(w, &short).unwrap(), model.tree.remove(&short));
            let key = triple(*key);
            assert_eq!(all.counts.remove(w, &key).unwrap(), model.counts.remove(&key));
        }
        Step::Clear(what) => {
            if *what == 0 {
                all.vec.clear(w).unwrap();
                all.text.clear(w).unwrap();
                (model.vec, model.text) = Default::default();
            } else if *what == 1 {
                all.map.clear(w).unwrap();
                all.tree.clear(w).unwrap();
                all.counts.clear(w).unwrap();
                (model.map, model.tree, model.counts) = Default::default();
            }
        }
        Step::Reopen => {}
    }
}

fn contents(all: &All) -> Model {
    Model {
        vec: all.vec.to_vec().unwrap(),
        bytes: all.bytes.to_vec().unwrap(),
        text: all.text.get().unwrap(),
        map: all.map.iter().collect::<Result<_, _>>().unwrap(),
        tree: all.tree.iter().collect::<Result<_, _>>().unwrap(),
        counts: all.counts.iter().collect::<Result<_, _>>().unwrap(),
    }
}

fn compare(all: &All, model: &Model) {
    assert_eq!(contents(all), *model);
    assert_eq!(all.vec.iter().collect::<Result<Vec<_>, _>>().unwrap(), model.vec);
    assert_eq!(all.vec.len().unwrap(), model.vec.len() as u64);
    assert_eq!(all.map.len().unwrap(), model.map.len() as u64);
    assert_eq!(all.tree.len().unwrap(), model.tree.len() as u64);
    for key in 0..300 {
        assert_eq!(all.map.get(&key).unwrap(), model.map.get(&key).copied());
        assert_eq!(all.tree.get(&(key as u16)).unwrap(), model.tree.get(&(key as u16)).copied());
        assert_eq!(all.map.contains_key(&key).unwrap(), model.map.contains_key(&key));
    }
    let pair = |entry: Option<(&u16, &Wide)>| entry.map(|(key, value)| (*key, *value));
    assert_eq!(all.tree.first().unwrap(), pair(model.tree.first_key_value()));
    assert_eq!(all.tree.last().unwrap(), pair(model.tree.last_key_value()));
    for (from, to) in [(0, 300), (17, 18), (30, 30), (99, 205)] {
        let ours: Vec<_> = all.tree.range(from..to).collect::<Result<_, _>>().unwrap();
        assert_eq!(ours, model.tree.range(from..to).map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
        let ours: Vec<_> = all.tree.range(from..=to).collect::<Result<_, _>>().unwrap();
        assert_eq!(ours, model.tree.range(from..=to).map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
    }
}

fn run(steps: &[Step], apart: bool) {
    let pool = Pool::new();
    let mut space = pool.open();
    let mut object = space.create(All::new()).unwrap();
    let home = space.create(Field::new(0u64)).unwrap().id();
    if apart {
        let (all, w) = (object.root(), object.lock().unwrap());
        let home = space.open_object::<Field<u64>>(home).unwrap();
        all.vec.set_home(&w, &home).unwrap();
        all.bytes.set_home(&w, &home).unwrap();
        all.text.set_home(&w, &home).unwrap();
        all.map.set_home(&w, &home).unwrap();
        all.tree.set_home(&w, &home).unwrap();
        all.counts.set_home(&w, &home).unwrap();
    }
    let mut model = Model::default();
    for step in steps {
        if matches!(step, Step::Reopen) {
            let id = object.id();
            drop((object, space));
            space = pool.open();
            object = space.open_object(id).unwrap();
            compare(object.root(), &model);
        }
        perform(object.root(), &object.lock().unwrap(), &mut model, step);
    }
    compare(object.root(), &model);
    let own = object.heap().check().unwrap();
    let blocks = match apart {
        true => {
            assert_eq!(own.blocks, 0, "contents outside of their home");
            space.open_object::<Field<u64>>(home).unwrap().heap().check().unwrap().blocks
        }
        false => own.blocks,
    };
    // One block each for five, and the trees' nodes: nothing leaks.
    let entries = (model.tree.len() + model.counts.len()) as u64;
    assert!(blocks <= 5 + entries * 2, "{blocks} blocks for {entries} entries in trees");
    let (all, w) = (object.root(), object.lock().unwrap());
    all.tree.clear(&w).unwrap();
    all.counts.clear(&w).unwrap();
    all.map.clear(&w).unwrap();
    let left = if apart {
        space.open_object::<Field<u64>>(home).unwrap().heap().check().unwrap()
    } else {
        object.heap().check().unwrap()
    };
    assert!(left.blocks <= 3, "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn they_do_what_the_models_do(
        steps in proptest::collection::vec(step(), 1..500),
        apart in any::<bool>(),
    ) {
        run(&steps, apart);
    }
}

#[test]
fn many_entries() {
    let pool = Pool::new();
    let space = pool.open();
    let object = space.create(All::new()).unwrap();
    let (all, w) = (object.root(), object.lock().unwrap());
    for n in 0..20_000u64 {
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        all.map.insert(&w, key, Wide::of(n)).unwrap();
        all.counts.insert(&w, [n as u8, (n >> 8) as u8, 7], n).unwrap();
    }
    for n in 0..20_000u64 {
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(all.map.get(&key).unwrap(), Some(Wide::of(n)));
        assert_eq!(all.counts.get(&[n as u8, (n >> 8) as u8, 7]).unwrap(), Some(n));
    }
    assert_eq!(all.counts.len().unwrap(), 20_000);
    let sorted: Vec<[u8; 3]> = all.counts.iter().map(|entry| entry.unwrap().0).collect();
    assert!(sorted.len() == 20_000 && sorted.is_sorted());
}

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    below: collections::Vec<Ptr<Node>>,
    names: collections::HashMap<u32, Ptr<Node>>,
}

impl Node {
    fn new(value: u64) -> Self {
        let (below, names) = (collections::Vec::new(), collections::HashMap::new());
        Self { value: Field::new(value), below, names }
    }
}

/// Pointers in containers, into other objects, over a growth and a reopening.
#[test]
fn pointers_are_elements() {
    let pool = Pool::new();
    let id = {
        let space = pool.open();
        let root = space.create(Node::new(0)).unwrap();
        let w = root.lock().unwrap();
        for n in 1..=50 {
            let leaf = space.create(Node::new(n)).unwrap();
            root.root().below.push(&w, Ptr::null()).unwrap();
            root.root().below.get_ref(n - 1).unwrap().unwrap().store(leaf.root()).unwrap();
            root.root().names.insert(&w, n as u32, Ptr::null()).unwrap();
            root.root().names.get_ref(&(n as u32)).unwrap().unwrap().store(leaf.root()).unwrap();
        }
        root.id()
    };
    let space = pool.open();
    let root = space.open_object::<Node>(id).unwrap();
    for n in 1..=50u64 {
        let below = root.root().below.get_ref(n - 1).unwrap().unwrap();
        assert_eq!(below.lea().unwrap().value.get(), n);
        let named = root.root().names.get_ref(&(n as u32)).unwrap().unwrap();
        assert_eq!(named.lea().unwrap().value.get(), n);
    }
    assert!(root.root().below.get_ref(50).unwrap().is_none());
}

#[test]
fn containers_are_elements() {
    let pool = Pool::new();
    let space = pool.open();
    type Row = collections::Vec<u64>;
    let object = space.create(collections::Vec::<Row>::new()).unwrap();
    let w = object.lock().unwrap();
    for n in 0..20 {
        object.root().push(&w, Row::new()).unwrap();
        let row = object.root().get_ref(n).unwrap().unwrap();
        for i in 0..n {
            row.push(&w, i * n).unwrap();
        }
    }
    for n in 0..20 {
        let row = object.root().get_ref(n).unwrap().unwrap();
        assert_eq!(row.to_vec().unwrap(), (0..n).map(|i| i * n).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_not_allowed_is_refused() {
    let pool = Pool::new();
    let space = pool.open();
    let object = space.create(All::new()).unwrap();
    let other = space.create(All::new()).unwrap();
    let (w, wrong) = (object.lock().unwrap(), other.lock().unwrap());
    let all = object.root();
    assert!(matches!(all.vec.push(&wrong, Wide::of(1)), Err(Error::Unsupported(_))));
    all.vec.push(&w, Wide::of(1)).unwrap();
    assert!(matches!(all.vec.set_home(&w, &other), Err(Error::Busy { .. })));
    assert!(matches!(collections::Vec::<u8>::new().len(), Err(Error::NotInObject)));
    assert!(all.vec.reserve(&w, u64::MAX).is_err());
    assert!(all.vec.reserve(&w, 1 << 40).is_err());
    assert_eq!(all.vec.to_vec().unwrap(), [Wide::of(1)]);
    // A space that only reads sees it, and cannot change it.
    let reader = space.open_object_read::<All>(object.id()).unwrap();
    assert_eq!(reader.root().vec.get(0).unwrap(), Some(Wide::of(1)));
    assert!(reader.root().vec.push(&w, Wide::of(2)).is_err());
}

/// Readers without a lock, while one writer does everything it can.
fn look(all: &All, seen: &mut u64) {
    let value = |value: Option<Wide>| {
        if let Some(value) = value {
            assert!(value.is_whole(), "torn: {value:?}");
        }
    };
    for key in 0..40 {
        value(all.map.get(&key).unwrap());
        value(all.tree.get(&(key as u16)).unwrap());
        value(all.vec.get(key).unwrap());
    }
    let text = all.text.get().unwrap();
    let mut all_same = text.chars().map(|c| c == text.chars().next().unwrap());
    assert!(all_same.all(|same| same), "two texts at once: {text}");
    for entry in all.tree.iter() {
        value(Some(entry.unwrap().1));
    }
    *seen += 1;
}

fn disturb(all: &All, w: &Writer<'_, All>, rng: &mut Rng) {
    let (n, key) = (rng.next(), rng.next() % 40);
    match rng.next() % 10 {
        0 | 1 => {
            all.map.insert(w, key, Wide::of(n)).unwrap();
        }
        2 => {
            all.map.remove(w, &key).unwrap();
        }
        3 | 4 => {
            all.tree.insert(w, key as u16, Wide::of(n)).unwrap();
        }
        5 => {
            all.tree.remove(w, &(key as u16)).unwrap();
        }
        6 if all.vec.len().unwrap() < 40 => all.vec.push(w, Wide::of(n)).unwrap(),
        7 if all.vec.len().unwrap() > key => all.vec.set(w, key, Wide::of(n)).unwrap(),
        8 if n % 4 == 0 => {
            all.vec.swap_remove(w, key).unwrap();
        }
        8 if n % 4 == 1 => {
            all.vec.remove(w, key).unwrap();
        }
        8 => {
            all.vec.pop(w).unwrap();
        }
        9 => {
            let letter = char::from(b'a' + (n % 26) as u8).to_string();
            all.text.set(w, &letter.repeat(1 + n as usize % 100)).unwrap();
        }
        _ => {}
    }
}

#[test]
fn readers_in_threads_see_whole_values() {
    let pool = Pool::new();
    let space = pool.open();
    let object = space.create(All::new()).unwrap();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    look(object.root(), &mut seen);
                }
                looks.fetch_add(seen, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            let mut rng = Rng(7);
            let w = object.lock().unwrap();
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                for _ in 0..100 {
                    disturb(object.root(), &w, &mut rng);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    });
    assert!(looks.load(Ordering::Relaxed) > 10);
}

/// What the killed processes do; not a test by itself.
#[test]
fn child_writes() {
    let Some((path, id)) = child("child_writes") else { return };
    let space = Space::open(path).unwrap();
    let object = space.open_object::<All>(id).unwrap();
    let mut rng = Rng((std::process::id() as u64 * 77) | 1);
    loop {
        let w = object.lock().unwrap();
        for _ in 0..50 {
            disturb(object.root(), &w, &mut rng);
        }
    }
}

/// What must hold whatever was cut short.
fn validate(object: &Object<All>) {
    let all = object.root();
    let map: StdMap<u64, Wide> = all.map.iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(map.len() as u64, all.map.len().unwrap());
    for (key, value) in &map {
        assert_eq!(all.map.get(key).unwrap(), Some(*value));
    }
    let tree: Vec<(u16, Wide)> = all.tree.iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(tree.len() as u64, all.tree.len().unwrap());
    assert!(tree.is_sorted_by(|a, b| a.0 < b.0));
    assert!(tree.iter().all(|(key, value)| all.tree.get(key).unwrap() == Some(*value)));
    assert!(map.values().chain(tree.iter().map(|(_, v)| v)).all(Wide::is_whole));
    assert!(all.vec.to_vec().unwrap().iter().all(Wide::is_whole));
    let mut seen = 0;
    look(all, &mut seen);
}

#[test]
fn killed_writers_leave_whole_containers() {
    let pool = Pool::new();
    let space = pool.open();
    let object = space.create(All::new()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A reader of another process all the while.
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                look(object.root(), &mut seen);
            }
            seen
        });
        for _ in 0..8 {
            kill_some("child_writes", pool.path(), object.id(), 2);
            // Before any writer has come to mend it.
            validate(&object);
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 10);
    });
    let (w, mut rng) = (object.lock().unwrap(), Rng(3));
    for _ in 0..2000 {
        disturb(object.root(), &w, &mut rng);
    }
    validate(&object);
    object.heap().check().unwrap();
}

/// Any bytes at all in the header or the contents give errors or values, in
/// bounded time.
#[test]
fn hostile_bytes_give_errors() {
    let pool = Pool::new();
    let space = pool.open();
    let mut rng = Rng(4242);
    let mut errors = 0;
    for round in 0..80 {
        let object = space.create(All::new()).unwrap();
        {
            let (w, mut rng) = (object.lock().unwrap(), Rng(round + 1));
            for _ in 0..300 {
                disturb(object.root(), &w, &mut rng);
            }
        }
        let size = object.len().unwrap();
        let header = size_of::<All>() as u64;
        for _ in 0..1 + rng.next() % 60 {
            // The roots, the log and the blocks, with values that look like places.
            let at = match round % 4 {
                0 => rng.next() % header,
                1 | 2 => 131_072 - 4096 + rng.next() % (size + 4096 - 131_072),
                _ => rng.next() % size,
            };
            let word = match rng.next() % 5 {
                0 => rng.next() << 8,
                1 => rng.next() % (size + 8192) / 16 * 16,
                2 => u64::MAX,
                3 => (1 << 32) | (rng.next() % 64),
                _ => rng.next() % 5,
            };
            let at = (at / 8 * 8).min(size - 8);
            object.write(at, &word.to_le_bytes()).unwrap();
        }
        let start = Instant::now();
        let all = object.root();
        errors += [
            all.vec.to_vec().is_err(),
            all.text.get().is_err(),
            all.map.iter().take(100_000).any(|entry| entry.is_err()),
            all.tree.iter().take(100_000).any(|entry| entry.is_err()),
            (0..40).any(|key| all.map.get(&key).is_err() || all.tree.get(&(key as u16)).is_err()),
        ]
        .into_iter()
        .filter(|&error| error)
        .count();
        let _ = (all.tree.first(), all.tree.last(), all.vec.get_ref(3).is_ok());
        if let Ok(w) = object.lock() {
            for key in 0..40 {
                let _ = all.map.insert(&w, key, Wide::of(1));
                let _ = all.tree.insert(&w, key as u16, Wide::of(1));
                let _ = all.vec.push(&w, Wide::of(1));
                let _ = all.vec.remove(&w, key);
                let _ = all.map.remove(&w, &key);
                let _ = all.tree.remove(&w, &(key as u16));
            }
            let _ = (all.text.push_str(&w, "more"), all.tree.clear(&w), all.map.clear(&w));
        }
        assert!(start.elapsed() < Duration::from_secs(120), "it took {:?}", start.elapsed());
    }
    assert!(errors > 20, "only {errors} of the broken containers were noticed");
}
