// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recovery of everything at once: the transactions of all who are dead. Whoever
//! comes upon an object does that for it, but a program that asks how far it came
//! wants it done first.

use std::{collections::HashSet, fs::File, os::unix::fs::FileExt as _};

use twz_abi::{
    DATA_START, ObjectId,
    log::{LogHeader, Owner, PLACES, ProcessSlot, TABLE},
};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use super::claim::{READ_WRITE, failed};
use crate::{
    error::{Error, Result},
    object,
    raw::persist,
    space::Space,
};

/// Finishes or undoes what dead processes left half done. It takes as long as
/// they have left open transactions, whatever the size of the pool.
pub(super) fn all(space: &Space) -> Result<()> {
    let mut seen = HashSet::new();
    for first in first_logs(space)? {
        let mut next = first;
        while next.is_valid() && seen.insert(next) {
            next = match one(space, next) {
                Ok(next) => next,
                // Gone, or another release's: objects that need it will say so.
                Err(Error::NoObject(_) | Error::Format { .. }) => ObjectId::NULL,
                Err(error) => return Err(error),
            };
        }
    }
    Ok(())
}

fn first_logs(space: &Space) -> Result<Vec<ObjectId>> {
    let file = File::from(space.backend().process_file()?);
    let size = size_of::<ProcessSlot>();
    let mut bytes = vec![0; size * Owner::SLOTS as usize];
    let mut len = 0;
    loop {
        match file.read_at(&mut bytes[len..], len as u64).map_err(failed)? {
            0 => break,
            more => len += more,
        }
    }
    // The last slot may be cut short: what is not there is zeros.
    let slots = bytes[..len.next_multiple_of(size)].chunks_exact(size).skip(1);
    let logs = slots.filter_map(|bytes| ProcessSlot::read_from_bytes(bytes).ok());
    Ok(logs.map(|slot| slot.log).filter(|log| log.is_valid()).collect())
}

/// Sees to one log; returns the next one.
fn one(space: &Space, log: ObjectId) -> Result<ObjectId> {
    let header = || -> Result<LogHeader> {
        let mut header = LogHeader::new_zeroed();
        space.backend().read(log, DATA_START, header.as_mut_bytes())?;
        LogHeader::check(header.magic, header.version)
            .map_err(|error| Error::Format { what: format!("log {log}"), error })?;
        Ok(header)
    };
    let is_clean = |header: &LogHeader| header.boot == persist::boot() && header.state & 1 == 0;
    let found = header()?;
    let taken = (found.table as u32).min(PLACES) as usize;
    if is_clean(&found) || taken == 0 {
        return Ok(found.next);
    }
    let mut table = vec![ObjectId::NULL; taken];
    space.backend().read(log, TABLE, table.as_mut_bytes())?;
    // To open an object is to have its transaction seen to, with all others of
    // the same log; but it may have gone on to another log since.
    for id in table.into_iter().filter(|id| id.is_valid()) {
        match object::open::<()>(space, id, READ_WRITE) {
            Ok(_) => {}
            // It was deleted, or is not ours to see to.
            Err(Error::NoObject(_) | Error::Denied { .. } | Error::Immutable(_)) => {}
            Err(error) => return Err(error),
        }
        if is_clean(&header()?) {
            break;
        }
    }
    Ok(found.next)
}
