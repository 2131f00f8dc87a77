// SPDX-License-Identifier: MIT OR Apache-2.0
//! What takes more than one boot, or a module loaded in another way, or longer
//! than a test: each is a word of the command line, and reports KTAP as well.

pub mod churn;
pub mod fuzz;
pub mod granted;
pub mod guards;
pub mod model;
pub mod persist;
pub mod revoke;
pub mod stress;
pub mod trace;
pub mod wreck;

use crate::options::Options;

/// A tool: its word, what it is for, and what it does.
pub struct Tool {
    /// Its word.
    pub name: &'static str,
    /// What it is for.
    pub what: &'static str,
    /// Runs it; whether all is well.
    pub run: fn(&Options) -> bool,
}

/// All of them.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "persist-write",
        what: "writes a pool full, and says PULL THE PLUG",
        run: persist::write,
    },
    Tool {
        name: "persist-verify",
        what: "after the next boot: finds every object and name",
        run: persist::verify,
    },
    Tool {
        name: "churn",
        what: "changes the pool at random (--seed, --count) and tells each step",
        run: churn::run,
    },
    Tool {
        name: "churn-verify",
        what: "after the next boot: --count steps of --seed, and at most a few more, are there",
        run: churn::verify,
    },
    Tool { name: "fuzz", what: "--count random calls of --seed", run: fuzz::run },
    Tool {
        name: "fuzz-pool",
        what: "the same, while the pool is overwritten: it is lost",
        run: wreck::run,
    },
    Tool { name: "revoke", what: "revokes --count times what others store to", run: revoke::run },
    Tool { name: "stress", what: "everything at once for --seconds", run: stress::run },
    Tool {
        name: "trace",
        what: "every operation, for whoever watches (without what --expect-broken names)",
        run: trace::run,
    },
    Tool {
        name: "bench",
        what: "the race of faults, with --count objects in its second half",
        run: crate::bench::run,
    },
    Tool {
        name: "guards",
        what: "takes each guard away (a module built for it): every attack succeeds",
        run: guards::run,
    },
];

/// Reports one verdict as KTAP.
pub fn report(name: &str, verdict: Result<String, String>) -> bool {
    println!("KTAP version 1\n1..1");
    match verdict {
        Ok(what) => {
            println!("# {what}\nok 1 {name}");
            true
        }
        Err(why) => {
            println!("# {why}\nnot ok 1 {name}");
            false
        }
    }
}
