// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is cut: the objects of a run ([`Pair`]), the operations on them
//! ([`CASES`]), and what they show ([`view`]).

use twz::{
    DATA_START, Field, Global, Object, ObjectId, Persist, Ptr, Rights, Space, Tx,
    collections::{BTreeMap, HashMap, PtrMap, String as Text, Vec as List},
};

use crate::step;

/// What the objects hold.
#[derive(Persist)]
#[repr(C)]
pub struct Root {
    x: Field<u64>,
    y: Field<u64>,
    /// Only ever changed in place.
    z: Field<u64>,
    next: Ptr<Leaf>,
    many: [Field<u64>; 20],
    /// More than is copied into a record.
    wide: [Field<u64>; 288],
    map: HashMap<u64, u64>,
    tree: BTreeMap<u64, u64>,
    list: List<u64>,
    text: Text,
    /// Of whatever leaf.
    leaves: PtrMap<Leaf, 1>,
}

/// What they lead to.
#[derive(Persist)]
#[repr(C)]
pub struct Leaf {
    value: Field<u64>,
    inverse: Field<u64>,
}

/// The objects of a run.
pub struct Pair {
    pub space: Space,
    pub a: Object<Root>,
    pub b: Object<Root>,
}

type Op = fn(&Pair) -> twz::Result<()>;

/// Something to cut.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it counts for.
    pub operation: &'static str,
    pub setup: Op,
    pub ops: &'static [Op],
}

const fn case(operation: &'static str, name: &'static str, setup: Op, ops: &'static [Op]) -> Case {
    Case { name, operation, setup, ops }
}

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
    p.space.transaction(|tx| {
        for root in [p.a.root(), p.b.root()] {
            let n = tx.get(&root.x)? + 7;
            tx.set(&root.x, n)?;
            tx.set(&root.y, !n)?;
        }
        Ok(())
    })
}

fn record_in_place(p: &Pair) -> twz::Result<()> {
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

fn record_much(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let wide = &p.a.root().wide;
        tx.record(wide)?;
        wide.iter().step_by(5).try_for_each(|field| field.set(field.get() + 5))?;
        tx.set(&p.b.root().x, 5)
    })
}

fn nested(p: &Pair) -> twz::Result<()> {
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

fn nested_in_place(p: &Pair) -> twz::Result<()> {
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

fn abort(p: &Pair) -> twz::Result<()> {
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

fn alloc(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.a, leaf(42))?;
        tx.store(&p.a.root().next, leaf)?;
        tx.set(&p.a.root().x, 42)
    })
}

fn alloc_across(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.b, leaf(44))?;
        tx.store(&p.a.root().next, leaf)
    })
}

fn free(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        if let Some(leaf) = tx.follow(&p.a.root().next)? {
            tx.free(&p.a, leaf)?;
        }
        tx.clear(&p.a.root().next)?;
        tx.set(&p.a.root().x, 43)
    })
}

/// A run of chunks; where it is, is kept.
fn alloc_run(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let at = tx.take(&p.a, 100 << 10, 64)?;
        tx.set(&p.a.root().x, at)
    })
}

fn free_run(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        tx.give(&p.a, tx.get(&p.a.root().x)?)?;
        tx.set(&p.a.root().x, 1)
    })
}

const FAR: [ObjectId; 2] = [ObjectId::from_u128(5 << 64 | 6), ObjectId::from_u128(5 << 64 | 7)];

fn point_far(p: &Pair) -> twz::Result<()> {
    let far = Global { id: FAR[0], offset: DATA_START };
    p.space.transaction(|tx| {
        tx.store_global(&p.a.root().next, far, Rights::READ)?;
        tx.set(&p.b.root().y, 55)
    })
}

fn retarget(p: &Pair) -> twz::Result<()> {
    p.a.retarget(FAR[0], FAR[1]).map(drop)
}

/// All of it in one.
fn everything(p: &Pair) -> twz::Result<()> {
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

fn map_insert(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().map.insert(&p.a.lock()?, key, key * 3).map(drop)
}

fn tree_insert(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().tree.insert(&p.a.lock()?, key, key * 3).map(drop)
}

fn tree_remove(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().tree.remove(&p.a.lock()?, &key).map(drop)
}

fn leaves_insert(p: &Pair, key: u64) -> twz::Result<()> {
    let leaf = p.b.alloc(leaf(key))?;
    p.b.persist_value(leaf)?;
    p.a.root().leaves.insert(&p.a.lock()?, &key.to_le_bytes(), leaf).map(drop)
}

fn leaves_remove(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().leaves.remove(&p.a.lock()?, &key.to_le_bytes()).map(drop)
}

fn push(p: &Pair) -> twz::Result<()> {
    p.a.root().list.push(&p.a.lock()?, p.a.root().list.len()? * 5)
}

fn write_text(p: &Pair) -> twz::Result<()> {
    p.a.root().text.push_str(&p.a.lock()?, "data outlives programs, ")
}

/// A word by hand, which a transaction has written before.
fn persist(p: &Pair) -> twz::Result<()> {
    p.a.root().x.set(11)?;
    p.a.persist_value(&p.a.root().x)
}

fn sync(p: &Pair) -> twz::Result<()> {
    p.a.root().x.set(12)?;
    p.a.sync()?;
    step::synced();
    Ok(())
}

/// So many transactions that there is room in the log for one [`set_both`], and
/// not for two.
fn fill_log(p: &Pair) -> twz::Result<()> {
    for _ in 0..27 {
        p.space.transaction(|tx| p.a.root().wide.iter().try_for_each(|word| tx.set(word, 0)))?;
    }
    (0..6).try_for_each(|_| set_both(p))
}

fn nothing(_: &Pair) -> twz::Result<()> {
    Ok(())
}

/// All of them.
pub const CASES: &[Case] = &[
    case("transaction, redo", "redo_over_two", nothing, &[set_both]),
    case("transaction, redo", "redo_three_times", nothing, &[set_both, set_both, set_both]),
    case(
        "transaction, redo",
        "redo_as_the_log_starts_over",
        fill_log,
        &[set_both, set_both, set_both],
    ),
    case("transaction, undo", "undo_in_place", nothing, &[record_in_place]),
    case("transaction, undo", "undo_then_redo", set_both, &[record_in_place, set_both]),
    case("transaction, undo", "undo_much", nothing, &[record_much, set_both]),
    case("transaction, nested", "nested", nothing, &[nested]),
    case("transaction, nested", "nested_in_place", nothing, &[nested_in_place, set_both]),
    case("transaction, aborted", "aborted", alloc, &[abort]),
    case("transaction, aborted", "aborted_then_redo", alloc, &[abort, set_both]),
    case("transaction, aborted", "aborted_then_undo", alloc, &[abort, record_in_place]),
    case("transaction, all of it", "everything", alloc, &[everything]),
    case("alloc in a transaction", "alloc", alloc, &[free, alloc]),
    case("alloc in a transaction", "alloc_in_another_object", nothing, &[alloc_across]),
    case("alloc in a transaction", "alloc_a_run", alloc, &[alloc_run]),
    case("free in a transaction", "free", alloc, &[free]),
    case("free in a transaction", "free_a_run", alloc_run, &[free_run, alloc_run]),
    case("FOT insert", "fot_insert", nothing, &[point_far]),
    case("retarget", "retarget", point_far, &[retarget]),
    case("retarget", "retarget_then_redo", point_far, &[retarget, set_both]),
    case(
        "map",
        "map_insert",
        |p| (0..5).try_for_each(|n| map_insert(p, n)),
        &[|p| map_insert(p, 100), |p| map_insert(p, 101)],
    ),
    case(
        "map",
        "map_insert_that_grows",
        |p| (0..6).try_for_each(|n| map_insert(p, n)),
        &[|p| map_insert(p, 100), |p| map_insert(p, 101), |p| map_insert(p, 102)],
    ),
    case(
        "map",
        "map_remove",
        |p| (0..5).try_for_each(|n| map_insert(p, n)),
        &[|p| p.a.root().map.remove(&p.a.lock()?, &3).map(drop)],
    ),
    case(
        "tree",
        "tree_insert",
        |p| (0..4).try_for_each(|n| tree_insert(p, 10 * n)),
        &[|p| tree_insert(p, 15), |p| tree_remove(p, 0)],
    ),
    case(
        "tree",
        "tree_splits_and_merges",
        |p| (0..15).try_for_each(|n| tree_insert(p, n)),
        &[|p| tree_insert(p, 15), |p| tree_insert(p, 16), |p| tree_remove(p, 2)],
    ),
    case(
        "list",
        "list_push_and_pop",
        |p| (0..7).try_for_each(|_| push(p)),
        &[push, push, |p| p.a.root().list.pop(&p.a.lock()?).map(drop)],
    ),
    case(
        "map of pointers",
        "leaves_insert_and_remove",
        |p| (0..5).try_for_each(|n| leaves_insert(p, n)),
        &[|p| leaves_insert(p, 100), |p| leaves_remove(p, 3), |p| leaves_insert(p, 4)],
    ),
    case("text", "text_push", write_text, &[write_text]),
    case("persist", "persist_by_hand", set_both, &[set_both, persist]),
    case("persist", "sync_by_hand", set_both, &[set_both, sync]),
];

/// The keys, and what their leaves hold.
fn leaves(map: &PtrMap<Leaf, 1>) -> twz::Result<Vec<u64>> {
    let both = |leaf: &Leaf| [leaf.value.get(), !leaf.inverse.get()];
    let (mut from, mut seen) = (0, Vec::new());
    loop {
        let (next, found) = map.walk(from, |leaf| leaf.lea().map(both))?;
        for (key, leaf) in found {
            seen.push((key, leaf?));
        }
        if next == 0 {
            seen.sort();
            let words = |(key, leaf): (Vec<u8>, [u64; 2])| {
                [u64::from_le_bytes(key.try_into().unwrap_or_default()), leaf[0], leaf[1]]
            };
            return Ok(seen.into_iter().flat_map(words).collect());
        }
        from = next;
    }
}

/// What the objects show; what is half there is an error.
pub fn view(p: &Pair) -> Result<Vec<u64>, String> {
    let say = |e: twz::Error| e.to_string();
    let mut seen = Vec::new();
    for root in [p.a.root(), p.b.root()] {
        seen.extend([root.x.get(), root.y.get(), root.z.get()]);
        seen.extend(root.many.iter().chain(&root.wide).map(Field::get));
        seen.push(root.next.is_null() as u64);
        if !root.next.is_null() {
            match root.next.lea() {
                Ok(leaf) if leaf.inverse.get() == !leaf.value.get() => seen.push(leaf.value.get()),
                Ok(_) => return Err("a leaf is half there".to_owned()),
                Err(twz::Error::NoObject(id)) => seen.push(id.as_u128() as u64),
                Err(error) => return Err(error.to_string()),
            }
        }
        for sorted in [true, false] {
            let mut pairs: Vec<(u64, u64)> = match sorted {
                true => root.tree.iter().collect::<twz::Result<_>>().map_err(say)?,
                false => root.map.iter().collect::<twz::Result<_>>().map_err(say)?,
            };
            pairs.sort();
            let len = if sorted { root.tree.len() } else { root.map.len() };
            if pairs.len() as u64 != len.map_err(say)? {
                return Err("the count of a map is wrong".to_owned());
            }
            for (key, value) in pairs {
                let found = if sorted { root.tree.get(&key) } else { root.map.get(&key) };
                if found.map_err(say)? != Some(value) {
                    return Err(format!("key {key} is there and not found"));
                }
                seen.extend([key, value]);
            }
        }
        seen.extend(leaves(&root.leaves).map_err(say)?);
        seen.extend(root.list.to_vec().map_err(say)?);
        seen.extend(root.text.get().map_err(say)?.bytes().map(u64::from));
    }
    Ok(seen)
}
