// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What a repair brings back, by example.

mod common;

use common::{power::Power, *};
use twz_abi::{superblock::PoolState, DATA_START, PAGE, SLOT_PAGES};
use twz_core::{
    check::Problem, geometry::Geometry, names::Binding, Memory, Mode, Store, StoreError,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Objects 1 to 4 with data and names, and nothing left for the journal to do.
fn furnished() -> (Vec<u8>, Geometry) {
    let mut bytes = image_with(400, Some(16));
    let mut store = open(&mut bytes);
    for n in 1..5 {
        let r = create(&mut store, n, 100_000);
        store.write(r, DATA_START, &[n as u8; 50_000]).unwrap();
        store.touch(r, SLOT_PAGES - 1, true).unwrap();
        store.bind(format!("/{n}").as_bytes(), id(n), false).unwrap();
    }
    let geo = *store.geometry();
    store.into_media();
    let journal = (geo.journal_page * PAGE) as usize;
    bytes[journal..journal + (geo.journal_pages * PAGE) as usize].fill(0);
    assert_clean(&mut bytes);
    (bytes, geo)
}

fn assert_whole(bytes: &mut [u8], objects: impl IntoIterator<Item = u64>) {
    let store = Store::open(Memory::new(bytes), Mode::ReadOnly).unwrap();
    for n in objects {
        let mut data = [0; 50_000];
        store.read(store.find(id(n)).unwrap(), DATA_START, &mut data).unwrap();
        assert!(data.iter().all(|&b| b == n as u8), "object {n}");
        let path = format!("/{n}");
        assert_eq!(store.lookup(path.as_bytes()), Ok(Binding::Object(id(n))));
    }
}

#[test]
fn all_that_follows_from_the_records_is_made_anew() {
    let (good, geo) = furnished();
    let regions =
        [geo.state_page, geo.heads_page, geo.groups_page, geo.bitmap_page, geo.refs_page, 0, 1];
    for page in regions {
        let mut bytes = good.clone();
        bytes[(page * PAGE) as usize..((page + 1) * PAGE) as usize].fill(0xa5);
        let found = problems(&mut bytes);
        assert!(!found.is_empty() && found.iter().all(Problem::is_mendable), "{found:?}");
        let (summary, _) = mend(&mut bytes).unwrap();
        assert_eq!(summary.objects, 5);
        assert_clean(&mut bytes);
        assert_whole(&mut bytes, 1..5);
        // And it can be used.
        create(&mut open(&mut bytes), 9, 0);
        assert_clean(&mut bytes);
    }
}

#[test]
fn a_wrong_count_of_directories_is_found_and_mended() {
    let (mut bytes, geo) = furnished();
    let mut store = open(&mut bytes);
    store.mkdir(b"/d", &identity(50)).unwrap();
    store.mkdir(b"/d/e", &identity(51)).unwrap();
    let r = store.rmdir(b"/d/e").unwrap();
    assert_eq!(store.info().unwrap().directories, 2);
    store.reclaim(r).unwrap();
    store.sync().unwrap();
    store.into_media();
    // A pool that was made before there was such a count has 0 there.
    for wrong in [0u64, 1, 3] {
        let mut bytes = bytes.clone();
        let at = (geo.state_page * PAGE) as usize;
        let mut state = PoolState::read_from_bytes(&bytes[at..at + 64]).unwrap();
        state.directories = wrong;
        state.checksum = state.compute_checksum();
        bytes[at..at + 64].copy_from_slice(state.as_bytes());
        // Nor may the journal bring the right one back.
        let journal = (geo.journal_page * PAGE) as usize;
        bytes[journal..journal + (geo.journal_pages * PAGE) as usize].fill(0);
        let found = problems(&mut bytes);
        let told = Problem::Count { what: "directories", stored: wrong, counted: 2 };
        assert_eq!(found, [told]);
        mend(&mut bytes).unwrap();
        assert_clean(&mut bytes);
        let info = open(&mut bytes).info().unwrap();
        assert_eq!((info.objects, info.directories), (6, 2));
    }
}

#[test]
fn a_flipped_place_in_a_log_is_found_and_mended() {
    let (good, _) = furnished();
    let magic = twz_abi::meta::META_MAGIC.to_le_bytes();
    let meta = good.chunks(512).position(|part| part.starts_with(&magic)).unwrap() * 512;
    for bit in 0..64 {
        let mut bytes = good.clone();
        bytes[meta + 184 + bit / 8] ^= 1 << (bit % 8);
        let found = problems(&mut bytes);
        assert!(matches!(found[..], [Problem::Meta { .. }]), "{bit}: {found:?}");
        mend(&mut bytes).unwrap();
        assert_clean(&mut bytes);
        assert_whole(&mut bytes, 1..5);
    }
}

#[test]
fn a_lost_record_takes_only_its_object_along() {
    let (mut bytes, geo) = furnished();
    bytes[(geo.records_page * PAGE) as usize + 2 * 256 + 17] ^= 4;
    let (_, found) = mend(&mut bytes).unwrap();
    assert!(found.iter().any(|p| matches!(p, Problem::Record { record: 2, .. })), "{found:?}");
    assert_clean(&mut bytes);
    assert_whole(&mut bytes, [1, 3, 4]);
    let mut store = open(&mut bytes);
    assert_eq!(store.find(id(2)), Err(StoreError::NotFound { id: id(2) }));
    assert_eq!(store.lookup(b"/2"), Err(StoreError::NoName));
    create(&mut store, 2, 0);
}

/// Where the tags of the root directory's first page are, and its entries.
fn tags(bytes: &[u8]) -> (usize, usize) {
    let magic = twz_abi::name::PAGE_MAGIC.to_le_bytes();
    let page = bytes.chunks(PAGE as usize).position(|page| page.starts_with(&magic)).unwrap();
    (page * PAGE as usize + 8, page * PAGE as usize + 64)
}

#[test]
fn a_flipped_tag_is_found_and_mended_and_loses_no_name() {
    let (good, _) = furnished();
    let (at, _) = tags(&good);
    for bit in 0..14 * 32 {
        let mut bytes = good.clone();
        bytes[at + bit / 8] ^= 1 << (bit % 8);
        let found = problems(&mut bytes);
        assert!(matches!(found[..], [Problem::Tag { .. }]), "{bit}: {found:?}");
        assert!(found[0].is_mendable());
        mend(&mut bytes).unwrap();
        assert!(bytes[at..] == good[at..], "bit {bit}");
        assert_clean(&mut bytes);
    }
}

#[test]
fn a_tag_that_lies_gives_no_wrong_object() {
    let (good, _) = furnished();
    let (at, entries) = tags(&good);
    for lie in 0..14 * 14 {
        let mut bytes = good.clone();
        // One entry's tag is another's, or that of a free entry.
        let (from, to) = (at + lie / 14 * 4, at + lie % 14 * 4);
        bytes.copy_within(from..from + 4, to);
        let mut store = open(&mut bytes);
        for n in 1..5 {
            let found = store.lookup(format!("/{n}").as_bytes());
            let right = Ok(Binding::Object(id(n)));
            assert!(found == right || found == Err(StoreError::NoName), "{lie}: {found:?}");
        }
        // Nor does an insert take what is not free.
        store.bind(b"/new", id(1), false).unwrap();
        assert_eq!(store.lookup(b"/new"), Ok(Binding::Object(id(1))));
        store.into_media();
        let four = entries..entries + 4 * 288;
        assert!(bytes[four.clone()] == good[four], "{lie}");
        mend(&mut bytes).unwrap();
        assert_clean(&mut bytes);
        let store = open(&mut bytes);
        for n in 1..5 {
            assert_eq!(
                store.lookup(format!("/{n}").as_bytes()),
                Ok(Binding::Object(id(n))),
                "{lie}"
            );
        }
    }
}

#[test]
fn a_name_that_a_wrong_tag_hid_and_that_was_bound_again_is_there_once() {
    let (mut bytes, _) = furnished();
    let (at, _) = tags(&bytes);
    bytes[at..at + 4].fill(0);
    let mut store = open(&mut bytes);
    assert_eq!(store.lookup(b"/1"), Err(StoreError::NoName));
    store.bind(b"/1", id(2), false).unwrap();
    store.into_media();
    assert!(!problems(&mut bytes).is_empty());
    mend(&mut bytes).unwrap();
    assert_clean(&mut bytes);
    assert!(open(&mut bytes).lookup(b"/1").is_ok());
}

#[test]
fn a_read_only_opening_refuses_what_was_cut_and_a_check_says_so() {
    let (bytes, _) = furnished();
    let mut refused = 0;
    for limit in 0..20 {
        let mut store = Store::open(Power::new(bytes.clone()), Mode::ReadWrite).unwrap();
        store.media_mut().limit = store.media().done + limit;
        if store.unbind(b"/1").is_err() {
            assert_eq!(store.unbind(b"/2"), Err(StoreError::Stopped));
        }
        let mut image = store.into_media().visible;
        let opened = Store::open(Memory::new(&mut image), Mode::ReadOnly).map(|_| ());
        if opened == Err(StoreError::Unfinished) {
            refused += 1;
            // And nothing else: opening it for writing puts the rest in place.
            let found = problems(&mut image);
            assert!(matches!(found[..], [Problem::Journal { .. }]), "{found:?}");
        }
        open(&mut image).into_media();
        assert_clean(&mut image);
        assert_eq!(Store::open(Memory::new(&mut image), Mode::ReadOnly).map(|_| ()), Ok(()));
    }
    assert!(refused > 3, "{refused}");
}
