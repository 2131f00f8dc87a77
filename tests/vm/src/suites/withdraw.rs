// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a context no longer allows is in no page table: rules R3, R4 and R6 of
//! SECURITY.md. Each is an attack that succeeds on a module without the guard; what
//! contexts hold is in `contexts.rs`.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use twz_abi::{
    ObjectId, PAGE, Rights,
    ioctl::{self as abi, attach_flags::SWITCH},
    security::{Gate, Grant, Mask, RECORD},
};
use twz_core::security::link::digest;
use zerocopy::IntoBytes as _;

use crate::{
    attacks,
    ktap::{Attack, Test},
    map::{self, HUGE, Map},
    probe,
    process::{self, Shared},
    rng::Rng,
    security::{Owner, context, put},
    suites::debugfs::number,
    sys::{self, Session},
    world::{OPEN, RW, World},
};

/// The suite.
pub const TESTS: &[Test] = attacks![
    load_zap: store_after_a_load_took_the_grant_away,
    load_zap: store_into_a_large_page_after_a_load,
    load_zap: store_after_a_load_took_the_default_away,
    load_zap: store_to_a_file_in_memory_after_a_load,
    load_zap: store_to_what_was_deleted_after_a_load,
    load_order: store_after_an_older_load_came_late,
    revoke_zap: store_after_the_epoch_was_raised,
    revoke_zap: store_in_another_program_after_the_epoch_was_raised,
    revoke_zap: store_after_the_epoch_of_who_passed_it_on_was_raised,
    expiry_zap: store_after_the_grant_has_ended,
    check_lock: store_in_a_race_with_a_raised_epoch,
];

/// A program in a context that grants it an object, which its view shows.
struct Stage {
    world: World,
    owner: Owner,
    web: ObjectId,
    target: ObjectId,
}

fn stage(size: u64) -> Stage {
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let web = context(&world.session, owner.id, Rights::ALL, 0);
    let target = owner.object(&world.session, size, Rights::NONE);
    stage_of(world, owner, web, target)
}

fn stage_of(world: World, owner: Owner, web: ObjectId, target: ObjectId) -> Stage {
    world.show(2, target, RW);
    let s = Stage { world, owner, web, target };
    assert_eq!(s.load(&s.grant()), 1);
    assert_eq!(s.session().attach(web, SWITCH), Ok(()));
    // A fault would go on in the default context, if that were left.
    assert_eq!(s.session().detach(ObjectId::NULL), Ok(()));
    s
}

impl Stage {
    fn session(&self) -> &Session {
        &self.world.session
    }

    fn grant(&self) -> Grant {
        self.owner.grant(self.target, self.web, RW, Gate::NONE)
    }

    /// Has the context hold this grant; how many hold.
    fn load(&self, grant: &Grant) -> u32 {
        put(self.session(), self.web, 0, grant);
        self.session().load(self.web).expect("LOAD").0
    }

    /// Has the context hold nothing.
    fn load_nothing(&self) {
        assert_eq!(self.load(&Grant { magic: 0, ..self.grant() }), 0);
    }

    /// Whether a store there is done.
    fn stores(&self, at: u64) -> bool {
        probe::store(self.world.at(2, at), 1).is_ok()
    }
}

fn store_after_a_load_took_the_grant_away() -> Attack {
    let s = stage(PAGE);
    assert!(s.stores(0));
    s.load_nothing();
    Attack::succeeded(s.stores(0))
}

fn store_into_a_large_page_after_a_load() -> Attack {
    let s = stage(3 * HUGE as u64);
    assert!(s.stores(HUGE as u64));
    s.load_nothing();
    Attack::succeeded(s.stores(HUGE as u64))
}

fn store_after_a_load_took_the_default_away() -> Attack {
    let s = stage(PAGE);
    let open = s.world.session.create(PAGE, OPEN);
    s.world.show(3, open, RW);
    let at = s.world.at(3, 0);
    assert_eq!(probe::store(at, 1), Ok(()));
    put(s.session(), s.web, 1, &Mask::new(open, Rights::READ | Rights::DELETE));
    assert_eq!(s.session().load(s.web), Ok((1, 0)));
    let stored = probe::store(at, 2).is_ok();
    assert_eq!(probe::load(at), Ok(1 + stored as u64), "what is left is there");
    assert!(s.stores(0), "and so is what was granted");
    Attack::succeeded(stored)
}

fn store_to_a_file_in_memory_after_a_load() -> Attack {
    let s = stage(PAGE);
    let fd = s.session().open_fd(s.target, RW).expect("OPEN_FD");
    let map = Map::shared(&fd, map::PAGE, map::RW).expect("mmap");
    assert_eq!(probe::store(map.at(0), 1), Ok(()));
    s.load_nothing();
    Attack::succeeded(probe::store(map.at(0), 2).is_ok())
}

/// Who has it mapped keeps it, as long as the context allows it.
fn store_to_what_was_deleted_after_a_load() -> Attack {
    let s = stage(PAGE);
    assert!(s.stores(0));
    assert_eq!(s.session().delete(s.target), Ok(()));
    assert!(s.stores(0));
    s.load_nothing();
    Attack::succeeded(s.stores(0))
}

/// Forged grants that a load is slow to refuse: each is verified, and none remembered.
const FORGED: u64 = 400;

/// A load that began before the grant was taken away ends after the load that was told.
fn store_after_an_older_load_came_late() -> Attack {
    let s = stage(PAGE);
    let session = s.session();
    let forged: Vec<u8> = (1..=FORGED)
        .flat_map(|n| Grant { expires: u64::MAX - n, ..s.grant() }.as_bytes().to_vec())
        .collect();
    // What others are about on this machine decides which load ends first.
    for _ in 0..20 {
        assert_eq!(session.resize(s.web, (FORGED + 2) * RECORD as u64), Ok(()));
        put(session, s.web, 0, &s.grant());
        let at = PAGE + 2 * RECORD as u64;
        assert_eq!(session.write(s.web, at, &forged), Ok(forged.len() as u64));
        let (verified, over) = (|| number("faults", "signatures_verified"), AtomicBool::new(false));
        let (before, fd) = (verified(), session.raw());
        let late = std::thread::scope(|scope| {
            let older = scope.spawn(|| {
                let mut load = abi::ContextOnly { context: s.web, ..Default::default() };
                let done = sys::command(fd, abi::LOAD, &mut load);
                over.store(true, Ordering::SeqCst);
                done
            });
            // It has copied what it is looking at.
            while verified() < before + 3 {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(session.resize(s.web, 2 * RECORD as u64), Ok(()));
            s.load_nothing();
            assert!(!s.stores(0), "what was loaded last counts");
            let late = !over.load(Ordering::SeqCst);
            assert_eq!(older.join().expect("a thread"), Ok(()));
            late
        });
        if late {
            return Attack::succeeded(s.stores(0));
        }
    }
    panic!("no load was slower than another one that began later");
}

fn store_after_the_epoch_was_raised() -> Attack {
    let s = stage(PAGE);
    assert!(s.stores(0));
    assert_eq!(s.session().revoke(&s.owner, s.target, 1), Ok(()));
    Attack::succeeded(s.stores(0))
}

fn store_in_another_program_after_the_epoch_was_raised() -> Attack {
    let s = stage(PAGE);
    let shared = Shared::new();
    let child = process::fork(|| {
        let world = World::of(Session::open(), s.world.view, s.world.slots, map::RW);
        assert_eq!(probe::store(world.at(2, 0), 1), Ok(()), "it has what its parent had");
        shared.set(0, 1);
        shared.await_at_least(1, 1);
        probe::store(world.at(2, 0), 2).is_ok() as i32
    });
    shared.await_at_least(0, 1);
    assert_eq!(s.session().revoke(&s.owner, s.target, 1), Ok(()));
    shared.set(1, 1);
    Attack::succeeded(child.wait() == process::Status::Exited(1))
}

fn store_after_the_epoch_of_who_passed_it_on_was_raised() -> Attack {
    let s = stage(PAGE);
    let clerk = Owner::new(s.session(), 2);
    let desk = context(s.session(), clerk.id, Rights::ALL, 0);
    let rights = RW.or(Rights::DELEGATE);
    let first = s.owner.grant(s.target, desk, rights, Gate::NONE);
    let passed = Grant { grantor: desk, parent: digest(&first), ..s.grant() };
    put(s.session(), s.web, 1, &first);
    assert_eq!(s.load(&clerk.sign(passed)), 1);
    assert!(s.stores(0));
    assert_eq!(s.session().revoke(&clerk, desk, 1), Ok(()));
    Attack::succeeded(s.stores(0))
}

/// It is asked for as long as a machine may take that does other things, too.
fn store_after_the_grant_has_ended() -> Attack {
    let s = stage(PAGE);
    let ends = std::time::UNIX_EPOCH.elapsed().expect("a time after 1970") + Duration::from_secs(4);
    let expires = ends.as_nanos() as u64;
    assert_eq!(s.load(&s.owner.sign(Grant { expires, ..s.grant() })), 1);
    assert!(s.stores(0));
    while std::time::UNIX_EPOCH.elapsed().expect("a time after 1970") < ends {
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = Instant::now();
    while s.stores(0) {
        if ended.elapsed() > Duration::from_secs(10) {
            return Attack::Succeeded;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("gone {:?} after its end", ended.elapsed());
    Attack::Stopped
}

fn store_in_a_race_with_a_raised_epoch() -> Attack {
    // A kernel that checks itself does less than that in the time of a test.
    let Raced { rounds, stale, stores } = race(1000, 4, Duration::from_secs(90));
    println!("{stale} stores after {rounds} times that the right was taken, of {stores}");
    assert!(stores > rounds / 4, "the victim did store");
    Attack::succeeded(stale > 0)
}

/// What came of a race.
pub struct Raced {
    /// Times that the right was taken.
    pub rounds: u64,
    /// Stores that were begun and done between the end of a right and its next beginning.
    pub stale: u64,
    /// Stores that were done.
    pub stores: u64,
}

/// A thread stores to one page after another, so that there is always a fault under
/// way, while the right to is given and taken so many times: one time in `revoked` by
/// a grant and REVOKE, else by a mask and LOAD. It ends after as long as `most`, too.
pub fn race(rounds: u64, revoked: u64, most: Duration) -> Raced {
    let begun = Instant::now();
    let world = World::new();
    let owner = Owner::new(&world.session, 1);
    let web = context(&world.session, owner.id, Rights::ALL, 0);
    let target = owner.object(&world.session, PAGES * PAGE, RW);
    assert_eq!(world.session.reserve(target, 0, PAGES * PAGE), Ok(()));
    let s = stage_of(world, owner, web, target);
    let mask =
        |rights: Rights| put(s.session(), web, 1, &Mask::new(target, rights.or(Rights::DELETE)));
    mask(Rights::NONE);
    s.load_nothing();
    // Odd while there is no right, as now; the last value ends it.
    let epoch = AtomicU64::new(1);
    let (base, mut rng) = (s.world.at(2, 0), Rng::new(7));
    std::thread::scope(|scope| {
        let victim = scope.spawn(|| victim(base, &epoch));
        let rounds = (0..rounds).take_while(|_| begun.elapsed() < most);
        let mut done = 0;
        for round in rounds {
            done += 1;
            epoch.fetch_add(1, Ordering::SeqCst);
            if round % revoked == 0 {
                assert_eq!(s.load(&s.owner.sign(Grant { epoch: round, ..s.grant() })), 1);
                spin(rng.below(300));
                assert_eq!(s.session().revoke(&s.owner, target, round + 1), Ok(()));
            } else {
                mask(RW);
                assert!(s.session().load(web).is_ok());
                spin(rng.below(300));
                mask(Rights::NONE);
                assert!(s.session().load(web).is_ok());
            }
            epoch.fetch_add(1, Ordering::SeqCst);
            // Long enough for a fault that was late to end, and the next store after it.
            spin(100 + rng.below(600));
        }
        epoch.store(OVER, Ordering::SeqCst);
        Raced { rounds: done, ..victim.join().expect("a thread") }
    })
}

/// Pages that are raced for.
const PAGES: u64 = 500;

/// The epoch that ends a race.
const OVER: u64 = u64::MAX - 1;

/// Stores until it is over.
fn victim(base: usize, epoch: &AtomicU64) -> Raced {
    let mut raced = Raced { rounds: 0, stale: 0, stores: 0 };
    for i in 0.. {
        // Every 16th page: its neighbours come along with it. Each of them twice: where
        // the first store waited for its page until the right was gone, the second finds
        // what should not be there.
        let at = base + (i / 2 * 16 % PAGES * PAGE) as usize;
        let before = epoch.load(Ordering::SeqCst);
        let done = probe::store(at, i).is_ok();
        let after = epoch.load(Ordering::SeqCst);
        raced.stores += done as u64;
        raced.stale += (done && before == after && before % 2 == 1) as u64;
        if after == OVER {
            break;
        }
    }
    raced
}

/// Spins for some microseconds.
fn spin(micros: u64) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}
