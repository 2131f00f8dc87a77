// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recovery itself: what is cut is the opening that replays a journal, after a
//! power cut that left the newest transaction sealed and none of it in place.

use twz_abi::journal::JOURNAL_MAGIC;
use twz_core::{Mode, Store};

use super::{Case, Op, Run, SMALL, Source, create, furnish, furnished, id, identity};
use crate::{
    image::Image,
    model::Pending,
    store::Promise::Whole,
    trace::{Event, Recorder},
};

/// The image a cut leaves right after the last fence of `op`, the one that
/// commits, if of what that made durable all survives that `keep` says.
fn cut_at_the_seal(setup: Op, op: Op, keep: impl Fn(&Image, u32) -> bool) -> Vec<u64> {
    let mut store = furnished(SMALL, setup);
    let words = store.media().words().to_vec();
    op(&mut store).expect("the operation of a case succeeds");
    let events = store.into_media().events;
    let last = events.iter().rposition(|e| matches!(e, Event::Fence { .. }));
    let (mut image, mut old) = (Image::new(words, 1), Vec::new());
    let mut pending = Pending::<1>::new(image.words().len());
    for event in &events[..=last.expect("an operation has a fence")] {
        match *event {
            Event::Store { word, value, .. } => drop(pending.store(&image, word, value)),
            Event::Flush { first, end, .. } => pending.flush(first, end),
            Event::Fence { .. } => {
                old.clear();
                pending.fence(&mut image, &mut old);
            }
            Event::Done => {}
        }
    }
    for (word, value) in old {
        if !keep(&image, word) {
            image.set(word, value);
        }
    }
    image.words().to_vec()
}

fn sealed(setup: Op, op: Op) -> Vec<u64> {
    cut_at_the_seal(setup, op, |_, _| true)
}

/// Where a writer is killed: just before its record is flushed; just before the
/// fence that commits; and between two of its writes in place.
#[derive(Clone, Copy)]
enum Kill {
    Flush,
    Fence,
    InPlace,
}

/// A writer is killed, and what it wrote is there for the next one to see, but
/// not durable; that one opens the store, and then the power fails.
fn killed(setup: Op, op: Op, at: Kill) -> Run {
    let mut store = furnished(SMALL, setup);
    let words = store.media().words().to_vec();
    op(&mut store).expect("the operation of a case succeeds");
    let mut events = store.into_media().events;
    let last = events.iter().rposition(|e| matches!(e, Event::Fence { .. }));
    let last = last.expect("an operation has a fence");
    events.truncate(match at {
        Kill::Flush => last - 1,
        Kill::Fence => last,
        Kill::InPlace => last + 4,
    });
    let mut visible = words.clone();
    for event in &events {
        if let Event::Store { word, value, .. } = *event {
            visible[word as usize] = value;
        }
    }
    let store = Store::open(Recorder::new(visible), Mode::ReadWrite);
    let media = store.expect("a store opens after a kill").into_media();
    let images = vec![words.clone(), media.words().to_vec()];
    events.extend(&media.events);
    events.push(Event::Done);
    Run { words, events, images }
}

/// A store in which a `bind` was cut: its record in the journal is there but
/// for one word, which the next record in that slot has too.
fn torn_bind() -> Vec<u64> {
    let names: Op = |s| {
        create(s, 1, 100)?;
        s.bind(b"/one", id(1), false)?;
        // So that recovery has nothing to finish, and writes no record itself.
        create(s, 2, 100)?;
        let r = s.delete(id(2))?;
        s.reclaim(r)
    };
    let bind: Op = |s| s.bind(b"/two", id(1), false).map(|_| ());
    let is_header = |image: &Image, word: u32| image.word(word - 1) == JOURNAL_MAGIC;
    cut_at_the_seal(names, bind, |image, word| !is_header(image, word))
}

/// A `create` after that: it must not bring the `bind` back. Opening is a part
/// of what is cut, or is over and durable.
fn after_a_torn_bind(opening: bool) -> Run {
    let words = torn_bind();
    let store = Store::open(Recorder::new(words.clone()), Mode::ReadWrite);
    let mut store = store.expect("a cut store opens");
    let (mut words, mut images) = (words.clone(), vec![words]);
    if opening {
        store.media_mut().done();
        images.push(store.media().words().to_vec());
    } else {
        store.sync().expect("memory does not fail");
        store.media_mut().events.clear();
        words = store.media().words().to_vec();
        images = vec![words.clone()];
    }
    CREATE(&mut store).expect("there is room");
    store.media_mut().done();
    images.push(store.media().words().to_vec());
    Run { words, events: store.into_media().events, images }
}

fn replayed(words: Vec<u64>) -> Run {
    let store = Store::open(Recorder::new(words.clone()), Mode::ReadWrite);
    let mut media = store.expect("a cut store opens").into_media();
    media.done();
    let images = vec![words.clone(), media.words().to_vec()];
    Run { words, events: media.events, images }
}

const BIND: Op = |s| s.bind(b"/two", id(1), false).map(|_| ());

/// Two records that are sealed, the second by luck: nothing of either is in
/// its place, and the fence of the second has not come.
pub fn two_records(setup: Op, op: Op) -> Vec<u64> {
    let geo = *furnished(SMALL, setup).geometry();
    let journal = geo.journal_page..geo.journal_page + geo.journal_pages;
    cut_at_the_seal(setup, op, |_, word| journal.contains(&(word as u64 / 512)))
}

const CREATE: Op = |s| create(s, 5, 1).map(|_| ());

/// The cases.
pub const CASES: &[Case] = &[
    Case::new(
        "create",
        "create_after_a_torn_bind",
        Whole,
        Source::Own(|| after_a_torn_bind(false)),
    ),
    Case::new(
        "create",
        "open_and_create_after_a_torn_bind",
        Whole,
        Source::Own(|| after_a_torn_bind(true)),
    ),
    Case::new(
        "replay",
        "replay_a_create",
        Whole,
        Source::Own(|| replayed(sealed(furnish, CREATE))),
    ),
    Case::new(
        "killed, then cut",
        "killed_before_the_flush",
        Whole,
        Source::Own(|| killed(furnish, BIND, Kill::Flush)),
    ),
    Case::new(
        "killed, then cut",
        "killed_before_the_fence",
        Whole,
        Source::Own(|| killed(furnish, BIND, Kill::Fence)),
    ),
    Case::new(
        "killed, then cut",
        "killed_in_place",
        Whole,
        Source::Own(|| killed(furnish, BIND, Kill::InPlace)),
    ),
    Case::new(
        "killed, then cut",
        "killed_in_a_create",
        Whole,
        Source::Own(|| killed(furnish, CREATE, Kill::Flush)),
    ),
    Case::new(
        "replay",
        "replay_two_creates",
        Whole,
        Source::Own(|| {
            replayed(two_records(furnish, |s| {
                create(s, 5, 1)?;
                create(s, 6, 2).map(|_| ())
            }))
        }),
    ),
    Case::new(
        "replay",
        "replay_two_names",
        Whole,
        Source::Own(|| {
            replayed(two_records(furnish, |s| {
                s.bind(b"/one", id(1), false)?;
                s.bind(b"/two", id(1), false).map(|_| ())
            }))
        }),
    ),
    Case::new(
        "replay",
        "replay_a_mkdir",
        Whole,
        Source::Own(|| replayed(sealed(furnish, |s| s.mkdir(b"/a", &identity(9)).map(|_| ())))),
    ),
    Case::new(
        "replay",
        "replay_a_delete",
        Whole,
        Source::Own(|| replayed(sealed(furnish, |s| s.delete(id(1)).map(|_| ())))),
    ),
    Case::new(
        "replay",
        "replay_a_shrink",
        Whole,
        Source::Own(|| {
            replayed(sealed(furnish, |s| {
                let r = s.find(id(1))?;
                s.resize(r, 100)
            }))
        }),
    ),
];
