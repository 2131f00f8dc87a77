// SPDX-License-Identifier: MIT OR Apache-2.0
//! `posix-suites`: file-system suites and unmodified programs, in a directory whose
//! files are objects, and for comparison in one whose files are files.
//!
//! A suite (`suites`) is a list of jobs; each job gets a room of its own (`room`) on each
//! layer under test (`layer`), which serves it (`trial`). After each job twz has to see the
//! same names, sizes and bytes as the programs, and find nothing wrong (`agree`, and
//! `shown` where the programs' names are gone by then).
//! What is told, and when a case counts as failed, is in `report`, what is known to fail in
//! `known`; how much of it was a copy, where programs are run with the preload library, in
//! `copied`.
//! `scripts/posix.sh` has what the suites need installed, and calls this.

mod agree;
mod case;
mod copied;
mod known;
mod layer;
mod report;
mod room;
mod shown;
mod suites;
mod trial;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use layer::Kind;
use report::Report;
use suites::Scope;
use trial::Trial;

/// Runs suites and programs on objects.
#[derive(Parser)]
#[command(name = "posix-suites")]
struct Arguments {
    /// What serves the directory; several, with commas between, are compared with one run
    /// in an ordinary directory
    #[arg(long, value_enum, value_delimiter = ',', default_value = "names")]
    layer: Vec<Kind>,
    /// Only what is quick
    #[arg(long)]
    quick: bool,
    /// Only this suite, or this job of one, as SUITE or SUITE.JOB
    #[arg(long)]
    only: Vec<String>,
    /// Where pjdfstest, fsx and the like are: scripts/posix.sh knows
    #[arg(long)]
    tools: PathBuf,
    /// The command twz
    #[arg(long)]
    twz: PathBuf,
    /// Where the directories are made: this picks the file system
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    on: PathBuf,
    /// Writes the pass counts to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Lists the jobs, and runs none
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("posix-suites: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything that was to pass did.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let suites = suites::all(&Scope { quick: arguments.quick })?;
    let jobs = suites.iter().flat_map(|suite| suite.jobs.iter().map(|job| (suite.name, job)));
    let jobs: Vec<_> = jobs
        .filter(|(suite, job)| wanted(&arguments.only, suite, &format!("{suite}.{}", job.name)))
        .collect();
    if arguments.list {
        jobs.iter().for_each(|(suite, job)| println!("{suite}.{}", job.name));
        return Ok(true);
    }
    let mut report = Report::new();
    let (here, lacking): (Vec<Kind>, _) =
        arguments.layer.iter().partition(|kind| kind.lacks().is_none());
    lacking.iter().for_each(|kind| report.lacking(*kind));
    for (n, (suite, job)) in jobs.iter().enumerate() {
        // What takes long says that it goes on, and with what.
        eprint!("posix-suites: {} of {}, {suite}.{}", n + 1, jobs.len(), job.name);
        let trials = [&[Kind::Native], here.as_slice()].concat().into_iter().map(|kind| {
            let trial = Trial::of(job, kind, arguments);
            eprint!(" {} {:.1} s", kind.name(), trial.seconds);
            trial
        });
        let mut trials: Vec<_> = trials.collect();
        eprintln!();
        let native = trials.remove(0);
        trials.into_iter().for_each(|trial| report.job(suite, &job.name, &native, trial));
    }
    report.finish(arguments.json.as_deref())
}

fn wanted(only: &[String], suite: &str, job: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == suite || wanted == job)
}
