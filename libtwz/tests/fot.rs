// SPDX-License-Identifier: MIT OR Apache-2.0
//! The FOT against a plain model: whatever is stored, bound, retargeted and
//! reopened, every pointer leads where the model says, equal references share
//! an entry, and an index never comes to mean something that was not asked for.

mod common;

use std::collections::HashMap;

use common::TempPool;
use proptest::prelude::*;
use twz::{Field, Global, Object, ObjectId, Persist, Ptr, PtrSlice, Rights, Space};

const SPOKES: usize = 12;
const TARGETS: usize = 8;

#[derive(Persist)]
#[repr(C)]
struct Leaf {
    value: Field<u64>,
}

#[derive(Persist)]
#[repr(C)]
struct Hub {
    spokes: PtrSlice<Ptr<Leaf>>,
}

#[derive(Clone, Debug)]
enum Step {
    Store { spoke: usize, target: usize },
    StoreRights { spoke: usize, target: usize, write: bool },
    StoreName { spoke: usize, name: usize },
    Bind { name: usize, target: usize },
    Retarget { from: usize, to: usize },
    Clear { spoke: usize },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SPOKES, 0..TARGETS).prop_map(|(spoke, target)| Step::Store { spoke, target }),
        3 => (0..SPOKES, 0..TARGETS, any::<bool>())
            .prop_map(|(spoke, target, write)| Step::StoreRights { spoke, target, write }),
        2 => (0..SPOKES, 0..3usize).prop_map(|(spoke, name)| Step::StoreName { spoke, name }),
        2 => (0..3usize, 0..TARGETS).prop_map(|(name, target)| Step::Bind { name, target }),
        2 => (0..TARGETS, 0..TARGETS).prop_map(|(from, to)| Step::Retarget { from, to }),
        1 => (0..SPOKES).prop_map(|spoke| Step::Clear { spoke }),
        1 => Just(Step::Reopen),
    ]
}

/// Where a spoke leads, as the model has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leads {
    Nowhere,
    To(usize),
    ByName(usize),
}

struct World {
    path: std::path::PathBuf,
    space: Space,
    hub: Object<Hub>,
    leaves: Vec<Object<Leaf>>,
    spokes: [Leads; SPOKES],
    names: [usize; 3],
}

impl World {
    fn new(pool: &TempPool) -> Self {
        let path = pool.path();
        let space = pool.open();
        let hub = space.create(Hub { spokes: PtrSlice::empty() }).unwrap();
        hub.root().spokes.store(hub.alloc_slice(SPOKES as u64, |_| Ptr::null()).unwrap()).unwrap();
        let leaves: Vec<_> = (0..TARGETS)
            .map(|i| space.create(Leaf { value: Field::new(i as u64) }).unwrap())
            .collect();
        for (name, leaf) in leaves.iter().take(3).enumerate() {
            space.bind(&format!("n{name}"), leaf.id()).unwrap();
        }
        Self { path, space, hub, leaves, spokes: [Leads::Nowhere; SPOKES], names: [0, 1, 2] }
    }

    fn apply(&mut self, step: &Step) {
        let global = |id: ObjectId| Global { id, offset: 4096 };
        let spoke = |i: usize| &self.hub.root().spokes.lea().unwrap()[i];
        match *step {
            Step::Store { spoke: i, target } => {
                spoke(i).store(self.leaves[target].root()).unwrap();
                self.spokes[i] = Leads::To(target);
            }
            Step::StoreRights { spoke: i, target, write } => {
                let rights = if write { Rights(3) } else { Rights::READ };
                spoke(i).store_global(global(self.leaves[target].id()), rights).unwrap();
                self.spokes[i] = Leads::To(target);
            }
            Step::StoreName { spoke: i, name } => {
                spoke(i).store_name(&format!("n{name}"), 4096, Rights::READ).unwrap();
                self.spokes[i] = Leads::ByName(name);
            }
            Step::Bind { name, target } => {
                self.space.bind(&format!("n{name}"), self.leaves[target].id()).unwrap();
                self.names[name] = target;
            }
            Step::Retarget { from, to } => {
                self.hub.retarget(self.leaves[from].id(), self.leaves[to].id()).unwrap();
                for leads in &mut self.spokes {
                    if *leads == Leads::To(from) {
                        *leads = Leads::To(to);
                    }
                }
            }
            Step::Clear { spoke: i } => {
                spoke(i).clear().unwrap();
                self.spokes[i] = Leads::Nowhere;
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn reopen(&mut self) {
        let (hub, leaves): (_, Vec<_>) =
            (self.hub.id(), self.leaves.iter().map(Object::id).collect());
        let space = Space::open(&self.path).unwrap();
        self.hub = space.open_object(hub).unwrap();
        self.leaves = leaves.into_iter().map(|id| space.open_object(id).unwrap()).collect();
        self.space = space;
    }

    fn check(&self) {
        let mut targets: HashMap<u32, usize> = HashMap::new();
        for (i, spoke) in self.hub.root().spokes.lea().unwrap().iter().enumerate() {
            let expected = match self.spokes[i] {
                Leads::Nowhere => {
                    assert!(spoke.is_null());
                    continue;
                }
                Leads::To(target) => target,
                Leads::ByName(name) => self.names[name],
            };
            assert_eq!(spoke.lea().unwrap().value.get(), expected as u64, "spoke {i}");
            assert_eq!(spoke.global().unwrap().id, self.leaves[expected].id());
            // One index, one target.
            assert_eq!(*targets.entry(spoke.bits().index()).or_insert(expected), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn pointers_lead_where_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        let pool = TempPool::new();
        let mut world = World::new(&pool);
        for step in &steps {
            world.apply(step);
            world.check();
        }
    }
}

#[test]
fn the_fot_and_the_data_never_meet() {
    let pool = TempPool::new();
    let space = pool.open();
    let hub = space.create(Leaf { value: Field::new(0) }).unwrap();
    let pointer = hub.alloc(Ptr::<Leaf>::null()).unwrap();
    // All but two pages are data: the tail page's entries still fit, more do not.
    hub.resize(twz_max_data()).unwrap();
    let store = |i: u128| {
        let id = ObjectId::from_u128((i + 1) << 64 | (i + 1));
        pointer.store_global(Global { id, offset: 4096 }, Rights::READ)
    };
    for i in 0..112 {
        store(i).unwrap();
    }
    assert!(matches!(store(112), Err(twz::Error::ObjectFull { .. })));
    store(50).unwrap();
    hub.resize(1 << 20).unwrap();
    for i in 112..400 {
        store(i).unwrap();
    }
    // And the other way round: the FOT's pages are not given to the data.
    let grown = hub.resize(twz_max_data());
    assert!(matches!(grown, Err(twz::Error::ObjectFull { .. })), "{grown:?}");
    hub.resize(twz_max_data() - 8 * 4096).unwrap();
}

fn twz_max_data() -> u64 {
    (1 << 30) - 2 * 4096
}
