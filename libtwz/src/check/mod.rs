// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking for damage in a pool, and mending what has a second copy: [`check`],
//! for directories and images.

use std::{fs, io, os::unix::fs::FileTypeExt as _, path::Path};

use crate::{
    embedded,
    error::{Error, Result},
};

mod image;

/// What a check is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Mend what can be mended without guessing.
    pub repair: bool,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Something is out of order, and no data are lost by it.
    Warning,
    /// Something is damaged.
    Error,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub what: String,
    /// Where: a file, an object, a byte of an image.
    pub where_: String,
    /// What mends it, or what to do, where something does.
    pub fix: Option<&'static str>,
    /// Whether it was mended just now.
    pub repaired: bool,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps done: objects, or pages of an image.
    pub done: u64,
    /// Steps there are.
    pub total: u64,
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects looked at.
    pub objects: u64,
    /// Problems of [`Severity::Error`] that are still there.
    pub errors: u64,
    /// Problems of [`Severity::Warning`] that are still there.
    pub warnings: u64,
    /// Problems that were mended.
    pub repaired: u64,
}

impl Summary {
    /// Whether nothing is damaged any more.
    pub fn is_clean(&self) -> bool {
        self.errors == 0
    }

    pub(crate) fn count(&mut self, severity: Severity, repaired: bool) {
        match (severity, repaired) {
            (_, true) => self.repaired += 1,
            (Severity::Error, _) => self.errors += 1,
            (Severity::Warning, _) => self.warnings += 1,
            (Severity::Info, _) => {}
        }
    }
}

/// Checks the pool at `path`, a directory or an image. Each problem goes to
/// `report`; an error is returned only where the check itself could not go on:
/// where there is no pool, or one that only a newer twz can judge.
///
/// A directory may be in use meanwhile; what is being changed can then show as
/// a problem that a second check does not find. An image may be read.
pub fn check(
    path: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
    report: &mut dyn FnMut(Problem),
) -> Result<Summary> {
    match fs::metadata(path) {
        Ok(stat) if stat.is_dir() => match fs::metadata(path.join(embedded::POOL_FILE)) {
            Ok(_) => embedded::check(path, options.repair, progress, report),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoPool(path.into()))
            }
            Err(error) => Err(Error::at("open the pool", path)(error)),
        },
        Ok(stat) if stat.file_type().is_char_device() => Err(Error::Unsupported(
            "a pool that the kernel module serves cannot be checked; unload the module, and check the device that it was on",
        )),
        Ok(_) => image::check(path, options.repair, progress, report),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoPool(path.into())),
        Err(error) => Err(Error::at("open the pool", path)(error)),
    }
}
