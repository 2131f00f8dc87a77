// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server that speaks the Redis protocol over a [`twzkvs`] store, for
//! redis-cli, redis-benchmark and whatever else does. The store is an object like
//! any other: other programs read it, and write to it, while the server runs.
#![forbid(unsafe_code)]

mod command;
mod resp;
mod server;

use std::{net::TcpListener, os::unix::net::UnixListener, path::PathBuf, process::ExitCode};

use clap::Parser;
use command::Store;
use twz::{Durability, Error, Space};
use twzkvs::Options;

/// Serve a twzkvs store over the Redis protocol.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// TCP port on 127.0.0.1; 0 takes a free one, and says which
    #[arg(long, default_value_t = 6379)]
    port: u16,
    /// A Unix socket to serve as well
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Serve the Unix socket only
    #[arg(long, requires = "unix")]
    no_tcp: bool,
    /// The name of the store in the pool; it is made if it is not there
    #[arg(long, default_value = "/kvs")]
    name: String,
    /// The pool [default: TWZ_POOL, or the user's own, which is made if need be]
    #[arg(long, value_name = "PATH")]
    pool: Option<PathBuf>,
    /// What has been answered survives a power cut
    #[arg(long)]
    durable: bool,
    /// Keys of 16 bytes to make room for in a new store
    #[arg(long, default_value_t = 0)]
    capacity: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("twzkvsd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let space = match &args.pool {
        Some(pool) => Space::open(pool)?,
        None => Space::open_default()?,
    };
    // Where that costs no system call, each change is durable by itself.
    let together = args.durable && space.durability() == Durability::Process;
    let durability = if args.durable { Durability::Power } else { Durability::Process };
    space.set_durability(durability);
    let store = match space.resolve(&args.name) {
        Ok(id) => Store::open(&space, id)?,
        Err(Error::NoName(_)) => {
            let options = Options { capacity: args.capacity, ..Options::default() };
            let store = Store::create(&space, &options)?;
            space.bind(&args.name, store.id())?;
            store
        }
        Err(error) => return Err(error.into()),
    };
    let mut listeners = server::Listeners::default();
    if !args.no_tcp {
        let tcp = TcpListener::bind(("127.0.0.1", args.port))
            .map_err(|error| format!("cannot listen on port {}: {error}", args.port))?;
        println!("listening on {}", tcp.local_addr()?);
        listeners.tcp = Some(tcp);
    }
    if let Some(path) = &args.unix {
        // A server that was killed leaves its socket; one that lives has it open.
        if std::os::unix::net::UnixStream::connect(path).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let unix = UnixListener::bind(path)
            .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        println!("listening on {}", path.display());
        listeners.unix = Some(unix);
    }
    Ok(server::serve(&listeners, &store, together)?)
}
