// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plug, really pulled: the two programs that `scripts/vm-plug.sh` runs in a
//! virtual machine whose power it cuts; and the same with a directory, a killed
//! process and a boot that is pretended, which is much quicker
//! ([`kill_and_boot`]).
//!
//! The writer ([`write()`]) runs transactions in two lanes, a thread and two
//! objects each, and tells the number of every one that has returned. The
//! objects are a function of that number, whatever it is ([`World`]). So the
//! one who looks after the next boot ([`look`]) needs no log to see that none is
//! half there, says which number it found, and whoever listened can compare: all
//! that was told is there, and at most the one after it.

use std::{
    collections::BTreeMap,
    error::Error,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::sys::termios::tcdrain;
use twz::{
    DATA_START, Durability, EmbeddedPool, Field, Global, InitOptions, Object, ObjectId, Persist,
    Ptr, Rights, Space, Tx, collections::HashMap,
};

use crate::random::Random;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LANES: u64 = 2;
/// Keys there can be, and places that need not exist.
const KEYS: u64 = 24;
const PLACES: u64 = 300;

/// What a lane's first object holds.
#[derive(Persist)]
#[repr(C)]
struct Head {
    count: Field<u64>,
    /// Only ever changed in place.
    many: [Field<u64>; 24],
    /// A block in the second object.
    leaf: Ptr<Leaf>,
    /// A place in an object that is none.
    far: Ptr<Leaf>,
    map: HashMap<u64, u64>,
}

/// What its second one holds.
#[derive(Persist)]
#[repr(C)]
struct Side {
    count: Field<u64>,
    inverse: Field<u64>,
}

#[derive(Persist)]
#[repr(C)]
struct Leaf {
    value: Field<u64>,
    inverse: Field<u64>,
}

/// What a lane shows.
#[derive(Clone, Debug, Default, PartialEq)]
struct World {
    count: u64,
    many: u64,
    leaf: u64,
    far: u64,
    map: BTreeMap<u64, u64>,
}

impl World {
    /// After `count` transactions.
    fn of(count: u64) -> Self {
        // In so many, each key goes in and out as often: the map is empty again.
        let from = (count / (2 * KEYS)).saturating_sub(1) * 2 * KEYS;
        (from + 1..=count).fold(Self::default(), |world, n| world.after(n))
    }

    fn after(mut self, n: u64) -> Self {
        self.count = n;
        match n % 4 {
            1 => self.many = n,
            2 => self.leaf = n,
            3 => self.far = 1 + n % PLACES,
            _ => {}
        }
        if self.map.remove(&key(n)).is_none() {
            self.map.insert(key(n), 3 * n);
        }
        self
    }
}

fn key(n: u64) -> u64 {
    n * n % KEYS
}

struct Lane {
    head: Object<Head>,
    side: Object<Side>,
}

fn name(lane: u64, part: &str) -> String {
    format!("plug.{lane}.{part}")
}

impl Lane {
    /// The lane's objects, which are made if there are none.
    fn open(space: &Space, lane: u64) -> Outcome<Self> {
        if let Err(twz::Error::NoName(_)) = space.resolve(&name(lane, "head")) {
            let side = space.create(Side { count: Field::new(0), inverse: Field::new(!0) })?;
            let head = space.create(Head {
                count: Field::new(0),
                many: std::array::from_fn(|_| Field::new(0)),
                leaf: Ptr::null(),
                far: Ptr::null(),
                map: HashMap::default(),
            })?;
            side.sync()?;
            head.sync()?;
            space.bind(&name(lane, "side"), side.id())?;
            space.bind(&name(lane, "head"), head.id())?;
            space.backend().sync_all()?;
        }
        let head = space.open_name(&name(lane, "head"))?;
        let side = space.open_name(&name(lane, "side"))?;
        Ok(Self { head, side })
    }

    /// The `n`th transaction.
    fn change(&self, space: &Space, n: u64) -> twz::Result<()> {
        space.transaction(|tx| {
            let (head, side) = (self.head.root(), self.side.root());
            match n % 4 {
                1 => {
                    tx.record(&head.many)?;
                    head.many.iter().try_for_each(|field| field.set(n))?;
                }
                2 => self.another_leaf(tx, n)?,
                3 => {
                    let id = ObjectId::from_u128(7 << 64 | u128::from(1 + n % PLACES));
                    let far = Global { id, offset: DATA_START };
                    tx.store_global(&head.far, far, Rights::READ)?;
                    self.undone(tx)?;
                }
                _ => {}
            }
            let writer = tx.lock(&self.head)?;
            if head.map.remove(&writer, &key(n))?.is_none() {
                head.map.insert(&writer, key(n), 3 * n)?;
            }
            drop(writer);
            tx.set(&side.count, n)?;
            tx.set(&side.inverse, !n)?;
            tx.set(&head.count, n)
        })
    }

    fn another_leaf(&self, tx: &Tx<'_>, n: u64) -> twz::Result<()> {
        let head = self.head.root();
        if let Some(old) = tx.follow(&head.leaf)? {
            tx.free(&self.side, old)?;
        }
        let new = Leaf { value: Field::new(n), inverse: Field::new(!n) };
        let new = tx.alloc(&self.side, new)?;
        tx.store(&head.leaf, new)
    }

    /// A part of which nothing is to be seen.
    fn undone(&self, tx: &Tx<'_>) -> twz::Result<()> {
        let head = self.head.root();
        let inner: twz::Result<()> = tx.nested(|tx| {
            tx.record(&head.many)?;
            head.many.iter().try_for_each(|field| field.set(u64::MAX))?;
            tx.set(&self.side.root().count, u64::MAX)?;
            Err(twz::Error::Unsupported("this part is undone"))
        });
        match inner {
            Err(twz::Error::Unsupported(_)) => Ok(()),
            other => other,
        }
    }

    /// What it shows; an error for what is half there.
    fn look(&self) -> Outcome<World> {
        let (head, side) = (self.head.root(), self.side.root());
        let (count, many) = (head.count.get(), head.many[0].get());
        if [side.count.get(), !side.inverse.get()] != [count; 2] {
            return Err(format!("{count} in one object, {} in the other", side.count.get()).into());
        }
        if head.many.iter().any(|field| field.get() != many) {
            return Err("what was recorded is half there".into());
        }
        let mut world = World { count, many, ..World::default() };
        if !head.leaf.is_null() {
            let leaf = head.leaf.lea()?;
            world.leaf = leaf.value.get();
            if leaf.inverse.get() != !world.leaf {
                return Err("a block is half there".into());
            }
        }
        if !head.far.is_null() {
            world.far = match head.far.lea() {
                Err(twz::Error::NoObject(id)) => id.as_u128() as u64,
                other => return Err(format!("the far pointer: {:?}", other.err()).into()),
            };
        }
        for pair in head.map.iter() {
            let (key, value) = pair?;
            if world.map.insert(key, value).is_some() || head.map.get(&key)? != Some(value) {
                return Err(format!("the map has key {key} twice, or not at all").into());
            }
        }
        match head.map.len()? == world.map.len() as u64 {
            true => Ok(world),
            false => Err("the map's count is wrong".into()),
        }
    }
}

/// Recovers, compares, and prints each lane and its number.
pub fn look(pool: &Path) -> Outcome<()> {
    let space = Space::open(pool)?;
    for lane in 0..LANES {
        let seen = Lane::open(&space, lane)?.look().map_err(|e| format!("lane {lane}: {e}"))?;
        let due = World::of(seen.count);
        if seen != due {
            return Err(format!("lane {lane}: seen {seen:?}, which is not {due:?}").into());
        }
        println!("seen {lane} {}", seen.count);
    }
    Ok(())
}

/// Goes on in each lane until the power is cut, and tells what has happened.
pub fn write(pool: &Path) -> Outcome<()> {
    let space = Space::open(pool)?;
    // Whatever the pool is on.
    space.set_durability(Durability::Power);
    let out = Mutex::new(std::io::stdout());
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let (space, out) = (&space, &out);
                scope.spawn(move || -> Outcome<()> {
                    let objects = Lane::open(space, lane)?;
                    for n in objects.head.root().count.get() + 1.. {
                        objects.change(space, n)?;
                        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                        out.write_all(format!("told {lane} {n}\n").as_bytes())?;
                        out.flush()?;
                        // A serial line has it now, and has sent it when this returns.
                        let _ = tcdrain(&*out);
                    }
                    Ok(())
                })
            })
            .collect();
        lanes.into_iter().try_for_each(|lane| lane.join().map_err(|_| "a lane panicked")?)
    })
}

/// Kills a writer so many times, and looks as after a new start of the machine.
/// Returns how many transactions were told, and how many more were found.
pub fn kill_and_boot(rounds: u64, seed: u64) -> Outcome<(u64, u64)> {
    let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." };
    let dir = tempfile::tempdir_in(parent)?;
    let path = dir.path().join("pool");
    EmbeddedPool::init(&path, &InitOptions::default())?;
    let (mut random, mut last) = (Random::named(seed, "boots"), [0; LANES as usize]);
    let (mut told, mut saved) = (0, 0);
    for round in 0..=rounds {
        let me = |what: &str| -> Outcome<Command> {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(what).arg(&path).args(["--boot", &(round + 1).to_string()]);
            command.stdout(Stdio::piped());
            Ok(command)
        };
        let seen = me("--plug-look")?.output()?;
        let text = String::from_utf8_lossy(&seen.stdout).into_owned();
        if !seen.status.success() {
            return Err(format!("round {round}: {text}").into());
        }
        for (lane, seen) in numbers(&text, "seen ") {
            let last = last.get_mut(lane).ok_or("there is no such lane")?;
            // Told, or one more that nobody heard of.
            if seen != *last && seen != *last + 1 {
                return Err(format!("round {round}: told {last}, and {seen} are there").into());
            }
            saved += seen - *last;
            *last = seen;
        }
        let mut child = me("--plug-write")?.spawn()?;
        thread::sleep(Duration::from_micros(3_000 + random.below(25_000)));
        child.kill()?;
        let out = child.wait_with_output()?.stdout;
        // Half a line was not heard.
        let whole = out.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for (lane, n) in numbers(&String::from_utf8_lossy(&out[..whole]), "told ") {
            *last.get_mut(lane).ok_or("there is no such lane")? = n;
            told += 1;
        }
    }
    Ok((told, saved))
}

/// What lines of two numbers after a word say.
fn numbers(text: &str, word: &str) -> Vec<(usize, u64)> {
    let parse = |line: &str| {
        let (lane, n) = line.strip_prefix(word)?.split_once(' ')?;
        Some((lane.parse().ok()?, n.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}
