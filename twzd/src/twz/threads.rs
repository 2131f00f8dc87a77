// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz threads`: the programs of a pool that go on after a power cut.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use twz::{
    Error,
    resume::{self, Claim, End, Found, State},
};

use crate::{
    exit::{Exit, Fail, Outcome},
    json,
    session::Session,
    term::{Table, printable},
};

/// List and change the programs that go on after a power cut
///
/// A thread is an object that says which program there ought to be. 'twzd' starts
/// those that are not running and not finished. Without a command, lists them.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "EXAMPLES
  twz threads
  twz threads add --afresh mirror -- rsync -a /srv/a /srv/b
  twz threads --json | jq -r '.threads[] | select(.state == \"lost\") | .name'"
)]
pub struct ThreadsArgs {
    #[command(subcommand)]
    command: Option<ThreadsCommand>,
}

#[derive(Subcommand)]
pub enum ThreadsCommand {
    Add(AddArgs),
    /// Say everything about a thread
    #[command(after_help = "EXAMPLES\n  twz threads show counter")]
    Show {
        /// Its name
        name: String,
    },
    /// Remove a thread that does not run
    ///
    /// Its object is deleted. What the program has in other objects stays.
    #[command(after_help = "EXAMPLES\n  twz threads remove counter")]
    Remove {
        /// Its name
        name: String,
    },
    /// Have a thread started again that is finished, or was given up
    ///
    /// Its failures are forgotten; 'twzd' starts it when it next looks.
    #[command(after_help = "EXAMPLES\n  twz threads resume counter")]
    Resume {
        /// Its name
        name: String,
    },
}

/// Add a thread
///
/// It is to run as you, in this directory, with what is kept of this environment.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz threads add counter -- counter --every 50
  twz threads add --afresh mirror -- rsync -a /srv/a /srv/b")]
pub struct AddArgs {
    /// The program is not written to be resumed: start it from its beginning
    #[arg(long)]
    afresh: bool,
    /// Its name; a program that resumes registers under it
    name: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl ThreadsArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        match &self.command {
            None => list(session),
            Some(ThreadsCommand::Add(args)) => args.run(session),
            Some(ThreadsCommand::Show { name }) => show(session, name),
            Some(ThreadsCommand::Remove { name }) => {
                let pool = session.open()?;
                let id = resume::find(&*pool, name).ok().map(|found| found.id.to_string());
                resume::remove(&*pool, name).map_err(|error| missing(error, name))?;
                changed(session, name, id, "removed")
            }
            Some(ThreadsCommand::Resume { name }) => again(session, name),
        }
    }
}

fn missing(error: Error, name: &str) -> Fail {
    match error {
        Error::NoName(_) => Fail::missing(
            format!("there is no thread '{}'", printable(name)),
            "'twz threads' lists those there are",
        ),
        other => other.into(),
    }
}

fn changed(
    session: &mut Session,
    name: &str,
    id: Option<String>,
    what: &'static str,
) -> Outcome<Exit> {
    let document = json::ThreadChanged { name: name.into(), id, done: what };
    session.confirm(&document, &format!("{what} the thread '{}'", printable(name)))?;
    Ok(Exit::Done)
}

impl AddArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let (program, args) = self.command.split_first().ok_or_else(|| {
            Fail::usage("which program?", "twz threads add NAME -- PROGRAM [ARGUMENT]...")
        })?;
        let pool = session.open()?;
        let state = State {
            program: find_program(Path::new(program))?,
            args: args.to_vec(),
            resumable: !self.afresh,
            afresh: self.afresh,
            ..State::of_this_process()?
        };
        let claim = resume::make(&*pool, &self.name, state).map_err(|error| match error {
            Error::NameTaken(_) => Fail::no(
                format!("there is a thread '{}' already", printable(&self.name)),
                "choose another name, or remove that one with 'twz threads remove'",
            ),
            other => other.into(),
        })?;
        let id = claim.id().to_string();
        drop(claim);
        changed(session, &self.name, Some(id), "added")
    }
}

/// The program as a path from the root.
fn find_program(program: &Path) -> Outcome<PathBuf> {
    let found = match program.components().count() {
        1 if !program.has_root() => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|dir| dir.join(program)).find(|at| at.is_file())
        }
        _ => Some(program.to_path_buf()).filter(|at| at.is_file()),
    };
    let found = found.and_then(|at| std::path::absolute(at).ok());
    found.ok_or_else(|| {
        Fail::missing(
            format!("there is no program '{}'", program.display()),
            "give its path, or the name of one that is in $PATH",
        )
    })
}

fn again(session: &mut Session, name: &str) -> Outcome {
    let pool = session.open()?;
    let found = resume::find(&*pool, name).map_err(|error| missing(error, name))?;
    let claim = Claim::take(&*pool, found.id)?;
    let mut claim = claim.ok_or_else(|| {
        Fail::no(
            format!("the thread '{}' is running", printable(name)),
            "it can be resumed when it does not",
        )
    })?;
    claim.update(|state| {
        state.failures = 0;
        state.finished = false;
    })?;
    changed(session, name, Some(found.id.to_string()), "resumed")
}

/// In a word.
fn word(found: &Found) -> &'static str {
    match &found.state {
        _ if found.running => "running",
        state if state.finished => "finished",
        state if !state.started => "waiting",
        _ => "lost",
    }
}

fn describe_end(end: End) -> String {
    match end {
        End::Unknown => "-".into(),
        End::Exited(status) => format!("exit {status}"),
        End::Killed(signal) => format!("signal {signal}"),
        End::NotStarted(errno) => format!("errno {errno}"),
    }
}

fn describe(found: &Found) -> json::Thread {
    let state = &found.state;
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    json::Thread {
        name: found.name.clone(),
        id: found.id.to_string(),
        state: word(found),
        refused: found.may_run().err(),
        program: text(state.program.as_os_str()),
        args: state.args.iter().map(|arg| text(arg)).collect(),
        directory: text(state.directory.as_os_str()),
        environment: state.env.iter().map(|(k, v)| format!("{}={}", text(k), text(v))).collect(),
        view: state.view.map(|view| view.to_string()),
        contexts: state.contexts.iter().map(ToString::to_string).collect(),
        uid: state.uid,
        afresh: state.afresh,
        runs: state.generation,
        failures: state.failures,
        mark: state.mark,
        end: describe_end(state.end),
        registered: state.registered,
        started: (state.started_at != 0).then_some(state.started_at),
    }
}

fn list(session: &mut Session) -> Outcome {
    let pool = session.open()?;
    let mut document = json::Threads { threads: Vec::new(), damaged: Vec::new() };
    resume::each(&*pool, &mut |name, found| match found {
        Ok(found) => document.threads.push(describe(&found)),
        Err(error) => document
            .damaged
            .push(json::DamagedThread { name: name.into(), error: error.to_string() }),
    })?;
    session.answer(&document, |out, style| {
        let mut table =
            Table::new(&["NAME", "STATE", ">RUNS", ">FAILURES", "LAST END", ">USER", "PROGRAM"]);
        for thread in &document.threads {
            table.row([
                printable(&thread.name).into_owned(),
                thread.state.into(),
                thread.runs.to_string(),
                thread.failures.to_string(),
                thread.end.clone(),
                thread.uid.to_string(),
                printable(&thread.program).into_owned(),
            ]);
        }
        table.write(out, style)?;
        for thread in &document.damaged {
            let name = printable(&thread.name);
            writeln!(out, "{name}  {} {}", style.bad("damaged:"), thread.error)?;
        }
        Ok(())
    })?;
    Ok(if document.damaged.is_empty() { Exit::Done } else { Exit::Damaged })
}

fn show(session: &mut Session, name: &str) -> Outcome {
    let pool = session.open()?;
    let found = resume::find(&*pool, name).map_err(|error| missing(error, name))?;
    let thread = describe(&found);
    session.answer(&thread, |out, style| {
        let mut line = |what: &str, value: &str| {
            writeln!(out, "{} {}", style.bold(&format!("{what:<12}")), printable(value))
        };
        line("name", &thread.name)?;
        line("id", &thread.id)?;
        line("state", thread.state)?;
        if let Some(why) = thread.refused {
            line("not run", why)?;
        }
        line("program", &thread.program)?;
        for arg in &thread.args {
            line("argument", arg)?;
        }
        line("directory", &thread.directory)?;
        for variable in &thread.environment {
            line("environment", variable)?;
        }
        line("view", thread.view.as_deref().unwrap_or("its own"))?;
        for context in &thread.contexts {
            line("context", context)?;
        }
        line("user", &thread.uid.to_string())?;
        line("if lost", if thread.afresh { "started afresh" } else { "resumed" })?;
        line("runs", &thread.runs.to_string())?;
        line("failures", &thread.failures.to_string())?;
        line("last end", &thread.end)?;
        line("mark", &thread.mark.to_string())
    })?;
    Ok(Exit::Done)
}
