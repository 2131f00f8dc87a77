// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Costs that must not grow with the pool: counted as what is asked of the
//! medium, not timed. The ones at full size are there in a release build only:
//! `cargo test --release -p twz-core --test scale -- --nocapture`.

mod common;

use std::cell::Cell;

use common::*;
use twz_abi::MAX_DATA;
use twz_core::{
    format::{format, FormatOptions},
    Media, MediaError, Memory, Mode, Store,
};

/// Counts what is asked of a medium.
struct Counted<'a> {
    inner: Memory<'a>,
    reads: Cell<u64>,
    bytes: Cell<u64>,
    fences: u64,
}

impl<'a> Counted<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        let inner = Memory::new(bytes);
        Self { inner, reads: Cell::new(0), bytes: Cell::new(0), fences: 0 }
    }
    fn count(&self, len: usize) {
        self.reads.set(self.reads.get() + 1);
        self.bytes.set(self.bytes.get() + len as u64);
    }
}

impl Media for Counted<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        self.count(into.len());
        self.inner.read(at, into)
    }
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        self.count(from.len());
        self.inner.write(at, from)
    }
    fn flush(&mut self, _at: u64, _len: u64) -> Result<(), MediaError> {
        Ok(())
    }
    fn fence(&mut self) -> Result<(), MediaError> {
        self.fences += 1;
        Ok(())
    }
}

fn pool(objects: u64) -> Vec<u8> {
    let records = objects + objects / 8 + 2100;
    pool_of(records / 8 + 2000, records)
}

fn pool_of(pages: u64, records: u64) -> Vec<u8> {
    let mut bytes = blank(pages);
    let options = FormatOptions { records: Some(records), ..FormatOptions::plain() };
    format(&mut Memory::new(&mut bytes), &options).unwrap();
    bytes
}

/// Operations and bytes per object of `what`, over 1000 objects.
fn cost(
    store: &mut Store<Counted<'_>>,
    mut what: impl FnMut(&mut Store<Counted<'_>>, u64),
) -> (u64, u64) {
    let before = (store.media().reads.get(), store.media().bytes.get());
    for n in 0..1000 {
        what(store, n);
    }
    let after = (store.media().reads.get(), store.media().bytes.get());
    ((after.0 - before.0) / 1000, (after.1 - before.1) / 1000)
}

fn costs(objects: u64) -> [(u64, u64); 4] {
    let mut bytes = pool(objects);
    {
        let mut store = open(&mut bytes);
        for n in 0..objects {
            create(&mut store, n, MAX_DATA);
        }
    }
    let mut store = Store::open(Counted::new(&mut bytes), Mode::ReadWrite).unwrap();
    let opening = store.media().bytes.get();
    assert!(opening < 40_000, "opening {objects} objects reads and writes {opening} bytes");
    [
        cost(&mut store, |s, n| {
            s.find(id(n * 7 % objects)).unwrap();
        }),
        cost(&mut store, |s, n| {
            create(s, 1 << 40 | n, 0);
        }),
        cost(&mut store, |s, n| {
            let r = s.delete(id(1 << 40 | n)).unwrap();
            s.reclaim(r).unwrap();
        }),
        cost(&mut store, |s, n| {
            create(s, 1 << 41 | n, 0);
        }),
    ]
}

#[test]
fn costs_do_not_grow_with_the_number_of_objects() {
    let (few, many) = (costs(1000), costs(100_000));
    println!("per operation (calls, bytes): find, create, delete and reclaim, create again");
    println!("   1 000 objects {few:?}\n 100 000 objects {many:?}");
    for (few, many) in few.iter().zip(&many) {
        assert!(many.0 * 10 <= few.0 * 13, "{few:?} {many:?}");
        assert!(many.1 * 10 <= few.1 * 13, "{few:?} {many:?}");
    }
}

/// Calls and bytes of looking up one of so many names, a hundred in a directory
/// and the third directory down.
fn lookup_cost(names: u64) -> (u64, u64) {
    let path = |n: u64| format!("/d{}/d{}/object-{n}", n / 10_000, n / 100);
    let mut bytes = pool_of(names / 8 + 5000, names / 64 + 64);
    let mut store = open(&mut bytes);
    create(&mut store, 0, 0);
    for n in 0..names {
        let (outer, inner) =
            (format!("/d{}", n / 10_000), format!("/d{}/d{}", n / 10_000, n / 100));
        if n % 10_000 == 0 {
            store.mkdir(outer.as_bytes(), &identity(1 << 41 | n)).unwrap();
        }
        if n % 100 == 0 {
            store.mkdir(inner.as_bytes(), &identity(1 << 40 | n)).unwrap();
        }
        store.bind(path(n).as_bytes(), id(0), false).unwrap();
    }
    store.into_media();
    let mut store = Store::open(Counted::new(&mut bytes), Mode::ReadWrite).unwrap();
    cost(&mut store, |s, n| {
        s.lookup(path(n * 7919 % names).as_bytes()).unwrap();
    })
}

#[test]
fn looking_up_a_name_does_not_get_dearer_with_their_number() {
    let (few, many) = (lookup_cost(1000), lookup_cost(20_000));
    println!("lookup (calls, bytes): 1 000 names {few:?}, 20 000 names {many:?}");
    // For each of three components a head, a record, a line of tags for each
    // level that the record maps, and an entry; some names lie deeper.
    assert!(few.0 <= 22 && many.0 <= 22, "{few:?} {many:?}");
}

#[test]
fn a_change_takes_one_fence_and_two_with_a_new_page() {
    let mut bytes = image(300);
    let mut store = Store::open(Counted::new(&mut bytes), Mode::ReadWrite).unwrap();
    let fences = |s: &Store<Counted<'_>>, before: u64| s.media().fences - before;
    let before = store.media().fences;
    let r = store.create(id(1), &new(1, 1 << 20)).unwrap();
    assert_eq!(fences(&store, before), 1);
    let before = store.media().fences;
    store.touch(r, 1, true).unwrap();
    assert_eq!(fences(&store, before), 2);
    let before = store.media().fences;
    store.bind(b"/a", id(1), false).unwrap();
    store.bind(b"/b", id(1), false).unwrap();
    assert_eq!(fences(&store, before), 3);
}

#[cfg(not(debug_assertions))]
mod at_full_size {
    use std::time::Instant;

    use twz_abi::PAGE;

    use super::*;

    #[test]
    fn counts_at_a_million() {
        let (few, many) = (costs(1000), costs(1_000_000));
        println!("per operation (calls, bytes): find, create, delete and reclaim, create again");
        println!("     1 000 objects {few:?}\n 1 000 000 objects {many:?}");
        for (few, many) in few.iter().zip(&many) {
            assert!(many.0 * 10 <= few.0 * 13 && many.1 * 10 <= few.1 * 13, "{few:?} {many:?}");
        }
        let (few, many) = (lookup_cost(1000), lookup_cost(1_000_000));
        println!("lookup: {few:?} and {many:?}");
        assert!(many.0 * 10 <= few.0 * 13 && many.1 * 10 <= few.1 * 13, "{few:?} {many:?}");
    }

    #[test]
    fn a_million_objects() {
        let objects = 1_000_000;
        let start = Instant::now();
        let mut bytes = pool(objects);
        println!("format {} MiB: {:?}", bytes.len() >> 20, start.elapsed());
        let per = |start: Instant| start.elapsed() / objects as u32;
        let ids: Vec<_> = (0..objects).map(id).collect();
        let mut store = open(&mut bytes);
        let start = Instant::now();
        for (n, &id) in ids.iter().enumerate() {
            store.create(id, &new(n as u64, MAX_DATA)).unwrap();
        }
        println!("create: {:?} each", per(start));
        store.into_media();
        let start = Instant::now();
        let store = open(&mut bytes);
        println!("open: {:?}", start.elapsed());
        assert!(start.elapsed().as_millis() < 1000, "opening reads a few blocks, not every object");
        let start = Instant::now();
        for &id in &ids {
            store.find(id).unwrap();
        }
        println!("find: {:?} each", per(start));
        let start = Instant::now();
        assert!(problems(&mut {
            store.into_media();
            bytes.clone()
        })
        .is_empty());
        println!("check: {:?}", start.elapsed());
        let mut store = open(&mut bytes);
        let start = Instant::now();
        for &id in &ids {
            let r = store.delete(id).unwrap();
            store.reclaim(r).unwrap();
        }
        println!("delete and reclaim: {:?} each", per(start));
        assert_eq!(store.info().unwrap().objects, 1);
    }

    #[test]
    fn a_gigabyte_written_copied_and_deleted() {
        let mut bytes = blank((1 << 18) + 3000);
        format(&mut Memory::new(&mut bytes), &FormatOptions::plain()).unwrap();
        let mut store = open(&mut bytes);
        let data = vec![7; 8 << 20];
        let r = create(&mut store, 1, 1000 << 20);
        let start = Instant::now();
        for i in 0..125 {
            store.write(r, PAGE + i * (8 << 20), &data).unwrap();
        }
        println!("write 1000 MiB: {:?}", start.elapsed());
        let start = Instant::now();
        let copy = store.copy(r, id(2), &new(2, 0)).unwrap();
        println!("copy: {:?}", start.elapsed());
        let start = Instant::now();
        store.touch(copy, 1000, true).unwrap();
        println!("first write to the copy: {:?}", start.elapsed());
        let start = Instant::now();
        for n in [2, 1] {
            let r = store.delete(id(n)).unwrap();
            store.reclaim(r).unwrap();
        }
        println!("delete both: {:?}", start.elapsed());
        store.into_media();
        assert_clean(&mut bytes);
    }
}
