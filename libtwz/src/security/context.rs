// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context object: making it, and changing what it says.
//!
//! Every change is one 8-byte store at its end: a record is written behind its
//! first word, which comes last, and goes when that is cleared. Whoever is killed
//! in the middle leaves the context as it was, or as it was to be. Changes count
//! for those who act in the context once it is loaded again ([`crate::Space::load`]).
//!
//! Who changes a context at the same time as another one must see to it themselves,
//! with the object's lock for one; the daemon does.

use twz_abi::{
    DATA_START, ObjectId, Rights,
    meta::kind,
    security::{
        ContextHeader, GRANT_MAGIC, Grant, MASK_MAGIC, MAX_CHAIN, MAX_RECORDS, Mask, Policy,
        RECORD, Record, policy_word,
    },
};
use twz_core::security::{
    Spoiled,
    link::{self, Bytes, digest},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{KeyPair, Link, Terms, key::of_kind, made::make};
use crate::{
    backend::{Backend, NewObject},
    error::{Error, Result},
};

/// What a context shall be.
#[derive(Clone, Copy, Debug)]
pub struct NewContext {
    /// The key object that speaks for it, or null.
    pub owner: ObjectId,
    /// Its mask and flags.
    pub policy: Policy,
    /// What everybody may do with the context object itself: `u` to attach, `w` to
    /// change it.
    pub rights: Rights,
}

impl Default for NewContext {
    fn default() -> Self {
        Self { owner: ObjectId::NULL, policy: Policy::OPEN, rights: Rights::DEFAULT }
    }
}

/// A handle on a context object.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pool: &'a dyn Backend,
    id: ObjectId,
}

/// A record of a context, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// Its number.
    pub place: u32,
    /// What it says.
    pub record: T,
}

fn offset(place: u64) -> u64 {
    DATA_START + (place + 1) * RECORD as u64
}

impl<'a> Context<'a> {
    /// Makes a context without records. Whatever rights the context object itself
    /// grants, its header is in it from the start.
    pub fn create(pool: &'a dyn Backend, new: &NewContext) -> Result<Self> {
        Self::create_with(pool, new, |_| Vec::new())
    }

    /// The same with grants in it from the start, made for the id that it gets: that
    /// of who acts in it to change it, for one, where nobody else is to.
    pub fn create_with(
        pool: &'a dyn Backend,
        new: &NewContext,
        first: impl FnOnce(ObjectId) -> Vec<Grant>,
    ) -> Result<Self> {
        let object = NewObject {
            owner: new.owner,
            default_rights: new.rights,
            kind: kind::CONTEXT,
            size: RECORD as u64,
            ..NewObject::default()
        };
        let (id, identity) = object.earn_id([0; 32])?;
        let mut bytes = ContextHeader::new(id, new.policy).as_bytes().to_vec();
        for grant in first(id) {
            bytes.extend_from_slice(grant.as_bytes());
        }
        let (nonce, size) = (Some(identity.nonce), bytes.len() as u64);
        let id = make(pool, &NewObject { nonce, size, ..object }, &bytes)?;
        Ok(Self { pool, id })
    }

    /// The context with this id.
    pub fn open(pool: &'a dyn Backend, id: ObjectId) -> Result<Self> {
        let context = Self { pool, id };
        context.policy().map(|_| context)
    }

    /// Visits every context of a pool.
    pub fn list(
        pool: &'a dyn Backend,
        visit: &mut dyn FnMut(Context<'a>) -> Result<()>,
    ) -> Result<()> {
        of_kind(pool, kind::CONTEXT, &mut |id| visit(Self { pool, id }))
    }

    /// The same context by way of another backend.
    #[cfg(test)]
    pub(super) fn in_pool<'b>(&self, pool: &'b dyn Backend) -> Context<'b> {
        Context { pool, id: self.id }
    }

    /// The context object's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The pool it is in.
    pub fn pool(&self) -> &'a dyn Backend {
        self.pool
    }

    /// What it says of itself.
    pub fn policy(&self) -> Result<Policy> {
        self.count()?;
        let mut header = ContextHeader::new_zeroed();
        self.pool.read(self.id, DATA_START, header.as_mut_bytes())?;
        header.check(self.id).map_err(|error| self.spoiled(Spoiled::Header(error)))
    }

    /// Says something else of itself: one store.
    pub fn set_policy(&self, policy: Policy) -> Result<()> {
        self.policy()?;
        if !policy.mask.check() || policy.flags & !twz_abi::security::context_flags::KNOWN != 0 {
            return Err(Error::Unsupported("unknown rights in the mask, or unknown flags"));
        }
        let at = DATA_START + core::mem::offset_of!(ContextHeader, policy) as u64;
        self.pool.write(self.id, at, &policy_word(policy).to_le_bytes())
    }

    /// Every record that is not empty, in order.
    pub fn records(&self) -> Result<Vec<Entry<Record>>> {
        let mut found = Vec::new();
        for (place, bytes) in (0..).zip(self.copy()?.1) {
            match Record::parse(&bytes) {
                Ok(Record::Empty) => {}
                Ok(record) => found.push(Entry { place, record }),
                Err(error) => return Err(self.spoiled(Spoiled::Record(place, error))),
            }
        }
        Ok(found)
    }

    /// Every grant.
    pub fn grants(&self) -> Result<Vec<Entry<Grant>>> {
        let grants = self.records()?.into_iter().filter_map(|entry| match entry.record {
            Record::Grant(record) => Some(Entry { place: entry.place, record }),
            _ => None,
        });
        Ok(grants.collect())
    }

    /// Every mask.
    pub fn masks(&self) -> Result<Vec<Entry<Mask>>> {
        let masks = self.records()?.into_iter().filter_map(|entry| match entry.record {
            Record::Mask(record) => Some(Entry { place: entry.place, record }),
            _ => None,
        });
        Ok(masks.collect())
    }

    /// Grants this context something: a capability, signed with the key of the
    /// target's owner, and put in place.
    pub fn grant(&self, terms: &Terms, key: &KeyPair) -> Result<Grant> {
        let grant = terms.capability(self.pool, self.id, key)?;
        self.add(&grant).map(|_| grant)
    }

    /// Passes on to another context what this one holds: signed with the key of this
    /// one's owner, and put in place there with all that it comes from. `parent` says
    /// which of its grants; without one, any that can be passed on like that.
    pub fn delegate(
        &self,
        to: &Context<'_>,
        terms: &Terms,
        parent: Option<[u8; 32]>,
        key: &KeyPair,
    ) -> Result<Grant> {
        let suits = |grant: &Grant| {
            let holds = Rights(grant.rights);
            grant.accessor == self.id
                && holds.contains(terms.rights | Rights::DELEGATE)
                && (terms.gate.is_none() || terms.gate.is_within(&grant.gate))
        };
        let links = super::why(self.pool, self.id, terms.target)?.grants;
        let named = |link: &&Link| match parent {
            Some(wanted) => link.hash == wanted,
            None => suits(&link.grant),
        };
        // One that holds, if there is one: others may yet.
        let found = links.iter().filter(named).min_by_key(|link| link.flaw.is_some());
        let Some(Link { grant: parent, .. }) = found else {
            return Err(Error::NotOwner {
                id: terms.target,
                why: "the context holds no grant on it that could be passed on like this",
            });
        };
        let grant = terms.delegation(self, parent, to.id, key)?;
        to.accept(&grant, self).map(|()| grant)
    }

    /// Puts a delegation in place, and before it all that it comes from, which
    /// `grantor` has.
    pub fn accept(&self, grant: &Grant, grantor: &Context<'_>) -> Result<()> {
        let theirs = grantor.grants()?;
        let mut chain = vec![*grant];
        while let Some(last) = chain.last().filter(|last| last.is_delegation()) {
            let parent = last.parent;
            let found = theirs.iter().find(|entry| digest(&entry.record) == parent);
            let Some(found) = found.filter(|_| chain.len() < MAX_CHAIN) else {
                return Err(Error::NotOwner {
                    id: grant.target,
                    why: "what the delegation comes from is not in the grantor's context, or too long a chain",
                });
            };
            chain.push(found.record);
        }
        // What it comes from first: who is killed here leaves links of a chain that
        // grant nothing.
        let ours: Vec<_> = self.grants()?.iter().map(|entry| digest(&entry.record)).collect();
        for link in chain.iter().rev().filter(|link| !ours.contains(&digest(link))) {
            self.put(link.as_bytes(), GRANT_MAGIC)?;
        }
        Ok(())
    }

    /// Puts a grant in place as it is; which record it became. One that is there
    /// already would spoil the context, and is refused.
    pub fn add(&self, grant: &Grant) -> Result<u32> {
        let hash = digest(grant);
        let there = self.grants()?;
        if let Some(same) = there.iter().find(|entry| digest(&entry.record) == hash) {
            return Err(self.spoiled(Spoiled::Twice(same.place)));
        }
        self.put(grant.as_bytes(), GRANT_MAGIC)
    }

    /// Takes a grant away, by its hash; whether it was there. What was delegated
    /// from it holds no more.
    pub fn remove(&self, hash: &[u8; 32]) -> Result<bool> {
        let found = self.grants()?.into_iter().find(|entry| digest(&entry.record) == *hash);
        match found {
            Some(entry) => self.clear(entry.place).map(|()| true),
            None => Ok(false),
        }
    }

    /// Says what is left of one object's default rights here.
    pub fn set_mask(&self, target: ObjectId, rights: Rights) -> Result<()> {
        let mask = Mask::new(target, rights);
        match self.masks()?.into_iter().find(|entry| entry.record.target == target) {
            Some(entry) => {
                // The rights share a word with the version alone.
                let at = offset(entry.place as u64) + core::mem::offset_of!(Mask, version) as u64;
                let word = mask.as_bytes().get(8..16).unwrap_or_default();
                self.pool.write(self.id, at, word)
            }
            None => self.put(mask.as_bytes(), MASK_MAGIC).map(|_| ()),
        }
    }

    /// Leaves an object's default rights to the context's own mask; whether they
    /// were not.
    pub fn clear_mask(&self, target: ObjectId) -> Result<bool> {
        match self.masks()?.into_iter().find(|entry| entry.record.target == target) {
            Some(entry) => self.clear(entry.place).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes away grants that can never hold again, by their own words or the time,
    /// and moves what is left together; how many records there are then.
    ///
    /// Who is killed in the middle may leave a record twice. No right is lost by
    /// that and none gained, but the context cannot be loaded (rule C4) until this
    /// is called again, or [`Context::mend`].
    pub fn compact(&self) -> Result<u64> {
        self.mend()?;
        let now = super::now();
        for Entry { place, record } in self.grants()? {
            let ended = record.expires != 0 && record.expires <= now;
            if ended || record.check().is_err() {
                self.clear(place)?;
            }
        }
        let (_, mut all) = self.copy()?;
        while let Some(last) = all.pop() {
            if first_word(&last) == 0 {
                continue;
            }
            let Some(gap) = all.iter().position(|bytes| first_word(bytes) == 0) else {
                all.push(last);
                break;
            };
            self.put_at(gap as u64, &last, first_word(&last))?;
            self.clear(all.len() as u32)?;
            if let Some(place) = all.get_mut(gap) {
                *place = last;
            }
        }
        let left = all.len() as u64;
        self.pool.resize(self.id, (left + 1) * RECORD as u64)?;
        Ok(left)
    }

    /// Takes away what is there twice; how many records that were.
    pub fn mend(&self) -> Result<u64> {
        let (_, all) = self.copy()?;
        let mut seen = std::collections::HashSet::new();
        let mut twice = 0;
        for (place, bytes) in (0..).zip(&all) {
            if first_word(bytes) != 0 && !seen.insert(bytes) {
                self.clear(place)?;
                twice += 1;
            }
        }
        Ok(twice)
    }

    /// How many records there are, empty ones too.
    fn count(&self) -> Result<u64> {
        let stat = self.pool.stat(self.id)?;
        link::count(stat.kind, stat.size).map_err(|why| self.spoiled(why))
    }

    /// All its bytes.
    pub(super) fn copy(&self) -> Result<(Bytes, Vec<Bytes>)> {
        let count = self.count()?;
        let mut bytes = vec![[0; RECORD]; count as usize + 1];
        self.pool.read(self.id, DATA_START, bytes.as_flattened_mut())?;
        let header = bytes.remove(0);
        Ok((header, bytes))
    }

    /// Writes a record into the first empty place, or behind the last.
    fn put(&self, bytes: &[u8], magic: u64) -> Result<u32> {
        let (_, records) = self.copy()?;
        let empty = records.iter().position(|bytes| first_word(bytes) == 0);
        let place = match empty {
            Some(place) => place as u64,
            None if records.len() as u64 == MAX_RECORDS => {
                return Err(Error::ObjectFull {
                    id: self.id,
                    what: "its context has no place left",
                });
            }
            None => {
                // What is new is zeros, and so empty.
                let place = records.len() as u64;
                self.pool.resize(self.id, (place + 2) * RECORD as u64)?;
                place
            }
        };
        self.put_at(place, bytes, magic)?;
        Ok(place as u32)
    }

    fn put_at(&self, place: u64, bytes: &[u8], magic: u64) -> Result<()> {
        self.pool.write(self.id, offset(place) + 8, bytes.get(8..).unwrap_or_default())?;
        self.pool.write(self.id, offset(place), &magic.to_le_bytes())
    }

    fn clear(&self, place: u32) -> Result<()> {
        self.pool.write(self.id, offset(place as u64), &[0; 8])
    }

    fn spoiled(&self, why: Spoiled) -> Error {
        Error::spoiled(self.id, why)
    }
}

/// A record's first word.
fn first_word(bytes: &Bytes) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({})", self.id)
    }
}
