// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a trace through the model: every image is recovered and judged, then
//! recovery itself is cut, and then the recovery of that.
//!
//! What is counted: a *state* is an image of the medium together with what may
//! be seen after it (which operations had returned). It is counted when it was
//! not there before in this case, and the real recovery and the invariants were
//! run on it. Images that a walk came to again are counted apart (`again`), and
//! neither recovered nor judged.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    enumerate::{Flow, Position, Walked, cap_for, sizes_within, walk, walk_within},
    image::Image,
    model::Model,
    random::Random,
    trace::Event,
};

/// Why a state is wrong.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The invariant, in a few words.
    pub invariant: &'static str,
    /// What was found.
    pub text: String,
}

impl Broken {
    /// This invariant does not hold, for this reason.
    pub fn new(invariant: &'static str, text: impl Into<String>) -> Self {
        Self { invariant, text: text.into() }
    }
}

/// What is recovered and judged.
pub trait Subject {
    /// What may be seen after a cut there, as bits of what [`Self::judge`] says.
    fn allowed(&self, at: Position) -> u64;

    /// Recovers the image, and nothing else.
    fn recover(&mut self, image: &mut Image, allowed: u64) -> Result<(), Broken>;

    /// Recovers the image, checks every invariant, and says what it shows: bit
    /// `i` if that is what was there after `i` operations; bit `32 + i` if it is
    /// what operation `i` may leave when it is cut, and bit `48 + i` if operations
    /// `i` and `i + 1` together may. It must be one of `allowed`.
    fn judge(&mut self, image: &mut Image, allowed: u64) -> Result<u64, Broken>;

    /// How often everything was looked at, rather than known from before.
    fn looked(&self) -> u64;
}

/// Changes a trace.
pub type Edit<'e> = dyn Fn(&mut Vec<Event>) + 'e;

/// How a trace is to be run.
#[derive(Clone, Copy)]
pub struct Config<'c> {
    /// Which images there are.
    pub model: Model,
    /// Where the random numbers begin.
    pub seed: u64,
    /// About how many states are wanted.
    pub states: u64,
    /// Whether recovery is cut too.
    pub nested: bool,
    /// Whether one violation is enough.
    pub stop: bool,
    /// What is changed in the traces of recovery, for deliberate mistakes.
    pub edit: Option<&'c Edit<'c>>,
    /// After which events of the trace it is cut, if not after all of them.
    pub within: Option<&'c Range<usize>>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// States of the trace itself.
    pub states: u64,
    /// States of a cut recovery.
    pub in_recovery: u64,
    /// States of a cut recovery of what a cut recovery left.
    pub twice: u64,
    /// Images that were come to again.
    pub again: u64,
    /// Positions with images of their own, and those that were gone through whole.
    pub walked: Walked,
    /// States of which everything was looked at.
    pub looked: u64,
    /// States that broke an invariant.
    pub violations: u64,
    /// The first of them.
    pub first: Option<(Broken, String)>,
    /// The event before its cut.
    pub at: Option<usize>,
}

impl Tally {
    /// All states.
    pub fn all(&self) -> u64 {
        self.states + self.in_recovery + self.twice
    }
}

/// A set of hashes, which are random already.
pub type Hashes = HashSet<u64, BuildHasherDefault<Itself>>;

/// The hash of a hash.
#[derive(Default)]
pub struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// Images made of one position of a recovery.
const NESTED_CAP: u64 = 6;

/// Runs the trace `events`, recorded on a medium of `words`.
pub fn run(
    subject: &mut dyn Subject,
    words: &[u64],
    events: &[Event],
    config: &Config<'_>,
) -> Tally {
    let mut image = Image::new(words.to_vec(), config.seed);
    let own = if config.nested { config.states / 3 * 2 } else { config.states };
    let all = 0..events.len();
    let within = config.within.unwrap_or(&all);
    let cap = cap_for(&sizes_within(config.model, words, events, within), own.max(1));
    let mut random = Random::new(config.seed);
    let mut drive = Drive {
        subject,
        config,
        tally: Tally::default(),
        seen: Hashes::default(),
        dice: random.clone(),
        event: 0,
    };
    let mut visit = |image: &mut Image, at: Position| {
        drive.event = at.event;
        let allowed = drive.subject.allowed(at);
        drive.visit(image, 0, allowed)
    };
    let walked =
        walk_within(config.model, &mut image, events, within, cap, &mut random, &mut visit);
    drive.tally.walked = walked;
    drive.tally.looked = drive.subject.looked();
    drive.tally
}

struct Drive<'d> {
    subject: &'d mut dyn Subject,
    config: &'d Config<'d>,
    tally: Tally,
    seen: Hashes,
    dice: Random,
    event: usize,
}

impl Drive<'_> {
    /// One image, at `depth` cuts of recovery.
    fn visit(&mut self, image: &mut Image, depth: u32, allowed: u64) -> Flow {
        let context = (allowed ^ (depth as u64) << 61).wrapping_mul(0xd6e8_feb8_6659_fd93);
        if !self.seen.insert(image.hash() ^ context) {
            self.tally.again += 1;
            return Flow::Old;
        }
        match depth {
            0 => self.tally.states += 1,
            1 => self.tally.in_recovery += 1,
            _ => self.tally.twice += 1,
        }
        let judged = catch_unwind(AssertUnwindSafe(|| self.subject.judge(image, allowed)));
        image.rewind();
        let shown = match judged.unwrap_or_else(|why| Err(panicked(&*why))) {
            Ok(shown) => shown,
            Err(broken) => {
                self.tally.violations += 1;
                let text = format!(
                    "after event {} (recovery cut {depth} times), image {:016x}",
                    self.event,
                    image.hash()
                );
                self.tally.first.get_or_insert((broken, text));
                self.tally.at.get_or_insert(self.event);
                return if self.config.stop { Flow::Stop } else { Flow::New };
            }
        };
        if self.wants_recovery_cut(depth) {
            // Whatever the first recovery saw, the next one must see.
            return self.cut_recovery(image, depth + 1, shown & allowed);
        }
        Flow::New
    }

    /// Whether the recovery of this image is to be cut: now and then, so that
    /// a third of all states are such.
    fn wants_recovery_cut(&mut self, depth: u32) -> bool {
        let (have, want) = match depth {
            0 => (self.tally.in_recovery + self.tally.twice, self.tally.states / 2),
            1 => (self.tally.twice, self.tally.in_recovery / 4),
            _ => return false,
        };
        self.config.nested && have <= want && self.dice.below(8) == 0
    }

    fn cut_recovery(&mut self, image: &mut Image, depth: u32, allowed: u64) -> Flow {
        image.start_trace();
        let recovered = self.subject.recover(image, allowed);
        let mut events = image.take_trace();
        image.rewind();
        if recovered.is_err() {
            return Flow::New;
        }
        if let Some(edit) = self.config.edit {
            edit(&mut events);
        }
        let (mut random, mut flow) = (self.dice.clone(), Flow::New);
        self.dice.next();
        let model = self.config.model;
        walk(model, image, &events, NESTED_CAP, &mut random, &mut |image, _| {
            let next = self.visit(image, depth, allowed);
            if next == Flow::Stop {
                flow = Flow::Stop;
            }
            next
        });
        flow
    }
}

fn panicked(why: &(dyn std::any::Any + Send)) -> Broken {
    let text = match (why.downcast_ref::<&str>(), why.downcast_ref::<String>()) {
        (Some(text), _) => text.to_string(),
        (_, Some(text)) => text.clone(),
        _ => "for no reason that can be told".to_owned(),
    };
    Broken::new("never panics", text)
}
