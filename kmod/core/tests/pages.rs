// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What a fault asks of a store, by example: pages at once, and where they end.

mod common;

use common::*;
use sha2::{Digest as _, Sha256};
use twz_abi::{
    meta::{self, heap_word, Bounds},
    DATA_START, META_START, PAGE, SLOT_PAGES, TAIL_START,
};
use twz_core::{
    error::Resource, Extent, Identity, Memory, NewObject, RecordNo, Store, StoreError, Translation,
};

const TAIL: u64 = SLOT_PAGES - 1;

fn pool_pages(store: &Store<Memory<'_>>, r: RecordNo, first: u64, count: usize) -> Vec<u64> {
    let mut out = vec![Translation::Hole; count];
    assert_eq!(store.translate_many(&store.stat(r).unwrap(), first, &mut out), Ok(count));
    out.iter()
        .map(|found| match *found {
            Translation::Page { pool_page, .. } => pool_page,
            Translation::Hole => 0,
        })
        .collect()
}

#[test]
fn pages_touched_together_are_one_change_and_lie_in_a_row() {
    let mut bytes = image(600);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 5 << 20);
    store.write(r, 603 * PAGE, &[1]).unwrap();
    let changes = store.changes();
    assert_eq!(store.touch_many(r, 600, 16, true), Ok(16));
    assert_eq!(store.changes(), changes + 1);
    let found = pool_pages(&store, r, 600, 16);
    let new: Vec<u64> = found.iter().copied().filter(|&p| p != found[3]).collect();
    assert!(new.windows(2).all(|w| w[0] + 1 == w[1]), "{found:?}");
    let mut byte = [0];
    store.read(r, 603 * PAGE, &mut byte).unwrap();
    assert_eq!(byte, [1]);
    assert_eq!(store.touch_many(r, 600, 16, true), Ok(16));
    assert_eq!(store.changes(), changes + 1, "nothing was missing");
    assert_clean(&mut bytes);
}

#[test]
fn a_touch_ends_with_its_node_its_data_and_its_fot() {
    let mut bytes = image(900);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 1030 * PAGE + 1);
    for (page, count, expected) in [
        (1, 64, 8),
        (8, 2, 1),
        (9, 0, 1),
        (9, 1000, 64),
        (511, 9, 1),
        (512, 64, 64),
        (1024, 64, 8),
        (1031, 64, 1),
        (TAIL, 64, 1),
    ] {
        assert_eq!(store.touch_many(r, page, count, true), Ok(expected), "{page}");
    }
    for page in [0, 1032, TAIL - 1, SLOT_PAGES, u64::MAX] {
        let result = store.touch_many(r, page, 4, true);
        assert!(matches!(result, Err(StoreError::Range { .. })), "{page}");
    }
    store.set_meta(r, 3, 0, 0).unwrap();
    let record = store.stat(r).unwrap();
    let extent = Extent { data_end_page: 1032, fot_first_page: TAIL - 3 };
    assert_eq!(store.extent(&record), Ok(extent));
    let from = |page| store.pages_from(&record, page).unwrap();
    assert_eq!([0, 1, 1031, 1032, TAIL - 4].map(from), [0, 1031, 1, 0, 0]);
    assert_eq!([TAIL - 3, TAIL, SLOT_PAGES, u64::MAX].map(from), [4, 1, 0, 0]);
    assert_eq!(store.touch_many(r, TAIL - 3, 64, true), Ok(3), "the tail page is elsewhere");
    assert_clean(&mut bytes);
}

#[test]
fn touching_for_reading_shares_and_for_writing_copies() {
    let mut bytes = image(600);
    let mut store = open(&mut bytes);
    let a = create(&mut store, 1, 1 << 20);
    store.write(a, 20 * PAGE, &[7; 4 * PAGE as usize]).unwrap();
    let b = store.copy(a, id(2), &new(2, 0)).unwrap();
    let free = store.info().unwrap().free_pages;
    assert_eq!(store.touch_many(b, 20, 4, false), Ok(4));
    assert_eq!(store.info().unwrap().free_pages, free);
    let mut out = [Translation::Hole; 6];
    assert_eq!(store.touch_into(b, 20, true, &mut out), Ok(6));
    assert!(out.iter().all(|t| matches!(t, Translation::Page { shared: false, .. })));
    assert_eq!(store.info().unwrap().free_pages, free - 8, "a root, a leaf, six pages");
    store.write(b, 21 * PAGE, &[8]).unwrap();
    let mut bytes_of_a = [0; 2];
    store.read(a, 21 * PAGE, &mut bytes_of_a).unwrap();
    assert_eq!(bytes_of_a, [7; 2]);
    let shared = store.translate(a, 20).unwrap();
    assert!(matches!(shared, Translation::Page { shared: false, .. }), "nobody else has it now");
    assert_clean(&mut bytes);
}

#[test]
fn a_full_pool_gives_what_it_has() {
    let mut bytes = image(200);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 5 << 20);
    store.touch(r, 600, true).unwrap();
    let free = store.info().unwrap().free_pages;
    let mut made = 0;
    while made < free {
        let left = free - made;
        let page = 1 + made + 512 + 88;
        let n = store.touch_many(r, page, 64, true).unwrap() as u64;
        assert!(n > 0 && n <= left);
        made += n;
    }
    let full = Err(StoreError::Full { what: Resource::Pages });
    assert_eq!(store.touch_many(r, 601 + made, 4, true), full);
    assert_eq!(store.touch_many(r, 600 + made, 4, true), Ok(1), "those that are there");
    assert_eq!(store.touch_many(r, 1, 4, true), full);
    assert_clean(&mut bytes);
}

#[test]
fn holes_of_a_directory_stay() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let root = store.find(store.geometry().root_names).unwrap();
    assert_eq!(store.stat(root).unwrap().kind, meta::kind::NAMES);
    assert_eq!(store.touch_many(root, 1, 4, false), Ok(0));
    assert_eq!(store.touch(root, 1, false), Ok(Translation::Hole));
    assert!(matches!(store.touch_many(root, 1, 4, true), Err(StoreError::Directory { .. })));
}

#[test]
fn what_can_make_a_record_stale_is_counted() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let mut last = store.changes();
    let mut changed = |store: &Store<Memory<'_>>| {
        let changed = store.changes() != last;
        last = store.changes();
        changed
    };
    let r = create(&mut store, 1, 5000);
    assert!(changed(&store));
    store.write(r, DATA_START, &[1; 100]).unwrap();
    assert!(changed(&store), "a page came to be");
    store.write(r, DATA_START, &[2; 100]).unwrap();
    assert!(!changed(&store), "the page is where it was");
    store.write(r, TAIL_START, &[1; 32]).unwrap();
    assert!(changed(&store));
    store.set_meta(r, 3, 0, 0).unwrap();
    assert!(changed(&store), "the FOT begins elsewhere");
    store.resize(r, 9000).unwrap();
    assert!(changed(&store));
    store.delete(id(1)).unwrap();
    assert!(changed(&store));
    store.reclaim(r).unwrap();
    assert!(changed(&store));
    assert!(store.find(id(1)).is_err() && store.touch(r, 1, true).is_err());
    assert!(!changed(&store));
}

#[test]
fn what_a_shrink_cuts_off_is_given_back_later() {
    let mut bytes = image(1600);
    let mut store = open(&mut bytes);
    let free = store.info().unwrap().free_pages;
    let r = create(&mut store, 1, 5 << 20);
    store.write(r, DATA_START, &[7; 3 << 20]).unwrap();
    let full = store.info().unwrap().free_pages;
    let cut = store.resize_detached(r, 700 * PAGE + 5).unwrap().unwrap();
    assert!(store.info().unwrap().free_pages < full, "a root and a leaf more");
    assert_eq!(store.stat(r).unwrap().size, 700 * PAGE + 5);
    assert_eq!(store.translate(r, 702), Ok(Translation::Hole));
    assert!(store.info().unwrap().dying);
    store.resize(r, 5 << 20).unwrap();
    let mut byte = [1];
    store.read(r, DATA_START + 700 * PAGE + 5, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    let mut steps = 1;
    while !store.reclaim_some(cut, 16).unwrap() {
        steps += 1;
    }
    assert!(steps > 2, "{steps} steps");
    assert!(store.reclaim_some(cut, 16).is_err(), "it is gone");
    assert_eq!(store.info().unwrap().free_pages, free - 701 - 3);
    store.resize(r, 700 * PAGE).unwrap();
    assert_eq!(store.resize_detached(r, 650 * PAGE), Ok(None), "few pages go at once");
    let whole = store.resize_detached(r, 0).unwrap().unwrap();
    assert_eq!(store.pages_used(r), Ok(0));
    store.reclaim(whole).unwrap();
    assert_eq!(store.info().unwrap().free_pages, free);
    assert_clean(&mut bytes);
}

#[test]
fn holes_and_data_are_found_and_made() {
    let mut bytes = image(1800);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 5 << 20);
    store.write(r, DATA_START, &[7; 12 * PAGE as usize]).unwrap();
    store.write(r, 512 * PAGE, &[7; 600 * PAGE as usize]).unwrap();
    store.touch(r, TAIL, true).unwrap();
    let seek = |store: &Store<Memory<'_>>, page| {
        let record = store.stat(r).unwrap();
        (store.next_data(&record, page).unwrap(), store.next_hole(&record, page).unwrap())
    };
    assert_eq!(seek(&store, 0), (Some(1), 13));
    assert_eq!(seek(&store, 13), (Some(512), 13));
    assert_eq!(seek(&store, 600), (Some(600), 1112));
    assert_eq!(seek(&store, 1112), (None, 1112));
    assert_eq!(seek(&store, u64::MAX), (None, u64::MAX));
    let free = store.info().unwrap().free_pages;
    assert_eq!(store.punch(r, 5, 10, 100), Ok(10));
    assert_eq!(store.punch(r, 700, 800, u64::MAX), Ok(800), "out of a huge run");
    assert_eq!(store.info().unwrap().free_pages, free + 105 - 1, "but for its leaf");
    assert_eq!(seek(&store, 0), (Some(1), 5));
    assert_eq!(seek(&store, 5), (Some(10), 5));
    assert_eq!(seek(&store, 512), (Some(512), 700));
    assert_eq!(seek(&store, 700), (Some(800), 700));
    let tail = store.translate(r, TAIL).unwrap();
    assert_eq!(store.punch(r, 0, u64::MAX, u64::MAX), Ok(u64::MAX));
    assert_eq!(store.translate(r, TAIL), Ok(tail), "neither tail nor FOT");
    assert_eq!(seek(&store, 0), (None, 1));
    assert_eq!(store.stat(r).unwrap().size, 5 << 20);
    assert_eq!(store.punch(r, 9, 9, 0), Ok(9));
    assert_clean(&mut bytes);
}

#[test]
fn the_meta_records_own_words_are_written_like_bytes() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let r = create(&mut store, 1, 5000);
    let bounds = META_START + 136;
    store.write(r, bounds + 4, &3u32.to_le_bytes()).unwrap();
    store.write(r, bounds + 16, &[9]).unwrap();
    let meta = store.meta(r).unwrap();
    assert_eq!(meta.bounds, Bounds { data_pages: 2, fot_pages: 3 }.pack());
    assert_eq!((meta.heap, meta.generation), (0, 9));
    store.write(r, bounds + 8, &heap_word(8192).to_le_bytes()).unwrap();
    assert_eq!(store.meta(r).unwrap().heap, heap_word(8192));
    assert!(store.meta(r).unwrap().check().is_ok());
    for (at, what) in [
        (bounds - 8, &[0; 8][..]),
        (bounds - 1, &[0; 2]),
        (bounds + 17, &[0; 8]),
        (bounds + 24, &[0; 1]),
        (bounds + 8, &[1; 8]),
        (bounds, &[0; 8]),
        (SLOT_PAGES * PAGE - 1, &[0; 1]),
        (u64::MAX, &[0; 9]),
    ] {
        let result = store.write(r, at, what);
        assert!(matches!(result, Err(StoreError::Range { .. })), "{at:#x}: {result:?}");
    }
    assert_eq!(store.meta(r).unwrap().generation, 9);
    assert_clean(&mut bytes);
}

#[test]
fn an_immutable_object_is_filled_with_its_fot_as_well() {
    let mut bytes = image(300);
    let mut store = open(&mut bytes);
    let content = Sha256::digest([7; 100]).into();
    let identity = Identity { flags: meta::flags::IMMUTABLE, content, ..identity(1) };
    let id = identity.id().unwrap();
    let new = NewObject { size: 100, ..NewObject::bytes(identity) };
    let r = store.create(id, &new).unwrap();
    let bounds = META_START + 136;
    assert_eq!(store.write(r, bounds + 4, &[1]), Err(StoreError::Immutable { id }));
    store.fill(r, bounds + 4, &[1]).unwrap();
    store.fill(r, TAIL_START - PAGE, &[5; 32]).unwrap();
    store.fill(r, DATA_START, &[7; 100]).unwrap();
    assert_eq!(store.verify_content(r), Ok(()));
    assert_eq!(store.extent(&store.stat(r).unwrap()).unwrap().fot_first_page, TAIL - 1);
}

#[test]
fn a_deleted_object_is_used_until_it_is_reclaimed() {
    let mut bytes = image(900);
    let mut store = open(&mut bytes);
    let free = store.info().unwrap().free_pages;
    let (r, other) = (create(&mut store, 1, 2 << 20), create(&mut store, 2, 0));
    store.write(r, DATA_START, &[7; 1 << 20]).unwrap();
    store.delete(id(1)).unwrap();
    store.delete(id(2)).unwrap();
    assert_eq!(store.touch_many(r, 400, 8, true), Ok(8));
    store.write(r, 401 * PAGE, &[9]).unwrap();
    store.write(r, TAIL_START, &[9; 32]).unwrap();
    store.resize(r, 450 * PAGE).unwrap();
    let cut = store.resize_detached(r, 10 * PAGE).unwrap().unwrap();
    let mut byte = [0];
    store.read(r, 10 * PAGE, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    for r in [r, cut, other] {
        store.reclaim(r).unwrap();
    }
    assert_eq!(store.info().unwrap().free_pages, free);
    assert_clean(&mut bytes);
}
