// SPDX-License-Identifier: MIT OR Apache-2.0
//! The README's table of stores, from the report of a run: `twz-bench kvs --readme`
//! prints it, so that nobody types a figure.

use crate::{
    error::Failed,
    goal::{self, Goal},
    report::{self, Record},
};

const CASES: [(&str, &str); 3] = [
    ("10k_8_8", "10,000 pairs of 8 and 8 bytes"),
    ("1m_8_8", "1,000,000 pairs of 8 and 8 bytes"),
    ("1m_16_100", "1,000,000 pairs of 16 and 100 bytes"),
];
const COLUMNS: [(&str, &str); 6] = [
    ("get", "lookup"),
    ("get_dep", "dependent"),
    ("insert", "insert"),
    ("insert_durable", "durable insert"),
    ("delete", "delete"),
    ("space", "space"),
];

/// Prints it.
pub fn print() -> Result<(), Failed> {
    for table in tables(&report::read("kvs.json")?) {
        println!("{table}");
    }
    println!(
        "In brackets the goal, where there is one for the ratio; what missed it is bold.\n\
         Space is that of all files or memory."
    );
    Ok(())
}

/// One for each size that was raced.
fn tables(records: &[Record]) -> Vec<String> {
    let mut tables = Vec::new();
    for (case, title) in CASES {
        let here = |record: &&Record| record.case.starts_with(&format!("{case}/"));
        let mut peers: Vec<&str> = Vec::new();
        for record in records.iter().filter(here) {
            if !peers.contains(&record.peer.as_str()) {
                peers.push(&record.peer);
            }
        }
        if peers.is_empty() {
            continue;
        }
        let titles: Vec<&str> = COLUMNS.iter().map(|(_, title)| *title).collect();
        let mut table = format!("| {title}: twzkvs to | {} |\n", titles.join(" | "));
        table += &format!("|---|{}\n", "---|".repeat(COLUMNS.len()));
        for peer in peers {
            let cells = COLUMNS.map(|(what, _)| {
                let of = format!("{case}/{what}");
                let found = records.iter().find(|record| {
                    record.case == of && record.peer == peer && record.unit != "instructions"
                });
                found.map_or(String::new(), cell)
            });
            table += &format!("| {peer} | {} |\n", cells.join(" | "));
        }
        tables.push(table);
    }
    tables
}

/// A ratio, and its goal.
fn cell(record: &Record) -> String {
    let ratio = report::short(record.ratio);
    let goals = goal::of(record).iter();
    let goal = goals.clone().find(|goal| matches!(goal, Goal::Ratio(_) | Goal::SecondRatio(_)));
    match goal {
        Some(goal @ (Goal::Ratio(limit) | Goal::SecondRatio(limit))) => {
            let bold = if goal.reached(record) { "" } else { "**" };
            format!("{bold}{ratio}{bold} ({limit})")
        }
        _ => ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_bold_and_what_was_not_raced_is_empty() {
        let record = |case: &str, peer, ratio| Record {
            bench: "kvs".into(),
            ..Record::from_counts(case, ["twzkvs", peer], [ratio, 1.0], "ns")
        };
        let all = tables(&[
            record("1m_8_8/get", "unixkvs", 0.95),
            record("1m_8_8/insert", "unixkvs", 0.5),
            record("1m_8_8/get", "boxed", 1.5),
            record("1m_8_8/delete", "boxed", 1.0),
            record("100k_8_8/get", "boxed", 9.0),
        ]);
        let [table] = &all[..] else { panic!("{all:?}") };
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[2], "| unixkvs | **0.95** (0.9) |  | 0.50 (0.9) |  |  |  |");
        assert_eq!(lines[3], "| boxed | **1.50** (1.25) |  |  |  | 1.00 |  |");
        assert_eq!(lines.len(), 4);
    }
}
