// SPDX-License-Identifier: MIT OR Apache-2.0
//! The audit log: a line of JSON for everything that was asked of the daemon, with
//! who asked, what was decided, and why not. It is an object of the pool, so that
//! it is where what it is about is; `twz audit` reads it.
//!
//! A line is there before its answer is given. Who is killed in the middle of one
//! leaves zeros behind the last whole line, which readers skip.

use serde::Serialize;
use serde_json::Value;
use twz::{Backend, Binding, DATA_START, Error, NewObject, ObjectId, Result, Rights};

use crate::config::Peer;

/// Where the log is of what was asked, and the one before it.
pub const NAMES: (&str, &str) = ("/.twzd/audit", "/.twzd/audit.before");
/// Bytes after which a new one is begun, if nobody says otherwise.
const LIMIT: u64 = 16 << 20;
/// Bytes at the end of a log in which its last line is.
const LONGEST: u64 = 128 << 10;

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
    /// Its name, and that of the one before it.
    names: (&'static str, &'static str),
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
        names: (&'static str, &'static str),
        owner: ObjectId,
        limit: Option<u64>,
        made: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<Self> {
        let limit = limit.unwrap_or(LIMIT).max(1 << 16);
        match pool.lookup(names.0) {
            Ok(Binding::Object(id)) => Ok(Self { names, id, size: pool.size(id)?, limit, owner }),
            Ok(Binding::Directory) => Err(Error::NameTaken(names.0.into())),
            Err(Error::NoName(_)) => {
                let mut audit = Self { names, id: ObjectId::NULL, size: 0, limit, owner };
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
            pool.bind(self.names.1, self.id, true)?;
        }
        pool.bind(self.names.0, id, !self.id.is_null())?;
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
        let bytes = self::line(&line)?;
        self.append(pool, &bytes, made)
    }

    /// Writes whole lines; they are on the medium when this returns.
    pub fn append(
        &mut self,
        pool: &dyn Backend,
        bytes: &[u8],
        made: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<()> {
        if self.size + bytes.len() as u64 > self.limit {
            self.begin(pool, made)?;
        }
        let end = self.size + bytes.len() as u64;
        pool.resize(self.id, end)?;
        pool.write(self.id, DATA_START + self.size, bytes)?;
        pool.sync(self.id)?;
        self.size = end;
        Ok(())
    }

    /// The last whole line.
    pub fn last(&self, pool: &dyn Backend) -> Result<Option<Value>> {
        if self.size == 0 {
            return Ok(None);
        }
        let from = self.size.saturating_sub(LONGEST);
        let mut bytes = vec![0; (self.size - from) as usize];
        pool.read(self.id, DATA_START + from, &mut bytes)?;
        let text = |line: &&[u8]| line.iter().position(|byte| *byte != 0);
        let mut lines = bytes.rsplit(|byte| *byte == b'\n');
        Ok(lines.find_map(|line| serde_json::from_slice(line.get(text(&line)?..)?).ok()))
    }
}

/// Something as a line.
pub fn line(said: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(said)
        .map_err(|_| Error::Unsupported("what was asked cannot be written down"))?;
    bytes.push(b'\n');
    Ok(bytes)
}
