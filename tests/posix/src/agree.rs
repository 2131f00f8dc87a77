// SPDX-License-Identifier: MIT OR Apache-2.0
//! What twz has to agree on with the programs that used a pool's files: the same
//! names, each file an object with the same size, number of names and bytes, through
//! its files and through a mapping; and a check of the pool that finds nothing wrong.

use std::{
    collections::HashSet,
    fs::{self, File, Metadata},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    process::Command,
};

use serde_json::Value;
use twz::{Binding, Error, Global, MAX_DATA, ObjectId, Persist, Ptr, Rights, Space};

use crate::shown::Shown;

/// How many files are looked at through mappings, too.
const MAPPED: usize = 32;
const PAGE: u64 = 4096;

/// Pointers into a file that programs made: from an object, as from any other.
#[derive(Persist)]
#[repr(C)]
struct Probe {
    first: Ptr<[u8; PAGE as usize]>,
    last: Ptr<u8>,
}

/// The pool as it is, and what was seen of it so far.
struct Walk {
    space: Space,
    ids: HashSet<ObjectId>,
    mapped: usize,
}

/// Compares what the directory `names/` shows with what twz says, or what a mount of an
/// image showed.
pub fn check(pool: &Path, twz: &Path, shown: Option<&Shown>) -> Result<(), String> {
    let space = Space::open(pool).map_err(|error| error.to_string())?;
    // Of an image two cannot look at once: the space is closed before the command is asked.
    let ids = match shown {
        Some(shown) => {
            let ids = shown.compare(&space)?;
            drop(space);
            ids.into_iter().collect()
        }
        None => {
            let mut walk = Walk { space, ids: HashSet::new(), mapped: 0 };
            walk.directory(&pool.join("names"), "")?;
            walk.ids
        }
    };
    let listed = say(twz, pool, &["ls", "--all", "--json"])?;
    let objects = listed["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
    let listed: HashSet<&str> = objects.iter().filter_map(|object| object["id"].as_str()).collect();
    for id in &ids {
        if !listed.contains(id.to_string().as_str()) {
            return Err(format!("'twz ls' does not list {id}"));
        }
    }
    let found = say(twz, pool, &["pool", "check", "--json"])?;
    match found["clean"] == true && found["warnings"] == 0 {
        true => Ok(()),
        false => Err(format!("'twz pool check': {}", found["problems"])),
    }
}

/// What a command answers.
fn say(twz: &Path, pool: &Path, words: &[&str]) -> Result<Value, String> {
    let output = Command::new(twz).arg("--pool").arg(pool).args(words).output();
    let output = output.map_err(|error| format!("twz: {error}"))?;
    let out = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&out).map_err(|error| {
        format!("twz {words:?}: {error}: {out}{}", String::from_utf8_lossy(&output.stderr))
    })
}

impl Walk {
    /// Compares a directory, `inside` as twz names it, and all below.
    fn directory(&mut self, dir: &Path, inside: &str) -> Result<(), String> {
        let mut bound = std::collections::HashMap::new();
        let shown = self.space.backend().read_dir(inside, &mut |name, binding| {
            bound.insert(name.to_owned(), binding);
            Ok(())
        });
        shown.map_err(|error| format!("{inside}/: {error}"))?;
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for entry in entries.map_err(|error| format!("{}: {error}", dir.display()))? {
            let path = entry.path();
            // What lies deeper than a path reaches is not opened by one.
            if path.as_os_str().len() >= libc::PATH_MAX as usize {
                bound.remove(&*entry.file_name().to_string_lossy());
                continue;
            }
            let stat = entry.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
            let name = entry.file_name();
            // What twz has no way to say, it does not show.
            let Some(name) = name.to_str() else { continue };
            let inner = format!("{inside}/{name}");
            match (stat.is_dir(), stat.is_file(), bound.remove(name)) {
                (true, _, Some(Binding::Directory)) => self.directory(&path, &inner)?,
                (_, true, Some(Binding::Object(id))) => self.file(&path, &inner, id)?,
                // A link is another name, or leads nowhere; a socket is no object.
                (false, false, _) => {}
                (_, _, binding) => return Err(format!("{inner} is bound to {binding:?}")),
            }
        }
        match bound.keys().next() {
            Some(name) => Err(format!("{inside}/{name} is a name that no directory shows")),
            None => Ok(()),
        }
    }

    fn file(&mut self, path: &Path, inner: &str, id: ObjectId) -> Result<(), String> {
        self.ids.insert(id);
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        let wrong = |error: Error| format!("{inner}: {error}");
        let file = File::open(path).map_err(fail)?;
        let real = file.metadata().map_err(fail)?;
        let stat = self.space.backend().stat(id).map_err(wrong)?;
        if (stat.size, stat.names) != (real.len(), real.nlink() - 1) {
            return Err(format!(
                "{inner} has {} bytes and {} names, and twz says {} and {}",
                real.len(),
                real.nlink() - 1,
                stat.size,
                stat.names
            ));
        }
        if real.len() > MAX_DATA {
            return match self.space.open_object_read::<()>(id) {
                Err(Error::LongFile { size, .. }) if size == real.len() => Ok(()),
                other => Err(format!("{inner}, {} bytes, opens as {:?}", real.len(), other.err())),
            };
        }
        self.bytes(&file, &real, id).map_err(|why| format!("{inner}: {why}"))
    }

    /// Compares the bytes: all of them as read, some of them as mapped.
    fn bytes(&mut self, file: &File, real: &Metadata, id: ObjectId) -> Result<(), String> {
        let said = |error: Error| error.to_string();
        let object = self.space.open_object_read::<()>(id).map_err(said)?;
        let (mut ours, mut theirs) = (vec![0; 1 << 18], vec![0; 1 << 18]);
        let mut at = 0;
        while at < real.len() {
            let step = (real.len() - at).min(1 << 18) as usize;
            file.read_exact_at(&mut theirs[..step], at).map_err(|error| error.to_string())?;
            object.read(at, &mut ours[..step]).map_err(said)?;
            if ours[..step] != theirs[..step] {
                return Err(format!("other bytes between {at} and {}", at + step as u64));
            }
            at += step as u64;
        }
        if real.len() < PAGE || self.mapped == MAPPED {
            return Ok(());
        }
        self.mapped += 1;
        let first = theirs_at(file, 0, PAGE as usize)?;
        let last = theirs_at(file, real.len() - 1, 1)?;
        let root = Probe { first: Ptr::null(), last: Ptr::null() };
        let from = self.space.create(root).map_err(said)?;
        let place = |at: u64| Global { id, offset: PAGE + at };
        from.root().first.store_global(place(0), Rights::READ).map_err(said)?;
        from.root().last.store_global(place(real.len() - 1), Rights::READ).map_err(said)?;
        let same = from.root().first.lea().map_err(said)?[..] == first[..]
            && *from.root().last.lea().map_err(said)? == last[0];
        let scratch = from.id();
        drop(from);
        self.space.backend().delete(scratch).map_err(said)?;
        if same { Ok(()) } else { Err("other bytes in its mapping".into()) }
    }
}

fn theirs_at(file: &File, at: u64, len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).map_err(|error| error.to_string())?;
    Ok(bytes)
}
