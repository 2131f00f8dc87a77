// SPDX-License-Identifier: MIT OR Apache-2.0
//! Revocation against access, for as many rounds as one likes: the race of
//! `suites/withdraw.rs`, which is short there.

use std::time::Duration;

use super::report;
use crate::{
    options::Options,
    suites::withdraw::{Raced, race},
};

/// Rounds between two looks at whether some store was too late.
const SOME: u64 = 500;

/// Runs it.
pub fn run(options: &Options) -> bool {
    let rounds = options.count.unwrap_or(100_000);
    let said = |raced: &Raced| {
        let Raced { rounds, stale, stores } = raced;
        format!("{rounds} times, {stores} stores, {stale} of them too late")
    };
    let (raced, good) = match &options.expect_broken {
        None => {
            let raced = race(rounds, 20, Duration::MAX);
            let good = raced.stale == 0 && raced.stores > rounds / 4;
            (raced, good)
        }
        // On a module that lacks the lock around looking and mapping, some have to be.
        Some(_) => {
            let mut all = Raced { rounds: 0, stale: 0, stores: 0 };
            while all.stale == 0 && all.rounds < rounds {
                let Raced { rounds, stale, stores } = race(SOME, 20, Duration::MAX);
                all.rounds += rounds;
                all.stale += stale;
                all.stores += stores;
            }
            let good = all.stale > 0;
            (all, good)
        }
    };
    report("revoke", if good { Ok(said(&raced)) } else { Err(said(&raced)) })
}
