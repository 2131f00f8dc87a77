// SPDX-License-Identifier: MIT OR Apache-2.0
//! How two things are compared: in turns, by CPU time, ratio by ratio.
//!
//! In each round every [`Contender`] does the same number of operations, one
//! after the other, each round beginning with another one. A round gives one
//! ratio for each peer; the report has their median, lowest and highest.

use crate::{error::Failed, report::Record};

/// Something that does operations and can tell whether it did them right.
pub trait Contender {
    /// The name it has in the report.
    fn name(&self) -> &'static str;

    /// What has to be done before a timed run and is not to be counted.
    fn prepare(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    /// Does `operations` operations; an error if an answer was wrong.
    fn run(&mut self, operations: u64) -> Result<(), Failed>;
}

/// What is raced, and for how long.
#[derive(Clone, Copy)]
pub struct Race<'a> {
    /// The bench.
    pub bench: &'static str,
    /// The case.
    pub case: &'a str,
    /// Rounds.
    pub rounds: usize,
    /// Operations of each contender in each round.
    pub operations: u64,
    /// Operations that it does before them and that are not timed, so that
    /// nobody pays for what the one before it has pushed out of the caches.
    pub warm: u64,
}

impl<C: Contender + ?Sized> Contender for &mut C {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn prepare(&mut self) -> Result<(), Failed> {
        (**self).prepare()
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        (**self).run(operations)
    }
}

/// CPU time of this process, all its threads together.
pub fn cpu_ns() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of this thread alone.
pub fn thread_cpu_ns() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of all child processes that have ended and were waited for, and of theirs.
pub fn children_cpu_ns() -> u64 {
    // SAFETY: all of it is numbers, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is ours to be written.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    [usage.ru_utime, usage.ru_stime]
        .map(|time| time.tv_sec * 1_000_000 + time.tv_usec)
        .iter()
        .sum::<i64>() as u64
        * 1000
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to be written.
    unsafe { libc::clock_gettime(which, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CPU nanoseconds per operation of one run.
fn time(contender: &mut dyn Contender, race: &Race) -> Result<f64, Failed> {
    contender.prepare()?;
    if race.warm != 0 {
        contender.run(race.warm)?;
    }
    let start = cpu_ns();
    contender.run(race.operations)?;
    Ok((cpu_ns() - start) as f64 / race.operations as f64)
}

/// Races the first contender against each of the others.
pub fn race(
    race: &Race,
    contenders: &mut [Box<dyn Contender + '_>],
) -> Result<Vec<Record>, Failed> {
    let mut times = vec![Vec::with_capacity(race.rounds); contenders.len()];
    for contender in contenders.iter_mut() {
        time(&mut **contender, race)?; // warms up
    }
    for round in 0..race.rounds {
        for turn in 0..contenders.len() {
            let who = (round + turn) % contenders.len();
            times[who].push(time(&mut *contenders[who], race)?);
        }
    }
    let peers = contenders.iter().zip(&times).skip(1);
    Ok(peers
        .map(|(peer, theirs)| {
            Record::from_rounds(race, contenders[0].name(), peer.name(), &times[0], theirs)
        })
        .collect())
}

/// Median, lowest and highest.
pub fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(&lo), Some(&median), Some(&hi)) => (median, lo, hi),
        _ => (f64::NAN, f64::NAN, f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(&'static str, bool);

    impl Contender for Fake {
        fn name(&self) -> &'static str {
            self.0
        }

        fn run(&mut self, operations: u64) -> Result<(), Failed> {
            let sum = (0..operations).fold(0u64, |sum, i| sum ^ std::hint::black_box(i));
            let right = std::hint::black_box(sum) < u64::MAX && self.1;
            if right { Ok(()) } else { Err(Failed::new("wrong")) }
        }
    }

    const RACE: Race = Race { bench: "b", case: "c", rounds: 3, operations: 100_000, warm: 1 };

    #[test]
    fn every_peer_gets_a_record() {
        let fakes = |name| Box::new(Fake(name, true)) as Box<dyn Contender>;
        let records = race(&RACE, &mut [fakes("a"), fakes("x"), fakes("y")]).unwrap();
        let peers: Vec<&str> = records.iter().map(|record| record.peer.as_str()).collect();
        assert_eq!(peers, ["x", "y"]);
        assert!(records.iter().all(|r| r.subject == "a" && r.lo <= r.ratio && r.ratio <= r.hi));
    }

    #[test]
    fn a_wrong_answer_ends_the_race() {
        let mut fakes: [Box<dyn Contender>; 2] =
            [Box::new(Fake("a", true)), Box::new(Fake("b", false))];
        assert!(race(&RACE, &mut fakes).is_err());
    }

    #[test]
    fn a_spread() {
        assert_eq!(spread([3.0, 1.0, 2.0].into_iter()), (2.0, 1.0, 3.0));
        assert!(spread(std::iter::empty()).0.is_nan());
    }
}
