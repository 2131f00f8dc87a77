// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Effective rights against a plain model: SECURITY.md's formula, said again with
//! maps and recursion and without signatures, since the model knows who signed
//! what. Random worlds: owners, contexts, chains of grants, forgeries, masks, epochs.
//! The two have to agree on every object, at every instant, whatever was raised.

#[path = "common/world.rs"]
mod world;

use proptest::prelude::*;
use twz_abi::{
    security::{Gate, Grant, Policy, GRANT_MAGIC},
    ObjectId, Rights, DATA_START,
};
use twz_core::security::link::digest;
use world::*;

const OWNERS: usize = 3;
const TARGETS: usize = 4;
const CONTEXTS: usize = 5;

/// How a grant is made. The numbers are taken modulo what there is.
#[derive(Clone, Debug)]
struct Plan {
    /// A delegation of this earlier grant, or a capability.
    parent: Option<usize>,
    target: usize,
    accessor: usize,
    rights: u32,
    gate: Option<(u64, u64, u32)>,
    times: (u64, u64),
    epoch: u64,
    signer: Signer,
    /// Keep what a delegation has from its parent in these respects.
    like_parent: [bool; 4],
}

#[derive(Clone, Debug)]
enum Signer {
    Right,
    Owner(usize),
    Nobody,
}

#[derive(Clone, Debug)]
struct Scene {
    defaults: [u32; TARGETS],
    owned: [Option<usize>; TARGETS],
    context_owner: [usize; CONTEXTS],
    plans: Vec<Plan>,
    /// Which are in the context that is looked at; the others were never put there.
    present: Vec<bool>,
    masks: Vec<(usize, u32)>,
    policy: u32,
    epochs: [u64; TARGETS + CONTEXTS],
}

fn plan() -> impl Strategy<Value = Plan> {
    let gate = prop::option::weighted(0.4, (0..6u64, 1..6u64, 0..3u32));
    let signer = prop_oneof![
        8 => Just(Signer::Right),
        1 => (0..OWNERS).prop_map(Signer::Owner),
        1 => Just(Signer::Nobody),
    ];
    let mostly = prop::bool::weighted(0.85);
    (
        prop::option::weighted(0.6, any::<prop::sample::Index>()),
        (0..TARGETS, 0..CONTEXTS, prop_oneof![1..64u32, Just(63), Just(37)]),
        gate,
        (0..4u64, 0..6u64),
        0..2u64,
        signer,
        [mostly, mostly, mostly, mostly],
    )
        .prop_map(
            |(parent, (target, accessor, rights), gate, times, epoch, signer, like_parent)| {
                let parent = parent.map(|index| index.index(1 << 20));
                Plan { parent, target, accessor, rights, gate, times, epoch, signer, like_parent }
            },
        )
}

fn scene() -> impl Strategy<Value = Scene> {
    (1..14usize).prop_flat_map(|grants| {
        (
            any::<[u32; TARGETS]>().prop_map(|all| all.map(|bits| bits & 63)),
            prop::array::uniform4(prop::option::weighted(0.9, 0..OWNERS)),
            prop::array::uniform5(0..OWNERS),
            prop::collection::vec(plan(), grants),
            prop::collection::vec(prop::bool::weighted(0.92), grants),
            prop::collection::btree_map(0..TARGETS, 0..64u32, 0..3),
            0..64u32,
            prop::array::uniform9(0..2u64),
        )
            .prop_map(
                |(defaults, owned, context_owner, plans, present, masks, policy, epochs)| {
                    let masks = masks.into_iter().collect();
                    Scene { defaults, owned, context_owner, plans, present, masks, policy, epochs }
                },
            )
    })
}

/// What the model knows of a grant.
struct Fact {
    grant: Grant,
    /// Whose signature it carries.
    signed_by: Option<usize>,
    /// The grant it was made from.
    parent: Option<usize>,
    present: bool,
}

struct Played {
    world: World,
    targets: Vec<ObjectId>,
    contexts: Vec<ObjectId>,
    context_owner: Vec<usize>,
    owned: [Option<usize>; TARGETS],
    facts: Vec<Fact>,
}

fn play(scene: &Scene) -> Played {
    let mut world = World::default();
    let owners: Vec<_> = (0..OWNERS).map(|n| world.owner(n as u8 + 1)).collect();
    let targets: Vec<_> = (0..TARGETS)
        .map(|n| {
            let owner = scene.owned[n].map_or(ObjectId::NULL, |owner| owners[owner].id);
            world.object(owner, Rights(scene.defaults[n]))
        })
        .collect();
    let contexts: Vec<_> = scene
        .context_owner
        .iter()
        .map(|owner| world.object(owners[*owner].id, Rights::NONE))
        .collect();
    let mut facts: Vec<Fact> = Vec::new();
    for (plan, present) in scene.plans.iter().zip(&scene.present) {
        let parent = plan.parent.filter(|_| !facts.is_empty()).map(|n| n % facts.len());
        let mut grant = match parent {
            None => capability(targets[plan.target], contexts[plan.accessor], Rights(plan.rights)),
            Some(n) => {
                let of = facts[n].grant;
                let rights =
                    if plan.like_parent[0] { plan.rights & of.rights } else { plan.rights };
                let rights = if rights == 0 { 1 } else { rights };
                delegation(&of, contexts[plan.accessor], Rights(rights))
            }
        };
        let from_parent = |n: usize| parent.is_some() && plan.like_parent[n];
        if !from_parent(1) {
            grant.gate = match plan.gate {
                Some((offset, length, align)) => {
                    Gate { offset: DATA_START + offset * 8, length: length * 8, align: 8 << align }
                }
                None => Gate::NONE,
            };
        }
        if !Rights(grant.rights).contains(Rights::EXEC) {
            grant.gate = Gate::NONE;
        }
        if !from_parent(2) {
            let (from, to) = plan.times;
            (grant.not_before, grant.expires) = (from, if to <= from { 0 } else { to });
        }
        if !from_parent(3) {
            grant.target = targets[plan.target];
        }
        grant.epoch = plan.epoch;
        let right = match parent {
            None => scene.owned[plan.target],
            Some(n) => contexts
                .iter()
                .position(|id| *id == facts[n].grant.accessor)
                .map(|n| scene.context_owner[n]),
        };
        let signed_by = match plan.signer {
            Signer::Right => right,
            Signer::Owner(owner) => Some(owner),
            Signer::Nobody => None,
        };
        if let Some(owner) = signed_by {
            grant = owners[owner].sign(grant);
        }
        // The same grant twice spoils a context; that has a test of its own.
        let present = *present && !facts.iter().any(|fact| fact.present && fact.grant == grant);
        facts.push(Fact { grant, signed_by, parent, present });
    }
    let (owned, context_owner) = (scene.owned, scene.context_owner.to_vec());
    Played { world, targets, contexts, context_owner, owned, facts }
}

impl Played {
    fn context_number(&self, id: ObjectId) -> usize {
        self.contexts.iter().position(|context| *context == id).unwrap()
    }

    /// Whether a grant is good, with all it comes from: whose chain of contexts
    /// that is, or nothing.
    fn good(&self, n: usize, now: u64, epochs: &[u64]) -> Option<Vec<ObjectId>> {
        let Fact { grant, signed_by, parent, .. } = &self.facts[n];
        // A parent that is not there itself may be there as an equal grant.
        if !self.facts.iter().any(|fact| fact.present && fact.grant == *grant) {
            return None;
        }
        let target = self.targets.iter().position(|id| *id == grant.target).unwrap();
        let alive = grant.not_before <= now && (grant.expires == 0 || now < grant.expires);
        let (signer, epoch, mut chain) = match parent {
            None => (self.owned[target], epochs[target], Vec::new()),
            Some(above) => {
                let of = &self.facts[*above].grant;
                let chain = self.good(*above, now, epochs)?;
                let bits = |rights: u32| (0..6).filter(move |bit| rights >> bit & 1 == 1);
                let passes = bits(of.rights).any(|bit| bit == 5);
                let fewer = bits(grant.rights).all(|bit| of.rights >> bit & 1 == 1);
                let sooner = of.expires == 0 || (grant.expires != 0 && grant.expires <= of.expires);
                let in_gate = (0..1024u64)
                    .map(|n| DATA_START + n)
                    .all(|at| !enters(&grant.gate, at) || enters(&of.gate, at));
                // A gate that happens to admit nothing more, but says so in a
                // way that the rule does not take, is refused: never allowed more.
                let in_gate = in_gate && formally_within(&grant.gate, &of.gate);
                let gated = grant.rights & 4 == 0 || in_gate;
                let same = grant.target == of.target;
                if !(passes
                    && fewer
                    && sooner
                    && gated
                    && same
                    && grant.not_before >= of.not_before)
                {
                    return None;
                }
                let by = self.context_number(grant.grantor);
                (Some(self.context_owner[by]), epochs[TARGETS + by], chain)
            }
        };
        let signed = signer.is_some() && *signed_by == signer;
        if !signed || !alive || grant.epoch < epoch || chain.contains(&grant.accessor) {
            return None;
        }
        chain.push(grant.accessor);
        (chain.len() <= 8).then_some(chain)
    }
}

fn enters(gate: &Gate, at: u64) -> bool {
    gate.length == 0
        || (at >= gate.offset
            && at < gate.offset + gate.length
            && (at - gate.offset) % gate.align == 0)
}

fn formally_within(inner: &Gate, outer: &Gate) -> bool {
    outer.length == 0
        || (inner.length != 0
            && inner.offset >= outer.offset
            && inner.offset + inner.length <= outer.offset + outer.length
            && inner.align >= outer.align
            && (inner.offset - outer.offset) % outer.align == 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 600 }, ..Default::default() })]

    #[test]
    fn rights_are_those_of_the_formula(scene in scene()) {
        let mut played = play(&scene);
        for (id, epoch) in played.targets.iter().chain(&played.contexts).zip(scene.epochs) {
            played.world.objects.get_mut(id).unwrap().epoch = epoch;
        }
        let policy = Policy { mask: Rights(scene.policy), flags: 0 };
        for &id in &played.contexts {
            let mut context = Context::new(id, policy);
            for fact in played.facts.iter().filter(|fact| fact.present) {
                prop_assert_eq!(fact.grant.magic, GRANT_MAGIC);
                context = context.grant(&fact.grant).empty();
            }
            for (target, rights) in &scene.masks {
                context = context.mask(played.targets[*target], Rights(*rights));
            }
            let held = context.load(&played.world).unwrap();
            for now in 0..7 {
                let table = held.at(&played.world, now);
                for (n, target) in played.targets.iter().enumerate() {
                    let mask = scene.masks.iter().find(|(at, _)| *at == n);
                    let mask = mask.map_or(scene.policy, |(_, rights)| *rights);
                    let good: Vec<_> = (0..played.facts.len())
                        .filter(|at| played.facts[*at].grant.accessor == id)
                        .filter(|at| played.facts[*at].grant.target == *target)
                        .filter(|at| played.good(*at, now, &scene.epochs).is_some())
                        .map(|at| played.facts[at].grant)
                        .collect();
                    let granted = good.iter().fold(0, |all, grant| all | grant.rights);
                    let expected = scene.defaults[n] & mask | granted;
                    let got = table.allowed(&played.world, *target);
                    prop_assert_eq!(got.0, expected, "on {} at {}", n, now);
                    for at in (0..64).map(|n| DATA_START + n) {
                        let free = scene.defaults[n] & mask & 4 != 0;
                        let expected = free
                            || good.iter().any(|grant| grant.rights & 4 != 0 && enters(&grant.gate, at));
                        let default = Rights(scene.defaults[n]);
                        let got = table.rules().may_enter(*target, default, at);
                        prop_assert_eq!(got, expected, "gate of {} at {:#x}", n, at);
                    }
                }
            }
        }
    }

    /// Any bytes are read without a panic, and grant nothing that was not signed.
    #[test]
    fn any_bytes_are_a_context_or_are_refused(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        scene in scene(),
    ) {
        let played = play(&scene);
        let id = played.contexts[0];
        let mut context = Context::open(id);
        for fact in played.facts.iter().filter(|fact| fact.present) {
            context = context.grant(&fact.grant);
        }
        let signed: Vec<_> = context.records.clone();
        for (at, byte) in flips {
            let at = at.index((signed.len() + 1) * 256);
            match at.checked_sub(256) {
                None => context.header[at] = byte,
                Some(at) => context.records[at / 256][at % 256] = byte,
            }
        }
        if let Ok(held) = context.load(&played.world) {
            let table = held.at(&played.world, 2);
            let untouched = signed.iter().filter(|old| context.records.contains(old)).count();
            prop_assert!(table.built.grants as usize <= untouched);
        }
    }
}

#[test]
fn a_parent_is_found_by_what_it_says() {
    let mut world = World::default();
    let owner = world.owner(1);
    let (target, web) =
        (world.object(owner.id, Rights::NONE), world.object(owner.id, Rights::NONE));
    let one = owner.sign(capability(target, web, Rights::READ));
    let two = owner.sign(capability(target, web, Rights::WRITE));
    assert_ne!(digest(&one), digest(&two));
    assert_eq!(delegation(&one, target, Rights::READ).parent, digest(&one));
}
