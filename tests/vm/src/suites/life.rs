// SPDX-License-Identifier: MIT OR Apache-2.0
//! What keeps an object, and what a process that dies leaves: nothing.

use std::os::fd::AsRawFd as _;

use twz_abi::{ObjectId, PAGE, Rights};

use crate::{
    errno::Errno,
    ktap::Test,
    map::{self, Map, RWX},
    module, probe,
    process::{self, Shared, Status},
    sys::{self, Session},
    tests,
    world::{OPEN, RW, World, view_object},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    a_deleted_object_stays_for_who_has_it_mapped,
    a_deleted_object_goes_with_its_last_slot,
    a_deleted_object_goes_with_its_last_descriptor,
    a_deleted_object_goes_with_its_last_mapping_as_a_file,
    a_deleted_object_ends_a_wait,
    another_process_keeps_what_is_deleted,
    references_are_counted,
    an_open_module_is_not_unloaded,
    a_mapped_module_is_not_unloaded,
    a_killed_process_leaves_nothing,
    a_process_that_crashes_in_a_slot_leaves_nothing,
    an_unmapped_arena_leaves_nothing,
    many_sessions_and_views_leave_nothing,
];

fn written(session: &Session, pages: u64) -> ObjectId {
    let id = session.create(pages * PAGE, OPEN);
    let len = (pages * PAGE) as usize;
    assert_eq!(session.write(id, PAGE, &vec![0x11; len]), Ok(pages * PAGE));
    id
}

const ELEVENS: u64 = 0x1111_1111_1111_1111;

/// Takes every page there is, fills it, and gives it back.
fn churn(session: &Session, pages: u64) {
    let id = session.object(0);
    assert_eq!(session.resize(id, pages * PAGE), Ok(()));
    assert_eq!(session.write(id, PAGE, &vec![0xee; (pages * PAGE) as usize]), Ok(pages * PAGE));
    assert_eq!(session.delete(id), Ok(()));
}

fn a_deleted_object_stays_for_who_has_it_mapped() {
    let world = World::new();
    let id = written(&world.session, 40);
    world.show(2, id, RW);
    assert_eq!(probe::load(world.at(2, 0)), Ok(ELEVENS));
    let free = world.session.info().free_pages;
    assert_eq!(world.session.delete(id), Ok(()));
    assert_eq!(world.session.stat(id).map(|_| ()), Err(Errno::ENOENT));
    assert_eq!(world.session.info().free_pages, free, "its pages are not free yet");
    churn(&world.session, 400);
    for page in 0..40 {
        assert_eq!(probe::load(world.at(2, page * PAGE + 64)), Ok(ELEVENS), "page {page}");
    }
    assert_eq!(probe::store(world.at(2, 8), 5), Ok(()));
    assert_eq!(probe::load(world.at(2, 8)), Ok(5));
}

fn a_deleted_object_goes_with_its_last_slot() {
    let world = World::new();
    let free = world.session.info().free_pages;
    let id = written(&world.session, 40);
    world.show(2, id, RW);
    world.show(3, id, RW);
    assert_eq!(probe::load(world.at(2, 0)), Ok(ELEVENS));
    assert_eq!(probe::load(world.at(3, 0)), Ok(ELEVENS));
    assert_eq!(world.session.delete(id), Ok(()));
    world.unmap(2);
    assert!(free - world.session.info().free_pages >= 40, "the other slot still has it");
    assert_eq!(probe::load(world.at(3, 0)), Ok(ELEVENS));
    world.unmap(3);
    assert!(free - world.session.info().free_pages < 10, "and now they are back");
    assert!(probe::load(world.at(3, 0)).is_err());
}

fn a_deleted_object_goes_with_its_last_descriptor() {
    let session = Session::open();
    let free = session.info().free_pages;
    let id = written(&session, 20);
    let fd = session.open_fd(id, RW).expect("OPEN_FD");
    assert_eq!(session.delete(id), Ok(()));
    churn(&session, 200);
    let mut word = [0u8; 8];
    let at = word.as_mut_ptr() as usize;
    let raw = fd.as_raw_fd() as usize;
    // Reads 8 bytes into `word`.
    let read = process::syscall(libc::SYS_pread64, [raw, at, 8, 4096, 0, 0]);
    assert_eq!((read, u64::from_le_bytes(word)), (Ok(8), ELEVENS));
    assert_eq!(free - session.info().free_pages, 20 + node_pages(20));
    drop(fd);
    assert_eq!(session.info().free_pages, free);
}

/// Pages that map `pages` pages of data, beside those that the record maps.
fn node_pages(pages: u64) -> u64 {
    if pages > 8 { 2 } else { 0 }
}

fn a_deleted_object_goes_with_its_last_mapping_as_a_file() {
    let session = Session::open();
    let free = session.info().free_pages;
    let id = written(&session, 4);
    let fd = session.open_fd(id, RW).expect("OPEN_FD");
    let file = Map::shared(&fd, 4 * map::PAGE, map::RW).expect("mmap");
    drop(fd);
    assert_eq!(session.delete(id), Ok(()));
    churn(&session, 100);
    assert_eq!(probe::load(file.at(map::PAGE)), Ok(ELEVENS));
    drop(file);
    assert_eq!(session.info().free_pages, free);
}

fn a_deleted_object_ends_a_wait() {
    let session = Session::open();
    let free = session.info().free_pages;
    let id = written(&session, 2);
    let shared = Shared::new();
    let child = process::fork(|| {
        let own = Session::open();
        shared.set(0, 1);
        // Until it is killed, or told that there is nothing to wait for.
        let _ = own.wait(id, PAGE, ELEVENS, u64::MAX);
        0
    });
    shared.await_at_least(0, 1);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(session.delete(id), Ok(()));
    child.signal(libc::SIGKILL);
    child.wait();
    assert_eq!(session.info().free_pages, free, "who waited for it keeps it no longer");
}

fn another_process_keeps_what_is_deleted() {
    let session = Session::open();
    let view = view_object(&session, 8);
    let free = session.info().free_pages;
    let id = written(&session, 30);
    let shared = Shared::new();
    let child = process::fork(|| {
        let other = World::of(Session::open(), view, 8, RWX);
        other.show(2, id, RW);
        assert_eq!(probe::load(other.at(2, 0)), Ok(ELEVENS));
        shared.set(0, 1);
        shared.await_at_least(1, 1);
        for page in 0..30 {
            assert_eq!(probe::load(other.at(2, page * PAGE)), Ok(ELEVENS));
        }
        shared.set(0, 2);
        shared.await_at_least(1, 2);
        0
    });
    shared.await_at_least(0, 1);
    assert_eq!(session.delete(id), Ok(()));
    churn(&session, 300);
    shared.set(1, 1);
    shared.await_at_least(0, 2);
    assert!(free - session.info().free_pages >= 30);
    child.kill();
    // But for the page of the view that now has an entry.
    assert!(free - session.info().free_pages <= 1);
}

fn references_are_counted() {
    let world = World::new();
    let id = world.session.create(4 * PAGE, OPEN);
    let references = || world.session.stat(id).expect("STAT").references;
    assert_eq!(references(), 0);
    world.show(2, id, RW);
    assert_eq!(references(), 0, "an entry alone is none");
    probe::load(world.at(2, 0)).expect("a load");
    assert_eq!(references(), 1, "a slot that was bound to it");
    probe::load(world.at(2, PAGE)).expect("a load");
    assert_eq!(references(), 1, "however many pages");
    world.show(3, id, RW);
    probe::load(world.at(3, 0)).expect("a load");
    assert_eq!(references(), 2);
    let fd = world.session.open_fd(id, Rights::READ).expect("OPEN_FD");
    assert_eq!(references(), 3);
    drop(fd);
    assert_eq!(references(), 2);
    world.unmap(2);
    world.unmap(3);
    assert_eq!(references(), 0);
}

fn an_open_module_is_not_unloaded() {
    let device = sys::open_device().expect("open");
    assert_eq!(module::unload(), Err(Errno::EAGAIN));
    let session = Session::open();
    drop(device);
    assert_eq!(module::unload(), Err(Errno::EAGAIN), "a session");
    let id = session.object(PAGE);
    let fd = session.open_fd(id, Rights::READ).expect("OPEN_FD");
    assert_eq!(session.delete(id), Ok(()));
    drop(session);
    assert_eq!(module::unload(), Err(Errno::EAGAIN), "an object as a file");
    drop(fd);
    assert!(sys::open_device().is_ok(), "and it is still there");
}

fn a_mapped_module_is_not_unloaded() {
    let World { arena, fd, view, slots: _, session } = World::new();
    assert_eq!(session.delete(view), Ok(()));
    drop(session);
    assert_eq!(module::unload(), Err(Errno::EAGAIN), "a view's descriptor");
    drop(fd);
    assert_eq!(module::unload(), Err(Errno::EAGAIN), "an arena");
    assert!(probe::load(arena.at(twz_abi::SLOT as usize + map::PAGE)).is_ok());
    drop(arena);
    assert!(sys::open_device().is_ok());
}

/// Everything that a process can hold, held when it is killed.
fn a_killed_process_leaves_nothing() {
    let session = Session::open();
    let view = view_object(&session, 64);
    let ids: Vec<ObjectId> = (0..6).map(|_| written(&session, 12)).collect();
    let copies: Vec<ObjectId> = ids.iter().map(|id| session.copy(*id).expect("COPY")).collect();
    let shared = Shared::new();
    let settled = |session: &Session| {
        let references: u64 =
            ids.iter().map(|id| session.stat(*id).expect("STAT").references).sum();
        (references, session.info().objects)
    };
    let before = settled(&session);
    for round in 0..40 {
        let child = process::fork(|| {
            let world = World::of(Session::open(), view, 64, RWX);
            let mut kept = Vec::new();
            for (i, id) in ids.iter().chain(&copies).enumerate() {
                world.show(2 + i as u32, *id, RW);
                probe::load(world.at(2 + i as u32, 0)).expect("a load");
                probe::store(world.at(2 + i as u32, PAGE), round).expect("a store");
                kept.push(world.session.open_fd(*id, RW).expect("OPEN_FD"));
            }
            shared.set(0, round + 1);
            let _ = world.session.wait(ids[0], PAGE, ELEVENS, u64::MAX);
            0
        });
        shared.await_at_least(0, round + 1);
        child.kill();
        assert_eq!(settled(&session), before, "round {round}");
    }
}

fn a_process_that_crashes_in_a_slot_leaves_nothing() {
    let session = Session::open();
    let view = view_object(&session, 8);
    let id = written(&session, 3);
    for _ in 0..10 {
        let child = process::fork(|| {
            let world = World::of(Session::open(), view, 8, RWX);
            world.show(2, id, RW);
            probe::load(world.at(2, 0)).expect("a load");
            // Nobody handles this one.
            probe::atomic(world.slot(2, 1 << 29)).load(std::sync::atomic::Ordering::SeqCst);
            0
        });
        assert_eq!(child.wait(), Status::Signalled(libc::SIGSEGV));
        assert_eq!(session.stat(id).map(|stat| stat.references), Ok(0));
    }
}

fn an_unmapped_arena_leaves_nothing() {
    let session = Session::open();
    let view = view_object(&session, 8);
    let id = written(&session, 3);
    let world = World::of(session, view, 8, RWX);
    for _ in 0..5 {
        let second = map::mmap(0, map::PAGE * 16, RWX, libc::MAP_SHARED, world.fd.as_raw_fd(), 0);
        map::munmap(second.expect("mmap"), map::PAGE * 16).expect("munmap");
    }
    world.show(2, id, RW);
    probe::load(world.at(2, 0)).expect("a load");
    let World { arena, fd, session, .. } = world;
    drop((arena, fd));
    assert_eq!(session.stat(id).map(|stat| stat.references), Ok(0));
}

fn many_sessions_and_views_leave_nothing() {
    let session = Session::open();
    let before = session.info();
    for _ in 0..100 {
        let world = World::new();
        world.object(2, PAGE, OPEN);
        probe::store(world.at(2, 0), 1).expect("a store");
    }
    let after = session.info();
    assert_eq!((after.objects, after.free_pages), (before.objects, before.free_pages));
}
