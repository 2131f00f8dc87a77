// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz name`: the tree of names.

use clap::{Args, Subcommand};
use twz::{Binding, ObjectId};

use crate::{
    exit::{Exit, Fail, Outcome},
    find, json,
    paths::{self, NamePath, no_place},
    session::Session,
    term::Table,
};

#[derive(Subcommand)]
#[command(after_help = "EXAMPLES
  twz name ls -R
  twz name bind /lists/head 3f2a --replace
  twz name mv /lists/head /lists/first")]
pub enum NameCommand {
    Ls(LsArgs),
    Bind(BindArgs),
    /// Take a name away; the object stays
    #[command(after_help = "EXAMPLES\n  twz name unbind /lists/head")]
    Unbind {
        /// The name
        path: NamePath,
    },
    /// Rename; what the new name was bound to loses it
    ///
    /// If the new name is a directory of names, the old one is moved into it.
    #[command(after_help = "EXAMPLES
  twz name mv /lists/head /lists/first
  twz name mv /lists /old/")]
    Mv {
        /// The old name
        from: NamePath,
        /// The new one
        to: NamePath,
    },
    /// Make a directory of names
    #[command(
        after_help = "EXAMPLES\n  twz name mkdir /lists\n  twz name mkdir -p /lists/old/2025"
    )]
    Mkdir {
        /// Its path
        path: NamePath,
        /// Make those above it too, and do not mind if it is there
        #[arg(long, short)]
        parents: bool,
    },
    /// Remove an empty directory of names
    #[command(after_help = "EXAMPLES\n  twz name rmdir /lists/old")]
    Rmdir {
        /// Its path
        path: NamePath,
    },
    /// Print the id of the object that a name is bound to
    #[command(after_help = "EXAMPLES\n  twz name resolve /lists/head")]
    Resolve {
        /// The name
        path: NamePath,
    },
}

impl NameCommand {
    pub fn run(&self, session: &mut Session) -> Outcome {
        match self {
            Self::Ls(args) => args.run(session)?,
            Self::Bind(args) => args.run(session)?,
            Self::Unbind { path } => unbind(session, path)?,
            Self::Mv { from, to } => rename(session, from, to)?,
            Self::Mkdir { path, parents } => mkdir(session, path, *parents)?,
            Self::Rmdir { path } => {
                session.open()?.remove_dir(path.as_str())?;
                confirm(session, path, Binding::Directory, format!("removed '{path}'"))?;
            }
            Self::Resolve { path } => resolve(session, path)?,
        }
        Ok(Exit::Done)
    }
}

/// List names and what they are bound to
///
/// Names that begin with a dot, and what is below them, are not shown without --all.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz name ls
  twz name ls /lists -R
  twz name ls -R --json")]
pub struct LsArgs {
    /// The directory of names [default: /]
    dir: Option<NamePath>,
    /// Those below it too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Also those that begin with a dot
    #[arg(long, short)]
    all: bool,
}

impl LsArgs {
    fn run(&self, session: &mut Session) -> Outcome<()> {
        let pool = session.open()?;
        let dir = self.dir.clone().unwrap_or_else(NamePath::root);
        let mut found = paths::list(&*pool, &dir, self.recursive)?;
        found.retain(|(path, _)| self.all || !path.is_hidden_in(&dir));
        let names = found.iter().map(|(path, binding)| document(path, *binding)).collect();
        session.answer(&json::Names { names }, |out, style| {
            let mut table = Table::new(&["NAME", "OBJECT"]);
            for (path, binding) in &found {
                table.row(match binding {
                    Binding::Object(id) => [path.to_string(), id.to_string()],
                    Binding::Directory => [format!("{path}/"), String::new()],
                });
            }
            table.write(out, style)
        })
    }
}

/// Bind a name to an object
///
/// An object can have many names. With --replace the name is taken from what it
/// was bound to in one step: whoever looks it up finds the one or the other.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz name bind /greeting 3f2a
  twz name bind /current /releases/2 --replace")]
pub struct BindArgs {
    /// The name
    path: NamePath,
    /// The object
    object: String,
    /// Rebind the name if it is taken
    #[arg(long)]
    replace: bool,
}

impl BindArgs {
    fn run(&self, session: &mut Session) -> Outcome<()> {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        pool.bind(self.path.as_str(), id, self.replace)
            .map_err(|error| no_place(error, &self.path))?;
        let sentence = format!("bound '{}' to {id}", self.path);
        confirm(session, &self.path, Binding::Object(id), sentence)
    }
}

fn unbind(session: &mut Session, path: &NamePath) -> Outcome<()> {
    let pool = session.open()?;
    let binding = pool.lookup(path.as_str())?;
    pool.unbind(path.as_str())?;
    confirm(session, path, binding, format!("'{path}' is bound to nothing any more"))
}

fn rename(session: &mut Session, from: &NamePath, to: &NamePath) -> Outcome<()> {
    let pool = session.open()?;
    let Some(last) = from.last() else {
        return Err(Fail::usage("the root of all names stays where it is", "name what is in it"));
    };
    pool.lookup(from.as_str())?;
    let to = match pool.lookup(to.as_str()) {
        Ok(Binding::Directory) if from != to => to.join(last),
        _ => to.clone(),
    };
    if to.is_below(from) {
        return Err(Fail::usage(
            format!("'{from}' cannot be moved below itself, to '{to}'"),
            "choose a place outside it",
        ));
    }
    pool.rename(from.as_str(), to.as_str()).map_err(|error| no_place(error, &to))?;
    let document = json::Moved { from: from.as_str().into(), to: to.as_str().into() };
    session.confirm(&document, &format!("'{from}' is '{to}' now"))
}

fn mkdir(session: &mut Session, path: &NamePath, parents: bool) -> Outcome<()> {
    let pool = session.open()?;
    if parents {
        for dir in path.ancestors() {
            match pool.make_dir(dir.as_str()) {
                Err(twz::Error::NameTaken(_))
                    if pool.lookup(dir.as_str())? == Binding::Directory => {}
                other => other?,
            }
        }
    } else {
        pool.make_dir(path.as_str()).map_err(|error| match error {
            twz::Error::NameTaken(_) => Fail::no(
                format!("the name '{path}' is taken"),
                "choose another, or say --parents if it may be there",
            ),
            other => no_place(other, path),
        })?;
    }
    confirm(session, path, Binding::Directory, format!("made '{path}'"))
}

fn resolve(session: &mut Session, path: &NamePath) -> Outcome<()> {
    match session.open()?.lookup(path.as_str())? {
        Binding::Object(id) => {
            let document = document(path, Binding::Object(id));
            session.answer(&document, |out, _| writeln!(out, "{id}"))
        }
        Binding::Directory => Err(Fail::no(
            format!("'{path}' is a directory of names, and no object"),
            format!("'twz name ls {path}' lists what is in it"),
        )),
    }
}

fn document(path: &NamePath, binding: Binding) -> json::Name {
    let (kind, id): (_, Option<ObjectId>) = match binding {
        Binding::Object(id) => ("object", Some(id)),
        Binding::Directory => ("directory", None),
    };
    json::Name { path: path.as_str().into(), kind, id: id.map(|id| id.to_string()) }
}

fn confirm(
    session: &mut Session,
    path: &NamePath,
    binding: Binding,
    sentence: String,
) -> Outcome<()> {
    session.confirm(&document(path, binding), &sentence)
}
