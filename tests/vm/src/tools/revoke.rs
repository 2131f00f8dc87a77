// SPDX-License-Identifier: MIT OR Apache-2.0
//! Revocation against access, for as many rounds as one likes: the race of
//! `suites/withdraw.rs`, which is short there.

use std::time::Duration;

use super::report;
use crate::{
    options::Options,
    suites::withdraw::{Raced, race},
};

/// Runs it.
pub fn run(options: &Options) -> bool {
    let rounds = options.count.unwrap_or(100_000);
    let Raced { stale, stores, .. } = race(rounds, 20, Duration::MAX);
    let said = format!("{rounds} times, {stores} stores, {stale} of them too late");
    // On a module that lacks the lock around looking and mapping, some have to be.
    let expected = match &options.expect_broken {
        None => stale == 0 && stores > rounds / 4,
        Some(_) => stale > 0,
    };
    report("revoke", if expected { Ok(said) } else { Err(said) })
}
