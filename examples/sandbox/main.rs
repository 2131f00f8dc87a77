// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program calls a library that it does not trust, beside data that it keeps for
//! itself: Figure 3 of the technical report of 2017.
//!
//!     sandbox
//!
//! Four objects, two contexts. `parts.rs` makes them, `code.rs` is what the two pieces of
//! code in objects do:
//!
//! |  | program's context | library's context |
//! |---|---|---|
//! | ledger: the private data | `rw` | |
//! | teller: the program's code beside it | `rx`, entered at one gate | |
//! | library: somebody else's code | `r` | `rx`, entered at its gates |
//! | input: what the library is given | `rw` | `r` |
//!
//! All four are mapped all the time. The teller calls the library, which the program's
//! context may not run: that is a fault, and the module goes on with it in the
//! library's. It returns to the teller's gate, which the library's context may not run: the
//! program's goes on, notes the answer in the ledger and ends. What the library
//! tries besides is refused at the fault, and here is what came of it.
//!
//! It exits with 0 if everything came out as it should. On a directory's pool nobody
//! switches at a fault: there it says who may do what, and what is missing.

mod code;
mod parts;

use std::process::ExitCode;

use twz::{
    Space,
    security::{Ended, why},
};

use crate::{code::Call, parts::Parts};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<bool> {
    let space = Space::open_default()?;
    let parts = Parts::make(&space)?;
    rights(&space, &parts)?;
    let done = match space.backend().info()?.home {
        "kernel" => attempts(&parts),
        home => {
            println!("\nThat is as far as a pool in a {home} goes: a library that is honest keeps");
            println!("to it. To have code in this process run in a context of its own, to switch");
            println!("at a gate, and to refuse what it touches besides, takes the kernel module:");
            println!("try this in 'make vm'.");
            Ok(true)
        }
    };
    parts.remove(&space)?;
    done
}

/// Says who may do what: the decision that a fault obeys.
fn rights(space: &Space, parts: &Parts) -> Outcome<()> {
    println!("              in the program's context   in the library's");
    for (name, object) in parts.all() {
        let allowed = |context| why(space.backend(), context, object).map(|why| why.allowed);
        println!(
            "  {name:10}  {:25}  {}",
            allowed(parts.contexts.program)?.to_string(),
            allowed(parts.contexts.library)?
        );
    }
    Ok(())
}

/// What a system call answers that is refused: -EPERM.
const REFUSED: i64 = -1;
/// What the library is asked for, and what comes of it.
const CALLS: [(&str, Call, Expected); 8] = [
    ("adds up what it is given", Call::Sum, Expected::Answer(60)),
    ("reads the ledger", Call::Read, Expected::Refused("ledger")),
    ("writes to the ledger", Call::Write, Expected::Refused("ledger")),
    ("writes to what it is given to read", Call::Scribble, Expected::Refused("input")),
    ("reads the teller's code", Call::Peek, Expected::Refused("teller")),
    ("enters the teller past its gate", Call::Jump, Expected::Refused("teller")),
    ("makes a system call", Call::System, Expected::Answer(REFUSED)),
    ("adds up again", Call::Sum, Expected::Answer(60)),
];

enum Expected {
    /// It comes back through the gate with this.
    Answer(i64),
    /// It is refused what it touches in this.
    Refused(&'static str),
}

/// Has the library called, once for each of these; whether all came out as they should.
fn attempts(parts: &Parts) -> Outcome<bool> {
    let mut right = true;
    println!("\nThe program calls the library, which ...");
    for (what, call, expected) in CALLS {
        let (before, _) = parts.noted()?;
        // Who is refused says why only where it can ask: what is sealed is not to.
        let sealed = matches!(expected, Expected::Answer(_));
        let ended = parts.call(call, sealed)?;
        let (total, answer) = parts.noted()?;
        let came = match ended {
            Ended::Exited(0) => format!("{answer} is answered, and noted: {before} -> {total}"),
            Ended::Exited(status) => format!("it ends with status {status}"),
            Ended::Killed(signal) => format!("it is killed by signal {signal}"),
            Ended::Refused(touched) => {
                let why = touched.said.map_or("nobody says why", |(_, refusal)| refusal.reason);
                format!("refused, {} of the {}: {why}", touched.wanted, parts.place_of(&touched))
            }
        };
        let as_it_should = match expected {
            Expected::Answer(wanted) => {
                let noted = answer == wanted && total == before.wrapping_add_signed(wanted);
                ended == Ended::Exited(0) && noted
            }
            Expected::Refused(place) => {
                let there = |touched| parts.place_of(touched) == place;
                matches!(&ended, Ended::Refused(touched) if there(touched)) && total == before
            }
        };
        println!("  {what:36} {came}{}", if as_it_should { "" } else { "   <- THAT IS WRONG" });
        right &= as_it_should;
    }
    Ok(right)
}
