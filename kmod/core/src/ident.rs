// SPDX-License-Identifier: GPL-2.0 OR MIT
//! How an id is earned: it is a hash of what it must not be separated from.
//!
//! [`Identity`] holds what goes into the hash. The meta record and the object
//! record each carry one; whoever uses an object by its id checks that the id
//! is the identity's.

use sha2::{Digest as _, Sha256};
use twz_abi::{meta, Meta, ObjectId, ObjectRecord, Rights};

use crate::error::{Result, StoreError};

/// What an object's id is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What makes ids of equal objects differ.
    pub nonce: [u8; 16],
    /// The object that holds the owner's public key, or null.
    pub owner: ObjectId,
    /// [`twz_abi::meta::flags`].
    pub flags: u32,
    /// [`Rights`] that everybody has.
    pub default_rights: u32,
    /// SHA-256 of the data of an immutable object, else zero.
    pub content: [u8; 32],
}

impl Identity {
    /// The identity of a mutable object that nobody owns, with default rights.
    pub fn plain(nonce: [u8; 16]) -> Self {
        Self {
            nonce,
            owner: ObjectId::NULL,
            flags: 0,
            default_rights: Rights::DEFAULT.0,
            content: [0; 32],
        }
    }

    /// The id, or `None` if this nonce gives one with a zero half: take another.
    pub fn id(&self) -> Option<ObjectId> {
        let id = self.hash();
        id.is_valid().then_some(id)
    }

    /// Refuses an id that is not this identity's, and an identity that says
    /// what none may say.
    pub fn verify(&self, id: ObjectId) -> Result<()> {
        let sealed = self.flags & meta::flags::IMMUTABLE != 0;
        if !id.is_valid()
            || id != self.hash()
            || self.flags & !meta::flags::KNOWN != 0
            || !Rights(self.default_rights).check()
            || (!sealed && self.content != [0; 32])
        {
            return Err(StoreError::IdMismatch { id });
        }
        Ok(())
    }

    /// Whether the data never change.
    pub fn is_immutable(&self) -> bool {
        self.flags & meta::flags::IMMUTABLE != 0
    }

    fn hash(&self) -> ObjectId {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"twizzler id v1\0\0")
            .chain_update(self.nonce)
            .chain_update(self.owner.lo.to_le_bytes())
            .chain_update(self.owner.hi.to_le_bytes())
            .chain_update(self.flags.to_le_bytes())
            .chain_update(self.default_rights.to_le_bytes())
            .chain_update(self.content)
            .finalize()
            .into();
        let half = |at: usize| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(hash.iter().skip(at)) {
                *to = *from;
            }
            u64::from_le_bytes(word)
        };
        ObjectId { lo: half(0) ^ half(16), hi: half(8) ^ half(24) }
    }
}

impl From<&Meta> for Identity {
    fn from(m: &Meta) -> Self {
        Self {
            nonce: m.nonce,
            owner: m.owner,
            flags: m.flags,
            default_rights: m.default_rights,
            content: m.content,
        }
    }
}

impl From<&ObjectRecord> for Identity {
    fn from(r: &ObjectRecord) -> Self {
        Self {
            nonce: r.nonce,
            owner: r.owner,
            flags: r.flags,
            default_rights: r.default_rights,
            content: r.content,
        }
    }
}

/// Refuses an id that is not `identity`'s.
pub fn verify(id: ObjectId, identity: &Identity) -> Result<()> {
    identity.verify(id)
}

/// The hash of an immutable object's data, fed piece by piece.
#[derive(Clone, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// The hash of no data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the data.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What belongs into [`Identity::content`].
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_in_the_id() {
        let plain = Identity::plain([1; 16]);
        let id = plain.id().unwrap();
        assert_eq!(plain.verify(id), Ok(()));
        let others = [
            Identity { nonce: [2; 16], ..plain },
            Identity { owner: ObjectId::from_u128(1 << 64 | 1), ..plain },
            Identity { flags: 1, ..plain },
            Identity { default_rights: 1, ..plain },
            Identity { flags: 1, content: [1; 32], ..plain },
        ];
        for other in others {
            assert_ne!(other.id(), Some(id));
            assert_eq!(other.verify(id), Err(StoreError::IdMismatch { id }));
            assert_eq!(verify(other.id().unwrap(), &other), Ok(()));
        }
    }

    #[test]
    fn an_id_is_what_format_md_says() {
        // Computed by: printf 'twizzler id v1\0\0' | zeros(16 + 16) | flags 0 |
        // rights 27 | zeros(32), SHA-256, halves XORed.
        let mut bytes = b"twizzler id v1\0\0".to_vec();
        bytes.extend([0; 32]);
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(27u32.to_le_bytes());
        bytes.extend([0; 32]);
        let hash = Sha256::digest(&bytes);
        let folded: Vec<u8> = (0..16).map(|i| hash[i] ^ hash[i + 16]).collect();
        let id = Identity::plain([0; 16]).id().unwrap();
        assert_eq!(id.as_u128().to_le_bytes().to_vec(), folded);
    }

    #[test]
    fn a_mutable_identity_covers_no_content() {
        let odd = Identity { content: [1; 32], ..Identity::plain([0; 16]) };
        assert!(odd.verify(odd.id().unwrap()).is_err());
    }

    #[test]
    fn content_in_pieces() {
        let mut pieces = ContentHash::new();
        pieces.update(b"ab");
        pieces.update(b"c");
        assert_eq!(pieces.finish()[..], Sha256::digest(b"abc")[..]);
    }
}
