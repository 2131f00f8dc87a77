// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts for ever, across kills and power cuts, and tells each number after it
//! is durable: no number is lost, and none is told twice without being said so.
//!
//!     counter [--name NAME] [--every MS] [--upto N] [--to FILE]
//!
//! It is a thread (`twz::resume`): run by `twzd`, or by hand, it goes on where it
//! was. What it can promise depends on who listens. A number is made durable
//! first (`reached`), told, and noted as told (`told`). After a cut between the
//! last two nobody here knows whether it was told:
//!
//! - On the standard output, which cannot be asked, that one number is told
//!   again, as `N again`. So everything told without `again` is told once, and
//!   every number was told in one way or the other; who gets `N again` knows
//!   whether they have N. A terminal or a serial line is waited for until it has
//!   sent the number. What a pipe or another device has taken and not yet passed
//!   on, a power cut takes along.
//! - `--to FILE` is a listener that can be asked. The number is told exactly once.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use nix::sys::termios::tcdrain;
use twz::{Durability, Error, Field, Object, Persist, Space, resume};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How far the count is.
#[derive(Persist)]
#[repr(C)]
struct Count {
    /// The last number that is ours.
    reached: Field<u64>,
    /// The last number that was certainly told.
    told: Field<u64>,
}

struct Options {
    name: String,
    every: Duration,
    upto: u64,
    to: Option<PathBuf>,
}

/// Who is told the numbers.
enum Listener {
    Output,
    File(File),
}

fn main() -> ExitCode {
    let done = options().and_then(|options| count(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Outcome<Options> {
    let every = Duration::from_millis(100);
    let mut found = Options { name: "counter".into(), every, upto: u64::MAX, to: None };
    let mut args = env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().ok_or(format!("{option} wants a value"))?;
        match option.as_str() {
            "--name" => found.name = value,
            "--every" => found.every = Duration::from_millis(value.parse()?),
            "--upto" => found.upto = value.parse()?,
            "--to" => found.to = Some(value.into()),
            other => return Err(format!("what is {other}?").into()),
        }
    }
    Ok(found)
}

fn count(options: &Options) -> Outcome<()> {
    let space = Space::open_default()?;
    // Not only the death of this process, whatever the pool is on.
    space.set_durability(Durability::Power);
    let thread = resume::register(&space, &options.name, |lost| {
        eprintln!("counter: run {} was lost: {:?}", lost.generation, lost.cause);
        Ok(())
    })?;
    let object = object(&space, &format!("{}.count", options.name))?;
    let count = object.root();
    let mut listener = Listener::open(options.to.as_deref())?;

    let reached = count.reached.get();
    if count.told.get() < reached {
        listener.tell_again(reached)?;
        space.transaction(|tx| tx.set(&count.told, reached))?;
    }
    for number in reached + 1..=options.upto {
        space.transaction(|tx| tx.set(&count.reached, number))?;
        listener.tell(&format!("{number}\n"))?;
        space.transaction(|tx| tx.set(&count.told, number))?;
        if !options.every.is_zero() {
            std::thread::sleep(options.every);
        }
    }
    thread.finish()?;
    Ok(())
}

/// The object with the count, which is made if there is none.
fn object(space: &Space, name: &str) -> Outcome<Object<Count>> {
    match space.open_name(name) {
        Err(Error::NoName(_)) => {}
        other => return Ok(other?),
    }
    let object = space.create(Count { reached: Field::new(0), told: Field::new(0) })?;
    object.sync()?;
    space.bind(name, object.id())?;
    // The name too is to be there after a power cut.
    space.backend().sync_all()?;
    Ok(object)
}

impl Listener {
    fn open(file: Option<&Path>) -> Outcome<Self> {
        let Some(path) = file else { return Ok(Self::Output) };
        let options = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        Ok(Self::File(options))
    }

    fn tell(&mut self, line: &str) -> Outcome<()> {
        match self {
            Self::Output => {
                let mut out = io::stdout();
                // All of it in one call.
                out.write_all(line.as_bytes())?;
                if out.is_terminal() {
                    tcdrain(&out)?;
                }
            }
            Self::File(file) => {
                file.write_all(line.as_bytes())?;
                file.sync_data()?;
            }
        }
        Ok(())
    }

    /// Tells a number that may have been told.
    fn tell_again(&mut self, number: u64) -> Outcome<()> {
        let Self::File(file) = self else { return self.tell(&format!("{number} again\n")) };
        let from = file.metadata()?.len().saturating_sub(64);
        let mut end = String::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_string(&mut end)?;
        let whole = end.rfind('\n').map_or(0, |at| at + 1);
        // Half a line was cut off, and is told as a whole below.
        file.set_len(from + whole as u64)?;
        let last = end[..whole].lines().next_back().and_then(|line| line.parse().ok());
        match last == Some(number) {
            true => Ok(()),
            false => self.tell(&format!("{number}\n")),
        }
    }
}
