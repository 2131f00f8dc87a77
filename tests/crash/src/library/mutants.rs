// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every flush and every fence of the library, deleted in turn.
//!
//! A mutant is the library without the flushes (or fences) of one line, in all
//! that was recorded: runs, recoveries, and recoveries of these. One line can
//! flush for several promises (the places that a log is about, for one): so a
//! flush is named by its line and by that of the fence that waits for it. What syncs an
//! object is one system call, flush and fence in one, and deleted as one. A mutant is caught if some state of some case breaks. One that is never caught is
//! a primitive that does nothing for any promise: it is to be removed, or the
//! promise that it serves is not tested.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Value, json};

use super::Recorded;
use crate::{
    drive::{Broken, Config},
    model::Model,
    trace::{Event, Site},
};

/// States of each recording: at first, and then.
const STATES: [u64; 3] = [60, 400, 3_000];

/// What is deleted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// The flushes of a line, before the fences of another.
    Flush(Option<Site>, Option<Site>),
    /// The fences of a line.
    Fence(Option<Site>),
    /// The calls of a line that sync an object.
    Sync(Site),
}

impl Target {
    fn name(&self) -> String {
        let line = |at: &Option<Site>| at.map_or("a program's".to_owned(), |at| at.to_string());
        match self {
            Self::Flush(at, fence) => {
                format!("no flush at {}, for the fence at {}", line(at), line(fence))
            }
            Self::Fence(at) => format!("no fence at {}", line(at)),
            Self::Sync(at) => format!("no sync at {at}"),
        }
    }
}

/// The one file whose lines sync an object (a log that grows) for nothing but its
/// length: that is neither flush nor fence, and the model takes lengths to be there.
const LENGTHS: &str = "/tx/log.rs";

/// A line, unless it is one of the program that uses the library: those are as one.
fn of_library(site: Site) -> Option<Site> {
    Some(site).filter(|site| !site.0.file().contains("tests/crash"))
}

/// Whether an event is of what syncs an object: flushes of whole pages (no instruction
/// does more than a line), and the fence after them by the same line of the library.
fn syncs(events: &[Event], at: usize) -> bool {
    let whole_page = |at: usize| match events.get(at) {
        Some(Event::Flush { first, end, site }) if end - first == 512 => Some(*site),
        _ => None,
    };
    match events[at] {
        Event::Fence { site } => at.checked_sub(1).and_then(whole_page) == Some(site),
        _ => whole_page(at).is_some(),
    }
}

/// What each event is, as something to delete.
fn targets(events: &[Event]) -> Vec<Option<Target>> {
    let (mut fence, mut found) = (None, Vec::new());
    for (at, event) in events.iter().enumerate().rev() {
        found.push(match *event {
            Event::Flush { site, .. } | Event::Fence { site }
                if site.0.file().ends_with(LENGTHS) =>
            {
                None
            }
            Event::Flush { site, .. } | Event::Fence { site }
                if syncs(events, at) && of_library(site).is_some() =>
            {
                fence = Some(site);
                Some(Target::Sync(site))
            }
            Event::Flush { site, .. } => Some(Target::Flush(of_library(site), fence)),
            Event::Fence { site } => {
                fence = of_library(site);
                Some(Target::Fence(fence))
            }
            _ => None,
        });
    }
    found.reverse();
    found
}

/// The events between which there are images that were not there before: from where
/// the first fence is missing that was, or has less to wait for, to the end of the
/// operation after the last.
fn changed(events: &[Event], of: &[Option<Target>], target: Target) -> Range<usize> {
    let is = |at: &usize| of[*at] == Some(target);
    let fence = |at: usize| {
        let after = events[at..].iter().position(|event| matches!(event, Event::Fence { .. }));
        at + after.unwrap_or(0)
    };
    let first = fence((0..events.len()).find(is).unwrap_or(0));
    let last = fence((0..events.len()).rfind(is).unwrap_or(0));
    let done = (last..events.len()).filter(|&at| events[at] == Event::Done);
    first..done.take(2).last().unwrap_or(events.len() - 1) + 1
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
            let of = targets(&one.events);
            let within = changed(&one.events, &of, target);
            let kept = |at: &usize| of[*at] != Some(target);
            let before = |end: usize| (0..end).filter(kept).count();
            let within = Some(&(before(within.start)..before(within.end)));
            let events: Vec<Event> = (0..of.len()).filter(kept).map(|at| one.events[at]).collect();
            let (model, edit) = (Model::Lines, None);
            let config = Config { model, seed, states, nested: false, stop: true, edit, within };
            let tally = one.drive(&events, &config);
            mutant.states += tally.all();
            if let Some((broken, _)) = tally.first {
                mutant.caught = Some((format!("{}, {}", one.name, one.place()), broken));
                return mutant;
            }
        }
    }
    mutant
}
