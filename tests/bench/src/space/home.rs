// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every home of objects is asked to do, and the race of a large one
//! against a small one of the same kind.

use std::sync::OnceLock;

use twz_abi::ObjectId;

use crate::{
    error::Failed,
    ptr::Random,
    race::{Contender, Race, race},
    report::Record,
};

/// Names in one directory: a tree of them, so that a pool of many objects has
/// more directories and not larger ones.
const NAMES: usize = 100;
const ROUNDS: usize = 21;
/// Operations in a round.
const OPERATIONS: u64 = 200;

/// Makes two homes of a kind and races them: the subject's name, how many
/// objects the one and the other have.
pub type Maker = fn(&'static str, usize, usize) -> Result<Vec<Record>, Failed>;

/// A pool, whatever it is kept in.
pub trait Home {
    /// Makes an object.
    fn create(&mut self) -> Result<ObjectId, Failed>;
    /// Deletes one for good.
    fn delete(&mut self, id: ObjectId) -> Result<(), Failed>;
    /// Makes a directory of names.
    fn make_dir(&mut self, path: &str) -> Result<(), Failed>;
    /// Binds a name.
    fn bind(&mut self, path: &str, id: ObjectId) -> Result<(), Failed>;
    /// Closes what [`Home::open`] has opened. Not timed.
    fn close(&mut self) -> Result<(), Failed>;
    /// Opens an object by its id, until it is closed; returns the id it has.
    fn open(&mut self, id: ObjectId) -> Result<ObjectId, Failed>;
    /// What a name is bound to.
    fn lookup(&mut self, path: &str) -> Result<ObjectId, Failed>;
    /// Closes the pool and opens it.
    fn reopen(&mut self) -> Result<(), Failed>;
}

/// A pool and what is in it.
pub struct Full<H> {
    home: H,
    ids: Vec<ObjectId>,
    named_every: usize,
}

impl<H: Home> Full<H> {
    /// Puts `count` objects into a new home, and gives every so-many-th a name.
    pub fn new(mut home: H, count: usize, named_every: usize) -> Result<Self, Failed> {
        let mut ids = Vec::with_capacity(count);
        for i in 0..count {
            let id = home.create()?;
            ids.push(id);
            if i % named_every != 0 {
                continue;
            }
            let name = i / named_every;
            if name.is_multiple_of(NAMES * NAMES) {
                home.make_dir(&outer(name))?;
            }
            if name.is_multiple_of(NAMES) {
                home.make_dir(&inner(name))?;
            }
            home.bind(&path(name), id)?;
        }
        Ok(Self { home, ids, named_every })
    }
}

fn outer(i: usize) -> String {
    format!("d{}", i / NAMES / NAMES)
}

fn inner(i: usize) -> String {
    format!("{}/d{}", outer(i), i / NAMES)
}

fn path(i: usize) -> String {
    format!("{}/object-{i}", inner(i))
}

/// An operation that is raced.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Create,
    Open,
    Lookup,
    Reopen,
}

/// Its name in the report, what is done, and how often in a round.
type Case = (&'static str, What, u64);

const CASES: [Case; 4] = [
    ("create_1m", What::Create, OPERATIONS),
    ("open_1m", What::Open, OPERATIONS),
    ("lookup_1m", What::Lookup, OPERATIONS),
    ("pool_open_1m", What::Reopen, 1),
];

/// Races a pool of many against one of few.
pub fn measure<H: Home>(
    name: &'static str,
    many: Full<H>,
    few: Full<H>,
) -> Result<Vec<Record>, Failed> {
    let mut many = Runner::new(name, many);
    let mut few = Runner::new("self_1k", few);
    let mut records = Vec::new();
    for case in CASES {
        records.extend(meet(case, &mut many, &mut few)?);
    }
    // A thousand objects stay in the processor's cache and a million do not.
    // Once more with the cache swept before each run: what is left is work.
    (few.name, many.cold, few.cold) = ("self_1k_cold", true, true);
    for case in CASES.into_iter().filter(|case| case.1 != What::Reopen) {
        records.extend(meet(case, &mut many, &mut few)?);
    }
    Ok(records)
}

fn meet<H: Home>(
    (case, what, operations): Case,
    many: &mut Runner<H>,
    few: &mut Runner<H>,
) -> Result<Vec<Record>, Failed> {
    (many.what, few.what) = (what, what);
    let case = Race { bench: "space", case, rounds: ROUNDS, operations, warm: 0 };
    let records = race(&case, &mut [Box::new(&mut *many), Box::new(&mut *few)])?;
    many.clean()?;
    few.clean()?;
    Ok(records)
}

struct Runner<H> {
    name: &'static str,
    full: Full<H>,
    what: What,
    /// What is to be opened, or has been created.
    ids: Vec<ObjectId>,
    /// What is to be looked up, with what is to be found.
    names: Vec<(String, ObjectId)>,
    random: Random,
    /// Whether each run begins with nothing in the cache.
    cold: bool,
}

/// Reads more memory than any cache holds.
fn sweep() {
    static MEMORY: OnceLock<Vec<u64>> = OnceLock::new();
    let memory = MEMORY.get_or_init(|| vec![1; 16 << 20]);
    std::hint::black_box(memory.iter().step_by(8).sum::<u64>());
}

impl<H: Home> Runner<H> {
    fn new(name: &'static str, full: Full<H>) -> Self {
        let (ids, names) = (Vec::new(), Vec::new());
        Self { name, full, what: What::Create, ids, names, random: Random(7), cold: false }
    }

    fn clean(&mut self) -> Result<(), Failed> {
        self.full.home.close()?;
        if self.what == What::Create {
            self.ids.drain(..).try_for_each(|id| self.full.home.delete(id))?;
        }
        self.ids.clear();
        self.names.clear();
        Ok(())
    }

    fn any(&mut self, count: usize) -> usize {
        (self.random.next() % count as u64) as usize
    }
}

impl<H: Home> Contender for &mut Runner<H> {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Cleans up after the last round, and draws objects for the next.
    fn prepare(&mut self) -> Result<(), Failed> {
        self.clean()?;
        for _ in 0..OPERATIONS {
            let i = self.any(self.full.ids.len());
            let named = i / self.full.named_every;
            match self.what {
                What::Open => self.ids.push(self.full.ids[i]),
                What::Lookup => {
                    self.names.push((path(named), self.full.ids[named * self.full.named_every]));
                }
                What::Create | What::Reopen => {}
            }
        }
        if self.cold {
            sweep();
        }
        Ok(())
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let home = &mut self.full.home;
        let wrong = || Failed::new("another object was found than was looked for");
        match self.what {
            What::Create => {
                for _ in 0..operations {
                    self.ids.push(home.create()?);
                }
                Ok(())
            }
            What::Open => self
                .ids
                .iter()
                .try_for_each(|&id| (home.open(id)? == id).then_some(()).ok_or_else(wrong)),
            What::Lookup => self.names.iter().try_for_each(|(name, id)| {
                (home.lookup(name)? == *id).then_some(()).ok_or_else(wrong)
            }),
            What::Reopen => home.reopen(),
        }
    }
}
