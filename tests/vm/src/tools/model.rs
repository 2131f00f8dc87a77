// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool as [`super::churn`] means it to be: steps that follow from a seed,
//! and what the pool holds after each.

use std::collections::BTreeMap;

use twz_abi::ObjectId;
use twz_core::Identity;

use crate::{rng::Rng, world::OPEN};

/// Objects there are at most.
const OBJECTS: u64 = 24;

/// Pages of the largest one.
const PAGES: u64 = 700;

/// An object by its number, which its nonce is made from.
pub type Number = u64;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Makes an object of so many pages.
    Create(Number, u64),
    /// Fills a page with a word, by a command, and makes it durable.
    Write(Number, u64, u64),
    /// The same by stores.
    Store(Number, u64, u64),
    /// Changes the size to so many pages.
    Resize(Number, u64),
    /// Makes the second a copy of the first.
    Copy(Number, Number),
    /// Deletes it.
    Delete(Number),
    /// Binds a name, whatever it was bound to.
    Bind(u64, Number),
    /// Takes a name away.
    Unbind(u64),
    /// Renames.
    Rename(u64, u64),
}

/// What an object holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Pages of data.
    pub pages: u64,
    /// The word that fills a page; others are zeros.
    pub words: BTreeMap<u64, u64>,
}

/// What the pool holds.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Objects.
    pub objects: BTreeMap<Number, Object>,
    /// Names.
    pub names: BTreeMap<u64, Number>,
    made: u64,
}

/// The nonce of an object.
pub fn nonce(n: Number) -> [u8; 16] {
    ((0x6368_7572_6e00_u128 << 80) | (n as u128 + 1)).to_le_bytes()
}

/// Its id.
pub fn id(n: Number) -> ObjectId {
    Identity { default_rights: OPEN.0, ..Identity::plain(nonce(n)) }.id().expect("an id")
}

/// The path of a name.
pub fn path(name: u64) -> Vec<u8> {
    format!("/churn/name {name}").into_bytes()
}

impl Model {
    fn some(&self, rng: &mut Rng) -> Option<Number> {
        let n = self.objects.len() as u64;
        (n > 0).then(|| *self.objects.keys().nth(rng.below(n) as usize).expect("one of them"))
    }

    fn unnamed(&self, rng: &mut Rng) -> Option<Number> {
        self.some(rng).filter(|n| !self.names.values().any(|named| named == n))
    }

    fn some_name(&self, rng: &mut Rng) -> Option<u64> {
        let n = self.names.len() as u64;
        (n > 0).then(|| *self.names.keys().nth(rng.below(n) as usize).expect("one of them"))
    }

    /// What comes next.
    pub fn next(&self, rng: &mut Rng) -> Step {
        loop {
            if let Some(step) = self.perhaps(rng) {
                return step;
            }
        }
    }

    fn perhaps(&self, rng: &mut Rng) -> Option<Step> {
        let room = (self.objects.len() as u64) < OBJECTS;
        let page = |n: Number, rng: &mut Rng| {
            let pages = self.objects[&n].pages;
            (pages > 0).then(|| rng.below(pages))
        };
        Some(match rng.below(12) {
            0 | 1 if room => Step::Create(self.made, rng.below(PAGES)),
            2 if room => Step::Copy(self.some(rng)?, self.made),
            3 => Step::Delete(self.unnamed(rng)?),
            4 => Step::Resize(self.some(rng)?, rng.below(PAGES)),
            5 => Step::Bind(rng.below(40), self.some(rng)?),
            6 => Step::Unbind(self.some_name(rng)?),
            7 => {
                let (from, to) = (self.some_name(rng)?, rng.below(40));
                if from == to {
                    return None;
                }
                Step::Rename(from, to)
            }
            8 | 9 => {
                let n = self.some(rng)?;
                Step::Write(n, page(n, rng)?, rng.next() | 1)
            }
            _ => {
                let n = self.some(rng)?;
                Step::Store(n, page(n, rng)?, rng.next() | 1)
            }
        })
    }

    /// Does it.
    pub fn apply(&mut self, step: &Step) {
        let object = |objects: &mut BTreeMap<Number, Object>, n: &Number| -> Object {
            objects.remove(n).expect("an object of the model")
        };
        match step {
            Step::Create(n, pages) => {
                self.made += 1;
                self.objects.insert(*n, Object { pages: *pages, ..Default::default() });
            }
            Step::Write(n, page, word) | Step::Store(n, page, word) => {
                let mut changed = object(&mut self.objects, n);
                changed.words.insert(*page, *word);
                self.objects.insert(*n, changed);
            }
            Step::Resize(n, pages) => {
                let mut changed = object(&mut self.objects, n);
                changed.pages = *pages;
                changed.words.retain(|page, _| page < pages);
                self.objects.insert(*n, changed);
            }
            Step::Copy(from, to) => {
                self.made += 1;
                self.objects.insert(*to, self.objects[from].clone());
            }
            Step::Delete(n) => {
                object(&mut self.objects, n);
            }
            Step::Bind(name, n) => {
                self.names.insert(*name, *n);
            }
            Step::Unbind(name) => {
                self.names.remove(name);
            }
            Step::Rename(from, to) => {
                let n = self.names.remove(from).expect("a name of the model");
                self.names.insert(*to, n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_from_the_seed_and_keep_it_whole() {
        let run = |seed| {
            let (mut model, mut rng) = (Model::default(), Rng::new(seed));
            for _ in 0..5000 {
                let step = model.next(&mut rng);
                model.apply(&step);
                assert!(model.names.values().all(|n| model.objects.contains_key(n)));
            }
            (model.objects, model.names)
        };
        assert_eq!(run(5), run(5));
        let (objects, names) = run(6);
        assert!(objects.len() > 3 && !names.is_empty(), "{} {}", objects.len(), names.len());
    }
}
