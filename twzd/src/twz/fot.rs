// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where an object's pointers lead: `twz fot`, and `twz retarget`, which makes
//! them lead elsewhere.

use clap::Args;
use twz::{
    Space, fot_flags,
    graph::{self, Reference, Target},
};

use crate::{
    exit::{Exit, Fail, Outcome},
    find, json,
    object::must_be_writable,
    session::Session,
    term::{Table, printable},
};

/// Show an object's foreign object table
///
/// Every pointer out of the object goes through an entry of this table, by id
/// or by a name that is looked up when the pointer is used. An entry that cannot
/// be used is listed with what is wrong; the exit code is 6 then.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz fot /catalogue
  twz fot 3f2a --json | jq '.entries[] | select(.present | not)'")]
pub struct FotArgs {
    /// The object
    object: String,
}

impl FotArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        pool.stat(id)?;
        let entries = graph::references(&*pool, id)?.iter().map(document).collect();
        let fot = json::Fot { id: id.to_string(), entries };
        if fot.entries.is_empty() {
            session.confirm(&fot, "it points to no other object")?;
        } else {
            session.answer(&fot, |out, style| table(&fot.entries).write(out, style))?;
        }
        let damaged = fot.entries.iter().any(|entry| entry.kind == "bad");
        Ok(if damaged { Exit::Damaged } else { Exit::Done })
    }
}

fn table(entries: &[json::Reference]) -> Table {
    let mut table = Table::new(&[">ENTRY", "KIND", "RIGHTS", "FLAGS", "STATE", "TARGET"]);
    for entry in entries {
        table.row([
            entry.index.to_string(),
            entry.kind.into(),
            entry.rights.clone(),
            if entry.flags.is_empty() { "-".into() } else { entry.flags.join(",") },
            state(entry).into(),
            target(entry),
        ]);
    }
    table
}

/// The document for an entry.
pub fn document(reference: &Reference) -> json::Reference {
    let (kind, name, resolver, why) = match &reference.target {
        Target::Id(_) => ("id", None, None, None),
        Target::Name { name, resolver, .. } => ("name", Some(name.clone()), Some(*resolver), None),
        Target::Bad { why } => ("bad", None, None, Some(why.clone())),
    };
    let derive = reference.flags & fot_flags::DERIVE != 0;
    json::Reference {
        index: reference.entry,
        kind,
        name,
        resolver,
        id: reference.id().map(|id| id.to_string()),
        why,
        rights: reference.rights.to_string(),
        flags: if derive { vec!["derive"] } else { Vec::new() },
        present: reference.present,
    }
}

fn state(entry: &json::Reference) -> &'static str {
    match (entry.kind, entry.present) {
        ("bad", _) => "bad",
        (_, true) => "present",
        (_, false) => "dangling",
    }
}

/// What an entry leads to, in words.
pub fn target(entry: &json::Reference) -> String {
    let id = entry.id.as_deref();
    match (&entry.name, &entry.why) {
        (Some(name), _) => {
            let mut text = format!("'{}'", printable(name));
            if let Some(resolver) = entry.resolver.filter(|resolver| *resolver != 1) {
                text += &format!(" of resolver {resolver}");
            }
            if let Some(id) = id {
                text += &format!(" = {id}");
            }
            text
        }
        (None, Some(why)) => printable(why).into_owned(),
        (None, None) => id.unwrap_or("-").into(),
    }
}

/// Make every pointer of an object that leads to one object lead to another
///
/// It is done by one store, whatever the object contains; programs that have
/// it mapped follow at their next use. Neither FROM nor TO need be there. Ends
/// with 1 if nothing leads to FROM.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz retarget /catalogue 3f2a 77c0
  twz retarget /app /lib/v1 /lib/v2")]
pub struct RetargetArgs {
    /// The object whose pointers change
    object: String,
    /// What they lead to
    from: String,
    /// What they shall lead to
    to: String,
}

impl RetargetArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        let from = find::object(&*pool, &self.from)?;
        let to = find::object(&*pool, &self.to)?;
        must_be_writable(&*pool, &pool.stat(id)?)?;
        if pool.info()?.home == "image" {
            return Err(Fail::unsupported(
                "the objects of an image cannot be mapped, and so not retargeted",
                "copy it into a directory first: 'twz pool copy IMAGE DIRECTORY'",
            ));
        }
        let is_hit = |r: &&Reference| r.target == Target::Id(from);
        let entries = graph::references(&*pool, id)?.iter().filter(is_hit).count() as u64;
        let changed = Space::on(pool)?.open_object::<()>(id)?.retarget(from, to)?;
        let document = json::Retargeted {
            id: id.to_string(),
            from: from.to_string(),
            to: to.to_string(),
            changed,
            entries: if changed { entries } else { 0 },
        };
        let sentence = match (changed, entries) {
            (false, _) => format!("nothing in {id} leads to {from}; nothing was changed"),
            (true, 1) => format!("1 entry of {id} leads to {to} now"),
            (true, n) => format!("{n} entries of {id} lead to {to} now"),
        };
        session.confirm(&document, &sentence)?;
        Ok(if changed { Exit::Done } else { Exit::No })
    }
}
