// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz`, the command: object spaces from the shell. Each command is in the
//! file of its noun, over the public interface of the library; this file reads
//! the command line and ends the process.
#![forbid(unsafe_code)]

mod audit;
mod bundle;
mod cap;
mod cli;
mod copy;
mod ctx;
mod daemon;
mod data;
mod elevated;
mod exit;
mod find;
mod fot;
#[path = "../mount/mod.rs"]
mod fuse;
mod grant;
mod graph;
mod json;
mod key;
mod ls;
mod mount;
mod name;
mod new;
mod object;
mod paths;
mod pool;
mod preload;
mod progress;
mod run;
mod session;
mod shell;
mod size;
mod term;
mod threads;
mod when;
mod why;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use crate::{
    cli::{Cli, Colour},
    exit::{Exit, Fail, Outcome},
    session::{Session, colours},
    term::Style,
};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let colour = asked_colour(&args);
    let style = Style { colour: colours(colour, io::stderr().is_terminal()) };
    let cli = match parse(&args, colour) {
        Ok(cli) => cli,
        Err(error) => return refuse(&args, &error, style),
    };
    match run(&cli) {
        Ok(exit) => (exit as u8).into(),
        Err(fail) => {
            fail.report(cli.global.json, style);
            match fail.silent {
                true => ExitCode::SUCCESS,
                false => (fail.exit as u8).into(),
            }
        }
    }
}

fn run(cli: &Cli) -> Outcome<Exit> {
    let mut session = Session::new(&cli.global);
    let exit = cli.command.run(&mut session);
    // What was found before it failed is worth seeing.
    let finished = session.finish();
    exit.and_then(|exit| finished.map(|()| exit))
}

fn parse(args: &[OsString], colour: Colour) -> Result<Cli, clap::Error> {
    let choice = match colour {
        Colour::Auto => ColorChoice::Auto,
        Colour::Always => ColorChoice::Always,
        Colour::Never => ColorChoice::Never,
    };
    let matches = Cli::command().color(choice).try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

/// The command line was not understood, or asks for help.
fn refuse(args: &[OsString], error: &clap::Error, style: Style) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !is_answer && options(args).any(|arg| arg == "--json") {
        Fail::command_line(error).report(true, style);
    } else {
        // Nobody may be reading any more; there is nobody to tell, then.
        let _ = error.print();
    }
    match is_answer {
        true => ExitCode::SUCCESS,
        false => (Exit::Usage as u8).into(),
    }
}

/// What `--color` says, needed before the command line can be read: help and
/// complaints about it are coloured too.
fn asked_colour(args: &[OsString]) -> Colour {
    let mut asked = Colour::Auto;
    let mut args = options(args);
    while let Some(arg) = args.next() {
        let value = match arg.split_once('=') {
            Some(("--color", value)) => Some(value),
            None if arg == "--color" => args.next(),
            _ => None,
        };
        asked = match value {
            Some("always") => Colour::Always,
            Some("never") => Colour::Never,
            _ => asked,
        };
    }
    asked
}

/// The arguments before `--`.
fn options(args: &[OsString]) -> impl Iterator<Item = &str> {
    args.iter().skip(1).map_while(|arg| arg.to_str()).take_while(|arg| *arg != "--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &[&str]) -> Colour {
        asked_colour(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn colour_is_known_before_the_rest() {
        assert_eq!(asked(&["twz", "ls"]), Colour::Auto);
        assert_eq!(asked(&["twz", "ls", "--color=always"]), Colour::Always);
        assert_eq!(asked(&["twz", "--color", "never", "bogus"]), Colour::Never);
        assert_eq!(asked(&["twz", "cat", "--", "--color=never"]), Colour::Auto);
        assert_eq!(asked(&["twz", "--color"]), Colour::Auto);
    }
}
