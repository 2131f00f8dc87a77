// SPDX-License-Identifier: MIT OR Apache-2.0
//! A writer that dies before each single thing it stores, for every kind of
//! change: readers see the container as before or after, at once and after the
//! next writer. `tests/collections.rs` has all the rest.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{Field, Object, Persist, Ptr, Space, Writer, collections, common::pool::TempPool};

thread_local! {
    static LIFE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Called before everything a writer stores.
pub fn killable() {
    if let Some(left) = LIFE.get() {
        if left == 0 {
            LIFE.set(None);
            std::panic::resume_unwind(Box::new("killed"));
        }
        LIFE.set(Some(left - 1));
    }
}

#[derive(Persist)]
#[repr(C)]
struct All {
    vec: collections::Vec<[u32; 3]>,
    text: collections::String,
    map: collections::HashMap<u32, [u64; 2]>,
    tree: collections::BTreeMap<u64, [u16; 5]>,
}

/// All that a reader can see.
type Seen = (Vec<[u32; 3]>, String, Vec<(u32, [u64; 2])>, Vec<(u64, [u16; 5])>, [u64; 4]);

fn look(all: &All) -> Seen {
    let mut map: Vec<_> = all.map.iter().collect::<Result<_, _>>().unwrap();
    map.sort();
    for (key, value) in &map {
        assert_eq!(all.map.get(key).unwrap(), Some(*value));
    }
    let tree: Vec<_> = all.tree.iter().collect::<Result<_, _>>().unwrap();
    for (key, value) in &tree {
        assert_eq!(all.tree.get(key).unwrap(), Some(*value));
    }
    let lengths = [
        all.vec.len().unwrap(),
        all.text.len().unwrap(),
        all.map.len().unwrap(),
        all.tree.len().unwrap(),
    ];
    (all.vec.to_vec().unwrap(), all.text.get().unwrap(), map, tree, lengths)
}

fn filled(space: &Space, entries: u32) -> Object<All> {
    let object = space
        .create(All {
            vec: collections::Vec::new(),
            text: collections::String::new(),
            map: collections::HashMap::new(),
            tree: collections::BTreeMap::new(),
        })
        .unwrap();
    let w = object.lock().unwrap();
    let all = object.root();
    for n in 0..entries {
        all.vec.push(&w, [n; 3]).unwrap();
        all.map.insert(&w, n * 2, [n as u64; 2]).unwrap();
        all.tree.insert(&w, n as u64 * 2, [n as u16; 5]).unwrap();
        all.text.push_str(&w, "as it was ").unwrap();
    }
    drop(w);
    object
}

type Change = fn(&All, &Writer<'_, All>);

const CHANGES: [(&str, Change); 20] = [
    ("push", |all, w| all.vec.push(w, [99; 3]).unwrap()),
    ("pop", |all, w| {
        all.vec.pop(w).unwrap();
    }),
    // Refused where there is no element 0.
    ("set", |all, w| {
        let _ = all.vec.set(w, 0, [98; 3]);
    }),
    ("remove", |all, w| {
        all.vec.remove(w, 0).unwrap();
    }),
    ("swap_remove", |all, w| {
        all.vec.swap_remove(w, 0).unwrap();
    }),
    ("extend", |all, w| all.vec.extend_from_slice(w, &[[7; 3], [8; 3], [9; 3]]).unwrap()),
    ("reserve", |all, w| all.vec.reserve(w, 100).unwrap()),
    ("replace", |all, w| all.vec.replace(w, &[[5; 3], [6; 3]]).unwrap()),
    ("clear vec", |all, w| all.vec.clear(w).unwrap()),
    ("text", |all, w| all.text.set(w, "something else altogether").unwrap()),
    ("more text", |all, w| all.text.push_str(w, "and more").unwrap()),
    ("map new", |all, w| {
        all.map.insert(w, 1001, [1; 2]).unwrap();
    }),
    ("map old", |all, w| {
        all.map.insert(w, 4, [77; 2]).unwrap();
    }),
    ("map remove", |all, w| {
        all.map.remove(w, &4).unwrap();
    }),
    ("map clear", |all, w| all.map.clear(w).unwrap()),
    ("tree low", |all, w| {
        all.tree.insert(w, 1, [1; 5]).unwrap();
    }),
    ("tree new", |all, w| {
        all.tree.insert(w, 1001, [1; 5]).unwrap();
    }),
    ("tree old", |all, w| {
        all.tree.insert(w, 4, [77; 5]).unwrap();
    }),
    ("tree remove", |all, w| {
        all.tree.remove(w, &4).unwrap();
    }),
    ("tree clear", |all, w| all.tree.clear(w).unwrap()),
];

/// Lets a change live for `life` stores; whether it came to its end.
fn run(object: &Object<All>, change: Change, life: Option<u32>) -> bool {
    let w = object.lock().unwrap();
    LIFE.set(life);
    let done = catch_unwind(AssertUnwindSafe(|| change(object.root(), &w))).is_ok();
    LIFE.set(None);
    done
}

/// The next writer may find it half done, and changes nothing by that.
fn settle(object: &Object<All>, seen: &Seen, context: &str) {
    run(object, |all, w| all.vec.reserve(w, 0).unwrap(), None);
    run(
        object,
        |all, w| {
            all.map.remove(w, &5000).unwrap();
        },
        None,
    );
    run(
        object,
        |all, w| {
            all.tree.remove(w, &5000).unwrap();
        },
        None,
    );
    run(object, |all, w| all.text.push_str(w, "").unwrap(), None);
    assert!(look(object.root()) == *seen, "{context}: the next writer changed it");
}

#[test]
fn a_writer_may_die_before_everything_it_stores() {
    let pool = TempPool::new();
    let space = pool.open();
    let mut deaths = 0;
    // 0: nothing there yet. 4: the vector is full. 7: the next key rebuilds the
    // table. 20: the leaf is full, so the root splits. 23: neither.
    for entries in [0, 1, 4, 7, 20, 23] {
        let reference = filled(&space, entries);
        let before = look(reference.root());
        // Restored from these bytes again and again.
        let object = filled(&space, entries);
        let mut start = vec![0; object.len().unwrap() as usize];
        object.read(0, &mut start).unwrap();
        for (name, change) in CHANGES {
            object.write(0, &start).unwrap();
            assert!(run(&object, change, None), "{name}");
            let after = look(object.root());
            for life in 0.. {
                object.write(0, &start).unwrap();
                let done = run(&object, change, Some(life));
                let seen = look(object.root());
                let context = format!("{name} on {entries}, killed before store {life}");
                assert!(seen == before || seen == after, "{context}: {seen:?}");
                settle(&object, &seen, &context);
                run(&object, change, None);
                look(object.root());
                object.heap().check().unwrap();
                if done {
                    assert!(seen == after, "{context}");
                    break;
                }
                deaths += 1;
            }
        }
    }
    assert!(deaths > 1000, "only {deaths} deaths");
}

type Map = collections::PtrMap<Field<u64>, 1>;

/// The keys that a walk shows, each of which is found.
fn keys(map: &Map) -> Vec<Vec<u8>> {
    let (mut from, mut all) = (0, Vec::new());
    loop {
        let (next, found) = map.walk(from, Ptr::is_null).unwrap();
        all.extend(found.into_iter().map(|(key, null)| {
            assert!(!null && map.contains_key(&key).unwrap());
            key
        }));
        if next == 0 {
            all.sort();
            return all;
        }
        from = next;
    }
}

/// A map of pointers has no log: what a writer leaves half done is a count, and the
/// next change of whatever kind counts anew.
#[test]
fn the_keys_of_a_map_of_pointers_are_counted_anew_after_a_death() {
    let pool = TempPool::new();
    let space = pool.open();
    let value = space.create(Field::new(7u64)).unwrap();
    type Change = fn(&Map, &Writer<'_, Map>, &Field<u64>);
    const NEW: [u8; 8] = [9; 8];
    let changes: [(&str, Change); 5] = [
        ("new", |map, w, value| assert!(map.insert(w, &NEW, value).unwrap())),
        ("long", |map, w, value| assert!(map.insert(w, b"of no fixed length", value).unwrap())),
        ("old", |map, w, value| assert!(!map.insert(w, &[0; 8], value).unwrap())),
        ("remove", |map, w, _| assert!(map.remove(w, &[0; 8]).unwrap())),
        ("reserve", |map, w, _| map.reserve(w, 1000).unwrap()),
    ];
    let mut deaths = 0;
    // 48: the next key rebuilds the table.
    for (entries, (name, change)) in [1, 20, 48].into_iter().flat_map(|n| changes.map(|c| (n, c))) {
        for life in 0.. {
            let object = space.create(Map::new()).unwrap();
            let (map, w) = (object.root(), object.lock().unwrap());
            for n in 0..entries as u64 {
                map.insert(&w, &n.to_le_bytes(), value.root()).unwrap();
            }
            let before = keys(map);
            LIFE.set(Some(life));
            let run = AssertUnwindSafe(|| change(map, &w, value.root()));
            let done = catch_unwind(run).is_ok();
            LIFE.set(None);
            let seen = keys(map);
            let context = format!("{name} on {entries}, killed before store {life}");
            let fewer = before.len().min(seen.len());
            assert!(before.len().max(seen.len()) - fewer <= 1, "{context}: {seen:?}");
            map.remove(&w, b"no such key").unwrap();
            assert_eq!((keys(map), map.len()), (seen.clone(), seen.len() as u64), "{context}");
            object.heap().check().unwrap();
            if done {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 50, "only {deaths} deaths");
}
