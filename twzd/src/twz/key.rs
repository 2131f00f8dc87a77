// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz key`: keys, which own objects and sign for them; and [`Signer`], the options
//! by which other commands are told what to sign with.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueHint};
use twz::{
    Backend, ObjectId, Rights, kind,
    security::{KeyPair, secret},
};

use crate::{
    daemon::{Client, Socket},
    exit::{Exit, Fail, Outcome},
    find, json,
    object::{hex, parse_rights},
    paths::{NamePath, bind_or_delete, must_be_free},
    session::Session,
    term::Table,
};

#[derive(Subcommand)]
pub enum KeyCommand {
    New(KeyNewArgs),
    /// List the keys of a pool
    #[command(after_help = "EXAMPLES\n  twz key ls\n  twz key ls --json | jq -r '.keys[].id'")]
    Ls,
    /// Say everything about a key
    #[command(after_help = "EXAMPLES\n  twz key show /keys/web")]
    Show {
        /// The key
        key: String,
    },
}

/// Make a key and print its id
///
/// The public half becomes an object that never changes: its id is what objects
/// name as their owner. The secret half is kept in a file that only you may read, or
/// in an object, sealed with a passphrase.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz key new --name /keys/web --file ~/.web.key
  twz key new --passphrase --rights r
  twz new --owner /keys/web --rights - --from ledger.db")]
pub struct KeyNewArgs {
    /// Bind this name to the key
    #[arg(long, value_name = "PATH")]
    name: Option<NamePath>,
    /// Keep the secret half in this new file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Seal the secret half with a passphrase, asked for on the terminal
    #[arg(long)]
    passphrase: bool,
    /// Seal it with the first line of this file; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<PathBuf>,
    /// Rights that everybody has on the object with the secret half; without a passphrase
    /// they are all that keeps it [default: r, for what is sealed]
    #[arg(long, value_parser = parse_rights, allow_hyphen_values = true, conflicts_with = "file")]
    rights: Option<Rights>,
}

/// What to sign with.
#[derive(Args)]
#[command(next_help_heading = "Options for signing")]
pub struct Signer {
    /// Sign with this key: the object of the key, or of its secret half
    #[arg(long, value_name = "KEY", required_unless_present_any = ["key_file", "host_key"])]
    key: Option<String>,
    /// Sign with the key in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "TWZ_KEY_FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// The passphrase is the first line of this file; - is the standard input
    /// [default: asked for on the terminal if it is needed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    /// Have twzd do it, with the host's key of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "key_file", "passphrase_file"])]
    host_key: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

/// The same where it may be left out.
#[derive(Args)]
#[command(next_help_heading = "Options for a proof")]
pub struct Proof {
    /// Prove with this key that its owner wants it, instead of having the right
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The same with the key in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// The passphrase is the first line of this file; - is the standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    /// Have twzd prove it, with the host's key of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "key_file"])]
    host_key: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

/// Who proves.
pub enum Prover {
    /// A key.
    Key(KeyPair),
    /// The daemon, with the host's key of this name.
    Host(String, Client),
}

impl KeyCommand {
    pub fn run(&self, session: &mut Session) -> Outcome {
        match self {
            Self::New(args) => args.run(session),
            Self::Ls => list(session),
            Self::Show { key } => show(session, key),
        }
    }
}

impl KeyNewArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        if let Some(name) = &self.name {
            must_be_free(&*pool, name)?;
        }
        let passphrase = match &self.passphrase_file {
            Some(path) => Some(first_line(path)?),
            None if self.passphrase => Some(new_passphrase()?),
            None => None,
        };
        if passphrase.as_ref().is_some_and(|words| words.is_empty()) {
            return Err(Fail::usage("the passphrase is empty", "leave it out, or give one"));
        }
        if self.file.is_none() && passphrase.is_none() && self.rights.is_none() {
            return Err(Fail::usage(
                "where is the secret half to be kept, and from whom?",
                "in a file: --file; sealed: --passphrase; in the pool as it is: --rights",
            ));
        }
        let key = KeyPair::generate()?;
        // What is kept first: a key that nobody has the secret of owns nothing.
        let secrets = match &self.file {
            Some(path) => {
                secret::save(path, &key, passphrase.as_deref())?;
                Vec::new()
            }
            None => {
                // Who reads what is sealed has not got it yet.
                let rights = self.rights.unwrap_or(Rights::READ);
                vec![secret::store(&*pool, &key, passphrase.as_deref(), rights)?.to_string()]
            }
        };
        let id = key.publish(&*pool)?;
        if let Some(name) = &self.name {
            bind_or_delete(&*pool, name, id)?;
        }
        let document = json::Key {
            id: id.to_string(),
            public: hex(&key.public()),
            secrets,
            file: self.file.as_ref().map(|path| path.display().to_string()),
        };
        session.answer(&document, |out, _| writeln!(out, "{}", document.id))?;
        Ok(Exit::Done)
    }
}

/// Every key with the secrets there are for it.
fn keys(pool: &dyn Backend) -> Outcome<Vec<json::Key>> {
    let mut secrets = Vec::new();
    secret::list(pool, &mut |id| {
        // A secret is its key's own: whose it is needs no reading.
        secrets.push((pool.stat(id)?.identity.owner, id));
        Ok(())
    })?;
    let mut keys = Vec::new();
    KeyPair::list(pool, &mut |id, public| {
        let its = secrets.iter().filter(|(owner, _)| *owner == id);
        keys.push(json::Key {
            id: id.to_string(),
            public: hex(&public),
            secrets: its.map(|(_, secret)| secret.to_string()).collect(),
            file: None,
        });
        Ok(())
    })?;
    Ok(keys)
}

fn list(session: &mut Session) -> Outcome {
    let pool = session.open()?;
    let document = json::Keys { keys: keys(&*pool)? };
    session.answer(&document, |out, style| {
        let mut table = Table::new(&["KEY", "SECRET", "PUBLIC"]);
        for key in &document.keys {
            let secret = key.secrets.first().cloned().unwrap_or_else(|| "elsewhere".into());
            table.row([key.id.clone(), secret, key.public.clone()]);
        }
        table.write(out, style)
    })?;
    Ok(Exit::Done)
}

fn show(session: &mut Session, key: &str) -> Outcome {
    let pool = session.open()?;
    let id = find::object(&*pool, key)?;
    let public = KeyPair::public_of(&*pool, id)?;
    let text = id.to_string();
    let found = keys(&*pool)?.into_iter().find(|key| key.id == text);
    let document = found.unwrap_or(json::Key {
        id: text,
        public: hex(&public),
        secrets: Vec::new(),
        file: None,
    });
    session.answer(&document, |out, style| {
        let mut line = |what: &str, value: &str| {
            writeln!(out, "{} {value}", style.bold(&format!("{what:<8}")))
        };
        line("key", &document.id)?;
        line("public", &document.public)?;
        for secret in &document.secrets {
            line("secret", secret)?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

impl Signer {
    /// Whom to ask instead, with which of the host's keys.
    pub fn host(&self) -> Outcome<Option<(String, Client)>> {
        match &self.host_key {
            Some(name) => Ok(Some((name.clone(), self.socket.connect()?))),
            None => Ok(None),
        }
    }

    /// The key.
    pub fn key(&self, pool: &dyn Backend) -> Outcome<KeyPair> {
        let Self { key, key_file, passphrase_file, .. } = self;
        let found = open(pool, key.as_deref(), key_file.as_deref(), passphrase_file.as_deref())?;
        found.ok_or_else(|| Fail::usage("which key?", "say it with --key or --key-file"))
    }
}

impl Proof {
    /// Who proves, if there is to be a proof.
    pub fn prover(&self, pool: &dyn Backend) -> Outcome<Option<Prover>> {
        if let Some(name) = &self.host_key {
            return Ok(Some(Prover::Host(name.clone(), self.socket.connect()?)));
        }
        let Self { key, key_file, passphrase_file, .. } = self;
        let key = open(pool, key.as_deref(), key_file.as_deref(), passphrase_file.as_deref())?;
        Ok(key.map(Prover::Key))
    }
}

fn open(
    pool: &dyn Backend,
    key: Option<&str>,
    file: Option<&Path>,
    passphrase: Option<&Path>,
) -> Outcome<Option<KeyPair>> {
    if let Some(path) = file {
        return unsealed(passphrase, |words| secret::read(path, words)).map(Some);
    }
    let Some(key) = key else { return Ok(None) };
    let secret = secret_of(pool, find::object(pool, key)?)?;
    unsealed(passphrase, |words| secret::load(pool, secret, words)).map(Some)
}

/// The object with the secret half of what was named.
fn secret_of(pool: &dyn Backend, id: ObjectId) -> Outcome<ObjectId> {
    if pool.stat(id)?.kind != kind::KEY {
        return Ok(id);
    }
    let mut found = None;
    secret::list(pool, &mut |secret| {
        if pool.stat(secret)?.identity.owner == id {
            found.get_or_insert(secret);
        }
        Ok(())
    })?;
    found.ok_or_else(|| {
        Fail::missing(
            format!("the secret half of the key {id} is not in this pool"),
            "name the file that has it with --key-file",
        )
    })
}

/// Opens a secret, with the passphrase if it turns out to need one.
fn unsealed(
    passphrase: Option<&Path>,
    open: impl Fn(Option<&[u8]>) -> twz::Result<KeyPair>,
) -> Outcome<KeyPair> {
    if let Some(path) = passphrase {
        return Ok(open(Some(&first_line(path)?))?);
    }
    match open(None) {
        Err(twz::Error::Secret(twz::error::NoSecret::Sealed)) if can_ask() => {
            Ok(open(Some(&ask("passphrase: ")?))?)
        }
        opened => Ok(opened?),
    }
}

fn first_line(path: &Path) -> Outcome<Vec<u8>> {
    let mut line = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().read_until(b'\n', &mut line),
        false => std::fs::File::open(path)
            .and_then(|file| std::io::BufReader::new(file).read_until(b'\n', &mut line)),
    };
    read.map_err(Fail::file("read", path))?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

fn new_passphrase() -> Outcome<Vec<u8>> {
    if !can_ask() {
        return Err(Fail::usage("there is no terminal to ask on", "use --passphrase-file"));
    }
    let words = ask("new passphrase: ")?;
    match ask("the same again: ")? == words {
        true => Ok(words),
        false => Err(Fail::no("the two are not the same", "try again")),
    }
}

fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal, without showing what is typed.
fn ask(prompt: &str) -> Outcome<Vec<u8>> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let failed = |errno: nix::Error| Fail::no(format!("cannot ask: {errno}"), "use a file");
    let shown = tcgetattr(&stdin).map_err(failed)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    eprint!("{prompt}");
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden).map_err(failed)?;
    let words = first_line(Path::new("-"));
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &shown).map_err(failed)?;
    words
}
