// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The store by example: one behaviour a test.

mod common;

use common::*;
use twz_abi::{
    meta::{self, Bounds},
    name::NameEntry,
    Meta, ObjectId, ObjectRecord, DATA_START, MAX_DATA, META_START, PAGE, SLOT_PAGES, TAIL_START,
};
use twz_core::{
    error::Resource, names::Binding, Identity, Memory, Mode, NewObject, Store, StoreError,
    Translation,
};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

const TAIL: u64 = SLOT_PAGES - 1;

#[test]
fn what_is_written_is_read_back_after_reopening() {
    let mut bytes = image(600);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 100_000);
    store.write(r, DATA_START + 30_000, b"hello").unwrap();
    store.write(r, DATA_START + 90_000, &[7; 10_000]).unwrap();
    store.into_media();
    let store = Store::open(Memory::new(&mut bytes), Mode::ReadOnly).unwrap();
    let r = store.find(id(1)).unwrap();
    let mut text = [0; 7];
    store.read(r, DATA_START + 29_999, &mut text).unwrap();
    assert_eq!(&text, b"\0hello\0");
    let mut tail = vec![0; 10_001];
    store.read(r, DATA_START + 89_999, &mut tail).unwrap();
    assert_eq!(tail[0], 0);
    assert!(tail[1..].iter().all(|&b| b == 7));
    assert_eq!(store.find(id(2)), Err(StoreError::NotFound { id: id(2) }));
    assert_clean(&mut bytes);
}

#[test]
fn a_sparse_object_of_a_gigabyte_costs_one_record() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let before = store.info().unwrap();
    let r = create(&mut store, 1, MAX_DATA);
    let after = store.info().unwrap();
    assert_eq!(before.free_pages, after.free_pages);
    assert_eq!(before.unused_records - 1, after.unused_records);
    assert_eq!(store.pages_used(r), Ok(0));
    let mut last = [1; 16];
    store.read(r, TAIL_START - 16, &mut last).unwrap();
    assert_eq!(last, [0; 16]);
    store.write(r, TAIL_START - 16, &[3; 16]).unwrap();
    assert_eq!(store.pages_used(r), Ok(3), "a page, its leaf and the root");
    let too_big = store.resize(r, MAX_DATA + 1);
    assert_eq!(too_big, Err(StoreError::Size { size: MAX_DATA + 1, limit: MAX_DATA }));
    assert_clean(&mut bytes);
}

#[test]
fn ids_must_be_earned_and_new() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    create(&mut store, 1, 0);
    assert_eq!(store.create(id(1), &new(1, 0)), Err(StoreError::Exists { id: id(1) }));
    assert_eq!(store.create(id(2), &new(1, 0)), Err(StoreError::IdMismatch { id: id(2) }));
    let null = store.create(ObjectId::NULL, &new(1, 0));
    assert_eq!(null, Err(StoreError::IdMismatch { id: ObjectId::NULL }));
    let names = NewObject { kind: meta::kind::NAMES, ..new(3, 0) };
    assert_eq!(store.create(id(3), &names), Err(StoreError::Directory { id: id(3) }));
}

#[test]
fn a_record_whose_id_was_forged_is_refused_on_use() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 0);
    // Two more transactions, or the journal would mend it.
    create(&mut store, 2, 0);
    create(&mut store, 3, 0);
    let mut record = store.stat(r).unwrap();
    record.default_rights = 63;
    record.checksum = record.compute_checksum();
    let at = (store.geometry().records_page * PAGE + r.0 as u64 * 256) as usize;
    store.into_media();
    bytes[at..at + 256].copy_from_slice(record.as_bytes());
    let store = open(&mut bytes);
    assert_eq!(store.find(id(1)), Err(StoreError::IdMismatch { id: id(1) }));
}

#[test]
fn shrinking_gives_back_and_growing_shows_zeros() {
    let mut bytes = image(900);
    let mut store = open(&mut bytes);
    let free = store.info().unwrap().free_pages;
    let r = create(&mut store, 1, 3 << 20);
    store.write(r, DATA_START, &[9; 1 << 20]).unwrap();
    store.write(r, DATA_START + (5 << 19), &[9; 1 << 19]).unwrap();
    assert_eq!(store.pages_used(r), Ok(256 + 128 + 3));
    store.resize(r, 50_001).unwrap();
    assert_eq!(store.pages_used(r), Ok(13 + 2));
    store.resize(r, 1 << 20).unwrap();
    let mut data = vec![1; 1 << 20];
    store.read(r, DATA_START, &mut data).unwrap();
    assert!(data[..50_001].iter().all(|&b| b == 9));
    assert!(data[50_001..].iter().all(|&b| b == 0));
    store.resize(r, 0).unwrap();
    assert_eq!(store.pages_used(r), Ok(0));
    assert_eq!(store.info().unwrap().free_pages, free);
    assert_clean(&mut bytes);
}

#[test]
fn the_tail_page_is_made_up_until_it_is_touched() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 5000);
    let made_up = store.meta(r).unwrap();
    made_up.check().unwrap();
    Identity::from(&made_up).verify(id(1)).unwrap();
    let mut read = Meta::new_zeroed();
    store.read(r, META_START, read.as_mut_bytes()).unwrap();
    assert_eq!(read, made_up);
    assert_eq!(store.translate(r, TAIL), Ok(Translation::Hole));
    let touched = store.touch(r, TAIL, true).unwrap();
    assert!(matches!(touched, Translation::Page { shared: false, huge: false, .. }));
    assert_eq!(store.meta(r).unwrap(), made_up);
    store.resize(r, 10_000).unwrap();
    let meta = store.meta(r).unwrap();
    assert_eq!((meta.size, Bounds::unpack(meta.bounds).data_pages), (10_000, 3));
    store.resize(r, 1).unwrap();
    let meta = store.meta(r).unwrap();
    assert_eq!((meta.size, Bounds::unpack(meta.bounds).data_pages), (1, 1));
    assert_clean(&mut bytes);
}

#[test]
fn data_and_fot_do_not_meet() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 5000);
    let fot = TAIL_START - 2 * PAGE;
    assert!(store.write(r, fot, &[1; 64]).is_err());
    store.set_meta(r, 3, 0, 0).unwrap();
    store.write(r, fot, &[1; 64]).unwrap();
    let limit = MAX_DATA - 3 * PAGE;
    assert_eq!(store.resize(r, limit + 1), Err(StoreError::Size { size: limit + 1, limit }));
    store.resize(r, limit).unwrap();
    store.resize(r, 0).unwrap();
    let mut entry = [0; 64];
    store.read(r, fot, &mut entry).unwrap();
    assert_eq!(entry, [1; 64], "a shrink spares the FOT");
    assert!(store.write(r, META_START, &[0; 8]).is_err());
    assert!(store.write(r, META_START - 8, &[0; 16]).is_err());
    assert_clean(&mut bytes);
}

#[test]
fn touching_stays_inside() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, PAGE + 1);
    for page in [1, 2, TAIL] {
        assert!(matches!(store.touch(r, page, false), Ok(Translation::Page { .. })), "{page}");
    }
    for page in [0, 3, 9, 512, TAIL - 1, TAIL + 1, u64::MAX] {
        assert!(store.touch(r, page, true).is_err(), "{page}");
    }
    assert_clean(&mut bytes);
}

#[test]
fn a_copy_shares_until_either_side_writes() {
    let mut bytes = image(900);
    let mut store = open(&mut bytes);
    let start = store.info().unwrap().free_pages;
    let a = create(&mut store, 1, 1 << 20);
    store.write(a, DATA_START, &[1; 1 << 20]).unwrap();
    store.set_meta(a, 1, 0, 0).unwrap();
    store.write(a, TAIL_START, &[5; 32]).unwrap();
    let before = store.info().unwrap().free_pages;
    let b = store.copy(a, id(2), &new(2, 0)).unwrap();
    assert_eq!(store.info().unwrap().free_pages, before - 1, "only the tail page is new");
    assert_eq!(store.stat(b).unwrap().size, 1 << 20);
    let meta = store.meta(b).unwrap();
    meta.check().unwrap();
    assert_eq!((meta.id, Bounds::unpack(meta.bounds).fot_pages), (id(2), 1));
    store.write(b, DATA_START, &[2; 10]).unwrap();
    assert_eq!(store.info().unwrap().free_pages, before - 2, "one page unshared");
    store.write(a, DATA_START + 100_000, &[3; 10]).unwrap();
    assert_eq!(store.info().unwrap().free_pages, before - 5, "root, leaf and page unshared");
    let byte = |store: &Store<Memory<'_>>, r, at| {
        let mut one = [0];
        store.read(r, at, &mut one).unwrap();
        one[0]
    };
    assert_eq!((byte(&store, a, DATA_START), byte(&store, b, DATA_START)), (1, 2));
    let at = DATA_START + 100_000;
    assert_eq!((byte(&store, a, at), byte(&store, b, at)), (3, 1));
    assert_eq!((byte(&store, a, TAIL_START), byte(&store, b, TAIL_START)), (5, 5));
    for n in [1, 2] {
        let r = store.delete(id(n)).unwrap();
        store.reclaim(r).unwrap();
    }
    assert_eq!(store.info().unwrap().free_pages, start, "nothing leaked");
    assert_clean(&mut bytes);
}

#[test]
fn huge_runs_are_used_split_and_given_back() {
    let mut bytes = image(4096);
    let mut store = open(&mut bytes);
    let start = store.info().unwrap().free_pages;
    let a = create(&mut store, 1, 6 << 20);
    let data: Vec<u8> = (0..6 << 20).map(|i| (i / 4096 % 255) as u8 + 1).collect();
    store.write(a, DATA_START, &data).unwrap();
    let huge = |s: &Store<Memory<'_>>, r, page| {
        matches!(s.translate(r, page), Ok(Translation::Page { huge: true, .. }))
    };
    assert!(!huge(&store, a, 9) && huge(&store, a, 512) && huge(&store, a, 1535));
    let b = store.copy(a, id(2), &new(2, 0)).unwrap();
    assert!(huge(&store, b, 512));
    store.write(b, DATA_START + (2 << 20), &[0xee; 100]).unwrap();
    let mut back = vec![0; 6 << 20];
    store.read(a, DATA_START, &mut back).unwrap();
    assert!(back == data);
    store.read(b, DATA_START, &mut back).unwrap();
    assert_eq!(back[(2 << 20) + 99], 0xee);
    back[2 << 20..(2 << 20) + 100].copy_from_slice(&data[2 << 20..(2 << 20) + 100]);
    assert!(back == data);
    store.resize(a, 3 << 20).unwrap();
    for n in [1, 2] {
        let r = store.delete(id(n)).unwrap();
        store.reclaim(r).unwrap();
    }
    let c = create(&mut store, 3, 8 << 20);
    assert!(matches!(store.touch_huge(c, 700), Ok(Translation::Page { huge: true, .. })));
    store.resize(c, 700 * PAGE).unwrap();
    assert!(!huge(&store, c, 700));
    let r = store.delete(id(3)).unwrap();
    store.reclaim(r).unwrap();
    assert_eq!(store.info().unwrap().free_pages, start, "nothing leaked");
    assert_clean(&mut bytes);
}

#[test]
fn deleting_takes_two_steps() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let free = store.info().unwrap().free_pages;
    for n in 0..3 {
        let r = create(&mut store, n, 10_000);
        store.write(r, DATA_START, &[1; 10_000]).unwrap();
    }
    let dying: Vec<_> = (0..3).map(|n| store.delete(id(n)).unwrap()).collect();
    assert_eq!(store.find(id(1)), Err(StoreError::NotFound { id: id(1) }));
    assert_eq!(store.stat(dying[1]).unwrap().id, id(1), "who holds it has it still");
    assert_eq!(store.info().unwrap().free_pages, free - 9);
    // From the middle of the list, then its ends.
    for i in [1, 2, 0] {
        store.reclaim(dying[i]).unwrap();
        let gone = StoreError::NoRecord { record: dying[i].0 };
        assert_eq!(store.reclaim(dying[i]), Err(gone));
        assert_eq!(store.stat(dying[i]), Err(gone));
    }
    assert_eq!(store.info().unwrap().free_pages, free);
    assert!(!store.info().unwrap().dying);
    create(&mut store, 4, 0);
    store.delete(id(4)).unwrap();
    store.into_media();
    assert!(!open(&mut bytes).info().unwrap().dying, "opening finishes what was deleted");
    assert_clean(&mut bytes);
}

#[test]
fn a_full_pool_says_so_and_loses_nothing() {
    let mut bytes = image_with(200, Some(4));
    let mut store = open(&mut bytes);
    let a = create(&mut store, 1, 1 << 20);
    let full = StoreError::Full { what: Resource::Pages };
    assert_eq!(store.write(a, DATA_START, &[1; 1 << 20]), Err(full));
    let free = store.info().unwrap().free_pages;
    let mut page = 0;
    while store.touch(a, 1 + page, true).is_ok() {
        page += 1;
    }
    assert!(page > 100 && store.info().unwrap().free_pages <= free);
    let b = store.copy(a, id(2), &new(2, 0)).unwrap();
    assert_eq!(store.write(b, DATA_START + 100_000, &[2; 10]), Err(full));
    create(&mut store, 3, 0);
    let records = StoreError::Full { what: Resource::Records };
    assert_eq!(store.create(id(4), &new(4, 0)), Err(records));
    for n in 1..=3 {
        let r = store.delete(id(n)).unwrap();
        store.reclaim(r).unwrap();
    }
    create(&mut store, 4, 0);
    let info = store.info().unwrap();
    assert_eq!(info.free_pages, info.data_pages);
    assert_clean(&mut bytes);
}

#[test]
fn immutable_objects_are_filled_then_hold_still() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let mut hash = twz_core::ident::ContentHash::new();
    hash.update(&[3; 5000]);
    let identity =
        Identity { flags: meta::flags::IMMUTABLE, content: hash.finish(), ..identity(1) };
    let id = identity.id().unwrap();
    let r = store.create(id, &NewObject { size: 5000, ..NewObject::bytes(identity) }).unwrap();
    assert_eq!(store.verify_content(r), Err(StoreError::ContentMismatch { id }));
    store.fill(r, DATA_START, &[3; 5000]).unwrap();
    store.verify_content(r).unwrap();
    assert_eq!(store.write(r, DATA_START, &[1]), Err(StoreError::Immutable { id }));
    assert_eq!(store.resize(r, 1), Err(StoreError::Immutable { id }));
    assert_eq!(store.touch(r, 1, true), Err(StoreError::Immutable { id }));
    assert!(store.touch(r, 1, false).is_ok());
    assert_clean(&mut bytes);
}

#[test]
fn names() {
    let mut bytes = image(900);
    let mut store = open(&mut bytes);
    create(&mut store, 1, 0);
    create(&mut store, 2, 0);
    let dir = store.mkdir(b"/lists", &identity(10)).unwrap();
    assert_eq!(store.bind(b"/lists/a", id(1), false), Ok(None));
    assert_eq!(store.lookup(b"lists//a"), Ok(Binding::Object(id(1))));
    assert_eq!(store.lookup(b"/lists"), Ok(Binding::Directory(dir)));
    assert_eq!(store.lookup(b"/none"), Err(StoreError::NoName));
    assert_eq!(store.lookup(b"/lists/a/b"), Err(StoreError::NotADirectory));
    assert_eq!(store.bind(b"/lists/a", id(2), false), Err(StoreError::NameTaken));
    assert_eq!(store.bind(b"/lists/a", id(2), true), Ok(Some(id(1))));
    assert_eq!(store.delete(id(2)), Err(StoreError::Bound { id: id(2), names: 1 }));
    assert_eq!(store.bind(b"/lists", id(2), true), Err(StoreError::IsADirectory));
    assert_eq!(store.bind(b"/d", dir, true), Err(StoreError::Directory { id: dir }));
    assert_eq!(store.rename(b"/lists", b"/lists/x/y"), Err(StoreError::BelowItself));
    assert_eq!(store.rmdir(b"/lists").map(|_| ()), Err(StoreError::NotEmpty));
    assert_eq!(store.rename(b"/lists", b"/ls"), Ok(None));
    assert_eq!(store.bind(b"/b", id(1), false), Ok(None));
    assert_eq!(store.rename(b"/b", b"/ls/a"), Ok(Some(id(2))));
    assert_eq!(store.lookup(b"/ls/a"), Ok(Binding::Object(id(1))));
    assert_eq!(store.unbind(b"/ls"), Err(StoreError::IsADirectory));
    assert_eq!(store.unbind(b"/ls/a"), Ok(id(1)));
    let r = store.rmdir(b"/ls").unwrap();
    store.reclaim(r).unwrap();
    store.delete(id(1)).unwrap();
    store.delete(id(2)).unwrap();
    assert!(store.write(twz_core::RecordNo(0), DATA_START, &[0]).is_err(), "a directory");
    assert_clean(&mut bytes);
}

#[test]
fn a_thousand_names_in_one_directory() {
    let mut bytes = image(900);
    let mut store = open(&mut bytes);
    create(&mut store, 1, 0);
    for n in 0..1000 {
        store.bind(format!("/name {n}").as_bytes(), id(1), false).unwrap();
    }
    let (mut cursor, mut entry) = (0, NameEntry::new_zeroed());
    let mut seen = std::collections::BTreeSet::new();
    let root = store.geometry().root_names;
    while let Some(binding) = store.read_dir(root, &mut cursor, &mut entry).unwrap() {
        assert_eq!(binding, Binding::Object(id(1)));
        assert!(seen.insert(entry.bytes().to_vec()));
    }
    assert_eq!(seen.len(), 1000);
    for n in 0..1000 {
        store.unbind(format!("/name {n}").as_bytes()).unwrap();
    }
    store.delete(id(1)).unwrap();
    assert_clean(&mut bytes);
}

#[test]
fn listing_finds_every_object_once() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    for n in 0..20 {
        create(&mut store, n, 0);
    }
    store.delete(id(7)).unwrap();
    let (mut cursor, mut out, mut all) = (0, [ObjectId::NULL; 3], Vec::new());
    loop {
        let n = store.list(&mut cursor, &mut out).unwrap();
        if n == 0 {
            break;
        }
        all.extend_from_slice(&out[..n]);
    }
    assert_eq!(all.len(), 20, "19 and the root directory");
    assert!(!all.contains(&id(7)));
    assert_clean(&mut bytes);
}

#[test]
fn either_superblock_will_do() {
    for slot in [0, 1] {
        let mut bytes = image(300);
        bytes[slot * 4096 + 100] ^= 1;
        assert!(Store::open(Memory::new(&mut bytes), Mode::ReadOnly).is_ok());
        open(&mut bytes).into_media();
        bytes[(1 - slot) * 4096 + 100] ^= 1;
        assert!(Store::open(Memory::new(&mut bytes), Mode::ReadOnly).is_ok(), "it was mended");
    }
    let mut bytes = image(300);
    (bytes[100], bytes[4196]) = (0xff, 0xff);
    assert!(Store::open(Memory::new(&mut bytes), Mode::ReadOnly).is_err());
    let mut half = image(300);
    half.truncate(200 * 4096);
    let short = Store::open(Memory::new(&mut half), Mode::ReadOnly).map(|_| ());
    assert_eq!(short, Err(StoreError::TooSmall { need: 300 * 4096, have: 200 * 4096 }));
}

#[test]
fn read_only_means_it() {
    let mut bytes = image(300);
    create(&mut open(&mut bytes), 1, 100);
    let mut store = Store::open(Memory::new(&mut bytes), Mode::ReadOnly).unwrap();
    let r = store.find(id(1)).unwrap();
    assert_eq!(store.create(id(2), &new(2, 0)), Err(StoreError::ReadOnly));
    assert_eq!(store.write(r, DATA_START, &[1]), Err(StoreError::ReadOnly));
    assert_eq!(store.resize(r, 5), Err(StoreError::ReadOnly));
    assert_eq!(store.delete(id(1)), Err(StoreError::ReadOnly));
    assert_eq!(store.touch(r, 1, true), Err(StoreError::ReadOnly));
    assert_eq!(store.bind(b"/a", id(1), false), Err(StoreError::ReadOnly));
}

#[test]
fn a_directorys_id_is_checked_on_first_use_and_forgotten_with_its_record() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let dir = store.mkdir(b"/d", &identity(1)).unwrap();
    create(&mut store, 2, 0);
    store.bind(b"/d/x", id(2), false).unwrap();
    assert_eq!(store.lookup(b"/d/x"), Ok(Binding::Object(id(2))));
    // Two more transactions, or the journal would mend what is forged.
    create(&mut store, 8, 0);
    create(&mut store, 9, 0);
    let at = store.geometry().records_page * PAGE + 256;
    store.into_media();
    // The record now says that another nonce earned the id.
    let mut forged = bytes.clone();
    let record = &mut forged[at as usize..at as usize + 256];
    let mut lie = ObjectRecord::read_from_bytes(record).unwrap();
    assert_eq!(lie.id, dir);
    lie.nonce[0] ^= 1;
    lie.checksum = lie.compute_checksum();
    record.copy_from_slice(lie.as_bytes());
    let store = Store::open(Memory::new(&mut forged), Mode::ReadOnly).unwrap();
    for _ in 0..2 {
        assert_eq!(store.lookup(b"/d/x"), Err(StoreError::IdMismatch { id: dir }));
    }
    // A record that was a directory's and is an object's is no directory.
    let mut store = open(&mut bytes);
    store.unbind(b"/d/x").unwrap();
    let r = store.rmdir(b"/d").unwrap();
    store.reclaim(r).unwrap();
    assert_eq!(create(&mut store, 3, 0), r);
    store.bind(b"/d", id(3), false).unwrap();
    assert_eq!(store.lookup(b"/d/x"), Err(StoreError::NotADirectory));
    assert_eq!(store.lookup(b"/d"), Ok(Binding::Object(id(3))));
}
