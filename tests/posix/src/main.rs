// SPDX-License-Identifier: MIT OR Apache-2.0
//! `posix-suites`: file-system suites and unmodified programs, in a directory whose
//! files are objects, and for comparison in one whose files are files.
//!
//! A suite (`suites`) is a list of jobs; each job gets a room of its own (`room`),
//! which the layer under test serves (`layer`). After each job twz has to see the
//! same names, sizes and bytes as the programs, and find nothing wrong (`agree`).
//! What is told, and when a case counts as failed, is in `report`; how much of it was a
//! copy, where programs are run with the preload library, in `copied`.
//! `scripts/posix.sh` has what the suites need installed, and calls this.

mod agree;
mod case;
mod copied;
mod layer;
mod report;
mod room;
mod suites;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use layer::{Kind, Layer};
use report::Report;
use suites::Scope;

/// Runs suites and programs on objects.
#[derive(Parser)]
#[command(name = "posix-suites")]
struct Arguments {
    /// What serves the directory
    #[arg(long, value_enum, default_value = "names")]
    layer: Kind,
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
    let scope = Scope { quick: arguments.quick };
    let mut report = Report::new(arguments.layer);
    for suite in suites::all(&scope)? {
        for job in &suite.jobs {
            let name = format!("{}.{}", suite.name, job.name);
            if !wanted(&arguments.only, suite.name, &name) {
                continue;
            }
            if arguments.list {
                println!("{name}");
                continue;
            }
            let of = |kind| -> Result<_, String> {
                let layer = Layer::new(kind, arguments)?;
                let mut room = layer.room()?;
                let cases = job.run(&room);
                room.settle();
                let agreement = room.pool().map(|pool| agree::check(pool, &layer.twz));
                Ok((cases, agreement, room.copied()))
            };
            let (native, ..) = of(Kind::Native)?;
            let (cases, agreement, copied) = of(arguments.layer)?;
            report.job(suite.name, &job.name, &native, cases, agreement);
            if let Some(copied) = copied {
                report.copied(suite.name, &job.name, copied);
            }
        }
    }
    if arguments.list {
        return Ok(true);
    }
    report.finish(arguments.json.as_deref())
}

fn wanted(only: &[String], suite: &str, job: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == suite || wanted == job)
}
