// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is run. A suite is a list of jobs; a job runs one program in a room and says
//! what became of which cases.

mod coreutils;
mod dbench;
mod fio;
mod fsx;
mod git;
mod lmdb;
mod pjdfstest;
mod progs;
mod python;
mod redis;
mod sqlite;
mod stress_ng;

use crate::{case::Case, room::Room};

/// How much of a suite is wanted.
pub struct Scope {
    pub quick: bool,
}

/// What a job does in its room.
type Work = Box<dyn Fn(&Room) -> Vec<Case> + Send + Sync>;

/// A program run, with a room for itself.
pub struct Job {
    pub name: String,
    work: Work,
}

impl Job {
    fn new(
        name: impl Into<String>,
        work: impl Fn(&Room) -> Vec<Case> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }

    /// A job that is one case: what it runs ends well, or not.
    fn single(
        name: impl Into<String>,
        work: impl Fn(&Room) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let case = name.clone();
        Self::new(name, move |room| vec![Case::of(&case, work(room))])
    }

    pub fn run(&self, room: &Room) -> Vec<Case> {
        (self.work)(room)
    }
}

/// Jobs that belong together.
pub struct Suite {
    pub name: &'static str,
    pub jobs: Vec<Job>,
}

/// All suites that are wanted. What they need lies in a folder of the suite's name among
/// the tools, once `tests/posix/recipes/NAME.sh` made it, if there is such.
pub fn all(scope: &Scope) -> Result<Vec<Suite>, String> {
    let mut suites = vec![
        Suite { name: "pjdfstest", jobs: pjdfstest::jobs() },
        Suite { name: "fsx", jobs: fsx::jobs(scope) },
        Suite { name: "fio", jobs: fio::jobs() },
        Suite { name: "lmdb", jobs: lmdb::jobs() },
        Suite { name: "progs", jobs: progs::jobs(scope)? },
        Suite { name: "python", jobs: python::jobs(scope) },
    ];
    if !scope.quick {
        suites.extend(whole());
    }
    Ok(suites)
}

/// What takes too long to be part of every run. The longest comes first: what runs beside
/// it is to end when it does.
fn whole() -> Vec<Suite> {
    vec![
        Suite { name: "sqlite", jobs: sqlite::jobs() },
        Suite { name: "git", jobs: git::jobs() },
        Suite { name: "coreutils", jobs: coreutils::jobs() },
        Suite { name: "redis", jobs: redis::jobs() },
        Suite { name: "stress-ng", jobs: stress_ng::jobs() },
        Suite { name: "dbench", jobs: dbench::jobs() },
    ]
}
