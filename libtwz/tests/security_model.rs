// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random contexts against a plain model: what the library says that a context
//! allows, and what it then lets a process do, is what the model says.

mod common;
#[path = "common/world.rs"]
mod world;

use std::collections::HashMap;

use common::Rng;
use twz::{
    ObjectId, Rights,
    security::{Context, DEFAULT, Grant, KeyPair, Policy, Terms, digest, now, sign, why},
};
use world::{NONE, World};

type Hash = [u8; 32];

/// What the model knows of a grant that was made.
struct Known {
    grant: Grant,
    /// Whether the right key signed it.
    signed: bool,
}

/// What the model knows at all.
/// A context: its mask, its grants, its masks for single objects.
type Held = (Rights, Vec<Hash>, HashMap<ObjectId, Rights>);

#[derive(Default)]
struct Model {
    grants: HashMap<Hash, Known>,
    epochs: HashMap<ObjectId, u64>,
    defaults: HashMap<ObjectId, Rights>,
    contexts: HashMap<ObjectId, Held>,
}

impl Model {
    /// Whether a grant holds in a context, by following it up in words of its own.
    fn holds(&self, context: ObjectId, hash: &Hash) -> bool {
        let (mut at, mut path) = (*hash, Vec::new());
        loop {
            let there = &self.contexts[&context].1;
            let Some(Known { grant, signed }) = self.grants.get(&at) else { return false };
            let over = grant.expires != 0 && grant.expires <= now();
            let on = if grant.grantor.is_null() { grant.target } else { grant.grantor };
            if !there.contains(&at) || !signed || over || path.contains(&grant.accessor) {
                return false;
            }
            if self.epochs.get(&on).copied().unwrap_or(0) > grant.epoch || path.len() == 8 {
                return false;
            }
            path.push(grant.accessor);
            if path.len() == 1 && grant.accessor != context {
                return false;
            }
            if grant.grantor.is_null() {
                return true;
            }
            let Some(parent) = self.grants.get(&grant.parent).map(|known| known.grant) else {
                return false;
            };
            let (less, more) = (grant.rights, parent.rights);
            if parent.accessor != grant.grantor
                || parent.target != grant.target
                || more & Rights::DELEGATE.0 == 0
                || less & !more != 0
                || parent.expires != 0 && (grant.expires == 0 || grant.expires > parent.expires)
            {
                return false;
            }
            at = grant.parent;
        }
    }

    fn allowed(&self, context: ObjectId, object: ObjectId) -> Rights {
        let default = self.defaults[&object];
        if context == DEFAULT {
            return default;
        }
        let (mask, grants, masks) = &self.contexts[&context];
        let mut rights = default.0 & masks.get(&object).unwrap_or(mask).0;
        for hash in grants {
            let known = &self.grants[hash].grant;
            if known.target == object && self.holds(context, hash) {
                rights |= known.rights;
            }
        }
        Rights(rights)
    }
}

struct Run<'a> {
    world: &'a World,
    rng: Rng,
    model: Model,
    objects: Vec<ObjectId>,
    contexts: Vec<Context<'a>>,
    stranger: KeyPair,
}

impl<'a> Run<'a> {
    fn pick(&mut self, of: usize) -> usize {
        self.rng.next() as usize % of
    }

    fn rights(&mut self) -> Rights {
        // Read, write, and to pass on, which is what makes chains.
        Rights([1, 2, 3, 33, 34, 35, 35, 35][self.pick(8)])
    }

    fn put(&mut self, context: usize, grant: Grant, signed: bool) {
        let (hash, id) = (digest(&grant), self.contexts[context].id());
        if self.contexts[context].add(&grant).is_ok() {
            self.model.grants.insert(hash, Known { grant, signed });
            self.model.contexts.get_mut(&id).unwrap().1.push(hash);
        }
    }

    fn capability(&mut self) {
        let (context, object) = (self.pick(4), self.pick(3));
        let (to, target) = (self.contexts[context].id(), self.objects[object]);
        let expires = [0, 0, now() - 1, now() + (1 << 50)][self.pick(4)];
        let epoch = self.model.epochs.get(&target).copied().unwrap_or(0);
        let terms = Terms::new(target, self.rights()).between(0, expires);
        let signed = self.pick(6) != 0;
        let key = if signed { &self.world.key } else { &self.stranger };
        let grant = sign(terms.unsigned(to, epoch), key);
        // Now and then in a context that it is not for.
        let place = if self.pick(8) == 0 { self.pick(4) } else { context };
        self.put(place, grant, signed);
    }

    fn delegation(&mut self) {
        let (from, to) = (self.pick(4), self.pick(4));
        let (grantor, accessor) = (self.contexts[from].id(), self.contexts[to].id());
        let theirs = self.model.contexts[&grantor].1.clone();
        if theirs.is_empty() {
            return;
        }
        let parent = theirs[self.pick(theirs.len())];
        let above = self.model.grants[&parent].grant;
        let target = if self.pick(9) == 0 { self.objects[0] } else { above.target };
        let rights = match self.pick(4) {
            0 => self.rights(),
            _ => Rights(above.rights & [1, 3, 33, 35][self.pick(4)]),
        };
        if rights == NONE {
            return;
        }
        let expires = if self.pick(8) == 0 { 0 } else { above.expires };
        let epoch = self.model.epochs.get(&grantor).copied().unwrap_or(0);
        let mut grant = Terms::new(target, rights).between(0, expires).unsigned(accessor, epoch);
        (grant.grantor, grant.parent) = (grantor, parent);
        let signed = self.pick(8) != 0;
        let grant = sign(grant, if signed { &self.world.key } else { &self.stranger });
        // All that it may come from, most of the time.
        if self.pick(8) != 0 {
            for hash in theirs {
                let Known { grant, signed } = &self.model.grants[&hash];
                let (grant, signed) = (*grant, *signed);
                self.put(to, grant, signed);
            }
        }
        self.put(to, grant, signed);
    }

    fn step(&mut self) {
        let (context, object) = (self.pick(4), self.pick(3));
        let (id, target) = (self.contexts[context].id(), self.objects[object]);
        match self.pick(12) {
            0..=3 => self.capability(),
            4..=8 => self.delegation(),
            9 => {
                let rights = self.rights();
                self.contexts[context].set_mask(target, rights).unwrap();
                self.model.contexts.get_mut(&id).unwrap().2.insert(target, rights);
            }
            10 => {
                let of = if self.pick(2) == 0 { id } else { target };
                let epoch = self.model.epochs.entry(of).or_insert(0);
                *epoch += 1;
                self.world.space.revoke(of, *epoch, &self.world.key).unwrap();
            }
            _ => {
                let known = self.model.contexts[&id].1.clone();
                if !known.is_empty() {
                    let hash = known[self.pick(known.len())];
                    assert!(self.contexts[context].remove(&hash).unwrap());
                    self.model.contexts.get_mut(&id).unwrap().1.retain(|one| *one != hash);
                }
            }
        }
    }

    /// Compares all there is; how many rights grants have added.
    fn compare(&mut self) -> u32 {
        let mut added = 0;
        for context in &self.contexts {
            self.world.space.load(context.id()).unwrap();
        }
        let all = self.contexts.iter().map(Context::id).chain([DEFAULT]);
        for context in all.collect::<Vec<_>>() {
            self.world.space.switch(context).unwrap();
            for &object in &self.objects {
                let allowed = self.model.allowed(context, object);
                let (read, write) = self.world.may(object);
                assert_eq!(u32::from(read) | u32::from(write) << 1, allowed.0 & 3);
                added += allowed.without(self.model.defaults[&object]).0.count_ones();
            }
        }
        // In the default context, where everything may be looked at.
        for context in &self.contexts {
            for &object in &self.objects {
                let why = why(self.world.backend(), context.id(), object).unwrap();
                assert_eq!(why.allowed, self.model.allowed(context.id(), object), "{why:#?}");
            }
        }
        added
    }
}

#[test]
fn rights_are_what_the_model_says() {
    let mut added = 0;
    for seed in 1..=12 {
        let world = World::new();
        let (mut rng, mut model) = (Rng(seed * 0x9e37_79b9), Model::default());
        let objects: Vec<_> = (0..3)
            .map(|_| {
                let default = Rights(rng.next() as u32 & 3);
                let id = world.object(default);
                model.defaults.insert(id, default);
                id
            })
            .collect();
        let contexts: Vec<_> = (0..4)
            .map(|_| {
                let mask = Rights(rng.next() as u32 & 63);
                let context = world.context(Policy { mask, flags: 0 });
                model.contexts.insert(context.id(), (mask, Vec::new(), HashMap::new()));
                world.space.attach(context.id()).unwrap();
                context
            })
            .collect();
        let stranger = KeyPair::from_seed(&[9; 32]);
        let mut run = Run { world: &world, rng, model, objects, contexts, stranger };
        for _ in 0..8 {
            for _ in 0..6 {
                run.step();
            }
            added += run.compare();
        }
    }
    assert!(added > 100, "grants added {added} rights only: nothing was tried");
}
