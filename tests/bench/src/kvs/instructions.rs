// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions of a lookup and of an insert, 10,000 pairs of 8 and 8 bytes,
//! as callgrind counts them; each peer in a process of its own.

use std::rc::Rc;

use super::{
    counted,
    pairs::Pairs,
    peers,
    racer::{What, counted_by_callgrind},
};
use crate::{callgrind, error::Failed, report::Record};

const KEYS: usize = 10_000;
const COUNTED: [What; 2] = [What::Get, What::Insert];
const CASE: &str = "10k_8_8";

/// One run below valgrind.
pub fn count(what: &str, name: &str) -> Result<(), Failed> {
    let what = COUNTED.into_iter().find(|known| known.name() == what);
    let peer = peers::all::<8, 8>().into_iter().find(|peer| peer.name == name);
    let (Some(what), Some(peer)) = (what, peer) else {
        return Err(Failed::new("no such case or peer to count"));
    };
    let mut racer = (peer.make)(&Rc::new(Pairs::<8>::new(KEYS, 0)))?;
    if what != What::Insert {
        racer.fill()?;
    }
    racer.set(what);
    racer.prepare()?;
    counted_by_callgrind(&mut *racer, KEYS as u64)
}

/// Counts all of them, or two, where valgrind is there to do it.
pub fn run(quick: bool) -> Result<Vec<Record>, Failed> {
    let mut records = Vec::new();
    for what in COUNTED {
        let mut counts = Vec::new();
        let peers = peers::all::<8, 8>().into_iter().filter(|peer| (peer.races)(what));
        for peer in peers.take(if quick { 2 } else { usize::MAX }) {
            let arguments = ["count", "kvs", what.name(), peer.name];
            match callgrind::count(&arguments, "*counted_by_callgrind*", KEYS as u64) {
                Ok(count) => counts.push((peer.name, count)),
                Err(failed) => {
                    let (what, peer) = (what.name(), peer.name);
                    println!("kvs: instructions of {peer} in {what} not counted: {failed}");
                }
            }
        }
        let Some((&(subject, ours), others)) = counts.split_first() else { continue };
        let case = format!("{CASE}/{}", what.name());
        records.extend(others.iter().map(|&(peer, theirs)| {
            counted(&case, [subject, peer], [ours, theirs], "instructions")
        }));
    }
    Ok(records)
}
