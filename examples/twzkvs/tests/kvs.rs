// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store as its users have it: against a model, across rights, indexes, pools
//! and processes, and short enough.

#[macro_use]
#[path = "../../../libtwz/tests/common/mod.rs"]
mod common;

use std::{collections::HashMap, time::Duration};

use common::{Rng, TempPool as Pool, child, kill_some, start};
use twz::{Durability, Error, NewObject, Object, Records, Rights, Space};
use twzkvs::{Kvs, Options};

fn store(space: &Space) -> Kvs {
    Kvs::create(space, &Options::default()).unwrap()
}

fn value(key: &[u8], round: u64, len: usize) -> Vec<u8> {
    let sum = key.iter().fold(round, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte as u64));
    [&round.to_le_bytes()[..], &vec![sum as u8; len]].concat()
}

/// Whether a value is one that was put as a whole.
fn is_whole(key: &[u8], seen: &[u8]) -> bool {
    let round = u64::from_le_bytes(seen[..8].try_into().unwrap());
    seen == value(key, round, seen.len() - 8)
}

#[test]
fn it_does_what_a_map_does() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let kvs = store(&space);
    let (mut model, mut rng) = (HashMap::<Vec<u8>, Vec<u8>>::new(), Rng(11));
    let mut writer = kvs.write().unwrap();
    for round in 0..6000 {
        let n = rng.next() % 1000;
        let key = format!("{n:0width$}", width = 1 + n as usize % 20).into_bytes();
        match rng.next() % 4 {
            0 => assert_eq!(writer.delete(&key).unwrap(), model.remove(&key).is_some()),
            1 => assert_eq!(kvs.get(&key).unwrap(), model.get(&key).map(|value| &value[..])),
            _ => {
                let value = value(&key, round, rng.next() as usize % 100);
                writer.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        if round == 4000 {
            let old = writer.compact().unwrap();
            space.backend().delete(old).unwrap();
        }
    }
    drop(writer);
    let all: HashMap<_, _> =
        kvs.iter().map(|pair| pair.map(|(key, value)| (key, value.to_vec())).unwrap()).collect();
    assert_eq!(all, model);
    assert_eq!(kvs.len(), model.len() as u64);
}

#[test]
fn values_of_any_size_come_back_from_where_they_lie() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let kvs = store(&space);
    let sizes = [0, 1, 100, 4096, 1 << 20, 30 << 20];
    for size in sizes {
        kvs.write().unwrap().put(&size.to_string().into_bytes(), &vec![size as u8; size]).unwrap();
    }
    let data = space.open_object::<Records>(kvs.data().unwrap()[0]).unwrap();
    for size in sizes {
        let seen = kvs.get(&size.to_string().into_bytes()).unwrap().unwrap();
        assert_eq!(seen, vec![size as u8; size]);
        let inside = (seen.as_ptr() as usize).wrapping_sub(data.address());
        assert!(inside < 1 << 30, "a value was copied");
    }
    assert!(matches!(kvs.get(b"17"), Ok(None)));
}

#[test]
fn a_full_data_object_is_followed_by_another() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let kvs = store(&space);
    kvs.write().unwrap().put(b"first", b"1").unwrap();
    let data = space.open_object::<Records>(kvs.data().unwrap()[0]).unwrap();
    // As if nearly all of it were taken.
    data.write(0, &((1u64 << 30) - (64 << 10)).to_le_bytes()).unwrap();
    let large = vec![7; 1 << 20];
    kvs.write().unwrap().put(b"second", &large).unwrap();
    assert_eq!(kvs.data().unwrap().len(), 2);
    assert_eq!(kvs.get(b"first").unwrap(), Some(&b"1"[..]));
    assert_eq!(kvs.get(b"second").unwrap(), Some(&large[..]));
}

/// An object like another one that nobody may read.
fn sealed(space: &Space, kvs: &Kvs, open: &Object<Records>) -> twz::ObjectId {
    let stat = open.stat().unwrap();
    let (kind, fingerprint) = (stat.kind, stat.fingerprint);
    let new = NewObject { kind, fingerprint, default_rights: Rights::NONE, ..NewObject::default() };
    let sealed = space.backend().copy(open.id(), &new).unwrap();
    let index = space.open_object::<()>(kvs.id()).unwrap();
    assert!(index.retarget(open.id(), sealed).unwrap());
    sealed
}

#[test]
fn who_has_no_right_to_a_secret_is_refused_it_and_sees_the_rest() {
    let pool = Pool::new();
    let space = pool.open();
    let kvs = store(&space);
    let secret = space.create_records(&NewObject::default()).unwrap();
    let mut writer = kvs.write().unwrap();
    writer.put(b"public", b"for all").unwrap();
    writer.put_in(&secret, b"secret", b"for some").unwrap();
    drop(writer);
    assert_eq!(kvs.get(b"secret").unwrap(), Some(&b"for some"[..]));
    let id = kvs.id();
    let open = secret.id();
    let sealed = sealed(&space, &kvs, &secret);
    drop((secret, kvs, space));

    let reader = pool.open();
    let kvs = Kvs::<2>::open(&reader, id).unwrap();
    assert_eq!(kvs.get(b"public").unwrap(), Some(&b"for all"[..]));
    assert!(kvs.contains(b"secret").unwrap() && !kvs.contains(b"other").unwrap());
    match kvs.get(b"secret") {
        Err(Error::Denied { id, .. }) => assert_eq!(id, sealed),
        other => panic!("{other:?}"),
    }
    let (mut seen, mut refused, mut from) = (0, 0, 0);
    loop {
        let (next, rows) = kvs.scan(from).unwrap();
        for (_, value) in rows {
            if value.is_ok() { seen += 1 } else { refused += 1 }
        }
        from = next;
        if from == 0 {
            break;
        }
    }
    assert_eq!((seen, refused), (1, 1));
    reader.backend().delete(open).unwrap();
}

#[test]
fn several_indexes_lead_to_the_same_data() {
    let pool = Pool::new();
    let space = pool.open();
    let (by_name, by_number) =
        (store(&space), Kvs::<1>::create(&space, &Options::default()).unwrap());
    by_name.write().unwrap().put(b"Ada", b"1815").unwrap();
    let record = by_name.find(b"Ada").unwrap().unwrap();
    by_number.write().unwrap().link(&1u64.to_le_bytes(), record).unwrap();
    let (one, other) = (by_name.get(b"Ada").unwrap(), by_number.get(&1u64.to_le_bytes()).unwrap());
    assert_eq!(one.unwrap().as_ptr(), other.unwrap().as_ptr());
    by_name.write().unwrap().delete(b"Ada").unwrap();
    assert_eq!(by_number.get(&1u64.to_le_bytes()).unwrap(), Some(&b"1815"[..]));
}

#[test]
fn the_index_alone_says_what_is_there_in_another_pool() {
    embedded_only!("it needs two pools at once");
    let (here, there) = (Pool::new(), Pool::new());
    let space = here.open();
    let kvs = store(&space);
    for key in ["short", "exactly 16 bytes"] {
        kvs.write().unwrap().put(key.as_bytes(), b"value").unwrap();
    }
    let (id, data) = (kvs.id(), kvs.data().unwrap()[0]);
    let mut bundle = Vec::new();
    twz::bundle::export(space.backend(), id, &mut bundle, &mut |_, _| {}).unwrap();
    twz::bundle::import(there.open().backend(), &mut &bundle[..], &mut |_, _| {}).unwrap();
    let space = there.open();
    let kvs = Kvs::<2>::open(&space, id).unwrap();
    assert!(kvs.contains(b"short").unwrap() && kvs.contains(b"exactly 16 bytes").unwrap());
    assert!(!kvs.contains(b"absent").unwrap());
    for key in ["short", "exactly 16 bytes"] {
        match kvs.get(key.as_bytes()) {
            Err(Error::NoObject(missing)) => assert_eq!(missing, data),
            other => panic!("{other:?}"),
        }
    }
}

fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..300u32).map(|n| format!("key {n:0width$}", width = 3 + n as usize % 20).into_bytes())
}

#[test]
fn child_writes() {
    let Some((pool, id)) = child("child_writes") else { return };
    let space = Space::open(pool).unwrap();
    let kvs = Kvs::<2>::open(&space, id).unwrap();
    let mut rng = Rng(std::process::id() as u64 | 1);
    loop {
        for key in keys() {
            let value = value(&key, rng.next(), rng.next() as usize % 5000);
            kvs.write().unwrap().put(&key, &value).unwrap();
        }
    }
}

#[test]
fn child_reads() {
    let Some((pool, id)) = child("child_reads") else { return };
    let space = Space::open(pool).unwrap();
    let kvs = Kvs::<2>::open(&space, id).unwrap();
    for _ in 0..200 {
        for key in keys() {
            if let Some(seen) = kvs.get(&key).unwrap() {
                assert!(is_whole(&key, seen), "a torn value");
            }
        }
    }
}

#[test]
fn processes_that_read_never_see_a_torn_value_while_others_write_and_are_killed() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let kvs = store(&space);
    for _ in 0..4 {
        let mut reader = start("child_reads", &pool.path(), kvs.id());
        kill_some("child_writes", pool.path(), kvs.id(), 2);
        let mut said = String::new();
        std::io::Read::read_to_string(reader.stderr.as_mut().unwrap(), &mut said).unwrap();
        assert!(reader.wait().unwrap().success(), "{said}");
        for pair in kvs.iter() {
            let (key, seen) = pair.unwrap();
            assert!(is_whole(&key, seen));
        }
    }
    kvs.write().unwrap().delete(b"no such key").unwrap();
    assert_eq!(kvs.len(), kvs.iter().count() as u64);
}

/// Says each key that is in, when `put` has returned, in the names of the pool.
#[test]
fn child_puts_durably() {
    let Some((pool, id)) = child("child_puts_durably") else { return };
    let space = Space::open(&pool).unwrap();
    space.set_durability(Durability::Power);
    let kvs = Kvs::<2>::open(&space, id).unwrap();
    let count =
        kvs.get(b"count").unwrap().map_or(0, |count| u64::from_le_bytes(count.try_into().unwrap()));
    for n in count.. {
        kvs.write()
            .unwrap()
            .put(format!("key {n}").as_bytes(), &value(b"", n, n as usize % 300))
            .unwrap();
        kvs.write().unwrap().put(b"count", &(n + 1).to_le_bytes()).unwrap();
    }
}

#[test]
fn what_was_put_before_a_kill_is_there_after_it() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let kvs = store(&space);
    let mut last = 0;
    for _ in 0..5 {
        let mut writer = start("child_puts_durably", &pool.path(), kvs.id());
        std::thread::sleep(Duration::from_millis(400));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let count = kvs.get(b"count").unwrap();
        let count = count.map_or(0, |count| u64::from_le_bytes(count.try_into().unwrap()));
        assert!(count >= last);
        for n in last..count {
            let seen = kvs.get(format!("key {n}").as_bytes()).unwrap();
            assert_eq!(seen, Some(&value(b"", n, n as usize % 300)[..]), "key {n} of {count}");
        }
        last = count;
    }
    assert!(last > 0, "nothing was put in two seconds");
}

fn code_lines(text: &str) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    text.lines().filter(is_code).count()
}

/// The whole store, and no code about who may do what.
#[test]
fn it_is_short() {
    let own = [include_str!("../src/lib.rs"), include_str!("../src/batch.rs")];
    let lines: usize = own.map(code_lines).iter().sum();
    let posix =
        [include_str!("../../unixkvs/src/lib.rs"), include_str!("../../unixkvs/src/map.rs")];
    let container = [
        include_str!("../../../libtwz/src/collections/ptr_map.rs"),
        include_str!("../../../libtwz/src/collections/ptr_change.rs"),
        include_str!("../../../libtwz/src/collections/ptr_table.rs"),
        include_str!("../../../libtwz/src/record.rs"),
    ];
    println!("lines of code: twzkvs {lines}");
    println!("lines of code: unixkvs {}", posix.map(code_lines).iter().sum::<usize>());
    println!(
        "lines of code: the containers that twzkvs uses {}",
        container.map(code_lines).iter().sum::<usize>()
    );
    assert!(lines <= 250, "{lines} lines");
    assert!(own[0].lines().count() <= 250, "{} lines", own[0].lines().count());
    assert!(own[0].contains("#![forbid(unsafe_code)]"));
}
