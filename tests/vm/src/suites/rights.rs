// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rights: the view's protection AND the object's AND the mapping's own, for
//! every combination, and never writing and executing at once.

use twz_abi::{PAGE, Rights, reason};

use crate::{
    errno::Errno,
    ktap::Test,
    map::{HUGE, RWX},
    probe::{self, Fault},
    suites::objects::sealed,
    tests,
    world::{OPEN, RET, RW, RWX_RIGHTS, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    every_combination_of_view_and_object,
    every_combination_in_large_pages,
    the_mappings_protection_bounds_both,
    what_was_written_can_be_run_and_written_again,
    what_was_run_can_be_written,
    what_was_read_can_be_run_once_the_view_says_so,
    asking_again_without_the_right_is_eacces,
    asking_again_about_other_memory_fails,
    an_immutable_object_is_never_written,
    a_right_that_is_taken_away_is_gone_with_the_invalidation,
    a_right_that_comes_later_is_there_with_the_next_fault,
    a_large_page_that_may_be_read_is_not_written,
    the_view_is_an_object_like_any,
];

const ACCESSES: [Rights; 3] = [Rights::READ, Rights::WRITE, Rights::EXEC];

/// Tries one access.
fn try_access(access: Rights, at: usize) -> Result<(), Fault> {
    match access {
        Rights::READ => probe::load(at).map(|_| ()),
        Rights::WRITE => probe::store(at, RET),
        _ => probe::exec(at),
    }
}

/// Tries one access to what is not mapped yet, and checks answer and reason.
fn expect(world: &World, what: &str, access: Rights, at: usize, why: Option<u32>) {
    let got = try_access(access, at);
    let Some(why) = why else {
        assert_eq!(got, Ok(()), "{what}: {access:?}");
        return;
    };
    let fault = got.expect_err(&format!("{what}: {access:?} was done"));
    assert!(fault.is_segv_at(at), "{what}: {fault:?}");
    let last = world.session.last_error();
    assert_eq!((last.reason, last.address), (why, at as u64), "{what}: {access:?}");
    assert_eq!(last.wanted, access.0, "{what}");
}

/// All 64 pairs, and each of some accesses, at data byte `at` of an object of `size`.
fn combinations(world: &World, accesses: &[Rights], size: u64, at: u64) {
    for object_rights in 0..8 {
        let source = world.session.create(size, OPEN);
        assert_eq!(world.session.reserve(source, 0, size), Ok(()));
        world.session.set_word(source, at, RET);
        let default_rights = object_rights | Rights::DELETE.0;
        let create = twz_abi::ioctl::Create { default_rights, ..Default::default() };
        let id = world.session.copy_as(source, create).expect("COPY");
        // Its pages are its own, and the copy's, again.
        assert_eq!(world.session.delete(source), Ok(()));
        for (view, access) in (0..8).flat_map(|view| accesses.iter().map(move |a| (view, *a))) {
            world.show(2, id, Rights(view));
            assert_eq!(world.session.invalidate(world.view, 2, 1), Ok(()));
            // What is mapped can be read on this processor: without READ nothing is.
            let has = |rights: u32, right: Rights| rights & right.0 != 0;
            let why = match access {
                _ if !has(view, access) => Some(reason::VIEW_DENIES),
                _ if !has(object_rights, access) => Some(reason::CONTEXT_DENIES),
                _ if !has(view, Rights::READ) => Some(reason::VIEW_DENIES),
                _ if !has(object_rights, Rights::READ) => Some(reason::CONTEXT_DENIES),
                _ => None,
            };
            let what = format!("view {:?} object {:?}", Rights(view), Rights(object_rights));
            expect(world, &what, access, world.at(2, at), why);
        }
        world.unmap(2);
        assert_eq!(world.session.delete(id), Ok(()));
    }
}

fn every_combination_of_view_and_object() {
    combinations(&World::to_run(), &ACCESSES, PAGE, 64);
}

fn every_combination_in_large_pages() {
    // Slot offset 2 MiB is where the first large page can begin.
    let (size, at) = (2 * HUGE as u64, HUGE as u64 + PAGE);
    combinations(&World::new(), &[Rights::READ, Rights::WRITE], size, at);
    // Another mapping of the same kind of view: what is run there is not written.
    let run = World::with(8, libc::PROT_READ | libc::PROT_EXEC);
    combinations(&run, &[Rights::READ, Rights::EXEC], size, at);
}

fn the_mappings_protection_bounds_both() {
    let (r, w, x) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
    for protection in [0, r, r | w, r | x, r | w | x] {
        let world = World::with(8, protection);
        let id = world.session.create(PAGE, OPEN);
        world.session.set_word(id, 0, RET);
        for (access, bit) in ACCESSES.into_iter().zip([r, w, x]) {
            for touched in [false, true] {
                world.show(2, id, RWX_RIGHTS);
                world.session.invalidate(world.view, 2, 1).expect("INVALIDATE_VIEW");
                if touched {
                    let _ = probe::load(world.at(2, 8));
                }
                let mut got = try_access(access, world.at(2, 0));
                if access == Rights::EXEC && got.is_err_and(|fault| fault.was_present()) {
                    let again = world.session.fault(world.at(2, 0), Rights::EXEC);
                    assert_eq!(again.is_ok(), protection & x != 0, "FAULT, PROT {protection}");
                    got = try_access(access, world.at(2, 0));
                }
                let allowed = protection & bit != 0;
                let what = format!("PROT {protection}, {access:?}, read before: {touched}");
                assert_eq!(got.is_ok(), allowed, "{what}: {got:?}");
            }
        }
    }
}

/// Jumps there; if the page forbids it, asks again once.
fn run(world: &World, at: usize) -> Result<(), Errno> {
    match probe::exec(at) {
        Ok(()) => Ok(()),
        Err(fault) => {
            assert!(fault.is_segv_at(at), "{fault:?}");
            world.session.fault(at, Rights::EXEC)?;
            assert_eq!(probe::exec(at), Ok(()), "after FAULT has said yes");
            Ok(())
        }
    }
}

fn what_was_written_can_be_run_and_written_again() {
    let world = World::to_run();
    world.object(2, 3 * HUGE as u64, OPEN);
    for at in [world.at(2, 0), world.at(2, HUGE as u64)] {
        for round in 0..10 {
            assert_eq!(probe::store(at, RET), Ok(()), "round {round}");
            assert_eq!(run(&world, at), Ok(()), "round {round}");
        }
    }
}

fn what_was_run_can_be_written() {
    let world = World::to_run();
    let id = world.object(2, PAGE, OPEN);
    world.session.set_word(id, 0, RET);
    let at = world.at(2, 0);
    assert_eq!(probe::exec(at), Ok(()), "nothing is mapped yet: the fault is the module's");
    let before = probe::minor_faults();
    assert_eq!(probe::store(at, RET), Ok(()));
    assert!(probe::minor_faults() > before, "the page was not writable while it could be run");
    assert_eq!(probe::load(at), Ok(RET));
}

fn what_was_read_can_be_run_once_the_view_says_so() {
    let world = World::to_run();
    let id = world.session.create(PAGE, OPEN);
    world.session.set_word(id, 0, RET);
    world.show(2, id, Rights::READ);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    let fault = probe::exec(at).expect_err("a jump");
    assert!(fault.is_segv_at(at) && fault.was_present(), "{fault:?}");
    assert_eq!(fault.error & 16, 16, "a fetch: {fault:?}");
    assert_eq!(world.session.fault(at, Rights::EXEC), Err(Errno::EACCES));
    world.show(2, id, Rights::READ | Rights::EXEC);
    assert!(probe::exec(at).is_err(), "the processor does not ask again by itself");
    assert_eq!(world.session.fault(at, Rights::EXEC), Ok(()));
    assert_eq!(probe::exec(at), Ok(()));
}

fn asking_again_without_the_right_is_eacces() {
    let world = World::to_run();
    let id = world.session.create(PAGE, Rights::READ | Rights::DELETE);
    world.show(2, id, RWX_RIGHTS);
    let at = world.at(2, 0);
    for access in [Rights::WRITE, Rights::EXEC] {
        assert_eq!(world.session.fault(at, access), Err(Errno::EACCES), "{access:?}");
        let last = world.session.last_error();
        assert_eq!((last.reason, last.wanted), (reason::CONTEXT_DENIES, access.0));
    }
    assert_eq!(world.session.fault(at, Rights::READ), Ok(()));
    assert_eq!(probe::load(at), Ok(0));
}

fn asking_again_about_other_memory_fails() {
    let world = World::to_run();
    let local = 0u64;
    for address in [0, 8, &raw const local as usize, usize::MAX - 7, 1 << 47] {
        let got = world.session.fault(address, Rights::READ);
        assert!(got.is_err(), "FAULT at {address:#x}");
    }
    assert_eq!(local, 0);
}

fn an_immutable_object_is_never_written() {
    let world = World::to_run();
    let id = sealed(&world.session, *b"sealed against s", 3 * HUGE as u64, OPEN);
    world.show(2, id, RWX_RIGHTS);
    for at in [world.at(2, 0), world.at(2, HUGE as u64), world.slot(2, twz_abi::TAIL_START)] {
        assert!(probe::store(at, 1).expect_err("a store").is_segv_at(at));
        assert_eq!(probe::load(at), Ok(0));
        assert!(probe::store(at, 1).expect_err("a store").is_segv_at(at), "it is mapped now");
        assert_eq!(world.session.fault(at, Rights::WRITE), Err(Errno::EACCES));
    }
    assert_eq!(world.session.word(id, 0), 0);
}

fn a_right_that_is_taken_away_is_gone_with_the_invalidation() {
    let world = World::to_run();
    let id = world.object(2, PAGE, OPEN);
    let at = world.at(2, 0);
    for _ in 0..20 {
        world.show(2, id, RW);
        world.session.invalidate(world.view, 2, 1).expect("INVALIDATE_VIEW");
        assert_eq!(probe::store(at, 1), Ok(()));
        world.show(2, id, Rights::READ);
        world.session.invalidate(world.view, 2, 1).expect("INVALIDATE_VIEW");
        assert!(probe::store(at, 2).expect_err("a store").is_segv_at(at));
        assert_eq!(probe::load(at), Ok(1));
        assert!(probe::store(at, 2).expect_err("a store").is_segv_at(at));
    }
}

fn a_right_that_comes_later_is_there_with_the_next_fault() {
    let world = World::to_run();
    let id = world.session.create(PAGE, OPEN);
    world.show(2, id, Rights::READ);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(0));
    assert!(probe::store(at, 1).is_err());
    world.store_entry(2, id, RW);
    assert_eq!(probe::store(at, 1), Ok(()), "a store asks again by itself");
}

fn a_large_page_that_may_be_read_is_not_written() {
    let world = World::new();
    let id = world.session.create(3 * HUGE as u64, OPEN);
    assert_eq!(world.session.reserve(id, 0, 3 * HUGE as u64), Ok(()));
    world.show(2, id, Rights::READ);
    let first = HUGE as u64 - PAGE;
    // The program's own pages come with its first load, and are not to be counted.
    assert_eq!(probe::load(world.at(2, 0)), Ok(0));
    let before = probe::minor_faults();
    (0..512).for_each(|page| assert_eq!(probe::load(world.at(2, first + page * PAGE)), Ok(0)));
    assert!(probe::minor_faults() - before <= 4, "it is a large page");
    for page in [0, 1, 300, 511] {
        let at = world.at(2, first + page * PAGE);
        let fault = probe::store(at, 1).expect_err("a store");
        assert!(fault.is_segv_at(at) && fault.was_present(), "{fault:?}");
    }
    assert_eq!(world.session.word(id, first), 0);
    // And with the right it is, by the same large page.
    world.show(2, id, RW);
    let before = probe::minor_faults();
    (0..512).for_each(|page| {
        assert_eq!(probe::store(world.at(2, first + page * PAGE), 1), Ok(()));
    });
    assert!(probe::minor_faults() - before <= 4, "it is a large page again");
}

fn the_view_is_an_object_like_any() {
    let world = World::with(8, RWX);
    world.show(3, world.view, Rights::READ);
    let at = world.slot(3, twz_abi::ViewEntry::offset(3));
    assert_eq!(probe::load(at), Ok(world.view.lo));
    assert!(probe::store(at, 0).expect_err("a store").is_segv_at(at));
    assert_eq!(probe::load(world.at(3, 0)).map(|_| ()), Ok(()));
}
