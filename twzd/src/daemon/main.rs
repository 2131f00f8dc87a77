// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twzd`, the daemon: starts the threads of a pool that are not running, when
//! the machine comes up and whenever one is lost. What a thread is, and what is
//! promised to one, is the library's (`twz::resume`); this is who keeps it.
#![forbid(unsafe_code)]

mod keeper;
mod notify;
mod options;
mod start;
mod wakeups;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::{keeper::Keeper, options::Options, wakeups::Wakeups};

/// Says something on the standard error, which is the journal's business.
macro_rules! say {
    ($($word:tt)*) => { eprintln!("twzd: {}", format_args!($($word)*)) };
}
pub(crate) use say;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.manual {
        true => manual(),
        false => run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn manual() -> Outcome<bool> {
    let man = clap_mangen::Man::new(Options::command()).manual("Twizzler").section("8");
    man.render(&mut std::io::stdout())?;
    Ok(true)
}

fn run(options: &Options) -> Outcome<bool> {
    // First of all: no signal is to come before somebody listens.
    let wakeups = Wakeups::new()?;
    let mut keeper = Keeper::new(options)?;
    keeper.scan();
    notify::tell("READY=1");
    if options.once {
        return Ok(keeper.wait_for_all(&wakeups)?);
    }
    keeper.keep(&wakeups)?;
    Ok(true)
}
