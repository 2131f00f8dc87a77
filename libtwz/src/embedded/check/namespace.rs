// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names, the map from inodes to objects, and what is left in `tmp/`.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
};
use twz_abi::ObjectId;

use super::{Mend, Walk};
use crate::{
    check::Severity,
    embedded::paths,
    error::{Error, Result},
};

/// How old a file in `tmp/` is before it can be nobody's.
const ABANDONED: Duration = Duration::from_secs(3600);

impl Walk<'_> {
    /// Walks `names/` without following links.
    pub(super) fn names(&mut self) {
        let names = self.root.join(paths::NAMES);
        let mut open = vec![names.clone()];
        let mut waiting = 0u64;
        while let Some(dir) = open.pop() {
            for path in self.entries(&dir) {
                let stat = match fs::symlink_metadata(&path) {
                    Ok(stat) => stat,
                    Err(_) => continue, // Gone meanwhile.
                };
                if path.file_name().and_then(|name| name.to_str()).is_none() {
                    let advice = "give it a name in UTF-8 to use it with twz";
                    let what = "only programs that do not use twz see this name";
                    self.advise(Severity::Info, &path, what, advice);
                }
                let kind = stat.file_type();
                if kind.is_dir() {
                    open.push(path);
                } else if kind.is_file() {
                    self.inodes.insert(stat.ino());
                    waiting += !self.named.contains_key(&stat.ino()) as u64;
                } else if kind.is_symlink() {
                    self.link(&names, &path);
                } else {
                    let what = "neither a file nor a directory: it is no object's name";
                    self.tell(Severity::Info, &path, what, None);
                }
            }
        }
        if waiting != 0 {
            let what =
                format!("files that become objects when their names are looked up: {waiting}");
            self.tell(Severity::Info, &names, what, None);
        }
    }

    /// A symbolic link is a name with twz if it leads somewhere beneath `names/`. To
    /// other programs it may be what they like.
    fn link(&mut self, names: &Path, path: &Path) {
        let Ok(inside) = path.strip_prefix(names) else { return };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let Ok(dir) = File::open(names) else { return };
        let (what, advice) = match openat2(dir, inside, how) {
            Ok(_) => return,
            Err(Errno::ELOOP) => ("the symbolic link leads round in a circle", "remove it"),
            Err(Errno::EXDEV) => (
                "the symbolic link leads out of the pool, and twz does not follow it",
                "bind the name to an object instead",
            ),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => {
                ("the symbolic link leads to nothing", "remove it, or make what it leads to")
            }
            Err(errno) => return self.unreadable(path, &errno.into()),
        };
        self.advise(Severity::Info, path, what, advice);
    }

    /// Checks `inodes/` against the objects that have names.
    pub(super) fn inodes(&mut self) {
        if self.copied {
            return;
        }
        let dir = self.root.join(paths::INODES);
        let mut missing = std::mem::take(&mut self.named);
        for path in self.entries(&dir) {
            let inode = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
            let text = fs::read_link(&path).ok();
            let right = match inode.and_then(|inode| missing.get(&inode)) {
                // The object's own tail is damaged: nothing can be said.
                Some(None) => continue,
                Some(&Some((id, nonce))) => Some(who(id, nonce)),
                None => None,
            };
            if text.is_some() && text == right {
                missing.remove(&inode.unwrap_or_default());
                continue;
            }
            if right.is_none() && self.is_unnamed(&path, &text) {
                // The object is there, and lost its last name: that is in order.
                continue;
            }
            if right.is_none() && inode.is_some_and(|inode| self.inodes.contains(&inode)) {
                let what = "a file that is just becoming an object";
                self.advise(Severity::Info, &path, what, "looking up its name finishes that");
                continue;
            }
            let mut mend = || remove(&path);
            let mend: Mend<'_> = Some(("it is removed", &mut mend));
            let what = "it says of an inode what is not so";
            let bad = if right.is_some() { Severity::Error } else { Severity::Warning };
            self.tell(bad, &path, what, mend);
        }
        let missing = missing.into_iter().filter_map(|(inode, known)| Some((inode, known?)));
        let mut missing: Vec<_> = missing.collect();
        missing.sort();
        for (inode, (id, nonce)) in missing {
            self.unknown_inode(&dir.join(inode.to_string()), inode, id, nonce);
        }
    }

    /// Whether an entry is that of an object whose data file has this inode and
    /// no name any more.
    fn is_unnamed(&self, path: &Path, text: &Option<PathBuf>) -> bool {
        let id = text.as_ref().and_then(|text| text.to_str()?.split_once('-')?.0.parse().ok());
        let Some(id) = id.filter(|id: &ObjectId| self.ids.contains(id)) else { return false };
        let data = paths::ObjectPath::data(id).within(self.root);
        let inode = fs::symlink_metadata(data).map(|stat| stat.ino().to_string());
        inode.is_ok_and(|inode| path.file_name() == Some(inode.as_ref()))
    }

    /// A named object whose name would be taken for a new file's.
    fn unknown_inode(&mut self, place: &Path, inode: u64, id: ObjectId, nonce: [u8; 16]) {
        let pool = self.pool.take();
        let mut mend = || match &pool {
            Some(pool) => pool.record_inode(inode, id, nonce),
            None => Err(Error::ReadOnly),
        };
        let mend: Mend<'_> = Some(("it is made anew from the object", &mut mend));
        let what = format!("names of object {id} do not say that they are its names");
        self.tell(Severity::Error, place, what, mend);
        self.pool = pool;
    }

    /// Files that were never put in place.
    pub(super) fn leftovers(&mut self) {
        for path in self.entries(&self.root.join(paths::TMP)) {
            let old = is_old(&path).unwrap_or(false);
            if old && !is_at_work(&path) {
                let mut mend = || remove(&path);
                let mend: Mend<'_> = Some(("it is removed", &mut mend));
                let what = "left behind by a process that was killed";
                self.tell(Severity::Warning, &path, what, mend);
            } else {
                let what = "a process may be working on this";
                let advice = "check again in an hour";
                self.advise(Severity::Info, &path, what, advice);
            }
        }
    }
}

/// The text of an object's entry in `inodes/`.
fn who(id: ObjectId, nonce: [u8; 16]) -> PathBuf {
    format!("{id}-{}", ObjectId::from_u128(u128::from_be_bytes(nonce))).into()
}

fn is_old(path: &Path) -> Option<bool> {
    let changed = fs::symlink_metadata(path).ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(changed).ok()? >= ABANDONED)
}

/// Whether the process that a temporary file is named for lives.
fn is_at_work(path: &Path) -> bool {
    let pid =
        path.file_name().and_then(|name| name.to_str()?.split_once('-')?.0.parse::<u32>().ok());
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(Error::at("remove", path))
}
