// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `ptr`: what it costs to follow and to store a pointer.

mod base_off;
mod chase;
mod first_use;
mod instructions;
mod nodes;
mod pmemobj;
mod raw;
mod store;
mod twz;

pub use chase::Random;
pub use instructions::count;

use chase::{CASES, Case, Course, Runner};
use nodes::Pool;

use crate::{
    error::Failed,
    race::{Contender, Race, race},
    report::Record,
};

const ROUNDS: usize = 21;

/// Runs it.
pub fn run() -> Result<Vec<Record>, Failed> {
    let mut records = Vec::new();
    for case in CASES {
        println!("ptr: {} ...", case.name);
        records.extend(with_peers(case, |contenders| {
            let (case, rounds, operations, warm) = (case.name, case.rounds, case.steps, case.warm);
            race(&Race { bench: "ptr", case, rounds, operations, warm }, contenders)
        })?);
    }
    println!("ptr: first_use, store, instructions ...");
    records.extend(first_use::run(ROUNDS)?);
    records.extend(store::run(ROUNDS)?);
    let sizes = [size_of::<::twz::Ptr<u64>>() as f64, pmemobj::POINTER_BYTES as f64];
    records.push(Record::from_counts("size", ["twz", "pmemobj"], sizes, "bytes"));
    records.extend(instructions::run()?);
    Ok(records)
}

/// Puts up a case's course, and all who run on it: the subject first.
fn with_peers<R>(
    case: Case,
    act: impl FnOnce(&mut [Box<dyn Contender + '_>]) -> Result<R, Failed>,
) -> Result<R, Failed> {
    const RUNNERS: usize = 5;
    let course = Course::new(case);
    let pools = pmemobj::Pools::build(&course)?;
    let pool = Pool::new()?;
    let objects = pool.objects(case.objects)?;
    let nodes = nodes::build(&course, &objects)?;
    let runner = |number| Runner::new(&course, number, RUNNERS);
    let start = |number| {
        let (object, place) = course.place(runner(number).start());
        &nodes[object][place]
    };
    let bases = objects.iter().map(|object| object.address()).collect();
    act(&mut [
        Box::new(twz::Lea::new(start(0), runner(0))),
        Box::new(raw::Raw::new(start(1), runner(1))),
        Box::new(base_off::BaseOff::new(bases, start(2), runner(2))),
        Box::new(pmemobj::Direct::inline(&pools, &course, runner(3))),
        Box::new(pmemobj::Direct::called(&pools, &course, runner(4))),
    ])
}
