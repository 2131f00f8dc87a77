// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `kvs`: a store of pairs against those one would use instead.
//!
//! A store is a [`store::Store`]; `peers` has one file for each, and a list of
//! them whose first is the subject. All get the same [`pairs`], and a [`racer`]
//! makes each do one thing after another. `TWZ_BENCH_KEYS` is the largest size, a
//! million keys if it is not set: ten million want as many times the minutes. What
//! takes longer than the subject by far races against it in fewer rounds.

mod check;
mod fences;
mod growth;
mod instructions;
mod pairs;
mod peers;
mod plot;
mod racer;
mod readers;
mod readme;
mod store;

pub use instructions::count;
pub use plot::draw;
pub use readme::print as print_readme;

use std::rc::Rc;

use crate::{
    error::Failed,
    machine,
    race::{Contender, Race, race},
    report::{self, Record},
};
use pairs::Pairs;
use racer::{Racer, What};

/// How many keys, and how long they are raced.
#[derive(Clone, Copy)]
struct Size {
    /// Its name in cases.
    name: &'static str,
    /// Keys that a full store holds.
    keys: usize,
    /// Others, that are put in and taken out.
    spare: usize,
    /// Lookups in a round.
    lookups: u64,
    /// Dependent ones.
    dependent: u64,
    /// Rounds, and those of slow peers.
    rounds: [usize; 2],
    /// Whether every peer does everything, with both kinds of pairs; else only
    /// what shows how cost grows.
    whole: bool,
}

const SIZES: [Size; 5] = [
    Size { name: "1k", keys: 1000, spare: 10, ..TINY },
    Size { name: "10k", keys: 10_000, spare: 2000, whole: true, ..TINY },
    Size { name: "100k", keys: 100_000, rounds: [7, 3], ..TINY },
    Size {
        name: "1m",
        keys: 1_000_000,
        spare: 20_000,
        lookups: 500_000,
        rounds: [5, 1],
        whole: true,
        ..TINY
    },
    Size { name: "10m", keys: 10_000_000, rounds: [3, 2], ..TINY },
];

const TINY: Size = Size {
    name: "",
    keys: 0,
    spare: 10,
    lookups: 300_000,
    dependent: 200_000,
    rounds: [15, 3],
    whole: false,
};

/// What shows that all of this works, and measures nothing.
const QUICK: [Size; 2] = [
    Size { name: "quick", keys: 1000, whole: true, ..QUICKEST },
    Size { name: "quick2", keys: 2000, ..QUICKEST },
];

const QUICKEST: Size = Size { spare: 100, lookups: 2000, dependent: 2000, rounds: [3, 1], ..TINY };

/// Bytes of memory that a key of 8 bytes and its value take in all stores together.
const EACH: u64 = 800;

/// Runs it.
pub fn run(quick: bool) -> Result<Vec<Record>, Failed> {
    // SAFETY: this process has one thread yet.
    unsafe {
        std::env::set_var("PMEM_IS_PMEM_FORCE", "1");
        if std::env::var_os("TWZ_PERSIST").is_none() {
            std::env::set_var("TWZ_PERSIST", "clwb");
        }
    }
    for name in peers::MISSING {
        println!("kvs: {name} left out: its library was not there when this was built");
    }
    // Before any store has started a thread.
    let fences = fences::run()?;
    let most = match std::env::var("TWZ_BENCH_KEYS") {
        Ok(text) => text.parse().map_err(|_| Failed::new("TWZ_BENCH_KEYS is not a number"))?,
        Err(_) => 1_000_000,
    };
    let mut records = Vec::new();
    for size in if quick { &QUICK[..] } else { &SIZES } {
        if size.keys > most || size.keys as u64 * EACH > machine::available() {
            println!("kvs: {} keys left out: set TWZ_BENCH_KEYS, and have the memory", size.keys);
            continue;
        }
        records.extend(series::<8, 8>(size)?);
        if size.whole {
            records.extend(series::<16, 100>(size)?);
        }
        // Sizes take longer and longer: who ends this early keeps what there is.
        report::write("kvs.json", &report::json(&records)?)?;
    }
    records.extend(fences);
    records.extend(readers::run(if quick { &QUICK[0] } else { &SIZES[3] })?);
    records.extend(instructions::run(quick)?);
    growth::print(&records);
    Ok(records)
}

/// Everything of one size and one kind of pairs.
fn series<const K: usize, const V: usize>(size: &Size) -> Result<Vec<Record>, Failed> {
    let name = format!("{}_{K}_{V}", size.name);
    let start = std::time::Instant::now();
    let pairs = Rc::new(Pairs::<K>::new(size.keys, size.spare));
    let mut racers = Vec::new();
    for peer in peers::all::<K, V>() {
        if size.whole || !peer.slow {
            racers.push(((peer.make)(&pairs)?, peer.slow));
        }
    }
    let mut records = Vec::new();
    for what in What::ALL {
        if size.whole || matches!(what, What::Insert | What::Get | What::GetDependent) {
            let case = format!("{name}/{}", what.name());
            for (slow, rounds) in [false, true].into_iter().zip(size.rounds) {
                let operations = operations(size, what);
                let warm = if what.is_lookup() { operations.min(size.keys as u64) / 4 } else { 0 };
                let course = Race { bench: "kvs", case: &case, rounds, operations, warm };
                records.extend(contest(&course, what, slow, &mut racers)?);
            }
        }
        if what == What::Insert {
            for (racer, _) in &mut racers {
                racer.fill()?;
                racer.check()?;
            }
        }
    }
    if size.whole {
        let data = (size.keys * (K + V)) as f64;
        records.extend(space(&format!("{name}/space"), data, &racers)?);
    }
    println!("kvs: {name} took {:.0} s", start.elapsed().as_secs_f64());
    Ok(records)
}

/// How often something is done in a round.
fn operations(size: &Size, what: What) -> u64 {
    match what {
        What::Insert => size.keys as u64,
        What::Get | What::Miss => size.lookups,
        What::GetDependent => size.dependent,
        What::InsertDurable | What::Delete => size.spare as u64,
        What::Reopen => 1,
    }
}

/// The subject against those peers that are slow, or against those that are not.
fn contest(
    course: &Race,
    what: What,
    slow: bool,
    racers: &mut [(Box<dyn Racer>, bool)],
) -> Result<Vec<Record>, Failed> {
    let mut taking_part: Vec<Box<dyn Contender + '_>> = Vec::new();
    for (place, (racer, is_slow)) in racers.iter_mut().enumerate() {
        let subject = place == 0;
        if (subject || *is_slow == slow) && racer.races(what) {
            racer.set(what);
            taking_part.push(Box::new(&mut **racer));
        } else if subject {
            return Ok(Vec::new());
        }
    }
    if taking_part.len() < 2 { Ok(Vec::new()) } else { race(course, &mut taking_part) }
}

/// Bytes that each store takes for a byte of keys and values.
fn space(case: &str, data: f64, racers: &[(Box<dyn Racer>, bool)]) -> Result<Vec<Record>, Failed> {
    let mut taken = Vec::new();
    for (racer, _) in racers.iter().filter(|(racer, _)| racer.races(What::Get)) {
        taken.push((racer.name(), racer.space()? as f64 / data));
    }
    let Some((&(subject, ours), peers)) = taken.split_first() else { return Ok(Vec::new()) };
    let against = |&(peer, theirs)| counted(case, [subject, peer], [ours, theirs], "B/B");
    Ok(peers.iter().map(against).collect())
}

/// A record of something that was counted.
fn counted(case: &str, pair: [&str; 2], counts: [f64; 2], unit: &str) -> Record {
    Record { bench: "kvs".into(), ..Record::from_counts(case, pair, counts, unit) }
}
