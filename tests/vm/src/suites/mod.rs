// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites, by name.

pub mod session;

use crate::ktap::Suite;

const SUITES: &[Suite] = &[Suite { name: "session", tests: session::TESTS, tidy: true }];

/// The suites that a word means: one, or all.
pub fn named(word: &str) -> Vec<&'static Suite> {
    SUITES.iter().filter(|suite| word == "all" || suite.name == word).collect()
}

/// Their names.
pub fn names() -> Vec<&'static str> {
    SUITES.iter().map(|suite| suite.name).chain(["all"]).collect()
}
