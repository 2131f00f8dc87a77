// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the secret half of a key is kept: in an object of kind SECRET, or a file
//! of the host that only its owner may read; as it is, or sealed with a passphrase.
//!
//! A sealed secret takes the passphrase through Argon2id to a key for
//! XChaCha20-Poly1305, which covers every byte that is not the secret, too. A check
//! word tells a wrong passphrase from altered bytes; who has the bytes can
//! try passphrases by it no faster than by the seal itself.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{AeadInPlace as _, KeyInit as _, XChaCha20Poly1305};
use twz_abi::{
    DATA_START, ObjectId, Rights,
    meta::kind,
    secret::{CLEAR, SECRET_MAGIC, SECRET_VERSION, Secret, method},
    security::PublicKey,
};
use zerocopy::{FromZeros as _, IntoBytes as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    KeyPair,
    key::of_kind,
    made::{make, make_unseen},
};
use crate::{
    backend::{Backend, NewObject},
    error::{Error, NoSecret, Result},
    raw::sys,
};

/// What a passphrase costs: KiB of memory, passes, lanes.
const COST: (u32, u32, u32) = (64 << 10, 3, 1);
/// What nobody writes, and nobody shall be made to compute.
const MOST: (u32, u32, u32) = (1 << 20, 64, 16);
/// Bytes of a secret as it is kept.
const LEN: usize = size_of::<Secret>();

/// The bytes to keep: sealed, if there is a passphrase.
pub fn keep(key: &KeyPair, passphrase: Option<&[u8]>) -> Result<Zeroizing<[u8; LEN]>> {
    let mut kept = Secret::new_zeroed();
    (kept.magic, kept.version, kept.method) = (SECRET_MAGIC, SECRET_VERSION, method::PLAIN);
    kept.public = key.public();
    kept.secret = *key.seed();
    if let Some(passphrase) = passphrase {
        kept.method = method::SEALED;
        (kept.memory, kept.passes, kept.lanes) = COST;
        (kept.salt, kept.nonce) = (sys::random()?, sys::random()?);
        let made = stretch(&kept, passphrase)?;
        seal(&mut kept, &made)?;
    }
    kept.checksum = kept.compute_checksum();
    let mut bytes = Zeroizing::new([0; LEN]);
    bytes.copy_from_slice(kept.as_bytes());
    kept.secret.zeroize();
    Ok(bytes)
}

/// The key in such bytes.
pub fn open(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<KeyPair> {
    let mut kept = Secret::parse(bytes).map_err(|_| altered())?;
    if kept.method == method::SEALED {
        let passphrase = passphrase.ok_or(Error::Secret(NoSecret::Sealed))?;
        let made = stretch(&kept, passphrase)?;
        if made.get(32..) != Some(&kept.check[..]) {
            return Err(Error::Secret(NoSecret::WrongPassphrase));
        }
        unseal(&mut kept, &made)?;
    }
    let key = KeyPair::from_seed(&Zeroizing::new(kept.secret));
    kept.secret.zeroize();
    match key.public() == kept.public {
        true => Ok(key),
        false => Err(altered()),
    }
}

/// Keeps a key in an object of kind SECRET that the key itself owns, so that it
/// says who may read it: `rights` are for everybody. A secret that is not sealed
/// is for [`Rights::NONE`], and read in a context that it grants reading to; what
/// is sealed may be for everybody to read.
///
/// What is not sealed is nowhere but in that object, not for an instant: it is written
/// in a context made for that, which the process acts in meanwhile, with all its threads. It
/// has to act in the default context before, and may not be traced.
pub fn store(
    pool: &dyn Backend,
    key: &KeyPair,
    passphrase: Option<&[u8]>,
    rights: Rights,
) -> Result<ObjectId> {
    let bytes = keep(key, passphrase)?;
    let new = NewObject {
        owner: key.publish(pool)?,
        default_rights: rights,
        kind: kind::SECRET,
        size: LEN as u64,
        ..NewObject::default()
    };
    match passphrase {
        Some(_) => make(pool, &new, &bytes[..]),
        None => make_unseen(pool, &new, &bytes[..], key),
    }
}

/// The key that an object of kind SECRET keeps.
pub fn load(pool: &dyn Backend, id: ObjectId, passphrase: Option<&[u8]>) -> Result<KeyPair> {
    let stat = pool.stat(id)?;
    if stat.kind != kind::SECRET || stat.size != LEN as u64 {
        return Err(altered());
    }
    let mut bytes = Zeroizing::new([0; LEN]);
    pool.read(id, DATA_START, &mut bytes[..])?;
    open(&bytes[..], passphrase)
}

/// Visits every secret of a pool.
pub fn list(pool: &dyn Backend, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()> {
    of_kind(pool, kind::SECRET, visit)
}

/// Keeps a key in a new file that nobody but its owner may read.
pub fn save(path: &Path, key: &KeyPair, passphrase: Option<&[u8]>) -> Result<()> {
    let bytes = keep(key, passphrase)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(Error::at("make", path))?;
    let done = file.write_all(&bytes[..]).and_then(|()| file.sync_all());
    done.map_err(|error| {
        // Half a secret is none.
        let _ = std::fs::remove_file(path);
        Error::at("write", path)(error)
    })
}

/// The key that a file keeps, which nobody else may read.
pub fn read(path: &Path, passphrase: Option<&[u8]>) -> Result<KeyPair> {
    let file = File::open(path).map_err(Error::at("open", path))?;
    let mode = file.metadata().map_err(Error::at("stat", path))?.mode();
    if mode & 0o077 != 0 {
        return Err(Error::Secret(NoSecret::Open));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LEN + 1));
    let got = file.take(LEN as u64 + 1).read_to_end(&mut bytes);
    got.map_err(Error::at("read", path))?;
    open(&bytes, passphrase)
}

/// The public key that bytes of a secret say they are of: to tell them apart.
pub fn public(bytes: &[u8]) -> Result<PublicKey> {
    Secret::parse(bytes).map(|kept| kept.public).map_err(|_| altered())
}

fn altered() -> Error {
    Error::Secret(NoSecret::Altered)
}

/// What a passphrase comes to: a key, and what tells that it is the right one.
fn stretch(kept: &Secret, passphrase: &[u8]) -> Result<Zeroizing<[u8; 48]>> {
    let (memory, passes, lanes) = MOST;
    if kept.memory > memory || kept.passes > passes || kept.lanes > lanes {
        return Err(altered());
    }
    let params = Params::new(kept.memory, kept.passes, kept.lanes, Some(48));
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| altered())?);
    let mut made = Zeroizing::new([0; 48]);
    let done = argon.hash_password_into(passphrase, &kept.salt, &mut made[..]);
    done.map_err(|_| altered()).map(|()| made)
}

fn cipher(made: &[u8; 48]) -> Result<XChaCha20Poly1305> {
    XChaCha20Poly1305::new_from_slice(made.get(..32).unwrap_or_default()).map_err(|_| altered())
}

fn seal(kept: &mut Secret, made: &[u8; 48]) -> Result<()> {
    kept.check.copy_from_slice(made.get(32..).unwrap_or_default());
    let (clear, nonce) = (clear(kept), kept.nonce);
    let tag = cipher(made)?.encrypt_in_place_detached(&nonce.into(), &clear, &mut kept.secret);
    kept.tag = tag.map_err(|_| altered())?.into();
    Ok(())
}

fn unseal(kept: &mut Secret, made: &[u8; 48]) -> Result<()> {
    let (clear, nonce, tag) = (clear(kept), kept.nonce, kept.tag);
    let secret = &mut kept.secret;
    let done = cipher(made)?.decrypt_in_place_detached(&nonce.into(), &clear, secret, &tag.into());
    done.map_err(|_| altered())
}

/// The bytes that a seal covers besides the secret.
fn clear(kept: &Secret) -> [u8; CLEAR] {
    kept.as_bytes().first_chunk().copied().unwrap_or([0; CLEAR])
}
