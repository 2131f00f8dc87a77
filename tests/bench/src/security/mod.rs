// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `security`: what it costs that rights are enforced.
//!
//! Three questions, each with a peer that says what it would cost otherwise: asking
//! what is allowed ([`lookup`]), against a context that holds next to nothing; loading
//! grants that were never seen ([`verify`]), against the arithmetic of signatures
//! alone; and touching what is allowed and mapped ([`access`]), against the same
//! without a context. What the kernel does at a fault is counted by the suites of
//! tests/vm, where there is one.

mod access;
mod holding;
mod instructions;
mod lookup;
mod verify;

pub use instructions::count;

use crate::{error::Failed, race::Race, report::Record};

/// How much of everything.
#[derive(Clone, Copy)]
struct Size {
    /// Capabilities of the context that holds many, and what it is called.
    many: (&'static str, usize),
    /// Grants that are verified in one load.
    grants: usize,
    rounds: usize,
    /// How often a list of targets is asked through in a round.
    passes: u64,
}

const FULL: Size = Size { many: ("100k", 100_000), grants: 1000, rounds: 21, passes: 8 };

/// What shows that all of this works, and measures nothing.
const QUICK: Size = Size { many: ("1k", 1000), grants: 20, rounds: 3, passes: 1 };

/// Capabilities of the context that holds few.
const FEW: (&str, usize) = ("10", 10);

/// Runs it.
pub fn run(quick: bool) -> Result<Vec<Record>, Failed> {
    let size = if quick { &QUICK } else { &FULL };
    println!("security: lookup ...");
    let mut records = lookup::run(size)?;
    println!("security: verify ...");
    records.extend(verify::run(size)?);
    println!("security: access ...");
    records.extend(access::run(size)?);
    println!("security: instructions ...");
    records.extend(instructions::run(size));
    Ok(records)
}

impl Size {
    /// A race of that many rounds; the race itself warms everybody up.
    fn race<'a>(&self, case: &'a str, operations: u64) -> Race<'a> {
        Race { bench: "security", case, rounds: self.rounds, operations, warm: 0 }
    }
}
