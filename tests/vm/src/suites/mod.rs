// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites, by name.

pub mod attach;
pub mod attacks;
pub mod contexts;
pub mod copies;
pub mod debugfs;
pub mod decisions;
pub mod devices;
pub mod escapes;
pub mod files;
pub mod life;
pub mod memory;
pub mod names;
pub mod objects;
pub mod rights;
pub mod sandbox;
pub mod session;
pub mod unbind;
pub mod views;
pub mod wait;
pub mod withdraw;

use crate::ktap::{Suite, Test};

/// A suite that leaves the pool as it found it.
const fn tidy(name: &'static str, tests: &'static [Test]) -> Suite {
    Suite { name, tests, tidy: true }
}

const SUITES: &[Suite] = &[
    tidy("session", session::TESTS),
    tidy("objects", objects::TESTS),
    tidy("names", names::TESTS),
    tidy("views", views::TESTS),
    tidy("copies", copies::TESTS),
    tidy("life", life::TESTS),
    tidy("rights", rights::TESTS),
    tidy("attacks", attacks::TESTS),
    tidy("attach", attach::TESTS),
    tidy("contexts", contexts::TESTS),
    tidy("withdraw", withdraw::TESTS),
    tidy("sandbox", sandbox::TESTS),
    tidy("escapes", escapes::TESTS),
    tidy("memory", memory::TESTS),
    tidy("wait", wait::TESTS),
    tidy("files", files::TESTS),
    tidy("debugfs", debugfs::TESTS),
    tidy("decisions", decisions::TESTS),
];

/// Suites that want the machine for themselves, and are not among all.
const ALONE: &[Suite] = &[
    Suite { name: "unbind", tests: unbind::TESTS, tidy: false },
    Suite { name: "devices", tests: devices::TESTS, tidy: false },
];

/// The suites that a word means: one, or all.
pub fn named(word: &str) -> Vec<&'static Suite> {
    let one = |suite: &&Suite| suite.name == word;
    match word {
        "all" => SUITES.iter().collect(),
        _ => SUITES.iter().chain(ALONE).filter(one).collect(),
    }
}

/// Their names.
pub fn names() -> Vec<&'static str> {
    SUITES.iter().chain(ALONE).map(|suite| suite.name).chain(["all"]).collect()
}
