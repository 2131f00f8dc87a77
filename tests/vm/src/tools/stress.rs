// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything at once: processes with threads map, touch, revoke, copy, resize,
//! delete, fork, exec, sleep and wake on the same objects and the same view, attach to
//! the same contexts, load and change them, and are killed at random. Afterwards every count is what it was.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use twz_abi::{ObjectId, PAGE, Rights, SLOT, ViewEntry, ioctl as abi};
use zerocopy::IntoBytes as _;

use super::{fuzz, report};
use crate::{
    map::{self, RWX},
    meddler::Meddler,
    options::Options,
    probe,
    process::{self, Child, Shared, Status},
    rng::{self, Rng},
    sys::{self, Session},
    world::{OPEN, World, view_object},
};

/// Objects that all work on.
const OBJECTS: u64 = 12;

/// Slots that all use.
const SLOTS: u64 = 10;

/// Processes at a time.
const WORKERS: usize = 4;

/// Pages of a worker's object at most.
const PAGES: u64 = 1600;

/// Word in the shared memory: whether it is over.
const OVER: usize = 0;

/// Word in the shared memory: what was done.
const DONE: usize = 1;

/// Where the ids are in the shared memory.
const IDS: usize = 8;

/// Runs it.
pub fn run(options: &Options) -> bool {
    process::adopt_orphans();
    let seed = options.seed.unwrap_or_else(rng::seed);
    let seconds = options.seconds.unwrap_or(20);
    println!("# stress --seed={seed} --seconds={seconds}");
    report("stress", fuzz::tidily(|| all_at_once(seed, seconds)))
}

fn id_at(shared: &Shared, n: u64) -> ObjectId {
    let at = IDS + n as usize * 2;
    ObjectId { lo: shared.get(at), hi: shared.get(at + 1) }
}

fn put_id(shared: &Shared, n: u64, id: ObjectId) {
    let at = IDS + n as usize * 2;
    shared.set(at, id.lo);
    shared.set(at + 1, id.hi);
}

fn all_at_once(seed: u64, seconds: u64) -> Result<String, String> {
    let session = Session::open();
    let view = view_object(&session, SLOTS as u32);
    let shared = Shared::new();
    let meddler = Meddler::new(&session);
    let mut rng = Rng::new(seed);
    (0..OBJECTS).for_each(|n| put_id(&shared, n, session.create(rng.below(PAGES) * PAGE, OPEN)));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut born = 0;
    let mut workers: Vec<Child> = Vec::new();
    let mut progress = (0, Instant::now());
    while Instant::now() < deadline {
        while workers.len() < WORKERS {
            born += 1;
            workers.push(worker(seed ^ born << 8, view, &shared, &meddler));
        }
        std::thread::sleep(Duration::from_millis(50 + rng.below(300)));
        let victim = workers.swap_remove(rng.below(workers.len() as u64) as usize);
        if rng.one_in(3) {
            victim.signal(*rng.of(&[libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV]));
            victim.wait();
        } else {
            workers.push(victim);
        }
        let mut wrong = false;
        workers.retain(|worker| {
            let ended = worker.ended();
            wrong |= ended == Some(Status::Exited(101));
            ended.is_none()
        });
        if wrong {
            return Err("a worker found something wrong".into());
        }
        let done = shared.get(DONE);
        if done != progress.0 {
            progress = (done, Instant::now());
        } else if progress.1.elapsed() > Duration::from_secs(90) {
            return Err(format!("it hangs after {done} steps"));
        }
    }
    shared.set(OVER, 1);
    std::thread::sleep(Duration::from_millis(300));
    workers.iter().for_each(|worker| {
        worker.signal(libc::SIGKILL);
        worker.wait();
    });
    process::reap_orphans();
    fuzz::still_works(&session)?;
    Ok(format!("{} steps of {born} processes in {seconds} s", shared.get(DONE)))
}

/// A process with two more threads that do nothing but touch.
fn worker(seed: u64, view: ObjectId, shared: &Shared, meddler: &Meddler) -> Child {
    process::fork(|| {
        let protection = if seed.is_multiple_of(3) { RWX } else { map::RW };
        let world = World::of(Session::open(), view, SLOTS as u32, protection);
        let mut meddler = meddler.clone();
        let over = AtomicBool::new(false);
        let base = world.slot(0, 0);
        std::thread::scope(|scope| {
            for n in 0..2 {
                let over = &over;
                scope.spawn(move || toucher(Rng::new(seed + n), base, over));
            }
            let mut rng = Rng::new(seed);
            while shared.get(OVER) == 0 && !rng.one_in(3000) {
                step(&world, &mut rng, shared, &mut meddler);
                shared.add(DONE, 1);
            }
            over.store(true, Ordering::Relaxed);
        });
        0
    })
}

fn toucher(mut rng: Rng, base: usize, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let slot = rng.below(SLOTS);
        let at = base + (slot * SLOT + PAGE + rng.below(PAGES * PAGE / 8) * 8) as usize;
        let at = if rng.one_in(20) { at | (SLOT - PAGE) as usize } else { at };
        if rng.one_in(2) {
            let _ = probe::store(at, rng.next());
        } else {
            let _ = probe::load(at);
        }
    }
}

fn step(world: &World, rng: &mut Rng, shared: &Shared, meddler: &mut Meddler) {
    let n = rng.below(OBJECTS);
    let (id, slot) = (id_at(shared, n), 1 + rng.below(SLOTS - 1) as u32);
    let session = &world.session;
    match rng.below(18) {
        0..=3 => {
            let entry = ViewEntry::new(id, Rights(rng.below(8) as u32));
            let _ = session.write(world.view, ViewEntry::offset(slot), entry.as_bytes());
        }
        4 | 5 => drop(session.invalidate(world.view, slot, 1 + rng.below(4) as u32)),
        6 => replace(session, rng, shared, n, meddler),
        7 => drop(session.resize(id, rng.below(PAGES * PAGE))),
        8 => drop(session.reserve(id, 0, rng.below(PAGES * PAGE))),
        9 => drop(session.wait(id, PAGE, 0, 2_000_000)),
        10 => drop(session.wake(id, PAGE, 2)),
        11 => as_a_file(session, rng, id),
        12 if rng.one_in(8) => family(world, rng, id),
        13 => drop(map::madvise(world.slot(slot, 0), SLOT as usize, rng.below(26) as i32)),
        14 => drop(session.sync(id)),
        15 | 16 => meddler.one(rng, session, &[id]),
        _ => {
            let mut some = [0; 64];
            let _ = session.read(id, PAGE + rng.below(PAGES) * PAGE, &mut some);
            let _ = session.write(id, PAGE + rng.below(PAGES) * PAGE, &some);
        }
    }
}

/// Deletes an object and puts a new one, or a copy of another, in its place.
fn replace(session: &Session, rng: &mut Rng, shared: &Shared, n: u64, meddler: &Meddler) {
    let source = id_at(shared, rng.below(OBJECTS));
    let mut create = abi::Copy {
        source,
        create: abi::Create {
            size: rng.below(PAGES * PAGE),
            default_rights: OPEN.0,
            owner: meddler.owner(rng),
            ..Default::default()
        },
        epoch: 0,
    };
    // Not by the session, which would delete it at its end.
    let copied = session.call(abi::COPY, &mut create).is_ok();
    let made = copied || sys::command(session.raw(), abi::CREATE, &mut create.create).is_ok();
    if made {
        let _ = session.delete(id_at(shared, n));
        put_id(shared, n, create.create.id);
    }
}

fn as_a_file(session: &Session, rng: &mut Rng, id: ObjectId) {
    let Ok(fd) = session.open_fd(id, Rights(3)) else { return };
    let file = crate::file::File(fd);
    let at = rng.below(PAGES * PAGE);
    let _ = file.pwrite(&[1; 100], at);
    let _ = file.allocate(3, at, rng.below(64 * PAGE));
    if let Ok(mapped) = map::Map::shared(&file.0, 64 * map::PAGE, map::RW) {
        let _ = probe::store(mapped.at(rng.below(64 * PAGE - 8) as usize & !7), 5);
    }
}

/// A child that touches what it must not have, or that becomes another program.
fn family(world: &World, rng: &mut Rng, id: ObjectId) {
    let (at, exec) = (world.slot(1 + rng.below(SLOTS - 1) as u32, PAGE), rng.one_in(2));
    let child = process::fork(|| {
        let stolen = probe::load(at).is_ok() || world.session.stat(id).is_ok();
        if stolen {
            return 3;
        }
        if exec {
            process::exec_self(&["child-reads", &at.to_string()]);
        }
        0
    });
    let status = child.wait();
    // Who is being ended by a signal has a child that has no handler for it either.
    if status != Status::Exited(0) && probe::is_installed() {
        let what = if exec { "that became another program" } else { "of a fork" };
        println!("# a child {what} had what is its parent's at {at:#x}, or died: {status:?}");
        // No panic: the threads that only touch would be waited for.
        process::exit(101);
    }
}
