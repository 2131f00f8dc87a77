// SPDX-License-Identifier: MIT OR Apache-2.0
//! The heap of an object: against a model, with many threads, with processes
//! that are killed, and full.

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use common::{Rng, TempPool as Pool, child, kill_some};
use proptest::prelude::*;
use twz::{Error, Field, HeapReport, Object, ObjectId, Rights, Space};

type Root = Field<u64>;

fn object(space: &Space) -> Object<Root> {
    space.create(Field::new(0)).unwrap()
}

fn fill(object: &Object<Root>, offset: u64, len: u64, seed: u64) {
    let bytes: Vec<u8> = (0..len).map(|i| (seed.wrapping_mul(31) + i) as u8).collect();
    object.write(offset - 4096, &bytes).unwrap();
}

fn holds(object: &Object<Root>, offset: u64, len: u64, seed: u64) -> bool {
    let mut bytes = vec![0; len as usize];
    object.read(offset - 4096, &mut bytes).unwrap();
    (0..len).all(|i| bytes[i as usize] == (seed.wrapping_mul(31) + i) as u8)
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64, u32),
    Free(usize),
    Grow(usize, u64),
    /// Free something that is no block.
    Wrong(u64),
    Reopen,
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..200, 3 => 200u64..5000, 2 => 5000u64..70_000, 1 => 70_000u64..400_000]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (length(), 0u32..=16).prop_map(|(len, align)| Step::Alloc(len, if align > 13 { align } else { align % 7 })),
        4 => any::<usize>().prop_map(Step::Free),
        2 => (any::<usize>(), length()).prop_map(|(which, len)| Step::Grow(which, len)),
        1 => any::<u64>().prop_map(Step::Wrong),
        1 => Just(Step::Reopen),
    ]
}

/// Blocks by offset: usable size and seed of the contents.
type Model = BTreeMap<u64, (u64, u64)>;

fn admit(model: &mut Model, offset: u64, size: u64, seed: u64) {
    let before = model.range(..=offset).next_back();
    assert!(before.is_none_or(|(at, (len, _))| at + len <= offset), "overlaps the one before");
    let after = model.range(offset..).next();
    assert!(after.is_none_or(|(at, _)| offset + size <= *at), "overlaps the one after");
    model.insert(offset, (size, seed));
}

fn run(steps: &[Step]) {
    let pool = Pool::new();
    let mut space = pool.open();
    let mut held = object(&space);
    let mut model = Model::new();
    for (seed, step) in (1..).zip(steps) {
        let pick = |which: usize| {
            let keys: Vec<u64> = model.keys().copied().collect();
            (!keys.is_empty()).then(|| keys[which % keys.len()])
        };
        match *step {
            Step::Alloc(len, align) => {
                let offset = held.heap().alloc(len, 1 << align).unwrap();
                assert_eq!(offset % (1 << align), 0);
                let size = held.heap().size(offset).unwrap();
                assert!(size >= len);
                admit(&mut model, offset, size, seed);
                fill(&held, offset, size.min(5000), seed);
            }
            Step::Free(which) => {
                let Some(offset) = pick(which) else { continue };
                let (size, seed) = model.remove(&offset).unwrap();
                assert!(holds(&held, offset, size.min(5000), seed), "the contents were changed");
                held.heap().free(offset).unwrap();
                assert!(held.heap().free(offset).is_err(), "freed twice");
            }
            Step::Grow(which, len) => {
                let Some(old) = pick(which) else { continue };
                let (size, seed) = model.remove(&old).unwrap();
                let new = held.heap().grow(old, len).unwrap();
                assert!(holds(&held, new, size.min(5000), seed), "growing lost the contents");
                let size = held.heap().size(new).unwrap();
                assert!(size >= len);
                admit(&mut model, new, size, seed);
                fill(&held, new, size.min(5000), seed);
            }
            Step::Wrong(at) => {
                let at = at % (1 << 30);
                if !model.contains_key(&at) {
                    assert!(held.heap().free(at).is_err());
                    assert!(held.heap().size(at).is_err());
                }
                if let Some(offset) = pick(at as usize) {
                    assert!(held.heap().free(offset + 8).is_err());
                }
            }
            Step::Reopen => {
                let id = held.id();
                drop((held, space));
                space = pool.open();
                held = space.open_object(id).unwrap();
            }
        }
    }
    let report = held.heap().check().unwrap();
    assert_eq!(report.blocks, model.len() as u64);
    assert_eq!(report.bytes, model.values().map(|(size, _)| size).sum::<u64>());
    for (offset, (size, seed)) in model {
        assert!(holds(&held, offset, size.min(5000), seed));
        held.heap().free(offset).unwrap();
    }
    let report = held.heap().check().unwrap();
    assert_eq!((report.blocks, report.bytes, report.lost_chunks), (0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn it_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..120)) {
        run(&steps);
    }
}

#[test]
fn a_small_object_stays_small() {
    let pool = Pool::new();
    let space = pool.open();
    let held = object(&space);
    let before = held.stat().unwrap().stored;
    held.alloc(7u64).unwrap();
    let after = held.stat().unwrap();
    // Two more where a store counts the pages that say where the others are.
    assert!(after.stored - before <= 8 * 4096, "{} bytes for 8", after.stored - before);
    assert!(after.size <= 256 * 1024, "{}", after.size);
}

#[test]
fn what_is_freed_serves_other_sizes() {
    let pool = Pool::new();
    let space = pool.open();
    let held = object(&space);
    let mut size = 0;
    for round in 0..6 {
        let len = [24, 100, 1000, 9000, 30_000, 300_000][round];
        let blocks: Vec<_> =
            (0..8_000_000 / len).map(|_| held.heap().alloc(len, 8).unwrap()).collect();
        blocks.into_iter().for_each(|block| held.heap().free(block).unwrap());
        let report = held.heap().check().unwrap();
        assert_eq!(report.blocks, 0);
        assert!(report.chunks < 12, "{report:?}");
        let now = held.len().unwrap();
        assert!(round == 0 || now < size * 2, "{now} after {size}");
        size = size.max(now);
    }
}

#[test]
fn plain_bytes_and_read_only_objects_are_refused() {
    let pool = Pool::new();
    let space = pool.open();
    let bytes = space.create(()).unwrap();
    assert!(matches!(bytes.heap().alloc(8, 8), Err(Error::Unsupported(_))));
    let held = object(&space);
    let offset = held.heap().alloc(8, 8).unwrap();
    let reader = space.open_object_read::<Root>(held.id()).unwrap();
    assert!(
        matches!(reader.heap().alloc(8, 8), Err(Error::Denied { wanted, .. }) if wanted == Rights::WRITE)
    );
    assert!(reader.heap().free(offset).is_err());
    assert_eq!(reader.heap().size(offset).unwrap(), 16);
    assert!(matches!(held.heap().alloc(8, 3), Err(Error::Unsupported(_))));
    assert!(matches!(held.heap().alloc(8, 1 << 17), Err(Error::Unsupported(_))));
    assert!(matches!(held.heap().alloc(u64::MAX, 8), Err(Error::ObjectFull { .. })));
}

#[test]
fn an_object_grows_to_its_limit_and_loses_nothing() {
    let pool = Pool::new();
    let space = pool.open();
    let held = object(&space);
    let mut blocks = Vec::new();
    // Large, then ever smaller, until not even 16 bytes are left... of one kind.
    for len in [100 << 20, 1 << 20, 64 << 10] {
        loop {
            match held.heap().alloc(len, 8) {
                Ok(block) => blocks.push(block),
                Err(Error::ObjectFull { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(held.len().unwrap() > (1 << 30) - (1 << 20));
    let report = held.heap().check().unwrap();
    assert_eq!(report.blocks, blocks.len() as u64);
    assert_eq!(report.lost_chunks, 0);
    for &block in &blocks {
        fill(&held, block, 8, block);
    }
    assert!(matches!(held.heap().alloc(200, 8), Err(Error::ObjectFull { .. })));
    assert!(blocks.iter().all(|&block| holds(&held, block, 8, block)));
    // One chunk back, and there is room for many small ones again.
    held.heap().free(blocks.pop().unwrap()).unwrap();
    // One chunk may have to go to bitmaps.
    held.heap().free(blocks.pop().unwrap()).unwrap();
    let small: Vec<_> = (0..290).map(|_| held.heap().alloc(200, 8).unwrap()).collect();
    small.into_iter().chain(blocks).for_each(|block| held.heap().free(block).unwrap());
    assert_eq!(held.heap().check().unwrap().blocks, 0);
    held.heap().alloc(900 << 20, 8).unwrap();
}

/// Takes, marks, checks and gives back blocks. Two owners of one block would
/// see each other's marks.
fn churn(held: &Object<Root>, seed: u64, until: impl Fn(u64) -> bool) {
    let mut rng = Rng(seed | 1);
    let mut mine: Vec<(&AtomicU64, u64)> = Vec::new();
    let mut blocks: Vec<(u64, u64, u64)> = Vec::new();
    for i in 0.. {
        if until(i) {
            break;
        }
        match rng.next() % 5 {
            0 | 1 if mine.len() < 400 => {
                let word = held.alloc(AtomicU64::new(0)).unwrap();
                let mark = rng.next();
                word.store(mark, Ordering::SeqCst);
                mine.push((word, mark));
            }
            2 if blocks.len() < 40 => {
                let len = (1 + rng.next() % 150_000) >> (rng.next() % 12);
                let offset = held.heap().alloc(len.max(8), 8).unwrap();
                let mark = rng.next();
                fill(held, offset, 8, mark);
                blocks.push((offset, len, mark));
            }
            3 if !mine.is_empty() => {
                let (word, mark) = mine.swap_remove(rng.next() as usize % mine.len());
                assert_eq!(word.load(Ordering::SeqCst), mark, "two owners of one block");
                held.free(word).unwrap();
            }
            4 if !blocks.is_empty() => {
                let (offset, _, mark) = blocks.swap_remove(rng.next() as usize % blocks.len());
                assert!(holds(held, offset, 8, mark), "two owners of one block");
                held.heap().free(offset).unwrap();
            }
            _ => {}
        }
    }
    for (word, mark) in mine {
        assert_eq!(word.load(Ordering::SeqCst), mark, "two owners of one block");
        held.free(word).unwrap();
    }
    for (offset, _, mark) in blocks {
        assert!(holds(held, offset, 8, mark), "two owners of one block");
        held.heap().free(offset).unwrap();
    }
}

#[test]
fn threads_share_a_heap() {
    let pool = Pool::new();
    let space = pool.open();
    let held = object(&space);
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let held = &held;
            scope.spawn(move || churn(held, seed * 7919, |i| i == 15_000));
        }
    });
    let report = held.heap().check().unwrap();
    assert_eq!((report.blocks, report.lost_chunks), (0, 0));
}

/// Threads that empty chunks again and again while others look for room.
#[test]
fn chunks_change_hands() {
    let pool = Pool::new();
    let space = pool.open();
    let held = object(&space);
    std::thread::scope(|scope| {
        for seed in 1..=3u64 {
            let held = &held;
            scope.spawn(move || {
                let mut rng = Rng(seed * 104_729);
                for _ in 0..600 {
                    let len = [8000, 16_000, 20_000, 32_000, 64_000][rng.next() as usize % 5];
                    let blocks: Vec<u64> = (0..1 + rng.next() % 12)
                        .map(|_| {
                            let block = held.heap().alloc(len, 8).unwrap();
                            fill(held, block, 8, block ^ seed);
                            block
                        })
                        .collect();
                    for block in blocks {
                        assert!(holds(held, block, 8, block ^ seed), "two owners of one block");
                        held.heap().free(block).unwrap();
                    }
                }
            });
        }
    });
    let report = held.heap().check().unwrap();
    assert_eq!((report.blocks, report.lost_chunks), (0, 0));
}

/// What the killed processes do; not a test by itself.
#[test]
fn child_churns() {
    let Some((path, id)) = child("child_churns") else { return };
    let space = Space::open(path).unwrap();
    let held = space.open_object::<Root>(id).unwrap();
    let seed = std::process::id() as u64;
    churn(&held, seed * 31, |_| false);
}

#[test]
fn killed_processes_leave_a_sound_heap() {
    let pool = Pool::new();
    let space = pool.open();
    let held = object(&space);
    let keep: Vec<u64> = (0..1000)
        .map(|i| {
            let block = held.heap().alloc(64, 8).unwrap();
            fill(&held, block, 64, i);
            block
        })
        .collect();
    let kills = kill_some("child_churns", pool.path(), held.id(), 16);
    let report: HeapReport = held.heap().check().unwrap();
    // Each had at most 440 blocks, and at most one run half taken or half freed.
    assert!(report.blocks <= 1000 + kills * 441, "{report:?}");
    assert!(report.lost_chunks <= kills * 3, "{report:?}");
    for (i, block) in (0..).zip(&keep) {
        assert!(holds(&held, *block, 64, i), "a block that was in use has changed");
        held.heap().free(*block).unwrap();
    }
    // And it goes on working.
    churn(&held, 5, |i| i == 5000);
    held.heap().check().unwrap();
}

/// A heap whose every word may be anything gives errors, and blocks inside the
/// object or none.
#[test]
fn hostile_bytes_give_errors() {
    let pool = Pool::new();
    let space = pool.open();
    let mut rng = Rng(99);
    for round in 0..60 {
        let held = object(&space);
        let block = held.heap().alloc(64, 8).unwrap();
        held.heap().alloc(100_000, 8).unwrap();
        let base = 4096 + 64;
        for _ in 0..1 + rng.next() % 200 {
            let at = match round % 3 {
                0 => base + rng.next() % 2700,
                1 => base + 2624 + rng.next() % 200,
                _ => base + rng.next() % 100_000,
            };
            let word = [rng.next(), rng.next() % 70_000, u64::MAX][rng.next() as usize % 3];
            held.write(at / 8 * 8 - 4096, &word.to_le_bytes()).unwrap();
        }
        let start = Instant::now();
        let _ = held.heap().report();
        let _ = held.heap().free(block);
        for len in [1, 64, 1000, 40_000, 200_000] {
            if let Ok(offset) = held.heap().alloc(len, 8) {
                assert!(offset >= 4096 && offset + len <= 4096 + held.len().unwrap());
                let _ = held.heap().grow(offset, len * 3);
                let _ = held.heap().free(offset);
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
        let _: ObjectId = held.id();
    }
}
