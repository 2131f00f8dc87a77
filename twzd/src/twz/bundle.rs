// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz export` and `twz import`: one object as one file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueHint};
use twz::{Backend, ObjectId, bundle};

use crate::{
    exit::{Exit, Fail, Outcome},
    find, json,
    paths::{NamePath, bind_or_delete, must_be_free},
    progress::Progress,
    session::Session,
    size,
};

/// Write an object to a file, to be imported elsewhere under the same id
///
/// The file holds the data, the table of pointers and all that the id is made
/// from. It takes the place of FILE when it is whole.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz export /greeting greeting.twzo
  twz export 3f2a - | ssh elsewhere twz import -")]
pub struct ExportArgs {
    /// The object
    object: String,
    /// The file to write, or - for the standard output
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

impl ExportArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        pool.stat(id)?;
        let mut bar = session.progress("exporting");
        if self.file == Path::new("-") {
            if session.json() {
                return Err(Fail::usage(
                    "the standard output cannot hold both the object and a JSON document",
                    "give a file instead of -, or leave --json out",
                ));
            }
            let out = session.raw();
            bundle::export(&*pool, id, out, &mut |done, total| bar.bytes(done, total))?;
            return Ok(Exit::Done);
        }
        let bytes = write_whole(&self.file, &*pool, id, &mut bar)?;
        drop(bar);
        let file = self.file.display().to_string();
        let sentence = format!("wrote {id} to {file}, {}", size::human(bytes));
        session.confirm(&json::Exported { id: id.to_string(), file, bytes }, &sentence)?;
        Ok(Exit::Done)
    }
}

/// Writes a file under another name, and renames it when it is whole.
fn write_whole(path: &Path, pool: &dyn Backend, id: ObjectId, bar: &mut Progress) -> Outcome<u64> {
    let Some(name) = path.file_name() else {
        return Err(Fail::usage(format!("{} is no file", path.display()), "give a file to write"));
    };
    let mut half = name.to_owned();
    half.push(format!(".{}.part", std::process::id()));
    let half = path.with_file_name(half);
    let write = |bar: &mut Progress| -> Outcome<u64> {
        let file = File::create_new(&half).map_err(Fail::file("create", path))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        bundle::export(pool, id, &mut out, &mut |done, total| bar.bytes(done, total))?;
        out.flush().map_err(Fail::file("write", path))?;
        let file = out.get_ref();
        file.sync_all().map_err(Fail::file("write", path))?;
        let bytes = file.metadata().map_err(Fail::file("write", path))?.len();
        fs::rename(&half, path).map_err(Fail::file("write", path))?;
        Ok(bytes)
    };
    let written = write(bar);
    if written.is_err() {
        // It is gone already if it was renamed, or never there.
        let _ = fs::remove_file(&half);
    }
    written
}

/// Put an exported object into the pool, under the id it has, and print that
///
/// Its id and its bytes are verified first: an object that is not what it says
/// it is stays outside.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz import greeting.twzo
  twz import greeting.twzo --name /greeting
  ssh elsewhere twz export /greeting - | twz import -")]
pub struct ImportArgs {
    /// The file to read, or - for the standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Bind this name to it
    #[arg(long, value_name = "PATH")]
    name: Option<NamePath>,
}

impl ImportArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        if let Some(name) = &self.name {
            must_be_free(&*pool, name)?;
        }
        let mut from: Box<dyn Read> = match self.file == Path::new("-") {
            true => Box::new(io::stdin().lock()),
            false => {
                let file = File::open(&self.file).map_err(Fail::file("open", &self.file))?;
                Box::new(io::BufReader::with_capacity(1 << 20, file))
            }
        };
        let mut bar = session.progress("importing");
        let id = bundle::import(&*pool, &mut from, &mut |done, total| bar.bytes(done, total))?;
        drop(bar);
        if let Some(name) = &self.name {
            bind_or_delete(&*pool, name, id)?;
        }
        let size = pool.size(id)?;
        let name = self.name.as_ref().map(|name| name.as_str().into());
        let id = id.to_string();
        session
            .answer(&json::Made { id: id.clone(), size, name }, |out, _| writeln!(out, "{id}"))?;
        Ok(Exit::Done)
    }
}
