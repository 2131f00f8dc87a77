// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deliberately broken variants of published classes: each must be caught, and
//! what is not broken must not be.
//!
//! Those of the store are the real engine with its trace changed (what it does
//! not do, or does too early), the real recovery with its trace changed, or the
//! real recovery that is shown something other than what is there (a checksum
//! that fits whatever it covers is a recovery that does not look at it). Those
//! of the small protocols are in `protocols`.

use serde_json::{Value, json};
use twz_core::geometry::Geometry;

use crate::{
    cases::{self, Case},
    drive::{self, Broken, Config, Tally},
    image::{Image, Through},
    lies::{self, Lie},
    model::Model,
    protocols::{self, Protocol},
    random::Random,
    suite::{in_parallel, seed_of},
    trace::Event,
};

/// Changes a trace; the geometry says what is where.
type Edit = fn(&Geometry, Vec<Event>) -> Vec<Event>;

/// How the store is broken.
#[derive(Clone, Copy)]
enum How {
    /// The trace of the operation is another.
    Run(Edit),
    /// The trace of recovery is another.
    Recovery(Edit),
    /// Recovery is shown something else.
    Lie(Lie),
}

/// A broken store.
struct Broke {
    class: &'static str,
    what: &'static str,
    how: How,
    /// Cases to try.
    cases: &'static [&'static str],
}

const ROW: &[&str] = &["create_four_in_a_row", "bind_rename_unbind_rmdir", "delete_and_reclaim"];
const PAGES: &[&str] = &["touch_a_hole_below", "touch_many_below", "write_to_holes", "copy"];
const REPLAY: &[&str] = &["replay_a_create", "replay_a_delete", "create_four_in_a_row"];

const STORE: &[Broke] = &[
    Broke {
        class: "in-place update without a log",
        what: "nothing is written to the journal",
        how: How::Run(|geo, events| without(events, |e| journal(geo, e))),
        cases: ROW,
    },
    Broke {
        class: "missing flush",
        what: "the record in the journal is not flushed",
        how: How::Run(|geo, events| without(events, |e| is_flush(e) && journal(geo, e))),
        cases: ROW,
    },
    Broke {
        class: "missing flush",
        what: "of the record only the header is flushed",
        how: How::Run(header_only),
        cases: ROW,
    },
    Broke {
        class: "log reused before applied is durable",
        what: "what is done in place is not flushed",
        how: How::Run(|geo, events| without(events, |e| is_flush(e) && tables(geo, e))),
        cases: ROW,
    },
    Broke {
        class: "missing fence",
        what: "no fence at all",
        how: How::Run(|_, events| without(events, |e| matches!(e, Event::Fence { .. }))),
        cases: ROW,
    },
    Broke {
        class: "wrong order",
        what: "writes in place come before the record",
        how: How::Run(|geo, events| first(events, |e| tables(geo, e))),
        cases: ROW,
    },
    Broke {
        class: "count before entries",
        what: "the counters are written before the record",
        how: How::Run(|geo, events| first(events, |e| region(e, geo.state_page, 1))),
        cases: ROW,
    },
    Broke {
        class: "free before commit",
        what: "the bitmap is written before the record",
        how: How::Run(|geo, events| first(events, |e| region(e, geo.bitmap_page, 1))),
        cases: &["delete_and_reclaim", "shrink_to_nothing", "touch_a_hole_below"],
    },
    Broke {
        class: "pointer published before object",
        what: "a record in the table is written before the journal's",
        how: How::Run(|geo, events| first(events, |e| region(e, geo.records_page, 1))),
        cases: ROW,
    },
    Broke {
        class: "pointer published before object",
        what: "new pages are not flushed before they are linked",
        how: How::Run(|geo, events| without(events, |e| is_flush(e) && data(geo, e))),
        cases: PAGES,
    },
    Broke {
        class: "pointer published before object",
        what: "new pages are written after they were linked",
        how: How::Run(|geo, events| last(events, |e| data(geo, e))),
        cases: PAGES,
    },
    Broke {
        class: "torn write",
        what: "of every flush only the first 8 bytes go",
        how: How::Run(|_, events| halves(events)),
        cases: ROW,
    },
    Broke {
        class: "wrong order",
        what: "the fence that commits comes after what is done in place",
        how: How::Run(late_fences),
        cases: ROW,
    },
    Broke {
        class: "recovery not idempotent",
        what: "recovery empties the journal before it has replayed it",
        how: How::Recovery(emptied_first),
        cases: REPLAY,
    },
    Broke {
        class: "checksum not verified",
        what: "recovery believes every record in the journal",
        how: How::Lie(lies::every_sum_fits),
        cases: ROW,
    },
    Broke {
        class: "replay of a stale log",
        what: "recovery replays the newer record first, then the older",
        how: How::Lie(lies::the_older_is_newer),
        cases: &["create_four_in_a_row", "bind_rename_unbind_rmdir", "delete_from_the_middle"],
    },
    Broke {
        class: "recovery ignores the log",
        what: "recovery sees no record in the journal",
        how: How::Lie(lies::no_record),
        cases: ROW,
    },
    Broke {
        class: "wrong sequence",
        what: "recovery sees only the older of two records",
        how: How::Lie(lies::only_the_older),
        cases: ROW,
    },
];

/// A variant, and what caught it.
pub struct Variant {
    /// What is broken: the store, or a protocol.
    pub of: &'static str,
    /// The class.
    pub class: &'static str,
    /// What is broken about it.
    pub what: &'static str,
    /// States until it was caught, or in all.
    pub states: u64,
    /// The invariant that caught it.
    pub caught: Option<Broken>,
}

impl Variant {
    /// For the report.
    pub fn json(&self) -> Value {
        json!({
            "of": self.of,
            "class": self.class,
            "what": self.what,
            "states": self.states,
            "caught_by": self.caught.as_ref().map(|broken| broken.invariant),
            "found": self.caught.as_ref().map(|broken| &broken.text),
        })
    }
}

/// Tries all variants.
pub fn run(model: Model, seed: u64, jobs: usize) -> Vec<Variant> {
    let broken = |p: &'static Protocol| (1..=p.bugs.len()).map(move |bug| (p, bug));
    let small: Vec<_> = protocols::ALL.into_iter().flat_map(broken).collect();
    in_parallel(jobs, STORE.len() + small.len(), |i| match STORE.get(i) {
        Some(broke) => of_the_store(broke, model, seed),
        None => {
            let (protocol, bug) = small[i - STORE.len()];
            let (class, what) = protocol.bugs[bug - 1];
            let tally = protocol_run(protocol, bug, model, seed);
            let (states, caught) = (tally.all(), tally.first.map(|(broken, _)| broken));
            Variant { of: protocol.name, class, what, states, caught }
        }
    })
}

/// Runs a small protocol with a mistake, or with none.
pub fn protocol_run(protocol: &'static Protocol, bug: usize, model: Model, seed: u64) -> Tally {
    let (words, recorder) = protocol.record(bug);
    let config = Config {
        model,
        seed: Random::named(seed, protocol.name).next(),
        states: 200_000,
        nested: true,
        stop: bug != 0,
        edit: None,
        within: None,
    };
    drive::run(&mut protocol.subject(bug), &words, &recorder.events, &config)
}

fn of_the_store(broke: &Broke, model: Model, seed: u64) -> Variant {
    let Broke { class, what, .. } = *broke;
    let mut variant = Variant { of: "store", class, what, states: 0, caught: None };
    let all = cases::all();
    for states in [4_000, 40_000] {
        for case in broke.cases.iter().filter_map(|name| all.iter().find(|c| c.name == *name)) {
            let (count, caught) = try_store(broke.how, case, states, model, seed);
            variant.states += count;
            if caught.is_some() {
                variant.caught = caught;
                return variant;
            }
        }
    }
    variant
}

fn try_store(how: How, case: &Case, states: u64, model: Model, seed: u64) -> (u64, Option<Broken>) {
    let run = case.record();
    let mut image = Image::new(run.words.clone(), 1);
    let geo = Geometry::load(&Through(&mut image)).expect("a case begins with a store");
    let mut subject = case.subject(&run, seed_of(seed, case));
    let (mut events, mut edit_recovery) = (run.events, None);
    match how {
        How::Run(edit) => events = edit(&geo, events),
        How::Recovery(edit) => edit_recovery = Some(edit),
        How::Lie(lie) => subject.lie = Some(lie),
    }
    let edit = |events: &mut Vec<Event>| {
        if let Some(edit) = edit_recovery {
            *events = edit(&geo, std::mem::take(events));
        }
    };
    let config = Config {
        model,
        seed: seed_of(seed, case),
        states,
        nested: true,
        stop: true,
        edit: Some(&edit),
        within: None,
    };
    let tally = drive::run(&mut subject, &run.words, &events, &config);
    (tally.all(), tally.first.map(|(broken, _)| broken))
}

/// The page of what an event is about.
fn page(event: &Event) -> Option<u64> {
    match *event {
        Event::Store { word, .. } => Some(word as u64 / 512),
        Event::Flush { first, .. } => Some(first as u64 / 512),
        _ => None,
    }
}

fn region(event: &Event, first: u64, pages: u64) -> bool {
    page(event).is_some_and(|page| (first..first + pages).contains(&page))
}

fn journal(geo: &Geometry, event: &Event) -> bool {
    region(event, geo.journal_page, geo.journal_pages)
}

/// Whether it is about a table: not the journal, not data.
fn tables(geo: &Geometry, event: &Event) -> bool {
    region(event, geo.state_page, geo.data_page - geo.state_page)
}

fn data(geo: &Geometry, event: &Event) -> bool {
    region(event, geo.data_page, geo.pages - geo.data_page)
}

fn is_flush(event: &Event) -> bool {
    matches!(event, Event::Flush { .. })
}

fn without(mut events: Vec<Event>, is: impl Fn(&Event) -> bool) -> Vec<Event> {
    events.retain(|event| !is(event));
    events
}

/// The parts of a trace that are one operation each, with its `Done`.
fn operations(events: &[Event]) -> impl Iterator<Item = &[Event]> {
    events.split_inclusive(|event| *event == Event::Done)
}

/// In each operation, what `is` says comes before the rest.
fn first(events: Vec<Event>, is: impl Fn(&Event) -> bool) -> Vec<Event> {
    let order = |op: &[Event]| {
        let (mut early, late): (Vec<Event>, Vec<Event>) = op.iter().partition(|e| is(e));
        early.extend(late);
        early
    };
    operations(&events).flat_map(order).collect()
}

/// In each operation, what `is` says comes after the rest.
fn last(events: Vec<Event>, is: impl Fn(&Event) -> bool) -> Vec<Event> {
    first(events, |event| !is(event) && *event != Event::Done)
        .into_iter()
        .filter(|event| *event != Event::Done)
        .chain([Event::Done])
        .collect()
}

/// Flushes of the journal cover the 32 bytes of the header only.
fn header_only(geo: &Geometry, mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        let within = journal(geo, event);
        if let Event::Flush { first, end, .. } = event
            && within
        {
            *end = (*first + 4).min(*end);
        }
    }
    events
}

/// Flushes cover the first 8 bytes only.
fn halves(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Event::Flush { first, end, .. } = event {
            *end = *first + 1;
        }
    }
    events
}

/// Each fence waits until the journal is written again, or the operation ends.
fn late_fences(geo: &Geometry, events: Vec<Event>) -> Vec<Event> {
    let (mut out, mut waiting) = (Vec::new(), None);
    for event in events {
        if let Event::Fence { .. } = event {
            waiting = Some(event);
            continue;
        }
        let store = matches!(event, Event::Store { .. });
        if event == Event::Done || store && journal(geo, &event) {
            out.extend(waiting.take());
        }
        out.push(event);
    }
    out
}

/// Both records of the journal are gone, durably, before anything else.
fn emptied_first(geo: &Geometry, events: Vec<Event>) -> Vec<Event> {
    let Some(site) = events.iter().find_map(|event| match event {
        Event::Fence { site } => Some(*site),
        _ => None,
    }) else {
        return events;
    };
    let mut out = Vec::new();
    for slot in 0..2 {
        let word = ((geo.journal_page + slot * geo.journal_pages / 2) * 512) as u32;
        out.push(Event::Store { word, value: 0, site });
        out.push(Event::Flush { first: word, end: word + 1, site });
    }
    out.push(Event::Fence { site });
    out.extend(events);
    out
}
