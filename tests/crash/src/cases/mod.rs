// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is cut: one file for each kind of operation of the engine.
//!
//! A [`Case`] is a store with something in it and one or more operations, each
//! of which must have happened or not whatever image a cut leaves, with those
//! before it intact. Pools are tiny: what matters is how many words an
//! operation has in flight, not how large the pool is.

pub mod copy;
pub mod create;
pub mod delete;
pub mod epoch;
pub mod format;
pub mod names;
pub mod punch;
pub mod repair;
pub mod replay;
pub mod resize;
pub mod touch;
pub mod write;

use twz_abi::{DATA_START, ObjectId, PAGE, TAIL_START};
use twz_core::{
    Identity, Mode, NewObject, RecordNo, Result, Store,
    format::{FormatOptions, format as make},
};

use crate::{
    store::{Promise, Recover, StoreSubject, open},
    trace::{Event, Recorder},
};

/// The store that is recorded.
pub type Recorded = Store<Recorder>;

/// A step.
pub type Op = fn(&mut Recorded) -> Result<()>;

/// A run that was recorded.
pub struct Run {
    /// The medium at its beginning, all of it durable.
    pub words: Vec<u64>,
    /// What happened then.
    pub events: Vec<Event>,
    /// The medium at its beginning, and after each operation.
    pub images: Vec<Vec<u64>>,
}

/// How a case comes to its run.
#[derive(Clone, Copy)]
pub enum Source {
    /// A pool of so many pages is furnished; then come the operations.
    Ops(u64, Op, &'static [Op]),
    /// In a way of its own.
    Own(fn() -> Run),
}

/// Something to cut.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, unique.
    pub name: &'static str,
    /// The operation that it counts for in the table.
    pub operation: &'static str,
    /// What may be seen.
    pub promise: Promise,
    /// What recovery is.
    pub recover: Recover,
    /// What is cut.
    pub source: Source,
    /// How many states it gets, to other cases' 100: fewer if each takes long.
    pub weight: u64,
}

impl Case {
    /// One that is recovered by opening.
    pub const fn new(
        operation: &'static str,
        name: &'static str,
        promise: Promise,
        source: Source,
    ) -> Self {
        Self { name, operation, promise, recover: open, source, weight: 100 }
    }

    /// The same with another weight.
    pub const fn weighs(self, weight: u64) -> Self {
        Self { weight, ..self }
    }

    /// Records it.
    pub fn record(&self) -> Run {
        match self.source {
            Source::Own(own) => own(),
            Source::Ops(pages, setup, ops) => record(self.name, pages, setup, ops),
        }
    }

    /// What judges it.
    pub fn subject(&self, run: &Run, seed: u64) -> StoreSubject {
        StoreSubject::new(self.promise, self.recover, &run.images, seed)
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    [
        create::CASES,
        delete::CASES,
        epoch::CASES,
        copy::CASES,
        touch::CASES,
        resize::CASES,
        write::CASES,
        names::CASES,
        punch::CASES,
        replay::CASES,
        format::CASES,
        repair::CASES,
    ]
    .concat()
}

/// Pages of a small pool: 16 of tables, and 32 for data.
pub const SMALL: u64 = 48;

/// A formatted medium.
pub fn formatted(pages: u64) -> Recorder {
    let mut media = Recorder::new(vec![0; (pages * PAGE / 8) as usize]);
    let options = FormatOptions { journal_pages: 8, records: Some(16), ..FormatOptions::plain() };
    make(&mut media, &options).expect("the pool is large enough");
    media
}

/// A furnished store, all of it durable.
pub fn furnished(pages: u64, setup: Op) -> Recorded {
    let mut store = Store::open(formatted(pages), Mode::ReadWrite).expect("it was just made");
    setup(&mut store).expect("the setup of a case succeeds");
    store.sync().expect("memory does not fail");
    store.media_mut().events.clear();
    store
}

fn record(name: &str, pages: u64, setup: Op, ops: &[Op]) -> Run {
    let mut store = furnished(pages, setup);
    let words = store.media().words().to_vec();
    let mut images = vec![words.clone()];
    for op in ops {
        op(&mut store).unwrap_or_else(|error| panic!("{name}: {error}"));
        store.media_mut().done();
        images.push(store.media().words().to_vec());
    }
    Run { words, events: store.into_media().events, images }
}

/// The `n`th identity.
pub fn identity(n: u64) -> Identity {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&n.to_le_bytes());
    nonce[8] = 7;
    Identity::plain(nonce)
}

/// The id of [`identity`] `n`.
pub fn id(n: u64) -> ObjectId {
    identity(n).id().expect("no nonce of these gives a zero half")
}

/// Bytes, `size` of them.
pub fn new(n: u64, size: u64) -> NewObject {
    NewObject { size, ..NewObject::bytes(identity(n)) }
}

/// Makes object `n`.
pub fn create(s: &mut Recorded, n: u64, size: u64) -> Result<RecordNo> {
    s.create(id(n), &new(n, size))
}

/// Nothing.
pub fn nothing(_: &mut Recorded) -> Result<()> {
    Ok(())
}

/// Object 1, empty holes up to 5 MiB.
pub fn empty(s: &mut Recorded) -> Result<()> {
    create(s, 1, 5 << 20).map(|_| ())
}

/// Object 1 with data in the direct pages, two leaves, and a tail page.
pub fn furnish(s: &mut Recorded) -> Result<()> {
    let r = create(s, 1, 5 << 20)?;
    s.write(r, DATA_START, &[1; 2 * 4096])?;
    s.write(r, DATA_START + 510 * PAGE, &[2; 3 * 4096])?;
    s.write(r, DATA_START + 1022 * PAGE, &[3; 2 * 4096])?;
    s.write(r, TAIL_START, &[4; 64])
}

/// The same, and object 2 that is a copy of it.
pub fn furnish_and_copy(s: &mut Recorded) -> Result<()> {
    furnish(s)?;
    let r = s.find(id(1))?;
    s.copy(r, id(2), &new(2, 0)).map(|_| ())
}

/// Fills free pages with bytes that are not zeros, as a pool in use has them.
pub fn dirty(s: &mut Recorded) -> Result<()> {
    let r = create(s, 99, 5 << 20)?;
    let pages = s.info()?.free_pages.saturating_sub(4);
    for page in 0..pages {
        s.write(r, DATA_START + (9 + page) * PAGE, &[0xa5; 4096])?;
    }
    let r = s.delete(id(99))?;
    s.reclaim(r)
}
