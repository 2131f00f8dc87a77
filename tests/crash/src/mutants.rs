// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every flush and every fence of the engine, deleted in turn.
//!
//! A mutant is the engine without the flushes (or fences) of one line, in every
//! case that passes that line. It is caught if some state of some case breaks
//! an invariant. One that is never caught is a primitive that does nothing for
//! any promise: it is to be removed, or the promise that it serves is not
//! tested.
//!
//! What `repair` does through a `&mut` medium all has one line in `media.rs`:
//! of its fences each single one is a mutant, its flushes are one together.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    cases::{Case, Run},
    drive::{self, Broken, Config},
    model::Model,
    suite::{in_parallel, seed_of},
    trace::{Event, Site},
};

/// States a case may take to catch a mutant, at first and then.
const STATES: [u64; 2] = [3_000, 60_000];

/// What is deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// The flushes (or fences, if `true`) of a line.
    Line(bool, Site),
    /// One event of a case.
    Event(usize, usize, bool, Site),
}

impl Target {
    fn name(&self) -> String {
        let kind = |fence| if fence { "fence" } else { "flush" };
        match self {
            Self::Line(fence, site) => format!("no {} at {site}", kind(*fence)),
            Self::Event(_, n, fence, site) => format!("no {} in event {n} ({site})", kind(*fence)),
        }
    }

    fn is(&self, n: usize, event: &Event) -> bool {
        match self {
            Self::Line(fence, site) => {
                primitive(event).is_some_and(|(is_fence, at)| is_fence == *fence && at == *site)
            }
            Self::Event(_, at, ..) => n == *at,
        }
    }
}

fn primitive(event: &Event) -> Option<(bool, Site)> {
    match *event {
        Event::Flush { site, .. } => Some((false, site)),
        Event::Fence { site } => Some((true, site)),
        _ => None,
    }
}

/// A mutant, and what caught it.
pub struct Mutant {
    /// What it is.
    pub name: String,
    /// Cases that pass the line.
    pub cases: usize,
    /// States until it was caught, or in all.
    pub states: u64,
    /// The case and the invariant that caught it.
    pub caught: Option<(&'static str, Broken)>,
}

impl Mutant {
    /// For the report.
    pub fn json(&self) -> Value {
        json!({
            "mutant": self.name,
            "cases": self.cases,
            "states": self.states,
            "caught_in": self.caught.as_ref().map(|(case, _)| case),
            "caught_by": self.caught.as_ref().map(|(_, broken)| broken.invariant),
        })
    }
}

/// Tries all mutants.
pub fn run(cases: &[Case], model: Model, seed: u64, jobs: usize) -> Vec<Mutant> {
    let runs: Vec<Run> = in_parallel(jobs, cases.len(), |i| cases[i].record());
    let mut targets = BTreeMap::<Target, Vec<usize>>::new();
    for (i, run) in runs.iter().enumerate() {
        for (n, event) in run.events.iter().enumerate() {
            let Some((fence, site)) = primitive(event) else { continue };
            let target = match fence && site.0.file().ends_with("/media.rs") {
                true => Target::Event(i, n, fence, site),
                false => Target::Line(fence, site),
            };
            let within = targets.entry(target).or_default();
            if within.last() != Some(&i) {
                within.push(i);
            }
        }
    }
    let targets: Vec<(Target, Vec<usize>)> = targets.into_iter().collect();
    in_parallel(jobs, targets.len(), |t| {
        let (target, within) = &targets[t];
        let mut mutant =
            Mutant { name: target.name(), cases: within.len(), states: 0, caught: None };
        // Most are caught at once; those that are not are looked for longer.
        for states in STATES {
            for &i in within {
                let (caught, states) = hunt(target, &cases[i], i, &runs[i], states, model, seed);
                mutant.states += states;
                if let Some(broken) = caught {
                    mutant.caught = Some((cases[i].name, broken));
                    return mutant;
                }
            }
        }
        mutant
    })
}

/// Looks for a state of the case that breaks without the target.
fn hunt(
    target: &Target,
    case: &Case,
    i: usize,
    run: &Run,
    states: u64,
    model: Model,
    seed: u64,
) -> (Option<Broken>, u64) {
    let own = |n: usize, event: &Event| match target {
        Target::Event(of, ..) => *of == i && target.is(n, event),
        Target::Line(..) => target.is(n, event),
    };
    let keep = run.events.iter().enumerate().filter(|(n, event)| !own(*n, event));
    let events: Vec<Event> = keep.map(|(_, event)| *event).collect();
    let edit = |events: &mut Vec<Event>| {
        if let Target::Line(..) = target {
            events.retain(|event| !target.is(0, event));
        }
    };
    let config = Config {
        model,
        seed: seed_of(seed, case),
        states: (states * case.weight / 100).max(1000),
        nested: true,
        stop: true,
        edit: Some(&edit),
        within: None,
    };
    let mut subject = case.subject(run, config.seed);
    let tally = drive::run(&mut subject, &run.words, &events, &config);
    (tally.first.as_ref().map(|(broken, _)| broken.clone()), tally.all())
}
