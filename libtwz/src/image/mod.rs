// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool in one file: a [`twz_core::Store`] on an image, so that what a
//! device holds can be made, filled, checked and mended on any machine.
//!
//! An image cannot be mapped: [`crate::transfer::copy_pool`] moves its objects
//! into a directory, and back. One process writes to an image at a time, or
//! several read it.

use std::path::Path;

use crate::error::{Error, Result};

mod backend;

/// How to make an image.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// Bytes of the file, tables included. It is sparse until it is filled.
    pub size: u64,
    /// How many objects there can be; `None` is one for 64 KiB, at least 64.
    pub records: Option<u64>,
    /// Text for people, up to 63 bytes.
    pub label: String,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self { size: 64 << 20, records: None, label: String::new() }
    }
}

/// A pool in an image file, open.
pub struct ImagePool {}

impl ImagePool {
    /// Makes an image at `path`, where nothing or an empty file must be.
    pub fn format(_path: &Path, _options: &ImageOptions) -> Result<()> {
        Err(Error::Unsupported("images are being built"))
    }

    /// Opens the image at `path`.
    pub fn open(_path: &Path, _read_only: bool) -> Result<Self> {
        Err(Error::Unsupported("images are being built"))
    }

    /// Opens the image at `path` for writing, or for reading where it cannot be
    /// written.
    pub fn open_best(path: &Path) -> Result<Self> {
        Self::open(path, false)
    }
}
