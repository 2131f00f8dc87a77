// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject: `Ptr::lea`, called as any program calls it.

use super::{chase::Runner, nodes::Node};
use crate::{error::Failed, race::Contender};

/// Follows `Ptr`s.
pub struct Lea<'a> {
    at: &'a Node,
    runner: Runner<'a>,
}

impl<'a> Lea<'a> {
    /// From a node.
    pub fn new(at: &'a Node, runner: Runner<'a>) -> Self {
        Self { at, runner }
    }
}

impl Contender for Lea<'_> {
    fn name(&self) -> &'static str {
        "twz"
    }

    fn run(&mut self, steps: u64) -> Result<(), Failed> {
        let sum = chase_twz(&mut self.at, steps)?;
        self.runner.arrived(steps, sum)
    }
}

/// Follows the list. By itself, so that it can be counted and read.
#[inline(never)]
fn chase_twz(from: &mut &Node, steps: u64) -> twz::Result<u64> {
    let (mut at, mut sum) = (*from, 0u64);
    for _ in 0..steps {
        sum = sum.wrapping_add(at.value);
        at = at.next.lea()?;
    }
    *from = at;
    Ok(sum)
}
