// SPDX-License-Identifier: MIT OR Apache-2.0
//! The race of faults: first touches of memory in a view against the same on
//! ext4 with DAX and on tmpfs, in one boot, in turns.
//!
//! What each side has before the clock runs is the same: an object or file of the
//! right size without a page or, as the case's name says, `reserved`, whose pages were
//! asked for (RESERVE, fallocate) and not yet written, `written`, whose pages
//! were asked for and filled. Where it is `reserved`, RESERVE has made zeros
//! beforehand and fallocate leaves them to the touch: who judges mapping alone
//! looks at `written`, where nobody has anything else to do. Mappings are made
//! before the clock runs, and pages of 2 MiB are forbidden where pages of 4 KiB
//! are raced, on all sides. Both devices were written from end to end once, so
//! that the host has their memory. Times are CPU times of the process.
//!
//! With a million objects the module is also compared with itself before: the
//! peers, which do not change, are the yardstick of how fast the machine was.

mod ground;
mod report;
mod sides;

use crate::{options::Options, sys::Session, world::view_object};
use ground::Ground;
use report::Record;
use sides::{Ext4, Side, State, Tmpfs, Twz};

/// Rounds of each race: more than the seven that a median wants.
const ROUNDS: usize = 9;

/// What is raced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Case {
    /// Stores, one to each page of 4 KiB.
    Write4k,
    /// Loads, one from each page of 4 KiB.
    Read4k,
    /// Stores, one to each 2 MiB.
    Large,
    /// An object or file that was never used by this process: mapped, touched,
    /// and let go.
    Map,
}

impl Case {
    const fn name(self) -> &'static str {
        match self {
            Self::Write4k => "4k_write",
            Self::Read4k => "4k_read",
            Self::Large => "2m",
            Self::Map => "view_map_touch",
        }
    }

    /// Touches of each side in a round.
    const fn touches(self) -> u64 {
        match self {
            Self::Write4k | Self::Read4k => 2048,
            Self::Large => 48,
            Self::Map => 192,
        }
    }

    const fn states(self) -> &'static [State] {
        match self {
            Self::Read4k => &[State::Sparse, State::Written],
            _ => &[State::Sparse, State::Reserved, State::Written],
        }
    }
}

const CASES: [Case; 4] = [Case::Write4k, Case::Read4k, Case::Large, Case::Map];

/// Objects that the pool has in the second half.
const MANY: u64 = 1_000_000;

/// Objects that it has in the first.
const FEW: u64 = 1000;

/// Runs the race; whether it came to its end.
pub fn run(options: &Options) -> bool {
    let many = options.count.unwrap_or(MANY);
    let ground = match Ground::prepare(options, many) {
        Ok(ground) => ground,
        Err(why) => {
            println!("SKIPPED: {why}");
            return false;
        }
    };
    println!("{}", ground.describe());
    let session = Session::open();
    let mut filler = Filler::default();
    filler.fill(&session, FEW);
    let first = races(&ground, "", &[]);
    filler.fill(&session, many);
    let label = if many == MANY { "_1m_objects".to_owned() } else { format!("_{many}_objects") };
    let second = races(&ground, &label, &first);
    let records: Vec<Record> = first.into_iter().chain(second).collect();
    report::print(&records);
    true
}

/// Objects that are only there.
#[derive(Default)]
struct Filler(u64);

impl Filler {
    fn fill(&mut self, session: &Session, to: u64) {
        let begun = std::time::Instant::now();
        while self.0 < to {
            let mut create = twz_abi::ioctl::Create { default_rights: 19, ..Default::default() };
            crate::sys::command(session.raw(), twz_abi::ioctl::CREATE, &mut create)
                .expect("CREATE");
            self.0 += 1;
        }
        println!("{to} objects in the pool after {:.1} s", begun.elapsed().as_secs_f64());
    }
}

/// Every case in every state. `before` are the records with few objects, which
/// the module is then also compared with itself by.
fn races(ground: &Ground, label: &str, before: &[Record]) -> Vec<Record> {
    let mut records = Vec::new();
    for (case, state) in CASES.iter().flat_map(|case| case.states().iter().map(|s| (*case, *s))) {
        let name = format!("{}{label}{}", case.name(), state.suffix());
        let times = race(ground, case, state);
        for (peer, theirs) in times.iter().skip(1) {
            records.push(Record::new(&name, peer, &times[0].1, theirs));
        }
        let alone = format!("{}{}", case.name(), state.suffix());
        let few: Vec<&Record> = before.iter().filter(|record| record.case == alone).collect();
        if let [ext4, tmpfs] = few[..] {
            let yardstick = |a: &[f64], b: &[f64]| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| (a * b).sqrt()).collect()
            };
            let now = yardstick(&times[1].1, &times[2].1);
            let then = yardstick(&ext4.theirs, &tmpfs.theirs);
            records.push(Record::with_itself(&name, [&times[0].1, &now], [&ext4.ours, &then]));
        }
        records.iter().filter(|record| record.case == name).for_each(Record::tell);
    }
    records
}

/// Times of each side, round by round, ns for a touch.
fn race(ground: &Ground, case: Case, state: State) -> Vec<(&'static str, Vec<f64>)> {
    let session = Session::open();
    let view = view_object(&session, sides::SLOTS);
    let mut sides: Vec<Box<dyn Side>> = vec![
        Box::new(Twz::new(session, view)),
        Box::new(Ext4::new(&ground.ext4)),
        Box::new(Tmpfs::new(&ground.tmpfs(case))),
    ];
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); sides.len()];
    let touches = case.touches();
    for round in 0..=ROUNDS {
        for turn in 0..sides.len() {
            let who = (round + turn) % sides.len();
            sides[who].prepare(case, state, touches);
            let begun = cpu_ns();
            sides[who].touch(case, touches);
            let took = (cpu_ns() - begun) as f64 / touches as f64;
            sides[who].check(case, state, touches);
            sides[who].clear();
            // The first round warms up.
            if round > 0 {
                times[who].push(took);
            }
        }
    }
    sides.iter().map(|side| side.name()).zip(times).collect()
}

/// CPU time of this process.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
