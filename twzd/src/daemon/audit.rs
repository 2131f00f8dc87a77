// SPDX-License-Identifier: MIT OR Apache-2.0
//! The audit log: a line of JSON for everything that was asked of the daemon, with
//! who asked, what was decided, and why not. It is an object of the pool, so that
//! it is where what it is about is; `twz audit` reads it.
//!
//! A line is there before its answer is given. Who is killed in the middle of one
//! leaves zeros behind the last whole line, which readers skip.

use serde::Serialize;
use twz::{Backend, Binding, DATA_START, Error, NewObject, ObjectId, Result, Rights};

use crate::config::Peer;

/// Where the log is, and the one before it.
pub const NAME: &str = "/.twzd/audit";
const BEFORE: &str = "/.twzd/audit.before";
/// Bytes after which a new one is begun, if nobody says otherwise.
const LIMIT: u64 = 16 << 20;

/// A line.
#[derive(Serialize)]
struct Line<'a, T> {
    /// Nanoseconds since 1970.
    time: u64,
    uid: u32,
    user: &'a str,
    pid: i32,
    ask: &'a T,
    /// "done" or "refused".
    decision: &'static str,
    why: Option<&'a str>,
}

/// The log that is written to.
pub struct Audit {
    id: ObjectId,
    size: u64,
    limit: u64,
    owner: ObjectId,
}

impl Audit {
    /// Finds the log, or begins it. `owner` is the host's key; `made` is told what was
    /// made, to have it granted.
    pub fn open(
        pool: &dyn Backend,
        owner: ObjectId,
        limit: Option<u64>,
        made: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<Self> {
        let limit = limit.unwrap_or(LIMIT).max(1 << 16);
        match pool.lookup(NAME) {
            Ok(Binding::Object(id)) => Ok(Self { id, size: pool.size(id)?, limit, owner }),
            Ok(Binding::Directory) => Err(Error::NameTaken(NAME.into())),
            Err(Error::NoName(_)) => {
                let mut audit = Self { id: ObjectId::NULL, size: 0, limit, owner };
                audit.begin(pool, made)?;
                Ok(audit)
            }
            Err(error) => Err(error),
        }
    }

    /// Begins a new one, which everybody may read and the host's context alone writes.
    fn begin(
        &mut self,
        pool: &dyn Backend,
        made: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<()> {
        let new =
            NewObject { owner: self.owner, default_rights: Rights::READ, ..NewObject::default() };
        let id = pool.create(&new)?;
        made(id)?;
        if !self.id.is_null() {
            pool.bind(BEFORE, self.id, true)?;
        }
        pool.bind(NAME, id, !self.id.is_null())?;
        (self.id, self.size) = (id, 0);
        Ok(())
    }

    /// Writes a line; it is on the medium when this returns.
    pub fn write(
        &mut self,
        pool: &dyn Backend,
        peer: &Peer,
        ask: &impl Serialize,
        refused: Option<&str>,
        made: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<()> {
        let decision = if refused.is_some() { "refused" } else { "done" };
        let (uid, user, pid) = (peer.uid.as_raw(), peer.name(), peer.pid);
        let time = twz::security::now();
        let line = Line { time, uid, user, pid, ask, decision, why: refused };
        let mut bytes = serde_json::to_vec(&line)
            .map_err(|_| Error::Unsupported("what was asked cannot be written down"))?;
        bytes.push(b'\n');
        if self.size + bytes.len() as u64 > self.limit {
            self.begin(pool, made)?;
        }
        let end = self.size + bytes.len() as u64;
        pool.resize(self.id, end)?;
        pool.write(self.id, DATA_START + self.size, &bytes)?;
        pool.sync(self.id)?;
        self.size = end;
        Ok(())
    }
}
