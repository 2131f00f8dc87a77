// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `posix`: what ordinary programs pay on files that are objects, to the same
//! program on the same kind of file system without us. With the preload library: calls on a
//! file, what a process costs ([`calls`]), SQLite and dbench ([`programs`]); and on the FUSE
//! mount ([`mount`]). What each is to reach is one table, [`bounds`]; a row of it that has no
//! record is an error, unless its part was left out, which is said with the reason.

mod bounds;
mod calls;
mod mount;
mod place;
mod programs;

use std::collections::BTreeMap;

use self::place::Place;
use crate::{error::Failed, race::Race, report::Record};

pub use self::bounds::goals;

/// What was measured in a round: cases and their values.
type Values = Vec<(String, f64)>;

/// A contender: its name, and what does a round of it.
type Turn<'a> = (&'static str, Box<dyn FnMut() -> Result<Values, Failed> + 'a>);

/// How much is done: all of it, or so little that it measures nothing.
#[derive(Clone, Copy)]
struct Size {
    quick: bool,
}

impl Size {
    /// Rounds, of those that a full run has.
    fn rounds(self, full: usize) -> usize {
        if self.quick { 2 } else { full }
    }

    /// What divides how often a call is made.
    fn divisor(self) -> u32 {
        if self.quick { 50 } else { 1 }
    }
}

/// Runs it.
pub fn run(quick: bool) -> Result<Vec<Record>, Failed> {
    let size = Size { quick };
    let tools = place::Tools::build()?;
    let memory = Place::in_memory()?;
    let mut records = calls::run(&tools, &memory, size)?;
    records.extend(calls::once(&tools, &memory, size)?);
    records.extend(programs::run(&tools, &memory, size)?);
    match Place::on_disk() {
        Ok(disk) => {
            println!("posix: {} is the page cache of {}", disk.kind, disk.path().display());
            records.extend(calls::run(&tools, &disk, size)?);
            records.extend(programs::run(&tools, &disk, size)?);
        }
        Err(why) => left_out("ext4", &why),
    }
    match place::mountable() {
        Ok(()) => records.extend(mount::run(&tools, &memory, size)?),
        Err(why) => left_out("mount", &why),
    }
    Ok(records)
}

/// Says that a part is not in the report: one of a file system, of a subject, or a case.
fn left_out(what: &str, why: &str) {
    println!("posix: {what} left out: {why}");
}

/// Has contenders take turns, each round begun by another one; the last is the peer.
fn turns(
    size: Size,
    full: usize,
    unit: &str,
    contenders: &mut [Turn<'_>],
) -> Result<Vec<Record>, Failed> {
    let rounds = size.rounds(full);
    let mut order: Vec<String> = Vec::new();
    let mut all: BTreeMap<(usize, String), Vec<f64>> = BTreeMap::new();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let who = (round + turn) % contenders.len();
            for (case, value) in contenders[who].1()? {
                if !order.contains(&case) {
                    order.push(case.clone());
                }
                all.entry((who, case)).or_default().push(value);
            }
        }
    }
    let (peer, mut records) = (contenders.len() - 1, Vec::new());
    for (who, (subject, _)) in contenders[..peer].iter().enumerate() {
        for case in &order {
            let of = |who| all.get(&(who, case.clone()));
            let (Some(ours), Some(theirs)) = (of(who), of(peer)) else { continue };
            let race = Race { bench: "posix", case, rounds, operations: 0, warm: 0 };
            let record = Record::from_rounds(&race, subject, contenders[peer].0, ours, theirs);
            records.push(Record { unit: unit.into(), ..record });
        }
    }
    Ok(records)
}
