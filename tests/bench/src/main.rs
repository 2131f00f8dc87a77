// SPDX-License-Identifier: MIT OR Apache-2.0
//! The race: `twz-bench [ptr|space|tx|kvs]`, all without an argument; `kvs --quick`
//! shows in seconds that this one works, and measures nothing.
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
mod ptr;
mod race;
mod report;
mod space;
mod tx;

use std::process::ExitCode;

use error::Failed;

/// A bench: its name on the command line, and what runs it.
type Bench = (&'static str, fn() -> Result<Vec<report::Record>, Failed>);

const BENCHES: [Bench; 4] =
    [("ptr", ptr::run), ("space", space::run), ("tx", tx::run), ("kvs", || kvs::run(false))];

const USAGE: &str = "twz-bench [ptr|space|tx|kvs [--quick]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => machine::describe().and_then(|()| BENCHES.iter().try_for_each(run)),
        // What the instruction counter starts below valgrind.
        ["count", "kvs", case, peer] => kvs::count(case, peer),
        ["count", case, peer] => ptr::count(case, peer),
        ["kvs", "--quick"] => run(&("kvs", || kvs::run(true))),
        [name] => match BENCHES.iter().find(|(known, _)| *known == name) {
            Some(bench) => machine::describe().and_then(|()| run(bench)),
            None => Err(Failed::new(format!("there is no bench '{name}'; {USAGE}"))),
        },
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

fn run((name, bench): &Bench) -> Result<(), Failed> {
    let records = bench()?;
    report::print(name, &records);
    report::write(&format!("{name}.json"), &report::json(&records)?)?;
    match kvs::draw(&records) {
        Some(plot) => report::write(&format!("{name}.svg"), &plot),
        None => Ok(()),
    }
}
