// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is cut: which of the `operations`, after which others, and by how many processes.

use super::operations::*;

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
