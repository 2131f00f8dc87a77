// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that are killed in the middle of transactions, and others that go
//! on. (`src/tx/tests.rs` kills before every single store.)

mod common;

use std::time::{Duration, Instant};

use common::{Rng, TempPool as Pool, child, kill_some, start};
use twz::{
    Durability, Error, Field, NewObject, Object, ObjectId, Persist, Ptr, Space, collections,
};

const ACCOUNTS: usize = 6;
const EACH: u64 = 1000;

/// The root of each account: money, a block that is replaced again and again,
/// and a map in which each key stands for a transfer.
#[derive(Persist)]
#[repr(C)]
struct Account {
    cents: Field<u64>,
    transfers: Field<u64>,
    note: Ptr<[u64; 6]>,
    map: collections::HashMap<u64, u64>,
}

#[derive(Persist)]
#[repr(C)]
struct Bank {
    accounts: [Ptr<Account>; ACCOUNTS],
}

fn found(space: &Space) -> Object<Bank> {
    let bank = space.create(Bank { accounts: [const { Ptr::null() }; ACCOUNTS] }).unwrap();
    for place in &bank.root().accounts {
        let account = space
            .create(Account {
                cents: Field::new(EACH),
                transfers: Field::new(0),
                note: Ptr::null(),
                map: collections::HashMap::new(),
            })
            .unwrap();
        place.store(account.root()).unwrap();
    }
    bank
}

fn open(space: &Space, id: ObjectId) -> Vec<Object<Account>> {
    let bank = space.open_object::<Bank>(id).unwrap();
    let ids = bank.root().accounts.iter().map(|ptr| ptr.global().unwrap().id);
    ids.map(|id| space.open_object(id).unwrap()).collect()
}

fn transfer(space: &Space, all: &[Object<Account>], rng: &mut Rng) {
    let [from, to] = [rng.next(), rng.next()].map(|n| &all[n as usize % ACCOUNTS]);
    let amount = rng.next() % 20;
    let done = space.transaction(|tx| {
        let (a, b) = (from.root(), to.root());
        // One in place, the other one at the end.
        tx.record(&a.cents)?;
        let amount = amount.min(a.cents.get());
        a.cents.set(a.cents.get() - amount)?;
        tx.set(&b.cents, tx.get(&b.cents)? + amount)?;
        let number = tx.get(&b.transfers)?;
        tx.set(&b.transfers, number + 1)?;
        if let Some(old) = tx.follow(&b.note)? {
            tx.free(to, old)?;
        }
        tx.store(&b.note, tx.alloc(to, [number; 6])?)?;
        let w = tx.lock(to)?;
        b.map.insert(&w, number % 40, number)?;
        if amount == 13 { Err(Error::Unsupported("on purpose")) } else { Ok(()) }
    });
    assert!(matches!(done, Ok(()) | Err(Error::Unsupported("on purpose"))), "{done:?}");
}

/// Everything is as after some whole number of transfers.
fn check(space: &Space, id: ObjectId) -> u64 {
    let all = open(space, id);
    let locks: Vec<_> = all.iter().map(|account| account.lock().unwrap()).collect();
    let mut transfers = 0;
    for account in &all {
        let root = account.root();
        let number = root.transfers.get();
        transfers += number;
        assert_eq!(root.map.len().unwrap(), number.min(40));
        if number > 0 {
            assert_eq!(*root.note.lea().unwrap(), [number - 1; 6]);
            assert_eq!(root.map.get(&((number - 1) % 40)).unwrap(), Some(number - 1));
        }
        // The note and the table, and nothing that anybody has lost.
        let report = account.heap().check().unwrap();
        assert_eq!((report.blocks, report.lost_chunks), (2 * (number > 0) as u64, 0));
    }
    let sum: u64 = all.iter().map(|account| account.root().cents.get()).sum();
    assert_eq!(sum, EACH * ACCOUNTS as u64);
    drop(locks);
    transfers
}

#[test]
fn child_transfers() {
    let Some((pool, id)) = child("child_transfers") else { return };
    let space = Space::open(pool).unwrap();
    // Each in another way.
    if std::process::id().is_multiple_of(2) {
        space.set_durability(Durability::Power);
    }
    let all = open(&space, id);
    let mut rng = Rng(std::process::id() as u64 * 77 + 1);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        transfer(&space, &all, &mut rng);
    }
}

#[test]
fn killed_processes_leave_whole_transactions() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let bank = found(&space);
    let mut last = 0;
    for _ in 0..6 {
        kill_some("child_transfers", pool.path(), bank.id(), 8);
        let transfers = check(&space, bank.id());
        assert!(transfers > last, "nobody did anything");
        last = transfers;
        // A process that comes new sees the same.
        assert_eq!(check(&pool.open(), bank.id()), transfers);
    }
}

/// Somebody who has no lock of it, and one who waits for one of the dead.
#[test]
fn others_go_on_while_one_is_dead() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let bank = found(&space);
    let mut dying = start("child_transfers", &pool.path(), bank.id());
    std::thread::sleep(Duration::from_millis(150));
    dying.kill().unwrap();
    dying.wait().unwrap();
    let begin = Instant::now();
    let other = space.create(Field::new(0u64)).unwrap();
    space.transaction(|tx| tx.set(other.root(), 1)).unwrap();
    let all = open(&space, bank.id());
    let mut rng = Rng(3);
    (0..200).for_each(|_| transfer(&space, &all, &mut rng));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    check(&space, bank.id());
}

/// Each process takes the log of one that is dead, so logs do not add up.
#[test]
fn logs_are_used_again() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let bank = found(&space);
    kill_some("child_transfers", pool.path(), bank.id(), 12);
    check(&space, bank.id());
    let mut logs = 0;
    space
        .backend()
        .list(&mut |id| {
            logs += (space.backend().stat(id)?.kind == 5) as u32;
            Ok(())
        })
        .unwrap();
    assert!((1..=3).contains(&logs), "{logs} logs of two processes at a time");
}

/// The time to come upon a cut transaction does not know how large the pool is.
#[test]
fn recovery_does_not_look_at_the_pool() {
    let mut times = Vec::new();
    for objects in [1_000, 20_000] {
        let pool = Pool::in_memory();
        let space = pool.open();
        let bank = found(&space);
        for _ in 0..objects {
            space.backend().create(&NewObject::default()).unwrap();
        }
        drop(space);
        let mut best = Duration::MAX;
        for _ in 0..5 {
            kill_some("child_transfers", pool.path(), bank.id(), 2);
            let begin = Instant::now();
            let space = pool.open();
            open(&space, bank.id()).iter().for_each(|account| drop(account.lock().unwrap()));
            best = best.min(begin.elapsed());
        }
        times.push(best);
    }
    assert!(times[1] < times[0] * 4 + Duration::from_millis(20), "{times:?}");
}
