// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many instructions a step takes: counted by callgrind in a run of this
//! program below valgrind (`twz-bench count CASE PEER`), with nothing collected
//! outside the chase.

use super::{
    chase::{CASES, Case},
    store, with_peers,
};
use crate::{callgrind, error::Failed, race::Contender, report::Record};

/// Operations that are counted.
const OPERATIONS: u64 = 100 << 10;

/// What is counted: a contender's name, and the function that it spends its time in.
type Counted = (&'static str, &'static str);

const CHASES: [Counted; 5] = [
    ("twz", "*chase_twz*"),
    ("raw", "*chase_raw*"),
    ("base_off", "*chase_*base*"),
    ("pmemobj", "bench_pm_chase"),
    ("pmemobj_call", "bench_pm_chase_called"),
];
const STORES: [Counted; 2] = [("twz", "*store_twz*"), ("raw", "*store_raw*")];

/// The chases in which they are.
fn chases() -> impl Iterator<Item = Case> {
    CASES.into_iter().filter(|case| case.name.starts_with("64k/"))
}

/// One run below valgrind.
pub fn count(case: &str, peer: &str) -> Result<(), Failed> {
    let run = |contenders: &mut [Box<dyn Contender + '_>]| {
        let found = contenders.iter_mut().find(|contender| contender.name() == peer);
        found.ok_or_else(|| Failed::new("no such peer to count"))?.run(OPERATIONS)
    };
    match chases().find(|known| known.name == case) {
        Some(chase) => with_peers(chase, run),
        None if case == "store" => store::with_peers(run),
        None => Err(Failed::new("no such case to count")),
    }
}

/// Counts all of them, where valgrind is there to do it.
pub fn run() -> Result<Vec<Record>, Failed> {
    let mut records = Vec::new();
    for chase in chases() {
        records.extend(count_all(chase.name, &CHASES));
    }
    records.extend(count_all("store", &STORES));
    Ok(records)
}

fn count_all(case: &str, all: &[Counted]) -> Vec<Record> {
    let mut counts = Vec::new();
    for &(peer, function) in all {
        match callgrind::count(&["count", case, peer], function, OPERATIONS) {
            Ok(count) => counts.push((peer, count)),
            Err(failed) => {
                println!("ptr: instructions of {peer} in {case} not counted: {failed}");
            }
        }
    }
    let Some((&(subject, ours), peers)) = counts.split_first() else { return Vec::new() };
    peers
        .iter()
        .map(|&(peer, theirs)| {
            Record::from_counts(case, [subject, peer], [ours, theirs], "instructions")
        })
        .collect()
}
