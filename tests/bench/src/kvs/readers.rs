// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case `readers_2`: what a lookup costs when two threads look up at once,
//! against one alone, in CPU time of the threads themselves: a machine that is
//! busy with something else does not show in it, what readers do to each
//! other's caches does.

use std::{hint::black_box, thread};

use super::{
    Size,
    pairs::{Pairs, head},
    peers,
    store::Store,
};
use crate::{
    error::Failed,
    machine,
    race::{Race, thread_cpu_ns},
    report::Record,
};

/// Measures all whose readers may be threads.
pub fn run(size: &Size) -> Result<Vec<Record>, Failed> {
    println!("kvs: two readers ...");
    let pairs = Pairs::<8>::new(size.keys, 0);
    let all = [
        measure::<peers::twzkvs::Twzkvs<1>>(size, &pairs)?,
        measure::<peers::unixkvs::Unixkvs<1>>(size, &pairs)?,
        measure::<peers::pmemobj_tx::PmemobjTx>(size, &pairs)?,
        measure::<peers::hashbrown::Hashbrown<8, 8>>(size, &pairs)?,
        #[cfg(have_lmdb)]
        measure::<peers::lmdb::Lmdb<false>>(size, &pairs)?,
        measure::<peers::redb::Redb>(size, &pairs)?,
        measure::<peers::sled::Sled>(size, &pairs)?,
    ];
    Ok(all.into())
}

/// One store, two readers against one.
fn measure<S: Store<8, 8> + Sync>(size: &Size, pairs: &Pairs<8>) -> Result<Record, Failed> {
    let home = machine::scratch()?;
    let mut store = S::create(home.path(), size.keys)?;
    store.insert(pairs.held.iter().map(|pair| pair.full()))?;
    let (store, mut two, mut one) = (&store, Vec::new(), Vec::new());
    look(store, pairs, 0, size.lookups)?; // warms up
    let rounds = size.rounds[S::SLOW as usize];
    for round in 0..rounds {
        let start = round * size.keys / rounds;
        one.push(look(store, pairs, start, size.lookups)?);
        let both = thread::scope(|scope| {
            let reader = |start| scope.spawn(move || look(store, pairs, start, size.lookups));
            [reader(start), reader(start + size.keys / 2)].map(|reader| reader.join())
        });
        let mut sum = 0.0;
        for reader in both {
            sum += reader.map_err(|_| Failed::new("a reader has panicked"))??;
        }
        two.push(sum / 2.0);
    }
    let (case, operations) = ("readers_2", size.lookups);
    let race = Race { bench: "kvs", case, rounds, operations, warm: 0 };
    Ok(Record::from_rounds(&race, S::NAME, "self_1", &two, &one))
}

/// CPU nanoseconds for each lookup of this thread.
fn look<S: Store<8, 8>>(
    store: &S,
    pairs: &Pairs<8>,
    start: usize,
    times: u64,
) -> Result<f64, Failed> {
    let (mut sum, mut at) = (0u64, start);
    let began = thread_cpu_ns();
    store.get(pairs.at(start), times, |found| {
        sum = sum.wrapping_add(found.map_or(0, |value| head(value)));
        at += 1;
        pairs.at(at)
    })?;
    let took = thread_cpu_ns() - began;
    match black_box(sum) == pairs.expected(start, times) {
        true => Ok(took as f64 / times as f64),
        false => Err(Failed::new(format!("{}: a reader has found a wrong value", S::NAME))),
    }
}
