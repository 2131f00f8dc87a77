// SPDX-License-Identifier: MIT OR Apache-2.0
//! An undo log, as PMDK's: old values before new ones. A redo log with a
//! checksum, as the store's: new values, one fence.

use super::{Cells, Protocol};

/// The accounts that both move money between.
const DATA: u64 = 32;
const ACCOUNTS: u64 = 4;
/// The entries of both logs: place, value.
const ENTRIES: u64 = 8;

fn balances(m: &Cells<'_>) -> Result<Vec<u64>, &'static str> {
    let all: Vec<u64> = (DATA..DATA + ACCOUNTS).map(|cell| m.get(cell)).collect();
    match all.iter().copied().fold(0, u64::wrapping_add) {
        400 => Ok(all),
        _ => Err("money was made or lost"),
    }
}

fn open_accounts(m: &mut Cells<'_>) {
    for cell in DATA..DATA + ACCOUNTS {
        m.put(cell, 100);
    }
}

/// What operation `n` makes of the accounts: the place and the new value. The
/// first account is written twice, in two steps.
fn changes(m: &Cells<'_>, n: u64) -> [(u64, u64); 4] {
    let [a, b, c] = [DATA + n % 4, DATA + (n + 1) % 4, DATA + (n + 2) % 4];
    let [x, y, z] = [a, b, c].map(|cell| m.get(cell));
    [(a, x - 10), (b, y + 10), (a, x - 15), (c, z + 5)]
}

/// Old values, each durable before its place is written.
pub const UNDO: Protocol = Protocol {
    name: "undo log",
    cells: 48,
    init: open_accounts,
    op: undo_op,
    ops: 3,
    recover: undo_recover,
    view: balances,
    bugs: &[
        ("missing flush", "the entry is not flushed"),
        ("missing fence", "no fence between the entry and the count"),
        ("count before entries", "the count is durable before the entry"),
        ("missing flush", "the data are not flushed before the commit"),
        ("missing fence", "no fence before the commit"),
        ("recovery not idempotent", "recovery empties the log before what it restored is durable"),
        ("wrong order", "recovery restores the oldest value first"),
        ("in-place update without a log", "the second account has no entry"),
        ("wrong order", "the data are written before the entry"),
        ("missing flush", "the commit is not flushed"),
        ("missing flush", "recovery does not flush what it restores"),
    ],
};

fn undo_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    let mut count = 0;
    for (place, value) in changes(m, n) {
        let old = m.get(place);
        if bug == 9 {
            m.set(place, value);
        }
        if bug == 8 && place == DATA + (n + 1) % 4 {
            m.put(place, value);
            m.flush(place, 1);
            continue;
        }
        if bug == 3 {
            m.set(0, count + 1);
        }
        let entry = ENTRIES + 2 * count;
        m.put(entry, place);
        m.put(entry + 1, old);
        if bug != 1 {
            m.flush(entry, 2);
        }
        if bug != 2 {
            m.fence();
        }
        count += 1;
        m.set(0, count);
        m.put(place, value);
        if bug != 4 {
            m.flush(place, 1);
        }
    }
    if bug != 5 {
        m.fence();
    }
    m.put(0, 0);
    if bug != 10 {
        m.flush(0, 1);
    }
    m.fence();
}

fn undo_recover(m: &mut Cells<'_>, bug: usize) {
    let count = m.get(0).min(8);
    if bug == 6 {
        m.set(0, 0);
    }
    for i in 0..count {
        let entry = ENTRIES + 2 * if bug == 7 { i } else { count - 1 - i };
        let place = m.get(entry).clamp(DATA, DATA + ACCOUNTS - 1);
        m.put(place, m.get(entry + 1));
        if bug != 11 {
            m.flush(place, 1);
        }
    }
    m.fence();
    m.set(0, 0);
}

/// New values under a checksum: one fence commits.
pub const REDO: Protocol = Protocol {
    name: "redo log",
    cells: 48,
    init: open_accounts,
    op: redo_op,
    ops: 4,
    recover: redo_recover,
    view: |m| Ok((DATA..DATA + ACCOUNTS).map(|cell| m.get(cell)).collect()),
    bugs: &[
        ("checksum not verified", "recovery applies whatever the log says"),
        ("checksum not covering length", "the length can be of another transaction"),
        ("checksum of the header only", "the entries are not covered"),
        ("replay of a stale log", "the log is not durably emptied before a write without a log"),
        ("log reused before applied is durable", "the data are not flushed"),
        ("log reused before applied is durable", "no fence after the data"),
        ("wrong order", "the data are written before the log is durable"),
        ("double apply", "entries are differences"),
        ("missing fence", "nothing orders the log before the return"),
        ("missing flush", "the log's entries are not flushed"),
        ("wrong sequence", "the log is emptied before the data are durable"),
    ],
};

fn redo_sum(m: &Cells<'_>, len: u64, bug: usize) -> u64 {
    let covered = match bug {
        2 => 2,
        3 => 0,
        _ => len.min(8),
    };
    let first = if bug == 2 { 0 } else { len };
    (ENTRIES..ENTRIES + 2 * covered).fold(first + 0x9e37, |sum, cell| {
        (sum ^ m.get(cell)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

fn redo_apply(m: &mut Cells<'_>, len: u64, bug: usize) {
    for i in 0..len.min(8) {
        let place = m.get(ENTRIES + 2 * i).clamp(DATA, DATA + ACCOUNTS - 1);
        let value = m.get(ENTRIES + 2 * i + 1);
        let value = if bug == 8 { m.get(place).wrapping_add(value) } else { value };
        m.put(place, value);
        if bug != 5 {
            m.flush(place, 1);
        }
    }
    if bug != 6 {
        m.fence();
    }
}

fn redo_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    if n == 3 {
        // One word needs no log, if no log can take it back.
        m.put(1, 0);
        if bug != 4 {
            m.persist(1, 1);
        }
        return m.set(DATA + 3, 555);
    }
    let [_, (b, y), (a, x), (c, z)] = changes(m, n);
    // Transactions of two lengths.
    match n % 2 {
        0 => redo_write(m, &[(b, y), (a, x), (c, z)], bug),
        _ => redo_write(m, &[(a, x + 5), (b, y)], bug),
    }
}

fn redo_write(m: &mut Cells<'_>, entries: &[(u64, u64)], bug: usize) {
    let len = entries.len() as u64;
    for (i, &(place, value)) in (0..).zip(entries) {
        m.put(ENTRIES + 2 * i, place);
        let value = if bug == 8 { value.wrapping_sub(m.get(place)) } else { value };
        m.put(ENTRIES + 2 * i + 1, value);
    }
    m.put(1, len);
    let sum = redo_sum(m, len, bug);
    m.put(2, sum);
    m.flush(1, 2);
    if bug != 10 {
        m.flush(ENTRIES, 2 * len);
    }
    if bug == 7 {
        redo_apply(m, len, bug);
    }
    if bug != 9 {
        m.fence();
    }
    if bug == 11 {
        redo_apply(m, len, 6);
        m.set(1, 0);
        return;
    }
    if bug != 7 {
        redo_apply(m, len, bug);
    }
}

fn redo_recover(m: &mut Cells<'_>, bug: usize) {
    let len = m.get(1);
    if len == 0 || len > 8 || (bug != 1 && redo_sum(m, len, bug) != m.get(2)) {
        return m.set(1, 0);
    }
    redo_apply(m, len, bug);
}
