// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store in a race: it does one thing after another with the pairs, and what
//! it answers is checked in every run.

use std::{hint::black_box, ops::Range, path::PathBuf, rc::Rc};

use super::{
    check,
    pairs::{Pairs, head},
    store::Store,
};
use crate::{error::Failed, machine, race::Contender};

/// What is raced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Fill an empty store, in one batch.
    Insert,
    /// Look up keys that are known beforehand.
    Get,
    /// Look up keys, each of which is in the value of the last one.
    GetDependent,
    /// Look up keys that are not there.
    Miss,
    /// Put in pairs that are each durable when the call has returned.
    InsertDurable,
    /// Take out pairs, in one batch.
    Delete,
    /// Open the store, and look up one key.
    Reopen,
}

impl What {
    /// All, in the order in which they are raced.
    pub const ALL: [Self; 7] = [
        Self::Insert,
        Self::Get,
        Self::GetDependent,
        Self::Miss,
        Self::InsertDurable,
        Self::Delete,
        Self::Reopen,
    ];

    /// Whether it leaves everything as it is, so that it can be done beforehand.
    pub fn is_lookup(self) -> bool {
        matches!(self, Self::Get | Self::GetDependent | Self::Miss)
    }

    /// Its name in a case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Get => "get",
            Self::GetDependent => "get_dep",
            Self::Miss => "miss",
            Self::InsertDurable => "insert_durable",
            Self::Delete => "delete",
            Self::Reopen => "reopen",
        }
    }
}

/// A store of any kind and size of pairs, in a race.
pub trait Racer: Contender {
    /// Whether it does this at all.
    fn races(&self, what: What) -> bool;
    /// What it is to do next.
    fn set(&mut self, what: What);
    /// Fills it, if it is not full.
    fn fill(&mut self) -> Result<(), Failed>;
    /// Looks at everything that it holds and does not hold.
    fn check(&mut self) -> Result<(), Failed>;
    /// Bytes that it takes.
    fn space(&self) -> Result<u64, Failed>;
}

/// The [`Racer`] of one kind of store.
pub struct Runner<S, const K: usize, const V: usize> {
    pairs: Rc<Pairs<K>>,
    home: tempfile::TempDir,
    generation: u32,
    store: Option<S>,
    what: What,
    /// Where the walk is.
    position: usize,
    /// Spare pairs that were put in or taken out since it was prepared.
    done: usize,
}

impl<S: Store<K, V>, const K: usize, const V: usize> Runner<S, K, V> {
    /// With nothing in it yet.
    pub fn new(pairs: &Rc<Pairs<K>>) -> Result<Self, Failed> {
        let (pairs, home) = (Rc::clone(pairs), machine::scratch()?);
        let what = What::Insert;
        Ok(Self { pairs, home, generation: 0, store: None, what, position: 0, done: 0 })
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join(self.generation.to_string())
    }

    fn wrong(&self, how: &str) -> Failed {
        Failed::new(format!("{}, {}: {how}", S::NAME, self.what.name()))
    }

    fn store(&mut self) -> Result<&mut S, Failed> {
        self.store.as_mut().ok_or_else(|| Failed::new("there is no store yet"))
    }

    /// An empty one in the place of the one that was.
    fn renew(&mut self) -> Result<(), Failed> {
        self.store = None;
        if self.directory().exists() {
            std::fs::remove_dir_all(self.directory())?;
        }
        self.generation += 1;
        std::fs::create_dir(self.directory())?;
        self.store = Some(S::create(&self.directory(), self.pairs.held.len())?);
        Ok(())
    }

    /// The next so many spare pairs.
    fn next_spare(&mut self, count: usize) -> Result<Range<usize>, Failed> {
        let range = self.done..self.done + count;
        self.done = range.end;
        match range.end <= self.pairs.spare.len() {
            true => Ok(range),
            false => Err(Failed::new("there are not as many spare pairs")),
        }
    }

    /// Looks up some of these spare pairs: all there, or none.
    fn glance(&mut self, range: Range<usize>, there: bool) -> Result<(), Failed> {
        let pairs = Rc::clone(&self.pairs);
        let store = self.store()?;
        let (mut right, step) = (true, range.len() / 8 + 1);
        for pair in pairs.spare[range].iter().step_by(step) {
            store.get(pair.key, 1, |found| {
                right &= found == there.then(|| pair.full::<V>().1).as_ref();
                pair.key
            })?;
        }
        if right { Ok(()) } else { Err(self.wrong("a pair is not as it was left")) }
    }

    fn get(&mut self, times: u64, dependent: bool) -> Result<(), Failed> {
        let (pairs, start) = (Rc::clone(&self.pairs), self.position);
        let (mut sum, mut missed, mut at) = (0u64, 0u64, start);
        let store = self.store()?;
        if dependent {
            store.get(pairs.at(start), times, |found| {
                let Some(value) = found else {
                    missed += 1;
                    return [0; K];
                };
                sum = sum.wrapping_add(head(value));
                std::array::from_fn(|i| value[i])
            })?;
        } else {
            store.get(pairs.at(start), times, |found| {
                match found {
                    Some(value) => sum = sum.wrapping_add(head(value)),
                    None => missed += 1,
                }
                at += 1;
                if at >= pairs.walk.len() {
                    at = 0;
                }
                pairs.walk[at]
            })?;
        }
        self.position = (start + times as usize) % pairs.walk.len();
        match missed == 0 && sum == pairs.expected(start, times) {
            true => Ok(()),
            false => Err(self.wrong("a wrong value was found")),
        }
    }

    fn miss(&mut self, times: u64) -> Result<(), Failed> {
        let pairs = Rc::clone(&self.pairs);
        let mut keys = pairs.spare.iter().map(|pair| pair.key).cycle();
        let first = keys.next().ok_or_else(|| Failed::new("no spare keys"))?;
        let mut found_any = 0u64;
        self.store()?.get(first, times, |found| {
            found_any += u64::from(found.is_some());
            keys.next().unwrap_or(first)
        })?;
        if found_any == 0 { Ok(()) } else { Err(self.wrong("a key was found that is not there")) }
    }

    fn insert(&mut self, count: usize) -> Result<(), Failed> {
        let pairs = Rc::clone(&self.pairs);
        let Some(held) = pairs.held.get(..count) else {
            return Err(Failed::new("there are not as many pairs"));
        };
        self.store()?.insert(held.iter().map(|pair| pair.full()))?;
        self.position = 0;
        match (held.first(), held.last()) {
            (Some(first), Some(last)) if count == pairs.held.len() => {
                let (mut right, mut at) = (true, first);
                self.store()?.get(first.key, 2, |found| {
                    right &= found == Some(&at.full().1);
                    at = last;
                    last.key
                })?;
                if right { Ok(()) } else { Err(self.wrong("a pair is not as it was put in")) }
            }
            _ => Ok(()),
        }
    }

    fn reopen(&mut self) -> Result<(), Failed> {
        self.store = Some(S::open(&self.directory())?);
        self.get(1, false)
    }
}

impl<S: Store<K, V>, const K: usize, const V: usize> Contender for Runner<S, K, V> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn prepare(&mut self) -> Result<(), Failed> {
        let pairs = Rc::clone(&self.pairs);
        let spare = || pairs.spare.iter();
        self.done = 0;
        match self.what {
            What::Insert => self.renew(),
            What::InsertDurable => self.store()?.delete(spare().map(|p| p.key)).map(|_| ()),
            What::Delete => self.store()?.insert(spare().map(|pair| pair.full())),
            What::Reopen => {
                self.store = None;
                Ok(())
            }
            What::Get | What::GetDependent | What::Miss => Ok(()),
        }
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let (pairs, count) = (Rc::clone(&self.pairs), operations as usize);
        match self.what {
            What::Insert => self.insert(count),
            What::Get => self.get(operations, false),
            What::GetDependent => self.get(operations, true),
            What::Miss => self.miss(operations),
            What::InsertDurable => {
                let range = self.next_spare(count)?;
                let spare = pairs.spare[range.clone()].iter();
                self.store()?.insert_durable(spare.map(|pair| pair.full()))?;
                self.glance(range, true)
            }
            What::Delete => {
                let range = self.next_spare(count)?;
                let spare = pairs.spare[range.clone()].iter();
                let gone = self.store()?.delete(spare.map(|pair| pair.key))?;
                self.glance(range, false)?;
                match gone == operations {
                    true => Ok(()),
                    false => Err(self.wrong("another number of pairs was there")),
                }
            }
            What::Reopen => self.reopen(),
        }
    }
}

impl<S: Store<K, V>, const K: usize, const V: usize> Racer for Runner<S, K, V> {
    fn races(&self, what: What) -> bool {
        S::races(what)
    }

    fn set(&mut self, what: What) {
        self.what = what;
    }

    fn fill(&mut self) -> Result<(), Failed> {
        if self.store.is_none() {
            self.renew()?;
            self.insert(self.pairs.held.len())?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Failed> {
        let (pairs, directory) = (Rc::clone(&self.pairs), self.directory());
        let store = self.store.take().ok_or_else(|| Failed::new("there is no store yet"))?;
        let store = check::all(store, &directory, &pairs);
        self.store = Some(store.map_err(|failed| Failed::new(format!("{}: {failed}", S::NAME)))?);
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        match &self.store {
            Some(store) => store.space(),
            None => Err(Failed::new("there is no store yet")),
        }
    }
}

/// A run with nothing else around it, for those who count instructions.
#[inline(never)]
pub fn counted_by_callgrind(racer: &mut dyn Racer, operations: u64) -> Result<(), Failed> {
    black_box(racer).run(operations)
}
