// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that go on after they were lost: `twzd`, the programs it keeps and
//! the counter of the examples, from outside, in a pool directory. The power is cut
//! elsewhere (`scripts/vm-resume.sh`); here processes are killed.

mod counting;
mod keeping;
mod owners;
mod recovery;
mod world;
