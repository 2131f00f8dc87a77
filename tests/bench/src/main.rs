// SPDX-License-Identifier: MIT OR Apache-2.0
//! The race: `twz-bench [ptr|space|tx|kvs|security|posix]`, all without an argument;
//! `kvs --quick`, `security --quick` and `posix --quick` show in seconds that these work,
//! and measure nothing; `kvs --readme` prints the README's table from the last report.
//!
//! Each bench is one module here and writes one report, `target/bench/NAME.json`
//! ([`report`]). Subject and peers take turns ([`race`]), every answer is
//! checked, and what was lost is printed like what was won ([`goal`]). To add a
//! peer, add a file with a [`race::Contender`] beside the other ones and put it
//! into its bench's list.

mod callgrind;
mod error;
mod goal;
mod kvs;
mod machine;
mod posix;
mod ptr;
mod race;
mod report;
mod security;
mod space;
mod tx;

use std::process::ExitCode;

use error::Failed;

/// A bench: its name on the command line, and what runs it.
type Bench = (&'static str, fn() -> Result<Vec<report::Record>, Failed>);

const BENCHES: [Bench; 6] = [
    ("ptr", ptr::run),
    ("space", space::run),
    ("tx", tx::run),
    ("kvs", || kvs::run(false)),
    ("security", || security::run(false)),
    ("posix", || posix::run(false)),
];

/// Those that have a size at which they measure nothing.
const QUICK: [Bench; 3] = [
    ("kvs", || kvs::run(true)),
    ("security", || security::run(true)),
    ("posix", || posix::run(true)),
];

const USAGE: &str =
    "twz-bench [ptr|space|tx|kvs [--quick|--readme]|security [--quick]|posix [--quick]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => machine::describe().and_then(|()| BENCHES.iter().try_for_each(run)),
        // What the instruction counter starts below valgrind.
        ["count", "kvs", case, peer] => kvs::count(case, peer),
        ["count", "security", case, peer] => security::count(case, peer),
        ["count", case, peer] => ptr::count(case, peer),
        ["kvs", "--readme"] => kvs::print_readme(),
        [name, "--quick"] => named(&QUICK, name).and_then(run),
        [name] => machine::describe().and_then(|()| named(&BENCHES, name)).and_then(run),
        _ => Err(Failed::new(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("twz-bench: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn named<'a>(benches: &'a [Bench], name: &str) -> Result<&'a Bench, Failed> {
    let found = benches.iter().find(|(known, _)| *known == name);
    found.ok_or_else(|| Failed::new(format!("there is no bench '{name}'; {USAGE}")))
}

fn run((name, bench): &Bench) -> Result<(), Failed> {
    let records = bench()?;
    report::print(name, &records);
    report::write(&format!("{name}.json"), &report::json(&records)?)?;
    match kvs::draw(&records) {
        Some(plot) => report::write(&format!("{name}.svg"), &plot),
        None => Ok(()),
    }
}
