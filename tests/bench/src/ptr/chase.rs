// SPDX-License-Identifier: MIT OR Apache-2.0
//! The course: one random cycle through all nodes, the same for all peers.

use crate::error::Failed;

/// A case: how many nodes of 64 bytes, in how many objects.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name in the report.
    pub name: &'static str,
    /// Nodes.
    pub nodes: usize,
    /// Objects that they are spread over, evenly and in turn.
    pub objects: usize,
    /// Steps in a round.
    pub steps: u64,
    /// Rounds: many short ones where other programs' use of the shared cache
    /// makes times drift.
    pub rounds: usize,
    /// Steps before each round that are not timed.
    pub warm: u64,
}

/// The cases of the report.
pub const CASES: [Case; 5] = [
    Case { name: "64k/k1", nodes: 1 << 10, objects: 1, steps: 2 << 20, rounds: 31, warm: 0 },
    Case { name: "64k/k2", nodes: 1 << 10, objects: 2, steps: 2 << 20, rounds: 31, warm: 0 },
    Case { name: "64k/k16", nodes: 1 << 10, objects: 16, steps: 2 << 20, rounds: 31, warm: 0 },
    Case { name: "8m/k16", nodes: 1 << 17, objects: 16, steps: 1 << 16, rounds: 61, warm: 1 << 17 },
    Case {
        name: "512m/k16",
        nodes: 1 << 23,
        objects: 16,
        steps: 1 << 15,
        rounds: 61,
        warm: 1 << 16,
    },
];

/// A case's cycle, and what each node holds.
pub struct Course {
    /// The case.
    pub case: Case,
    /// Nodes in the order in which they are visited.
    order: Vec<u32>,
    /// What the values of all nodes before a position add up to.
    sums: Vec<u64>,
}

/// A small random generator, always with the same sequence.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// What node `node` holds.
pub fn value(node: usize) -> u64 {
    Random(node as u64).next()
}

impl Course {
    /// A case's course.
    pub fn new(case: Case) -> Self {
        let mut order: Vec<u32> = (0..case.nodes as u32).collect();
        let mut random = Random(0x7477_697a);
        for i in (1..order.len()).rev() {
            order.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let mut sums = Vec::with_capacity(order.len() + 1);
        let mut sum = 0u64;
        sums.push(0);
        for &node in &order {
            sum = sum.wrapping_add(value(node as usize));
            sums.push(sum);
        }
        Self { case, order, sums }
    }

    /// The object that a node is in, and its place there.
    pub fn place(&self, node: usize) -> (usize, usize) {
        (node % self.case.objects, node / self.case.objects)
    }

    /// Nodes in each object.
    pub fn nodes_each(&self) -> usize {
        self.case.nodes / self.case.objects
    }

    /// The node at a position of the cycle.
    pub fn node(&self, position: usize) -> usize {
        self.order[position] as usize
    }

    /// Every node with the one that follows it.
    pub fn links(&self) -> impl Iterator<Item = (usize, usize)> {
        let next = self.order.iter().cycle().skip(1);
        self.order.iter().zip(next).map(|(&a, &b)| (a as usize, b as usize))
    }

    /// What `steps` steps from a position add up to.
    fn expected(&self, position: usize, steps: u64) -> u64 {
        let (all, n) = (self.sums[self.order.len()], self.order.len() as u64);
        let (whole, rest) = (steps / n, (steps % n) as usize);
        let end = position + rest;
        let rest = match end.checked_sub(self.order.len()) {
            None => self.sums[end].wrapping_sub(self.sums[position]),
            Some(end) => all.wrapping_sub(self.sums[position]).wrapping_add(self.sums[end]),
        };
        rest.wrapping_add(all.wrapping_mul(whole))
    }
}

/// Where a runner is on its course. Runners start far apart, so that none runs
/// in the cache lines that another has just warmed.
pub struct Runner<'a> {
    course: &'a Course,
    position: usize,
}

impl<'a> Runner<'a> {
    /// Runner `number` of `of`.
    pub fn new(course: &'a Course, number: usize, of: usize) -> Self {
        Self { course, position: course.case.nodes / of * number }
    }

    /// The node it starts from.
    pub fn start(&self) -> usize {
        self.course.node(self.position)
    }

    /// It has made `steps` steps and come to this sum.
    pub fn arrived(&mut self, steps: u64, sum: u64) -> Result<(), Failed> {
        let expected = self.course.expected(self.position, steps);
        let n = self.course.case.nodes as u64;
        self.position = ((self.position as u64 + steps) % n) as usize;
        match sum == expected {
            true => Ok(()),
            false => Err(Failed::new(format!(
                "{}: a wrong sum: {sum:#x}, not {expected:#x}",
                self.course.case.name
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_is_one_cycle_and_its_sums_are_right() {
        let course =
            Course::new(Case { name: "t", nodes: 64, objects: 4, steps: 1, rounds: 1, warm: 0 });
        let mut next = [usize::MAX; 64];
        for (from, to) in course.links() {
            assert_eq!(next[from], usize::MAX);
            next[from] = to;
        }
        let mut runner = Runner::new(&course, 1, 3);
        let mut at = runner.start();
        for steps in [1, 63, 64, 200, 7] {
            let mut sum = 0u64;
            for _ in 0..steps {
                sum = sum.wrapping_add(value(at));
                at = next[at];
            }
            assert!(runner.arrived(steps, sum).is_ok());
        }
        assert!(runner.arrived(3, 1).is_err());
    }
}
