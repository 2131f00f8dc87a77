// SPDX-License-Identifier: MIT OR Apache-2.0
//! What there is: `twz ls` and `twz info`.

use std::collections::HashMap;

use clap::Args;
use twz::{Backend, Binding, ObjectId, kind};

use crate::{
    exit::{Exit, Outcome},
    find, json,
    object::describe_file,
    paths::{self, NamePath},
    session::Session,
    size,
    term::{Table, printable},
};

/// List the objects of the pool
///
/// Those that the library keeps for itself, logs of transactions, the table of
/// processes, and the parts of a file behind its first object, are not shown without
/// --all. An object that is damaged is listed with
/// what is wrong; the exit code is 6 then.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz ls
  twz ls -l --names
  twz ls --json | jq -r '.objects[] | select(.name_count == 0) | .id'")]
pub struct LsArgs {
    /// Also what each takes on the medium, its rights, flags and number of names
    #[arg(long, short)]
    long: bool,
    /// Also the names of each
    #[arg(long)]
    names: bool,
    /// Also those that the library keeps for itself
    #[arg(long, short)]
    all: bool,
}

impl LsArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let mut ids = Vec::new();
        pool.list(&mut |id| {
            ids.push(id);
            Ok(())
        })?;
        ids.sort();
        let mut names = match self.names {
            true => Some(all_names(&*pool)?),
            false => None,
        };
        let mut document = json::Objects { objects: Vec::new(), damaged: Vec::new() };
        for id in ids {
            let own = names.as_mut().map(|names| names.remove(&id).unwrap_or_default());
            let shown = pool.stat(id).and_then(|stat| {
                let hidden = !self.all && kind::is_housekeeping(stat.kind);
                (!hidden).then(|| describe_file(&*pool, &stat, own)).transpose()
            });
            match shown {
                Ok(shown) => document.objects.extend(shown),
                // Deleted since it was listed.
                Err(twz::Error::NoObject(_)) => {}
                Err(error) => document
                    .damaged
                    .push(json::Damaged { id: id.to_string(), error: error.to_string() }),
            }
        }
        session.answer(&document, |out, style| {
            self.table(&document).write(out, style)?;
            for object in &document.damaged {
                writeln!(out, "{}  {} {}", object.id, style.bad("damaged:"), object.error)?;
            }
            Ok(())
        })?;
        Ok(if document.damaged.is_empty() { Exit::Done } else { Exit::Damaged })
    }

    fn table(&self, document: &json::Objects) -> Table {
        let mut headings = vec!["ID", "KIND", ">SIZE"];
        if self.long {
            headings.extend([">STORED", "RIGHTS", "FLAGS", ">NAMED"]);
        }
        if self.names {
            headings.push("NAMES");
        }
        let mut table = Table::new(&headings);
        for object in &document.objects {
            let length = object.length.unwrap_or(object.size);
            let mut cells = vec![object.id.clone(), object.kind.clone(), size::human(length)];
            if self.long {
                cells.extend([size::human(object.stored), object.rights.clone()]);
                cells.push(if object.flags.is_empty() {
                    "-".into()
                } else {
                    object.flags.join(",")
                });
                cells.push(object.name_count.to_string());
            }
            if let Some(names) = &object.names {
                let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
                cells.push(names.join(" "));
            }
            table.row(cells);
        }
        table
    }
}

/// The names of every object that has some.
fn all_names(pool: &dyn Backend) -> Outcome<HashMap<ObjectId, Vec<NamePath>>> {
    let mut names: HashMap<ObjectId, Vec<NamePath>> = HashMap::new();
    for (path, binding) in paths::list(pool, &NamePath::root(), true)? {
        if let Binding::Object(id) = binding {
            names.entry(id).or_default().push(path);
        }
    }
    Ok(names)
}

/// Say everything about an object
///
/// Its id is verified: it follows from the owner, the rights, the flags and,
/// of an immutable object, the bytes.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz info /greeting
  twz info 3f2a --json")]
pub struct InfoArgs {
    /// The object
    object: String,
}

impl InfoArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        let stat = pool.stat(id)?;
        let names = match stat.names {
            0 => Vec::new(),
            _ => paths::names_of(&*pool, id)?,
        };
        let object = describe_file(&*pool, &stat, Some(names))?;
        session.answer(&object, |out, style| {
            let mut line = |what: &str, value: &str| {
                writeln!(out, "{} {value}", style.bold(&format!("{what:<12}")))
            };
            line("id", &object.id)?;
            line("kind", &object.kind)?;
            line("size", &exact(object.size))?;
            if let Some(length) = object.length {
                line("length", &format!("{}, with the parts that follow", exact(length)))?;
            }
            for (i, part) in object.parts.iter().flatten().enumerate() {
                line(if i == 0 { "parts" } else { "" }, part)?;
            }
            line("stored", &exact(object.stored))?;
            line("rights", &object.rights)?;
            line("flags", if object.flags.is_empty() { "-" } else { "immutable" })?;
            line("type", object.fingerprint.as_deref().unwrap_or("-"))?;
            line("owner", object.owner.as_deref().unwrap_or("nobody"))?;
            line("nonce", &object.nonce)?;
            if let Some(content) = &object.content {
                line("content", content)?;
            }
            let names = object.names.iter().flatten();
            for (i, name) in names.enumerate() {
                line(if i == 0 { "names" } else { "" }, &printable(name))?;
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    }
}

fn exact(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        _ => format!("{} ({bytes} bytes)", size::human(bytes)),
    }
}
