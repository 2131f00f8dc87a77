// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every flush and every fence of the library, deleted in turn.
//!
//! A mutant is the library without the flushes (or fences) of one line, in all
//! that was recorded: runs, recoveries, and recoveries of these. One line can
//! flush for several promises (the places that a log is about, for one): so a
//! flush is named by its line and by that of the fence that waits for it. A
//! mutant is caught if some state of some case breaks; one that is never caught
//! is printed, and is no failure: it costs time, not data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Recorded;
use crate::{
    drive::{Broken, Config},
    model::Model,
    trace::{Event, Site},
};

/// States of each recording: at first, and then.
const STATES: [u64; 2] = [60, 400];

/// What is deleted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// The flushes of a line, before the fences of another.
    Flush(Site, Option<Site>),
    /// The fences of a line.
    Fence(Site),
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Flush(at, None) => format!("no flush at {at}, for no fence"),
            Self::Flush(at, Some(fence)) => format!("no flush at {at}, for the fence at {fence}"),
            Self::Fence(at) => format!("no fence at {at}"),
        }
    }
}

/// What each event is, as something to delete.
fn targets(events: &[Event]) -> Vec<Option<Target>> {
    let (mut fence, mut found) = (None, Vec::new());
    for event in events.iter().rev() {
        found.push(match *event {
            Event::Flush { site, .. } => Some(Target::Flush(site, fence)),
            Event::Fence { site } => {
                fence = Some(site);
                Some(Target::Fence(site))
            }
            _ => None,
        });
    }
    found.reverse();
    found
}

/// A mutant, and what caught it.
pub struct Mutant {
    /// What it is.
    pub name: String,
    /// Recordings that pass the line.
    pub within: usize,
    /// States until it was caught, or in all.
    pub states: u64,
    /// The case and the invariant that caught it.
    pub caught: Option<(String, Broken)>,
}

impl Mutant {
    /// For the report.
    pub fn json(&self) -> Value {
        json!({
            "mutant": self.name,
            "recordings": self.within,
            "states": self.states,
            "caught_in": self.caught.as_ref().map(|(case, _)| case),
            "caught_by": self.caught.as_ref().map(|(_, broken)| broken.invariant),
        })
    }
}

/// Tries all mutants of what was recorded.
pub fn run(recorded: &mut [Recorded], seed: u64) -> Vec<Mutant> {
    let mut all = BTreeMap::<Target, Vec<usize>>::new();
    for (i, one) in recorded.iter().enumerate() {
        for target in targets(&one.events).into_iter().flatten() {
            let within = all.entry(target).or_default();
            if within.last() != Some(&i) {
                within.push(i);
            }
        }
    }
    let all = all.into_iter();
    all.map(|(target, within)| hunt(target, &within, recorded, seed)).collect()
}

fn hunt(target: Target, within: &[usize], recorded: &mut [Recorded], seed: u64) -> Mutant {
    let mut mutant = Mutant { name: target.name(), within: within.len(), states: 0, caught: None };
    // Most are caught at once; those that are not are looked for longer.
    for states in STATES {
        for &i in within {
            let one = &mut recorded[i];
            let marked = targets(&one.events).into_iter().zip(&one.events);
            let kept = marked.filter(|(of, _)| *of != Some(target)).map(|(_, event)| *event);
            let events: Vec<Event> = kept.collect();
            let model = Model::Lines;
            let config = Config { model, seed, states, nested: false, stop: true, edit: None };
            let tally = one.drive(&events, &config);
            mutant.states += tally.all();
            if let Some((broken, _)) = tally.first {
                let depth = ["", ", its recovery", ", the recovery of its recovery"];
                mutant.caught = Some((format!("{}{}", one.name, depth[one.depth.min(2)]), broken));
                return mutant;
            }
        }
    }
    mutant
}
