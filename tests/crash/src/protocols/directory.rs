// SPDX-License-Identifier: MIT OR Apache-2.0
//! A hash table, a rename, and a count that a flag says whether to trust.

use super::{Cells, Protocol};

const SLOTS: u64 = 8;

/// Slots of four cells: state, key, value, value again. The last two are 16
/// bytes that change together, by way of a spare slot.
pub const TABLE: Protocol = Protocol {
    name: "hash table",
    cells: 48,
    init: |_| {},
    op: table_op,
    ops: 4,
    recover: table_recover,
    view: table_view,
    bugs: &[
        ("pointer published before object", "a slot is valid before its key is there"),
        ("missing fence", "no fence between key and state"),
        ("missing flush", "the key is not flushed"),
        ("count before entries", "the count is raised first, and recovery believes it"),
        ("torn 16-byte write", "a value of two words is changed in place"),
        ("free before commit", "the old value goes before the new one is valid"),
        ("recovery not idempotent", "recovery adds to the count what it finds"),
    ],
};

fn slot(i: u64) -> u64 {
    SLOTS + 4 * i
}

fn table_fill(m: &mut Cells<'_>, i: u64, key: u64, value: u64, bug: usize) {
    let at = slot(i);
    if bug == 1 {
        m.set(at, 1);
    }
    m.put(at + 1, key);
    m.put(at + 2, value);
    m.put(at + 3, !value);
    if bug != 3 {
        m.flush(at + 1, 3);
    }
    if bug != 2 {
        m.fence();
    }
    m.set(at, 1);
}

fn table_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    if n == 3 {
        // Key 1 gets another value: in a slot of its own, which then counts.
        if bug == 5 {
            m.put(slot(1) + 2, 99);
            m.put(slot(1) + 3, !99);
            return m.persist(slot(1) + 2, 2);
        }
        if bug == 6 {
            m.set(slot(1), 0);
        }
        table_fill(m, 5, 1, 99, bug);
        return m.set(slot(1), 0);
    }
    if bug == 4 {
        m.set(0, n + 1);
    }
    table_fill(m, n, n, 10 * n, bug);
    m.set(0, n + 1);
}

fn table_recover(m: &mut Cells<'_>, bug: usize) {
    // Of two slots with one key the later one counts.
    for i in 0..8 {
        let twice = |j: &u64| m.get(slot(*j)) == 1 && m.get(slot(*j) + 1) == m.get(slot(i) + 1);
        if m.get(slot(i)) == 1 && (i + 1..8).any(|j| twice(&j)) {
            m.set(slot(i), 0);
        }
    }
    let count = (0..8).filter(|&i| m.get(slot(i)) == 1).count() as u64;
    match bug {
        4 => {}
        7 if count > m.get(0) => m.set(0, m.get(0) + count),
        _ => m.set(0, count),
    }
}

fn table_view(m: &Cells<'_>) -> Result<Vec<u64>, &'static str> {
    let mut all = Vec::new();
    for i in 0..8 {
        let at = slot(i);
        if m.get(at) == 0 {
            continue;
        }
        if m.get(at + 3) != !m.get(at + 2) {
            return Err("a value is torn");
        }
        all.push((m.get(at + 1), m.get(at + 2)));
    }
    if all.len() as u64 != m.get(0) {
        return Err("the count is wrong");
    }
    all.sort();
    Ok(all.into_iter().flat_map(|(key, value)| [key, value]).collect())
}

/// A name that moves from cell 8 to cell 9 and back, by way of an intent.
pub const RENAME: Protocol = Protocol {
    name: "rename",
    cells: 16,
    init: |m| m.put(8, 77),
    op: rename_op,
    ops: 3,
    recover: |m, bug| {
        if m.get(0) != 0 && bug != 3 {
            rename_finish(m, 0);
        }
    },
    view: |m| match (m.get(8), m.get(9)) {
        (77, 0) => Ok(vec![8]),
        (0, 77) => Ok(vec![9]),
        (0, 0) => Err("the name is lost"),
        _ => Err("the name is there twice"),
    },
    bugs: &[
        ("in-place update without a log", "two stores and no intent"),
        ("wrong order", "the intent goes before what it meant is durable"),
        ("recovery ignores the log", "nobody finishes what was begun"),
        ("missing flush", "the intent is not flushed"),
    ],
};

fn rename_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    // The intent says where the name goes to.
    let to = 9 - n % 2;
    match bug {
        1 => {
            m.set(to, 77);
            return m.set(17 - to, 0);
        }
        4 => m.put(0, to),
        _ => m.set(0, to),
    }
    rename_finish(m, bug);
}

fn rename_finish(m: &mut Cells<'_>, bug: usize) {
    let to = m.get(0).clamp(8, 9);
    m.put(to, 77);
    m.put(17 - to, 0);
    m.flush(8, 2);
    if bug != 2 {
        m.fence();
    }
    m.set(0, 0);
}

/// Items, a count of them, and a flag that says not to trust the count.
pub const DIRTY: Protocol = Protocol {
    name: "dirty flag",
    cells: 16,
    init: |_| {},
    op: dirty_op,
    ops: 3,
    recover: |m, _| {
        if m.get(0) != 0 {
            let count = (8..16).filter(|&cell| m.get(cell) != 0).count() as u64;
            m.set(1, count);
            m.set(0, 0);
        }
    },
    view: |m| {
        let items: Vec<u64> = (8..16).map(|cell| m.get(cell)).filter(|&v| v != 0).collect();
        match items.len() as u64 == m.get(1) {
            true => Ok(items),
            false => Err("the count is wrong"),
        }
    },
    bugs: &[
        ("missing flush", "the flag is not flushed when it is set"),
        ("missing fence", "nothing orders the flag before the items"),
        ("wrong order", "the flag goes before the count is durable"),
    ],
};

fn dirty_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    m.put(0, 1);
    if bug != 1 {
        m.flush(0, 1);
    }
    if bug != 2 {
        m.fence();
    }
    m.put(8 + n, 5 + n);
    m.put(1, n + 1);
    m.flush(8 + n, 1);
    m.flush(1, 1);
    if bug != 3 {
        m.fence();
    }
    m.set(0, 0);
}
