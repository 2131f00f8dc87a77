// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making an object that has its data from the first moment on: what grants no
//! right to write could not be filled later, and what is immutable neither.

use twz_abi::{
    DATA_START, ObjectId, Rights,
    ioctl::attach_flags::SWITCH,
    security::{AttachClaim, Policy},
};

use super::{Context, DEFAULT, KeyPair, NewContext, Terms, sign};
use crate::{
    backend::{Backend, NewObject},
    error::{Error, Result},
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

/// The same for bytes that nobody else is to see, not for an instant: they are written to
/// the object itself, in a context that alone has the right to, by a grant that `key`, its
/// owner's, signs. That context leaves others what they have by default, and is gone
/// afterwards.
pub(super) fn make_unseen(
    pool: &dyn Backend,
    new: &NewObject,
    bytes: &[u8],
    key: &KeyPair,
) -> Result<ObjectId> {
    match pool.contexts() {
        // Nobody acts in an image: who opens it has all that is in it.
        Err(Error::Unsupported(_)) => return make(pool, new, bytes),
        Err(error) => return Err(error),
        Ok(state) if state.active.is_null() => {}
        Ok(_) => {
            return Err(Error::Unsupported(
                "a secret that is not sealed is stored from the default context: seal it, or \
                 store it before acting in another one",
            ));
        }
    }
    let id = pool.create(new)?;
    let write = Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::DELETE.0);
    let rights = Rights(Rights::READ.0 | Rights::DELETE.0);
    let context = NewContext { owner: new.owner, policy: Policy::OPEN, rights };
    let context = Context::create_with(pool, &context, |context| {
        vec![sign(Terms::new(id, write).unsigned(context, 0), key)]
    })?;
    let made = write_in(pool, context.id(), key, (id, bytes));
    let gone = pool.delete(context.id());
    made?;
    gone.map(|()| id)
}

/// Writes to an object in a context, and leaves it. What cannot be written is deleted.
fn write_in(
    pool: &dyn Backend,
    context: ObjectId,
    key: &KeyPair,
    (id, bytes): (ObjectId, &[u8]),
) -> Result<()> {
    let (pool_id, nonce) = (pool.info()?.pool_id, pool.contexts()?.nonce);
    let proof = key.sign(&AttachClaim { pool: pool_id, context, nonce }.message());
    pool.attach_context(context, SWITCH, Some(&proof))?;
    let written = pool.write(id, DATA_START, bytes);
    if written.is_err() {
        let _ = pool.delete(id);
    }
    let left = pool.switch_context(DEFAULT).and_then(|()| pool.detach_context(context));
    written.and(left)
}
