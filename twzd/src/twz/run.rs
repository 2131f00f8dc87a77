// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs in contexts, or on files that are objects: `twz run`, and `twz attach`,
//! which is the same for a shell, and says what a shell is attached to.

use std::{ffi::OsString, os::unix::process::CommandExt as _, path::Path, process::Command};

use clap::Args;
use twz::{ObjectId, Space, security::How};
use twzd::Ask;

use crate::{
    daemon::{Client, field},
    elevated,
    exit::{Exit, Fail, Outcome},
    find, json,
    key::{Proof, Prover},
    object::{hex, unhex},
    preload,
    session::Session,
    term::printable,
};

/// Run a program in a security context, or faster on files that are objects
///
/// It acts in the first context named, and is attached to the others as well. What it
/// starts inherits that. With a directory as the pool this binds programs that use
/// the library; with the kernel module it binds every program.
///
/// Without a context a library is loaded before it that answers reads and writes of
/// files beneath the pool's names from memory. The program needs no change, and
/// sees none. One that is setuid, or has file capabilities, is refused: it loads no such
/// library.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz run --stats -- sqlite3 $TWZ_POOL/names/app.db vacuum
  twz run --context /contexts/web -- ./server --port 8080
  twz run -c /contexts/web -c /contexts/logger --only --key-file web.key -- ./server")]
pub struct RunArgs {
    #[command(flatten)]
    contexts: Contexts,
    /// Say at its end what was read and written by memory, and what by the kernel
    #[arg(long, conflicts_with = "contexts")]
    stats: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

/// Start a shell in a security context, or say which one this shell is in
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz attach
  twz attach -c /contexts/web")]
pub struct AttachArgs {
    #[command(flatten)]
    contexts: Contexts,
}

/// Which contexts, and how.
#[derive(Args)]
struct Contexts {
    /// A context to be attached to; the first is the one to act in
    #[arg(long = "context", short, value_name = "CONTEXT")]
    contexts: Vec<String>,
    /// Leave the default context behind: there is no way back to it
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    proof: Proof,
}

impl RunArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let (program, args) = self.command.split_first().ok_or_else(|| {
            Fail::usage("which program?", "twz run --context CONTEXT -- PROGRAM [ARGUMENT]...")
        })?;
        let mut command = Command::new(program);
        command.args(args);
        if self.contexts.contexts.is_empty() && !self.contexts.only {
            elevated::refuse(program)?;
            preload::add(&mut command, &session.pool_path()?);
        }
        let command = self.contexts.prepare(session, command)?;
        if self.stats {
            session.finish()?;
            std::process::exit(preload::counted(command, session.json())?);
        }
        become_it(command, session)
    }
}

/// Becomes the program.
fn become_it(mut command: Command, session: &mut Session) -> Outcome {
    session.finish()?;
    let program = command.get_program().to_os_string();
    let error = command.exec();
    Err(Fail::file("run", Path::new(&program))(error))
}

impl AttachArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        if self.contexts.contexts.is_empty() {
            return state(session);
        }
        let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        let command = self.contexts.prepare(session, Command::new(shell))?;
        become_it(command, session)
    }
}

impl Contexts {
    /// Has the program begin attached.
    fn prepare(&self, session: &mut Session, mut command: Command) -> Outcome<Command> {
        let space = Space::on(session.open()?)?;
        let pool = space.backend();
        let mut prover = self.proof.prover(pool)?;
        let mut ids = Vec::new();
        for text in &self.contexts {
            let id = find::object(pool, text)?;
            match &mut prover {
                Some(Prover::Key(key)) => space.attach_with_key(id, key, How::default())?,
                Some(Prover::Host(name, client)) => proven(&space, id, name, client)?,
                None => space.attach(id)?,
            }
            ids.push(id);
        }
        if let Some(first) = ids.first() {
            space.switch(*first)?;
        }
        if self.only {
            if ids.is_empty() {
                return Err(Fail::usage("--only, and no context", "name one with --context"));
            }
            space.detach(ObjectId::NULL)?;
        }
        command.env("TWZ_POOL", session.pool_path()?);
        command.envs(space.environment());
        Ok(command)
    }
}

/// Attaches with a proof that the daemon gives.
fn proven(space: &Space, id: ObjectId, key: &str, client: &mut Client) -> Outcome<()> {
    let nonce = hex(&space.backend().contexts()?.nonce);
    let value = client.ask(Ask::Prove { context: id.to_string(), key: key.into(), nonce })?;
    let proof = field(&value, "proof");
    let proof = unhex(&proof).ok_or_else(|| {
        Fail::no("twzd answers with what is no proof", "it may be of another version")
    })?;
    Ok(space.attach_with_proof(id, &proof, How::default())?)
}

/// What this process is attached to, which is what the shell is that started it.
fn state(session: &mut Session) -> Outcome {
    let space = Space::on(session.open()?)?;
    let attached = space.attached()?;
    let text = |id: &ObjectId| (!id.is_null()).then(|| id.to_string());
    let document = json::Attached {
        active: text(&attached.active),
        attached: attached.all.iter().map(text).collect(),
    };
    session.answer(&document, |out, style| {
        for id in &document.attached {
            let name = id.as_deref().unwrap_or("default");
            let mark = if *id == document.active { "active" } else { "" };
            writeln!(out, "{} {}", style.bold(&format!("{mark:<7}")), printable(name))?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}
