// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making an object that has its data from the first moment on: what grants no
//! right to write could not be filled later, and what is immutable neither.

use twz_abi::{DATA_START, ObjectId, Rights};

use crate::{
    backend::{Backend, NewObject},
    error::Result,
};

/// Makes an object of these bytes: a scratch object is filled and copied, and gone
/// afterwards, whatever happens.
pub(super) fn make(pool: &dyn Backend, new: &NewObject, bytes: &[u8]) -> Result<ObjectId> {
    let plain = NewObject {
        kind: new.kind,
        size: bytes.len() as u64,
        default_rights: Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::DELETE.0),
        ..NewObject::default()
    };
    let scratch = pool.create(&plain)?;
    let made = pool.write(scratch, DATA_START, bytes).and_then(|()| pool.copy(scratch, new));
    // What was shared stays with the copy alone: no page that is freed holds it.
    let _ = pool.write(scratch, DATA_START, &vec![0; bytes.len()]);
    let gone = pool.delete(scratch);
    let made = made?;
    gone.map(|()| made)
}
