// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records: what was added is what is read, whoever adds meanwhile, and no bytes
//! in an object make reading or adding do anything but fail.

mod common;

use common::TempPool as Pool;
use twz::{Error, NewObject, Object, Ptr, Record, Records, Space};

fn records(space: &Space) -> Object<Records> {
    space.create_records(&NewObject::default()).unwrap()
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seed * 31 + i * 7) as u8).collect()
}

#[test]
fn what_was_added_is_what_is_read() {
    let pool = Pool::new();
    let space = pool.open();
    let data = records(&space);
    let lens = [0, 1, 7, 8, 9, 4095, 4096, 100_000, 3, 5_000_000];
    let added: Vec<&Record> =
        lens.iter().map(|&len| data.append(&bytes(len, len)).unwrap()).collect();
    for (record, len) in added.iter().zip(lens) {
        assert_eq!(record.bytes().unwrap(), bytes(len, len), "{len} bytes");
    }
    let heads: usize = lens.iter().map(|len| 8 + len.next_multiple_of(8)).sum();
    assert_eq!(data.used(), 64 + heads as u64);
}

#[test]
fn a_pointer_from_another_object_leads_to_the_bytes_after_a_restart() {
    let pool = Pool::new();
    let space = pool.open();
    let (data, holder) = (records(&space), space.create(Ptr::<Record>::null()).unwrap());
    assert_eq!(holder.root().bytes().unwrap(), None);
    holder.root().store(data.append(b"kept").unwrap()).unwrap();
    let id = holder.id();
    drop((data, holder, space));
    let space = pool.open();
    let holder = space.open_object::<Ptr<Record>>(id).unwrap();
    assert_eq!(holder.root().bytes().unwrap(), Some(&b"kept"[..]));
}

#[test]
fn what_another_space_added_past_the_known_end_is_read() {
    let pool = Pool::new();
    let (mine, other) = (pool.open(), pool.open());
    let (data, holder) = (records(&mine), mine.create(Ptr::<Record>::null()).unwrap());
    let theirs = other.open_object::<Ptr<Record>>(holder.id()).unwrap();
    holder.root().store(data.append(b"short").unwrap()).unwrap();
    assert_eq!(theirs.root().bytes().unwrap(), Some(&b"short"[..]));
    let long = bytes(1, 30_000_000);
    holder.root().store(data.append(&long).unwrap()).unwrap();
    assert_eq!(theirs.root().bytes().unwrap(), Some(&long[..]));
    // Even where it begins past the end.
    for n in 0..300 {
        let some = bytes(n, 100 * n);
        holder.root().store(data.append(&some).unwrap()).unwrap();
        assert_eq!(theirs.root().bytes().unwrap(), Some(&some[..]));
    }
    // And the other way round: added to what had grown elsewhere.
    let more = other.open_object::<Records>(data.id()).unwrap();
    let record = more.append(b"after").unwrap();
    assert_eq!(record.bytes().unwrap(), b"after");
    assert_eq!(holder.root().bytes().unwrap(), Some(&bytes(299, 29_900)[..]));
}

#[test]
fn many_add_at_once_and_nothing_is_overwritten() {
    let pool = Pool::new();
    let space = pool.open();
    let id = records(&space).id();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (pool, shared) = (&pool, &space);
            scope.spawn(move || {
                // Half of them as if they were another process.
                let space = if thread % 2 == 0 { shared.clone() } else { pool.open() };
                let data = space.open_object::<Records>(id).unwrap();
                let len = |i: usize| i * 13 % 300;
                let added: Vec<&Record> = (0..3000)
                    .map(|i| data.append(&bytes(thread * 10_000 + i, len(i))).unwrap())
                    .collect();
                for (i, record) in added.iter().enumerate() {
                    assert_eq!(record.bytes().unwrap(), bytes(thread * 10_000 + i, len(i)));
                }
            });
        }
    });
}

#[test]
fn nothing_that_lies_in_an_object_makes_it_panic() {
    let pool = Pool::new();
    let space = pool.open();
    let (data, holder) = (records(&space), space.create(Ptr::<Record>::null()).unwrap());
    let record = data.append(b"eight by").unwrap();
    holder.root().store(record).unwrap();
    let long = [9, 1 << 20, 1 << 30, 1 << 31, u64::MAX - 8, u64::MAX];
    for len in long {
        data.write(64, &len.to_le_bytes()).unwrap();
        let end = data.len().unwrap() - 64 - 8;
        let (one, two) = (record.bytes(), holder.root().bytes());
        assert_eq!((one.is_err(), two.is_err()), (len > end, len > end), "a length of {len}");
    }
    for end in [0u64, 8, 4095, 4097, 1 << 30, (1 << 30) - 8, u64::MAX - 7, u64::MAX] {
        data.write(0, &end.to_le_bytes()).unwrap();
        assert!(data.append(b"x").is_err(), "the next one at {end}");
    }
    let used = data.used();
    assert_eq!(used, u64::MAX - 4096);
}

#[test]
fn a_full_object_says_so_and_stays_as_it_is() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let data = records(&space);
    let first = data.append(b"first").unwrap();
    let used = data.used();
    // As if nearly all of it were taken; storage is only given where needed.
    let near = (1u64 << 30) - (1 << 20);
    data.write(0, &near.to_le_bytes()).unwrap();
    match data.append(&vec![1; 2 << 20]) {
        Err(Error::ObjectFull { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two MiB fit into one"),
    }
    assert_eq!(data.used(), near - 4096);
    data.write(0, &(used + 4096).to_le_bytes()).unwrap();
    assert_eq!(data.append(b"second").unwrap().bytes().unwrap(), b"second");
    assert_eq!(first.bytes().unwrap(), b"first");
}

#[test]
fn who_may_only_read_adds_nothing() {
    let pool = Pool::new();
    let space = pool.open();
    let id = records(&space).id();
    drop(space);
    let space = pool.open();
    let data = space.open_object_read::<Records>(id).unwrap();
    assert!(matches!(data.append(b"no"), Err(Error::Denied { .. })));
    assert_eq!(data.used(), 64);
}
