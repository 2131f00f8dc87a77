// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The one checksum of the format: CRC-32 (IEEE), which is certain to notice
//! any three flipped bits in a page.

/// CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes);
    hasher.finalize()
}
