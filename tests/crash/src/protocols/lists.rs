// SPDX-License-Identifier: MIT OR Apache-2.0
//! A log that grows behind its tail, and a stack of nodes behind a pointer.

use super::{Cells, Protocol};

const FIRST: u64 = 8;

/// Entries of three cells, and a tail behind the last one.
pub const APPEND: Protocol = Protocol {
    name: "append",
    cells: 32,
    init: |m| {
        m.put(0, FIRST);
        m.put(1, !FIRST);
    },
    op: append_op,
    ops: 3,
    recover: |m, _| {
        // The mark of the tail is made anew.
        m.set(1, !m.get(0));
    },
    view: append_view,
    bugs: &[
        ("count before entries", "the tail is durable before the entry"),
        ("missing flush", "the entry is not flushed"),
        ("missing fence", "no fence between entry and tail"),
        ("missing flush", "the tail is not flushed"),
        ("commit record in the same line", "one fence, and trust in the order within a line"),
        ("torn write", "of an entry only the first half is flushed"),
    ],
};

fn append_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    let tail = m.get(0);
    if bug == 1 {
        m.set(0, tail + 3);
    }
    m.put(tail, 2);
    m.put(tail + 1, n + 1);
    m.put(tail + 2, (n + 1) * 7);
    match bug {
        2 => {}
        6 => m.flush(tail, 2),
        _ => m.flush(tail, 3),
    }
    if bug != 3 && bug != 5 {
        m.fence();
    }
    m.put(0, tail + 3);
    if bug != 4 {
        m.flush(0, 1);
    }
    m.fence();
    m.set(1, !(tail + 3));
}

fn append_view(m: &Cells<'_>) -> Result<Vec<u64>, &'static str> {
    let (mut at, tail, mut seen) = (FIRST, m.get(0), Vec::new());
    if m.get(1) != !tail {
        return Err("the mark of the tail is torn");
    }
    while at < tail.min(29) {
        if m.get(at) != 2 || m.get(at + 2) != m.get(at + 1) * 7 {
            return Err("an entry is torn");
        }
        seen.push(m.get(at + 1));
        at += 3;
    }
    Ok(seen)
}

/// Nodes of two cells (value, next); a head; nodes that were popped are reused.
pub const STACK: Protocol = Protocol {
    name: "stack",
    cells: 32,
    init: |_| {},
    op: stack_op,
    ops: 5,
    recover: |_, _| {},
    view: stack_view,
    bugs: &[
        ("pointer published before object", "the head is durable before the node"),
        ("missing flush", "the node is not flushed"),
        ("missing fence", "no fence between node and head"),
        ("free before commit", "a popped node is wiped before the head has left it"),
        ("free before commit", "a popped node is reused before the head has left it"),
        ("missing flush", "the head is not flushed"),
    ],
};

fn stack_free(m: &Cells<'_>) -> u64 {
    let (mut at, mut used) = (m.get(0), [false; 12]);
    while at != 0 {
        used[(at as usize - 8) / 2] = true;
        at = m.get(at + 1);
    }
    8 + 2 * used.iter().position(|used| !used).unwrap_or(0) as u64
}

fn stack_op(m: &mut Cells<'_>, n: u64, bug: usize) {
    let head = m.get(0);
    if n == 2 {
        let next = m.get(head + 1);
        if bug == 4 {
            m.put(head, 0);
            m.persist(head, 1);
        }
        m.put(0, next);
        if bug != 5 {
            m.persist(0, 1);
        }
        return;
    }
    let node = stack_free(m);
    if bug == 1 {
        m.set(0, node);
    }
    m.put(node, 100 + n);
    m.put(node + 1, head);
    if bug != 2 {
        m.flush(node, 2);
    }
    if bug != 3 {
        m.fence();
    }
    m.put(0, node);
    if bug != 6 {
        m.flush(0, 1);
    }
    m.fence();
}

fn stack_view(m: &Cells<'_>) -> Result<Vec<u64>, &'static str> {
    let (mut at, mut seen) = (m.get(0), Vec::new());
    while at != 0 {
        if !(8..30).contains(&at) || seen.len() > 8 {
            return Err("a pointer leads nowhere");
        }
        if m.get(at) < 100 {
            return Err("a node is not there");
        }
        seen.push(m.get(at));
        at = m.get(at + 1);
    }
    Ok(seen)
}
