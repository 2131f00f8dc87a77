// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is cut: the objects of a run ([`Pair`]) and the operations on them
//! ([`CASES`]). What the objects show is `shown`'s.

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
    /// Whether what is cut may have done some of it.
    pub partly: bool,
    /// Whether two processes have the objects.
    pub two: bool,
    /// What does the same at once as `ops` do one after the other, and says when each
    /// of them has returned.
    pub at_once: Option<Op>,
}

const fn case(operation: &'static str, name: &'static str, setup: Op, ops: &'static [Op]) -> Case {
    Case { name, operation, setup, ops, partly: false, two: false, at_once: None }
}

/// Of which a cut may leave some keys set.
const fn some(operation: &'static str, name: &'static str, setup: Op, ops: &'static [Op]) -> Case {
    Case { partly: true, ..case(operation, name, setup, ops) }
}

/// Of two processes.
const fn two(name: &'static str, setup: Op, ops: &'static [Op], at_once: Option<Op>) -> Case {
    Case { operation: "two logs", two: true, at_once, ..case("", name, setup, ops) }
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
fn set_both_reversed(p: &Pair) -> twz::Result<()> {
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

fn alloc_in_b(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let leaf = tx.alloc(&p.b, leaf(45))?;
        tx.store(&p.b.root().next, leaf)
    })
}

/// And names the log of the other process.
fn b_has_room(p: &Pair) -> twz::Result<()> {
    take_turns(p)?;
    alloc_in_b(p.other()?)
}

/// The heap of one has room, and that of the other has to grow meanwhile.
fn alloc_in_both(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let [in_b, in_a] = [tx.alloc(&p.b, leaf(46))?, tx.alloc(&p.a, leaf(47))?];
        tx.store(&p.b.root().next, in_b)?;
        tx.store(&p.a.root().next, in_a)
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

/// A block that is more than is copied into a record.
fn alloc_much(p: &Pair) -> twz::Result<()> {
    p.space.transaction(|tx| {
        let at = tx.take(&p.a, 5000, 64)?;
        tx.set(&p.a.root().x, at)
    })
}

/// Gives back what is kept there, a run or not.
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

fn leaves_insert(p: &Pair, key: u64) -> twz::Result<()> {
    leaves_insert_key(p, key, WIDE)
}

fn leaves_insert_odd(p: &Pair, key: u64) -> twz::Result<()> {
    leaves_insert_key(p, key, WIDE + 1)
}

/// Somebody was killed between a key and its count.
fn leaves_miscounted(p: &Pair) -> twz::Result<()> {
    (0..5).try_for_each(|n| leaves_insert(p, n))?;
    let word = |at: usize| (std::mem::offset_of!(Root, leaves) + at * 8) as u64;
    p.a.write(word(LEN), &1u64.to_le_bytes())?;
    p.a.write(word(BUSY), &1u64.to_le_bytes())?;
    p.a.sync()
}

fn few_insert_all(p: &Pair, keys: &[u64]) -> twz::Result<()> {
    let leaves = keys.iter().map(|&key| p.a.alloc(leaf(key))).collect::<twz::Result<Vec<_>>>()?;
    leaves.iter().try_for_each(|leaf| p.a.persist_value(*leaf))?;
    let names: Vec<_> = keys.iter().map(|key| key.to_le_bytes()).collect();
    let pairs: Vec<_> = names.iter().map(|name| &name[..]).zip(leaves).collect();
    p.a.root().few.insert_all(&p.a.lock()?, &pairs)
}

/// The leaf is in the same object: what leads to it needs no entry of the FOT.
fn few_insert(p: &Pair, key: u64) -> twz::Result<()> {
    let leaf = p.a.alloc(leaf(key))?;
    p.a.persist_value(leaf)?;
    p.a.root().few.insert(&p.a.lock()?, &key.to_le_bytes(), leaf).map(drop)
}

/// Some that are there, some that are not, and one that comes twice.
fn leaves_insert_all(p: &Pair, keys: &[u64]) -> twz::Result<()> {
    let leaves = keys.iter().map(|&key| p.b.alloc(leaf(key))).collect::<twz::Result<Vec<_>>>()?;
    leaves.iter().try_for_each(|leaf| p.b.persist_value(*leaf))?;
    let words = |key: u64| if key.is_multiple_of(7) { WIDE + 1 } else { WIDE };
    let names: Vec<_> = keys.iter().map(|&key| leaves_key(key % 1000, words(key))).collect();
    let pairs: Vec<_> = names.iter().map(Vec::as_slice).zip(leaves).collect();
    p.a.root().leaves.insert_all(&p.a.lock()?, &pairs)
}

fn leaves_remove(p: &Pair, key: u64) -> twz::Result<()> {
    p.a.root().leaves.remove(&p.a.lock()?, &leaves_key(key, WIDE)).map(drop)
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
    p.a.sync()
}

/// Words that no transaction has written: nothing but this makes them durable.
fn persist_another(p: &Pair) -> twz::Result<()> {
    p.a.root().z.set(13)?;
    p.a.persist_value(&p.a.root().z)
}

fn flush_and_fence(p: &Pair) -> twz::Result<()> {
    p.a.root().many[19].set(14)?;
    p.a.flush(0, size_of::<Root>() as u64)?;
    p.space.fence();
    Ok(())
}

/// A word that the log has, too.
fn flush_and_fence_x(p: &Pair) -> twz::Result<()> {
    p.a.root().x.set(16)?;
    p.a.flush(0, 8)?;
    p.space.fence();
    Ok(())
}

fn sync_another(p: &Pair) -> twz::Result<()> {
    p.a.root().many[18].set(15)?;
    p.a.sync()
}

/// Far more than a log has room for at first, part of it recorded before.
fn grow_log(p: &Pair) -> twz::Result<()> {
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
fn fill_log(p: &Pair) -> twz::Result<()> {
    for _ in 0..27 {
        p.space.transaction(|tx| p.a.root().wide.iter().try_for_each(|word| tx.set(word, 0)))?;
    }
    (0..22).try_for_each(|_| set_both(p))
}

/// So many places of the log's table taken that the next transaction empties it.
fn fill_table(p: &Pair) -> twz::Result<()> {
    (0..256).try_for_each(|_| {
        set_both(p)?;
        p.a.persist_value(&p.a.root().x)?;
        p.b.persist_value(&p.b.root().x)
    })?;
    set_both(p)
}

/// Both objects in the log of one, then of the other, and of the first again: so
/// each has mapped both logs.
fn take_turns(p: &Pair) -> twz::Result<()> {
    set_both(p.other()?)?;
    set_both(p)
}

/// Each has an object in its own log.
fn one_each(p: &Pair) -> twz::Result<()> {
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

fn set_a(p: &Pair) -> twz::Result<()> {
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

fn other_sets_b(p: &Pair) -> twz::Result<()> {
    set_b(p.other()?)
}

fn other_sets_both(p: &Pair) -> twz::Result<()> {
    set_both(p.other()?)
}

fn other_records(p: &Pair) -> twz::Result<()> {
    record_in_place(p.other()?)
}

/// [`other_sets_b`] and [`set_a`]: the second is open all the while.
fn b_within_a(p: &Pair) -> twz::Result<()> {
    change_a(p, |other| {
        set_b(other)?;
        step::done();
        Ok(())
    })?;
    step::done();
    Ok(())
}

/// The same, and the one that is open is undone in the end.
fn b_within_what_is_undone(p: &Pair) -> twz::Result<()> {
    undone(change_a(p, |other| {
        set_b(other)?;
        step::done();
        Err(UNDONE)
    }))?;
    step::done();
    Ok(())
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
    case(
        "transaction, redo",
        "redo_as_the_table_is_emptied",
        fill_table,
        &[set_both_reversed, set_both],
    ),
    case("transaction, undo", "undo_much", nothing, &[record_much, set_both]),
    case("transaction, undo", "redo_then_undo_much", nothing, &[set_both, record_much]),
    case("transaction, undo", "undo_as_the_log_grows", fill_log, &[grow_log, set_both]),
    case("transaction, nested", "nested", nothing, &[nested]),
    case("transaction, nested", "nested_in_place", nothing, &[nested_in_place, set_both]),
    case("transaction, aborted", "aborted", alloc, &[abort]),
    case("transaction, aborted", "aborted_then_redo", alloc, &[abort, set_both]),
    case("transaction, aborted", "aborted_then_undo", alloc, &[abort, record_in_place]),
    case("transaction, all of it", "everything", alloc, &[everything]),
    case("alloc in a transaction", "alloc", alloc, &[free, alloc]),
    case("alloc in a transaction", "alloc_in_another_object", nothing, &[alloc_across]),
    case("alloc in a transaction", "alloc_a_run", alloc, &[alloc_run]),
    case(
        "alloc in a transaction",
        "alloc_much_after_persist",
        |p| alloc_much(p).and_then(|()| free_run(p)),
        &[persist, alloc_much],
    ),
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
    case("map of pointers", "leaves_insert_first", nothing, &[|p| leaves_insert(p, 100)]),
    case(
        "map of pointers",
        "leaves_insert_where_there_is_no_room",
        |p| (0..48).try_for_each(|n| leaves_insert(p, n)),
        &[|p| leaves_insert(p, 100), |p| leaves_remove(p, 100)],
    ),
    case(
        "map of pointers",
        "leaves_insert_of_other_length",
        |p| (0..2).try_for_each(|n| leaves_insert_odd(p, n)),
        &[|p| leaves_insert_odd(p, 100), |p| leaves_insert_odd(p, 101)],
    ),
    case(
        "map of pointers",
        "leaves_insert_after_a_kill",
        leaves_miscounted,
        &[|p| leaves_insert(p, 100), |p| leaves_remove(p, 3)],
    ),
    some(
        "map of pointers",
        "leaves_insert_all",
        |p| (0..5).try_for_each(|n| leaves_insert(p, n)),
        &[
            |p| leaves_insert_all(p, &[3, 100, 1004, 1100, 7]),
            |p| leaves_insert_all(p, &[2000, 3003, 21, 7]),
        ],
    ),
    some("map of pointers", "few_insert_all", nothing, &[|p| few_insert_all(p, &[100, 101])]),
    case(
        "map of pointers",
        "few_insert",
        nothing,
        &[|p| few_insert(p, 100), |p| few_insert(p, 101), |p| few_insert(p, 102)],
    ),
    case("text", "text_push", write_text, &[write_text]),
    case("persist", "persist_by_hand", set_both, &[set_both, persist]),
    case("persist", "sync_by_hand", set_both, &[set_both, sync]),
    case("persist", "flush_and_fence_by_hand", set_both, &[set_both, flush_and_fence_x]),
    case(
        "persist",
        "persist_what_no_log_has",
        set_both,
        &[persist_another, flush_and_fence, set_both],
    ),
    case("persist", "sync_what_no_log_has", set_both, &[sync_another]),
    two("from_log_to_log", take_turns, &[other_sets_both, set_both, other_records, set_a], None),
    two("alloc_in_both", b_has_room, &[alloc_in_both], None),
    two("two_logs_open", one_each, &[other_sets_b, set_a], Some(b_within_a)),
    two(
        "two_logs_and_one_undone",
        one_each,
        &[other_sets_b, nothing],
        Some(b_within_what_is_undone),
    ),
];
