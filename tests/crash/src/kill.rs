// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kill -9` of a writer in an embedded pool, at random instants.
//!
//! The writer ([`write()`]) says on a pipe what it is about to do, does it, and
//! says that it is done. After the kill the pool is opened and compared with a
//! model: everything that was acknowledged is there, the one thing that was
//! begun and not acknowledged is there or not, nothing is half there, and the
//! check of the pool finds no error. The pool goes on to the next round, so what
//! one kill leaves behind, later ones meet.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use twz::{EmbeddedPool, Field, InitOptions, NewObject, Persist, Space};

use crate::random::Random;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Names there can be.
const NAMES: u64 = 12;

/// Accounts that money moves between; and how often it did.
#[derive(Persist)]
#[repr(C)]
struct Bank {
    left: Field<u64>,
    moves: Field<u64>,
    again: Field<u64>,
}

/// A value under a name.
#[derive(Persist)]
#[repr(C)]
struct Value {
    value: Field<u64>,
    inverse: Field<u64>,
}

/// What a pool shows.
#[derive(Clone, Debug, PartialEq)]
struct World {
    moves: u64,
    names: BTreeMap<String, u64>,
}

/// One thing that the writer does.
#[derive(Clone, Debug)]
enum Step {
    /// Money moves, in a transaction over two objects.
    Move,
    /// A new object gets a name, which may have been another's.
    Bind(String, u64),
    /// A name goes, and its object with it.
    Unbind(String),
    /// A name takes another's place.
    Rename(String, String),
    /// A named object is copied under another name.
    Copy(String, String),
}

impl World {
    fn after(&self, step: &Step) -> Self {
        let mut world = self.clone();
        let names = &mut world.names;
        match step {
            Step::Move => world.moves += 1,
            Step::Bind(name, value) => drop(names.insert(name.clone(), *value)),
            Step::Unbind(name) => drop(names.remove(name)),
            Step::Rename(from, to) => {
                if let Some(value) = names.remove(from) {
                    names.insert(to.clone(), value);
                }
            }
            Step::Copy(from, to) => {
                if let Some(&value) = names.get(from) {
                    names.insert(to.clone(), value);
                }
            }
        }
        world
    }

    /// What the next step is; the writer and its judge come to the same.
    fn next(&self, random: &mut Random, value: u64) -> Step {
        let any = |random: &mut Random| format!("n{}", random.below(NAMES));
        let bound = |random: &mut Random| {
            let n = random.below(self.names.len().max(1) as u64) as usize;
            self.names.keys().nth(n).cloned()
        };
        let (name, other) = (bound(random), any(random));
        match (random.below(6), name) {
            (0 | 1, _) => Step::Move,
            (2, Some(name)) => Step::Unbind(name),
            (3, Some(name)) if name != other => Step::Rename(name, other),
            (4, Some(name)) if name != other => Step::Copy(name, other),
            _ => Step::Bind(other, value),
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Kills {
    /// Rounds that were run.
    pub rounds: u64,
    /// Steps that were acknowledged, in all rounds.
    pub acknowledged: u64,
    /// Kills that came between a step's beginning and its end.
    pub within: u64,
    /// Of these, steps that had happened.
    pub happened: u64,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// Kills a writer so many times.
pub fn run(rounds: u64, seed: u64) -> Outcome<Kills> {
    let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." };
    let dir = tempfile::tempdir_in(parent)?;
    let path = dir.path().join("pool");
    EmbeddedPool::init(&path, &InitOptions::default())?;
    found_bank(&path)?;
    let mut world = look(&path)?;
    let (mut random, mut kills) = (Random::named(seed, "kill"), Kills::default());
    for round in 0..rounds {
        kills.rounds += 1;
        let start = random.next();
        let (done, begun) = one_round(&path, start, &mut random)?;
        kills.acknowledged += done;
        let mut steps = Random::new(start);
        for n in 0..done {
            let step = world.next(&mut steps, value(start, n));
            world = world.after(&step);
        }
        let open = (begun > done).then(|| world.next(&mut steps, value(start, done)));
        match judge(&path, &world, open.as_ref()) {
            Ok(seen) => {
                kills.within += open.is_some() as u64;
                kills.happened += (seen != world) as u64;
                world = seen;
            }
            Err(error) => {
                kills.failures.push(format!("round {round}, seed {start:#x}, {open:?}: {error}"));
                break;
            }
        }
    }
    Ok(kills)
}

/// Starts a writer, kills it, and says how many steps it ended and began.
fn one_round(path: &Path, start: u64, random: &mut Random) -> Outcome<(u64, u64)> {
    let mut child: Child = Command::new(std::env::current_exe()?)
        .arg("--writer")
        .arg(path)
        .args(["--seed", &start.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().ok_or("the writer has no output")?;
    let reader = thread::spawn(move || {
        let (mut ended, mut begun) = (0, 0);
        // A line that was cut off says nothing.
        for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
            match line.first() {
                Some(b'>') => begun += 1,
                Some(b'<') => ended += 1,
                _ => {}
            }
        }
        (ended, begun)
    });
    thread::sleep(Duration::from_micros(2_000 + random.below(12_000)));
    child.kill()?;
    child.wait()?;
    let counts = reader.join();
    counts.map_err(|_| "the reader panicked".into())
}

/// The value of a writer's `n`th step.
fn value(start: u64, n: u64) -> u64 {
    start.wrapping_add(n) | 1
}

/// Opens the pool, and compares.
fn judge(path: &Path, world: &World, open: Option<&Step>) -> Outcome<World> {
    let seen = look(path)?;
    let mut errors = Vec::new();
    let mut report = |problem: twz::check::Problem| {
        if problem.severity == twz::check::Severity::Error {
            errors.push(format!("{}: {}", problem.where_, problem.what));
        }
    };
    twz::check::check(path, &Default::default(), &mut |_| {}, &mut report)?;
    if !errors.is_empty() {
        return Err(errors.join("; ").into());
    }
    let happened = open.map(|step| world.after(step));
    match seen == *world || happened.as_ref() == Some(&seen) {
        true => Ok(seen),
        false => Err(format!("seen {seen:?}; acknowledged {world:?}").into()),
    }
}

fn found_bank(path: &Path) -> Outcome<()> {
    let space = Space::open(path)?;
    for (name, left) in [("a", 1000), ("b", 0)] {
        let (moves, again) = (Field::new(0), Field::new(0));
        let bank = space.create(Bank { left: Field::new(left), moves, again })?;
        space.bind(name, bank.id())?;
    }
    Ok(())
}

/// Everything that the pool shows; an error for what is half there.
fn look(path: &Path) -> Outcome<World> {
    let space = Space::open(path)?;
    let (a, b) = (space.open_name::<Bank>("a")?, space.open_name::<Bank>("b")?);
    let (a, b) = (a.root(), b.root());
    let moves = a.moves.get();
    if [a.again.get(), b.moves.get(), b.again.get()] != [moves; 3]
        || a.left.get().wrapping_add(b.left.get()) != 1000
        || b.left.get() != moves % 7 * 10
    {
        return Err(format!("a transaction is half there: {moves} moves").into());
    }
    let mut names = BTreeMap::new();
    for n in 0..NAMES {
        let name = format!("n{n}");
        match space.open_name::<Value>(&name) {
            Ok(object) => {
                let value = object.root().value.get();
                if object.root().inverse.get() != !value {
                    return Err(format!("{name} is half there").into());
                }
                names.insert(name, value);
            }
            Err(twz::Error::NoName(_)) => {}
            Err(error) => return Err(format!("{name}: {error}").into()),
        }
    }
    Ok(World { moves, names })
}

/// The writer: goes on until it is killed.
pub fn write(path: &Path, start: u64) -> Outcome<()> {
    let mut world = look(path)?;
    let space = Space::open(path)?;
    let (a, b) = (space.open_name::<Bank>("a")?, space.open_name::<Bank>("b")?);
    let mut steps = Random::new(start);
    let mut out = std::io::stdout();
    for n in 0.. {
        let step = world.next(&mut steps, value(start, n));
        out.write_all(b">\n")?;
        out.flush()?;
        match &step {
            Step::Move => space.transaction(|tx| {
                let moves = tx.get(&a.root().moves)? + 1;
                for bank in [a.root(), b.root()] {
                    tx.set(&bank.moves, moves)?;
                    tx.set(&bank.again, moves)?;
                }
                tx.set(&b.root().left, moves % 7 * 10)?;
                tx.set(&a.root().left, 1000 - moves % 7 * 10)
            })?,
            Step::Bind(name, value) => {
                let (value, inverse) = (Field::new(*value), Field::new(!*value));
                let object = space.create(Value { value, inverse })?;
                space.backend().bind(name, object.id(), true)?;
            }
            Step::Unbind(name) => {
                let id = space.resolve(name)?;
                space.backend().unbind(name)?;
                drop(space.backend().delete(id));
            }
            Step::Rename(from, to) => space.backend().rename(from, to)?,
            Step::Copy(from, to) => {
                let copy = space.backend().copy(space.resolve(from)?, &NewObject::default())?;
                space.backend().bind(to, copy, true)?;
            }
        }
        out.write_all(b"<\n")?;
        out.flush()?;
        world = world.after(&step);
    }
    Ok(())
}
