// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checking a pool directory: its pool file ([`superblock`]), every object
//! ([`objects`], [`tail`]), and names, `inodes/` and `tmp/` ([`namespace`]).
//!
//! A check reads files, and never opens the pool: that could change it. A
//! repair opens it once its pool file is in order, and mends only what it can
//! take from elsewhere. What other processes do meanwhile can show as a
//! problem that a second look does not find.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use twz_abi::ObjectId;

use super::{EmbeddedPool, paths};
use crate::{
    check::{Problem, Progress, Severity, Summary},
    error::{Error, Result},
};

mod namespace;
mod objects;
mod superblock;
mod tail;

/// Checks the pool directory at `root`, which must have a pool file.
pub(crate) fn check(
    root: &Path,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
    report: &mut dyn FnMut(Problem),
) -> Result<Summary> {
    let mut walk = Walk {
        root,
        repair,
        progress,
        report,
        summary: Summary::default(),
        pool: None,
        copied: false,
        ids: HashSet::new(),
        named: HashMap::new(),
        inodes: HashSet::new(),
        changed: 0,
    };
    walk.pool_file()?;
    walk.directories();
    if repair {
        // Only one that opens can be written to in any other way than by words.
        walk.pool = EmbeddedPool::open(root).ok().filter(|pool| !pool.read_only);
        walk.copied &= walk.pool.is_none();
    }
    walk.objects();
    walk.names();
    walk.inodes();
    walk.leftovers();
    Ok(walk.summary)
}

/// A check under way.
struct Walk<'a> {
    root: &'a Path,
    repair: bool,
    progress: &'a mut dyn FnMut(Progress),
    report: &'a mut dyn FnMut(Problem),
    summary: Summary,
    /// Open for a repair.
    pool: Option<EmbeddedPool>,
    /// The pool was copied by other means: `inodes/` means nothing.
    copied: bool,
    /// Every object.
    ids: HashSet<ObjectId>,
    /// Objects whose data file has more than one name, by its inode: who they
    /// are, if their tails can be trusted.
    named: HashMap<u64, Option<(ObjectId, [u8; 16])>>,
    /// Inodes that `names/` shows.
    inodes: HashSet<u64>,
    /// Objects whose files are of another length than twz made them last.
    changed: u64,
}

/// What mends a problem.
type Mend<'m> = Option<(&'static str, &'m mut dyn FnMut() -> Result<()>)>;

impl Walk<'_> {
    /// Tells a problem, after mending it if that is wanted and possible.
    fn tell(&mut self, severity: Severity, place: &Path, what: impl Into<String>, mend: Mend<'_>) {
        let (fix, repaired) = match mend {
            Some((fix, mend)) => (Some(fix), self.repair && mend().is_ok()),
            None => (None, false),
        };
        let where_ = place.strip_prefix(self.root).unwrap_or(place).display().to_string();
        self.summary.count(severity, repaired);
        (self.report)(Problem { severity, what: what.into(), where_, fix, repaired });
    }

    /// Tells a problem that a repair leaves, with advice.
    fn advise(&mut self, severity: Severity, place: &Path, what: &str, advice: &'static str) {
        let where_ = place.strip_prefix(self.root).unwrap_or(place).display().to_string();
        self.summary.count(severity, false);
        let fix = Some(advice);
        (self.report)(Problem { severity, what: what.into(), where_, fix, repaired: false });
    }

    /// Tells that something cannot be read.
    fn unreadable(&mut self, place: &Path, error: &io::Error) {
        self.tell(Severity::Error, place, format!("it cannot be read: {error}"), None);
    }

    /// The entries of a directory, in order; none if it cannot be read.
    fn entries(&mut self, dir: &Path) -> Vec<PathBuf> {
        let listed = fs::read_dir(dir)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        match listed {
            Ok(paths) => {
                let mut paths: Vec<PathBuf> = paths;
                paths.sort();
                paths
            }
            Err(error) => {
                self.unreadable(dir, &error);
                Vec::new()
            }
        }
    }

    /// The directories that every pool has.
    fn directories(&mut self) {
        for sub in [paths::OBJECTS, paths::NAMES, paths::INODES, paths::TMP] {
            let dir = self.root.join(sub);
            match fs::symlink_metadata(&dir) {
                Ok(stat) if stat.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mut make = || fs::create_dir(&dir).map_err(Error::at("make", &dir));
                    let mend: Mend<'_> = Some(("it is made anew, empty", &mut make));
                    self.tell(Severity::Error, &dir, "the directory is missing", mend);
                }
                Ok(_) => self.tell(Severity::Error, &dir, "it is not a directory", None),
                Err(error) => self.unreadable(&dir, &error),
            }
        }
    }
}
