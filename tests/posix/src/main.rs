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

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
};

use clap::Parser;
use layer::Kind;
use report::Report;
use suites::{Scope, Suite};
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
    /// How many suites run at a time: more are done sooner, and what they take says less
    #[arg(long, default_value = "1")]
    jobs: NonZeroUsize,
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
    let suites = wanted(suites, &arguments.only);
    if arguments.list {
        for suite in &suites {
            suite.jobs.iter().for_each(|job| println!("{}.{}", suite.name, job.name));
        }
        return Ok(true);
    }
    // Not after all of it that there is nowhere to write.
    if let Some(dir) = arguments.json.as_deref().and_then(Path::parent) {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let mut report = Report::new(suites.iter().map(|suite| suite.jobs.len()).sum());
    let (here, lacking): (Vec<Kind>, _) =
        arguments.layer.iter().partition(|kind| kind.lacks().is_none());
    lacking.iter().for_each(|kind| report.lacking(*kind));
    let report = Mutex::new(report);
    let left = Mutex::new(suites.iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.get() {
            scope.spawn(|| {
                while let Some(suite) = next() {
                    run_suite(suite, &here, arguments, &report);
                }
            });
        }
    });
    let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.finish(arguments.json.as_deref())
}

/// Runs the jobs of a suite one after another: they may want the same ports.
fn run_suite(suite: &Suite, layers: &[Kind], arguments: &Arguments, report: &Mutex<Report>) {
    for job in &suite.jobs {
        let native = Trial::of(job, Kind::Native, arguments);
        let trials = layers.iter().map(|kind| Trial::of(job, *kind, arguments)).collect();
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.job(suite.name, &job.name, &native, trials);
    }
}

/// The suites with those of their jobs that are asked for.
fn wanted(mut suites: Vec<Suite>, only: &[String]) -> Vec<Suite> {
    if !only.is_empty() {
        for Suite { name, jobs } in &mut suites {
            let is =
                |wanted: &String, job: &str| wanted == name || *wanted == format!("{name}.{job}");
            jobs.retain(|job| only.iter().any(|wanted| is(wanted, &job.name)));
        }
        suites.retain(|suite| !suite.jobs.is_empty());
    }
    suites
}
