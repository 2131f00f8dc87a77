// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the cases, several at a time, and shares the states out among them.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    cases::{Case, Run},
    drive::{self, Config, Tally},
    enumerate::sizes,
    model::Model,
    random::Random,
};

/// What came of a case.
pub struct Outcome {
    /// Which.
    pub case: Case,
    /// Where its random numbers began.
    pub seed: u64,
    /// Stores, flushes and fences of its run.
    pub events: usize,
    /// All images of its run itself that there are; `u64::MAX` is more than that.
    pub reachable: u64,
    /// What was counted.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
}

/// How all cases are to be run.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Which images there are.
    pub model: Model,
    /// Where the random numbers begin.
    pub seed: u64,
    /// About how many states are wanted in all.
    pub states: u64,
    /// How many threads there are.
    pub jobs: usize,
}

/// The seed of a case.
pub fn seed_of(seed: u64, case: &Case) -> u64 {
    Random::named(seed, case.name).next()
}

/// Does `job` for each of `0..count`, on `jobs` threads, and returns what they
/// returned, in order.
pub fn in_parallel<R: Send>(jobs: usize, count: usize, job: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        break;
                    }
                    let result = job(i);
                    done.lock().expect("no job panics with the lock").push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no job panics with the lock");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Runs them; `each` hears of every one that is done.
pub fn run(cases: &[Case], plan: Plan, each: &(dyn Fn(&Outcome) + Sync)) -> Vec<Outcome> {
    let prepared: Vec<(Run, u64)> = in_parallel(plan.jobs, cases.len(), |i| {
        let run = cases[i].record();
        let sizes = sizes(plan.model, &run.words, &run.events);
        let reachable = sizes.into_iter().fold(0u64, u64::saturating_add);
        (run, reachable)
    });
    let shares = share_out(cases, &prepared, plan.states);
    in_parallel(plan.jobs, cases.len(), |i| {
        let (case, (run, reachable)) = (cases[i], &prepared[i]);
        let (seed, start) = (seed_of(plan.seed, &case), Instant::now());
        let config = Config {
            model: plan.model,
            seed,
            states: shares[i],
            nested: true,
            stop: false,
            edit: None,
            within: None,
        };
        let tally = drive::run(&mut case.subject(run, seed), &run.words, &run.events, &config);
        let outcome = Outcome {
            case,
            seed,
            events: run.events.len(),
            reachable: *reachable,
            tally,
            took: start.elapsed(),
        };
        each(&outcome);
        outcome
    })
}

/// How many states each case gets, so that they are `total` together: by
/// weight, but no more than it has.
fn share_out(cases: &[Case], prepared: &[(Run, u64)], total: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let most = |i: usize| prepared[i].1.saturating_mul(3) / 2;
    order.sort_by_key(|&i| most(i) / cases[i].weight);
    let (mut left, mut weights) = (total, cases.iter().map(|c| c.weight).sum::<u64>());
    let mut shares = vec![0; cases.len()];
    for i in order {
        let fair = (left as u128 * cases[i].weight as u128 / weights.max(1) as u128) as u64;
        shares[i] = fair.min(most(i)).max(1);
        left = left.saturating_sub(shares[i]);
        weights -= cases[i].weight;
    }
    shares
}
