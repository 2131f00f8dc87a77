// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases `verify/...`: loading a context whose grants were never seen, against
//! `verify_strict` of ed25519-dalek alone on the same messages with a key that is
//! ready; an operation is a grant.
//!
//! `judge` is what twz-core does with facts from memory: hash, sort, find the key,
//! verify. `attach` is all of it: a process attaches to a context in a directory's
//! pool, whose objects and key are files. `again` is `judge` with what an
//! earlier load knew, when no signature is verified.

use ed25519_dalek::VerifyingKey;
use twz::{
    EmbeddedPool, InitOptions, NewObject, Rights, Space,
    security::{Context, KeyPair, NewContext, Terms, sign},
};
use twz_abi::ObjectId;
use twz_core::security::Link;

use super::{Size, holding::Holding};
use crate::{
    error::Failed,
    machine,
    race::{Contender, race},
    report::Record,
};

/// Runs them.
pub fn run(size: &Size) -> Result<Vec<Record>, Failed> {
    let holding = Holding::new(size.grants, true);
    let known = holding.load_verified(&[])?;
    let pool = Pool::new(size.grants)?;
    let mut records = Vec::new();
    let cases: [(_, Box<dyn Contender>); 3] = [
        ("verify/judge", Box::new(Judge { holding: &holding, known: &[] })),
        ("verify/attach", Box::new(pool)),
        ("verify/again", Box::new(Judge { holding: &holding, known: &known })),
    ];
    for (case, subject) in cases {
        let mut contenders = [subject, Box::new(Dalek::new(&holding)?) as Box<dyn Contender>];
        records.extend(race(&size.race(case, size.grants as u64), &mut contenders)?);
    }
    Ok(records)
}

/// Loads from memory.
struct Judge<'a> {
    holding: &'a Holding,
    known: &'a [Link],
}

impl Contender for Judge<'_> {
    fn name(&self) -> &'static str {
        "twz"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        for _ in 0..operations / self.holding.grants.len() as u64 {
            self.holding.load_verified(self.known)?;
        }
        Ok(())
    }
}

/// Verifies, and nothing else.
struct Dalek {
    key: VerifyingKey,
    signed: Vec<(Vec<u8>, ed25519_dalek::Signature)>,
}

impl Dalek {
    fn new(holding: &Holding) -> Result<Self, Failed> {
        let key = VerifyingKey::from_bytes(&holding.key).map_err(|_| Failed::new("no key"))?;
        let signed = holding.grants.iter().map(|grant| {
            let signature = ed25519_dalek::Signature::from_bytes(&grant.signature);
            (grant.message().to_vec(), signature)
        });
        Ok(Self { key, signed: signed.collect() })
    }
}

impl Contender for Dalek {
    fn name(&self) -> &'static str {
        "dalek"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        for _ in 0..operations / self.signed.len() as u64 {
            let good = |(message, by): &(Vec<u8>, _)| self.key.verify_strict(message, by).is_ok();
            if !self.signed.iter().all(good) {
                return Err(Failed::new("dalek: a signature is bad"));
            }
        }
        Ok(())
    }
}

/// Attaches to a context in a pool, and detaches, which forgets what was verified.
struct Pool {
    space: Space,
    context: ObjectId,
    grants: usize,
    _directory: tempfile::TempDir,
}

impl Pool {
    fn new(grants: usize) -> Result<Self, Failed> {
        let directory = machine::scratch()?;
        let path = directory.path().join("pool");
        EmbeddedPool::init(&path, &InitOptions::default())?;
        let space = Space::open(&path)?;
        let key = KeyPair::from_seed(&[7; 32]);
        let owner = key.publish(space.backend())?;
        let new = NewObject { owner, default_rights: Rights::NONE, ..NewObject::default() };
        let targets: Result<Vec<_>, _> =
            (0..grants).map(|_| space.backend().create(&new)).collect();
        let targets = targets?;
        let new = NewContext { owner, ..NewContext::default() };
        let context = Context::create_with(space.backend(), &new, |id| {
            let terms = targets.iter().map(|&target| Terms::new(target, Rights::READ));
            terms.map(|terms| sign(terms.unsigned(id, 0), &key)).collect()
        })?;
        let context = context.id();
        Ok(Self { space, context, grants, _directory: directory })
    }
}

impl Contender for Pool {
    fn name(&self) -> &'static str {
        "twz"
    }

    /// What attaching does not say: how many grants hold.
    fn prepare(&mut self) -> Result<(), Failed> {
        match self.space.load(self.context)? {
            (held, 0) if held as usize == self.grants => Ok(()),
            other => Err(Failed::new(format!("{other:?} of {} grants hold", self.grants))),
        }
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        for _ in 0..operations / self.grants as u64 {
            self.space.attach(self.context)?;
            self.space.detach(self.context)?;
        }
        Ok(())
    }
}
