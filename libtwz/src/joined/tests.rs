// SPDX-License-Identifier: MIT OR Apache-2.0
//! [`super`] on an image: files that grow and shrink over the edges of objects, and
//! what is left of them by somebody who is killed after any number of changes.

use std::{cell::Cell, os::fd::OwnedFd, time::Duration};

use super::*;
use crate::{
    ImageOptions, ImagePool,
    backend::{Binding, Mapped, ObjectStat, PoolInfo, Waited, Word},
    raw::{Arena, SlotWindow},
};

/// An edge between two objects of a file.
const EDGE: u64 = MAX_DATA;

/// A pool whose user is killed after some changes: the rest of them are refused.
struct Mortal {
    pool: ImagePool,
    left: std::sync::Mutex<Cell<u64>>,
}

impl Mortal {
    fn live(&self, changes: u64) {
        self.left.lock().unwrap().set(changes);
    }

    fn change<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let left = self.left.lock().unwrap();
        match left.get() {
            0 => Err(Error::Busy { what: "killed" }),
            n => {
                left.set(n - 1);
                act()
            }
        }
    }
}

/// What is passed on, as it is or as a change.
macro_rules! passed_on {
    ($($how:ident $name:ident($($arg:ident: $of:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($arg: $of),*) -> $out {
            passed_on!(@$how self, self.pool.$name($($arg),*))
        })*
    };
    (@asks $self:ident, $call:expr) => { $call };
    (@changes $self:ident, $call:expr) => { $self.change(|| $call) };
}

impl Backend for Mortal {
    passed_on! {
        asks info() -> Result<PoolInfo>;
        changes create(new: &NewObject) -> Result<ObjectId>;
        changes adopt(identity: &Identity, new: &NewObject) -> Result<ObjectId>;
        asks stat(id: ObjectId) -> Result<ObjectStat>;
        asks list(visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()>;
        changes resize(id: ObjectId, size: u64) -> Result<()>;
        changes reserve(id: ObjectId, from: u64, to: u64) -> Result<()>;
        changes delete(id: ObjectId) -> Result<()>;
        changes copy(source: ObjectId, new: &NewObject) -> Result<ObjectId>;
        asks read(id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()>;
        changes write(id: ObjectId, offset: u64, from: &[u8]) -> Result<()>;
        asks sync(id: ObjectId) -> Result<()>;
        asks lookup(path: &str) -> Result<Binding>;
        changes bind(path: &str, id: ObjectId, replace: bool) -> Result<()>;
        changes unbind(path: &str) -> Result<()>;
        changes rename(from: &str, to: &str) -> Result<()>;
        changes make_dir(path: &str) -> Result<()>;
        changes remove_dir(path: &str) -> Result<()>;
        asks read_dir(path: &str, visit: &mut dyn FnMut(&str, Binding) -> Result<()>) -> Result<()>;
        asks bump_generation() -> Result<()>;
        asks attach(arena: &Arena, view: Option<ObjectId>) -> Result<()>;
        asks map(id: ObjectId, window: &SlotWindow<'_>, wanted: Rights) -> Result<Mapped>;
        asks map_fot(id: ObjectId, window: &SlotWindow<'_>, from: u32, pages: u32, rights: Rights)
            -> Result<u32>;
        asks unmap(window: &SlotWindow<'_>) -> Result<()>;
        asks size(id: ObjectId) -> Result<u64>;
        asks open_data(id: ObjectId, rights: Rights) -> Result<OwnedFd>;
        asks process_file() -> Result<OwnedFd>;
        asks wait(word: &Word<'_>, value: u64, timeout: Option<Duration>) -> Result<Waited>;
        asks wake(word: &Word<'_>, count: u64) -> Result<u64>;
    }
}

fn pool() -> (tempfile::TempDir, Mortal) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool");
    ImagePool::format(&path, &ImageOptions::default()).unwrap();
    let pool = ImagePool::open_unsynced(&path).unwrap();
    (dir, Mortal { pool, left: std::sync::Mutex::new(Cell::new(u64::MAX)) })
}

fn file(pool: &dyn Backend) -> ObjectId {
    pool.create(&NewObject::default()).unwrap()
}

fn objects(pool: &dyn Backend) -> usize {
    let mut count = 0;
    pool.list(&mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    count
}

fn length(pool: &dyn Backend, id: ObjectId) -> u64 {
    Joined::find(pool, id).unwrap().length
}

fn write(pool: &dyn Backend, id: ObjectId, at: u64, bytes: &[u8]) {
    let file = Joined::find(pool, id).unwrap();
    let mut rest = bytes;
    for span in file.spans(at, bytes.len() as u64) {
        let (now, later) = rest.split_at(span.len as usize);
        pool.write(span.id, DATA_START + span.at, now).unwrap();
        rest = later;
    }
    assert!(rest.is_empty());
}

fn read(pool: &dyn Backend, id: ObjectId, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![7; len];
    Joined::find(pool, id).unwrap().read(pool, at, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_file_grows_and_shrinks_over_edges() {
    let (_dir, pool) = pool();
    let id = file(&pool);
    resize(&pool, id, 5 * EDGE + 100).unwrap();
    assert_eq!(Joined::find(&pool, id).unwrap().objects.len(), 6);
    write(&pool, id, EDGE - 3, b"over the edge");
    write(&pool, id, 5 * EDGE - 2, b"edge");
    assert_eq!(read(&pool, id, EDGE - 4, 15), b"\0over the edge\0");
    assert_eq!(read(&pool, id, 5 * EDGE - 3, 6), b"\0edge\0");
    assert!(pool.pool.stat(id).unwrap().stored < 64 << 10, "holes take no room");
    for (size, count) in [(5 * EDGE, 5), (EDGE + 1, 2), (EDGE, 1), (EDGE - 1, 1), (0, 1)] {
        resize(&pool, id, size).unwrap();
        let found = Joined::find(&pool, id).unwrap();
        assert_eq!((found.length, found.objects.len()), (size, count));
        assert_eq!(objects(&pool), count);
    }
    resize(&pool, id, 3 * EDGE).unwrap();
    assert_eq!(read(&pool, id, EDGE - 4, 15), [0; 15], "what was cut off does not come back");
    delete(&pool, id).unwrap();
    assert_eq!(objects(&pool), 0);
}

#[test]
fn there_is_a_longest() {
    let (_dir, pool) = pool();
    let id = file(&pool);
    assert!(matches!(resize(&pool, id, MAX_LENGTH + 1), Err(Error::BadSize(_))));
    resize(&pool, id, MAX_LENGTH).unwrap();
    write(&pool, id, MAX_LENGTH - 1, b"!");
    assert_eq!(length(&pool, id), MAX_LENGTH);
    resize(&pool, id, 1).unwrap();
    assert_eq!(objects(&pool), 1);
}

#[test]
fn a_copy_has_parts_of_its_own() {
    let (_dir, pool) = pool();
    let id = file(&pool);
    resize(&pool, id, 2 * EDGE + 9).unwrap();
    write(&pool, id, EDGE - 2, b"both");
    let other = copy(&pool, id, &NewObject::default()).unwrap();
    assert_eq!(length(&pool, other), 2 * EDGE + 9);
    write(&pool, other, EDGE, b"ne");
    assert_eq!(read(&pool, id, EDGE - 2, 4), b"both");
    delete(&pool, id).unwrap();
    assert_eq!(read(&pool, other, EDGE - 2, 4), b"bone");
    // An object that was copied as one is one.
    let head = pool.copy(other, &NewObject::default()).unwrap();
    assert_eq!(length(&pool, head), EDGE);
    delete(&pool, head).unwrap();
    assert_eq!(length(&pool, other), 2 * EDGE + 9);
}

#[test]
fn what_points_elsewhere_stays_one_object() {
    let (_dir, pool) = pool();
    let (id, other) = (file(&pool), file(&pool));
    pool.write(id, entry_offset(1), FotEntry::by_id(other, Rights::READ, 0).as_bytes()).unwrap();
    assert!(matches!(resize(&pool, id, EDGE + 1), Err(Error::ObjectFull { .. })));
    resize(&pool, id, EDGE).unwrap();
    delete(&pool, id).unwrap();
    assert_eq!(objects(&pool), 1);
    let typed = NewObject { kind: kind::TYPED, fingerprint: 1, ..NewObject::default() };
    let typed = pool.create(&typed).unwrap();
    assert!(matches!(resize(&pool, typed, EDGE + 1), Err(Error::BadSize(_))));
}

/// Lengths in whose neighbourhood all happens.
const LENGTHS: [u64; 8] =
    [10, EDGE - 1, EDGE, EDGE + 1, 2 * EDGE, 2 * EDGE + 5, 3 * EDGE, 4 * EDGE];

#[test]
fn who_is_killed_leaves_the_old_length_or_the_new() {
    let mut cuts = 0;
    for from in LENGTHS {
        for to in LENGTHS.into_iter().filter(|to| *to != from) {
            for changes in 0.. {
                let (_dir, pool) = pool();
                let id = file(&pool);
                resize(&pool, id, from).unwrap();
                let mark = from.min(to) - 5;
                write(&pool, id, mark, b"12345");
                write(&pool, id, from - 1, b"5");
                pool.live(changes);
                let done = resize(&pool, id, to).is_ok();
                pool.live(u64::MAX);
                let now = length(&pool, id);
                assert!(now == to || now == from && !done, "{from} to {to}: {now}");
                assert_eq!(read(&pool, id, mark, 5), b"12345");
                // Whatever is left in the way is not in the file, however it goes on.
                resize(&pool, id, now.min(to)).unwrap();
                let edge = now.min(to).div_ceil(EDGE) * EDGE;
                resize(&pool, id, edge).unwrap();
                assert_eq!(length(&pool, id), edge, "{from} to {to}");
                resize(&pool, id, 5 * EDGE).unwrap();
                let behind = now.min(to);
                for at in LENGTHS.iter().filter(|at| **at > behind) {
                    assert_eq!(read(&pool, id, at - 1, 2), [0, 0], "{from} to {to}, at {at}");
                }
                delete(&pool, id).unwrap();
                assert_eq!(objects(&pool), 0, "{from} to {to}, {changes} changes");
                cuts += 1;
                if done {
                    break;
                }
            }
        }
    }
    assert!(cuts > 150, "{cuts} are too few to have been in the middle of anything");
}

#[test]
fn who_is_killed_deleting_or_copying_leaves_nothing_that_nobody_names() {
    for changes in 0.. {
        let (_dir, pool) = pool();
        let id = file(&pool);
        resize(&pool, id, 3 * EDGE).unwrap();
        write(&pool, id, EDGE, b"x");
        pool.live(changes);
        let copied = copy(&pool, id, &NewObject::default());
        let done = copied.is_ok() && delete(&pool, id).is_ok();
        pool.live(u64::MAX);
        let mut left = Vec::new();
        pool.list(&mut |id| {
            left.push(id);
            Ok(())
        })
        .unwrap();
        for id in left {
            if pool.stat(id).is_ok_and(|stat| stat.kind != kind::PART) {
                let now = length(&pool, id);
                assert!([EDGE, 3 * EDGE].contains(&now) || copied.is_ok(), "{now}");
                delete(&pool, id).unwrap();
            }
        }
        assert_eq!(objects(&pool), 0, "{changes} changes");
        if done {
            assert!(changes > 8, "{changes}");
            break;
        }
    }
}
