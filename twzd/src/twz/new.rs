// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz new`: making an object, empty or with the bytes of a file.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use twz::{Backend, NewObject, ObjectId, Rights};

use crate::{
    ctx::owner,
    data::{Source, Target},
    exit::{Exit, Fail, Outcome},
    json,
    object::{copy_of, parse_rights},
    paths::{NamePath, bind_or_delete, must_be_free},
    session::Session,
    size,
};

/// Make an object and print its id
///
/// With --from it has the bytes of a file. With --immutable nobody can change
/// it ever after, and its id covers its bytes.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz new --size 1M
  twz new --from picture.png --name /pictures/first
  echo hello | twz new --from - --name /greeting
  twz new --from release.tar --immutable --rights r--u--
  twz new --owner /keys/web --rights - --from ledger.db --name /ledger")]
pub struct NewArgs {
    /// Bytes of data [default: 0, or as many as --from has]
    #[arg(long, value_parser = size::parse)]
    size: Option<u64>,
    /// Rights that everybody has, out of rwxudg [default: rw-ud-, without w if
    /// immutable]
    #[arg(long, value_parser = parse_rights, allow_hyphen_values = true)]
    rights: Option<Rights>,
    /// Bind this name to it
    #[arg(long, value_name = "PATH")]
    name: Option<NamePath>,
    /// Copy the bytes of this file into it; - is the standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from: Option<PathBuf>,
    /// Never let it change
    #[arg(long)]
    immutable: bool,
    /// Let it be owned by this key, which says who else has rights on it
    #[arg(long, value_name = "KEY")]
    owner: Option<String>,
}

impl NewArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        if self.immutable && self.rights.is_some_and(|rights| rights.contains(Rights::WRITE)) {
            return Err(Fail::usage(
                "an immutable object cannot grant 'w'",
                "leave the 'w' out of --rights, or --immutable",
            ));
        }
        if let Some(name) = &self.name {
            must_be_free(&*pool, name)?;
        }
        let mut source = self.from.as_deref().map(Source::open).transpose()?;
        if let Some(source) = &source {
            source.must_fit(0)?;
        }
        let id = self.make(session, &*pool, source.as_mut())?;
        let size = pool.size(id)?;
        let name = self.name.as_ref().map(|name| name.as_str().into());
        let id = id.to_string();
        session
            .answer(&json::Made { id: id.clone(), size, name }, |out, _| writeln!(out, "{id}"))?;
        Ok(Exit::Done)
    }

    /// Makes the object, or leaves nothing behind.
    fn make(
        &self,
        session: &Session,
        pool: &dyn Backend,
        source: Option<&mut Source>,
    ) -> Outcome<ObjectId> {
        let rights = match self.rights {
            // Filled first; the object that stays has the rights asked for.
            Some(rights) if source.is_none() && !self.immutable => rights,
            _ => Rights::DEFAULT,
        };
        let size = self.size.unwrap_or(0);
        let owner = match &self.owner {
            Some(key) => owner(pool, key)?,
            None => ObjectId::NULL,
        };
        // As with the rights: what is filled first is nobody's.
        let first = if source.is_none() && !self.immutable { owner } else { ObjectId::NULL };
        let new = NewObject { size, default_rights: rights, owner: first, ..NewObject::default() };
        let draft = pool.create(&new)?;
        let made =
            self.fill(session, pool, draft, source).and_then(|()| self.settle(pool, draft, owner));
        if !matches!(made, Ok(id) if id == draft) {
            pool.delete(draft)?;
        }
        let id = made?;
        if let Some(name) = &self.name {
            bind_or_delete(pool, name, id)?;
        }
        pool.sync(id)?;
        Ok(id)
    }

    fn fill(
        &self,
        session: &Session,
        pool: &dyn Backend,
        id: ObjectId,
        source: Option<&mut Source>,
    ) -> Outcome<()> {
        let Some(source) = source else { return Ok(()) };
        let mut bar = session.progress("copying");
        let (size, fixed) = (self.size.unwrap_or(0), self.size.is_some());
        Target { pool, id, at: 0, size, fixed }.fill(source, &mut bar)?;
        Ok(())
    }

    /// The object that was asked for, out of one that has its bytes.
    fn settle(&self, pool: &dyn Backend, draft: ObjectId, owner: ObjectId) -> Outcome<ObjectId> {
        let stat = pool.stat(draft)?;
        let mut wanted = copy_of(&stat, self.immutable);
        if let Some(rights) = self.rights {
            wanted.default_rights = rights;
        }
        wanted.owner = owner;
        let is_it = !self.immutable
            && wanted.default_rights.0 == stat.identity.default_rights
            && owner == stat.identity.owner;
        Ok(if is_it { draft } else { pool.copy(draft, &wanted)? })
    }
}
