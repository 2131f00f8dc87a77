// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twzd`, the daemon. It starts the threads of a pool that are not running, when
//! the machine comes up and whenever one is lost: what a thread is, and what is
//! promised to one, is the library's (`twz::resume`); `keeper.rs` keeps it. And it
//! holds the host's keys, and signs with them for whom it is allowed: `server.rs`
//! hears what is asked, `host.rs` does it, `audit.rs` writes it down, and `follow.rs`
//! what the kernel module decided.
#![forbid(unsafe_code)]

mod audit;
mod config;
mod follow;
mod host;
mod keeper;
mod metrics;
mod notify;
mod options;
mod server;
mod start;
mod wakeups;

use std::{path::Path, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, Parser as _};

use crate::{config::Config, host::Host, keeper::Keeper, options::Options, wakeups::Wakeups};

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
    if options.serve {
        serve(options)?;
    }
    if options.no_threads {
        notify::tell("READY=1");
        while !wakeups.sleep(Duration::MAX)? {}
        return Ok(true);
    }
    let mut keeper = Keeper::new(options)?;
    keeper.scan();
    notify::tell("READY=1");
    if options.once {
        return Ok(keeper.wait_for_all(&wakeups)?);
    }
    keeper.keep(&wakeups)?;
    Ok(true)
}

/// Begins to hold the host's keys.
fn serve(options: &Options) -> Outcome<()> {
    let default = Path::new("/etc/twz/twzd.toml");
    let file = options.config.as_deref();
    let config = Config::read(file.unwrap_or(default), file.is_some())?;
    let host = Host::open(keeper::open(options)?, &options.state, config)?;
    let listener = match server::inherited() {
        Some(listener) => listener,
        None => server::listen(&options.socket)
            .map_err(|error| format!("cannot listen at {}: {error}", options.socket.display()))?,
    };
    server::serve(listener, host);
    Ok(())
}
