// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The store against a model: maps and vectors that do the same, simply.

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use twz_abi::{ObjectId, DATA_START, PAGE, TAIL_START};
use twz_core::{error::Resource, names::Binding, Media, Memory, Mode, RecordNo, Store, StoreError};

#[derive(Clone, Debug)]
enum Op {
    Create { n: u64, size: u64 },
    Write { n: u64, at: u64, len: u64, byte: u8 },
    Fot { n: u64, byte: u8 },
    Touch { n: u64, at: u64, count: u64, write: bool },
    Resize { n: u64, size: u64, later: bool },
    Punch { n: u64, at: u64, count: u64, budget: u64 },
    Copy { from: u64, to: u64 },
    Delete { n: u64 },
    Reclaim { budget: u64 },
    Bind { name: u8, n: u64, replace: bool },
    Unbind { name: u8 },
    Rename { from: u8, to: u8 },
    Mkdir { name: u8 },
    Rmdir { name: u8 },
    Reopen,
}

/// Objects have ids below this, directories above.
const OBJECTS: u64 = 6;

fn op() -> impl Strategy<Value = Op> {
    let n = 0..OBJECTS;
    // Sizes of a few pages, around the direct pages, around 2 MiB, and sparse.
    let size = prop_oneof![
        3 => 0..40_000u64,
        2 => 30_000..200_000u64,
        1 => (2u64 << 20) - 20_000..(2 << 20) + 20_000,
        1 => 0..=twz_abi::MAX_DATA,
    ];
    let len = prop_oneof![4 => 1..9000u64, 1 => 1..300_000u64];
    prop_oneof![
        4 => (n.clone(), size.clone()).prop_map(|(n, size)| Op::Create { n, size }),
        8 => (n.clone(), any::<u64>(), len, any::<u8>())
            .prop_map(|(n, at, len, byte)| Op::Write { n, at, len, byte }),
        1 => (n.clone(), any::<u8>()).prop_map(|(n, byte)| Op::Fot { n, byte }),
        3 => (n.clone(), any::<u64>(), 0..80u64, any::<bool>())
            .prop_map(|(n, at, count, write)| Op::Touch { n, at, count, write }),
        4 => (n.clone(), size, any::<bool>())
            .prop_map(|(n, size, later)| Op::Resize { n, size, later }),
        3 => (n.clone(), any::<u64>(), 0..1200u64, prop_oneof![Just(0u64), 1..200u64])
            .prop_map(|(n, at, count, budget)| Op::Punch { n, at, count, budget }),
        3 => (n.clone(), n.clone()).prop_map(|(from, to)| Op::Copy { from, to }),
        3 => n.clone().prop_map(|n| Op::Delete { n }),
        2 => prop_oneof![0..3u64, 1..300u64].prop_map(|budget| Op::Reclaim { budget }),
        3 => (0..24u8, n, any::<bool>())
            .prop_map(|(name, n, replace)| Op::Bind { name, n, replace }),
        2 => (0..24u8).prop_map(|name| Op::Unbind { name }),
        2 => (0..24u8, 0..24u8).prop_map(|(from, to)| Op::Rename { from, to }),
        1 => (0..24u8).prop_map(|name| Op::Mkdir { name }),
        1 => (0..24u8).prop_map(|name| Op::Rmdir { name }),
        2 => Just(Op::Reopen),
    ]
}

/// A path of one to three components out of few.
fn path(name: u8) -> String {
    let part = |n: u8| char::from(b'a' + n % 3);
    match name {
        0..3 => format!("/{}", part(name)),
        3..12 => format!("/{}/{}", part(name / 3), part(name)),
        _ => format!("/{}/{}/{}", part(name / 9), part(name / 3), part(name)),
    }
}

/// Data as pieces of 64 bytes that are not zero.
#[derive(Clone, Default, PartialEq, Debug)]
struct Data {
    size: u64,
    bytes: BTreeMap<u64, Vec<u8>>,
    fot: Option<u8>,
}

const PIECE: u64 = 4096;

impl Data {
    fn write(&mut self, at: u64, len: u64, byte: u8) {
        for i in at..at + len {
            let piece = self.bytes.entry(i / PIECE).or_insert_with(|| vec![0; PIECE as usize]);
            piece[(i % PIECE) as usize] = byte;
        }
    }

    fn resize(&mut self, size: u64) {
        if size < self.size {
            let last = size / PIECE;
            self.bytes.retain(|&piece, _| piece <= last);
            if let Some(piece) = self.bytes.get_mut(&last) {
                piece[(size % PIECE) as usize..].fill(0);
            }
        }
        self.size = size;
    }
}

#[derive(Default)]
struct Model {
    objects: BTreeMap<u64, Data>,
    names: BTreeMap<String, ObjectId>,
    dirs: BTreeMap<String, ObjectId>,
    made: u64,
}

impl Model {
    fn n(&self, id: ObjectId) -> u64 {
        (0..OBJECTS).find(|&n| common::id(n) == id).unwrap()
    }
    fn parent_is_dir(&self, path: &str) -> bool {
        let (parent, _) = path.rsplit_once('/').unwrap();
        parent.is_empty() || self.dirs.contains_key(parent)
    }
    fn names_of(&self, n: u64) -> usize {
        self.names.values().filter(|&&i| i == common::id(n)).count()
    }
}

fn resync<M: Media>(store: &Store<M>, model: &mut Model, n: u64) {
    let data = model.objects.get_mut(&n).unwrap();
    let r = store.find(id(n)).unwrap();
    data.bytes.clear();
    let mut page = vec![0; PIECE as usize];
    for piece in 0..data.size.div_ceil(PIECE) {
        if store.translate(r, piece + 1) != Ok(twz_core::Translation::Hole) {
            store.read(r, DATA_START + piece * PIECE, &mut page).unwrap();
            // What a page has behind the end is nobody's: it is zeros once the object grows.
            let len = (data.size - piece * PIECE).min(PIECE) as usize;
            page[len..].fill(0);
            data.bytes.insert(piece, page.clone());
        }
    }
}

fn step<M: Media>(
    store: &mut Store<M>,
    model: &mut Model,
    dying: &mut Vec<RecordNo>,
    op: &Op,
) -> Result<(), StoreError> {
    match *op {
        Op::Create { n, size } => {
            let result = store.create(id(n), &new(n, size));
            match model.objects.get(&n) {
                Some(_) => assert_eq!(result, Err(StoreError::Exists { id: id(n) })),
                None => {
                    result?;
                    model.objects.insert(n, Data { size, ..Data::default() });
                }
            }
        }
        Op::Write { n, at, len, byte } => return step_write(store, model, n, (at, len), byte),
        Op::Fot { n, byte } => {
            let Some(data) = model.objects.get_mut(&n) else { return Ok(()) };
            let r = store.find(id(n))?;
            match store.write(r, TAIL_START, &[byte; 16]) {
                Err(StoreError::Full { .. }) => return Ok(()),
                other => other?,
            }
            data.fot = Some(byte);
        }
        Op::Touch { n, at, count, write } => {
            let Some(data) = model.objects.get(&n) else { return Ok(()) };
            return pages::touch(store, store.find(id(n))?, data.size, (at, count), write);
        }
        Op::Resize { .. } | Op::Punch { .. } => return step_holes(store, model, dying, op),
        Op::Copy { from, to } => {
            if !model.objects.contains_key(&from) || model.objects.contains_key(&to) {
                return Ok(());
            }
            match store.copy(store.find(id(from))?, id(to), &new(to, 0)) {
                Err(StoreError::Full { .. }) => return Ok(()),
                other => other?,
            };
            let data = model.objects[&from].clone();
            model.objects.insert(to, data);
        }
        Op::Delete { n } => step_delete(store, model, dying, n)?,
        // In no particular order, and not always all of it.
        Op::Reclaim { budget } if budget % 2 == 0 => {
            let Some(&r) = dying.get(dying.len() / 2) else { return Ok(()) };
            if store.reclaim_some(r, budget)? {
                dying.swap_remove(dying.len() / 2);
            }
        }
        Op::Reclaim { budget } => {
            while let Some(r) = (!dying.is_empty()).then(|| dying.swap_remove(dying.len() / 2)) {
                while !store.reclaim_some(r, budget)? {}
            }
        }
        _ => return step_names(store, model, dying, op),
    }
    Ok(())
}

/// What makes holes of data.
fn step_holes<M: Media>(
    store: &mut Store<M>,
    model: &mut Model,
    dying: &mut Vec<RecordNo>,
    op: &Op,
) -> Result<(), StoreError> {
    match *op {
        Op::Resize { n, size, later } => {
            let Some(data) = model.objects.get_mut(&n) else { return Ok(()) };
            let r = store.find(id(n))?;
            match later {
                true => dying.extend(store.resize_detached(r, size)?),
                false => store.resize(r, size)?,
            }
            data.resize(size);
        }
        Op::Punch { n, at, count, budget } => {
            let Some(data) = model.objects.get_mut(&n) else { return Ok(()) };
            let from = pages::page_of(at, data.size);
            pages::punch(store, store.find(id(n))?, (from, from + count), budget, &mut |page| {
                if page <= data.size.div_ceil(PAGE) {
                    data.bytes.remove(&(page - 1));
                }
            })?;
        }
        _ => {}
    }
    Ok(())
}

fn step_delete<M: Media>(
    store: &mut Store<M>,
    model: &mut Model,
    dying: &mut Vec<RecordNo>,
    n: u64,
) -> Result<(), StoreError> {
    let result = store.delete(id(n));
    match (model.objects.contains_key(&n), model.names_of(n)) {
        (false, _) => assert_eq!(result, Err(StoreError::NotFound { id: id(n) })),
        (true, 0) => {
            dying.push(result?);
            model.objects.remove(&n);
        }
        (true, names) => {
            assert_eq!(result, Err(StoreError::Bound { id: id(n), names: names as u32 }));
        }
    }
    Ok(())
}

fn step_write<M: Media>(
    store: &mut Store<M>,
    model: &mut Model,
    n: u64,
    (at, len): (u64, u64),
    byte: u8,
) -> Result<(), StoreError> {
    let Some(data) = model.objects.get_mut(&n).filter(|d| d.size > 0) else { return Ok(()) };
    // A third of them near the start, where the direct pages are.
    let at = at % data.size.min(if at % 3 == 0 { 50_000 } else { u64::MAX });
    let len = len.min(data.size - at);
    let r = store.find(id(n))?;
    store.write(r, DATA_START + at, &vec![byte; len as usize])?;
    data.write(at, len, byte);
    Ok(())
}

fn step_names<M: Media>(
    store: &mut Store<M>,
    model: &mut Model,
    dying: &mut Vec<RecordNo>,
    op: &Op,
) -> Result<(), StoreError> {
    match *op {
        Op::Bind { name, n, replace } => {
            let path = path(name);
            if !model.objects.contains_key(&n) {
                return Ok(());
            }
            let result = store.bind(path.as_bytes(), id(n), replace);
            if !model.parent_is_dir(&path) {
                assert!(matches!(result, Err(StoreError::NoName | StoreError::NotADirectory)));
            } else if model.dirs.contains_key(&path) {
                assert_eq!(result, Err(StoreError::IsADirectory));
            } else if model.names.contains_key(&path) && !replace {
                assert_eq!(result, Err(StoreError::NameTaken));
            } else if result != Err(StoreError::Full { what: Resource::Pages }) {
                assert_eq!(result, Ok(model.names.insert(path, id(n))));
            }
        }
        Op::Unbind { name } => {
            let path = path(name);
            let result = store.unbind(path.as_bytes());
            match model.names.remove(&path) {
                Some(id) => assert_eq!(result, Ok(id)),
                None => assert!(result.is_err()),
            }
        }
        Op::Rename { from, to } => step_rename(store, model, path(from), path(to)),
        Op::Mkdir { name } => {
            let path = path(name);
            model.made += 1;
            let identity = identity(1000 + model.made);
            let result = store.mkdir(path.as_bytes(), &identity);
            let taken = model.dirs.contains_key(&path) || model.names.contains_key(&path);
            if taken || !model.parent_is_dir(&path) {
                assert!(result.is_err());
            } else if result != Err(StoreError::Full { what: Resource::Pages }) {
                model.dirs.insert(path, result?);
            }
        }
        Op::Rmdir { name } => {
            let path = path(name);
            let result = store.rmdir(path.as_bytes());
            let inside = format!("{path}/");
            let mut all = model.dirs.keys().chain(model.names.keys());
            if !model.dirs.contains_key(&path) {
                assert!(result.is_err());
            } else if all.any(|p| p.starts_with(&inside)) {
                assert_eq!(result, Err(StoreError::NotEmpty));
            } else {
                dying.push(result?);
                model.dirs.remove(&path);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A rename of a path to a path.
fn step_rename<M: Media>(store: &mut Store<M>, model: &mut Model, from: String, to: String) {
    let result = store.rename(from.as_bytes(), to.as_bytes());
    let is_dir = model.dirs.contains_key(&from);
    let below = to.starts_with(&format!("{from}/"));
    if !is_dir && !model.names.contains_key(&from) {
        assert!(result.is_err());
    } else if from == to {
        assert_eq!(result, Ok(None));
    } else if !model.parent_is_dir(&to) || (is_dir && below) {
        assert!(result.is_err(), "{from} {to}");
    } else if model.dirs.contains_key(&to) || (is_dir && model.names.contains_key(&to)) {
        assert_eq!(result, Err(StoreError::NameTaken));
    } else if result == Err(StoreError::Full { what: Resource::Pages }) {
    } else if is_dir {
        assert_eq!(result, Ok(None));
        let moved = |p: &str| p.strip_prefix(&from).map(|rest| format!("{to}{rest}"));
        for tree in [&mut model.dirs, &mut model.names] {
            *tree = std::mem::take(tree)
                .into_iter()
                .map(|(p, id)| match p == from || p.starts_with(&format!("{from}/")) {
                    true => (moved(&p).unwrap(), id),
                    false => (p, id),
                })
                .collect();
        }
    } else {
        let id = model.names.remove(&from).unwrap();
        assert_eq!(result, Ok(model.names.insert(to, id)));
    }
}

fn agree<M: Media>(store: &Store<M>, model: &Model) -> Result<(), TestCaseError> {
    let mut page = vec![0; PAGE as usize];
    for (&n, data) in &model.objects {
        let r = store.find(id(n)).unwrap();
        prop_assert_eq!(store.stat(r).unwrap().size, data.size);
        prop_assert_eq!(store.stat(r).unwrap().names as usize, model.names_of(n));
        let meta = store.meta(r).unwrap();
        prop_assert!(meta.check().is_ok() && meta.size == data.size && meta.id == id(n));
        for (&piece, bytes) in &data.bytes {
            if piece * PIECE >= data.size {
                continue;
            }
            let len = (data.size - piece * PIECE).min(PIECE) as usize;
            store.read(r, DATA_START + piece * PIECE, &mut page).unwrap();
            prop_assert!(page[..len] == bytes[..len], "object {} piece {}", n, piece);
        }
        // What the model has nothing of is zeros: look at what is mapped, and a bit more.
        for piece in 0..data.size.div_ceil(PIECE).min(600) {
            if !data.bytes.contains_key(&piece) {
                let len = (data.size - piece * PIECE).min(PIECE) as usize;
                store.read(r, DATA_START + piece * PIECE, &mut page).unwrap();
                prop_assert!(page[..len].iter().all(|&b| b == 0), "object {} hole {}", n, piece);
            }
        }
        pages::agree(store, r)?;
        let mut fot = [0; 16];
        store.read(r, TAIL_START, &mut fot).unwrap();
        prop_assert_eq!(fot, [data.fot.unwrap_or(0); 16]);
    }
    for (path, &bound) in &model.names {
        prop_assert_eq!(store.lookup(path.as_bytes()), Ok(Binding::Object(bound)));
        model.n(bound);
    }
    for (path, &dir) in &model.dirs {
        prop_assert_eq!(store.lookup(path.as_bytes()), Ok(Binding::Directory(dir)));
    }
    let objects = 1 + model.objects.len() + model.dirs.len();
    prop_assert_eq!(store.info().unwrap().objects, objects as u64);
    Ok(())
}

/// Runs the operations on a store that stays open until it is told to reopen;
/// then it is checked.
fn run(ops: &[Op], pages: u64) -> Result<(), TestCaseError> {
    let mut bytes = image_with(pages, Some(40));
    let start = open(&mut bytes).info().unwrap().free_pages;
    let mut model = Model::default();
    for ops in ops.split(|op| matches!(op, Op::Reopen)) {
        let mut store = open(&mut bytes);
        let mut dying = Vec::new();
        for op in ops {
            match step(&mut store, &mut model, &mut dying, op) {
                Err(StoreError::Full { what: Resource::Pages }) => {
                    // A write that filled the pool may be there in part.
                    if let Op::Write { n, .. } = op {
                        resync(&store, &mut model, *n);
                    }
                }
                Err(other) => return Err(TestCaseError::fail(format!("{op:?}: {other}"))),
                Ok(()) => {}
            }
        }
        agree(&store, &model)?;
        store.into_media();
        silent(&mut bytes)?;
        agree(&open(&mut bytes), &model)?;
    }
    finish(&mut bytes, &model, start)
}

/// Everything that goes gives back everything it had.
fn finish(bytes: &mut [u8], model: &Model, start: u64) -> Result<(), TestCaseError> {
    let mut store = open(bytes);
    for path in model.names.keys() {
        store.unbind(path.as_bytes()).unwrap();
    }
    for path in model.dirs.keys().rev() {
        let r = store.rmdir(path.as_bytes()).unwrap();
        store.reclaim(r).unwrap();
    }
    for &n in model.objects.keys() {
        let r = store.delete(id(n)).unwrap();
        store.reclaim(r).unwrap();
    }
    let root = store.pages_used(store.find(store.geometry().root_names).unwrap()).unwrap();
    prop_assert_eq!(store.info().unwrap().free_pages + root, start);
    store.into_media();
    silent(bytes)?;
    prop_assert!(Store::open(Memory::new(bytes), Mode::ReadOnly).is_ok());
    Ok(())
}

/// The check has nothing to say.
fn silent(bytes: &mut [u8]) -> Result<(), TestCaseError> {
    let found: Vec<String> = problems(bytes).iter().map(|p| p.to_string()).collect();
    prop_assert!(found.is_empty(), "{:#?}", found);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_store_does_what_the_model_does(ops in prop::collection::vec(op(), 1..120)) {
        run(&ops, 4000)?;
    }

    #[test]
    fn a_small_store_fills_up_and_loses_nothing(ops in prop::collection::vec(op(), 1..120)) {
        run(&ops, 160)?;
    }
}
