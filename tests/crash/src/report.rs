// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is printed, and what is written to `target/crash.json`.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use crate::suite::Outcome;

/// A number with its thousands apart.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i != 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the states of several cases add up to.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    /// Cases.
    pub cases: u64,
    /// States of the operations.
    pub states: u64,
    /// States of cut recoveries.
    pub in_recovery: u64,
    /// States of recoveries that were cut twice.
    pub twice: u64,
    /// States of which everything was looked at.
    pub looked: u64,
    /// States that broke an invariant.
    pub violations: u64,
}

impl Sum {
    /// All states.
    pub fn all(&self) -> u64 {
        self.states + self.in_recovery + self.twice
    }

    /// One case more.
    pub fn add(&mut self, outcome: &Outcome) {
        let tally = &outcome.tally;
        self.cases += 1;
        self.states += tally.states;
        self.in_recovery += tally.in_recovery;
        self.twice += tally.twice;
        self.looked += tally.looked;
        self.violations += tally.violations;
    }
}

/// The sums by operation, and that of all.
pub fn sums(outcomes: &[Outcome]) -> (Vec<(&'static str, Sum)>, Sum) {
    let (mut order, mut by) = (Vec::new(), BTreeMap::<&str, Sum>::new());
    let mut total = Sum::default();
    for outcome in outcomes {
        let operation = outcome.case.operation;
        if !by.contains_key(operation) {
            order.push(operation);
        }
        by.entry(operation).or_default().add(outcome);
        total.add(outcome);
    }
    (order.into_iter().map(|operation| (operation, by[operation])).collect(), total)
}

/// Prints the table.
pub fn table(outcomes: &[Outcome]) {
    let line = |name: &str, sum: &Sum| {
        println!(
            "{name:16} {:>5} {:>13} {:>13} {:>12} {:>13} {:>10}",
            sum.cases,
            grouped(sum.states),
            grouped(sum.in_recovery),
            grouped(sum.twice),
            grouped(sum.all()),
            sum.violations
        );
    };
    println!(
        "\n{:16} {:>5} {:>13} {:>13} {:>12} {:>13} {:>10}",
        "operation", "cases", "cut once", "in recovery", "twice", "states", "violations"
    );
    let (by, total) = sums(outcomes);
    for (operation, sum) in &by {
        line(operation, sum);
    }
    line("all", &total);
}

/// A case, in full.
pub fn case(outcome: &Outcome) -> Value {
    let tally = &outcome.tally;
    let reachable = match outcome.reachable {
        u64::MAX => json!(null),
        n => json!(n),
    };
    json!({
        "case": outcome.case.name,
        "operation": outcome.case.operation,
        "seed": outcome.seed,
        "events": outcome.events,
        "positions": tally.walked.positions,
        "positions_whole": tally.walked.whole,
        "reachable_images": reachable,
        "states": tally.states,
        "states_in_recovery": tally.in_recovery,
        "states_in_recovery_twice": tally.twice,
        "images_again": tally.again,
        "looked_at_everything": tally.looked,
        "violations": tally.violations,
        "first_violation": tally.first.as_ref().map(|(broken, at)| json!({
            "invariant": broken.invariant,
            "found": broken.text,
            "where": at,
        })),
        "seconds": outcome.took.as_secs_f64(),
    })
}

/// Writes a report.
pub fn write(path: &Path, report: &Value) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, format!("{report:#}\n"))
}
