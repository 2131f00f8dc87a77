// SPDX-License-Identifier: MIT OR Apache-2.0
//! One job on one layer: what became of its cases, how long it took, and what twz and the
//! preload library have to say of it.

use std::time::Instant;

use crate::{
    Arguments, agree,
    case::{Case, Outcome},
    copied::Copied,
    layer::{Kind, Layer},
    shown::Shown,
    suites::Job,
};

/// What came of a job.
pub struct Trial {
    pub kind: Kind,
    pub cases: Vec<Case>,
    /// That the job itself took, without what is made for it and looked at after it.
    pub seconds: f64,
    /// Whether twz saw what the programs saw, where it is asked.
    pub agreement: Option<Result<(), String>>,
    /// What was moved by memory, where that is what the layer does.
    pub copied: Option<Copied>,
}

impl Trial {
    /// Runs a job on a layer. What goes wrong with the layer is a case that failed: the
    /// next job may fare better.
    pub fn of(job: &Job, kind: Kind, arguments: &Arguments) -> Self {
        Self::run(job, kind, arguments).unwrap_or_else(|why| Self {
            kind,
            cases: vec![Case::new("layer", Outcome::Fail(why))],
            seconds: 0.0,
            agreement: None,
            copied: None,
        })
    }

    fn run(job: &Job, kind: Kind, arguments: &Arguments) -> Result<Self, String> {
        let layer = Layer::new(kind, arguments)?;
        let mut room = layer.room()?;
        let start = Instant::now();
        let cases = job.run(&room);
        let seconds = start.elapsed().as_secs_f64();
        // Of a pool in a file nobody sees the names any more, once it is unmounted.
        let shown = (kind == Kind::Image).then(|| Shown::by(room.dir()));
        room.settle();
        let agreement = room.pool().map(|pool| match shown.transpose() {
            Ok(shown) => agree::check(pool, &layer.twz, shown.as_ref()),
            Err(why) => Err(why),
        });
        Ok(Self { kind, cases, seconds, agreement, copied: room.copied() })
    }
}
