// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `base_off`: 8 bytes that hold an object's number and an offset in
//! it. With one object the base stays in a register; with more it comes from a
//! dense table. Nothing is checked.

use super::{chase::Runner, nodes::Node};
use crate::{error::Failed, race::Contender};

/// Follows base and offset.
pub struct BaseOff<'a> {
    bases: Vec<usize>,
    at: *const Node,
    runner: Runner<'a>,
}

impl<'a> BaseOff<'a> {
    /// From a node, with the addresses of the objects.
    pub fn new(bases: Vec<usize>, at: &'a Node, runner: Runner<'a>) -> Self {
        Self { bases, at, runner }
    }
}

impl Contender for BaseOff<'_> {
    fn name(&self) -> &'static str {
        "base_off"
    }

    fn run(&mut self, steps: u64) -> Result<(), Failed> {
        let sum = match self.bases[..] {
            // SAFETY: the nodes outlive the runner, and `build` stored a
            // node's object and offset in each.
            [base] => unsafe { chase_one_base(base, &mut self.at, steps) },
            // SAFETY: as above; a number stored there is one of an object.
            _ => unsafe { chase_bases(&self.bases, &mut self.at, steps) },
        };
        self.runner.arrived(steps, sum)
    }
}

const OFFSET: u64 = (1 << 40) - 1;

/// Follows the list through a table.
///
/// # Safety
///
/// `from` and every node that it leads to must be alive, and every object's
/// number in `bases`.
#[inline(never)]
unsafe fn chase_bases(bases: &[usize], from: &mut *const Node, steps: u64) -> u64 {
    let (mut at, mut sum) = (*from, 0u64);
    for _ in 0..steps {
        // SAFETY: by the caller.
        let node = unsafe { &*at };
        sum = sum.wrapping_add(node.value);
        let link = node.base_off.get();
        // SAFETY: by the caller.
        let base = unsafe { *bases.get_unchecked((link >> 40) as usize) };
        at = (base + (link & OFFSET) as usize) as *const Node;
    }
    *from = at;
    sum
}

/// Follows the list inside one object.
///
/// # Safety
///
/// `from` and every node that it leads to must be alive.
#[inline(never)]
unsafe fn chase_one_base(base: usize, from: &mut *const Node, steps: u64) -> u64 {
    let (mut at, mut sum) = (*from, 0u64);
    for _ in 0..steps {
        // SAFETY: by the caller.
        let node = unsafe { &*at };
        sum = sum.wrapping_add(node.value);
        at = (base + node.base_off.get() as usize) as *const Node;
    }
    *from = at;
    sum
}
