// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Mending.

use crate::{error::Result, format::write_superblock, geometry::Geometry, media::Media};

/// Writes the other superblock anew from the one that counts, which stays. A
/// later fence makes it durable; if none comes it is written anew again.
pub(crate) fn mend_superblock<M: Media>(media: &mut M, geo: &Geometry) -> Result<()> {
    let (_, sequence) = Geometry::slot(media, geo.current)?;
    write_superblock(media, geo, 1 - geo.current, sequence.wrapping_add(1))
}
