// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who takes part: one file for each, and its line in the list here.

mod boxed;
pub mod hashbrown;
#[cfg(have_lmdb)]
pub mod lmdb;
pub mod pmemobj_tx;
pub mod redb;
#[cfg(have_rocksdb)]
mod rocksdb;
pub mod sled;
#[cfg(have_sqlite)]
mod sqlite;
pub mod twzkvs;
pub mod unixkvs;

use std::rc::Rc;

use super::{
    pairs::Pairs,
    racer::{Racer, Runner, What},
    store::Store,
};
use crate::error::Failed;

type Make<const K: usize> = fn(&Rc<Pairs<K>>) -> Result<Box<dyn Racer>, Failed>;

/// One who takes part.
pub struct Peer<const K: usize> {
    /// Its name in the report.
    pub name: &'static str,
    /// Whether it takes part in fewer rounds.
    pub slow: bool,
    /// What it does.
    pub races: fn(What) -> bool,
    /// Puts it up, with nothing in it.
    pub make: Make<K>,
}

fn peer<S: Store<K, V> + 'static, const K: usize, const V: usize>() -> Peer<K> {
    let make = |pairs: &Rc<Pairs<K>>| Ok(Box::new(Runner::<S, K, V>::new(pairs)?) as Box<_>);
    Peer { name: S::NAME, slow: S::SLOW, races: S::races, make }
}

/// All of them, the subject first.
pub fn all<const K: usize, const V: usize>() -> Vec<Peer<K>> {
    // Their keys are whole words, and the number of those a type.
    let (subject, unix) = match K {
        ..=8 => (peer::<twzkvs::Twzkvs<1>, K, V>(), peer::<unixkvs::Unixkvs<1>, K, V>()),
        _ => (peer::<twzkvs::Twzkvs<2>, K, V>(), peer::<unixkvs::Unixkvs<2>, K, V>()),
    };
    vec![
        subject,
        unix,
        peer::<pmemobj_tx::PmemobjTx, K, V>(),
        peer::<hashbrown::Hashbrown<K, V>, K, V>(),
        peer::<boxed::Boxed<K, V>, K, V>(),
        #[cfg(have_lmdb)]
        peer::<lmdb::Lmdb<false>, K, V>(),
        #[cfg(have_lmdb)]
        peer::<lmdb::Lmdb<true>, K, V>(),
        peer::<redb::Redb, K, V>(),
        peer::<sled::Sled, K, V>(),
        #[cfg(have_sqlite)]
        peer::<sqlite::Sqlite, K, V>(),
        #[cfg(have_rocksdb)]
        peer::<rocksdb::Rocksdb, K, V>(),
    ]
}

/// Those whose library was not there when this was built.
pub const MISSING: &[&str] = &[
    #[cfg(not(have_lmdb))]
    "lmdb",
    #[cfg(not(have_sqlite))]
    "sqlite",
    #[cfg(not(have_rocksdb))]
    "rocksdb",
];
