// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each command does to the store. `resp.rs` takes requests apart and writes
//! replies; `server.rs` says when a round is over, and what was written has to be durable.

use std::collections::HashMap;

use twz::{Durability, Error, Result};
use twzkvs::{Kvs, Writer};

use crate::resp::{Reply, number};

/// Keys of 16 bytes are the fast ones.
pub type Store = Kvs<2>;

/// Bytes of a value that does not wait for others.
const LARGE: usize = 64 << 10;

/// One round of requests: the writer's lock is taken with the first that writes,
/// and given back at the end of the round.
pub struct Round<'a> {
    store: &'a Store,
    writer: Option<Writer<'a, 2>>,
    /// What [`Round::commit`] sets, where the disk is waited for once for all of it.
    waiting: Option<HashMap<Vec<u8>, Vec<u8>>>,
    failed: Option<String>,
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
pub enum Then {
    Go,
    Close,
}

const ARITY: &str = "ERR wrong number of arguments";

impl<'a> Round<'a> {
    /// Begins one, in which what is set is set together or each by itself.
    pub fn new(store: &'a Store, together: bool) -> Self {
        Self { store, writer: None, waiting: together.then(HashMap::new), failed: None }
    }

    fn writer(&mut self) -> Result<&mut Writer<'a, 2>> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            none => Ok(none.insert(self.store.write()?)),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // Who may not write is told so at once.
        self.writer()?;
        match &mut self.waiting {
            Some(waiting) if value.len() <= LARGE => {
                waiting.insert(key.to_vec(), value.to_vec());
                Ok(())
            }
            _ => {
                self.commit();
                self.writer()?.put(key, value)
            }
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        match self.waiting.as_ref().and_then(|waiting| waiting.get(key)) {
            Some(value) => Ok(Some(value)),
            None => self.store.get(key),
        }
    }

    fn contains(&self, key: &[u8]) -> Result<bool> {
        let waits = self.waiting.as_ref().is_some_and(|waiting| waiting.contains_key(key));
        Ok(waits || self.store.contains(key)?)
    }

    /// Makes durable all that waits for it. Only then its replies may be sent; if it
    /// fails, [`Round::failed`] is to be sent for each.
    pub fn commit(&mut self) {
        let waiting = match &mut self.waiting {
            Some(waiting) if !waiting.is_empty() => std::mem::take(waiting),
            _ => return,
        };
        let pairs: Vec<_> = waiting.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        if let Err(error) = self.writer().and_then(|writer| writer.put_all(&pairs)) {
            self.failed = Some(text(&error));
        }
    }

    /// Why what was set in this round may not be.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Does what a request asks. Every request has exactly one reply.
    pub fn run(&mut self, words: &[&[u8]], reply: &mut Reply) -> Then {
        let Some((name, args)) = words.split_first() else { return Then::Go };
        let name = name.to_ascii_uppercase();
        if name == b"QUIT" {
            reply.simple("OK");
            return Then::Close;
        }
        let start = reply.bytes.len();
        if let Err(error) = self.data(&name, args, reply) {
            reply.bytes.truncate(start);
            reply.error(&text(&error));
        }
        Then::Go
    }

    fn data(&mut self, name: &[u8], args: &[&[u8]], reply: &mut Reply) -> Result<()> {
        if matches!(name, b"DEL" | b"UNLINK" | b"SCAN" | b"DBSIZE" | b"INFO") {
            self.commit();
        }
        match (name, args) {
            (b"GET", [key]) => reply.bulk(self.get(key)?),
            (b"SET", [key, value]) => {
                self.put(key, value)?;
                reply.promise();
            }
            (b"SET", [_, _, ..]) => reply.error("ERR syntax error: SET takes no options here"),
            (b"DEL" | b"UNLINK", [_, ..]) => {
                let mut gone = 0;
                for key in args {
                    gone += self.writer()?.delete(key)? as u64;
                }
                reply.number(gone);
            }
            (b"EXISTS", [_, ..]) => {
                let mut there = 0;
                for key in args {
                    there += self.contains(key)? as u64;
                }
                reply.number(there);
            }
            (b"MGET", [_, ..]) => {
                reply.array(args.len());
                for key in args {
                    reply.bulk(self.get(key)?);
                }
            }
            (b"MSET", [_, _, ..]) if args.len().is_multiple_of(2) => {
                for pair in args.chunks_exact(2) {
                    self.put(pair[0], pair[1])?;
                }
                reply.promise();
            }
            (b"STRLEN", [key]) => reply.number(self.get(key)?.map_or(0, <[u8]>::len) as u64),
            (b"SCAN", [cursor, options @ ..]) => return self.scan(cursor, options, reply),
            _ => self.about(name, args, reply),
        }
        Ok(())
    }

    fn scan(&self, cursor: &[u8], options: &[&[u8]], reply: &mut Reply) -> Result<()> {
        let parsed = std::str::from_utf8(cursor).ok().and_then(|text| text.parse::<u64>().ok());
        let Some(mut cursor) = parsed else {
            reply.error("ERR invalid cursor");
            return Ok(());
        };
        let (mut pattern, mut count) = (&b"*"[..], 10);
        for option in options.chunks(2) {
            match (option[0].to_ascii_uppercase().as_slice(), option.get(1)) {
                (b"MATCH", Some(glob)) => pattern = glob,
                (b"COUNT", Some(n)) => count = number(n, 1 << 20).unwrap_or(count),
                _ => {
                    reply.error("ERR syntax error");
                    return Ok(());
                }
            }
        }
        let (mut keys, mut seen) = (Vec::new(), 0);
        while seen < count.max(1) {
            let (next, rows) = self.store.scan(cursor)?;
            seen += rows.len();
            keys.extend(rows.into_iter().map(|(key, _)| key).filter(|key| matches(pattern, key)));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        reply.array(2);
        reply.bulk(Some(cursor.to_string().as_bytes()));
        reply.array(keys.len());
        keys.iter().for_each(|key| reply.bulk(Some(key)));
        Ok(())
    }

    /// What clients ask of any server.
    fn about(&mut self, name: &[u8], args: &[&[u8]], reply: &mut Reply) {
        match (name, args) {
            (b"PING", []) => reply.simple("PONG"),
            (b"PING" | b"ECHO", [text]) => reply.bulk(Some(text)),
            (b"DBSIZE", []) => reply.number(self.store.len()),
            (b"INFO", _) => reply.bulk(Some(self.info().as_bytes())),
            (b"SELECT", [b"0"]) => reply.simple("OK"),
            (b"SELECT", [_]) => reply.error("ERR DB index is out of range"),
            (b"CLIENT", _) => reply.simple("OK"),
            (b"COMMAND", _) => reply.array(0),
            (b"CONFIG", [get, names @ ..]) if get.eq_ignore_ascii_case(b"GET") => {
                reply.array(names.len() * 2);
                for name in names {
                    reply.bulk(Some(name));
                    reply.bulk(Some(b""));
                }
            }
            (
                b"GET" | b"SET" | b"DEL" | b"EXISTS" | b"MGET" | b"MSET" | b"SCAN" | b"PING"
                | b"ECHO" | b"STRLEN" | b"UNLINK" | b"SELECT" | b"DBSIZE",
                _,
            ) => reply.error(ARITY),
            _ => {
                let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
                reply.error(&format!("ERR unknown command '{name}'"));
            }
        }
    }

    fn info(&self) -> String {
        let mode = match self.store.space().durability() {
            Durability::Power => "durable",
            Durability::Process => "volatile",
        };
        format!(
            "# Server\r\nserver_name:twzkvsd\r\nversion:{}\r\nprocess_id:{}\r\nindex:{}\r\nmode:{mode}\r\n\
             # Keyspace\r\ndb0:keys={},expires=0,avg_ttl=0\r\n",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            self.store.id(),
            self.store.len(),
        )
    }
}

/// An error as clients see it.
fn text(error: &Error) -> String {
    let kind = match error {
        Error::Denied { .. } => "NOPERM",
        Error::NoObject(_) => "MISSING",
        _ => "ERR",
    };
    format!("{kind} {error}")
}

/// Whether a key is one of those that a pattern of `*` and `?` stands for.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (mut p, mut k, mut star) = (0, 0, None);
    while k < key.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, k));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == key[k] => (p, k) = (p + 1, k + 1),
            _ => match star {
                // The last star takes one byte more.
                Some((at, taken)) => {
                    (p, k) = (at + 1, taken + 1);
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, key) in
            [("*", ""), ("k*", "key"), ("*y", "key"), ("k?y", "key"), ("*a*b", "xaab")]
        {
            assert!(matches(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
        }
        for (pattern, key) in [("", "k"), ("k", ""), ("k?", "key"), ("*a", "ab"), ("?", "")] {
            assert!(!matches(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
        }
    }
}
