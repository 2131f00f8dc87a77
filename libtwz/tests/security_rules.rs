// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each rule about grants and contexts broken alone, in what is otherwise right: what
//! it grants is refused, and `why` names the rule.

mod common;
#[path = "common/world.rs"]
mod world;

use twz::{
    DATA_START, Error, NewObject, ObjectId, Rights, Space,
    security::{
        Context, DEFAULT, Flaw, Gate, Grant, KeyPair, Policy, Spoiled, Terms, digest, now, sign,
        why,
    },
};
use twz_abi::{FormatError, reason};
use world::{NONE, R, RW, W, World, reason};

const RG: Rights = Rights(1 | 32);
const X: Rights = Rights::EXEC;

/// Loads a context, and says whether it allows to read an object by a grant, and if
/// not by which rule; what may be done agrees with what is said.
fn verdict(world: &World, context: &Context<'_>, grant: &Grant) -> Result<(), Flaw> {
    world.space.load(context.id()).unwrap();
    let why = why(world.backend(), context.id(), grant.target);
    let found = match why {
        // G3: there is no such object to ask about.
        Err(Error::NoObject(_)) => return Err(Flaw::Target),
        why => why.unwrap(),
    };
    world.act_in(context.id());
    let may = world.may(grant.target).0;
    world.space.switch(DEFAULT).unwrap();
    world.space.detach(context.id()).unwrap();
    assert_eq!(may, found.allowed.contains(R));
    let link = found.grants.iter().find(|link| link.hash == digest(grant)).unwrap();
    if Rights(grant.rights).contains(R) {
        assert_eq!(may, link.flaw.is_none());
    }
    link.flaw.map_or(Ok(()), Err)
}

/// What becomes of a capability to read that is altered in some way before it is
/// signed, and after.
fn altered(before: impl Fn(&mut Grant), after: impl Fn(&mut Grant)) -> Result<(), Flaw> {
    let world = World::new();
    let (object, context) = (world.object(NONE), world.open_context());
    let mut grant = Terms::new(object, R).unsigned(context.id(), 0);
    before(&mut grant);
    let mut grant = sign(grant, &world.key);
    after(&mut grant);
    context.add(&grant).unwrap();
    verdict(&world, &context, &grant)
}

#[test]
fn g1_to_g7_of_a_capability() {
    let as_it_is = |_: &mut Grant| {};
    let hour = 3_600_000_000_000;
    let other = ObjectId::from_u128(5 << 64 | 5);
    assert_eq!(altered(as_it_is, as_it_is), Ok(()));
    assert_eq!(altered(|g| g.not_before = now() - hour, as_it_is), Ok(()));
    assert_eq!(altered(|g| g.expires = now() + hour, as_it_is), Ok(()));
    assert_eq!(altered(|g| g.epoch = 9, as_it_is), Ok(()));
    // G1: signed, and still not a grant.
    assert_eq!(altered(|g| g.rights |= 64, as_it_is), Err(Flaw::Shape));
    assert_eq!(altered(|g| g.version = 2, as_it_is), Err(Flaw::Shape));
    assert_eq!(altered(|g| g.reserved[3] = 1, as_it_is), Err(Flaw::Shape));
    assert_eq!(altered(|g| g.parent[0] = 1, as_it_is), Err(Flaw::Shape));
    let gate = Gate { offset: 4096, length: 8, align: 8 };
    assert_eq!(altered(|g| g.gate = gate, as_it_is), Err(Flaw::Shape));
    // G2, G3.
    assert_eq!(altered(|g| g.accessor = other, as_it_is), Err(Flaw::Accessor));
    assert_eq!(altered(|g| g.target = other, as_it_is), Err(Flaw::Target));
    // G5: every byte is signed, of the signature too.
    assert_eq!(altered(as_it_is, |g| g.rights |= 2), Err(Flaw::Signature));
    assert_eq!(altered(as_it_is, |g| g.expires = now() + hour), Err(Flaw::Signature));
    for at in [0, 31, 32, 63] {
        assert_eq!(altered(as_it_is, |g| g.signature[at] ^= 1), Err(Flaw::Signature));
    }
    // G6.
    assert_eq!(altered(|g| g.not_before = now() + hour, as_it_is), Err(Flaw::NotYet));
    assert_eq!(altered(|g| g.expires = now() - hour, as_it_is), Err(Flaw::Expired));
}

#[test]
fn g4_g5_who_signs() {
    let world = World::new();
    let context = world.open_context();
    let with_owner = |owner: ObjectId, key: &KeyPair| {
        let new = NewObject { owner, default_rights: NONE, size: 64, ..NewObject::default() };
        let object = world.backend().create(&new).unwrap();
        let grant = sign(Terms::new(object, R).unsigned(context.id(), 0), key);
        context.add(&grant).unwrap();
        verdict(&world, &context, &grant)
    };
    assert_eq!(with_owner(world.owner, &world.key), Ok(()));
    assert_eq!(with_owner(world.owner, &KeyPair::generate().unwrap()), Err(Flaw::Signature));
    assert_eq!(with_owner(ObjectId::NULL, &world.key), Err(Flaw::Signature));
    // No key object at all, and one that is a key but could be changed.
    assert_eq!(with_owner(ObjectId::from_u128(9 << 64 | 9), &world.key), Err(Flaw::Key));
    let key = twz::security::Key::new(world.key.public());
    let mutable = world.backend().create(&NewObject { size: 64, ..NewObject::default() }).unwrap();
    let bytes = zerocopy::IntoBytes::as_bytes(&key);
    world.backend().write(mutable, DATA_START, bytes).unwrap();
    assert_eq!(with_owner(mutable, &world.key), Err(Flaw::Key));
    // One who does not own it is told so before.
    let object = world.object(NONE);
    let stranger = KeyPair::generate().unwrap();
    let refused = context.grant(&Terms::new(object, R), &stranger);
    assert!(matches!(refused, Err(Error::NotOwner { id, .. }) if id == object));
}

#[test]
fn g7_what_it_hangs_on_is_at_a_later_epoch() {
    let world = World::new();
    let (object, context) = (world.object(NONE), world.open_context());
    world.space.revoke(object, 4, &world.key).unwrap();
    for (epoch, verdict_is) in [(3, Err(Flaw::Revoked)), (4, Ok(())), (5, Ok(()))] {
        let grant = sign(Terms::new(object, R).unsigned(context.id(), epoch), &world.key);
        context.add(&grant).unwrap();
        assert_eq!(verdict(&world, &context, &grant), verdict_is, "epoch {epoch}");
        context.remove(&digest(&grant)).unwrap();
    }
}

/// What becomes of a delegation that is altered before it is signed; the capability
/// it comes from is altered, too.
fn delegated(parent: impl Fn(&mut Grant), child: impl Fn(&mut Grant, &World)) -> Result<(), Flaw> {
    let world = World::new();
    let (object, from, to) = (world.object(NONE), world.open_context(), world.open_context());
    let mut capability = Terms::new(object, RG | X).unsigned(from.id(), 0);
    parent(&mut capability);
    let capability = sign(capability, &world.key);
    from.add(&capability).unwrap();
    let mut grant = Terms::new(object, R).unsigned(to.id(), 0);
    (grant.grantor, grant.parent) = (from.id(), digest(&capability));
    child(&mut grant, &world);
    let grant = sign(grant, &world.key);
    to.add(&capability).unwrap();
    to.add(&grant).unwrap();
    verdict(&world, &to, &grant)
}

#[test]
fn d1_to_d5_of_a_delegation() {
    let same = |_: &mut Grant| {};
    let hour = 3_600_000_000_000;
    let gate = |offset, length, align| Gate { offset, length, align };
    let through = |g: &mut Grant, gate| (g.rights, g.gate) = ((R | X).0, gate);
    assert_eq!(delegated(same, |_, _| {}), Ok(()));
    // D1.
    assert_eq!(delegated(same, |g, _| g.parent[0] ^= 1), Err(Flaw::Parent));
    let other_grantor = |g: &mut Grant, world: &World| g.grantor = world.open_context().id();
    assert_eq!(delegated(same, other_grantor), Err(Flaw::Parent));
    // D2.
    assert_eq!(delegated(|p| p.rights = R.0, |_, _| {}), Err(Flaw::MayNotDelegate));
    // D3.
    assert_eq!(delegated(same, |g, _| g.rights = RW.0), Err(Flaw::Wider));
    assert_eq!(delegated(same, |g, world| g.target = world.object(NONE)), Err(Flaw::Wider));
    // D4.
    let wide = |p: &mut Grant| p.gate = gate(4096, 64, 16);
    assert_eq!(delegated(wide, |g, _| through(g, gate(4112, 32, 16))), Ok(()));
    for bad in [gate(4104, 16, 16), gate(4112, 64, 16), gate(4112, 16, 8), Gate::NONE] {
        assert_eq!(delegated(wide, |g, _| through(g, bad)), Err(Flaw::WiderGate), "{bad:?}");
    }
    // D5.
    let soon = now() + hour;
    let ends = |p: &mut Grant| p.expires = soon;
    assert_eq!(delegated(ends, |g, _| g.expires = soon - 1), Ok(()));
    assert_eq!(delegated(ends, |g, _| g.expires = soon + 1), Err(Flaw::WiderTime));
    assert_eq!(delegated(ends, |_, _| {}), Err(Flaw::WiderTime));
    assert_eq!(delegated(|p| p.not_before = 5, |g, _| g.not_before = 4), Err(Flaw::WiderTime));
    // G7 of a delegation is about the grantor.
    let raise = |g: &mut Grant, world: &World| {
        world.space.revoke(g.grantor, 1, &world.key).unwrap();
    };
    assert_eq!(delegated(same, raise), Err(Flaw::Revoked));
}

#[test]
fn d6_chains_have_eight_links_and_no_circle() {
    let world = World::new();
    let object = world.object(NONE);
    let contexts: Vec<_> = (0..9).map(|_| world.open_context()).collect();
    let mut last = contexts[0].grant(&Terms::new(object, RG), &world.key).unwrap();
    for pair in contexts.windows(2).take(7) {
        let terms = Terms::new(object, RG);
        last = pair[0].delegate(&pair[1], &terms, Some(digest(&last)), &world.key).unwrap();
    }
    // A capability and seven delegations.
    assert_eq!(verdict(&world, &contexts[7], &last), Ok(()));
    let found = why(world.backend(), contexts[7].id(), object).unwrap();
    let link = found.grants.iter().find(|link| link.hash == digest(&last)).unwrap();
    assert_eq!(link.chain.len(), 7);
    assert!(link.chain.iter().all(|link| link.flaw.is_none()), "{:#?}", link.chain);
    // The ninth link is refused where it is made, and where it is made all the same.
    let one_more = contexts[7].delegate(&contexts[8], &Terms::new(object, R), None, &world.key);
    assert!(matches!(one_more, Err(Error::NotOwner { .. })), "{one_more:?}");
    let terms = Terms::new(object, R);
    let grant = terms.delegation(&contexts[7], &last, contexts[8].id(), &world.key).unwrap();
    for entry in contexts[7].grants().unwrap() {
        contexts[8].add(&entry.record).unwrap();
    }
    contexts[8].add(&grant).unwrap();
    assert_eq!(verdict(&world, &contexts[8], &grant), Err(Flaw::Chain));
    // Back to a context that is in the chain already.
    let back = contexts[1].delegate(&contexts[0], &Terms::new(object, R), None, &world.key);
    let found = why(world.backend(), contexts[0].id(), object).unwrap();
    let hash = digest(&back.unwrap());
    let link = found.grants.iter().find(|link| link.hash == hash).unwrap();
    assert_eq!(link.flaw, Some(Flaw::Chain));
    assert_eq!(world.space.load(contexts[0].id()).unwrap(), (1, 2));
}

#[test]
fn what_a_delegation_comes_from_can_be_taken_back() {
    let world = World::new();
    let (object, from, to) = (world.object(NONE), world.open_context(), world.open_context());
    let capability = from.grant(&Terms::new(object, RG), &world.key).unwrap();
    let grant = from.delegate(&to, &Terms::new(object, R), None, &world.key).unwrap();
    assert_eq!(verdict(&world, &to, &grant), Ok(()));
    assert!(to.remove(&digest(&capability)).unwrap());
    assert_eq!(verdict(&world, &to, &grant), Err(Flaw::Parent));
    to.accept(&grant, &from).unwrap();
    assert_eq!(verdict(&world, &to, &grant), Ok(()));
    world.space.revoke(object, 1, &world.key).unwrap();
    assert_eq!(verdict(&world, &to, &grant), Err(Flaw::Revoked));
}

/// Attaches, spoils the context, and sees it refused, and what was loaded go on.
fn spoil(act: impl Fn(&World, &Context<'_>)) -> Option<Spoiled> {
    let world = World::new();
    let (object, context) = (world.object(NONE), world.open_context());
    context.grant(&Terms::new(object, R), &world.key).unwrap();
    world.space.attach(context.id()).unwrap();
    act(&world, &context);
    let space: &Space = &world.space;
    let why_not = match space.load(context.id()) {
        Err(Error::Context { id, reason: reason::BAD_CONTEXT, spoiled }) if id == context.id() => {
            spoiled
        }
        other => panic!("{other:?}"),
    };
    space.switch(context.id()).unwrap();
    assert!(world.may(object).0, "what was loaded before went");
    space.switch(DEFAULT).unwrap();
    space.detach(context.id()).unwrap();
    assert_eq!(reason(space.attach(context.id())), reason::BAD_CONTEXT);
    why_not
}

#[test]
fn c1_to_c4_a_context_that_is_not_whole() {
    let write = |world: &World, context: &Context<'_>, at: u64, bytes: &[u8]| {
        world.backend().write(context.id(), DATA_START + at, bytes).unwrap();
    };
    let on_kernel = common::pool::on_kernel();
    let check = |spoiled: Option<Spoiled>, right: fn(&Spoiled) -> bool| {
        assert!(on_kernel || spoiled.as_ref().is_some_and(right), "{spoiled:?}");
    };
    let header = |spoiled: &Spoiled| matches!(spoiled, Spoiled::Header(_));
    check(spoil(|w, c| write(w, c, 0, &[0])), header);
    check(spoil(|w, c| write(w, c, 8, &[2])), header);
    check(spoil(|w, c| write(w, c, 16, &[0; 16])), header);
    check(spoil(|w, c| write(w, c, 32, &[0x55])), header);
    check(spoil(|w, c| write(w, c, 100, &[1])), header);
    let size = |spoiled: &Spoiled| matches!(spoiled, Spoiled::Size(_));
    check(spoil(|w, c| w.backend().resize(c.id(), 511).unwrap()), size);
    check(spoil(|w, c| w.backend().resize(c.id(), 0).unwrap()), size);
    let many = (twz::security::MAX_RECORDS + 2) * 256;
    check(spoil(|w, c| w.backend().resize(c.id(), many).unwrap()), size);
    check(spoil(|w, c| write(w, c, 256, b"TWZGRNT2")), |spoiled| {
        matches!(spoiled, Spoiled::Record(0, FormatError::Magic { .. }))
    });
    let twice = |spoiled: &Spoiled| matches!(spoiled, Spoiled::Twice(1));
    check(
        spoil(|w, c| {
            let mut record = [0; 256];
            w.backend().read(c.id(), DATA_START + 256, &mut record).unwrap();
            w.backend().resize(c.id(), 768).unwrap();
            write(w, c, 512, &record);
        }),
        twice,
    );
}

#[test]
fn two_masks_for_one_object_and_another_kind() {
    let world = World::new();
    let context = world.open_context();
    context.set_mask(world.owner, R).unwrap();
    let mut record = [0; 256];
    world.backend().read(context.id(), DATA_START + 256, &mut record).unwrap();
    world.backend().resize(context.id(), 768).unwrap();
    record[12] = W.0 as u8;
    world.backend().write(context.id(), DATA_START + 512, &record).unwrap();
    assert_eq!(reason(world.space.attach(context.id())), reason::BAD_CONTEXT);
    let bytes = world.object(RW | Rights::USE);
    assert_eq!(reason(world.space.attach(bytes)), reason::BAD_CONTEXT);
    // A whole context's bytes, under another id (C1).
    let new = NewObject { kind: twz::kind::CONTEXT, ..NewObject::default() };
    let copy = world.backend().copy(world.open_context().id(), &new).unwrap();
    assert_eq!(reason(world.space.attach(copy)), reason::BAD_CONTEXT);
}

#[test]
fn a_policy_is_what_it_was_set_to() {
    let world = World::new();
    let (object, context) = (world.object(RW), world.open_context());
    world.act_in(context.id());
    assert_eq!(world.may(object), (true, true));
    context.set_policy(Policy { mask: R, flags: 0 }).unwrap();
    assert_eq!(context.policy().unwrap(), Policy { mask: R, flags: 0 });
    world.space.load(context.id()).unwrap();
    assert_eq!(world.may(object), (true, false));
    assert!(context.set_policy(Policy { mask: R, flags: 64 }).is_err());
}
