// SPDX-License-Identifier: MIT OR Apache-2.0
//! Going through the images of a trace: [`walk`].
//!
//! A crash can come at any position of the trace. But a flush makes no new
//! image reachable, and a fence makes fewer reachable; so every image there is
//! appears at a store, among those in which that store has reached the medium,
//! and those are what is gone through there. So a position shares none with the
//! one before it. (A word that is given an old value again can make an image
//! for the second time: who counts keeps a set.) When an operation has returned
//! all images are gone through once more, for more is promised of them.
//!
//! Where the images of a position are no more than `cap`, all are made, in Gray
//! order: one unit changes from one to the next. Otherwise they are sampled:
//! first all old, all new, and all with one unit otherwise; then steps of a
//! random walk, restarted now and then from all old, all new, or between.

use std::ops::Range;

use crate::{
    image::Image,
    model::{Model, Pending},
    random::Random,
    trace::Event,
};

/// Where in a trace an image was reached.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The event before the cut.
    pub event: usize,
    /// Operations that had returned before that.
    pub done: u32,
    /// Whether the event is that an operation returned.
    pub returned: bool,
}

/// What a visitor says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The image is a new one.
    New,
    /// It was there before.
    Old,
    /// That is enough.
    Stop,
}

/// What was gone through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// Positions with new images.
    pub positions: u64,
    /// Those of them of which every image was made.
    pub whole: u64,
}

/// Looks at an image.
pub type Visit<'a> = dyn FnMut(&mut Image, Position) -> Flow + 'a;

/// Makes images of `events` on top of `image`, and leaves it as it was. Of one
/// position it makes `cap`, or all there are.
pub fn walk(
    model: Model,
    image: &mut Image,
    events: &[Event],
    cap: u64,
    random: &mut Random,
    visit: &mut Visit<'_>,
) -> Walked {
    walk_within(model, image, events, &(0..events.len()), cap, random, visit)
}

/// The same, of cuts after these events alone.
pub fn walk_within(
    model: Model,
    image: &mut Image,
    events: &[Event],
    within: &Range<usize>,
    cap: u64,
    random: &mut Random,
    visit: &mut Visit<'_>,
) -> Walked {
    match model {
        Model::Words => Walk::<1>::run(image, events, within, cap, random, visit),
        Model::Lines => Walk::<8>::run(image, events, within, cap, random, visit),
    }
}

/// How many images each position has.
pub fn sizes(model: Model, words: &[u64], events: &[Event]) -> Vec<u64> {
    sizes_within(model, words, events, &(0..events.len()))
}

/// How many images there are of each cut after one of these events.
pub fn sizes_within(
    model: Model,
    words: &[u64],
    events: &[Event],
    within: &Range<usize>,
) -> Vec<u64> {
    let mut image = Image::new(words.to_vec(), 1);
    match model {
        Model::Words => count::<1>(&mut image, events, within),
        Model::Lines => count::<8>(&mut image, events, within),
    }
}

/// The `cap` with which positions of these sizes have `total` images together.
pub fn cap_for(sizes: &[u64], total: u64) -> u64 {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let (mut left, mut rest) = (total, sorted.len() as u64);
    for size in sorted {
        let each = left / rest;
        if size > each {
            return each.max(1);
        }
        (left, rest) = (left - size, rest - 1);
    }
    u64::MAX
}

fn count<const W: usize>(image: &mut Image, events: &[Event], within: &Range<usize>) -> Vec<u64> {
    let (mut pending, mut old) = (Pending::<W>::new(image.words().len()), Vec::new());
    let mut sizes = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let fixed = match *event {
            Event::Store { word, value, .. } => match pending.store(image, word, value) {
                None => continue,
                unit => unit,
            },
            Event::Flush { first, end, .. } => {
                pending.flush(first, end);
                continue;
            }
            Event::Fence { .. } => {
                pending.fence(image, &mut old);
                continue;
            }
            Event::Done => None,
        };
        if !within.contains(&n) {
            continue;
        }
        let units = pending.units.iter().enumerate().filter(|&(i, _)| Some(i) != fixed);
        sizes.push(units.fold(1u64, |n, (_, unit)| n.saturating_mul(unit.ways() as u64)));
    }
    sizes
}

struct Walk<'w, 'v, const W: usize> {
    pending: Pending<W>,
    image: &'w mut Image,
    random: &'w mut Random,
    visit: &'w mut Visit<'v>,
    cap: u64,
    /// The units that are free at this position, and how each is left now.
    free: Vec<usize>,
    ways: Vec<u32>,
}

impl<'w, 'v, const W: usize> Walk<'w, 'v, W> {
    fn run(
        image: &'w mut Image,
        events: &[Event],
        within: &Range<usize>,
        cap: u64,
        random: &'w mut Random,
        visit: &'w mut Visit<'v>,
    ) -> Walked {
        let pending = Pending::new(image.words().len());
        let (free, ways) = (Vec::new(), Vec::new());
        let mut walk = Walk::<W> { pending, image, random, visit, cap, free, ways };
        let (mut walked, mut done, mut old) = (Walked::default(), 0, Vec::new());
        for (event, what) in events.iter().enumerate() {
            let fixed = match *what {
                Event::Store { word, value, .. } => {
                    match walk.pending.store(walk.image, word, value) {
                        None => continue,
                        unit => unit,
                    }
                }
                Event::Flush { first, end, .. } => {
                    walk.pending.flush(first, end);
                    continue;
                }
                Event::Fence { .. } => {
                    walk.pending.fence(walk.image, &mut old);
                    continue;
                }
                Event::Done => {
                    done += 1;
                    None
                }
            };
            if !within.contains(&event) {
                continue;
            }
            let (all, flow) =
                walk.position(fixed, Position { event, done, returned: fixed.is_none() });
            walked.positions += 1;
            walked.whole += all as u64;
            if flow == Flow::Stop {
                break;
            }
        }
        for (word, value) in old.into_iter().rev() {
            walk.image.set(word, value);
        }
        walked
    }

    /// Makes the images of one position; returns whether that was all of them.
    fn position(&mut self, fixed: Option<usize>, at: Position) -> (bool, Flow) {
        self.free.clear();
        self.free.extend((0..self.pending.units.len()).filter(|&i| Some(i) != fixed));
        self.ways.clear();
        self.ways.resize(self.free.len(), 0);
        if let Some(unit) = fixed.map(|i| &self.pending.units[i]) {
            unit.apply(self.image, unit.ways() - 1);
        }
        let each = self.free.iter().map(|&i| self.pending.units[i].ways() as u64);
        let all = each.fold(1u64, |n, ways| n.saturating_mul(ways)) <= self.cap;
        let flow = if all { self.every(at) } else { self.some(at) };
        for unit in &self.pending.units {
            unit.apply(self.image, 0);
        }
        (all, flow)
    }

    fn look(&mut self, at: Position) -> Flow {
        (self.visit)(self.image, at)
    }

    fn leave(&mut self, i: usize, way: u32) {
        if self.ways[i] != way {
            self.ways[i] = way;
            self.pending.units[self.free[i]].apply(self.image, way);
        }
    }

    fn most(&self, i: usize) -> u32 {
        self.pending.units[self.free[i]].ways() - 1
    }

    /// All images, each one unit away from the one before (Knuth 7.2.1.1, H).
    fn every(&mut self, at: Position) -> Flow {
        let n = self.free.len();
        let mut focus: Vec<usize> = (0..=n).collect();
        let mut up = vec![true; n];
        loop {
            if self.look(at) == Flow::Stop {
                return Flow::Stop;
            }
            let i = focus[0];
            focus[0] = 0;
            if i == n {
                return Flow::Old;
            }
            let way = if up[i] { self.ways[i] + 1 } else { self.ways[i] - 1 };
            self.leave(i, way);
            if way == 0 || way == self.most(i) {
                up[i] = !up[i];
                focus[i] = focus[i + 1];
                focus[i + 1] = i + 1;
            }
        }
    }

    /// `cap` images, or fewer if new ones are hard to find.
    fn some(&mut self, at: Position) -> Flow {
        let (n, mut left) = (self.free.len(), self.cap);
        let mut tries = self.cap.saturating_mul(4);
        let mut step = |walk: &mut Self, left: &mut u64| {
            tries -= 1;
            match walk.look(at) {
                Flow::Stop => return Some(Flow::Stop),
                Flow::New => *left -= 1,
                Flow::Old => {}
            }
            (*left == 0 || tries == 0).then_some(Flow::Old)
        };
        // All old and all new, each with one unit otherwise.
        for new in [false, true] {
            (0..n).for_each(|i| self.leave(i, if new { self.most(i) } else { 0 }));
            if let Some(flow) = step(self, &mut left) {
                return flow;
            }
            let first = self.random.below(n as u64) as usize;
            for i in (0..n).map(|i| (first + i) % n) {
                let was = self.ways[i];
                self.leave(i, if new { 0 } else { self.most(i) });
                if let Some(flow) = step(self, &mut left) {
                    return flow;
                }
                self.leave(i, was);
            }
        }
        loop {
            let bias = [0, 1, 8, 32, 56, 63, 64][self.random.below(7) as usize];
            for i in 0..n {
                let new = self.random.below(64) < bias;
                self.leave(i, if new { self.most(i) } else { 0 });
            }
            for _ in 0..1 + n.min(64) {
                let i = self.random.below(n as u64) as usize;
                let way = self.random.below(self.most(i) as u64 + 1) as u32;
                self.leave(i, way);
                if let Some(flow) = step(self, &mut left) {
                    return flow;
                }
            }
        }
    }
}
