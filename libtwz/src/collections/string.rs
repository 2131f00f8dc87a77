// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text: a [`Vec`] of bytes that are UTF-8, which is checked when it is read.

use super::Vec;
use crate::{
    Object, Writer,
    error::{Error, Result},
};

/// Text that can be replaced and added to. See [`crate::collections`].
#[derive(crate::Persist)]
#[repr(transparent)]
pub struct String {
    bytes: Vec<u8>,
}

impl Default for String {
    fn default() -> Self {
        Self::new()
    }
}

impl String {
    /// The empty text.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Has the text come from the heap of another object; only while there is
    /// none and never was.
    pub fn set_home<O, H>(&self, writer: &Writer<'_, O>, object: &Object<H>) -> Result<()> {
        self.bytes.set_home(writer, object)
    }

    /// Bytes of the text.
    pub fn len(&self) -> Result<u64> {
        self.bytes.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> Result<bool> {
        self.bytes.is_empty()
    }

    /// The text as it is at one instant.
    pub fn get(&self) -> Result<std::string::String> {
        std::string::String::from_utf8(self.bytes.to_bytes()?)
            .map_err(|_| Error::BadPointer { why: "the text is not UTF-8" })
    }

    /// Replaces the text, as one change.
    pub fn set<O>(&self, writer: &Writer<'_, O>, text: &str) -> Result<()> {
        self.bytes.replace(writer, text.as_bytes())
    }

    /// Adds to the text, as one change.
    pub fn push_str<O>(&self, writer: &Writer<'_, O>, text: &str) -> Result<()> {
        self.bytes.extend_from_slice(writer, text.as_bytes())
    }

    /// Takes the text away.
    pub fn clear<O>(&self, writer: &Writer<'_, O>) -> Result<()> {
        self.bytes.clear(writer)
    }
}
