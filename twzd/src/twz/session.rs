// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of the command: the pool it works on, and where its answer goes.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    path::PathBuf,
};

use serde::Serialize;
use twz::{Backend, Choice};

use crate::{
    cli::{Colour, Global},
    exit::{Fail, Outcome},
    progress::Progress,
    term::Style,
};

/// What every command is given.
pub struct Session {
    /// What `--pool` says.
    pool: Option<PathBuf>,
    json: bool,
    quiet: bool,
    style: Style,
    out: BufWriter<io::StdoutLock<'static>>,
}

impl Session {
    pub fn new(global: &Global) -> Self {
        Self {
            pool: global.pool.clone(),
            json: global.json,
            quiet: global.quiet,
            style: Style { colour: colours(global.color, io::stdout().is_terminal()) },
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        }
    }

    /// Where the pool is.
    pub fn pool_path(&self) -> Outcome<PathBuf> {
        match &self.pool {
            Some(path) => Ok(path.clone()),
            None => Ok(twz::pools::default_pool()?),
        }
    }

    /// The pool.
    pub fn open(&self) -> Outcome<Box<dyn Backend>> {
        Ok(match &self.pool {
            // Who names a pool means that one.
            Some(path) => twz::open_pool(path)?,
            None => twz::pools::open_as(&twz::pools::default_pool()?, Choice::from_env()?)?,
        })
    }

    /// Whether the answer is to be a JSON document.
    pub fn json(&self) -> bool {
        self.json
    }

    /// A bar for something that may take a while.
    pub fn progress(&self, what: &'static str) -> Progress {
        Progress::new(what, !self.quiet && !self.json && io::stderr().is_terminal())
    }

    /// Gives the answer: as JSON if that is wanted, else as text.
    pub fn answer<T: Serialize>(
        &mut self,
        document: &T,
        text: impl FnOnce(&mut dyn Write, Style) -> io::Result<()>,
    ) -> Outcome<()> {
        let written = match self.json {
            true => serde_json::to_writer_pretty(&mut self.out, document)
                .map_err(io::Error::from)
                .and_then(|()| self.out.write_all(b"\n")),
            false => text(&mut self.out, self.style),
        };
        written.map_err(Fail::stdout)
    }

    /// Like [`Self::answer`], for a sentence that says what was done and that
    /// `--quiet` leaves out.
    pub fn confirm<T: Serialize>(&mut self, document: &T, sentence: &str) -> Outcome<()> {
        let quiet = self.quiet;
        self.answer(document, |out, _| match quiet {
            true => Ok(()),
            false => writeln!(out, "{sentence}"),
        })
    }

    /// The output itself, for what is not text.
    pub fn raw(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Sends off what was written.
    pub fn finish(&mut self) -> Outcome<()> {
        self.out.flush().map_err(Fail::stdout)
    }
}

/// Whether to colour what goes to a terminal, or does not.
pub fn colours(wanted: Colour, terminal: bool) -> bool {
    match wanted {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
