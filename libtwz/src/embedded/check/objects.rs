// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files under `objects/`: each object has data and a tail, in the right
//! place, that agree with each other and with its id.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use twz_abi::{
    DATA_START, MAX_DATA, META_START, Meta, ObjectId, PAGE,
    meta::{Bounds, flags, heap_offset},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Mend, Walk};
use crate::{
    check::{Progress, Severity},
    embedded::{
        copy::hash_file,
        objects::{META_IN_TAIL, allocate, verify},
        paths,
    },
    error::{Error, Result},
    raw::tail::TailPage,
};

/// The files of one object.
pub(super) struct Files {
    pub(super) data_path: PathBuf,
    pub(super) tail_path: PathBuf,
    pub(super) data: File,
    pub(super) tail: File,
    pub(super) size: u64,
}

impl Walk<'_> {
    /// Checks every file under `objects/`.
    pub(super) fn objects(&mut self) {
        let mut tails = Vec::new();
        let mut datas = Vec::new();
        for dir in self.entries(&self.root.join(paths::OBJECTS)) {
            if !fs::symlink_metadata(&dir).is_ok_and(|stat| stat.is_dir()) {
                self.stray(&dir);
                continue;
            }
            for path in self.entries(&dir) {
                match who(&dir, &path) {
                    Some((id, true)) => tails.push((id, path)),
                    Some((id, false)) => datas.push((id, path)),
                    None => self.stray(&path),
                }
            }
        }
        self.ids = tails.iter().map(|&(id, _)| id).collect();
        let total = tails.len() as u64;
        for (done, (id, tail)) in (0..).zip(tails) {
            (self.progress)(Progress { done, total });
            self.summary.objects += 1;
            self.object(id, tail);
        }
        (self.progress)(Progress { done: total, total });
        if self.changed != 0 {
            let what =
                format!("objects that other programs made longer or shorter: {}", self.changed);
            self.tell(Severity::Info, &self.root.join(paths::OBJECTS), what, None);
        }
        for (id, path) in datas {
            if !self.ids.contains(&id) {
                self.lonely_data(&path);
            }
        }
    }

    fn stray(&mut self, path: &Path) {
        let advice = "move it elsewhere";
        self.advise(Severity::Warning, path, "this belongs to no object", advice);
    }

    fn lonely_data(&mut self, path: &Path) {
        let named = fs::symlink_metadata(path).is_ok_and(|stat| stat.nlink() > 1);
        let (what, advice) = match named {
            true => (
                "the data of a file that is just becoming an object",
                "looking up its name finishes that",
            ),
            false => (
                "data without a tail: an object whose making or deletion was cut off",
                "delete the file if nobody misses it",
            ),
        };
        self.advise(Severity::Warning, path, what, advice);
    }

    fn object(&mut self, id: ObjectId, tail_path: PathBuf) {
        let data_path = tail_path.with_extension("");
        let Some((data, stat)) = self.open(&data_path) else { return };
        let Some((tail, _)) = self.open(&tail_path) else { return };
        let size = stat.len();
        let files = Files { data_path, tail_path, data, tail, size };
        let mut meta = Meta::new_zeroed();
        if let Err(error) = files.tail.read_exact_at(meta.as_mut_bytes(), META_IN_TAIL) {
            self.unreadable(&files.tail_path, &error);
            return;
        }
        if stat.nlink() > 1 {
            self.named.insert(stat.ino(), None);
        }
        let meta = match size > MAX_DATA {
            true => self.long_file(&files, meta),
            false => self.moving_words(&files, meta),
        };
        let Some(meta) = meta else { return };
        if let Err(error) = verify(&meta, id) {
            let advice = "import the object again from an export or another pool";
            self.advise(Severity::Error, &files.tail_path, &error.to_string(), advice);
            return;
        }
        if let Some(known) = self.named.get_mut(&stat.ino()) {
            *known = Some((id, meta.nonce));
        }
        self.contents(&files, &meta);
        self.table(&files, &meta);
    }

    fn open(&mut self, path: &Path) -> Option<(File, Metadata)> {
        match fs::symlink_metadata(path) {
            Ok(stat) if !stat.is_file() => {
                self.tell(Severity::Error, path, "it is not an ordinary file", None);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let advice = "delete the tail, or put the data back from a backup";
                self.advise(Severity::Error, path, "an object without its data", advice);
                None
            }
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
            Ok(stat) => match File::open(path) {
                Ok(file) => Some((file, stat)),
                Err(error) => {
                    self.unreadable(path, &error);
                    None
                }
            },
        }
    }

    /// Programs may use it as the file that it is; its moving words cannot say so.
    fn long_file(&mut self, files: &Files, meta: Meta) -> Option<Meta> {
        let advice = "use it as a file, or cut it up to use it with twz";
        let what = format!("a file of {} bytes: an object has at most {MAX_DATA}", files.size);
        self.advise(Severity::Info, &files.data_path, &what, advice);
        Some(meta)
    }

    /// The size and the bounds, which follow from the files. Returns the meta
    /// record as it should be. Any program may make the file longer or shorter, and
    /// is right to: that is no fault of the object.
    fn moving_words(&mut self, files: &Files, mut meta: Meta) -> Option<Meta> {
        const SIZE: u64 = META_START + std::mem::offset_of!(Meta, size) as u64;
        const BOUNDS: u64 = META_START + std::mem::offset_of!(Meta, bounds) as u64;
        let by_others = meta.size != files.size && meta.size <= MAX_DATA;
        let mild = if by_others { Severity::Info } else { Severity::Warning };
        if by_others && !self.repair {
            // Told once for all of them.
            self.changed += 1;
            let data_pages = files.size.div_ceil(PAGE) as u32;
            meta.size = files.size;
            meta.bounds = Bounds { data_pages, ..Bounds::unpack(meta.bounds) }.pack();
        } else if meta.size != files.size {
            let what =
                format!("the meta record says {} bytes, and there are {}", meta.size, files.size);
            let mut mend = || set_word(&files.tail_path, SIZE, meta.size, files.size);
            let mend: Mend<'_> = Some(("the size is taken from the data file", &mut mend));
            self.tell(mild, &files.tail_path, what, mend);
            meta.size = files.size;
        }
        self.log_words(files, &mut meta);
        let now = Bounds::unpack(meta.bounds);
        let right = match bounds_from(files, now) {
            Ok(bounds) => bounds,
            Err(error) => {
                self.unreadable(&files.tail_path, &error);
                return None;
            }
        };
        if right == now {
            self.length(files, now);
            return Some(meta);
        }
        let what = format!(
            "the bounds say {} pages of data and {} of FOT, and there are {} and {}",
            now.data_pages, now.fot_pages, right.data_pages, right.fot_pages
        );
        if !right.fits() {
            let advice = "copy what is needed out of the data file, and make it shorter";
            self.advise(Severity::Error, &files.tail_path, &what, advice);
            return None;
        }
        let severity = match now.fot_pages == right.fot_pages {
            true => mild,
            false => Severity::Error,
        };
        let mut mend = || set_word(&files.tail_path, BOUNDS, now.pack(), right.pack());
        let mend: Mend<'_> = Some(("the bounds are taken from the files", &mut mend));
        self.tell(severity, &files.tail_path, what, mend);
        meta.bounds = right.pack();
        Some(meta)
    }

    /// Which log the last transaction is in.
    fn log_words(&mut self, files: &Files, meta: &mut Meta) {
        const PLACE: u64 = META_START + std::mem::offset_of!(Meta, log_place) as u64;
        if let Err(error) = meta.check_log() {
            let mut mend = || set_word(&files.tail_path, PLACE, meta.log_place, 0);
            let mend: Mend<'_> = Some(("the object is taken as it is", &mut mend));
            self.tell(Severity::Error, &files.tail_path, error.to_string(), mend);
            meta.log_place = 0;
        }
    }

    /// The tail is to be as long as the FOT that the bounds claim: a process
    /// that was killed while it made room can have left it shorter.
    fn length(&mut self, files: &Files, bounds: Bounds) {
        let claimed = (bounds.fot_pages as u64 + 1) * PAGE;
        if files.tail.metadata().is_ok_and(|stat| stat.len() >= claimed) {
            return;
        }
        let mut mend = || {
            let file = OpenOptions::new().write(true).open(&files.tail_path);
            file.and_then(|file| allocate(&file, 0, claimed))
                .map_err(Error::at("extend", &files.tail_path))
        };
        let mend: Mend<'_> = Some(("it is made longer", &mut mend));
        let what = "the tail is shorter than its bounds say";
        self.tell(Severity::Warning, &files.tail_path, what, mend);
    }

    /// What the meta record says of the data.
    fn contents(&mut self, files: &Files, meta: &Meta) {
        let heap = heap_offset(meta.heap).ok().flatten().unwrap_or(0);
        if heap >= DATA_START + files.size.next_multiple_of(PAGE) {
            let what = format!("its heap begins at {heap:#x}, past the end of its data");
            self.tell(Severity::Warning, &files.tail_path, what, None);
        }
        if meta.flags & flags::IMMUTABLE == 0 {
            return;
        }
        match hash_file(&files.data_path) {
            Ok(hash) if hash == meta.content => {}
            Ok(_) => {
                let what = "the contents of an immutable object are not those its id covers";
                let advice = "delete it, and import it again from an export or another pool";
                self.advise(Severity::Error, &files.data_path, what, advice);
            }
            Err(error) => self.tell(Severity::Error, &files.data_path, error.to_string(), None),
        }
    }
}

/// The object a file under `objects/ab/` is of, and whether it is its tail.
fn who(dir: &Path, path: &Path) -> Option<(ObjectId, bool)> {
    let name = path.file_name()?.to_str()?;
    let (digits, tail) = match name.strip_suffix(".tail") {
        Some(digits) => (digits, true),
        None => (name, false),
    };
    let id: ObjectId = digits.parse().ok()?;
    let right = id.is_valid()
        && id.to_string() == digits
        && dir.file_name()?.to_str()? == digits.get(..2)?;
    right.then_some((id, tail))
}

/// What the bounds of an object should be: its pages of data, and the FOT pages
/// it claims, unless that cannot be, or its tail shows that it has more.
fn bounds_from(files: &Files, now: Bounds) -> io::Result<Bounds> {
    let data_pages = files.size.div_ceil(PAGE) as u32;
    let have = files.tail.metadata()?.len() / PAGE;
    // The tail is as long as the runs of its pages.
    let most = (have.clamp(1, 1 << 17) as u32 + 1).next_power_of_two() / 2 - 1;
    let kept = Bounds { data_pages, ..now };
    let claimed = (now.fot_pages as u64 + 1) * PAGE;
    let more = now.fot_pages < most && has_bytes(&files.tail, claimed, (most as u64 + 1) * PAGE)?;
    Ok(if kept.fits() && !more { kept } else { Bounds { data_pages, fot_pages: most } })
}

/// Whether there is anything but zeros in a part of a file.
fn has_bytes(file: &File, mut at: u64, end: u64) -> io::Result<bool> {
    let mut page = [0; PAGE as usize];
    while at < end {
        let got = file.read_at(&mut page, at)?;
        if got == 0 {
            return Ok(false);
        }
        if page.iter().take(got).any(|&byte| byte != 0) {
            return Ok(true);
        }
        at += got as u64;
    }
    Ok(false)
}

/// Replaces a word of a tail that programs may have mapped.
fn set_word(path: &Path, offset: u64, old: u64, new: u64) -> Result<()> {
    let file =
        OpenOptions::new().read(true).write(true).open(path).map_err(Error::at("open", path))?;
    let tail = TailPage::map(file.as_fd())?;
    let word = tail.word(offset)?;
    word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
        .map_err(|_| Error::Busy { what: "the object is in use; check it again" })?;
    file.sync_data().map_err(Error::at("sync", path))
}
