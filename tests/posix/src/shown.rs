// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a mount showed of a pool that is an image: its names, and of each file the length,
//! the number of links and the bytes. While an image is mounted it is the daemon's alone,
//! so it is remembered, and compared when twz can look (`agree`).

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    hash::{DefaultHasher, Hasher as _},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use twz::{Binding, Error, MAX_DATA, ObjectId, Space};

/// What a mount keeps for itself, and shows nobody.
const OWN: [&str; 2] = [".mount", ".processes"];

enum Entry {
    Directory(HashMap<String, Entry>),
    File {
        size: u64,
        links: u64,
        sum: u64,
    },
    /// What is neither is an object for the mount alone.
    Other,
    /// It lies deeper than a path reaches, and was not looked at.
    TooDeep,
}

/// A mounted directory, as it was.
pub struct Shown {
    name: String,
    root: Entry,
}

impl Shown {
    /// Reads all of a directory just beneath the root of a mount.
    pub fn by(dir: &Path) -> Result<Self, String> {
        let fail = |error: io::Error| format!("{}: {error}", dir.display());
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let root = entries(dir).map_err(fail)?;
        Ok(Self { name: name.unwrap_or_default(), root: Entry::Directory(root) })
    }

    /// Compares it with the pool's own names and objects, and says which these are.
    pub fn compare(&self, space: &Space) -> Result<Vec<ObjectId>, String> {
        let mut ids = Vec::new();
        let inside = format!("/{}", self.name);
        compare(space, &inside, &self.root, &Binding::Directory, &mut ids)?;
        Ok(ids)
    }
}

fn entries(dir: &Path) -> io::Result<HashMap<String, Entry>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let too_deep = path.as_os_str().len() >= libc::PATH_MAX as usize;
        let stat = entry.metadata()?;
        let seen = if too_deep {
            Entry::TooDeep
        } else if stat.is_dir() {
            Entry::Directory(entries(&path)?)
        } else if stat.is_file() {
            let sum = if stat.len() > MAX_DATA { 0 } else { sum_of(File::open(path)?)? };
            Entry::File { size: stat.len(), links: stat.nlink(), sum }
        } else {
            Entry::Other
        };
        all.insert(spelled(&entry.file_name()), seen);
    }
    Ok(all)
}

/// How a mount has the pool spell a name, in which a byte may be in no UTF-8.
fn spelled(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        let stand_ins = chunk.invalid().iter().map(|byte| 0xef00 + u32::from(*byte));
        text.extend(stand_ins.filter_map(char::from_u32));
    }
    text
}

fn sum_of(mut file: File) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut bytes = vec![0; STEP];
    loop {
        let len = file.read(&mut bytes)?;
        if len == 0 {
            return Ok(hasher.finish());
        }
        hasher.write(&bytes[..len]);
    }
}

/// Where an object's data begins in its slot.
const FIRST: u64 = 4096;

/// How much is read at once. Sums are of the bytes, not of the steps they came in.
const STEP: usize = 1 << 18;

fn compare(
    space: &Space,
    inside: &str,
    entry: &Entry,
    binding: &Binding,
    ids: &mut Vec<ObjectId>,
) -> Result<(), String> {
    match (entry, binding) {
        (Entry::Directory(entries), Binding::Directory) => {
            let mut bound = HashMap::new();
            let listed = space.backend().read_dir(inside, &mut |name, binding| {
                bound.insert(name.to_owned(), binding);
                Ok(())
            });
            listed.map_err(|error| format!("{inside}: {error}"))?;
            for (name, entry) in entries {
                let inner = format!("{inside}/{name}");
                let binding = bound.remove(name).ok_or_else(|| format!("{inner} is no name"))?;
                compare(space, &inner, entry, &binding, ids)?;
            }
            match bound.keys().find(|name| !OWN.contains(&name.as_str())) {
                Some(name) => Err(format!("{inside}/{name} is a name that no directory shows")),
                None => Ok(()),
            }
        }
        (Entry::File { size, links, sum }, Binding::Object(id)) => {
            ids.push(*id);
            file(space, *id, (*size, *links, *sum)).map_err(|why| format!("{inside}: {why}"))
        }
        (Entry::Other, Binding::Object(_)) | (Entry::TooDeep, _) => Ok(()),
        _ => Err(format!("{inside} is bound to {binding:?}")),
    }
}

fn file(space: &Space, id: ObjectId, shown: (u64, u64, u64)) -> Result<(), String> {
    let (size, links, sum) = shown;
    let said = |error: Error| error.to_string();
    let stat = space.backend().stat(id).map_err(said)?;
    if stat.names != links {
        return Err(format!("{links} links, and twz says {} names", stat.names));
    }
    // What is longer is several objects, which only a mount takes for one.
    if size > MAX_DATA {
        return Ok(());
    }
    if stat.size != size {
        return Err(format!("{size} bytes, and twz says {}", stat.size));
    }
    let mut hasher = DefaultHasher::new();
    let mut bytes = vec![0; STEP];
    let mut at = 0;
    while at < size {
        let step = (size - at).min(STEP as u64) as usize;
        space.backend().read(id, FIRST + at, &mut bytes[..step]).map_err(said)?;
        hasher.write(&bytes[..step]);
        at += step as u64;
    }
    match hasher.finish() == sum {
        true => Ok(()),
        false => Err("twz reads other bytes".into()),
    }
}
