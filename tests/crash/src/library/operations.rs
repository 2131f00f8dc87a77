// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects of a run ([`Pair`]) and the operations on them, each of which may be cut
//! anywhere. Which are cut after which others is `cases`'s, what the objects show `shown`'s.

use twz::{
    DATA_START, Field, Global, Object, ObjectId, Persist, Ptr, Rights, Space, Tx,
    collections::{BTreeMap, HashMap, PtrMap, String as Text, Vec as List},
};

use crate::step;

/// What the objects hold.
#[derive(Persist)]
#[repr(C)]
pub struct Root {
    pub(super) x: Field<u64>,
    pub(super) y: Field<u64>,
    /// Only ever changed in place.
    pub(super) z: Field<u64>,
    pub(super) next: Ptr<Leaf>,
    pub(super) many: [Field<u64>; 20],
    /// More than is copied into a record.
    pub(super) wide: [Field<u64>; 288],
    pub(super) map: HashMap<u64, u64>,
    pub(super) tree: BTreeMap<u64, u64>,
    pub(super) list: List<u64>,
    pub(super) text: Text,
    /// Of whatever leaf. A slot is longer than a line: a key and its pointer are not
    /// durable together by chance.
    pub(super) leaves: PtrMap<Leaf, WIDE>,
    /// A table that is so small that a record has all of it, as it was at first.
    pub(super) few: PtrMap<Leaf, 1>,
}

/// Words of a key of `leaves`.
pub const WIDE: usize = 8;
/// The word of a map that counts its keys.
const LEN: usize = 4;
/// The word of a map that says whether the counts in those before it are right.
const BUSY: usize = 5;
// It begins a line, so that the counts are not durable because it is.
const _: () = assert!((std::mem::offset_of!(Root, leaves) / 8 + BUSY).is_multiple_of(8));

/// What they lead to.
#[derive(Persist)]
#[repr(C)]
pub struct Leaf {
    pub(super) value: Field<u64>,
    pub(super) inverse: Field<u64>,
}

/// The objects of a run.
pub struct Pair {
    pub space: Space,
    pub a: Object<Root>,
    pub b: Object<Root>,
    /// The same, as another process has them, where the case has two.
    pub other: Option<Box<Pair>>,
}

impl Pair {
    fn other(&self) -> twz::Result<&Pair> {
        self.other.as_deref().ok_or(twz::Error::NotInObject)
    }
}

/// What is done to them.
pub type Op = fn(&Pair) -> twz::Result<()>;

/// An object as it is at first.
pub fn root(n: u64) -> Root {
    Root {
        x: Field::new(n),
        y: Field::new(!n),
        z: Field::new(n),
        next: Ptr::null(),
        many: std::array::from_fn(|i| Field::new(i as u64)),
        wide: std::array::from_fn(|_| Field::new(0)),
        map: HashMap::default(),
        tree: BTreeMap::default(),
        list: List::default(),
        text: Text::default(),
        leaves: PtrMap::new(),
        few: PtrMap::new(),
    }
}

fn leaf(n: u64) -> Leaf {
    Leaf { value: Field::new(n), inverse: Field::new(!n) }
}

const UNDONE: twz::Error = twz::Error::Unsupported("this is undone");

/// What was to fail has failed, and for that reason.
fn undone(result: twz::Result<()>) -> twz::Result<()> {
    match result {
        Err(twz::Error::Unsupported(_)) => Ok(()),
        Ok(()) => Err(twz::Error::NotInObject),
        other => other,
    }
}

pub fn set_both(p: &Pair) -> twz::Result<()> {
    set_in_order(p, [p.a.root(), p.b.root()])
}

/// The same, and the objects' places in the log change.
pub fn set_both_reversed(p: &Pair) -> twz::Result<()> {
    set_in_order(p, [p.b.root(), p.a.root()])
}

fn set_in_order(p: &Pair, roots: [&Root; 2]) -> twz::Result<()> {
    p.space.transaction(|tx| {
        roots.into_iter().try_for_each(|root| {
            let n = tx.get(&root.x)?.wrapping_add(7);
            tx.set(&root.x, n)?;
            tx.set(&root.y, !n)
        })
    })
}

pub fn record_in_place(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let root = p.a.root();
        tx.record(&root.many)?;
        for (i, field) in root.many.iter().enumerate() {
            field.set(field.get() + 3 + i as u64)?;
        }
        // What no earlier transaction has written: no replay puts it back.
        tx.record(&root.z)?;
        root.z.set(99)?;
        // The same place once more, and a write beside it.
        tx.record(&root.z)?;
        root.z.set(100)?;
        tx.set(&root.y, 101)
    })
}

pub fn record_much(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let wide = &p.a.root().wide;
        tx.record(wide)?;
        wide.iter().step_by(5).try_for_each(|field| field.set(field.get() + 5))?;
        tx.set(&p.b.root().x, 5)
    })
}

pub fn nested(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        tx.set(&p.a.root().x, 1000)?;
        undone(tx.nested(|tx| {
            tx.set(&p.a.root().x, 2000)?;
            tx.set(&p.b.root().x, 2000)?;
            Err(UNDONE)
        }))?;
        tx.nested(|tx| tx.set(&p.b.root().y, 3000))
    })
}

pub fn nested_in_place(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        tx.set(&p.a.root().x, 1000)?;
        undone(tx.nested(|tx| {
            tx.record(&p.a.root().many)?;
            p.a.root().many[3].set(2000)?;
            p.a.root().many[17].set(2000)?;
            let far = Global { id: ObjectId::from_u128(5 << 64 | 9), offset: DATA_START };
            tx.store_global(&p.b.root().next, far, Rights::READ)?;
            Err(UNDONE)
        }))?;
        tx.nested(|tx| {
            tx.record(&p.b.root().z)?;
            p.b.root().z.set(3000)
        })
    })
}

pub fn abort(p: &Pair) -> twz::Result<()> {
    undone(p.space.transaction(|tx| {
        tx.record(&p.a.root().many)?;
        p.a.root().many[3].set(77)?;
        p.a.root().many[15].set(77)?;
        tx.set(&p.b.root().x, 78)?;
        tx.alloc(&p.a, leaf(1))?;
        Err(UNDONE)
    }))
}

fn another_leaf(p: &Pair, tx: &Tx<'_>, n: u64) -> twz::Result<()> {
    if let Some(old) = tx.follow(&p.a.root().next)? {
        tx.free(&p.a, old)?;
    }
    let new = tx.alloc(&p.a, leaf(n))?;
    tx.store(&p.a.root().next, new)
}

pub fn alloc(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.a, leaf(42))?;
        tx.store(&p.a.root().next, leaf)?;
        tx.set(&p.a.root().x, 42)
    })
}

pub fn alloc_across(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.b, leaf(44))?;
        tx.store(&p.a.root().next, leaf)
    })
}

fn alloc_in_b(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.b, leaf(45))?;
        tx.store(&p.b.root().next, leaf)
    })
}

/// And names the log of the other process.
pub fn b_has_room(p: &Pair) -> twz::Result<()> {
    take_turns(p)?;
    alloc_in_b(p.other()?)
}

/// The heap of one has room, and that of the other has to grow meanwhile.
pub fn alloc_in_both(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let [in_b, in_a] = [tx.alloc(&p.b, leaf(46))?, tx.alloc(&p.a, leaf(47))?];
        tx.store(&p.b.root().next, in_b)?;
        tx.store(&p.a.root().next, in_a)
    })
}

pub fn free(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        if let Some(leaf) = tx.follow(&p.a.root().next)? {
            tx.free(&p.a, leaf)?;
        }
        tx.clear(&p.a.root().next)?;
        tx.set(&p.a.root().x, 43)
    })
}

/// A run of chunks; where it is, is kept.
pub fn alloc_run(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let at = tx.take(&p.a, 100 << 10, 64)?;
        tx.set(&p.a.root().x, at)
    })
}

/// A block that is more than is copied into a record.
pub fn alloc_much(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let at = tx.take(&p.a, 5000, 64)?;
        tx.set(&p.a.root().x, at)
    })
}

/// Gives back what is kept there, a run or not.
pub fn free_run(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        tx.give(&p.a, tx.get(&p.a.root().x)?)?;
        tx.set(&p.a.root().x, 1)
    })
}

const FAR: [ObjectId; 2] = [ObjectId::from_u128(5 << 64 | 6), ObjectId::from_u128(5 << 64 | 7)];

pub fn point_far(p: &Pair) -> twz::Result<()> {
    let far = Global { id: FAR[0], offset: DATA_START };
    p.space.transaction(|tx| {
        tx.store_global(&p.a.root().next, far, Rights::READ)?;
        tx.set(&p.b.root().y, 55)
    })
}

pub fn retarget(p: &Pair) -> twz::Result<()> {
    p.a.retarget(FAR[0], FAR[1]).map(drop)
}

/// All of it in one.
pub fn everything(p: &Pair) -> twz::Result<()> {
    let far = Global { id: FAR[1], offset: DATA_START };
    p.space.transaction(|tx| {
        another_leaf(p, tx, 7)?;
        tx.store_global(&p.b.root().next, far, Rights::READ)?;
        p.b.root().map.insert(&tx.lock(&p.b)?, 70, 71)?;
        tx.record(&p.b.root().z)?;
        p.b.root().z.set(72)?;
        undone(tx.nested(|tx| {
            tx.set(&p.a.root().y, 73)?;
            tx.alloc(&p.b, leaf(8))?;
            Err(UNDONE)
        }))?;
        tx.set(&p.a.root().x, 74)
    })
}

pub fn map_insert(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().map.insert(&p.a.lock()?, key, key * 3).map(drop)
}

pub fn tree_insert(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().tree.insert(&p.a.lock()?, key, key * 3).map(drop)
}

pub fn tree_remove(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().tree.remove(&p.a.lock()?, &key).map(drop)
}

/// So many words of a key of `leaves`: [`WIDE`] of them, or others, which are kept
/// elsewhere than in the table.
fn leaves_key(key: u64, words: usize) -> Vec<u8> {
    key.to_le_bytes().repeat(words)
}

fn leaves_insert_key(p: &Pair, key: u64, words: usize) -> twz::Result<()> {
    let leaf = p.b.alloc(leaf(key))?;
    p.b.persist_value(leaf)?;
    p.a.root().leaves.insert(&p.a.lock()?, &leaves_key(key, words), leaf).map(drop)
}

pub fn leaves_insert(p: &Pair, key: u64) -> twz::Result<()> {
    leaves_insert_key(p, key, WIDE)
}

pub fn leaves_insert_odd(p: &Pair, key: u64) -> twz::Result<()> {
    leaves_insert_key(p, key, WIDE + 1)
}

/// Somebody was killed between a key and its count.
pub fn leaves_miscounted(p: &Pair) -> twz::Result<()> {
    (0..5).try_for_each(|n| leaves_insert(p, n))?;
    let word = |at: usize| (std::mem::offset_of!(Root, leaves) + at * 8) as u64;
    p.a.write(word(LEN), &1u64.to_le_bytes())?;
    p.a.write(word(BUSY), &1u64.to_le_bytes())?;
    p.a.sync()
}

pub fn few_insert_all(p: &Pair, keys: &[u64]) -> twz::Result<()> {
    let leaves = keys.iter().map(|&key| p.a.alloc(leaf(key))).collect::<twz::Result<Vec<_>>>()?;
    leaves.iter().try_for_each(|leaf| p.a.persist_value(*leaf))?;
    let names: Vec<_> = keys.iter().map(|key| key.to_le_bytes()).collect();
    let pairs: Vec<_> = names.iter().map(|name| &name[..]).zip(leaves).collect();
    p.a.root().few.insert_all(&p.a.lock()?, &pairs)
}

/// The leaf is in the same object: what leads to it needs no entry of the FOT.
pub fn few_insert(p: &Pair, key: u64) -> twz::Result<()> {
    let leaf = p.a.alloc(leaf(key))?;
    p.a.persist_value(leaf)?;
    p.a.root().few.insert(&p.a.lock()?, &key.to_le_bytes(), leaf).map(drop)
}

/// Some that are there, some that are not, and one that comes twice.
pub fn leaves_insert_all(p: &Pair, keys: &[u64]) -> twz::Result<()> {
    let leaves = keys.iter().map(|&key| p.b.alloc(leaf(key))).collect::<twz::Result<Vec<_>>>()?;
    leaves.iter().try_for_each(|leaf| p.b.persist_value(*leaf))?;
    let words = |key: u64| if key.is_multiple_of(7) { WIDE + 1 } else { WIDE };
    let names: Vec<_> = keys.iter().map(|&key| leaves_key(key % 1000, words(key))).collect();
    let pairs: Vec<_> = names.iter().map(Vec::as_slice).zip(leaves).collect();
    p.a.root().leaves.insert_all(&p.a.lock()?, &pairs)
}

pub fn leaves_remove(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().leaves.remove(&p.a.lock()?, &leaves_key(key, WIDE)).map(drop)
}

pub fn push(p: &Pair) -> twz::Result<()> {
    p.a.root().list.push(&p.a.lock()?, p.a.root().list.len()? * 5)
}

pub fn write_text(p: &Pair) -> twz::Result<()> {
    p.a.root().text.push_str(&p.a.lock()?, "data outlives programs, ")
}

/// A word by hand, which a transaction has written before.
pub fn persist(p: &Pair) -> twz::Result<()> {
    p.a.root().x.set(11)?;
    p.a.persist_value(&p.a.root().x)
}

pub fn sync(p: &Pair) -> twz::Result<()> {
    p.a.root().x.set(12)?;
    p.a.sync()
}

/// Words that no transaction has written: nothing but this makes them durable.
pub fn persist_another(p: &Pair) -> twz::Result<()> {
    p.a.root().z.set(13)?;
    p.a.persist_value(&p.a.root().z)
}

pub fn flush_and_fence(p: &Pair) -> twz::Result<()> {
    p.a.root().many[19].set(14)?;
    p.a.flush(0, size_of::<Root>() as u64)?;
    p.space.fence();
    Ok(())
}

/// A word that the log has, too.
pub fn flush_and_fence_x(p: &Pair) -> twz::Result<()> {
    p.a.root().x.set(16)?;
    p.a.flush(0, 8)?;
    p.space.fence();
    Ok(())
}

pub fn sync_another(p: &Pair) -> twz::Result<()> {
    p.a.root().many[18].set(15)?;
    p.a.sync()
}

/// Far more than a log has room for at first, part of it recorded before.
pub fn grow_log(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let root = p.a.root();
        tx.record(&root.z)?;
        root.z.set(root.z.get() + 1)?;
        tx.record(&root.wide)?;
        root.wide.iter().step_by(7).try_for_each(|field| field.set(field.get() + 7))
    })
}

/// So many transactions that there is room in the log for one [`set_both`], and
/// not for two.
pub fn fill_log(p: &Pair) -> twz::Result<()> {
    for _ in 0..27 {
        p.space.transaction(|tx| p.a.root().wide.iter().try_for_each(|word| tx.set(word, 0)))?;
    }
    (0..22).try_for_each(|_| set_both(p))
}

/// So many places of the log's table taken that the next transaction empties it.
pub fn fill_table(p: &Pair) -> twz::Result<()> {
    (0..256).try_for_each(|_| {
        set_both(p)?;
        p.a.persist_value(&p.a.root().x)?;
        p.b.persist_value(&p.b.root().x)
    })?;
    set_both(p)
}

/// Both objects in the log of one, then of the other, and of the first again: so
/// each has mapped both logs.
pub fn take_turns(p: &Pair) -> twz::Result<()> {
    set_both(p.other()?)?;
    set_both(p)
}

/// Each has an object in its own log.
pub fn one_each(p: &Pair) -> twz::Result<()> {
    take_turns(p)?;
    set_b(p.other()?)
}

/// Leaves the object in place as it was while it is open.
fn change_a(p: &Pair, meanwhile: Op) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let root = p.a.root();
        tx.record(&root.many)?;
        root.many[2].set(201)?;
        meanwhile(p.other()?)?;
        root.many[18].set(202)?;
        tx.set(&root.y, 203)
    })
}

pub fn set_a(p: &Pair) -> twz::Result<()> {
    change_a(p, |_| Ok(()))
}

fn set_b(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let root = p.b.root();
        tx.record(&root.z)?;
        root.z.set(root.z.get() + 301)?;
        tx.set(&root.x, 302)
    })
}

pub fn other_sets_b(p: &Pair) -> twz::Result<()> {
    set_b(p.other()?)
}

pub fn other_sets_both(p: &Pair) -> twz::Result<()> {
    set_both(p.other()?)
}

pub fn other_records(p: &Pair) -> twz::Result<()> {
    record_in_place(p.other()?)
}

/// [`other_sets_b`] and [`set_a`]: the second is open all the while.
pub fn b_within_a(p: &Pair) -> twz::Result<()> {
    change_a(p, |other| {
        set_b(other)?;
        step::done();
        Ok(())
    })?;
    step::done();
    Ok(())
}

/// The same, and the one that is open is undone in the end.
pub fn b_within_what_is_undone(p: &Pair) -> twz::Result<()> {
    undone(change_a(p, |other| {
        set_b(other)?;
        step::done();
        Err(UNDONE)
    }))?;
    step::done();
    Ok(())
}

pub fn nothing(_: &Pair) -> twz::Result<()> {
    Ok(())
}
