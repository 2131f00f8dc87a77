// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool file: both superblocks, and the control page.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use twz_abi::{
    FormatError, PAGE, Superblock,
    features::Access,
    superblock::{CONTROL_MAGIC, kind},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Mend, Walk};
use crate::{
    check::Severity,
    embedded::{paths, pool::CONTROL_OFFSET},
    error::{Error, Result},
};

impl Walk<'_> {
    /// Checks the pool file. An error is returned where another twz is needed.
    pub(super) fn pool_file(&mut self) -> Result<()> {
        let path = self.root.join(paths::POOL_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(self.repair)
            .open(&path)
            .map_err(Error::at("open", &path))?;
        let blocks = [read(&file, 0), read(&file, 1)];
        // Which is not damage, and must not be mended.
        for block in &blocks {
            match block {
                Err(error @ (FormatError::Version { .. } | FormatError::Feature { .. })) => {
                    let what = path.display().to_string();
                    return Err(Error::Format { what, error: *error });
                }
                Ok((_, Access::ReadOnly)) if self.repair => return Err(Error::ReadOnly),
                _ => {}
            }
        }
        match &blocks {
            [Err(first), Err(second)] => {
                let what = format!("both superblocks are unusable: {first}; {second}");
                let advice = "copy the objects that are left into a new pool";
                self.advise(Severity::Error, &path, &what, advice);
            }
            [Ok((good, _)), Err(why)] => self.one_bad(&file, &path, good, 1, *why),
            [Err(why), Ok((good, _))] => self.one_bad(&file, &path, good, 0, *why),
            [Ok(_), Ok(_)] => {}
        }
        let best = blocks.iter().flatten().map(|(block, _)| block).max_by_key(|b| b.sequence);
        let inode = file.metadata().map_err(Error::at("stat", &path))?.ino();
        if best.is_some_and(|block| block.home_inode != inode) {
            self.copied = true;
            let advice = "the next use of the pool makes inodes/ anew";
            let what = "the pool was copied by something that is not twz";
            self.advise(Severity::Info, &path, what, advice);
        }
        self.control_page(&file, &path);
        Ok(())
    }

    /// One superblock is unusable; the other is written in its place.
    fn one_bad(
        &mut self,
        file: &File,
        path: &Path,
        good: &Superblock,
        slot: u64,
        why: FormatError,
    ) {
        let mut mend = || {
            let mut block = *good;
            block.sequence = good.sequence.wrapping_add(1);
            block.checksum = block.compute_checksum();
            file.write_all_at(block.as_bytes(), slot * PAGE)
                .and_then(|()| file.sync_data())
                .map_err(Error::at("write", path))
        };
        let mend: Mend<'_> = Some(("it is written anew from the other one", &mut mend));
        let what = format!("superblock {slot} is unusable: {why}");
        self.tell(Severity::Error, path, what, mend);
    }

    fn control_page(&mut self, file: &File, path: &Path) {
        let mut magic = [0; 8];
        let whole = file.metadata().is_ok_and(|stat| stat.len() >= CONTROL_OFFSET + PAGE);
        let read = file.read_exact_at(&mut magic, CONTROL_OFFSET).is_ok();
        if whole && read && u64::from_le_bytes(magic) == CONTROL_MAGIC {
            return;
        }
        let mut mend = || {
            // The count itself may be anything: only changes of it matter.
            let length = file.metadata().map(|stat| stat.len());
            length
                .and_then(|len| file.set_len(len.max(CONTROL_OFFSET + PAGE)))
                .and_then(|()| file.write_all_at(&CONTROL_MAGIC.to_le_bytes(), CONTROL_OFFSET))
                .and_then(|()| file.sync_data())
                .map_err(Error::at("write", path))
        };
        let mend: Mend<'_> = Some(("it is written anew", &mut mend));
        self.tell(Severity::Error, path, "the control page is unusable", mend);
    }
}

/// The superblock in a slot, if it is that of a directory and stands where it
/// should.
fn read(file: &File, slot: u64) -> std::result::Result<(Superblock, Access), FormatError> {
    let mut block = Superblock::new_zeroed();
    file.read_exact_at(block.as_mut_bytes(), slot * PAGE)
        .map_err(|_| FormatError::Short { what: "superblock" })?;
    let access = block.check()?;
    if block.sequence & 1 != slot {
        let found = block.sequence;
        return Err(FormatError::Range { what: "superblock sequence", found });
    }
    if block.kind != kind::DIRECTORY {
        return Err(FormatError::Range { what: "pool kind", found: block.kind as u64 });
    }
    Ok((block, access))
}
