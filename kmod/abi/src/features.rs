// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The three feature masks of a pool, and how an opener must treat them.
//!
//! - `compat`: may be ignored.
//! - `ro_compat`: whoever does not know a bit may read but not write.
//! - `incompat`: whoever does not know a bit must refuse.

use crate::FormatError;

/// Incompat bits this code knows: none yet.
pub const INCOMPAT_KNOWN: u64 = 0;

/// Ro_compat bits this code knows: none yet.
pub const RO_COMPAT_KNOWN: u64 = 0;

/// How a pool may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every feature that matters for writing is known.
    ReadWrite,
    /// An unknown ro_compat feature: read only.
    ReadOnly,
}

/// Decides how a pool with these masks may be opened.
pub fn access(ro_compat: u64, incompat: u64) -> Result<Access, FormatError> {
    let unknown = incompat & !INCOMPAT_KNOWN;
    if unknown != 0 {
        return Err(FormatError::Feature { unknown });
    }
    Ok(if ro_compat & !RO_COMPAT_KNOWN == 0 { Access::ReadWrite } else { Access::ReadOnly })
}
