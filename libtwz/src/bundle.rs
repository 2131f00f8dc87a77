// SPDX-License-Identifier: MIT OR Apache-2.0
//! One object as one file: [`export`] and [`import`], as FORMAT.md's "Exported
//! object" says. What is imported has the id it had, or is not imported.

use std::io::{Read, Write};

use twz_abi::ObjectId;

use crate::{
    backend::Backend,
    error::{Error, Result},
};

/// Writes object `id` to `out`. `progress` is told how many bytes of the data
/// are done, and of how many.
///
/// What programs store while this reads may or may not be in it; stop them
/// first where that matters.
pub fn export(
    _pool: &dyn Backend,
    _id: ObjectId,
    _out: &mut dyn Write,
    _progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    Err(Error::Unsupported("export is being built"))
}

/// Reads an exported object from `from` into the pool, and returns its id. Its
/// id, its checksum and, if it is immutable, its data are verified first: an
/// object that is not wholly what it says leaves nothing behind. An id that the
/// pool has already is refused.
pub fn import(
    _pool: &dyn Backend,
    _from: &mut dyn Read,
    _progress: &mut dyn FnMut(u64, u64),
) -> Result<ObjectId> {
    Err(Error::Unsupported("import is being built"))
}
