// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The secret half of a key, as an object of kind SECRET or a file holds it.
//! Nothing that a kernel reads.

use zerocopy::{FromBytes as _, IntoBytes as _};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{checksum::crc32, layout::layout, security::PublicKey, FormatError};

/// First word of a secret: "TWZSECR1".
pub const SECRET_MAGIC: u64 = u64::from_le_bytes(*b"TWZSECR1");
/// Version of the record.
pub const SECRET_VERSION: u32 = 1;

/// How a secret is kept.
pub mod method {
    /// As it is.
    pub const PLAIN: u32 = 1;
    /// Sealed with XChaCha20-Poly1305, by a key that Argon2id makes of a passphrase.
    pub const SEALED: u32 = 2;
}

/// A secret ed25519 key.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Secret {
    /// [`SECRET_MAGIC`].
    pub magic: u64,
    /// [`SECRET_VERSION`].
    pub version: u32,
    /// [`method`].
    pub method: u32,
    /// The public half.
    pub public: PublicKey,
    /// What Argon2id costs: KiB of memory, ...
    pub memory: u32,
    /// ... passes, ...
    pub passes: u32,
    /// ... and lanes.
    pub lanes: u32,
    /// Zero.
    pub reserved0: u32,
    /// Argon2id's salt.
    pub salt: [u8; 16],
    /// XChaCha20's nonce.
    pub nonce: [u8; 24],
    /// The last 16 of the 48 bytes that Argon2id makes; the first 32 are the key.
    pub check: [u8; 16],
    /// The secret, sealed or not.
    pub secret: [u8; 32],
    /// Poly1305's tag: over that, and every byte before it.
    pub tag: [u8; 16],
    /// Zero.
    pub reserved1: [u8; 84],
    /// CRC-32 of all the bytes before it.
    pub checksum: u32,
}
layout!(Secret, 256, 8, {
    magic: 0, version: 8, method: 12, public: 16, memory: 48, passes: 52, lanes: 56,
    reserved0: 60, salt: 64, nonce: 80, check: 104, secret: 120, tag: 152, reserved1: 168,
    checksum: 252,
});

/// Bytes of a secret that are not it, and that its seal covers.
pub const CLEAR: usize = core::mem::offset_of!(Secret, secret);

impl Secret {
    /// The checksum of all before it.
    pub fn compute_checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32(bytes.get(..bytes.len() - 4).unwrap_or(bytes))
    }

    /// The secret in these bytes, if they are one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let what = "secret key";
        let Ok(secret) = Self::read_from_bytes(bytes) else {
            return Err(FormatError::Short { what });
        };
        if secret.magic != SECRET_MAGIC {
            return Err(FormatError::Magic { what, found: secret.magic });
        }
        if secret.version != SECRET_VERSION {
            return Err(FormatError::Version { what, found: secret.version });
        }
        let (stored, computed) = (secret.checksum, secret.compute_checksum());
        if stored != computed {
            return Err(FormatError::Checksum { what, stored, computed });
        }
        if secret.reserved0 != 0 || secret.reserved1 != [0; 84] {
            return Err(FormatError::Reserved { what });
        }
        match secret.method {
            method::PLAIN | method::SEALED => Ok(secret),
            other => {
                Err(FormatError::Range { what: "method of a secret key", found: other as u64 })
            }
        }
    }
}
