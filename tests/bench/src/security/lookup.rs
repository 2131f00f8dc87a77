// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases `lookup/...`: what a context with many capabilities allows on an
//! object, against one with few.
//!
//! Both are asked the same number of times, through lists of the same length, so that
//! reading the list costs both the same. `hot` asks for ten targets over and over:
//! what both have in the cache. `random` asks for any of them, and with many the
//! table (8 MiB of 100,000) does not fit in the caches nearest to the processor.
//! `absent` asks for objects of which the context says nothing. In all of these the
//! processor may begin the next lookup before it has the answer to the last one;
//! `random_wait` is `random` where it may not, as at a fault, and the peer `memory`
//! there says how much of it is any table's: one word at a random place of as
//! much memory.

use std::hint::black_box;

use twz_abi::{ObjectId, Rights, security::Policy};
use twz_core::security::{
    Gates, Loaded, Rules, Slot,
    rules::{build, slots_for},
};

use super::{
    FEW, Size,
    holding::{Holding, Trusting, any_id},
};
use crate::{
    error::Failed,
    ptr::Random,
    race::{Contender, race},
    report::Record,
};

/// Which targets are asked for.
#[derive(Clone, Copy, PartialEq)]
pub enum Which {
    Hot,
    Random,
    RandomWait,
    Absent,
}

const CASES: [(&str, Which); 4] = [
    ("lookup/hot", Which::Hot),
    ("lookup/random", Which::Random),
    ("lookup/random_wait", Which::RandomWait),
    ("lookup/absent", Which::Absent),
];

/// Targets in a list: enough to come by all of many, and hot ones that leave room in
/// the cache.
const ASKED: usize = 128 << 10;
const HOT: usize = 1 << 10;
/// How many different ones are hot.
const HOT_TARGETS: usize = 10;

/// What everybody may do with each object.
const DEFAULT: Rights = Rights::NONE;
/// The same of those that are absent, so that there is an answer to be checked.
const DEFAULT_ABSENT: Rights = Rights::READ;

const SEED: u64 = 0x0005_ec5e_ed01;

/// Runs them.
pub fn run(size: &Size) -> Result<Vec<Record>, Failed> {
    let mut records = Vec::new();
    for (case, which) in CASES {
        let table = Table::new(size.many, which)?;
        let memory = Memory::new(table.slots.len(), &table.asked);
        // The shorter list as much oftener.
        let operations = size.passes * ASKED as u64;
        let mut contenders: Vec<Box<dyn Contender>> =
            vec![Box::new(table), Box::new(Table::new(FEW, which)?)];
        if which == Which::RandomWait {
            contenders.push(Box::new(memory));
        }
        records.extend(race(&size.race(case, operations), &mut contenders)?);
    }
    Ok(records)
}

/// A context's table, and what it is asked.
pub struct Table {
    name: &'static str,
    which: Which,
    slots: Vec<Slot>,
    gates: Vec<Gates>,
    asked: Vec<ObjectId>,
    default: Rights,
    /// What the answers to the list add up to.
    expected: u64,
}

impl Table {
    /// Of a context that holds that many capabilities.
    pub fn new((name, count): (&'static str, usize), which: Which) -> Result<Self, Failed> {
        let holding = Holding::new(count, false);
        let links = holding.load(&[], &Trusting)?;
        let mut slots = vec![Slot::EMPTY; slots_for(links.len())];
        let mut gates = vec![Gates::EMPTY; links.len()];
        let (id, records) = (holding.id, &holding.records[..]);
        let loaded = Loaded { id, policy: Policy::OPEN, records, links: &links };
        let built = build(&loaded, 1, SEED, &mut |_| Some(0), &mut slots, &mut gates);
        if built.is_none_or(|built| built.grants as usize != count) {
            return Err(Failed::new("not every grant is in the table"));
        }
        let mut random = Random(count as u64 + 1);
        let (mut asked, mut expected) = (Vec::new(), 0u64);
        let default = if which == Which::Absent { DEFAULT_ABSENT } else { DEFAULT };
        for _ in 0..if which == Which::Hot { HOT } else { ASKED } {
            let among = if which == Which::Hot { HOT_TARGETS.min(count) } else { count };
            let grant = &holding.grants[random.next() as usize % among];
            let (target, rights) = match which {
                Which::Absent => (any_id(&mut random), default.0),
                _ => (grant.target, grant.rights),
            };
            asked.push(target);
            expected += u64::from(rights);
        }
        Ok(Self { name, which, slots, gates, asked, default, expected })
    }
}

impl Contender for Table {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let rules = Rules::new(Policy::OPEN, SEED, &self.slots, &self.gates);
        let ask = if self.which == Which::RandomWait { ask_waiting } else { ask_rules };
        for _ in 0..operations / self.asked.len() as u64 {
            if ask(black_box(&rules), &self.asked, self.default) != self.expected {
                return Err(Failed::new("lookup: the table allows something else"));
            }
        }
        Ok(())
    }
}

/// Asks for each. By itself, so that it can be counted and read.
#[inline(never)]
fn ask_rules(rules: &Rules<'_>, asked: &[ObjectId], default: Rights) -> u64 {
    asked.iter().map(|&id| u64::from(rules.allowed(id, default, false).0)).sum()
}

/// The same, but what it asks next hangs on the answer: on bits that no right has.
#[inline(never)]
fn ask_waiting(rules: &Rules<'_>, asked: &[ObjectId], default: Rights) -> u64 {
    let (mut sum, mut last) = (0, Rights::NONE);
    for at in 0..asked.len() {
        let Some(&id) = asked.get(at + (last.0 >> 16) as usize) else { break };
        last = rules.allowed(id, default, false);
        sum += u64::from(last.0);
    }
    sum
}

/// As much memory as a table takes.
struct Memory {
    cells: Vec<[u64; size_of::<Slot>() / 8]>,
    asked: Vec<ObjectId>,
    expected: u64,
}

impl Memory {
    fn new(cells: usize, asked: &[ObjectId]) -> Self {
        // None of it is the page of zeros.
        let cells: Vec<_> = (1..=cells as u64).map(|i| [i; _]).collect();
        let expected = touch_memory(&cells, asked);
        Self { cells, asked: asked.to_vec(), expected }
    }
}

impl Contender for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        for _ in 0..operations / self.asked.len() as u64 {
            if touch_memory(black_box(&self.cells), &self.asked) != self.expected {
                return Err(Failed::new("memory: a wrong sum"));
            }
        }
        Ok(())
    }
}

/// One word of the cell that each target and the word before lead to.
#[inline(never)]
fn touch_memory(cells: &[[u64; size_of::<Slot>() / 8]], asked: &[ObjectId]) -> u64 {
    let mask = cells.len() - 1;
    let step = |sum: u64, id: &ObjectId| {
        let at = (id.lo >> 20).wrapping_add(sum) as usize & mask;
        sum.wrapping_add(cells.get(at).map_or(0, |cell| cell[0]))
    };
    asked.iter().fold(0, step)
}
