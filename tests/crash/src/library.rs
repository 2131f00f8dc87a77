// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library's own crash safety: transactions and containers over mapped
//! objects, cut everywhere.
//!
//! A run is recorded store by store (`step`). An image is put into the pool's
//! files, and a new space opens the objects, as after a restart of the machine;
//! whatever the library does then to a transaction that was cut, it does. What
//! the objects show must be what they showed before the transaction, or after
//! it; after it, once it returned.
//!
//! The model is Lines: what x86 promises of 8-byte stores to cache lines. Files'
//! lengths, and what the library writes with system calls (who has the pool
//! open), are taken to be there.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use twz::{
    DATA_START, EmbeddedPool, Field, Global, InitOptions, Object, ObjectId, Persist, Ptr, Rights,
    Space, collections::HashMap,
};
use zerocopy::IntoBytes as _;

use crate::{
    drive::{self, Broken, Config, Subject, Tally},
    enumerate::{Flow, Position, walk},
    image::Image,
    model::Model,
    random::Random,
    step::{self, Page, Steps},
    trace::Event,
};

/// What the objects hold.
#[derive(Persist)]
#[repr(C)]
pub struct Root {
    x: Field<u64>,
    y: Field<u64>,
    /// Only ever changed in place.
    z: Field<u64>,
    next: Ptr<Leaf>,
    many: [Field<u64>; 20],
    map: HashMap<u64, u64>,
}

/// What they lead to.
#[derive(Persist)]
#[repr(C)]
pub struct Leaf {
    value: Field<u64>,
    inverse: Field<u64>,
}

/// The objects of a run.
pub struct Pair {
    space: Space,
    a: Object<Root>,
    b: Object<Root>,
}

type Op = fn(&Pair) -> twz::Result<()>;

/// Something to cut.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it counts for.
    pub operation: &'static str,
    setup: Op,
    ops: &'static [Op],
    /// Why it is not run, if it is not.
    pub not_yet: Option<&'static str>,
}

impl Case {
    const fn new(
        operation: &'static str,
        name: &'static str,
        setup: Op,
        ops: &'static [Op],
    ) -> Self {
        Self { name, operation, setup, ops, not_yet: None }
    }

    const fn not_yet(self, why: &'static str) -> Self {
        Self { not_yet: Some(why), ..self }
    }
}

fn leaf(n: u64) -> Leaf {
    Leaf { value: Field::new(n), inverse: Field::new(!n) }
}

fn set_both(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        for root in [p.a.root(), p.b.root()] {
            let n = tx.get(&root.x)? + 7;
            tx.set(&root.x, n)?;
            tx.set(&root.y, !n)?;
        }
        Ok(())
    })
}

fn record_in_place(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let root = p.a.root();
        tx.record(&root.many)?;
        for (i, field) in root.many.iter().enumerate() {
            field.set(field.get() + 3 + i as u64)?;
        }
        // What no earlier transaction has written: no replay puts it back.
        tx.record(&root.z)?;
        root.z.set(99)?;
        // The same place once more, and a write beside it.
        tx.record(&root.z)?;
        root.z.set(100)?;
        tx.set(&root.y, 101)
    })
}

fn nested(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        tx.set(&p.a.root().x, 1000)?;
        let inner: twz::Result<()> = tx.nested(|tx| {
            tx.set(&p.a.root().x, 2000)?;
            tx.set(&p.b.root().x, 2000)?;
            Err(twz::Error::Unsupported("this part is undone"))
        });
        assert!(inner.is_err());
        tx.nested(|tx| tx.set(&p.b.root().y, 3000))
    })
}

fn abort(p: &Pair) -> twz::Result<()> {
    let done: twz::Result<()> = p.space.transaction(|tx| {
        tx.record(&p.a.root().many)?;
        p.a.root().many[3].set(77)?;
        tx.set(&p.b.root().x, 78)?;
        Err(twz::Error::Unsupported("this is undone"))
    });
    assert!(done.is_err());
    Ok(())
}

fn alloc(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.a, leaf(42))?;
        tx.store(&p.a.root().next, leaf)?;
        tx.set(&p.a.root().x, 42)
    })
}

fn free(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        if let Some(leaf) = tx.follow(&p.a.root().next)? {
            tx.free(&p.a, leaf)?;
        }
        tx.clear(&p.a.root().next)?;
        tx.set(&p.a.root().x, 43)
    })
}

fn point_far(p: &Pair) -> twz::Result<()> {
    let far = Global { id: ObjectId::from_u128(5 << 64 | 6), offset: DATA_START };
    p.space.transaction(|tx| {
        tx.store_global(&p.a.root().next, far, Rights::READ)?;
        tx.set(&p.b.root().y, 55)
    })
}

fn insert(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().map.insert(&p.a.lock()?, key, key * 3).map(|_| ())
}

fn nothing(_: &Pair) -> twz::Result<()> {
    Ok(())
}

/// Why containers are not judged.
const CONTAINERS: &str = "changes of containers are not transactions yet";

/// All of them.
pub const CASES: &[Case] = &[
    Case::new("transaction, redo", "redo_over_two", nothing, &[set_both]),
    Case::new("transaction, redo", "redo_three_times", nothing, &[set_both, set_both, set_both]),
    Case::new("transaction, undo", "undo_in_place", nothing, &[record_in_place]),
    Case::new("transaction, undo", "undo_then_redo", set_both, &[record_in_place, set_both]),
    Case::new("transaction, nested", "nested", nothing, &[nested]),
    Case::new("transaction, aborted", "aborted", nothing, &[abort]),
    Case::new("transaction, aborted", "aborted_then_redo", nothing, &[abort, set_both]),
    Case::new("alloc in a transaction", "alloc", alloc, &[free, alloc]),
    Case::new("free in a transaction", "free", alloc, &[free]),
    Case::new("FOT insert", "fot_insert", nothing, &[point_far]),
    Case::new(
        "container",
        "map_insert",
        |p| (0..5).try_for_each(|n| insert(p, n)),
        &[|p| insert(p, 100), |p| insert(p, 101)],
    )
    .not_yet(CONTAINERS),
    Case::new(
        "container",
        "map_remove",
        |p| (0..5).try_for_each(|n| insert(p, n)),
        &[|p| p.a.root().map.remove(&p.a.lock()?, &3).map(|_| ())],
    )
    .not_yet(CONTAINERS),
];

/// What the objects show; what is half there is an error.
fn view(p: &Pair) -> Result<Vec<u64>, String> {
    let say = |e: twz::Error| e.to_string();
    let mut seen = Vec::new();
    for root in [p.a.root(), p.b.root()] {
        seen.extend([root.x.get(), root.y.get(), root.z.get()]);
        seen.extend(root.many.iter().map(Field::get));
        seen.push(root.next.is_null() as u64);
        if !root.next.is_null() {
            match root.next.lea() {
                Ok(leaf) if leaf.inverse.get() == !leaf.value.get() => seen.push(leaf.value.get()),
                Ok(_) => return Err("a leaf is half there".to_owned()),
                Err(twz::Error::NoObject(id)) => seen.push(id.as_u128() as u64),
                Err(error) => return Err(error.to_string()),
            }
        }
        let mut pairs = Vec::new();
        for pair in root.map.iter() {
            pairs.push(pair.map_err(say)?);
        }
        pairs.sort();
        if pairs.len() as u64 != root.map.len().map_err(say)? {
            return Err("the map's count is wrong".to_owned());
        }
        for (key, value) in pairs {
            if root.map.get(&key).map_err(say)? != Some(value) {
                return Err(format!("key {key} is there and not found"));
            }
            seen.extend([key, value]);
        }
    }
    Ok(seen)
}

/// A boot that no other is.
fn next_boot() {
    static BOOT: AtomicU64 = AtomicU64::new(1000);
    twz::crash_hooks::pretend_boot(BOOT.fetch_add(1, Ordering::Relaxed));
}

/// A recorded case, in a pool of its own.
struct Bench {
    dir: tempfile::TempDir,
    ids: [ObjectId; 2],
    files: Vec<(PathBuf, Vec<u8>)>,
    pages: Vec<Page>,
    events: Vec<Event>,
    states: Vec<Vec<u64>>,
    looked: u64,
}

fn pool_of(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("pool")
}

fn open_pair(path: &Path, ids: [ObjectId; 2]) -> twz::Result<Pair> {
    let space = Space::open(path)?;
    let (a, b) = (space.open_object(ids[0])?, space.open_object(ids[1])?);
    Ok(Pair { space, a, b })
}

/// All files below a folder whose bytes can change.
fn files_below(path: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&path, found),
            Ok(kind) if kind.is_file() => {
                found.push((path.clone(), fs::read(&path).unwrap_or_default()));
            }
            _ => {}
        }
    }
}

impl Bench {
    fn record(case: &Case) -> Result<Self, String> {
        let say = |e: twz::Error| e.to_string();
        let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." };
        let dir = tempfile::tempdir_in(parent).map_err(|e| e.to_string())?;
        let path = pool_of(&dir);
        EmbeddedPool::init(&path, &InitOptions::default()).map_err(say)?;
        next_boot();
        let space = Space::open(&path).map_err(say)?;
        let root = |n: u64| Root {
            x: Field::new(n),
            y: Field::new(!n),
            z: Field::new(n),
            next: Ptr::null(),
            many: std::array::from_fn(|i| Field::new(i as u64)),
            map: HashMap::default(),
        };
        let (a, b) = (space.create(root(1)).map_err(say)?, space.create(root(2)).map_err(say)?);
        let ids = [a.id(), b.id()];
        let pair = Pair { space, a, b };
        // So that the log is there, and everything is mapped.
        set_both(&pair).and_then(|()| (case.setup)(&pair)).map_err(say)?;
        let mut states = vec![view(&pair)?];
        let mut files = Vec::new();
        files_below(&path, &mut files);
        let (outcome, Steps { pages, events }) = step::trace(&path, || {
            for op in case.ops {
                op(&pair).map_err(say)?;
                step::done();
                states.push(view(&pair)?);
            }
            Ok::<(), String>(())
        });
        outcome?;
        Ok(Self { dir, ids, files, pages, events, states, looked: 0 })
    }

    /// Makes the pool's files what they were, with the pages of the image.
    fn write(&self, image: &Image) -> std::io::Result<()> {
        for (path, bytes) in &self.files {
            File::options().write(true).open(path)?.write_all_at(bytes, 0)?;
        }
        for (page, words) in self.pages.iter().zip(image.words().chunks(512)) {
            let file = File::options().write(true).open(&page.file)?;
            file.write_all_at(words.as_bytes(), page.offset)?;
        }
        Ok(())
    }
}

impl Subject for Bench {
    fn allowed(&self, at: Position) -> u64 {
        if at.returned { 1 << at.done } else { 3 << at.done }
    }

    fn recover(&mut self, _image: &mut Image, _allowed: u64) -> Result<(), Broken> {
        Ok(())
    }

    fn judge(&mut self, image: &mut Image, allowed: u64) -> Result<u64, Broken> {
        let path = pool_of(&self.dir);
        self.judge_in(&path, image, allowed)
    }

    fn looked(&self) -> u64 {
        self.looked
    }
}

impl Bench {
    fn judge_in(&mut self, path: &Path, image: &mut Image, allowed: u64) -> Result<u64, Broken> {
        self.looked += 1;
        self.write(image).map_err(|e| Broken::new("the files can be written", e.to_string()))?;
        let mut first = None;
        // Opened twice: what recovery did must be the end of it.
        for _ in 0..2 {
            next_boot();
            let pair =
                open_pair(path, self.ids).map_err(|e| Broken::new("opens", e.to_string()))?;
            let seen = view(&pair).map_err(|what| Broken::new("checks clean", what))?;
            if *first.get_or_insert_with(|| seen.clone()) != seen {
                return Err(Broken::new("recovers once", format!("{first:?}, then {seen:?}")));
            }
        }
        let seen = first.unwrap_or_default();
        let mask = (0..).zip(&self.states).map(|(i, state)| ((*state == seen) as u64) << i).sum();
        if mask & allowed == 0 {
            let text = format!("it shows {seen:?}, which is {mask:#x} and not of {allowed:#x}");
            return Err(Broken::new("before or after", text));
        }
        Ok(mask)
    }
}

impl Bench {
    /// Records the recovery of a crash image: the objects are mapped by somebody
    /// who found nothing to do, then the image is put there, and the machine was
    /// started anew.
    fn record_recovery(&self, image: &Image) -> Result<Steps, String> {
        let say = |e: twz::Error| e.to_string();
        let path = pool_of(&self.dir);
        let base: Vec<u64> = self.pages.iter().flat_map(|page| page.before.clone()).collect();
        self.write(&Image::new(base, 1)).map_err(|e| e.to_string())?;
        next_boot();
        let pair = open_pair(&path, self.ids).map_err(say)?;
        view(&pair)?;
        self.write(image).map_err(|e| e.to_string())?;
        next_boot();
        let (outcome, steps) = step::trace(&path, || {
            // Whoever locks an object sees to what was cut there.
            pair.a.lock().map(drop).and_then(|()| pair.b.lock().map(drop))?;
            step::done();
            Ok::<(), twz::Error>(())
        });
        outcome.map_err(say)?;
        Ok(steps)
    }

    /// Cuts the recovery of an image that shows `shown`.
    fn cut_recovery(
        &mut self,
        image: &Image,
        shown: u64,
        config: &Config<'_>,
    ) -> Result<(u64, Tally), String> {
        let steps = self.record_recovery(image)?;
        let stores = steps.events.iter().filter(|e| matches!(e, Event::Store { .. })).count();
        // The files are as the crash left them, until the recovery's pages say more.
        self.write(image).map_err(|e| e.to_string())?;
        let mut files = Vec::new();
        files_below(&pool_of(&self.dir), &mut files);
        let words: Vec<u64> = steps.pages.iter().flat_map(|page| page.before.clone()).collect();
        let i = shown.trailing_zeros() as usize;
        let mut nested = Recovery {
            bench: Bench {
                dir: tempfile::tempdir().map_err(|e| e.to_string())?,
                ids: self.ids,
                files,
                pages: steps.pages,
                events: Vec::new(),
                states: vec![self.states[i].clone()],
                looked: 0,
            },
            of: pool_of(&self.dir),
        };
        Ok((stores as u64, drive::run(&mut nested, &words, &steps.events, config)))
    }
}

/// A recovery as a subject: whatever it is cut at, the next one shows the same.
struct Recovery {
    bench: Bench,
    of: PathBuf,
}

impl Subject for Recovery {
    fn allowed(&self, _at: Position) -> u64 {
        1
    }

    fn recover(&mut self, _image: &mut Image, _allowed: u64) -> Result<(), Broken> {
        Ok(())
    }

    fn judge(&mut self, image: &mut Image, allowed: u64) -> Result<u64, Broken> {
        self.bench.judge_in(&self.of, image, allowed)
    }

    fn looked(&self) -> u64 {
        self.bench.looked
    }
}

/// Recoveries that are cut, of each case.
const RECOVERIES: u64 = 8;

/// Deletes each flush of a line and each fence of a run in turn. Returns how
/// many there are, and which of them nothing missed.
fn delete_each(
    bench: &mut Bench,
    words: &[u64],
    events: &[Event],
    config: &Config<'_>,
) -> (u64, Vec<String>) {
    let (mut count, mut missed) = (0, Vec::new());
    for (n, event) in events.iter().enumerate() {
        let what = match event {
            Event::Flush { first, .. } => format!("flush of line {:#x} (event {n})", first * 8),
            Event::Fence { .. } => format!("fence (event {n} of {})", events.len()),
            _ => continue,
        };
        let mut without = events.to_vec();
        without.remove(n);
        let config = Config { stop: true, ..*config };
        count += 1;
        if drive::run(bench, words, &without, &config).violations == 0 {
            missed.push(what);
        }
    }
    (count, missed)
}

/// What came of a case.
pub struct Outcome {
    /// Which.
    pub case: Case,
    /// Stores, flushes and fences of its run.
    pub events: [u64; 3],
    /// What was counted.
    pub tally: Tally,
    /// Flushes and fences that were deleted, and those that nothing missed.
    pub deleted: (u64, Vec<String>),
}

/// Runs a case; the error is why it could not be.
pub fn run(case: &Case, states: u64, seed: u64, model: Model) -> Result<Outcome, String> {
    let mut bench = Bench::record(case)?;
    let words: Vec<u64> = bench.pages.iter().flat_map(|page| page.before.clone()).collect();
    let events = std::mem::take(&mut bench.events);
    let seed = Random::named(seed, case.name).next();
    let config = Config { model, seed, states, nested: false, stop: false, edit: None };
    let mut tally = drive::run(&mut bench, &words, &events, &config);
    let few = Config { states: states.clamp(600, 3_000), ..config };
    let deleted = delete_each(&mut bench, &words, &events, &few);
    // Some images anywhere in the run, whose recoveries are cut.
    let (mut random, mut picked) = (Random::new(seed), Vec::new());
    let mut image = Image::new(words.clone(), seed);
    walk(model, &mut image, &events, 4, &mut Random::new(seed), &mut |image, _| {
        if random.below(3) == 0 {
            picked.push(image.words().to_vec());
        }
        Flow::New
    });
    for n in 0..RECOVERIES.min(picked.len() as u64) {
        let words = picked[random.below(picked.len() as u64) as usize].clone();
        let mut image = Image::new(words, seed);
        let Ok(shown) = bench.judge(&mut image, u64::MAX) else { continue };
        let config = Config { states: states / RECOVERIES / 2, seed: seed ^ n, ..config };
        let (_, cut) = bench.cut_recovery(&image, shown, &config)?;
        tally.in_recovery += cut.all();
        tally.violations += cut.violations;
        tally.first = tally.first.or(cut.first);
    }
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count() as u64;
    let events = [
        count(|e| matches!(e, Event::Store { .. })),
        count(|e| matches!(e, Event::Flush { .. })),
        count(|e| matches!(e, Event::Fence { .. })),
    ];
    Ok(Outcome { case: *case, events, tally, deleted })
}
