// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sleeping on a word of an object, and being woken.

use std::time::{Duration, Instant};

use twz_abi::{ObjectId, PAGE};

use crate::{
    errno::Errno,
    ktap::Test,
    map::RWX,
    probe,
    process::{self, Child, Shared},
    sys::Session,
    tests,
    world::{OPEN, RW, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    another_value_is_eagain,
    a_time_that_has_passed_is_etimedout,
    a_hole_holds_zero,
    a_wake_without_sleepers_wakes_none,
    a_wake_reaches_another_process,
    no_more_are_woken_than_asked_for,
    only_the_word_itself_wakes,
    a_store_alone_wakes_nobody,
    a_signal_is_eintr,
    a_killed_sleeper_is_not_counted,
    everybody_is_woken,
    threads_of_one_process_sleep_and_wake,
    words_of_two_views_are_one,
    no_wake_is_lost,
    many_wakers_and_sleepers,
];

const FOR_EVER: u64 = u64::MAX;
const SECOND: u64 = 1_000_000_000;

fn another_value_is_eagain() {
    let session = Session::open();
    let id = session.object(PAGE);
    session.set_word(id, 8, 5);
    assert_eq!(session.wait(id, PAGE + 8, 4, FOR_EVER), Err(Errno::EAGAIN));
    assert_eq!(session.wait(id, PAGE + 8, 5 | 1 << 63, FOR_EVER), Err(Errno::EAGAIN));
    assert_eq!(session.wait(id, PAGE + 8, 5, 1), Err(Errno::ETIMEDOUT));
}

fn a_time_that_has_passed_is_etimedout() {
    let session = Session::open();
    let id = session.object(PAGE);
    for millis in [0, 1, 50, 300] {
        let begun = Instant::now();
        let got = session.wait(id, PAGE, 0, millis * 1_000_000);
        assert_eq!(got, Err(Errno::ETIMEDOUT), "{millis} ms");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(millis), "{took:?} for {millis} ms");
        assert!(took < Duration::from_millis(millis + 5000), "{took:?} for {millis} ms");
    }
}

fn a_hole_holds_zero() {
    let session = Session::open();
    let id = session.object(8 * PAGE);
    assert_eq!(session.wait(id, 5 * PAGE, 0, 1), Err(Errno::ETIMEDOUT));
    assert_eq!(session.wait(id, 5 * PAGE, 1, 1), Err(Errno::EAGAIN));
    assert_eq!(session.wait(id, 9 * PAGE, 0, 1), Err(Errno::EINVAL), "past its data");
}

fn a_wake_without_sleepers_wakes_none() {
    let session = Session::open();
    let id = session.object(PAGE);
    assert_eq!(session.wake(id, PAGE, 5), Ok(0));
    assert_eq!(session.wake(id, PAGE, u64::MAX), Ok(0));
    assert_eq!(session.wake(id, PAGE, 0), Ok(0));
}

/// Children that sleep on a word until woken; each adds one to word 1 of `shared`.
fn sleepers(n: usize, id: ObjectId, offset: u64, shared: &Shared) -> Vec<Child> {
    let sleep = |_| {
        process::fork(|| {
            let session = Session::open();
            shared.add(0, 1);
            let got = session.wait(id, offset, 0, 60 * SECOND);
            shared.add(1, 1);
            i32::from(got != Ok(()))
        })
    };
    let before = shared.get(0);
    let children = (0..n).map(sleep).collect();
    shared.await_at_least(0, before + n as u64);
    // All have said that they are about to; give them the time to.
    std::thread::sleep(Duration::from_millis(400));
    children
}

fn a_wake_reaches_another_process() {
    let session = Session::open();
    let id = session.object(PAGE);
    let shared = Shared::new();
    let children = sleepers(1, id, PAGE + 16, &shared);
    assert_eq!(shared.get(1), 0, "it sleeps");
    assert_eq!(session.wake(id, PAGE + 16, 1), Ok(1));
    children[0].succeed();
    assert_eq!(session.wake(id, PAGE + 16, 1), Ok(0));
}

fn no_more_are_woken_than_asked_for() {
    let session = Session::open();
    let id = session.object(PAGE);
    let shared = Shared::new();
    let children = sleepers(5, id, PAGE, &shared);
    assert_eq!(session.wake(id, PAGE, 2), Ok(2));
    shared.await_at_least(1, 2);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shared.get(1), 2, "two and no more");
    assert_eq!(session.wake(id, PAGE, 0), Ok(0));
    assert_eq!(session.wake(id, PAGE, 100), Ok(3));
    children.iter().for_each(Child::succeed);
}

fn only_the_word_itself_wakes() {
    let session = Session::open();
    let (id, other) = (session.object(2 * PAGE), session.object(2 * PAGE));
    let shared = Shared::new();
    let children = sleepers(1, id, PAGE + 8, &shared);
    for offset in [PAGE, PAGE + 16, 2 * PAGE + 8] {
        assert_eq!(session.wake(id, offset, 10), Ok(0), "offset {offset:#x}");
    }
    assert_eq!(session.wake(other, PAGE + 8, 10), Ok(0), "the same word of another object");
    assert_eq!(shared.get(1), 0);
    assert_eq!(session.wake(id, PAGE + 8, 10), Ok(1));
    children[0].succeed();
}

fn a_store_alone_wakes_nobody() {
    let session = Session::open();
    let id = session.object(PAGE);
    let shared = Shared::new();
    let children = sleepers(1, id, PAGE, &shared);
    session.set_word(id, 0, 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(shared.get(1), 0);
    assert_eq!(session.wake(id, PAGE, 1), Ok(1));
    children[0].succeed();
}

extern "C" fn nothing(_: libc::c_int) {}

/// Has a signal be handled by doing nothing, without restarting calls, or with.
fn handle(signal: i32, flags: i32) {
    // SAFETY: `nothing` does nothing, which is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = flags;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

fn a_signal_is_eintr() {
    let session = Session::open();
    let id = session.object(PAGE);
    let shared = Shared::new();
    for timeout in [FOR_EVER, 60 * SECOND] {
        let child = process::fork(|| {
            handle(libc::SIGUSR1, 0);
            let session = Session::open();
            shared.set(0, 1);
            i32::from(session.wait(id, PAGE, 0, timeout) != Err(Errno::EINTR))
        });
        shared.await_at_least(0, 1);
        std::thread::sleep(Duration::from_millis(300));
        child.signal(libc::SIGUSR1);
        child.succeed();
        shared.set(0, 0);
    }
    assert_eq!(session.wake(id, PAGE, 1), Ok(0), "it does not sleep any more");
}

fn a_killed_sleeper_is_not_counted() {
    let session = Session::open();
    let id = session.object(PAGE);
    let shared = Shared::new();
    let children = sleepers(3, id, PAGE, &shared);
    children[1].kill();
    assert_eq!(session.wake(id, PAGE, 100), Ok(2));
    children[0].succeed();
    children[2].succeed();
    assert_eq!(session.stat(id).map(|stat| stat.references), Ok(0));
}

fn everybody_is_woken() {
    let session = Session::open();
    let id = session.object(PAGE);
    let shared = Shared::new();
    let children = sleepers(24, id, PAGE, &shared);
    let references = session.stat(id).expect("STAT").references;
    assert!(references > 0, "who waits for an object keeps it");
    assert_eq!(session.wake(id, PAGE, u64::MAX), Ok(24));
    children.iter().for_each(Child::succeed);
    assert_eq!(session.stat(id).map(|stat| stat.references), Ok(0));
}

fn threads_of_one_process_sleep_and_wake() {
    let session = Session::open();
    let id = session.object(PAGE);
    let fd = session.raw();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(move || session_wait(fd, id))).collect();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(session.wake(id, PAGE, 3), Ok(3));
        assert_eq!(session.wake(id, PAGE, 10), Ok(5));
        for thread in threads {
            assert_eq!(thread.join().expect("a thread"), Ok(()));
        }
    });
}

fn session_wait(fd: i32, id: ObjectId) -> Result<(), Errno> {
    let mut wait = twz_abi::ioctl::Wait { id, offset: PAGE, value: 0, timeout: 60 * SECOND };
    crate::sys::command(fd, twz_abi::ioctl::WAIT, &mut wait)
}

/// Waits until the word at `at` is not `value` any more.
fn until_changed(session: &Session, id: ObjectId, offset: u64, at: usize, value: u64) -> u64 {
    loop {
        let now = probe::load(at).expect("a load");
        if now != value {
            return now;
        }
        match session.wait(id, offset, value, 20 * SECOND) {
            Ok(()) | Err(Errno::EAGAIN) => {}
            other => panic!("a wake was lost: {other:?}, the word is {:?}", probe::load(at)),
        }
    }
}

fn words_of_two_views_are_one() {
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let shared = Shared::new();
    let view = crate::world::view_object(&world.session, 8);
    let child = process::fork(|| {
        let other = World::of(Session::open(), view, 8, RWX);
        other.show(5, id, RW);
        shared.set(0, 1);
        until_changed(&other.session, id, PAGE, other.at(5, 0), 0) as i32 - 7
    });
    shared.await_at_least(0, 1);
    std::thread::sleep(Duration::from_millis(200));
    probe::store(world.at(2, 0), 7).expect("a store");
    assert!(world.session.wake(id, PAGE, 1).is_ok());
    child.succeed();
}

/// Two processes take turns; a wake that is lost ends in a timeout.
fn no_wake_is_lost() {
    let rounds = crate::options::options().count.unwrap_or(1500);
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let turn = |world: &World, parity: u64| {
        let at = world.at(2, 0);
        let mut value = probe::load(at).expect("a load");
        while value < rounds {
            if value % 2 == parity {
                value += 1;
                probe::store(at, value).expect("a store");
                world.session.wake(id, PAGE, 1).expect("WAKE");
            } else {
                value = until_changed(&world.session, id, PAGE, at, value);
            }
        }
    };
    let child = process::fork(|| {
        turn(&World::of(Session::open(), world.view, 8, RWX), 1);
        0
    });
    turn(&world, 0);
    child.succeed();
    assert!(world.session.word(id, 0) >= rounds);
}

/// Each of some processes adds to the word and wakes one; the sum is right and
/// nobody sleeps for ever.
fn many_wakers_and_sleepers() {
    const EACH: u64 = 200;
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let work = |n: u64| {
        let other = World::of(Session::open(), world.view, 8, RWX);
        let at = other.at(2, 0);
        for _ in 0..EACH {
            // Takes turns with the others, modulo 4.
            loop {
                let value = probe::load(at).expect("a load");
                if value % 4 == n {
                    break;
                }
                let _ = until_changed(&other.session, id, PAGE, at, value);
            }
            probe::atomic(at).fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            other.session.wake(id, PAGE, u64::MAX).expect("WAKE");
        }
        0
    };
    let children: Vec<Child> = (0..4).map(|n| process::fork(|| work(n))).collect();
    children.iter().for_each(Child::succeed);
    assert_eq!(world.session.word(id, 0), 4 * EACH);
}
