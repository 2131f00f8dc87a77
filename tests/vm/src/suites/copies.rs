// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copy on write: a copy and its source share pages until either is written,
//! by a command or by a store, in pages of 4 KiB and of 2 MiB.

use twz_abi::{ObjectId, PAGE, Rights, ioctl as abi};

use crate::{
    errno::Errno,
    ktap::Test,
    map::{HUGE, RWX},
    probe,
    process::{self, Shared},
    sys::Session,
    tests,
    world::{OPEN, RW, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_copy_is_what_the_source_is,
    a_copy_takes_hardly_any_storage,
    a_write_to_either_side_leaves_the_other,
    a_store_to_either_side_leaves_the_other,
    a_store_to_large_pages_leaves_the_other,
    a_copy_of_a_copy_outlives_what_is_between,
    a_shared_page_that_was_read_is_replaced_when_written,
    a_resize_of_one_side_leaves_the_other,
    a_copy_made_while_others_store_never_changes,
    no_copy_of_a_directory,
];

fn filled(session: &Session, size: u64, salt: u64) -> ObjectId {
    let id = session.create(size, OPEN);
    let words: Vec<u8> = (0..size / 8).flat_map(|i| (i * 8 / PAGE + salt).to_le_bytes()).collect();
    assert_eq!(session.write(id, PAGE, &words), Ok(size));
    id
}

fn a_copy_is_what_the_source_is() {
    let session = Session::open();
    let create = abi::Create {
        kind: 1,
        fingerprint: 99,
        size: 5 * PAGE + 5,
        default_rights: OPEN.0,
        ..Default::default()
    };
    let source = session.create_as(create).expect("CREATE");
    session.set_word(source, 3 * PAGE, 4);
    let copy = session.copy(source).expect("COPY");
    let stat = session.stat(copy).expect("STAT");
    assert_eq!((stat.kind, stat.fingerprint, stat.size), (1, 99, 5 * PAGE + 5));
    assert_eq!(stat.default_rights, Rights::DEFAULT.0, "its rights are its own");
    assert_eq!((session.word(copy, 3 * PAGE), session.word(copy, 0)), (4, 0));
    assert_ne!(copy, source);
}

fn a_copy_takes_hardly_any_storage() {
    let session = Session::open();
    let source = filled(&session, 2048 * PAGE, 1);
    let before = session.info().free_pages;
    let copies: Vec<ObjectId> = (0..20).map(|_| session.copy(source).expect("COPY")).collect();
    let taken = before - session.info().free_pages;
    assert!(taken <= 20 * 3, "{taken} pages for 20 copies of 2048");
    for copy in copies {
        assert_eq!(session.word(copy, 2047 * PAGE), 2048);
        assert_eq!(session.delete(copy), Ok(()));
    }
    assert!(before - session.info().free_pages <= 8);
}

fn a_write_to_either_side_leaves_the_other() {
    let session = Session::open();
    for size in [16 * PAGE, 3 * HUGE as u64] {
        let source = filled(&session, size, 5);
        let copy = session.copy(source).expect("COPY");
        let last = size - PAGE;
        let was = session.word(source, last);
        session.set_word(source, last, 1);
        assert_eq!(session.word(copy, last), was, "the source was written");
        session.set_word(copy, 0, 2);
        assert_eq!(session.word(source, 0), 5, "the copy was written");
        session.set_word(copy, last + 8, 3);
        assert_eq!((session.word(source, last + 8), session.word(copy, last)), (was, was));
    }
}

/// Both sides are mapped and were written before the copy is made.
fn stores_part(world: &World, size: u64, pages: &[u64]) {
    let source = filled(&world.session, size, 7);
    world.show(2, source, RW);
    for &page in pages {
        assert_eq!(probe::store(world.at(2, page * PAGE), 100 + page), Ok(()));
    }
    let copy = world.session.copy(source).expect("COPY");
    world.show(3, copy, RW);
    for &page in pages {
        let (at, twin) = (world.at(2, page * PAGE), world.at(3, page * PAGE));
        assert_eq!(probe::load(twin), Ok(100 + page));
        assert_eq!(probe::store(at, 200 + page), Ok(()));
        assert_eq!(probe::load(twin), Ok(100 + page), "a store to the source, page {page}");
        assert_eq!(probe::store(twin + 8, 300 + page), Ok(()));
        assert_eq!(probe::load(at + 8), Ok(page + 7), "a store to the copy, page {page}");
        assert_eq!(probe::load(twin + 16), Ok(page + 7), "the rest of the page came along");
        assert_eq!(world.session.word(copy, page * PAGE), 100 + page);
        assert_eq!(world.session.word(source, page * PAGE), 200 + page);
    }
    world.unmap(2);
    world.unmap(3);
}

fn a_store_to_either_side_leaves_the_other() {
    let world = World::new();
    stores_part(&world, 64 * PAGE, &[0, 1, 7, 8, 9, 33, 63]);
}

fn a_store_to_large_pages_leaves_the_other() {
    let world = World::new();
    // 511 is at slot offset 2 MiB, where the first large page can begin.
    stores_part(&world, 4 * HUGE as u64, &[0, 511, 512, 1000, 1022, 1023, 1500, 2047]);
}

fn a_copy_of_a_copy_outlives_what_is_between() {
    let session = Session::open();
    let first = filled(&session, 600 * PAGE, 1);
    let second = session.copy(first).map(|id| (id, session.copy(id)));
    let (second, third) = match second {
        // The second grants no more than the default, which includes reading.
        Ok((id, Ok(third))) => (id, third),
        other => panic!("COPY: {other:?}"),
    };
    session.set_word(first, 0, 90);
    assert_eq!(session.delete(first), Ok(()));
    session.set_word(second, PAGE, 91);
    assert_eq!(session.delete(second), Ok(()));
    for page in 0..600 {
        assert_eq!(session.word(third, page * PAGE), page + 1);
    }
}

fn a_shared_page_that_was_read_is_replaced_when_written() {
    let world = World::new();
    let source = filled(&world.session, 8 * PAGE, 7);
    let copy = world.session.copy(source).expect("COPY");
    let other = World::new();
    world.show(2, copy, RW);
    other.show(2, copy, RW);
    for page in 0..8 {
        assert_eq!(probe::load(world.at(2, page * PAGE)), Ok(page + 7));
        assert_eq!(probe::load(other.at(2, page * PAGE)), Ok(page + 7));
    }
    // The page that both have mapped is the source's: a store moves both to another.
    assert_eq!(probe::store(world.at(2, 3 * PAGE), 1), Ok(()));
    assert_eq!(probe::load(other.at(2, 3 * PAGE)), Ok(1));
    world.session.set_word(copy, 4 * PAGE, 2);
    assert_eq!(probe::load(world.at(2, 4 * PAGE)), Ok(2), "WRITE");
    assert_eq!(probe::load(other.at(2, 4 * PAGE)), Ok(2));
    assert_eq!(
        (world.session.word(source, 3 * PAGE), world.session.word(source, 4 * PAGE)),
        (10, 11)
    );
}

fn a_resize_of_one_side_leaves_the_other() {
    let session = Session::open();
    let source = filled(&session, 1500 * PAGE, 1);
    let copy = session.copy(source).expect("COPY");
    assert_eq!(session.resize(source, 700 * PAGE + 9), Ok(()));
    assert_eq!(session.resize(source, 1500 * PAGE), Ok(()));
    for page in (0..1500).step_by(7) {
        assert_eq!(session.word(copy, page * PAGE), page + 1);
    }
    assert_eq!(session.word(source, 1000 * PAGE), 0);
    assert_eq!(session.resize(copy, 0), Ok(()));
    assert_eq!(session.word(source, 500 * PAGE), 501);
}

/// Another process counts up in two words of every page, the first one first.
/// Each copy is of one instant, so the second is never ahead, and stays as it is.
fn a_copy_made_while_others_store_never_changes() {
    const PAGES: u64 = 6;
    let world = World::new();
    let source = world.object(2, PAGES * PAGE, OPEN);
    let shared = Shared::new();
    let child = process::fork(|| {
        let other = World::of(Session::open(), world.view, 8, RWX);
        for n in 1.. {
            for page in 0..PAGES {
                probe::store(other.at(2, page * PAGE), n).expect("a store");
                probe::store(other.at(2, page * PAGE + 8), n).expect("a store");
            }
            shared.set(0, n);
            if shared.get(1) != 0 {
                break;
            }
        }
        0
    });
    shared.await_at_least(0, 10);
    for round in 0..60 {
        let copy = world.session.copy(source).expect("COPY");
        let words = || -> Vec<u64> {
            let word = |i: u64| world.session.word(copy, i / 2 * PAGE + i % 2 * 8);
            (0..2 * PAGES).map(word).collect()
        };
        let first = words();
        let seen = shared.get(0);
        shared.await_at_least(0, seen + 3);
        assert_eq!(words(), first, "copy {round} has changed");
        assert!(first.chunks(2).all(|pair| pair[0] >= pair[1]), "{first:?}");
        assert_eq!(world.session.delete(copy), Ok(()));
    }
    shared.set(1, 1);
    child.succeed();
}

fn no_copy_of_a_directory() {
    let session = Session::open();
    let (_, root) = session.lookup(b"/").expect("LOOKUP");
    assert_eq!(session.copy(root), Err(Errno::EISDIR));
}
