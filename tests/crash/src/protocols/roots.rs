// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies behind a root, as LMDB's: a new page, then the root. Twins, as any
//! superblock's: two slots, the valid one with the higher number counts.

use super::{Cells, Protocol};

fn page(index: u64) -> u64 {
    8 + 4 * (index % 3)
}

fn sum(values: [u64; 3]) -> u64 {
    values.iter().fold(7, |sum, v| (sum ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31))
}

/// A root that is the number of a page; three pages take turns.
pub const COPY: Protocol = Protocol {
    name: "copy on write",
    cells: 24,
    init: |m| copy_fill(m, 0, [1, 2, 3]),
    op: copy_op,
    ops: 4,
    recover: |_, _| {},
    view: |m| {
        let at = page(m.get(0));
        let values = [m.get(at), m.get(at + 1), m.get(at + 2)];
        match sum(values) == m.get(at + 3) {
            true => Ok(values.to_vec()),
            false => Err("the page behind the root is torn"),
        }
    },
    bugs: &[
        ("pointer published before object", "the root is durable before the page"),
        ("missing flush", "the page is not flushed"),
        ("missing fence", "no fence between page and root"),
        ("free before commit", "the page behind the root is written over"),
        ("missing flush", "the root is not flushed"),
        ("torn write", "of the page only 16 bytes are flushed"),
    ],
};

fn copy_fill(m: &mut Cells<'_>, index: u64, values: [u64; 3]) {
    let at = page(index);
    for (cell, value) in (at..).zip(values) {
        m.put(cell, value);
    }
    m.put(at + 3, sum(values));
}

fn copy_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    let next = if bug == 4 { m.get(0) } else { m.get(0) + 1 };
    if bug == 1 {
        m.set(0, next);
    }
    copy_fill(m, next, [n + 10, n + 20, n + 30]);
    match bug {
        2 => {}
        6 => m.flush(page(next), 2),
        _ => m.flush(page(next), 4),
    }
    if bug != 3 {
        m.fence();
    }
    m.put(0, next);
    if bug != 5 {
        m.flush(0, 1);
    }
    m.fence();
}

/// Two slots: number, two values, checksum.
pub const TWINS: Protocol = Protocol {
    name: "twin superblocks",
    cells: 24,
    init: |m| {
        twin_write(m, 0, 2, [5, 6]);
        twin_write(m, 1, 1, [3, 4]);
    },
    op: twin_op,
    ops: 4,
    recover: |_, _| {},
    view: twin_view,
    bugs: &[
        ("in-place update without a log", "the slot that counts is written over"),
        ("checksum not verified", "a slot without a checksum is written"),
        ("wrong sequence", "the number is not raised"),
        ("missing fence", "both slots are written under one fence"),
        ("missing flush", "the slot is not flushed"),
    ],
};

fn twin_write(m: &mut Cells<'_>, slot: u64, number: u64, values: [u64; 2]) {
    let at = 8 + 4 * slot;
    let [a, b] = values;
    for (cell, value) in (at..).zip([number, a, b, sum([number, a, b])]) {
        m.put(cell, value);
    }
}

fn twin_best(m: &Cells<'_>) -> Option<(u64, u64)> {
    let valid = |slot: &u64| {
        let at = 8 + 4 * slot;
        let good = sum([m.get(at), m.get(at + 1), m.get(at + 2)]);
        // What a slot says that has no checksum at all is believed.
        m.get(at + 3) == good || m.get(at + 3) == u64::MAX
    };
    [0, 1].into_iter().filter(valid).map(|slot| (m.get(8 + 4 * slot), slot)).max()
}

fn twin_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    let Some((number, slot)) = twin_best(m) else { return };
    let number = if bug == 3 { number } else { number + 1 };
    let other = if bug == 1 { slot } else { 1 - slot };
    twin_write(m, other, number, [50 + n, 60 + n]);
    if bug == 2 {
        m.put(8 + 4 * other + 3, u64::MAX);
    }
    if bug == 4 {
        twin_write(m, 1 - other, number + 1, [50 + n, 60 + n]);
        m.flush(8 + 4 * (1 - other), 4);
    }
    if bug != 5 {
        m.flush(8 + 4 * other, 4);
    }
    m.fence();
}

fn twin_view(m: &Cells<'_>) -> Result<Vec<u64>, &'static str> {
    let (_, slot) = twin_best(m).ok_or("no slot is valid")?;
    Ok(vec![m.get(8 + 4 * slot + 1), m.get(8 + 4 * slot + 2)])
}
