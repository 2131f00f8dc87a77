// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a store is one: every pair there and whole, none that should not be,
//! after updates, after deletes, and after it was closed and opened.

use std::path::Path;

use super::{
    pairs::{Pair, Pairs, head},
    racer::What,
    store::Store,
};
use crate::error::Failed;

/// Looks at everything in a full store, and leaves it as it was.
pub fn all<S: Store<K, V>, const K: usize, const V: usize>(
    mut store: S,
    directory: &Path,
    pairs: &Pairs<K>,
) -> Result<S, Failed> {
    let spare = &pairs.spare[..pairs.spare.len().min(1000)];
    let some = &pairs.held[..pairs.held.len().min(1000)];
    holds::<S, K, V>(&store, &pairs.held, Pair::full)?;
    misses(&store, spare)?;
    iterates(&store, pairs, "as it was filled")?;

    store.insert(some.iter().map(Pair::changed))?;
    holds::<S, K, V>(&store, some, Pair::changed)?;
    if S::races(What::InsertDurable) {
        store.insert_durable(spare.iter().map(Pair::full))?;
    } else {
        store.insert(spare.iter().map(Pair::full))?;
    }
    let gone = store.delete(some.iter().map(|pair| pair.key))?;
    if gone != some.len() as u64 || store.delete(some.iter().map(|pair| pair.key))? != 0 {
        return Err(Failed::new("a delete says that another number of pairs was there"));
    }
    if S::races(What::Reopen) {
        drop(store);
        store = S::open(directory)?;
    }
    misses(&store, some)?;
    holds::<S, K, V>(&store, spare, Pair::full)?;
    holds::<S, K, V>(&store, &pairs.held[some.len()..], Pair::full)?;

    store.delete(spare.iter().map(|pair| pair.key))?;
    store.insert(some.iter().map(Pair::full))?;
    holds::<S, K, V>(&store, some, Pair::full)?;
    iterates(&store, pairs, "after changes")?;
    Ok(store)
}

/// Every one of these is there, with the value that `pair` says.
fn holds<S: Store<K, V>, const K: usize, const V: usize>(
    store: &S,
    expected: &[Pair<K>],
    pair: fn(&Pair<K>) -> ([u8; K], [u8; V]),
) -> Result<(), Failed> {
    let wrong = look_at(store, expected, |found, at| found == Some(&pair(at).1))?;
    match wrong {
        0 => Ok(()),
        wrong => {
            Err(Failed::new(format!("{wrong} of {} pairs are missing or wrong", expected.len())))
        }
    }
}

/// None of these is there.
fn misses<S: Store<K, V>, const K: usize, const V: usize>(
    store: &S,
    absent: &[Pair<K>],
) -> Result<(), Failed> {
    match look_at(store, absent, |found, _| found.is_none())? {
        0 => Ok(()),
        found => Err(Failed::new(format!("{found} keys are found that are not there"))),
    }
}

/// How many of these pairs' lookups do not answer what is `right`.
fn look_at<S: Store<K, V>, const K: usize, const V: usize>(
    store: &S,
    pairs: &[Pair<K>],
    right: impl Fn(Option<&[u8; V]>, &Pair<K>) -> bool,
) -> Result<usize, Failed> {
    let (mut rest, mut wrong) = (pairs.iter().peekable(), 0);
    let Some(first) = pairs.first() else { return Ok(0) };
    store.get(first.key, pairs.len() as u64, |found| {
        wrong += rest.next().is_none_or(|pair| !right(found, pair)) as usize;
        rest.peek().unwrap_or(&first).key
    })?;
    Ok(wrong)
}

/// Iteration shows as many pairs as there are, and together the same.
fn iterates<S: Store<K, V>, const K: usize, const V: usize>(
    store: &S,
    pairs: &Pairs<K>,
    when: &str,
) -> Result<(), Failed> {
    let digest = |key: &[u8], value: &[u8]| head(key).wrapping_mul(3) ^ head(value);
    let (mut count, mut seen) = (0, 0u64);
    store.iterate(|key, value| {
        count += 1;
        seen = seen.wrapping_add(digest(key, value));
    })?;
    let expected =
        pairs.held.iter().fold(0u64, |sum, pair| sum.wrapping_add(digest(&pair.key, &pair.next)));
    match count == pairs.held.len() && seen == expected {
        true => Ok(()),
        false => Err(Failed::new(format!(
            "{when}, iteration shows {count} pairs instead of {}, or others",
            pairs.held.len()
        ))),
    }
}
