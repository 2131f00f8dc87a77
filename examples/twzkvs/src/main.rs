// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twzkvs`: a store by hand. What the library beside it does, from the shell.
#![forbid(unsafe_code)]

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use twz::{Durability, Space};
use twzkvs::{Kvs, Options};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Keys and values that outlive programs.
///
/// A store is an object, and STORE a name that is bound to it.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The pool [default: as for twz]
    #[arg(long, env = "TWZ_POOL", value_name = "PATH", global = true)]
    pool: Option<PathBuf>,
    /// What is changed survives a power cut
    #[arg(long, global = true)]
    durable: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a store
    Create {
        store: String,
        /// Keys of 16 bytes to make room for
        #[arg(long, default_value_t = 0)]
        capacity: u64,
    },
    /// Set the value of a key; without VALUE, to what standard input has
    Put { store: String, key: String, value: Option<String> },
    /// Write the value of a key to standard output
    Get { store: String, key: String },
    /// Say whether a key is there, which the index alone knows
    Has { store: String, key: String },
    /// Take a key away
    Delete { store: String, key: String },
    /// List the keys, and how long their values are or why they cannot be seen
    List { store: String },
    /// Say what a store is
    Info { store: String },
    /// Copy what is live to a new data object, and delete the old one
    Compact { store: String },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("twzkvs: {error}");
            ExitCode::from(2)
        }
    }
}

fn open(space: &Space, name: &str) -> Outcome<Kvs> {
    Ok(Kvs::open(space, space.resolve(name)?).map_err(|error| format!("'{name}': {error}"))?)
}

/// Whether what was asked for was there.
fn run(args: &Args) -> Outcome<bool> {
    let space = match &args.pool {
        Some(pool) => Space::open(pool)?,
        None => Space::open_default()?,
    };
    if args.durable {
        space.set_durability(Durability::Power);
    }
    let missing = |key: &str| {
        eprintln!("twzkvs: there is no key '{key}'");
        Ok(false)
    };
    match &args.verb {
        Verb::Create { store, capacity } => {
            let options = Options { capacity: *capacity, ..Options::default() };
            let kvs = Kvs::<2>::create(&space, &options)?;
            if let Err(error) = space.backend().bind(store, kvs.id(), false) {
                for id in kvs.data()?.into_iter().chain([kvs.id()]) {
                    space.backend().delete(id)?;
                }
                return Err(error.into());
            }
            println!("{}", kvs.id());
        }
        Verb::Put { store, key, value } => {
            let value = match value {
                Some(value) => value.clone().into_bytes(),
                None => {
                    let mut value = Vec::new();
                    io::stdin().read_to_end(&mut value)?;
                    value
                }
            };
            open(&space, store)?.write()?.put(key.as_bytes(), &value)?;
        }
        Verb::Get { store, key } => match open(&space, store)?.get(key.as_bytes())? {
            Some(value) => io::stdout().write_all(value)?,
            None => return missing(key),
        },
        Verb::Has { store, key } => return Ok(open(&space, store)?.contains(key.as_bytes())?),
        Verb::Delete { store, key } => {
            if !open(&space, store)?.write()?.delete(key.as_bytes())? {
                return missing(key);
            }
        }
        Verb::List { store } => list(&open(&space, store)?)?,
        Verb::Info { store } => info(&open(&space, store)?)?,
        Verb::Compact { store } => {
            let old = open(&space, store)?.write()?.compact()?;
            space.backend().delete(old)?;
        }
    }
    Ok(true)
}

fn list(kvs: &Kvs) -> Outcome<()> {
    let (mut from, mut out) = (0, io::stdout().lock());
    loop {
        let (next, rows) = kvs.scan(from)?;
        for (key, value) in rows {
            let key = String::from_utf8_lossy(&key).escape_debug().to_string();
            match value {
                Ok(value) => writeln!(out, "{key}\t{} bytes", value.len())?,
                Err(error) => writeln!(out, "{key}\t{error}")?,
            }
        }
        match next {
            0 => return Ok(()),
            next => from = next,
        }
    }
}

fn info(kvs: &Kvs) -> Outcome<()> {
    let stored = |id| kvs.space().backend().stat(id).map(|stat| stat.stored);
    println!("index    {}\nkeys     {}\nstored   {} bytes", kvs.id(), kvs.len(), stored(kvs.id())?);
    for id in kvs.data()? {
        match stored(id) {
            Ok(bytes) => println!("data     {id}, {bytes} bytes"),
            Err(error) => println!("data     {id}: {error}"),
        }
    }
    Ok(())
}
