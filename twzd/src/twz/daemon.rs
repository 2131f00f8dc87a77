// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz daemon`: how twzd is, and the host's keys, which it holds; and [`Client`], by which
//! other commands have it use them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueHint};
use serde_json::Value;
use twzd::{Ask, LONGEST, Reply, Request, VERSION};

use crate::{
    exit::{Exit, Fail, Outcome},
    session::Session,
    term::Table,
};

/// Ask twzd how it is, and about the keys it holds
///
/// The keys of the host never leave the daemon. Its configuration says which users may
/// have it use which of them; 'twz grant --host-key' and others do.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz daemon status
  twz daemon new-key web
  twz grant /contexts/web /ledger r --host-key web")]
pub struct DaemonArgs {
    #[command(flatten)]
    socket: Socket,
    #[command(subcommand)]
    command: DaemonCommand,
}

#[derive(Subcommand)]
enum DaemonCommand {
    /// Say how it is
    #[command(after_help = "EXAMPLES\n  twz daemon status --json")]
    Status,
    /// Print its counters, as Prometheus reads them
    #[command(after_help = "EXAMPLES\n  twz daemon metrics > /var/lib/node_exporter/twzd.prom")]
    Metrics,
    /// List the host's keys
    #[command(after_help = "EXAMPLES\n  twz daemon keys")]
    Keys,
    /// Have it make a key, and print its id
    #[command(after_help = "EXAMPLES\n  twz daemon new-key web")]
    NewKey {
        /// What to call it
        name: String,
    },
    /// Have it make a context that one of the host's keys owns
    #[command(after_help = "EXAMPLES\n  twz daemon new-context /contexts/web --key web --mask r")]
    NewContext {
        /// The path of its name in the pool
        name: String,
        /// The key
        #[arg(long)]
        key: String,
        /// What it leaves of rights that everybody has
        #[arg(long, default_value = "rwxudg", allow_hyphen_values = true)]
        mask: String,
        /// What it is like: undetachable, confined; may be given twice
        #[arg(long = "flag")]
        flags: Vec<String>,
    },
}

/// Where the daemon listens.
#[derive(Args)]
pub struct Socket {
    /// Where twzd listens
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath, env = "TWZD_SOCKET", default_value = twzd::SOCKET)]
    socket: PathBuf,
}

impl Socket {
    /// A connection.
    pub fn connect(&self) -> Outcome<Client> {
        Client::connect(&self.socket)
    }
}

/// A connection to the daemon.
pub struct Client(UnixStream);

impl Client {
    /// Connects.
    pub fn connect(path: &Path) -> Outcome<Self> {
        UnixStream::connect(path).map(Self).map_err(|error| {
            Fail::no(
                format!("no twzd answers at {}: {error}", path.display()),
                "start it with 'twzd --serve', or say where it listens with --socket",
            )
        })
    }

    /// Has something done.
    pub fn ask(&mut self, ask: Ask) -> Outcome<Value> {
        let broken = |error: &dyn std::fmt::Display| {
            Fail::no(format!("twzd does not answer: {error}"), "see what it says in its journal")
        };
        let request = Request { version: VERSION, ask };
        let mut line = serde_json::to_string(&request).map_err(|error| broken(&error))?;
        line.push('\n');
        self.0.write_all(line.as_bytes()).map_err(|error| broken(&error))?;
        let mut answer = String::new();
        let mut from = BufReader::new(&self.0).take(16 * LONGEST as u64);
        from.read_line(&mut answer).map_err(|error| broken(&error))?;
        match serde_json::from_str(&answer).map_err(|error| broken(&error))? {
            Reply::Done(value) => Ok(value),
            Reply::Refused(refusal) => Err(Fail::told(refusal.message, refusal.errno)),
        }
    }
}

/// A field of an answer, as text.
pub fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".into(),
    }
}

impl DaemonArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let mut client = self.socket.connect()?;
        match &self.command {
            DaemonCommand::Status => {
                let value = client.ask(Ask::Status {})?;
                session.answer(&value, |out, style| {
                    for name in ["version", "protocol", "pool", "home", "key", "context", "seconds"]
                    {
                        let label = style.bold(&format!("{name:<9}")).into_owned();
                        writeln!(out, "{label} {}", field(&value, name))?;
                    }
                    Ok(())
                })?;
            }
            DaemonCommand::Metrics => {
                let value = client.ask(Ask::Metrics {})?;
                session.answer(&value, |out, _| out.write_all(field(&value, "text").as_bytes()))?;
            }
            DaemonCommand::Keys => keys(session, &mut client)?,
            DaemonCommand::NewKey { name } => {
                let value = client.ask(Ask::NewKey { name: name.clone() })?;
                session.answer(&value, |out, _| writeln!(out, "{}", field(&value, "id")))?;
            }
            DaemonCommand::NewContext { name, key, mask, flags } => {
                let (name, key) = (name.clone(), key.clone());
                let (mask, flags) = (mask.clone(), flags.clone());
                let value = client.ask(Ask::NewContext { name, key, mask, flags })?;
                session.answer(&value, |out, _| writeln!(out, "{}", field(&value, "id")))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn keys(session: &mut Session, client: &mut Client) -> Outcome<()> {
    let value = client.ask(Ask::Keys {})?;
    session.answer(&value, |out, style| {
        let mut table = Table::new(&["NAME", "KEY"]);
        for key in value.get("keys").and_then(Value::as_array).into_iter().flatten() {
            table.row([field(key, "name"), field(key, "id")]);
        }
        table.write(out, style)
    })
}
