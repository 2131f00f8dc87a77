// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fences and flushes of one durable insert, for those who flush by themselves
//! instead of asking the kernel.

use std::rc::Rc;

use super::{counted, pairs::Pairs, peers, racer::What};
use crate::{error::Failed, report::Record, tx::fences::count};

const KEYS: usize = 2000;
/// More than the counting puts in.
const SPARE: usize = 400;

/// Who flushes by itself.
const FLUSHING: [&str; 2] = ["twzkvs", "pmemobj_tx"];

/// Counts them. The process may have one thread only.
pub fn run() -> Result<Vec<Record>, Failed> {
    let pairs = Rc::new(Pairs::<8>::new(KEYS, SPARE));
    let mut all = Vec::new();
    for peer in peers::all::<8, 8>().iter().filter(|peer| FLUSHING.contains(&peer.name)) {
        let mut racer = (peer.make)(&pairs)?;
        racer.fill()?;
        racer.set(What::InsertDurable);
        all.push((peer.name, count(&mut *racer)?));
    }
    let Some(((subject, ours), peers)) = all.split_first() else { return Ok(Vec::new()) };
    let against = |(peer, theirs): &(&str, crate::tx::fences::Counts)| {
        let pair = [*subject, *peer];
        [
            counted("insert_durable", pair, [ours.fences, theirs.fences], "fences"),
            counted("insert_durable", pair, [ours.flushes, theirs.flushes], "lines"),
        ]
    };
    Ok(peers.iter().flat_map(against).collect())
}
