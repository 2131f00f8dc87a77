// SPDX-License-Identifier: MIT OR Apache-2.0
//! What two do to one heap, step between step: somebody acts at the one point
//! of another's work where it matters. `tests/heap.rs` has all the rest.

use std::cell::RefCell;

use twz_abi::DATA_START;

use super::*;
use crate::{Field, Space, common::pool::TempPool};

type Act = (&'static str, Box<dyn FnOnce()>);

thread_local! {
    static ACT: RefCell<Option<Act>> = const { RefCell::new(None) };
}

/// Called by the heap at its tender points.
pub fn meanwhile(point: &str) {
    let act = ACT.with_borrow_mut(|act| act.take_if(|(at, _)| *at == point));
    if let Some((_, act)) = act {
        act();
    }
}

/// Has `act` happen when the heap next passes `point`.
fn at(point: &'static str, act: impl FnOnce() + 'static) {
    ACT.with_borrow_mut(|place| *place = Some((point, Box::new(act))));
}

fn happened() -> bool {
    ACT.with_borrow(|act| act.is_none())
}

struct Scene {
    object: Object<Field<u64>>,
    _pool: TempPool,
}

impl Scene {
    fn new() -> Self {
        let pool = TempPool::new();
        let object = pool.open().create(Field::new(0)).unwrap();
        Self { object, _pool: pool }
    }

    /// For somebody else: the same heap.
    fn other(&self) -> (Space, u32) {
        (self.object.space().clone(), self.object.slot())
    }
}

#[test]
fn a_block_is_not_taken_from_a_chunk_that_just_went() {
    let scene = Scene::new();
    let heap = scene.object.heap();
    let first = heap.alloc(64, 8).unwrap();
    heap.free(first).unwrap();
    let (space, slot) = scene.other();
    // The chunk is empty: somebody gives it back and has it as a run.
    at("a block is taken", move || {
        let view = View::writing(space.core(), slot).unwrap();
        view.close((first / CHUNK) as u32).unwrap();
        assert_eq!(space.core().heap_alloc(slot, CHUNK, 8).unwrap(), first / CHUNK * CHUNK);
    });
    let block = heap.alloc(64, 8).unwrap();
    assert!(happened());
    assert_ne!(block / CHUNK, first / CHUNK, "a block inside of somebody's run");
    assert_eq!(heap.check().unwrap().blocks, 2);
}

#[test]
fn a_chunk_does_not_go_with_a_block_that_was_just_taken() {
    let scene = Scene::new();
    let heap = scene.object.heap();
    let first = heap.alloc(64, 8).unwrap();
    heap.free(first).unwrap();
    let (space, slot) = scene.other();
    at("a chunk is closed", move || {
        assert_eq!(space.core().heap_alloc(slot, 64, 8).unwrap(), first);
    });
    let view = View::writing(scene.object.space().core(), scene.object.slot()).unwrap();
    view.close((first / CHUNK) as u32).unwrap();
    assert!(happened());
    assert_eq!(heap.check().unwrap().blocks, 1);
    let second = heap.alloc(64, 8).unwrap();
    assert_ne!(second / CHUNK, first / CHUNK, "the chunk is closing");
    heap.free(first).unwrap();
    assert!(heap.free(first).is_err());
    // With its last block the chunk is free, for anything.
    assert_eq!(heap.alloc(CHUNK, 8).unwrap(), first / CHUNK * CHUNK);
}

#[test]
fn a_run_goes_around_what_was_just_taken() {
    let scene = Scene::new();
    let heap = scene.object.heap();
    let first = heap.alloc(CHUNK, 8).unwrap();
    heap.free(first).unwrap();
    let (space, slot) = scene.other();
    // Somebody takes what would be the third chunk of it.
    at("a run is taken", move || {
        let view = View::writing(space.core(), slot).unwrap();
        assert!(view.take_chunk((first / CHUNK) as u32 + 2, Use::Large(1)));
    });
    let run = heap.alloc(5 * CHUNK, 8).unwrap();
    assert!(happened());
    assert_eq!(run, first + 3 * CHUNK);
    let report = heap.check().unwrap();
    assert_eq!((report.blocks, report.chunks, report.lost_chunks), (2, 6, 0));
    assert_eq!(heap.alloc(2 * CHUNK, 8).unwrap(), first, "what it had begun to take is free");
}

#[test]
fn who_grows_slower_cuts_nothing_off() {
    let scene = Scene::new();
    let (space, slot) = scene.other();
    at("the data is extended", move || {
        let core = space.core();
        let block = core.heap_alloc(slot, 32 << 20, 8).unwrap();
        let own = core.own(slot).unwrap();
        memory::write_bytes(own, block + (32 << 20) - 8, &[7; 8]).unwrap();
        memory::write_bytes(own, DATA_START, &block.to_le_bytes()).unwrap();
    });
    let heap = scene.object.heap();
    heap.alloc(64, 8).unwrap();
    assert!(happened());
    let block = scene.object.root().get();
    assert!(scene.object.len().unwrap() >= block + (32 << 20) - DATA_START);
    let mut bytes = [0; 8];
    scene.object.read(block + (32 << 20) - 8 - DATA_START, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 8]);
    assert_eq!(heap.check().unwrap().blocks, 2);
}

/// Somebody set a bit in a chunk that had just gone, and died before clearing it.
#[test]
fn a_stray_bit_costs_a_block_at_most() {
    for (stray, lost) in [(5, 1), (100, 0)] {
        let scene = Scene::new();
        let heap = scene.object.heap();
        let first = heap.alloc(64, 8).unwrap();
        heap.free(first).unwrap();
        let view = View::writing(scene.object.space().core(), scene.object.slot()).unwrap();
        let number = (first / CHUNK) as u32;
        view.close(number).unwrap();
        assert_eq!(view.chunk(number).usage(), Use::Free);
        let bits = view.bitmap(number).unwrap().unwrap();
        bits[stray / 64].fetch_or(1 << (stray % 64), Ordering::SeqCst);
        // 32 blocks of 2 KiB: a bit 100 means nothing there.
        let blocks: Vec<u64> = (0..40).map(|_| heap.alloc(2048, 8).unwrap()).collect();
        assert_eq!(heap.check().unwrap().blocks, 40 + lost);
        blocks.into_iter().for_each(|block| heap.free(block).unwrap());
        let report = heap.check().unwrap();
        assert_eq!((report.blocks, report.lost_chunks), (lost, 0));
    }
}
