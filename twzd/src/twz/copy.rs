// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz cp` and `twz rm`: copying and deleting objects.

use clap::Args;
use twz::{Joined, joined};

use crate::{
    exit::{Exit, Fail, Outcome},
    find, json,
    object::copy_of,
    paths::{NamePath, bind_or_delete, must_be_free, names_of},
    session::Session,
    term::count,
};

/// Copy an object, its pointers included, and print the id of the copy
///
/// The copy shares storage with the object until one of them is written to,
/// where the medium can do that.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz cp /catalogue --name /catalogue-before
  twz cp 3f2a --immutable")]
pub struct CpArgs {
    /// The object
    object: String,
    /// Never let the copy change; its id covers its bytes
    #[arg(long)]
    immutable: bool,
    /// Bind this name to the copy
    #[arg(long, value_name = "PATH")]
    name: Option<NamePath>,
}

impl CpArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        if let Some(name) = &self.name {
            must_be_free(&*pool, name)?;
        }
        let source = pool.stat(find::object(&*pool, &self.object)?)?;
        let id = joined::copy(&*pool, source.id, &copy_of(&source, self.immutable))?;
        if let Some(name) = &self.name {
            bind_or_delete(&*pool, name, id)?;
        }
        let file = Joined::find(&*pool, id)?;
        file.objects.iter().try_for_each(|id| pool.sync(*id))?;
        let name = self.name.as_ref().map(|name| name.as_str().into());
        let id = id.to_string();
        let document = json::Made { id: id.clone(), size: file.length, name };
        session.answer(&document, |out, _| writeln!(out, "{id}"))?;
        Ok(Exit::Done)
    }
}

/// Delete objects
///
/// An object that has names is refused: take them away first, or say --force.
/// Pointers to it are not looked for; 'twz graph --dangling' finds them.
/// Nothing is deleted unless everything that is named here is there.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz rm 3f2a
  twz rm --force /greeting /lists/head")]
pub struct RmArgs {
    /// The objects
    #[arg(required = true)]
    objects: Vec<String>,
    /// Take their names away first
    #[arg(long, short)]
    force: bool,
}

impl RmArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let mut doomed = Vec::new();
        for text in &self.objects {
            let stat = pool.stat(find::object(&*pool, text)?)?;
            if doomed.iter().any(|(id, _)| *id == stat.id) {
                continue;
            }
            let names = match stat.names {
                0 => Vec::new(),
                _ => names_of(&*pool, stat.id)?,
            };
            if let Some(name) = names.first().filter(|_| !self.force) {
                return Err(Fail::no(
                    format!("object {} is named '{name}'; nothing was deleted", stat.id),
                    format!(
                        "'twz name unbind {name}' takes the name away, and --force all of them"
                    ),
                ));
            }
            doomed.push((stat.id, names));
        }
        let mut document = json::Removed { removed: Vec::new(), unbound: Vec::new() };
        for (id, names) in doomed {
            for name in names {
                pool.unbind(name.as_str())?;
                document.unbound.push(name.as_str().into());
            }
            joined::delete(&*pool, id)?;
            document.removed.push(id.to_string());
        }
        let objects = count(document.removed.len() as u64, "object");
        let sentence = match document.unbound.len() {
            0 => format!("deleted {objects}"),
            names => format!("deleted {objects} and {}", count(names as u64, "name")),
        };
        session.confirm(&document, &sentence)?;
        Ok(Exit::Done)
    }
}
