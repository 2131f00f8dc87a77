// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sleeping on a word of an object, among threads and among processes; and an
//! object's data as a file.

mod common;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use common::{TempPool, child, start};
use twz::{Error, Field, NewObject, Object, Persist, Rights, Space, Waited};

#[derive(Persist)]
#[repr(C)]
struct Turn {
    /// Whose it is: odd for the child.
    turn: Field<u64>,
    high: Field<u64>,
}

fn turn(space: &Space) -> Object<Turn> {
    space.create(Turn { turn: Field::new(0), high: Field::new(1 << 40) }).unwrap()
}

#[test]
fn who_waits_is_woken_changed_or_late() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = turn(&space);
    let root = object.root();
    let short = Some(Duration::from_millis(30));
    assert_eq!(root.turn.wait(1, None).unwrap(), Waited::Changed);
    let begun = Instant::now();
    assert_eq!(root.turn.wait(0, short).unwrap(), Waited::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(29));
    // Both halves of the word count.
    assert_eq!(root.high.wait(2 << 40, None).unwrap(), Waited::Changed);
    assert_eq!(object.wait(8, 1 << 40, short).unwrap(), Waited::TimedOut);
    assert_eq!(root.turn.wake(1).unwrap(), 0);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| root.high.wait(1 << 40, Some(Duration::from_secs(20))).unwrap())
            })
            .collect();
        let mut woken = 0;
        while woken < 3 {
            woken += object.wake(8, 1).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Waited::Woken);
        }
    });
}

#[test]
fn what_is_no_word_to_sleep_on_is_refused() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = turn(&space);
    let now = Some(Duration::ZERO);
    for at in [1, 4, 57, 64, 1 << 29, 1 << 30, u64::MAX - 7] {
        assert!(matches!(object.wait(at, 0, now), Err(Error::BadPointer { .. })), "{at}");
        assert!(object.wake(at, 1).is_err(), "{at}");
    }
    assert!(matches!(Field::new(0).wait(0, now), Err(Error::NotInObject)));
    // Who may only read may wait, and not wake.
    let reading = space.open_object_read::<Turn>(object.id()).unwrap();
    assert_eq!(reading.root().turn.wait(1, now).unwrap(), Waited::Changed);
    assert!(matches!(reading.root().turn.wake(1), Err(Error::Denied { .. })));
}

#[test]
fn two_processes_take_turns() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = turn(&space);
    let mut other = start("child_takes_turns", &pool.path(), object.id());
    take_turns(&object, 0);
    assert!(other.wait().unwrap().success());
}

#[test]
fn child_takes_turns() {
    let Some((path, id)) = child("child_takes_turns") else { return };
    take_turns(&Space::open(path).unwrap().open_object(id).unwrap(), 1);
}

/// Waits for numbers that are `mine` modulo 2, and adds 1 to each.
fn take_turns(object: &Object<Turn>, mine: u64) {
    let turn = &object.root().turn;
    loop {
        let now = turn.get();
        match now {
            400.. => break,
            _ if now % 2 == mine => {
                turn.set(now + 1).unwrap();
                turn.wake(1).unwrap();
            }
            _ => {
                let waited = turn.wait(now, Some(Duration::from_secs(30))).unwrap();
                assert_ne!(waited, Waited::TimedOut, "nobody woke this process");
            }
        }
    }
}

#[test]
fn an_objects_data_is_a_file() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = turn(&space);
    let file = File::from(object.fd(Rights(3)).unwrap());
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 8).unwrap();
    assert_eq!(u64::from_le_bytes(word), 1 << 40);
    file.write_all_at(&7u64.to_le_bytes(), 0).unwrap();
    assert_eq!(object.root().turn.get(), 7);
    object.root().turn.set(8).unwrap();
    file.read_exact_at(&mut word, 0).unwrap();
    assert_eq!(u64::from_le_bytes(word), 8);
    assert_eq!(file.metadata().unwrap().len(), object.len().unwrap());
    // It outlives the handle.
    let reading = File::from(object.fd(Rights::READ).unwrap());
    drop(object);
    reading.read_exact_at(&mut word, 0).unwrap();
    assert!(reading.write_all_at(&word, 0).is_err());
}

#[test]
fn a_file_goes_past_nothing() {
    let pool = TempPool::new();
    let space = pool.open();
    let object = turn(&space);
    let reading = space.open_object_read::<Turn>(object.id()).unwrap();
    assert!(matches!(reading.fd(Rights(3)), Err(Error::Denied { .. })));
    assert!(matches!(reading.fd(Rights::WRITE), Err(Error::Unsupported(_))));
    assert!(matches!(reading.fd(Rights(5)), Err(Error::Unsupported(_))));
    let new = NewObject { flags: twz::flags::IMMUTABLE, ..NewObject::default() };
    let sealed = space.backend().copy(object.id(), &new).unwrap();
    let sealed = space.open_object::<Turn>(sealed).unwrap();
    assert!(matches!(sealed.fd(Rights(3)), Err(Error::Denied { .. })));
    let file = File::from(sealed.fd(Rights::READ).unwrap());
    assert!(file.write_all_at(b"x", 0).is_err());
}
