// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ranges of objects, and the words they lie in.

use crate::error::Result;

/// A range of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    /// Number among those that take part.
    pub object: u32,
    pub offset: u64,
    pub len: u64,
}

/// Whether a range may be stored to in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InPlace {
    /// It is recorded.
    Yes,
    /// It is, but as it was before the inner transaction began.
    Outer,
    /// It is not.
    No,
}

/// Splits bytes of an object into the words they lie in: offset, mask, and
/// where the word's bytes begin among them.
pub(crate) fn each_word(
    offset: u64,
    len: u64,
    mut visit: impl FnMut(u64, u8) -> Result<()>,
) -> Result<()> {
    let end = offset + len;
    let mut at = offset & !7;
    while at < end {
        let mut mask = 0xffu8;
        if at < offset {
            mask &= 0xff << (offset - at);
        }
        if end - at < 8 {
            mask &= 0xff >> (8 - (end - at));
        }
        visit(at, mask)?;
        at += 8;
    }
    Ok(())
}
