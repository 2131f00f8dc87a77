// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library's own crash safety: transactions and containers over mapped
//! objects ([`cases`]), cut everywhere, and again without each of the library's
//! flushes and fences ([`mutants`]).
//!
//! A run is recorded store by store (`step`). An image is put into the pool's
//! files, and a new space opens the objects, as after a restart of the machine;
//! whatever the library does then to a transaction that was cut, it does. What
//! the objects show must be what they showed before the transaction, or after
//! it; after it, once it returned. What either object shows to somebody who opens it alone
//! is what it shows once the other is open, too. Now and then the whole pool is checked, or
//! a transaction follows and the power is cut again.
//! Some of these recoveries are recorded and cut in turn, and some of those; each
//! goes on with a transaction, so that what a recovery left undone would be missed.
//! Two processes are two spaces of this one: each has its own log.
//!
//! The model is Lines: what x86 promises of 8-byte stores to cache lines. Files'
//! lengths, and what the library writes with system calls (who has the pool
//! open), are taken to be there.

pub mod cases;
pub mod mutants;
mod operations;
mod shown;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use cases::Case;
use operations::Pair;
use shown::view;
use twz::{EmbeddedPool, InitOptions, ObjectId, Space};
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

/// How many recoveries of a run are cut, and of each of these.
const RECOVERIES: [u64; 2] = [3, 1];
/// One image in so many has the whole pool checked.
const CHECKED: u64 = 8;
/// One image in so many is gone on with, and the power cut again.
const GONE_ON: u64 = 3;

/// The bits of a judgement that say what is shown is what some operation left.
const WHOLE: u64 = u32::MAX as u64;

/// A boot that no other is.
fn next_boot() {
    static BOOT: AtomicU64 = AtomicU64::new(1000);
    twz::crash_hooks::pretend_boot(BOOT.fetch_add(1, Ordering::Relaxed));
}

type Files = Vec<(PathBuf, Vec<u8>)>;

/// The pool of a case, and its files before the run.
struct Pool {
    path: PathBuf,
    ids: [ObjectId; 2],
    files: Files,
    /// The same at other times: objects there name all logs that the run has.
    others: Vec<Files>,
    /// Removes it in the end.
    _dir: tempfile::TempDir,
}

impl Pool {
    fn open(&self) -> twz::Result<Pair> {
        open(&self.path, self.ids)
    }

    /// Opens one of the objects and, once its fields were looked at, the other: the two,
    /// and whether it shows the same then. Nobody has to come to both for one to be whole.
    fn open_from(&self, first: usize) -> twz::Result<(Pair, bool)> {
        let space = Space::open(&self.path)?;
        let alone = space.open_object(self.ids[first])?;
        let before = shown::fields(alone.root());
        let other = space.open_object::<operations::Root>(self.ids[1 - first])?;
        other.root().x.get();
        let same = shown::fields(alone.root()) == before;
        let (a, b) = if first == 0 { (alone, other) } else { (other, alone) };
        Ok((Pair { space, a, b, other: None }, same))
    }
}

fn open(path: &Path, ids: [ObjectId; 2]) -> twz::Result<Pair> {
    let space = Space::open(path)?;
    let (a, b) = (space.open_object(ids[0])?, space.open_object(ids[1])?);
    Ok(Pair { space, a, b, other: None })
}

/// All files below a folder whose bytes can change.
fn files_below(path: &Path, found: &mut Files) {
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

fn files_now(pool: &Path) -> Files {
    let mut found = Vec::new();
    files_below(pool, &mut found);
    found
}

fn write_files(files: &Files) -> std::io::Result<()> {
    files.iter().try_for_each(|(path, bytes)| {
        File::options().write(true).open(path)?.write_all_at(bytes, 0)
    })
}

/// Something recorded: a run of a case, or a recovery.
pub struct Recorded {
    name: &'static str,
    pool: Rc<Pool>,
    /// What is in the files, but for the pages that were stored to.
    files: Files,
    pages: Vec<Page>,
    words: Vec<u64>,
    events: Vec<Event>,
    /// What may be seen: after each operation, or after any cut of a recovery.
    states: Vec<Vec<u64>>,
    /// Whether what is cut may have done some of it.
    partly: bool,
    /// How many recoveries deep it is.
    depth: usize,
    looked: u64,
}

impl Recorded {
    fn new(
        name: &'static str,
        pool: Rc<Pool>,
        files: Files,
        steps: Steps,
        states: Vec<Vec<u64>>,
        depth: usize,
    ) -> Self {
        let Steps { pages, events } = steps;
        let words = pages.iter().flat_map(|page| page.before.clone()).collect();
        Self { name, pool, files, pages, words, events, states, partly: false, depth, looked: 0 }
    }

    /// Runs a case.
    fn run(case: &Case) -> Result<Self, String> {
        let say = |e: twz::Error| e.to_string();
        let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." };
        let dir = tempfile::tempdir_in(parent).map_err(|e| e.to_string())?;
        let path = dir.path().join("pool");
        EmbeddedPool::init(&path, &InitOptions::default()).map_err(say)?;
        next_boot();
        let space = Space::open(&path).map_err(say)?;
        let (a, b) = space
            .create(operations::root(1))
            .and_then(|a| Ok((a, space.create(operations::root(2))?)))
            .map_err(say)?;
        let ids = [a.id(), b.id()];
        let mut pair = Pair { space, a, b, other: None };
        if case.two {
            pair.other = Some(Box::new(open(&path, ids).map_err(say)?));
        }
        // So that the log is there, and everything is mapped.
        operations::set_both(&pair).map_err(say)?;
        let mut others = vec![files_now(&path)];
        (case.setup)(&pair).map_err(say)?;
        let mut states = vec![view(&pair)?];
        let files = files_now(&path);
        let (outcome, steps) = step::trace(&path, || {
            if let Some(at_once) = case.at_once {
                return at_once(&pair).map_err(say);
            }
            for op in case.ops {
                op(&pair).map_err(say)?;
                step::done();
                states.push(view(&pair)?);
                others.push(files_now(&path));
            }
            Ok::<(), String>(())
        })?;
        outcome?;
        if case.at_once.is_some() {
            let one_by_one = Self::run(&Case { at_once: None, ..*case })?;
            if states != one_by_one.states[..1] || view(&pair)? != one_by_one.states[case.ops.len()]
            {
                return Err("at once is something else than one after the other".to_owned());
            }
            states = one_by_one.states;
        }
        others.push(files_now(&path));
        let pool = Rc::new(Pool { path, ids, files: files.clone(), others, _dir: dir });
        let partly = case.partly;
        Ok(Self { partly, ..Self::new(case.name, pool, files, steps, states, 0) })
    }

    /// Records the recovery of an image that shows state `shown`, and a transaction
    /// after it: the objects, and all logs that they name, are mapped by somebody who
    /// found nothing to do, then the image is put there, and the machine was started
    /// anew.
    fn recovery(&self, image: &Image, shown: usize) -> Result<Self, String> {
        let say = |e: twz::Error| e.to_string();
        write_files(&self.pool.files).map_err(|e| e.to_string())?;
        next_boot();
        let pair = self.pool.open().map_err(say)?;
        view(&pair)?;
        let lock_both = || pair.a.lock().map(drop).and_then(|()| pair.b.lock().map(drop));
        for files in &self.pool.others {
            write_files(files).map_err(|e| e.to_string())?;
            next_boot();
            lock_both().map_err(say)?;
        }
        self.write(image).map_err(|e| e.to_string())?;
        let files = files_now(&self.pool.path);
        next_boot();
        let mut states = vec![self.states[shown].clone()];
        let (outcome, steps) = step::trace(&self.pool.path, || {
            // Whoever locks an object sees to what was cut there.
            lock_both()?;
            step::done();
            operations::set_both(&pair)?;
            step::done();
            Ok::<(), twz::Error>(())
        })?;
        outcome.map_err(say)?;
        states.push(view(&pair)?);
        Ok(Self::new(self.name, self.pool.clone(), files, steps, states, self.depth + 1))
    }

    /// Makes the pool's files what they were, with the pages of the image.
    fn write(&self, image: &Image) -> std::io::Result<()> {
        write_files(&self.files)?;
        for (page, words) in self.pages.iter().zip(image.words().chunks(512)) {
            let file = File::options().write(true).open(&page.file)?;
            file.write_all_at(words.as_bytes(), page.offset)?;
        }
        Ok(())
    }

    /// Recoveries of images anywhere in it.
    fn recoveries(&mut self, seed: u64) -> Result<Vec<Self>, String> {
        let Some(&most) = RECOVERIES.get(self.depth) else { return Ok(Vec::new()) };
        let (mut random, mut picked) = (Random::new(seed), Vec::new());
        let mut image = Image::new(self.words.clone(), seed);
        walk(
            Model::Lines,
            &mut image,
            &self.events,
            4,
            &mut Random::new(seed),
            &mut |image, at| {
                if random.below(3) == 0 {
                    picked.push((image.words().to_vec(), self.allowed(at)));
                }
                Flow::New
            },
        );
        let mut found = Vec::new();
        for _ in 0..most.min(picked.len() as u64) {
            let (words, allowed) = picked[random.below(picked.len() as u64) as usize].clone();
            let image = &mut Image::new(words, seed);
            if let Ok(shown) = self.judge(image, allowed)
                && shown & allowed & WHOLE != 0
            {
                found.push(self.recovery(image, (shown & allowed).trailing_zeros() as usize)?);
            }
        }
        Ok(found)
    }

    /// A transaction after the first recovery of an image, and then a cut at which nothing
    /// of it is in place: the log alone has to give it back. So what a recovery left wrong
    /// in a log, or in what an object says of it, comes to light; the next recovery would
    /// go on from another generation of the log.
    fn go_on(&self, image: &Image) -> Result<(), String> {
        let say = |e: twz::Error| e.to_string();
        self.write(image).map_err(|e| e.to_string())?;
        next_boot();
        let pair = self.pool.open().map_err(say)?;
        view(&pair)?;
        let before = files_now(&self.pool.path);
        operations::set_both(&pair).map_err(say)?;
        let after = view(&pair)?;
        drop(pair);
        let names = self.pool.ids.map(|id| format!("{:032x}", id.as_u128()));
        let is_data = |(path, _): &(PathBuf, _)| names.iter().any(|name| path.ends_with(name));
        let data: Files = before.into_iter().filter(is_data).collect();
        if data.len() != names.len() {
            return Err("the objects' files are not found".to_owned());
        }
        write_files(&data).map_err(|e| e.to_string())?;
        next_boot();
        match view(&self.pool.open().map_err(say)?)? == after {
            true => Ok(()),
            false => Err("a transaction after the recovery is not there".to_owned()),
        }
    }

    /// What of the case it is.
    fn place(&self) -> &'static str {
        ["the run", "its recovery", "the recovery of its recovery"][self.depth.min(2)]
    }

    fn drive(&mut self, events: &[Event], config: &Config<'_>) -> Tally {
        let words = self.words.clone();
        drive::run(self, &words, events, config)
    }

    fn check(&self) -> Result<(), Broken> {
        let mut errors = Vec::new();
        let mut report = |problem: twz::check::Problem| {
            if problem.severity == twz::check::Severity::Error {
                errors.push(format!("{}: {}", problem.where_, problem.what));
            }
        };
        let done =
            twz::check::check(&self.pool.path, &Default::default(), &mut |_| {}, &mut report);
        errors.extend(done.err().map(|e| e.to_string()));
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Broken::new("checks clean", errors.join("; "))),
        }
    }
}

impl Subject for Recorded {
    fn allowed(&self, at: Position) -> u64 {
        match self.depth {
            0 if at.returned => 1 << at.done,
            0 => 3 << at.done | (self.partly as u64) << (32 + at.done),
            // Whatever recovery is cut at, the next one shows the same.
            _ if at.returned || at.done == 0 => 1 << at.done.saturating_sub(1),
            _ => 3 << (at.done - 1),
        }
    }

    fn recover(&mut self, _image: &mut Image, _allowed: u64) -> Result<(), Broken> {
        Ok(())
    }

    fn judge(&mut self, image: &mut Image, allowed: u64) -> Result<u64, Broken> {
        self.looked += 1;
        self.write(image).map_err(|e| Broken::new("the files can be written", e.to_string()))?;
        let mut first = None;
        // Opened twice: what recovery did must be the end of it.
        for turn in 0..2 {
            next_boot();
            let alone = ((self.looked + turn) % 2) as usize;
            let opened = self.pool.open_from(alone);
            let (pair, same) = opened.map_err(|e| Broken::new("opens", e.to_string()))?;
            if !same {
                let other = format!("object {alone} changes when the other is opened");
                return Err(Broken::new("whole when alone", other));
            }
            let seen = view(&pair).map_err(|what| Broken::new("nothing half there", what))?;
            if *first.get_or_insert_with(|| seen.clone()) != seen {
                return Err(Broken::new("recovers once", format!("{first:?}, then {seen:?}")));
            }
            shown::counts(&pair).map_err(|what| Broken::new("counts right", what))?;
        }
        let seen = first.unwrap_or_default();
        let mut mask: u64 =
            (0..).zip(&self.states).map(|(i, state)| ((*state == seen) as u64) << i).sum();
        for (i, both) in self.states.windows(2).enumerate().filter(|_| self.partly) {
            mask |= (shown::is_between(&seen, &both[0], &both[1]) as u64) << (32 + i);
        }
        if mask & allowed == 0 {
            let text = format!("it shows {seen:?}, which is {mask:#x} and not of {allowed:#x}");
            return Err(Broken::new("before or after", text));
        }
        if self.looked % CHECKED == 1 {
            self.check()?;
        }
        if self.looked % GONE_ON == 1 {
            self.go_on(image).map_err(|what| Broken::new("goes on", what))?;
        }
        Ok(mask)
    }

    fn looked(&self) -> u64 {
        self.looked
    }
}

/// What came of a case.
pub struct Outcome {
    /// Which.
    pub case: Case,
    /// Stores, flushes and fences of its run.
    pub events: [u64; 3],
    /// What was counted.
    pub tally: Tally,
    /// All that was recorded.
    pub recorded: Vec<Recorded>,
}

/// Runs a case; the error is why it could not be.
pub fn run(case: &Case, states: u64, seed: u64, model: Model) -> Result<Outcome, String> {
    let mut recorded = vec![Recorded::run(case)?];
    let seed = Random::named(seed, case.name).next();
    let (edit, within) = (None, None);
    let config = Config { model, seed, states, nested: false, stop: false, edit, within };
    let events = recorded[0].events.clone();
    let mut tally = recorded[0].drive(&events, &config);
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count() as u64;
    let events = [
        count(|e| matches!(e, Event::Store { .. })),
        count(|e| matches!(e, Event::Flush { .. })),
        count(|e| matches!(e, Event::Fence { .. })),
    ];
    // What is recorded here has its own recoveries recorded when its turn comes.
    let mut n = 0;
    while n < recorded.len() {
        let more = recorded[n].recoveries(seed ^ n as u64)?;
        recorded.extend(more);
        if n != 0 {
            let config =
                Config { states: states / 2 / RECOVERIES[0], seed: seed ^ n as u64, ..config };
            let events = recorded[n].events.clone();
            let cut = recorded[n].drive(&events, &config);
            *(if recorded[n].depth == 1 { &mut tally.in_recovery } else { &mut tally.twice }) +=
                cut.states;
            tally.violations += cut.violations;
            let deep = |(broken, at)| (broken, format!("{at}, of {}", recorded[n].place()));
            tally.first = tally.first.or(cut.first.map(deep));
        }
        n += 1;
    }
    Ok(Outcome { case: *case, events, tally, recorded })
}
