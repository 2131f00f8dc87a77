// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `raw`: the next node's address, and nothing to check.

use super::{chase::Runner, nodes::Node};
use crate::{error::Failed, race::Contender};

/// Follows addresses.
pub struct Raw<'a> {
    at: *const Node,
    runner: Runner<'a>,
}

impl<'a> Raw<'a> {
    /// From a node.
    pub fn new(at: &'a Node, runner: Runner<'a>) -> Self {
        Self { at, runner }
    }
}

impl Contender for Raw<'_> {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn run(&mut self, steps: u64) -> Result<(), Failed> {
        // SAFETY: the nodes outlive the runner, and `build` stored the address
        // of a node in each.
        let sum = unsafe { chase_raw(&mut self.at, steps) };
        self.runner.arrived(steps, sum)
    }
}

/// Follows the list.
///
/// # Safety
///
/// `from` and every node that it leads to must be alive.
#[inline(never)]
unsafe fn chase_raw(from: &mut *const Node, steps: u64) -> u64 {
    let (mut at, mut sum) = (*from, 0u64);
    for _ in 0..steps {
        // SAFETY: by the caller.
        let node = unsafe { &*at };
        sum = sum.wrapping_add(node.value);
        at = node.raw.get() as *const Node;
    }
    *from = at;
    sum
}
