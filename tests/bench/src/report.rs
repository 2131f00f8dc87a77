// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report: the records of a bench as JSON, and as a table for people.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    error::Failed,
    goal,
    race::{Race, spread},
};

/// One subject against one peer in one case; below 1 the subject is cheaper.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// The bench.
    pub bench: String,
    /// The case.
    pub case: String,
    /// Who is measured.
    pub subject: String,
    /// Whom it is compared with.
    pub peer: String,
    /// Subject / peer: the median over the rounds.
    pub ratio: f64,
    /// The lowest.
    pub lo: f64,
    /// The highest.
    pub hi: f64,
    /// What the subject took, by the median.
    pub subject_value: f64,
    /// What the peer took, by the median.
    pub peer_value: f64,
    /// What both values count.
    pub unit: String,
    /// Rounds.
    pub rounds: usize,
}

impl Record {
    /// From times per operation, round by round.
    pub fn from_rounds(
        race: &Race,
        subject: &str,
        peer: &str,
        ours: &[f64],
        theirs: &[f64],
    ) -> Self {
        let (ratio, lo, hi) = spread(ours.iter().zip(theirs).map(|(a, b)| a / b));
        Self {
            bench: race.bench.into(),
            case: race.case.into(),
            subject: subject.into(),
            peer: peer.into(),
            ratio,
            lo,
            hi,
            subject_value: spread(ours.iter().copied()).0,
            peer_value: spread(theirs.iter().copied()).0,
            unit: "ns".into(),
            rounds: race.rounds,
        }
    }

    /// From two counts, which have no spread.
    pub fn from_counts(case: &str, pair: [&str; 2], counts: [f64; 2], unit: &str) -> Self {
        let ratio = counts[0] / counts[1];
        Self {
            bench: "ptr".into(),
            case: case.into(),
            subject: pair[0].into(),
            peer: pair[1].into(),
            ratio,
            lo: ratio,
            hi: ratio,
            subject_value: counts[0],
            peer_value: counts[1],
            unit: unit.into(),
            rounds: 1,
        }
    }
}

/// Where reports go: `target/bench` of the workspace.
fn directory() -> PathBuf {
    match std::env::var_os("TWZ_BENCH_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => dir.into(),
        None => PathBuf::from("target/bench"),
    }
}

/// A record with what it is held to, and whether that was reached.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    goals: Vec<String>,
}

/// A bench's report, one record a line.
pub fn json(records: &[Record]) -> Result<String, Failed> {
    let lines: Result<Vec<String>, _> = records
        .iter()
        .map(|record| {
            let goals = goal::of(record).iter().map(|goal| goal.verdict(record)).collect();
            serde_json::to_string(&Line { record, goals })
        })
        .collect();
    Ok(format!("[\n{}\n]\n", lines?.join(",\n")))
}

/// The records of a run that was.
pub fn read(name: &str) -> Result<Vec<Record>, Failed> {
    let path = directory().join(name);
    let text = fs::read_to_string(&path)
        .map_err(|error| Failed::new(format!("{}: {error}; run the bench", path.display())))?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes a file to where reports go.
pub fn write(name: &str, text: &str) -> Result<(), Failed> {
    let path = directory().join(name);
    fs::create_dir_all(directory())?;
    fs::write(&path, text)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

/// A value with about three digits that count.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Prints a bench's table, losses like wins, and how many goals were reached.
pub fn print(bench: &str, records: &[Record]) {
    println!("\n{bench}: ratio = subject / peer, below 1 the subject is cheaper");
    println!(
        "{:<28}{:<12}{:<12}{:>7} {:>7} {:>7} {:>8} {:>8} {:<6} goals",
        "case", "subject", "peer", "ratio", "lo", "hi", "subject", "peer", "unit"
    );
    let (mut reached, mut set) = (0, 0);
    for record in records {
        let goals = goal::of(record);
        set += goals.len();
        reached += goals.iter().filter(|goal| goal.reached(record)).count();
        let verdicts: Vec<String> = goals.iter().map(|goal| goal.verdict(record)).collect();
        println!(
            "{:<28}{:<12}{:<12}{:>7} {:>7} {:>7} {:>8} {:>8} {:<6} {}",
            record.case,
            record.subject,
            record.peer,
            short(record.ratio),
            short(record.lo),
            short(record.hi),
            short(record.subject_value),
            short(record.peer_value),
            if record.unit == "instructions" { "instr" } else { &record.unit },
            verdicts.join(", ")
        );
    }
    println!("{bench}: {reached} of {set} goals reached");
}
