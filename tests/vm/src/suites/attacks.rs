// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attacks that one guard of the module stops each. On a module that was built
//! without the guard the same attack succeeds: that is how it is known to be one.

use std::{
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use twz_abi::{ObjectId, PAGE, Rights, ioctl as abi};

use crate::{
    attacks,
    errno::Errno,
    ktap::{Attack, Test},
    map::{self, HUGE, Map, RWX},
    probe, process,
    rng::Rng,
    suites::objects::sealed,
    sys,
    world::{OPEN, RET, RW, RWX_RIGHTS, World},
};

/// The suite.
pub const TESTS: &[Test] = attacks![
    mprotect: run_by_changing_the_protection,
    mprotect: run_by_changing_the_protection_and_key,
    mremap: move_a_slot_to_another_address,
    dontcopy: read_as_a_forked_child,
    private: map_a_view_for_oneself_alone,
    pmd_exec: run_from_a_large_page_that_may_only_be_read,
    mkwrite: write_to_a_page_that_was_read,
    mkwrite: write_by_a_system_call,
    invalidate_zap: read_what_was_invalidated,
    invalidate_zap: write_after_the_right_was_taken,
    rebind_zap: read_the_old_object_after_a_fault_showed_the_new,
    cow_zap: write_to_a_copy_through_its_source,
    cow_zap: write_to_a_copy_through_a_large_page_of_its_source,
    check_lock: write_in_a_race_with_revocation,
    mm_owner: issue_a_command_as_a_forked_child,
    mm_owner: map_as_a_forked_child,
    mm_owner: issue_a_command_with_a_descriptor_that_was_sent,
    immutable: write_to_an_immutable_object,
    wx: run_what_was_just_written,
    null_page: read_the_null_page,
    delete_wait: read_what_took_the_place_of_the_deleted,
];

/// An object with a `ret` at its beginning, shown with this protection.
fn code(world: &World, size: u64, protection: Rights) -> ObjectId {
    let id = world.session.create(size, OPEN);
    assert_eq!(world.session.reserve(id, 0, size), Ok(()));
    world.session.set_word(id, 0, RET);
    world.session.set_word(id, size / 2, RET);
    world.show(2, id, protection);
    id
}

/// The page is mapped without execution; then the kernel is asked to rewrite
/// it from the mapping's protection, which has execution.
fn run_by_changing_the_protection() -> Attack {
    let world = World::to_run();
    code(&world, PAGE, Rights::READ);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    let results = [libc::PROT_READ, RWX].map(|prot| map::mprotect(at, map::PAGE, prot));
    let ran = probe::exec(at).is_ok();
    let wrote = probe::store(at, RET).is_ok();
    if !ran && !wrote {
        assert_eq!(results[0], Err(Errno::EACCES), "mprotect of a part");
        let whole = map::mprotect(world.slot(0, 0), world.arena.len(), libc::PROT_READ);
        assert_eq!(whole, Err(Errno::EACCES), "mprotect of the whole");
    }
    Attack::succeeded(ran || wrote)
}

fn run_by_changing_the_protection_and_key() -> Attack {
    let world = World::to_run();
    code(&world, PAGE, Rights::READ);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    // Plain values; a processor without keys has only the key -1.
    let key = process::syscall(libc::SYS_pkey_alloc, [0; 6]).unwrap_or(usize::MAX);
    for (protection, key) in [(libc::PROT_READ, key), (RWX, key), (RWX, usize::MAX)] {
        let arguments = [at, map::PAGE, protection as usize, key, 0, 0];
        // The range is of the test's own arena.
        let done = process::syscall(libc::SYS_pkey_mprotect, arguments);
        assert!(done.is_ok() || done == Err(Errno::EACCES), "{done:?}");
    }
    Attack::succeeded(probe::exec(at).is_ok() || probe::store(at, RET).is_ok())
}

fn mremap(at: usize, len: usize, new_len: usize, flags: i32, to: usize) -> Result<usize, Errno> {
    // Both places are of the test's own mappings.
    process::syscall(libc::SYS_mremap, [at, len, new_len, flags as usize, to, 0])
}

fn move_a_slot_to_another_address() -> Attack {
    let world = World::to_run();
    let id = code(&world, PAGE, RW);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    let room = Map::anonymous(16 * map::PAGE, 0).expect("mmap");
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let moved = mremap(at, map::PAGE, map::PAGE, flags, room.at(0));
    if moved.is_err() {
        // What the kernel itself refuses, guard or not.
        let flags = flags | libc::MREMAP_DONTUNMAP;
        let kept = mremap(at, map::PAGE, map::PAGE, flags, room.at(0));
        assert!(kept.is_err(), "it moved and stayed");
        let grown = mremap(at, map::PAGE, 2 * map::PAGE, libc::MREMAP_MAYMOVE, 0);
        assert!(grown.is_err(), "it grew to {grown:x?}");
        let twin = mremap(at, 0, map::PAGE, libc::MREMAP_MAYMOVE, 0);
        assert!(twin.is_err(), "it has a twin at {twin:x?}");
        assert_eq!(probe::store(at, 6), Ok(()), "and it is where it was");
        assert_eq!(world.session.word(id, 0), 6);
    }
    Attack::succeeded(moved.is_ok())
}

fn read_as_a_forked_child() -> Attack {
    let world = World::to_run();
    code(&world, PAGE, RW);
    assert_eq!(probe::store(world.at(2, 8), 5), Ok(()));
    // What would have it copied after all.
    let advised = map::madvise(world.at(2, 0), map::PAGE, libc::MADV_DOFORK);
    let child = process::fork(|| {
        let read = probe::load(world.at(2, 8)).is_ok();
        let wrote = probe::store(world.at(2, 8), 6).is_ok();
        (read || wrote) as i32
    });
    let got = child.wait() == process::Status::Exited(1);
    if !got {
        assert_eq!(advised, Err(Errno::EINVAL), "MADV_DOFORK");
        assert_eq!(probe::load(world.at(2, 8)), Ok(5));
    }
    Attack::succeeded(got)
}

/// It is not touched: what would happen then is the kernel's end.
fn map_a_view_for_oneself_alone() -> Attack {
    let world = World::to_run();
    let map =
        |protection| Map::new(&world.fd, 0, map::PAGE, protection, libc::MAP_PRIVATE).map(|_| ());
    let got = [libc::PROT_READ, map::RW, RWX].map(map);
    let made = got.iter().any(Result::is_ok);
    assert!(made || got == [Err(Errno::EINVAL); 3], "{got:?}");
    Attack::succeeded(made)
}

fn run_from_a_large_page_that_may_only_be_read() -> Attack {
    let world = World::to_run();
    code(&world, 3 * HUGE as u64, Rights::READ);
    let at = world.at(2, 3 * HUGE as u64 / 2);
    assert_eq!(probe::load(at), Ok(RET));
    Attack::succeeded(probe::exec(at).is_ok())
}

fn write_to_a_page_that_was_read() -> Attack {
    let world = World::to_run();
    let id = code(&world, PAGE, Rights::READ);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    let wrote = probe::store(at, 1).is_ok();
    assert_eq!(wrote, world.session.word(id, 0) == 1);
    Attack::succeeded(wrote)
}

/// A system call that writes to memory is asked as a store is.
fn write_by_a_system_call() -> Attack {
    let world = World::to_run();
    let id = code(&world, PAGE, Rights::READ);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    let zero = sys::open("/dev/zero", libc::O_RDONLY).expect("/dev/zero");
    // The kernel writes to the arena, if it may.
    let arguments = [zero.as_raw_fd() as usize, at, 8, 0, 0, 0];
    let read = process::syscall(libc::SYS_read, arguments);
    let changed = world.session.word(id, 0) != RET;
    assert!(changed || read == Err(Errno::EFAULT), "{read:?}");
    Attack::succeeded(changed)
}

fn read_what_was_invalidated() -> Attack {
    let world = World::to_run();
    let old = code(&world, PAGE, RW);
    let new = world.session.create(PAGE, OPEN);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    world.show(2, new, RW);
    assert_eq!(world.session.invalidate(world.view, 2, 1), Ok(()));
    let seen = probe::load(at);
    assert!(world.session.stat(old).is_ok());
    Attack::succeeded(seen == Ok(RET))
}

fn write_after_the_right_was_taken() -> Attack {
    let world = World::to_run();
    let id = code(&world, PAGE, RW);
    let at = world.at(2, 0);
    assert_eq!(probe::store(at, 1), Ok(()));
    world.show(2, id, Rights::READ);
    assert_eq!(world.session.invalidate(world.view, 2, 1), Ok(()));
    Attack::succeeded(probe::store(at, 2).is_ok())
}

fn read_the_old_object_after_a_fault_showed_the_new() -> Attack {
    let world = World::to_run();
    code(&world, 400 * PAGE, RW);
    let new = world.session.create(400 * PAGE, OPEN);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    world.show(2, new, RW);
    // A page that was not mapped, far from the one that was.
    assert_eq!(probe::load(world.at(2, 390 * PAGE)), Ok(0));
    Attack::succeeded(probe::load(at) == Ok(RET))
}

fn copy_then_store(size: u64, at: u64) -> Attack {
    let world = World::new();
    let source = code(&world, size, RW);
    assert_eq!(probe::store(world.at(2, at), 1), Ok(()));
    let copy = world.session.copy(source).expect("COPY");
    assert_eq!(probe::store(world.at(2, at), 2), Ok(()));
    Attack::succeeded(world.session.word(copy, at) != 1)
}

fn write_to_a_copy_through_its_source() -> Attack {
    copy_then_store(16 * PAGE, PAGE)
}

fn write_to_a_copy_through_a_large_page_of_its_source() -> Attack {
    copy_then_store(3 * HUGE as u64, HUGE as u64)
}

/// Two threads store to one page after another, so that there is always a fault
/// under way. Once the command that takes the right away has returned, no store
/// that begins may be done.
fn write_in_a_race_with_revocation() -> Attack {
    const PAGES: u64 = 500;
    const ROUNDS: u64 = 1200;
    let world = World::to_run();
    let id = code(&world, PAGES * PAGE, RW);
    let base = world.at(2, 0);
    world.show(2, id, Rights::READ);
    assert_eq!(world.session.invalidate(world.view, 2, 1), Ok(()));
    // Odd while the right is withdrawn, as it is now; the last value ends it.
    let epoch = AtomicU64::new(1);
    let victim = |n: u64| {
        let (mut stale, mut stores) = (0, 0);
        for i in 0.. {
            // Every 16th page: its neighbours come along with it.
            let at = base + ((i * 16 + n * 8) % PAGES * PAGE) as usize;
            let before = epoch.load(Ordering::SeqCst);
            let done = probe::store(at, i).is_ok();
            let after = epoch.load(Ordering::SeqCst);
            stores += done as u64;
            stale += (done && before == after && before % 2 == 1) as u64;
            if after == u64::MAX - 1 {
                break;
            }
        }
        (stale, stores)
    };
    let mut rng = Rng::new(7);
    let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let victims = [0, 1].map(|n| scope.spawn(move || victim(n)));
        for _ in 0..ROUNDS {
            epoch.fetch_add(1, Ordering::SeqCst);
            world.show(2, id, RW);
            wait_a_little(rng.below(300));
            world.show(2, id, Rights::READ);
            assert_eq!(world.session.invalidate(world.view, 2, 1), Ok(()));
            epoch.fetch_add(1, Ordering::SeqCst);
            wait_a_little(200);
        }
        epoch.store(u64::MAX - 1, Ordering::SeqCst);
        victims.into_iter().map(|victim| victim.join().expect("a thread")).collect()
    });
    let [stale, stores] = [counts[0].0 + counts[1].0, counts[0].1 + counts[1].1];
    println!("{stale} stores after {ROUNDS} revocations, of {stores}");
    assert!(stores > ROUNDS / 4, "the victims did store");
    Attack::succeeded(stale > 0)
}

/// Spins for some microseconds.
fn wait_a_little(micros: u64) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}

fn issue_a_command_as_a_forked_child() -> Attack {
    let world = World::to_run();
    let id = code(&world, PAGE, RW);
    let child = process::fork(|| world.session.stat(id).is_ok() as i32);
    Attack::succeeded(child.wait() == process::Status::Exited(1))
}

fn map_as_a_forked_child() -> Attack {
    let world = World::to_run();
    code(&world, PAGE, RW);
    let child = process::fork(|| match map::arena(&world.fd, 8, RWX) {
        Ok(arena) => {
            let at = arena.at(world.at(2, 0) - world.slot(0, 0));
            (probe::load(at) == Ok(RET)) as i32
        }
        Err(_) => 0,
    });
    Attack::succeeded(child.wait() == process::Status::Exited(1))
}

fn issue_a_command_with_a_descriptor_that_was_sent() -> Attack {
    let (near, far) = process::socket_pair();
    let child = process::fork(|| {
        let fd = process::receive_fd(&far).expect("a descriptor");
        let mut info = abi::LastError::default();
        sys::command(fd.as_raw_fd(), abi::LAST_ERROR, &mut info).is_ok() as i32
    });
    let world = World::to_run();
    process::send_fd(&near, world.session.raw()).expect("send");
    Attack::succeeded(child.wait() == process::Status::Exited(1))
}

fn write_to_an_immutable_object() -> Attack {
    let world = World::to_run();
    let id = sealed(&world.session, *b"sealed: attacked", PAGE, OPEN);
    world.show(2, id, RWX_RIGHTS);
    let stored = probe::store(world.at(2, 0), 1).is_ok();
    let wrote = world.session.write(id, PAGE, &[1]).is_ok();
    Attack::succeeded(stored || wrote || world.session.word(id, 0) != 0)
}

fn run_what_was_just_written() -> Attack {
    let world = World::to_run();
    code(&world, PAGE, RWX_RIGHTS);
    let at = world.at(2, 0);
    assert_eq!(probe::store(at, RET), Ok(()));
    Attack::succeeded(probe::exec(at).is_ok())
}

fn read_the_null_page() -> Attack {
    let world = World::to_run();
    code(&world, PAGE, RW);
    Attack::succeeded(probe::load(world.slot(2, 8)).is_ok())
}

fn read_what_took_the_place_of_the_deleted() -> Attack {
    let world = World::to_run();
    let id = code(&world, 16 * PAGE, RW);
    let at = world.at(2, 0);
    assert_eq!(probe::load(at), Ok(RET));
    let free = world.session.info().free_pages;
    assert_eq!(world.session.delete(id), Ok(()));
    let early = world.session.info().free_pages > free;
    let next = world.session.object(1000 * PAGE);
    let bytes = vec![0x77; 1000 * 4096];
    assert_eq!(world.session.write(next, PAGE, &bytes), Ok(1000 * PAGE));
    Attack::succeeded(early || probe::load(at) != Ok(RET))
}
