// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checking an image: the store's own check, and then what needs the library:
//! the data of immutable objects, and where references lead.

use std::{collections::HashSet, path::Path};

use twz_abi::meta::kind;
use twz_core::{
    StoreError,
    check::{self as core, Problem as Found, scratch_needed},
    geometry::Geometry,
};

use super::{Problem, Progress, Severity, Summary};
use crate::{
    backend::Backend as _,
    error::{Error, Result},
    graph::{self, Target},
    image::{Durable, ImageFile, ImagePool, explain},
};

/// Most memory that a check takes: for a pool of 8 TiB.
const MOST_SCRATCH: u64 = 8 << 30;

/// Checks the image at `path`.
pub fn check(
    path: &Path,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
    report: &mut dyn FnMut(Problem),
) -> Result<Summary> {
    let mut walk = Walk {
        path,
        report,
        summary: Summary::default(),
        entries: HashSet::new(),
        pointed: HashSet::new(),
    };
    progress(Progress::default());
    if repair {
        let before = look(path, true)?;
        let after = look(path, false)?;
        let left: HashSet<String> = after.iter().map(|found| found.to_string()).collect();
        let known: HashSet<String> = before.iter().map(|found| found.to_string()).collect();
        for found in &before {
            walk.tell_found(found, !left.contains(&found.to_string()));
        }
        for found in after.iter().filter(|found| !known.contains(&found.to_string())) {
            walk.tell_found(found, false);
        }
    } else {
        for found in &look(path, false)? {
            walk.tell_found(found, false);
        }
    }
    match ImagePool::open(path, true) {
        Ok(pool) => walk.contents(&pool, progress)?,
        // Why it does not open was told.
        Err(_) if walk.summary.errors + walk.summary.warnings != 0 => {}
        Err(error) => return Err(error),
    }
    Ok(walk.summary)
}

/// One walk of the store's, which mends if it is told to.
fn look(path: &Path, mend: bool) -> Result<Vec<Found>> {
    let said = |error: StoreError| explain(error, path, "");
    let mut file = ImageFile::open(path, mend, Durable::Always)?;
    let need = scratch_needed(&Geometry::load(&file).map_err(said)?);
    let memory = usize::try_from(need).ok().filter(|_| need <= MOST_SCRATCH);
    let memory = memory.ok_or(Error::Unsupported("this image is too large to be checked here"))?;
    let mut scratch = vec![0; memory];
    let mut found = Vec::new();
    let mut report = |problem| found.push(problem);
    match mend {
        true => core::repair(&mut file, &mut scratch, &mut report).map_err(said)?,
        false => core::check(&file, &mut scratch, &mut report).map_err(said)?,
    };
    Ok(found)
}

struct Walk<'a> {
    path: &'a Path,
    report: &'a mut dyn FnMut(Problem),
    summary: Summary,
    /// FOT entries that were told to be unusable.
    entries: HashSet<(twz_abi::ObjectId, u32)>,
    /// What some object points to.
    pointed: HashSet<twz_abi::ObjectId>,
}

impl Walk<'_> {
    fn tell(
        &mut self,
        severity: Severity,
        where_: String,
        what: String,
        fix: Option<&'static str>,
        repaired: bool,
    ) {
        self.summary.count(severity, repaired);
        (self.report)(Problem { severity, what, where_, fix, repaired });
    }

    fn tell_found(&mut self, found: &Found, repaired: bool) {
        if let Found::Fot { id, index, .. } = *found {
            self.entries.insert((id, index));
        }
        let severity = match found {
            Found::Journal { why: StoreError::Unfinished } => Severity::Warning,
            Found::Bitmap { used: false, .. } | Found::Count { .. } | Found::Beyond { .. } => {
                Severity::Warning
            }
            _ => Severity::Error,
        };
        let fix = match found {
            Found::Journal { why: StoreError::Unfinished } => {
                "opening the image for writing finishes the change"
            }
            Found::Fot { .. } => "import the object again from an export or another pool",
            Found::Unreachable { .. } => "import the pool's objects into a new one",
            Found::NoRoot { .. } => "copy the objects into a new pool; their names are lost",
            found if found.is_mendable() => "a repair writes what should be there",
            _ => "a repair cuts it off: what was there is lost",
        };
        let image = self.path.display().to_string();
        self.tell(severity, image, found.to_string(), Some(fix), repaired);
    }

    /// What the store leaves to its user.
    fn contents(&mut self, pool: &ImagePool, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let mut ids = Vec::new();
        pool.list(&mut |id| {
            ids.push(id);
            Ok(())
        })?;
        let total = ids.len() as u64;
        let mut parts = Vec::new();
        for (done, &id) in (0..).zip(&ids) {
            progress(Progress { done, total });
            self.summary.objects += 1;
            if let Err(error) = pool.verify_content(id) {
                let fix = "delete it, and import it again from an export or another pool";
                self.tell(Severity::Error, id.to_string(), error.to_string(), Some(fix), false);
                continue;
            }
            self.references(pool, id);
            if pool.stat(id).is_ok_and(|stat| stat.kind == kind::PART) {
                parts.push(id);
            }
        }
        parts.retain(|part| !self.pointed.contains(part));
        for part in parts {
            let what = "a part of a file that is not here any more".into();
            let fix = Some("'twz rm' deletes it; 'twz cat' shows what is in it");
            self.tell(Severity::Warning, part.to_string(), what, fix, false);
        }
        progress(Progress { done: total, total });
        Ok(())
    }

    fn references(&mut self, pool: &ImagePool, id: twz_abi::ObjectId) {
        let references = match graph::references(pool, id) {
            Ok(references) => references,
            Err(error) => {
                return self.tell(Severity::Error, id.to_string(), error.to_string(), None, false);
            }
        };
        let mut lost = 0;
        for reference in &references {
            if let Target::Id(to) = reference.target {
                self.pointed.insert(to);
            }
            match &reference.target {
                Target::Bad { why } if !self.entries.contains(&(id, reference.entry)) => {
                    let what = format!("FOT entry {}: {why}", reference.entry);
                    self.tell(Severity::Error, id.to_string(), what, None, false);
                }
                Target::Id(_) if !reference.present => lost += 1,
                _ => {}
            }
        }
        if lost != 0 {
            let what = format!("references to objects that are not here: {lost}");
            let fix = Some("'twz graph --dangling' lists them");
            self.tell(Severity::Info, id.to_string(), what, fix, false);
        }
    }
}
