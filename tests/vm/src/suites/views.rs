// SPDX-License-Identifier: MIT OR Apache-2.0
//! Views: what a touch of a slot shows, and what it is told where it shows nothing.

use std::sync::atomic::Ordering;

use twz_abi::{
    META_START, ObjectId, PAGE, Rights, TAIL_START, ViewEntry, ioctl as abi, meta, reason,
    superblock,
};

use crate::{
    errno::Errno,
    ktap::{Test, skip},
    map::{self, HUGE, Map, RWX},
    probe,
    process::{self, Shared},
    sys::Session,
    tests,
    world::{OPEN, RW, RWX_RIGHTS, VIEW_SLOT, World, view_object},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_store_into_the_view_maps,
    a_changed_entry_shows_with_the_next_fault,
    an_invalidation_shows_at_once,
    an_invalidation_is_of_the_slots_it_names,
    an_invalidation_reaches_other_processes,
    two_processes_see_each_others_stores,
    two_views_do_not_mix,
    an_object_in_two_slots_is_one,
    damaged_entries_are_told_from_each_other,
    a_view_has_the_slots_that_its_size_has,
    slot_0_shows_no_object,
    the_control_page_is_readable_only_and_moves,
    what_is_neither_data_nor_table_is_refused,
    the_tail_is_mapped,
    a_page_of_the_table_is_mapped_once_it_counts,
    an_object_that_grows_or_shrinks,
    a_hole_takes_storage_when_it_is_written,
    a_zero_page_gives_way_to_what_is_written,
    recycled_pages_are_zeros_in_memory,
    neighbours_come_along,
    two_mebibytes_come_at_once,
    a_full_pool_is_sigbus,
    only_views_can_be_set,
    a_mapping_outlives_its_descriptor,
    parts_and_repetitions_of_a_view_can_be_mapped,
    mappings_that_cannot_be_are_einval,
    populating_and_prefetching_do_no_harm,
];

fn a_store_into_the_view_maps() {
    let world = World::new();
    let id = world.session.create(PAGE, OPEN);
    world.session.set_word(id, 8, 0xabc);
    assert!(probe::load(world.at(3, 8)).is_err());
    world.store_entry(3, id, RW);
    assert_eq!(probe::load(world.at(3, 8)), Ok(0xabc));
    assert_eq!(probe::store(world.at(3, 16), 5), Ok(()));
    assert_eq!(world.session.word(id, 16), 5);
}

fn a_changed_entry_shows_with_the_next_fault() {
    let world = World::new();
    let [a, b] = [1, 2].map(|n| {
        let id = world.session.create(400 * PAGE, OPEN);
        (0..400).for_each(|page| world.session.set_word(id, page * PAGE, n));
        id
    });
    world.store_entry(2, a, RW);
    assert_eq!(probe::load(world.at(2, 0)), Ok(1));
    world.store_entry(2, b, RW);
    // What is mapped may stay, until a fault in the slot.
    assert_eq!(probe::load(world.at(2, 390 * PAGE)), Ok(2));
    assert_eq!(probe::load(world.at(2, 0)), Ok(2), "the fault has dropped them all");
}

fn an_invalidation_shows_at_once() {
    let world = World::new();
    let [a, b] = [1, 2].map(|n| {
        let id = world.session.create(PAGE, OPEN);
        world.session.set_word(id, 0, n);
        id
    });
    for round in 0..20 {
        let (id, n) = if round % 2 == 0 { (a, 1) } else { (b, 2) };
        world.store_entry(2, id, RW);
        assert_eq!(world.session.invalidate(world.view, 2, 1), Ok(()));
        assert_eq!(probe::load(world.at(2, 0)), Ok(n), "round {round}");
    }
    world.unmap(2);
    assert!(probe::load(world.at(2, 0)).is_err());
    assert_eq!(world.session.last_error().reason, reason::NO_VIEW);
}

fn an_invalidation_is_of_the_slots_it_names() {
    let world = World::new();
    let ids: Vec<ObjectId> = (0..4).map(|i| world.object(2 + i, PAGE, OPEN)).collect();
    (2..6).for_each(|slot| assert!(probe::load(world.at(slot, 0)).is_ok()));
    (2..6).for_each(|slot| world.hide(slot));
    assert_eq!(world.session.invalidate(world.view, 3, 2), Ok(()));
    let shown = [2, 3, 4, 5].map(|slot| probe::load(world.at(slot, 0)).is_ok());
    assert_eq!(shown, [true, false, false, true]);
    assert_eq!(world.session.invalidate(world.view, 0, 0), Ok(()), "none");
    assert_eq!(world.session.invalidate(ids[0], 0, 1), Err(Errno::EINVAL), "no view");
}

/// Has a child map the same view, and both take turns at changing it.
fn an_invalidation_reaches_other_processes() {
    let world = World::new();
    let ids = [1, 2].map(|n| {
        let id = world.session.create(PAGE, OPEN);
        world.session.set_word(id, 0, n);
        id
    });
    world.show(2, ids[0], RW);
    assert_eq!(probe::load(world.at(2, 0)), Ok(1));
    let (shared, view) = (Shared::new(), world.view);
    let child = process::fork(|| {
        let other = World::of(Session::open(), view, 8, RWX);
        assert_eq!(probe::load(other.at(2, 0)), Ok(1));
        shared.set(0, 1);
        for round in 0..50 {
            shared.await_at_least(1, round + 1);
            // The parent has changed the slot; so do we.
            assert_eq!(probe::load(other.at(2, 0)), Ok(2), "in the child, round {round}");
            other.show(2, ids[0], RW);
            assert_eq!(other.session.invalidate(view, 2, 1), Ok(()));
            shared.set(0, round + 2);
        }
        0
    });
    for round in 0..50 {
        shared.await_at_least(0, round + 1);
        assert_eq!(probe::load(world.at(2, 0)), Ok(1), "in the parent, round {round}");
        world.show(2, ids[1], RW);
        assert_eq!(world.session.invalidate(view, 2, 1), Ok(()));
        shared.set(1, round + 1);
    }
    child.succeed();
}

fn two_processes_see_each_others_stores() {
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let shared = Shared::new();
    let child = process::fork(|| {
        let other = World::of(Session::open(), world.view, 8, RWX);
        shared.set(0, 1);
        for round in 1..=100 {
            while probe::load(other.at(2, 0)).expect("a load") != round {
                std::thread::yield_now();
            }
            probe::store(other.at(2, 8), round).expect("a store");
        }
        0
    });
    shared.await_at_least(0, 1);
    for round in 1..=100 {
        probe::store(world.at(2, 0), round).expect("a store");
        while probe::load(world.at(2, 8)).expect("a load") != round {
            std::thread::yield_now();
        }
    }
    child.succeed();
    assert_eq!(world.session.word(id, 8), 100);
}

fn two_views_do_not_mix() {
    let (one, two) = (World::new(), World::new());
    let (a, b) = (one.object(2, PAGE, OPEN), two.object(2, PAGE, OPEN));
    one.session.set_word(a, 0, 1);
    two.session.set_word(b, 0, 2);
    assert_eq!((probe::load(one.at(2, 0)), probe::load(two.at(2, 0))), (Ok(1), Ok(2)));
    one.unmap(2);
    assert!(probe::load(one.at(2, 0)).is_err());
    assert_eq!(probe::load(two.at(2, 0)), Ok(2));
    two.show(3, a, RW);
    assert_eq!(probe::load(two.at(3, 0)), Ok(1), "one object may be in both");
}

fn an_object_in_two_slots_is_one() {
    let world = World::new();
    let id = world.object(2, 3 * PAGE, OPEN);
    world.show(3, id, RW);
    assert_eq!(probe::load(world.at(3, PAGE)), Ok(0), "a hole");
    assert_eq!(probe::store(world.at(2, PAGE), 4), Ok(()));
    assert_eq!(probe::load(world.at(3, PAGE)), Ok(4));
    assert_eq!(probe::store(world.at(3, PAGE + 8), 5), Ok(()));
    assert_eq!(probe::load(world.at(2, PAGE + 8)), Ok(5));
}

fn damaged_entries_are_told_from_each_other() {
    let world = World::new();
    let id = world.session.create(PAGE, OPEN);
    let good = ViewEntry::new(id, RW);
    let unknown = ObjectId::from_u128(9 << 64 | 9);
    let bad = [
        (ViewEntry { word: good.word & !0xff | 2, ..good }, reason::BAD_VIEW),
        (ViewEntry { word: good.word | 1 << 8, ..good }, reason::BAD_VIEW),
        (ViewEntry { word: good.word | 1 << 31, ..good }, reason::BAD_VIEW),
        (ViewEntry { word: good.word | 1 << 38, ..good }, reason::BAD_VIEW),
        (ViewEntry { word: good.word | 1 << 63, ..good }, reason::BAD_VIEW),
        (ViewEntry { reserved: 1, ..good }, reason::BAD_VIEW),
        (ViewEntry { id: ObjectId::NULL, ..good }, reason::BAD_VIEW),
        (ViewEntry { id: ObjectId { lo: 0, ..id }, ..good }, reason::BAD_VIEW),
        (ViewEntry { id: unknown, ..good }, reason::NO_OBJECT),
        (ViewEntry { word: 0, ..good }, reason::NO_VIEW),
        (ViewEntry::new(id, Rights::NONE), reason::VIEW_DENIES),
    ];
    for (entry, why) in bad {
        world.set_entry(2, entry);
        let at = world.at(2, 24);
        let fault = probe::load(at).expect_err("a load");
        assert!(fault.is_segv_at(at), "{entry:?}: {fault:?}");
        let last = world.session.last_error();
        assert_eq!((last.reason, last.address), (why, at as u64), "{entry:?}");
        world.set_entry(2, good);
        assert_eq!(probe::load(at), Ok(0), "and a good one is taken");
        world.unmap(2);
    }
}

fn a_view_has_the_slots_that_its_size_has() {
    let session = Session::open();
    // One page of entries: 128 slots.
    let view = view_object(&session, 8);
    let world = World::of(session, view, 130, map::RW);
    let id = world.session.create(PAGE, OPEN);
    world.show(127, id, RW);
    assert_eq!(probe::load(world.at(127, 0)), Ok(0), "the last one");
    assert!(probe::load(world.at(129, 0)).is_err(), "there is no slot 129");
    assert_eq!(world.session.last_error().reason, reason::NO_VIEW);
    assert_eq!(world.session.resize(view, 64), Err(Errno::EBUSY), "nor fewer while it is shown");
}

fn slot_0_shows_no_object() {
    let world = World::new();
    let id = world.session.create(8 * PAGE, OPEN);
    world.show(0, id, RWX_RIGHTS);
    for offset in [0, 2 * PAGE, 3 * PAGE, TAIL_START] {
        let at = world.slot(0, offset);
        assert!(probe::load(at).expect_err("a load").is_segv_at(at), "{offset:#x}");
    }
}

fn the_control_page_is_readable_only_and_moves() {
    let world = World::new();
    let at = world.slot(0, abi::CONTROL_OFFSET);
    assert_eq!(probe::load(at), Ok(superblock::CONTROL_MAGIC));
    let before = probe::load(at + 8).expect("the generation");
    assert_eq!(world.session.invalidate(world.view, 5, 1), Ok(()));
    let after = probe::load(at + 8).expect("the generation");
    assert!(after > before, "{after} after {before}");
    assert!(probe::store(at + 8, 0).expect_err("a store").is_segv_at(at + 8));
    assert!(probe::exec(at).is_err());
    assert_eq!(probe::load(at + 8), Ok(after));
}

fn what_is_neither_data_nor_table_is_refused() {
    let world = World::new();
    let id = world.object(2, PAGE + 1, OPEN);
    world.session.set_word(id, 0, 1);
    // The null page, the first page after the data, the middle, the page below the tail.
    for offset in [0, 8, PAGE - 8, 3 * PAGE, 3 * PAGE + 8, 1 << 29, TAIL_START - PAGE] {
        let at = world.slot(2, offset) + 1;
        for fault in
            [probe::load_byte(at).expect_err("a load"), probe::store(at, 1).expect_err("a store")]
        {
            assert!(fault.is_segv_at(at), "{offset:#x}: {fault:?}");
            assert!(!fault.was_present());
        }
        let last = world.session.last_error();
        assert_eq!((last.reason, last.address, last.id), (reason::OUTSIDE, at as u64, id));
    }
    assert_eq!(probe::load(world.slot(2, PAGE)), Ok(1));
    assert_eq!(probe::store(world.slot(2, 2 * PAGE + 800), 1), Ok(()), "the last page is whole");
}

fn the_tail_is_mapped() {
    let world = World::new();
    let id = world.object(2, 100, OPEN);
    let meta = world.slot(2, META_START);
    assert_eq!(probe::load(meta), Ok(meta::META_MAGIC));
    assert_eq!((probe::load(meta + 32), probe::load(meta + 40)), (Ok(id.lo), Ok(id.hi)));
    assert_eq!(probe::load(meta + 128), Ok(100), "the size");
    let entry = world.slot(2, META_START - 32);
    assert_eq!(probe::store(entry, 0x77), Ok(()));
    let mut bytes = [0; 8];
    assert_eq!(world.session.read(id, META_START - 32, &mut bytes), Ok(8));
    assert_eq!(u64::from_le_bytes(bytes), 0x77);
    assert_eq!(world.session.resize(id, 200), Ok(()));
    assert_eq!(probe::load(meta + 128), Ok(200), "a change of size shows");
    let twin = world.session.copy(id).expect("COPY");
    assert_eq!(world.session.read(twin, META_START - 32, &mut bytes), Ok(8));
    assert_eq!(u64::from_le_bytes(bytes), 0x77, "a copy has the same table");
}

fn a_page_of_the_table_is_mapped_once_it_counts() {
    let world = World::new();
    let id = world.object(2, 100, OPEN);
    let below = world.slot(2, TAIL_START - PAGE);
    assert!(probe::load(below).is_err());
    let bounds = probe::atomic(world.slot(2, META_START + 136));
    let old = bounds.load(Ordering::SeqCst);
    assert_eq!(old, 1, "one page of data, no more of the table");
    let new = old | 1 << 32;
    assert_eq!(bounds.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst), Ok(old));
    assert_eq!(probe::store(below, 6), Ok(()));
    assert!(probe::load(below - 8).is_err(), "only that one");
    assert_eq!(world.session.resolve(id, Rights::READ).map(|told| told.fot_pages), Ok(1));
    let limit = twz_abi::MAX_DATA;
    assert_eq!(world.session.resize(id, limit), Err(Errno::EINVAL), "data may not run into it");
    // Bounds that lie must not open the rest of the slot to harm.
    bounds.store(u64::MAX, Ordering::SeqCst);
    let _ = probe::load(world.slot(2, 0));
    let _ = probe::store(world.slot(2, 1 << 29), 1);
    assert_eq!(world.session.stat(id).map(|stat| stat.size), Ok(100));
}

fn an_object_that_grows_or_shrinks() {
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let far = world.at(2, 100 * PAGE);
    assert!(probe::store(far, 1).is_err());
    assert_eq!(world.session.resize(id, 101 * PAGE), Ok(()));
    assert_eq!(probe::store(far, 0x5ec), Ok(()));
    assert_eq!(probe::store(world.at(2, 0), 7), Ok(()));
    assert_eq!(world.session.resize(id, PAGE), Ok(()));
    let fault = probe::load(far).expect_err("what was cut is not mapped any more");
    assert!(fault.is_segv_at(far) && !fault.was_present(), "{fault:?}");
    assert_eq!(world.session.last_error().reason, reason::OUTSIDE);
    assert_eq!(probe::load(world.at(2, 0)), Ok(7), "the rest is");
    assert_eq!(world.session.resize(id, 101 * PAGE), Ok(()));
    assert_eq!(probe::load(far), Ok(0), "what was cut does not come back");
}

fn a_hole_takes_storage_when_it_is_written() {
    let world = World::new();
    let id = world.object(2, 64 * PAGE, OPEN);
    // The view's page is there before we count.
    assert_eq!(probe::load(world.at(2, 0)), Ok(0));
    let before = world.session.info().free_pages;
    (0..64).for_each(|page| assert_eq!(probe::load(world.at(2, page * PAGE + 8)), Ok(0)));
    assert_eq!(world.session.info().free_pages, before, "reading takes none");
    assert_eq!(world.session.stat(id).map(|stat| stat.pages), Ok(0));
    assert_eq!(probe::store(world.at(2, 0), 1), Ok(()));
    let taken = before - world.session.info().free_pages;
    assert!((1..=64).contains(&taken), "{taken} pages");
}

/// Who has read a hole has zeros mapped: they must not stay when somebody,
/// anywhere and by whatever way, writes there.
fn a_zero_page_gives_way_to_what_is_written() {
    let world = World::new();
    let id = world.object(2, 32 * PAGE, OPEN);
    let other = World::new();
    other.show(5, id, RW);
    let at = |page: u64| world.at(2, page * PAGE);
    (0..32).for_each(|page| assert_eq!(probe::load(at(page)), Ok(0)));
    (0..32).for_each(|page| assert_eq!(probe::load(other.at(5, page * PAGE)), Ok(0)));
    assert_eq!(probe::store(other.at(5, 0), 1), Ok(()));
    assert_eq!(probe::load(at(0)), Ok(1), "a store through another view");
    world.session.set_word(id, 20 * PAGE, 2);
    assert_eq!(probe::load(at(20)), Ok(2), "WRITE");
    assert_eq!(world.session.reserve(id, 0, 32 * PAGE), Ok(()));
    assert_eq!(probe::store(other.at(5, 25 * PAGE), 3), Ok(()));
    assert_eq!(probe::load(at(25)), Ok(3), "a store to what was reserved");
    let child = process::fork(|| {
        let third = World::of(Session::open(), other.view, 8, RWX);
        probe::store(third.at(5, 31 * PAGE), 4).expect("a store");
        0
    });
    child.succeed();
    assert_eq!(probe::load(at(31)), Ok(4), "a store of another process");
    assert_eq!(probe::load(other.at(5, 31 * PAGE)), Ok(4));
}

fn recycled_pages_are_zeros_in_memory() {
    let world = World::new();
    for round in 0..6 {
        let size = if round % 2 == 0 { 300 * PAGE } else { 3 * HUGE as u64 };
        let secret = world.object(2, size, OPEN);
        let step = if round % 2 == 0 { PAGE } else { 8 * PAGE };
        (0..size / step)
            .for_each(|i| probe::store(world.at(2, i * step), u64::MAX).expect("a store"));
        world.unmap(2);
        assert_eq!(world.session.delete(secret), Ok(()));
        let id = world.object(2, size, OPEN);
        if round % 3 == 2 {
            assert_eq!(world.session.reserve(id, 0, size), Ok(()));
        }
        for i in 0..size / step {
            let at = world.at(2, i * step);
            assert_eq!(probe::store(at + 16, 1), Ok(()));
            assert_eq!((probe::load(at), probe::load(at + 4088)), (Ok(0), Ok(0)), "round {round}");
        }
        world.unmap(2);
        assert_eq!(world.session.delete(id), Ok(()));
    }
}

fn neighbours_come_along() {
    let world = World::new();
    let id = world.object(2, 64 * PAGE, OPEN);
    assert_eq!(world.session.write(id, PAGE, &vec![1; 64 * 4096]), Ok(64 * PAGE));
    let before = probe::minor_faults();
    (0..64).for_each(|page| assert!(probe::load(world.at(2, page * PAGE)).is_ok()));
    let taken = probe::minor_faults() - before;
    assert!((1..=16).contains(&taken), "{taken} faults for 64 pages");
}

fn two_mebibytes_come_at_once() {
    let world = World::new();
    let id = world.object(2, 3 * HUGE as u64, OPEN);
    assert_eq!(world.session.reserve(id, 0, 3 * HUGE as u64), Ok(()));
    let first = (HUGE as u64) - PAGE; // Data byte at slot offset 2 MiB.
    // The program's own pages come with its first store, and are not to be counted.
    assert_eq!(probe::store(world.at(2, 0), 0), Ok(()));
    let before = probe::minor_faults();
    (0..512).for_each(|page| {
        assert_eq!(probe::store(world.at(2, first + page * PAGE), page), Ok(()));
    });
    let taken = probe::minor_faults() - before;
    assert!((1..=4).contains(&taken), "{taken} faults for 2 MiB that are reserved");
    assert_eq!(world.session.word(id, first + 511 * PAGE), 511);
    let sparse = world.object(3, 3 * HUGE as u64, OPEN);
    let before = probe::minor_faults();
    (0..512).for_each(|page| {
        assert_eq!(probe::store(world.at(3, first + page * PAGE), page), Ok(()));
    });
    let taken = probe::minor_faults() - before;
    assert!((1..=64).contains(&taken), "{taken} faults for 2 MiB of a hole");
    assert_eq!(world.session.word(sparse, first + 511 * PAGE), 511);
}

fn a_full_pool_is_sigbus() {
    let world = World::new();
    let holes = world.object(2, 8 * PAGE, OPEN);
    let free = world.session.info().free_pages;
    if free > 400_000 {
        skip("the pool is too large to be filled in time");
    }
    // Whatever remains after whole runs, page by page.
    let big = world.session.object(0);
    let mut size = 0;
    let mut step = 64 << 20;
    while step >= PAGE {
        match world.session.reserve(big, size, size + step) {
            Ok(()) => size += step,
            Err(Errno::ENOSPC) => step /= 2,
            Err(other) => panic!("RESERVE: {other:?}"),
        }
    }
    let mut fillers = vec![big];
    while world.session.info().free_pages > 0 {
        let id = world.session.object(PAGE);
        fillers.push(id);
        assert_eq!(world.session.write(id, PAGE, &[1; 8]), Ok(8));
    }
    assert_eq!(probe::load(world.at(2, 0)), Ok(0), "reading a hole takes nothing");
    let at = world.at(2, PAGE);
    let fault = probe::store(at, 1).expect_err("a store");
    assert_eq!((fault.signal, fault.address), (libc::SIGBUS, at));
    assert_eq!(world.session.last_error().reason, reason::FULL);
    assert_eq!(world.session.write(holes, PAGE, &[1]), Err(Errno::ENOSPC));
    assert_eq!(world.session.last_error().reason, reason::FULL);
    fillers.into_iter().for_each(|id| assert_eq!(world.session.delete(id), Ok(())));
    assert_eq!(probe::store(at, 1), Ok(()), "and then there is room again");
    assert!(free - world.session.info().free_pages < 64);
}

fn only_views_can_be_set() {
    let session = Session::open();
    let plain = session.object(PAGE);
    assert_eq!(session.set_view(plain).map(|_| ()), Err(Errno::EINVAL));
    let create = abi::Create {
        kind: meta::kind::VIEW,
        size: PAGE,
        default_rights: Rights::DELETE.0,
        ..Default::default()
    };
    let blind = session.create_as(create).expect("CREATE");
    assert_eq!(session.set_view(blind).map(|_| ()), Err(Errno::EACCES), "no right to read it");
}

fn a_mapping_outlives_its_descriptor() {
    let World { arena, fd, view, slots, session } = World::new();
    let id = session.create(PAGE, OPEN);
    drop(fd);
    let fd = session.set_view(view).expect("SET_VIEW");
    let world = World { arena, fd, view, slots, session };
    world.show(2, id, RW);
    assert_eq!(probe::store(world.at(2, 0), 4), Ok(()));
    assert_eq!(world.session.word(id, 0), 4);
    assert_eq!(probe::load(world.at(VIEW_SLOT, 32 * 2)), Ok(id.lo));
    // The view object itself may go, for all that it is in use.
    assert_eq!(world.session.delete(view), Ok(()));
    assert_eq!(probe::load(world.at(2, 0)), Ok(4));
    assert_eq!(probe::load(world.at(VIEW_SLOT, 32 * 2)), Ok(id.lo));
}

fn parts_and_repetitions_of_a_view_can_be_mapped() {
    let world = World::new();
    let id = world.object(2, 4 * PAGE, OPEN);
    world.session.set_word(id, PAGE, 9);
    let offset = 2 * twz_abi::SLOT + 2 * PAGE;
    let part = Map::new(&world.fd, offset, map::PAGE, map::RW, libc::MAP_SHARED).expect("mmap");
    assert_eq!(probe::load(part.at(0)), Ok(9));
    assert_eq!(probe::store(part.at(8), 10), Ok(()));
    assert_eq!(probe::load(world.at(2, PAGE + 8)), Ok(10));
    world.unmap(2);
    assert!(probe::load(part.at(0)).is_err(), "an invalidation reaches it too");
}

fn mappings_that_cannot_be_are_einval() {
    let world = World::new();
    let map = |offset, len| {
        Map::new(&world.fd, offset, len, libc::PROT_READ, libc::MAP_SHARED).map(|_| ())
    };
    assert_eq!(map(0, map::PAGE), Ok(()));
    let end = twz_abi::view::MAX_SLOTS as u64 * twz_abi::SLOT;
    assert_eq!(map(end, map::PAGE), Err(Errno::EINVAL), "past the last slot");
    assert_eq!(map(end - PAGE, 2 * map::PAGE), Err(Errno::EINVAL), "across its end");
    assert_eq!(map(17, map::PAGE), Err(Errno::EINVAL), "no whole page");
}

fn populating_and_prefetching_do_no_harm() {
    let world = World::new();
    let id = world.object(2, 16 * PAGE, Rights::READ | Rights::DELETE);
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    let offset = 2 * twz_abi::SLOT;
    // From the null page to past the data.
    let part = Map::new(&world.fd, offset, 32 * map::PAGE, map::RW, flags).expect("mmap");
    assert_eq!(part.len(), 32 * map::PAGE);
    assert_eq!(probe::load(part.at(map::PAGE)), Ok(0));
    assert!(probe::store(part.at(map::PAGE), 1).is_err());
    assert!(probe::load(part.at(0)).is_err());
    assert_eq!(world.session.stat(id).map(|stat| stat.pages), Ok(0));
}
