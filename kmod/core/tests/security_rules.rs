// SPDX-License-Identifier: GPL-2.0 OR MIT
//! SECURITY.md, rule by rule: a grant or context that is valid but for one thing,
//! and what that one thing costs. The names of the tests begin with the rule's.

#[path = "common/world.rs"]
mod world;

use ed25519_dalek::Signer as _;
use twz_abi::{
    meta,
    security::{
        context_flags, AttachClaim, Gate, Grant, Key, Policy, RevokeClaim, CONTEXT_MAGIC,
        MAX_RECORDS, RECORD,
    },
    FormatError, ObjectId, Rights, DATA_START,
};
use twz_core::{
    rights::Access,
    security::{
        claim, link,
        rules::MAX_GATES,
        switch::{may_switch, Attempt, Spot, Stay},
        Flaw, Rules, Spoiled,
    },
};
use world::*;
use zerocopy::IntoBytes as _;

const R: Rights = Rights::READ;
const RW: Rights = Rights(Rights::READ.0 | Rights::WRITE.0);
const RX: Rights = Rights(Rights::READ.0 | Rights::EXEC.0);
const RG: Rights = Rights(Rights::READ.0 | Rights::DELEGATE.0);
const RWG: Rights = Rights(RW.0 | Rights::DELEGATE.0);
const RXG: Rights = Rights(RX.0 | Rights::DELEGATE.0);

/// One owner, a secret that nobody else may touch, two contexts.
struct Stage {
    world: World,
    owner: Owner,
    secret: ObjectId,
    web: ObjectId,
    log: ObjectId,
}

fn stage() -> Stage {
    let mut world = World::default();
    let owner = world.owner(1);
    let secret = world.object(owner.id, Rights::NONE);
    let web = world.object(owner.id, Rights::USE);
    let log = world.object(owner.id, Rights::USE);
    Stage { world, owner, secret, web, log }
}

impl Stage {
    fn capability(&self, rights: Rights) -> Grant {
        capability(self.secret, self.web, rights)
    }

    /// What `web` is left with on the secret if it holds this at time 1000.
    fn left(&self, grant: Grant) -> Rights {
        let held = Context::open(self.web).grant(&grant).load(&self.world).unwrap();
        held.at(&self.world, 1000).allowed(&self.world, self.secret)
    }

    /// The flaw of the last record of `log`, and what it allows on the secret.
    fn last(&self, records: &[&Grant]) -> (Option<Flaw>, Rights) {
        let context =
            records.iter().fold(Context::open(self.log), |context, grant| context.grant(grant));
        self.judged(&context)
    }

    fn judged(&self, context: &Context) -> (Option<Flaw>, Rights) {
        let held = context.load(&self.world).unwrap();
        let last = held.records.len() as u32 - 1;
        let link = held.links.iter().find(|link| link.place() == last).unwrap();
        let mut epoch = |id| self.world.objects.get(&id).map(|object| object.epoch);
        let flaw = link::holds(&held.loaded(), link, 1000, &mut epoch).err();
        (flaw, held.at(&self.world, 1000).allowed(&self.world, self.secret))
    }
}

#[test]
fn e1_masks_limit_defaults_and_not_grants() {
    let mut s = stage();
    let open = s.world.object(s.owner.id, RW);
    let grant = s.owner.sign(capability(open, s.web, Rights::WRITE));
    let policy = Policy { mask: R, flags: 0 };
    let narrow = Context::new(s.web, policy);
    let allowed = |context: &Context, id| {
        context.load(&s.world).unwrap().at(&s.world, 0).allowed(&s.world, id)
    };
    assert_eq!(allowed(&narrow, open), R);
    assert_eq!(allowed(&narrow.clone().grant(&grant), open), RW);
    assert_eq!(allowed(&narrow.clone().mask(open, Rights::NONE), open), Rights::NONE);
    assert_eq!(allowed(&narrow.clone().mask(open, RW), open), RW);
    let both = narrow.mask(open, Rights::NONE).grant(&grant);
    assert_eq!(allowed(&both, open), Rights::WRITE);
    assert_eq!(Rules::DEFAULT.allowed_on(&s.world.get(open)), RW);
}

#[test]
fn e2_what_is_immutable_is_never_writable() {
    let mut s = stage();
    let id = s.world.key_of([7; 64]);
    let mut object = s.world.get(id);
    assert!(object.identity.flags & meta::flags::IMMUTABLE != 0);
    object.identity.default_rights = RW.0;
    assert_eq!(Rules::DEFAULT.allowed_on(&object), R);
}

#[test]
fn a_grant_holds() {
    let s = stage();
    assert_eq!(s.left(s.owner.sign(s.capability(RW))), RW);
}

#[test]
fn g1_a_grant_says_what_a_grant_can_say() {
    let s = stage();
    let good = s.capability(RX);
    let gate = Gate { offset: DATA_START, length: 64, align: 16 };
    let bad = [
        Grant { version: 2, ..good },
        Grant { rights: 0, ..good },
        Grant { rights: 64, ..good },
        Grant { target: ObjectId::NULL, ..good },
        Grant { accessor: ObjectId { lo: 1, hi: 0 }, ..good },
        Grant { parent: [1; 32], ..good },
        Grant { rights: RW.0, gate, ..good },
        Grant { gate: Gate { align: 3, ..gate }, ..good },
        Grant { gate: Gate { offset: 8, ..gate }, ..good },
        Grant { gate: Gate { length: u64::MAX, ..gate }, ..good },
        Grant { not_before: 5, expires: 5, ..good },
        Grant { reserved: [1; 48], ..good },
    ];
    for grant in bad {
        let context = Context::open(s.web).grant(&s.owner.sign(grant));
        assert_eq!(s.judged(&context), (Some(Flaw::Shape), Rights::NONE), "{grant:?}");
    }
    assert_eq!(s.left(s.owner.sign(good)), RX);
}

#[test]
fn g2_a_grant_is_for_its_accessor() {
    let s = stage();
    let grant = s.owner.sign(s.capability(R));
    assert_eq!(s.last(&[&grant]), (Some(Flaw::Accessor), Rights::NONE), "replayed");
}

#[test]
fn g3_the_target_is_there() {
    let mut s = stage();
    let grant = s.owner.sign(s.capability(R));
    let gone = s.world.objects.remove(&s.secret).unwrap();
    let held = Context::open(s.web).grant(&grant).load(&s.world).unwrap();
    assert_eq!(held.links[0].flaw(), Some(Flaw::Target));
    s.world.objects.insert(s.secret, gone);
    assert_eq!(held.at(&s.world, 1000).allowed(&s.world, s.secret), Rights::NONE);
}

#[test]
fn g4_the_key_is_what_its_id_covers() {
    let mut s = stage();
    let grant = s.owner.sign(s.capability(R));
    let context = Context::open(s.web).grant(&grant);
    let thief = s.world.owner(2);
    let good = s.world.keys[&s.owner.id];
    // Another key in its place, a key that is not there, bytes that are none.
    let other = s.world.keys[&thief.id];
    s.world.keys.insert(s.owner.id, other);
    assert_eq!(s.judged(&context), (Some(Flaw::Key), Rights::NONE));
    s.world.keys.remove(&s.owner.id);
    assert_eq!(s.judged(&context), (Some(Flaw::Key), Rights::NONE));
    s.world.keys.insert(s.owner.id, good);
    assert_eq!(s.judged(&context), (None, R));
    let mut object = s.world.get(s.owner.id);
    object.identity.flags = 0;
    s.world.objects.insert(s.owner.id, object);
    assert_eq!(s.judged(&context), (Some(Flaw::Key), Rights::NONE), "mutable");
}

#[test]
fn g4_a_key_is_a_key() {
    let mut s = stage();
    let public = s.owner.signer.verifying_key().to_bytes();
    let good = Key::new(public);
    let odd = [
        Key { magic: 1, ..good },
        Key { version: 2, ..good },
        Key { algorithm: 2, ..good },
        Key { reserved: [1; 16], ..good },
    ];
    for key in odd {
        let id = s.world.key_of(key.as_bytes().try_into().unwrap());
        assert_eq!(claim::key(&s.world, id), Err(claim::NoKey::NotAKey), "{key:?}");
    }
    assert_eq!(claim::key(&s.world, s.owner.id), Ok(public));
    assert_eq!(claim::key(&s.world, ObjectId::NULL), Err(claim::NoKey::NoOwner));
}

#[test]
fn g5_the_owner_has_signed_every_byte() {
    let mut s = stage();
    let thief = s.world.owner(2);
    assert_eq!(s.left(s.capability(R)), Rights::NONE, "not signed");
    assert_eq!(s.left(thief.sign(s.capability(R))), Rights::NONE, "another's signature");
    let good = s.owner.sign(s.capability(R));
    assert_eq!(s.left(good), R);
    for bit in 0..RECORD * 8 {
        let mut bytes: [u8; RECORD] = good.as_bytes().try_into().unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let context = Context { records: vec![bytes], ..Context::open(s.web) };
        if let Ok(held) = context.load(&s.world) {
            let left = held.at(&s.world, 1000).allowed(&s.world, s.secret);
            assert_eq!(left, Rights::NONE, "bit {bit}");
        }
    }
}

#[test]
fn g5_a_signature_says_what_it_signs() {
    let s = stage();
    let grant = s.capability(R);
    // The same bytes, signed as something else.
    let plain = s.owner.signer.sign(&grant.as_bytes()[..192]).to_bytes();
    assert_eq!(s.left(Grant { signature: plain, ..grant }), Rights::NONE);
    // And what each of the three says, in front of its bytes, is its own.
    let said = |domain: &[u8; 16], bytes: &[u8]| [domain, bytes].concat();
    assert_eq!(grant.message()[..], said(b"twizzler grant 1", &grant.as_bytes()[..192]));
    let claim = AttachClaim { pool: [1; 16], context: s.web, nonce: [2; 32] };
    assert_eq!(claim.message()[..], said(b"twizzler attach1", claim.as_bytes()));
    let claim = RevokeClaim { object: s.web, epoch: 1, reserved: 0 };
    assert_eq!(claim.message()[..], said(b"twizzler revoke1", claim.as_bytes()));
}

#[test]
fn g5_nobody_signs_for_no_owner() {
    let mut s = stage();
    let orphan = s.world.object(ObjectId::NULL, Rights::NONE);
    let grant = s.owner.sign(capability(orphan, s.web, R));
    let held = Context::open(s.web).grant(&grant).load(&s.world).unwrap();
    assert_eq!(held.links[0].flaw(), Some(Flaw::Signature));
    assert_eq!(held.at(&s.world, 0).allowed(&s.world, orphan), Rights::NONE);
}

#[test]
fn g5_each_owner_signs_for_its_own() {
    let mut s = stage();
    let other = s.world.owner(2);
    let orphan = s.world.object(ObjectId::NULL, Rights::NONE);
    let mut context = Context::open(s.web);
    // One after the other in every order, whichever way they are sorted.
    for i in 0..8 {
        for (owner, target) in [(&s.owner, s.secret), (&other, s.secret), (&s.owner, orphan)] {
            let grant = Grant { expires: 1000 + i, ..capability(target, s.web, R) };
            context = context.grant(&owner.sign(grant));
        }
    }
    let held = context.load(&s.world).unwrap();
    for link in &held.links {
        let wanted = if link.place() % 3 == 0 { None } else { Some(Flaw::Signature) };
        assert_eq!(link.flaw(), wanted, "record {}", link.place());
    }
    // And who comes second has its own key, not the first one's.
    let its_own = s.world.object(other.id, Rights::NONE);
    let both = Context::open(s.web).grant(&s.owner.sign(s.capability(R)));
    let both = both.grant(&other.sign(capability(its_own, s.web, R))).load(&s.world).unwrap();
    assert!(both.links.iter().all(|link| link.flaw().is_none()));
}

#[test]
fn g5_weak_keys_sign_nothing() {
    let mut s = stage();
    // The neutral element: with it, one signature is good for every message.
    let mut public = [0; 32];
    public[0] = 1;
    let weak = s.world.key_of(Key::new(public).as_bytes().try_into().unwrap());
    let target = s.world.object(weak, Rights::NONE);
    let mut signature = [0; 64];
    signature[0] = 1;
    let grant = Grant { signature, ..capability(target, s.web, R) };
    let held = Context::open(s.web).grant(&grant).load(&s.world).unwrap();
    assert_eq!(held.links[0].flaw(), Some(Flaw::Signature));
}

#[test]
fn g6_a_grant_has_its_time() {
    let s = stage();
    let grant = s.owner.sign(Grant { not_before: 10, expires: 20, ..s.capability(R) });
    let held = Context::open(s.web).grant(&grant).load(&s.world).unwrap();
    for (now, rights, next) in [
        (0, Rights::NONE, Some(10)),
        (9, Rights::NONE, Some(10)),
        (10, R, Some(20)),
        (19, R, Some(20)),
        (20, Rights::NONE, None),
        (u64::MAX, Rights::NONE, None),
    ] {
        let table = held.at(&s.world, now);
        assert_eq!(table.allowed(&s.world, s.secret), rights, "at {now}");
        assert_eq!(table.built.next, next, "at {now}");
        let held = (rights == R) as u32;
        assert_eq!((table.built.grants, table.built.void), (held, 1 - held));
    }
}

#[test]
fn g7_an_epoch_ends_what_was_granted_before() {
    let mut s = stage();
    let (old, new) = (s.capability(R), Grant { epoch: 3, ..s.capability(RW) });
    let (old, new) = (s.owner.sign(old), s.owner.sign(new));
    let held = Context::open(s.web).grant(&old).grant(&new).load(&s.world).unwrap();
    for (epoch, rights) in [(0, RW), (1, RW), (3, RW), (4, Rights::NONE)] {
        s.world.raise(s.secret, epoch);
        assert_eq!(held.at(&s.world, 0).allowed(&s.world, s.secret), rights, "epoch {epoch}");
    }
    s.world.raise(s.secret, 1);
    let only_old = Context::open(s.web).grant(&old).load(&s.world).unwrap();
    assert_eq!(only_old.at(&s.world, 0).allowed(&s.world, s.secret), Rights::NONE);
}

#[test]
fn g8_no_more_gates_than_are_counted() {
    let s = stage();
    let gate = |n: u64| Gate { offset: DATA_START + 16 * n, length: 16, align: 16 };
    let gates = MAX_GATES as u64 + 6;
    let context = (0..gates).fold(Context::open(s.web), |context, n| {
        context.grant(&s.owner.sign(Grant { gate: gate(n), ..s.capability(RX) }))
    });
    let table = context.load(&s.world).unwrap().at(&s.world, 0);
    let open = |n: &u64| table.rules().may_enter(s.secret, Rights::NONE, gate(*n).offset);
    assert_eq!((0..gates).filter(open).count(), MAX_GATES);
}

#[test]
fn a_delegation_holds() {
    let s = stage();
    let first = s.owner.sign(s.capability(RWG));
    let second = s.owner.sign(delegation(&first, s.log, RW));
    assert_eq!(s.last(&[&first, &second]), (None, RW));
}

#[test]
fn d1_a_delegation_comes_from_what_the_grantor_has() {
    let mut s = stage();
    let first = s.owner.sign(s.capability(RWG));
    let second = s.owner.sign(delegation(&first, s.log, RW));
    assert_eq!(s.last(&[&second]), (Some(Flaw::Parent), Rights::NONE), "not here");
    let other = s.world.object(s.owner.id, Rights::NONE);
    let stolen = s.owner.sign(Grant { grantor: other, ..delegation(&first, s.log, RW) });
    assert_eq!(s.last(&[&first, &stolen]), (Some(Flaw::Parent), Rights::NONE), "another's");
    // A mask whose bytes stand where the hash would be looked for is no grant.
    let mut parent = [0; 32];
    parent[..16].copy_from_slice(s.secret.as_bytes());
    let masked = s.owner.sign(Grant { parent, ..delegation(&first, s.log, RW) });
    let context = Context::open(s.log).mask(s.secret, RW).grant(&masked);
    assert_eq!(s.judged(&context), (Some(Flaw::Parent), Rights::NONE), "a mask");
}

#[test]
fn d1_the_parent_holds() {
    let s = stage();
    let first = s.owner.sign(s.capability(RWG));
    let forged = Grant { signature: [1; 64], ..first };
    let second = s.owner.sign(delegation(&forged, s.log, RW));
    assert_eq!(s.last(&[&forged, &second]), (Some(Flaw::Signature), Rights::NONE));
}

#[test]
fn d2_the_grantor_may_pass_it_on() {
    let s = stage();
    let first = s.owner.sign(s.capability(RW));
    let second = s.owner.sign(delegation(&first, s.log, R));
    assert_eq!(s.last(&[&first, &second]), (Some(Flaw::MayNotDelegate), Rights::NONE));
}

#[test]
fn d3_no_more_is_passed_on_and_nothing_else() {
    let mut s = stage();
    let first = s.owner.sign(s.capability(RG));
    let wider = s.owner.sign(delegation(&first, s.log, RW));
    assert_eq!(s.last(&[&first, &wider]), (Some(Flaw::Wider), Rights::NONE));
    let target = s.world.object(s.owner.id, Rights::NONE);
    let other = s.owner.sign(Grant { target, ..delegation(&first, s.log, R) });
    assert_eq!(s.last(&[&first, &other]).0, Some(Flaw::Wider));
}

#[test]
fn d4_no_other_place_is_entered() {
    let s = stage();
    let gate = Gate { offset: DATA_START + 64, length: 64, align: 16 };
    let first = s.owner.sign(Grant { gate, ..s.capability(RXG) });
    let pass = |gate| s.owner.sign(Grant { gate, ..delegation(&first, s.log, RX) });
    for wide in [
        Gate::NONE,
        Gate { offset: gate.offset - 16, ..gate },
        Gate { length: 80, ..gate },
        Gate { offset: gate.offset + 16, ..gate },
        Gate { align: 8, ..gate },
        Gate { offset: gate.offset + 8, length: 16, ..gate },
    ] {
        let second = pass(wide);
        let flaw = Some(Flaw::WiderGate);
        assert_eq!(s.last(&[&first, &second]), (flaw, Rights::NONE), "{wide:?}");
    }
    for narrow in
        [gate, Gate { align: 32, ..gate }, Gate { offset: gate.offset + 16, length: 1, align: 64 }]
    {
        assert_eq!(s.last(&[&first, &pass(narrow)]), (None, RX), "{narrow:?}");
    }
}

#[test]
fn d5_no_longer_time_is_passed_on() {
    let s = stage();
    let first = s.owner.sign(Grant { not_before: 10, expires: 2000, ..s.capability(RG) });
    for (not_before, expires) in [(9, 2000), (10, 2001), (10, 0), (0, 20)] {
        let longer = Grant { not_before, expires, ..delegation(&first, s.log, R) };
        let second = s.owner.sign(longer);
        let flaw = Some(Flaw::WiderTime);
        assert_eq!(s.last(&[&first, &second]), (flaw, Rights::NONE), "{not_before} {expires}");
    }
    let within = s.owner.sign(Grant { expires: 1500, ..delegation(&first, s.log, R) });
    assert_eq!(s.last(&[&first, &within]), (None, R));
}

/// A chain of so many links, the last of which is for `log`.
fn chain(s: &mut Stage, links: usize) -> Vec<Grant> {
    let mut accessors: Vec<_> =
        (1..links).map(|_| s.world.object(s.owner.id, Rights::NONE)).collect();
    accessors.push(s.log);
    let mut grants: Vec<Grant> = Vec::new();
    for accessor in accessors {
        let next = match grants.last() {
            None => capability(s.secret, accessor, RG),
            Some(parent) => delegation(parent, accessor, RG),
        };
        grants.push(s.owner.sign(next));
    }
    grants
}

#[test]
fn d6_a_chain_ends() {
    let mut s = stage();
    for (links, expected) in [(1, None), (8, None), (9, Some(Flaw::Chain))] {
        let grants = chain(&mut s, links);
        let all: Vec<_> = grants.iter().collect();
        assert_eq!(s.last(&all).0, expected, "{links} links");
    }
}

#[test]
fn d6_no_context_twice() {
    let s = stage();
    let first = s.owner.sign(capability(s.secret, s.log, RG));
    let second = s.owner.sign(delegation(&first, s.web, RG));
    let back = s.owner.sign(delegation(&second, s.log, R));
    assert_eq!(s.last(&[&first, &second, &back]).0, Some(Flaw::Chain));
}

#[test]
fn g6_g7_a_chain_is_as_good_as_its_links() {
    let mut s = stage();
    let grants = chain(&mut s, 5);
    let all: Vec<_> = grants.iter().collect();
    for raised in 0..5 {
        let id = if raised == 0 { s.secret } else { grants[raised - 1].accessor };
        s.world.raise(id, 1);
        let (flaw, left) = s.last(&all);
        assert_eq!(flaw, Some(Flaw::Revoked), "link {raised}");
        assert!(!left.contains(R));
        s.world.raise(id, 0);
    }
    assert_eq!(s.last(&all), (None, RG));
}

#[test]
fn c1_a_context_is_its_own() {
    let s = stage();
    let good = Context::open(s.web);
    let stolen = Context { id: s.log, ..good.clone() };
    assert!(matches!(stolen.load(&s.world), Err(Spoiled::Header(_))));
    // The magic, the version, what is reserved, the id, the policy's word.
    for byte in [0, 8, 12, 16, 24, 32, 34, 36, 40, 255] {
        let mut header = good.header;
        header[byte] ^= 4;
        let bad = Context { header, ..good.clone() };
        assert!(matches!(bad.load(&s.world), Err(Spoiled::Header(_))), "byte {byte}");
    }
    let flags = context_flags::KNOWN + 1;
    let odd = Context::new(s.web, Policy { mask: R, flags });
    assert!(matches!(odd.load(&s.world), Err(Spoiled::Header(_))));
    assert!(good.load(&s.world).is_ok());
    assert!(matches!(link::count(meta::kind::CONTEXT + 1, 256), Err(Spoiled::Header(_))));
}

#[test]
fn c2_a_context_is_whole_records() {
    let kind = meta::kind::CONTEXT;
    assert_eq!(link::count(kind, 256), Ok(0));
    assert_eq!(link::count(kind, 256 * (MAX_RECORDS + 1)), Ok(MAX_RECORDS));
    for size in [0, 255, 257, 511, 256 * (MAX_RECORDS + 2), u64::MAX] {
        assert_eq!(link::count(kind, size), Err(Spoiled::Size(size)));
    }
}

#[test]
fn c3_a_record_is_one_of_three() {
    let s = stage();
    let grant = s.owner.sign(s.capability(R));
    let good = Context::open(s.web).empty().grant(&grant).empty();
    assert_eq!(good.load(&s.world).unwrap().links.len(), 1);
    let mut odd = good.clone();
    odd.records[2][..8].copy_from_slice(&CONTEXT_MAGIC.to_le_bytes());
    let magic = FormatError::Magic { what: "context record", found: CONTEXT_MAGIC };
    assert_eq!(odd.load(&s.world).err(), Some(Spoiled::Record(2, magic)));
    // An empty one may hold anything.
    let mut left = good.clone();
    left.records[0][8..].fill(0xff);
    assert!(left.load(&s.world).is_ok());
    for (byte, bits) in [(8, 2), (12, 64), (24, 255), (40, 1)] {
        let mut masked = good.clone().mask(s.secret, R);
        masked.records[3][byte..byte + 8].fill(if byte == 24 { 0 } else { bits });
        assert!(matches!(masked.load(&s.world), Err(Spoiled::Record(3, _))), "byte {byte}");
    }
}

#[test]
fn c4_nothing_is_said_twice() {
    let s = stage();
    let grant = s.owner.sign(s.capability(R));
    let twice = Context::open(s.web).grant(&grant).empty().grant(&grant);
    assert_eq!(twice.load(&s.world).err(), Some(Spoiled::Twice(2)));
    let masks = Context::open(s.web).mask(s.secret, R).mask(s.secret, RW);
    assert_eq!(masks.load(&s.world).err(), Some(Spoiled::Twice(1)));
}

#[test]
fn s2_what_was_verified_is_not_verified_again() {
    let s = stage();
    let first = s.owner.sign(s.capability(R));
    let second = s.owner.sign(s.capability(RW));
    let verifier = Dalek::default();
    let one = Context::open(s.web).grant(&first);
    let before = one.load_after(&s.world, &[], &verifier).unwrap().links;
    assert_eq!(verifier.0.get(), 1);
    let two = one.grant(&second).load_after(&s.world, &before, &verifier).unwrap();
    assert_eq!(verifier.0.get(), 2);
    assert_eq!(two.at(&s.world, 0).allowed(&s.world, s.secret), RW);
    // What was bad is not remembered as good.
    let forged = Grant { signature: [9; 64], ..first };
    let bad = Context::open(s.web).grant(&forged);
    let links = bad.load_after(&s.world, &before, &verifier).unwrap().links;
    let again = bad.load_after(&s.world, &links, &verifier).unwrap();
    assert_eq!(again.links[0].flaw(), Some(Flaw::Signature));
    assert_eq!(verifier.0.get(), 4);
}

#[test]
fn a_long_load_may_be_broken_off() {
    let s = stage();
    let grant = s.owner.sign(s.capability(R));
    let context = Context::open(s.web).grant(&grant).mask(s.secret, R);
    s.world.patience.set(Some(1));
    assert_eq!(context.load(&s.world).err(), Some(Spoiled::Interrupted));
}

#[test]
fn a1_a_proof_is_for_one_pool_context_and_nonce() {
    let mut s = stage();
    let thief = s.world.owner(2);
    let claim = AttachClaim { pool: [1; 16], context: s.web, nonce: [2; 32] };
    let sign = |owner: &Owner| owner.signer.sign(&claim.message()).to_bytes();
    let attaches = |claim: &AttachClaim, signature| {
        claim::attaches(&s.world, &Dalek::default(), claim, &signature)
    };
    assert!(attaches(&claim, sign(&s.owner)));
    assert!(!attaches(&claim, sign(&thief)));
    assert!(!attaches(&AttachClaim { pool: [3; 16], ..claim }, sign(&s.owner)));
    assert!(!attaches(&AttachClaim { context: s.log, ..claim }, sign(&s.owner)));
    assert!(!attaches(&AttachClaim { nonce: [3; 32], ..claim }, sign(&s.owner)));
}

#[test]
fn r1_an_epoch_is_raised_by_the_owner() {
    let mut s = stage();
    let thief = s.world.owner(2);
    let claim = RevokeClaim { object: s.secret, epoch: 5, reserved: 0 };
    let sign = |owner: &Owner, claim: &RevokeClaim| owner.signer.sign(&claim.message()).to_bytes();
    let revokes = |claim: &RevokeClaim, signature| {
        claim::revokes(&s.world, &Dalek::default(), claim, &signature)
    };
    assert!(revokes(&claim, sign(&s.owner, &claim)));
    assert!(!revokes(&claim, sign(&thief, &claim)));
    assert!(!revokes(&RevokeClaim { epoch: 6, ..claim }, sign(&s.owner, &claim)));
    let odd = RevokeClaim { reserved: 1, ..claim };
    assert!(!revokes(&odd, sign(&s.owner, &odd)));
}

/// A private object with a gate, a library, and the two contexts.
struct Figure {
    s: Stage,
    private: Table,
    open: Table,
    confined: Table,
    library: ObjectId,
    gate: Gate,
}

fn figure() -> Figure {
    let mut s = stage();
    let library = s.world.object(s.owner.id, RX);
    let gate = Gate { offset: DATA_START + 64, length: 32, align: 16 };
    let grant = s.owner.sign(Grant { gate, ..s.capability(Rights(RX.0 | RW.0)) });
    let held = Context::open(s.web).mask(library, Rights::NONE).grant(&grant);
    let private = held.load(&s.world).unwrap().at(&s.world, 0);
    let open = Context::open(s.log).load(&s.world).unwrap().at(&s.world, 0);
    let policy = Policy { mask: Rights::ALL, flags: context_flags::CONFINED };
    let confined = Context::new(s.log, policy).load(&s.world).unwrap().at(&s.world, 0);
    Figure { s, private, open, confined, library, gate }
}

impl Figure {
    fn spot(&self, id: ObjectId, at: u64) -> Spot {
        let object = self.s.world.get(id);
        Spot { id, default: object.default_rights(), immutable: false, at }
    }

    fn attempt(&self, access: Access, at: u64, code: Option<Spot>) -> Attempt {
        Attempt { access, on: self.spot(self.s.secret, at), code, alone: true }
    }
}

#[test]
fn a6a_code_is_entered_at_gates() {
    let f = figure();
    let offset = f.gate.offset;
    for (at, expected) in [
        (offset, Ok(())),
        (offset + 16, Ok(())),
        (offset - 16, Err(Stay::NotEntered)),
        (offset + 1, Err(Stay::NotEntered)),
        (offset + 15, Err(Stay::NotEntered)),
        (offset + 32, Err(Stay::NotEntered)),
    ] {
        let attempt = f.attempt(Access::Execute, at, None);
        let got = may_switch(&f.open.rules(), &f.private.rules(), &attempt);
        assert_eq!(got, expected, "at {at:#x}");
    }
}

#[test]
fn a6b_code_goes_only_where_it_may_be() {
    let f = figure();
    let from = f.open.rules();
    let to = f.private.rules();
    let library = Some(f.spot(f.library, DATA_START));
    let load = |code| f.attempt(Access::Read, DATA_START, code);
    assert_eq!(may_switch(&from, &to, &load(library)), Err(Stay::CodeDenied), "confused deputy");
    assert_eq!(may_switch(&from, &to, &load(None)), Ok(()));
    let inside = |at| load(Some(f.spot(f.s.secret, at)));
    assert_eq!(may_switch(&from, &to, &inside(f.gate.offset)), Ok(()));
    assert_eq!(may_switch(&from, &to, &inside(f.gate.offset + 1)), Err(Stay::CodeDenied));
    let attempt = f.attempt(Access::Read, DATA_START, None);
    let library = Attempt { on: f.spot(f.library, DATA_START), ..attempt };
    assert_eq!(may_switch(&to, &f.confined.rules(), &library), Err(Stay::CodeDenied));
}

#[test]
fn a6c_out_of_a_confined_context_only_through_a_gate() {
    let f = figure();
    let (from, to) = (f.confined.rules(), f.private.rules());
    let attempt = |access, at| f.attempt(access, at, None);
    let offset = f.gate.offset;
    assert_eq!(may_switch(&from, &to, &attempt(Access::Execute, offset)), Ok(()));
    let stays = [(Access::Execute, offset + 1), (Access::Read, offset), (Access::Write, offset)];
    for (access, at) in stays {
        assert_eq!(may_switch(&from, &to, &attempt(access, at)), Err(Stay::Confined));
    }
    // What everybody may execute is no gate.
    let library =
        Attempt { on: f.spot(f.library, DATA_START), ..attempt(Access::Execute, DATA_START) };
    assert_eq!(may_switch(&from, &f.open.rules(), &library), Err(Stay::Confined));
}

#[test]
fn a6d_not_while_others_would_gain() {
    let f = figure();
    let attempt = Attempt { alone: false, ..f.attempt(Access::Execute, f.gate.offset, None) };
    let got = may_switch(&f.open.rules(), &f.private.rules(), &attempt);
    assert_eq!(got, Err(Stay::NotAlone));
}

#[test]
fn a6_what_is_not_allowed_there_is_not_switched_for() {
    let f = figure();
    let attempt = f.attempt(Access::Read, DATA_START, None);
    let got = may_switch(&f.private.rules(), &f.open.rules(), &attempt);
    assert_eq!(got, Err(Stay::Denied));
}
