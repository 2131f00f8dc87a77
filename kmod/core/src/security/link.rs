// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Stage one: what is true of a context as long as its bytes stay the same.
//!
//! [`read`] refuses what is no context and sorts its records by content, so that
//! a delegation finds the grant it comes from. [`judge`] then looks at every grant
//! by itself and beside its parent. What was verified in an earlier load is not
//! verified again. [`super::rules`] goes on with the result.

use sha2::{Digest as _, Sha256};
use twz_abi::{
    meta,
    security::{ContextHeader, Grant, Policy, PublicKey, Record, MAX_CHAIN, MAX_RECORDS, RECORD},
    FormatError, ObjectId, Rights,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::{
    claim::{key, NoKey},
    Facts, Verifier,
};

/// A record, as it was copied.
pub type Bytes = [u8; RECORD];

/// Why a context is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// It is of another kind, or the header is none or another context's (rule C1).
    Header(FormatError),
    /// Its size is not that of a header and records, or there are too many (rule C2).
    Size(u64),
    /// This record is none (rule C3).
    Record(u32, FormatError),
    /// This record says the same as another one (rule C4).
    Twice(u32),
    /// Its caller has no time left.
    Interrupted,
}

/// Why a grant does not hold. The names of the rules are SECURITY.md's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// G1: it says what no grant can say.
    Shape,
    /// G2: it is for another context.
    Accessor,
    /// G3: its target is not there.
    Target,
    /// G4: the signer has no key.
    Key,
    /// G5: the signature is not the signer's.
    Signature,
    /// G6: it does not hold yet.
    NotYet,
    /// G6: it holds no more.
    Expired,
    /// G7: it was revoked.
    Revoked,
    /// D1: the grant it comes from is not here, or is not the grantor's.
    Parent,
    /// D2: the grantor may not pass it on.
    MayNotDelegate,
    /// D3: it is more, or something else, than the grantor has.
    Wider,
    /// D4: its gate is wider than the grantor's.
    WiderGate,
    /// D5: its time is longer than the grantor's.
    WiderTime,
    /// D6: too many links, or a context twice.
    Chain,
}

impl Flaw {
    /// The rule's name.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Shape => "G1",
            Self::Accessor => "G2",
            Self::Target => "G3",
            Self::Key => "G4",
            Self::Signature => "G5",
            Self::NotYet | Self::Expired => "G6",
            Self::Revoked => "G7",
            Self::Parent => "D1",
            Self::MayNotDelegate => "D2",
            Self::Wider => "D3",
            Self::WiderGate => "D4",
            Self::WiderTime => "D5",
            Self::Chain => "D6",
        }
    }
}

/// What is known of a record that is not empty.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// What it is sorted by: of a grant the SHA-256 of its bytes, of a mask its target.
    key: [u8; 32],
    /// Which record it is.
    place: u32,
    /// Where the link of the grant it comes from is, or `NONE`.
    parent: u32,
    /// What is wrong with it, whatever the time.
    flaw: Option<Flaw>,
    /// The signature was verified, and is good.
    verified: bool,
}

const NONE: u32 = u32::MAX;

impl Link {
    /// Of nothing: to make room.
    pub const EMPTY: Self =
        Self { key: [0; 32], place: NONE, parent: NONE, flaw: None, verified: false };

    /// Which record of the context it is about.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// What is wrong with it by itself, whatever the time and the epochs.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }
}

/// The hash that a delegation names a grant by.
pub fn digest(grant: &Grant) -> [u8; 32] {
    Sha256::digest(grant.as_bytes()).into()
}

/// How many records an object of this kind and size has as a context.
pub fn count(kind: u32, size: u64) -> Result<u64, Spoiled> {
    if kind != meta::kind::CONTEXT {
        let found = kind as u64;
        return Err(Spoiled::Header(FormatError::Range { what: "context's kind", found }));
    }
    match (size / RECORD as u64).checked_sub(1) {
        Some(count) if size % RECORD as u64 == 0 && count <= MAX_RECORDS => Ok(count),
        _ => Err(Spoiled::Size(size)),
    }
}

/// Reads the context `id` out of a copy of its bytes: what it says of itself, and
/// how many of `links` it takes, of which there are as many as `records`.
pub fn read(
    id: ObjectId,
    header: &Bytes,
    records: &[Bytes],
    links: &mut [Link],
) -> Result<(Policy, usize), Spoiled> {
    let header = ContextHeader::read_from_bytes(header)
        .map_err(|_| Spoiled::Header(FormatError::Reserved { what: "context" }))?;
    let policy = header.check(id).map_err(Spoiled::Header)?;
    let mut count = 0;
    if links.len() < records.len() {
        return Err(Spoiled::Size(records.len() as u64));
    }
    for (bytes, place) in records.iter().zip(0..) {
        let key = match Record::parse(bytes).map_err(|why| Spoiled::Record(place, why))? {
            Record::Empty => continue,
            Record::Grant(grant) => digest(&grant),
            Record::Mask(mask) => {
                let mut key = [0; 32];
                for (to, from) in key.iter_mut().zip(mask.target.as_bytes()) {
                    *to = *from;
                }
                key
            }
        };
        if let Some(link) = links.get_mut(count) {
            *link = Link { key, place, ..Link::EMPTY };
            count += 1;
        }
    }
    let links = links.get_mut(..count).unwrap_or(&mut []);
    sort(links);
    for (one, next) in links.iter().zip(links.iter().skip(1)) {
        if one.key == next.key {
            return Err(Spoiled::Twice(one.place.max(next.place)));
        }
    }
    Ok((policy, count))
}

/// A context that was read: which one, its bytes, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<'a> {
    /// Its id.
    pub id: ObjectId,
    /// What it says of itself.
    pub policy: Policy,
    /// Its records.
    pub records: &'a [Bytes],
    /// What is known of those that are not empty, sorted.
    pub links: &'a [Link],
}

/// Looks at every grant of a context that was [`read`], by itself and beside the one
/// it comes from. `before` are the links of an earlier load of any context.
pub fn judge(
    records: &[Bytes],
    links: &mut [Link],
    before: &[Link],
    facts: &impl Facts,
    verifier: &impl Verifier,
) -> Result<(), Spoiled> {
    let mut signer = None;
    for at in 0..links.len() {
        if !facts.go_on() {
            return Err(Spoiled::Interrupted);
        }
        let Some(link) = links.get(at).copied() else { break };
        let Some(grant) = grant_at(records, &link) else { continue };
        let known =
            find(before, &link.key).is_some_and(|i| before.get(i).is_some_and(|l| l.verified));
        let parent = match grant.is_delegation() {
            true => find(links, &grant.parent),
            false => None,
        };
        let of = parent.and_then(|i| links.get(i)).and_then(|l| grant_at(records, l));
        let flaw = look(&grant, of.as_ref(), known, &mut signer, facts, verifier).err();
        if let Some(link) = links.get_mut(at) {
            link.flaw = flaw;
            // Whoever it comes from, these bytes are signed.
            link.verified = known || flaw.is_none();
            link.parent = parent.map_or(NONE, |i| i as u32);
        }
    }
    Ok(())
}

/// What is true of a grant whatever the time: G1, G3 to G5, D1 to D5. `signer` is whose
/// key was found last: most contexts hold what few owners have granted, and an id
/// covers its key, so that it is not looked for again.
fn look(
    grant: &Grant,
    parent: Option<&Grant>,
    known: bool,
    signer: &mut Option<(ObjectId, PublicKey)>,
    facts: &impl Facts,
    verifier: &impl Verifier,
) -> Result<(), Flaw> {
    grant.check().map_err(|_| Flaw::Shape)?;
    let target = facts.object(grant.target).ok_or(Flaw::Target)?;
    let owner = match grant.is_delegation() {
        false => target.identity.owner,
        true => {
            narrows(grant, parent.ok_or(Flaw::Parent)?)?;
            facts.object(grant.grantor).ok_or(Flaw::Key)?.identity.owner
        }
    };
    let key = match *signer {
        Some((id, key)) if id == owner => key,
        _ => key(facts, owner).map_err(|why| match why {
            NoKey::NoOwner => Flaw::Signature,
            NoKey::NotAKey => Flaw::Key,
        })?,
    };
    *signer = Some((owner, key));
    match known || verifier.verify(&key, &grant.message(), &grant.signature) {
        true => Ok(()),
        false => Err(Flaw::Signature),
    }
}

/// D1 to D5: what is passed on is no more than what there was.
fn narrows(grant: &Grant, parent: &Grant) -> Result<(), Flaw> {
    if parent.accessor != grant.grantor {
        return Err(Flaw::Parent);
    }
    if !Rights(parent.rights).contains(Rights::DELEGATE) {
        return Err(Flaw::MayNotDelegate);
    }
    if grant.target != parent.target || !Rights(parent.rights).contains(Rights(grant.rights)) {
        return Err(Flaw::Wider);
    }
    // Without the right to execute there is nothing to enter.
    if Rights(grant.rights).contains(Rights::EXEC) && !grant.gate.is_within(&parent.gate) {
        return Err(Flaw::WiderGate);
    }
    let ends = |expires: u64| if expires == 0 { u64::MAX } else { expires };
    if grant.not_before < parent.not_before || ends(grant.expires) > ends(parent.expires) {
        return Err(Flaw::WiderTime);
    }
    Ok(())
}

/// Whether a grant holds at a time, with all that it comes from: the flaws that it has
/// by itself, and G2, G6, G7 and D6. `epoch` says an object's.
pub fn holds(
    loaded: &Loaded<'_>,
    link: &Link,
    now: u64,
    epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
) -> Result<Grant, Flaw> {
    let grant = grant_at(loaded.records, link).ok_or(Flaw::Shape)?;
    if let Some(flaw) = link.flaw {
        return Err(flaw);
    }
    if grant.accessor != loaded.id {
        return Err(Flaw::Accessor);
    }
    let mut seen = [ObjectId::NULL; MAX_CHAIN];
    let (mut link, mut here) = (*link, grant);
    for depth in 0..MAX_CHAIN {
        if let Some(flaw) = link.flaw {
            return Err(flaw);
        }
        in_time(&here, now, epoch)?;
        if seen.contains(&here.accessor) {
            return Err(Flaw::Chain);
        }
        if let Some(place) = seen.get_mut(depth) {
            *place = here.accessor;
        }
        if !here.is_delegation() {
            return Ok(grant);
        }
        link = *loaded.links.get(link.parent as usize).ok_or(Flaw::Parent)?;
        here = grant_at(loaded.records, &link).ok_or(Flaw::Parent)?;
    }
    Err(Flaw::Chain)
}

/// G6 and G7.
fn in_time(
    grant: &Grant,
    now: u64,
    epoch: &mut impl FnMut(ObjectId) -> Option<u64>,
) -> Result<(), Flaw> {
    if now < grant.not_before {
        return Err(Flaw::NotYet);
    }
    if grant.expires != 0 && now >= grant.expires {
        return Err(Flaw::Expired);
    }
    let hangs_on = if grant.is_delegation() { grant.grantor } else { grant.target };
    match epoch(hangs_on).ok_or(Flaw::Target)? > grant.epoch {
        true => Err(Flaw::Revoked),
        false => Ok(()),
    }
}

/// The grant that a link is about, if it is about one.
pub(super) fn grant_at(records: &[Bytes], link: &Link) -> Option<Grant> {
    match Record::parse(records.get(link.place as usize)?) {
        Ok(Record::Grant(grant)) => Some(grant),
        _ => None,
    }
}

impl Loaded<'_> {
    /// The record that a link is about.
    pub fn record(&self, link: &Link) -> Record {
        let bytes = self.records.get(link.place as usize);
        bytes.and_then(|bytes| Record::parse(bytes).ok()).unwrap_or(Record::Empty)
    }

    /// The link of the grant that a delegation comes from.
    pub fn parent(&self, link: &Link) -> Option<&Link> {
        self.links.get(link.parent as usize)
    }
}

/// Sorts by content, in place and always as fast: a heap of what is left, the greatest
/// taken out last. (The standard library's sort may panic on an order that is none, and
/// in a kernel that is a function which objtool does not know never to return.)
fn sort(links: &mut [Link]) {
    for root in (0..links.len() / 2).rev() {
        sift(links, root);
    }
    for end in (1..links.len()).rev() {
        links.swap(0, end);
        if let Some(heap) = links.get_mut(..end) {
            sift(heap, 0);
        }
    }
}

/// Lets the link at `root` sink to where none below it is greater.
fn sift(heap: &mut [Link], mut root: usize) {
    let key = |heap: &[Link], at: usize| heap.get(at).map(|link| link.key);
    loop {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = if key(heap, right) > key(heap, left) { right } else { left };
        if child >= heap.len() || key(heap, child) <= key(heap, root) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

fn find(links: &[Link], key: &[u8; 32]) -> Option<usize> {
    links.binary_search_by(|link| link.key.cmp(key)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_sorted() {
        for len in (0..40).chain([1000]) {
            let mut seed = len as u64 + 1;
            let mut links = vec![Link::EMPTY; len];
            for link in &mut links {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                link.key[31] = (seed >> 60) as u8;
                link.key[0] = (seed >> 40) as u8 % 7;
            }
            let mut expected: Vec<_> = links.iter().map(|link| link.key).collect();
            expected.sort();
            sort(&mut links);
            assert!(links.iter().map(|link| link.key).eq(expected), "{len}");
        }
    }
}
