// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a machine did to its memory, as its emulator logged it: the stores of the
//! kernel module, cut everywhere (`--foreign LOG`, which `scripts/vm-trace.sh`
//! makes). [`log`] reads it; then it is run through the model as the
//! store's own cases are, with the same recovery and the same judge.
//!
//! Each case is run once more without all of its flushes, and without all of its
//! fences, and has to be caught then: one that is not would tell nothing.
//!
//! A case whose name says "without" something is one of a module that lacks
//! it, and to be caught: at least one of those that lack the same thing.
//!
//! Nothing is left out: an instruction that was not understood, a flush of which
//! nobody knows where it went, memory that is not what the log says, a case
//! without a store, a flush or a fence are failures.

mod log;

use std::{collections::BTreeMap, path::Path};

use serde_json::json;

use crate::{
    Arguments, Score,
    drive::{self, Broken, Config, Tally},
    enumerate::sizes,
    random::Random,
    report::grouped,
    store::{self, StoreSubject},
    suite::in_parallel,
    trace::Event,
};
use log::Recorded;
use twz_trace::mark::Promise;

/// States of all cases together, if nothing is said.
const STATES: u64 = 1_000_000;

/// What separates a case's name from what its module lacks.
const WITHOUT: &str = " without ";

/// What came of a case.
struct Outcome {
    tally: Tally,
    /// Whether it is caught if all its flushes are deleted, and if all its fences are.
    deleted: [u64; 2],
    reachable: u64,
}

/// Reads the log and judges every case in it.
pub fn run(path: &Path, arguments: &Arguments, score: &mut Score) {
    let (mut cases, words) = match log::read(path, arguments.model) {
        Ok(read) => read,
        Err(why) => {
            println!("{}: {why}", path.display());
            return score.count("foreign::the_log_is_understood", false);
        }
    };
    score.count("foreign::the_log_is_understood", !cases.is_empty());
    if let Some(medium) = &arguments.medium {
        let differs = log::differs(&words, medium);
        println!("memory, compared with what the log says of it: {differs:x?}");
        score.count("foreign::the_log_has_every_store", differs == Ok(None));
    }
    cases.retain(|case| arguments.picks(&case.name));
    let states = arguments.states.unwrap_or(STATES) / cases.len().max(1) as u64;
    let outcomes =
        in_parallel(arguments.jobs(), cases.len(), |i| judge(&cases[i], states, arguments));
    tell(&cases, &outcomes, score);
}

fn promise(case: &Recorded) -> store::Promise {
    match case.promise {
        Promise::Whole => store::Promise::Whole,
        Promise::Words => store::Promise::Words,
        Promise::Shown => store::Promise::Shown,
    }
}

fn judge(case: &Recorded, states: u64, arguments: &Arguments) -> Outcome {
    let seed = Random::named(arguments.seed, &case.name).next();
    let lacks = case.name.contains(WITHOUT);
    let config = Config {
        model: arguments.model,
        seed,
        states,
        nested: true,
        stop: lacks,
        edit: None,
        within: None,
    };
    let reachable = sizes(config.model, &case.words, &case.events);
    let tally = attempt(case, &case.events, &config);
    let mut outcome = Outcome {
        tally,
        deleted: [0; 2],
        reachable: reachable.into_iter().fold(0, u64::saturating_add),
    };
    if !lacks && outcome.tally.violations == 0 {
        let config = Config { states: states / 20, stop: true, nested: false, ..config };
        for fences in [false, true] {
            let deleted = |event: &Event| match event {
                Event::Flush { .. } => !fences,
                Event::Fence { .. } => fences,
                _ => false,
            };
            let rest: Vec<Event> =
                case.events.iter().copied().filter(|event| !deleted(event)).collect();
            let caught = attempt(case, &rest, &config).violations > 0;
            outcome.deleted[usize::from(fences)] = u64::from(caught);
        }
    }
    outcome
}

/// One run; what cannot even be begun is a violation.
fn attempt(case: &Recorded, events: &[Event], config: &Config<'_>) -> Tally {
    let run = || {
        let mut subject = StoreSubject::new(promise(case), store::open, &case.images, config.seed);
        drive::run(&mut subject, &case.words, events, config)
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let broken = Broken::new("opens", "what the machine left uncut cannot be opened");
        Tally { violations: 1, first: Some((broken, String::new())), ..Tally::default() }
    })
}

fn tell(cases: &[Recorded], outcomes: &[Outcome], score: &mut Score) {
    println!(
        "\n{:48} {:>7} {:>7} {:>6} {:>12} {:>9} {:>11} {:>9} {:>7}",
        "case",
        "stores",
        "flushes",
        "fences",
        "images",
        "states",
        "in recovery",
        "positions",
        "whole"
    );
    let mut lacking: BTreeMap<&str, Vec<&Recorded>> = BTreeMap::new();
    let (mut sums, mut all) = (BTreeMap::<&str, u64>::new(), 0);
    for (case, Outcome { tally, deleted, reachable }) in cases.iter().zip(outcomes) {
        let [stores, flushes, fences] = case.counts;
        let most = if *reachable == u64::MAX { "more".to_owned() } else { grouped(*reachable) };
        println!(
            "{:48} {stores:>7} {flushes:>7} {fences:>6} {most:>12} {:>9} {:>11} {:>9} {:>7}",
            case.name,
            grouped(tally.states),
            grouped(tally.in_recovery + tally.twice),
            grouped(tally.walked.positions),
            grouped(tally.walked.whole),
        );
        if let Some((broken, at)) = &tally.first {
            println!(
                "    {} violations: {}: {}\n    {at}, which was at {:#x}",
                tally.violations,
                broken.invariant,
                broken.text,
                tally.at.and_then(|event| case.by.get(event)).unwrap_or(&0)
            );
        }
        if let Some((_, what)) = case.name.split_once(WITHOUT) {
            let caught = lacking.entry(what).or_default();
            if tally.violations > 0 {
                caught.push(case);
            }
            continue;
        }
        let operation = case.name.split(':').next().unwrap_or_default();
        *sums.entry(operation).or_default() += tally.all();
        all += tally.all();
        if tally.violations == 0 && *deleted != [1; 2] {
            println!("    nobody misses its flushes or its fences: {deleted:?} were caught");
        }
        let seen = stores > 0 && flushes > 0 && fences > 0 && tally.states > 0;
        let name = case.name.replace([' ', ','], "_");
        score.count(
            &format!("foreign::{name}"),
            tally.violations == 0 && seen && *deleted == [1; 2],
        );
    }
    println!();
    for (operation, states) in &sums {
        println!("{operation:16} {:>11} states", grouped(*states));
    }
    println!("module: {} crash states", grouped(all));
    for (what, caught) in &lacking {
        println!("without {what}: caught in {} cases", caught.len());
        score.count(&format!("foreign::without_{what}_is_caught"), !caught.is_empty());
    }
    score.report.insert("module".to_owned(), json!({ "states": all, "operations": sums }));
}
