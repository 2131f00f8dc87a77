// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is told: a line for each case (KTAP), the pass counts beside those of an
//! ordinary directory in the same run as a table, and all of it as JSON.
//!
//! A case that the ordinary directory passes has to pass here: one that is skipped or
//! missing has failed. One that fails on an ordinary directory, too, says nothing
//! about this one, and is named as skipped. One that is [`known`] to fail here counts as
//! failed, and only says so.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde::Serialize;

use crate::{
    case::{Case, Outcome, end_of},
    copied::Copied,
    known,
    layer::Kind,
    trial::Trial,
};

#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    pass: u64,
    fail: u64,
    skip: u64,
}

impl Counts {
    fn add(&mut self, case: &Case) {
        match case.outcome {
            Outcome::Pass => self.pass += case.tests,
            Outcome::Fail(_) => self.fail += case.tests,
            Outcome::Skip(_) => self.skip += case.tests,
        }
    }

    fn text(self) -> String {
        format!("{}/{}/{}", self.pass, self.fail, self.skip)
    }
}

/// One suite on one layer.
#[derive(Serialize)]
struct Row {
    suite: String,
    layer: &'static str,
    #[serde(flatten)]
    counts: Counts,
    native: Counts,
    /// How many of those that failed are known to.
    known: u64,
    /// That the jobs took, and in an ordinary directory.
    seconds: f64,
    native_seconds: f64,
    /// After how many jobs twz saw what the programs saw, and after how many not.
    agree: Counts,
    /// What each job moved by memory, where that is what the layer does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    copied: BTreeMap<String, Copied>,
    failures: Vec<Failure>,
}

impl Row {
    fn all_copied(&self) -> Copied {
        self.copied.values().fold(Copied::default(), |mut all, copied| {
            all.add(copied);
            all
        })
    }
}

#[derive(Serialize)]
struct Failure {
    case: String,
    why: String,
    /// Why it is known to fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<&'static str>,
}

/// The report of a run.
pub struct Report {
    rows: Vec<Row>,
    lines: u64,
    /// Jobs that are done, and that there are.
    done: usize,
    jobs: usize,
}

impl Report {
    pub fn new(jobs: usize) -> Self {
        Self { rows: Vec::new(), lines: 0, done: 0, jobs }
    }

    /// Takes a layer that cannot be had.
    pub fn lacking(&mut self, kind: Kind) {
        let why = kind.lacks().unwrap_or_default();
        self.line(kind, "all", kind.name(), &Outcome::Skip(why.into()));
    }

    /// Takes a job: what came of it in an ordinary directory, and on each layer.
    pub fn job(&mut self, suite: &str, job: &str, native: &Trial, trials: Vec<Trial>) {
        self.done += 1;
        // What takes long says that it goes on, and with what.
        let time = |trial: &Trial| format!(" {} {:.1} s", trial.kind.name(), trial.seconds);
        let times: String = std::iter::once(native).chain(&trials).map(time).collect();
        eprintln!("posix-suites: {} of {}, {suite}.{job}{times}", self.done, self.jobs);
        trials.into_iter().for_each(|trial| self.trial(suite, job, native, trial));
    }

    fn trial(&mut self, suite: &str, job: &str, native: &Trial, trial: Trial) {
        let kind = trial.kind;
        let prefix = match trial.cases.len() == 1 && trial.cases[0].name == job {
            true => format!("{}.{suite}", kind.name()),
            false => format!("{}.{suite}.{job}", kind.name()),
        };
        for mut case in judge(&native.cases, trial.cases) {
            let name = format!("{prefix}.{}", case.name);
            let known =
                known::why(kind, name.trim_start_matches(kind.name()).trim_start_matches('.'));
            if known.is_some() && case.outcome == Outcome::Pass {
                case.outcome = Outcome::Fail("it is known to fail, and passes".into());
            } else if let Some(why) = known {
                self.known(kind, suite, &name, &case, why);
                continue;
            }
            self.row(kind, suite).counts.add(&case);
            self.line(kind, suite, &name, &case.outcome);
        }
        if let Some(agreement) = trial.agreement {
            let case = Case::of("twz", agreement.map(|()| String::new()));
            self.row(kind, suite).agree.add(&case);
            let name = format!("{}.{suite}.{job} twz agrees", kind.name());
            self.line(kind, suite, &name, &case.outcome);
        }
        let row = self.row(kind, suite);
        native.cases.iter().for_each(|case| row.native.add(case));
        row.seconds += trial.seconds;
        row.native_seconds += native.seconds;
        if let Some(copied) = trial.copied {
            println!("# {}.{suite}.{job}: {}", kind.name(), copied.text());
            row.copied.insert(job.into(), copied);
        }
    }

    fn row(&mut self, kind: Kind, suite: &str) -> &mut Row {
        let layer = kind.name();
        let is = |row: &Row| row.suite == suite && row.layer == layer;
        let at = self.rows.iter().position(is).unwrap_or_else(|| {
            self.rows.push(Row {
                suite: suite.into(),
                layer,
                counts: Counts::default(),
                native: Counts::default(),
                known: 0,
                seconds: 0.0,
                native_seconds: 0.0,
                agree: Counts::default(),
                copied: BTreeMap::new(),
                failures: Vec::new(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Takes a case that did not pass, and is known not to.
    fn known(&mut self, kind: Kind, suite: &str, name: &str, case: &Case, known: &'static str) {
        println!("not ok {} {name} # XFAIL {known}", self.number());
        let said = match &case.outcome {
            Outcome::Fail(said) => end_of(said, 40),
            _ => String::new(),
        };
        let row = self.row(kind, suite);
        row.counts.add(case);
        if matches!(case.outcome, Outcome::Fail(_)) {
            row.known += case.tests;
            row.failures.push(Failure { case: name.into(), why: said, known: Some(known) });
        }
    }

    /// The number of the next line.
    fn number(&mut self) -> u64 {
        if self.lines == 0 {
            println!("KTAP version 1");
        }
        self.lines += 1;
        self.lines
    }

    fn line(&mut self, kind: Kind, suite: &str, name: &str, outcome: &Outcome) {
        let n = self.number();
        match outcome {
            Outcome::Pass => println!("ok {n} {name}"),
            Outcome::Skip(why) => println!("ok {n} {name} # SKIP {}", why.replace('\n', "; ")),
            Outcome::Fail(why) => {
                println!("not ok {n} {name}");
                end_of(why, 40).lines().for_each(|line| println!("# {line}"));
                let failure = Failure { case: name.into(), why: end_of(why, 40), known: None };
                self.row(kind, suite).failures.push(failure);
            }
        }
    }

    /// Says it all again, shortly. Whether nothing failed, and something ran.
    pub fn finish(self, json: Option<&Path>) -> Result<bool, String> {
        println!("1..{}", self.lines);
        self.rows.iter().flat_map(|row| &row.failures).for_each(|failure| match failure.known {
            Some(why) => println!("# known to fail: {} ({why})", failure.case),
            None => println!("# failed: {}", failure.case),
        });
        println!(
            "# {:<10} {:<7} {:>14} {:>14} {:>8} {:>8} {:>8} {:>6}",
            "suite", "layer", "p/f/s", "native", "agree", "seconds", "native", "times"
        );
        for row in &self.rows {
            println!(
                "# {:<10} {:<7} {:>14} {:>14} {:>8} {:>8.1} {:>8.1} {:>6.2}",
                row.suite,
                row.layer,
                row.counts.text(),
                row.native.text(),
                format!("{}/{}", row.agree.pass, row.agree.fail),
                row.seconds,
                row.native_seconds,
                row.seconds / row.native_seconds.max(0.001),
            );
        }
        if let Some(path) = json {
            let text =
                serde_json::to_string_pretty(&self.rows).map_err(|error| error.to_string())?;
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let clean = |row: &Row| row.counts.fail == row.known && row.agree.fail == 0;
        let ran = self.rows.iter().any(|row| row.counts.pass > 0);
        Ok(self.rows.iter().all(clean) && ran && self.is_what_it_says())
    }

    /// Says what was copied, where that is what the layer does. What ran without the library
    /// shows in that nothing was counted at all: then nothing was tried, either.
    fn is_what_it_says(&self) -> bool {
        let copying = |row: &&Row| row.layer == Kind::Run.name();
        let mut rows = self.rows.iter().filter(copying).peekable();
        let asked = rows.peek().is_some();
        let mut counted = false;
        for row in rows {
            let copied = row.all_copied();
            counted |= copied.was_there();
            println!("# {:<10} {}", row.suite, copied.text());
        }
        if asked && !counted {
            println!("# nothing was counted: the preload library was not there");
        }
        counted || !asked
    }
}

/// The cases as they count, beside those of an ordinary directory.
fn judge(native: &[Case], cases: Vec<Case>) -> Vec<Case> {
    let mut before: HashMap<&str, &Case> =
        native.iter().map(|case| (case.name.as_str(), case)).collect();
    let mut judged = Vec::new();
    for Case { name, outcome, tests } in cases {
        let native = before.remove(name.as_str());
        let outcome = match (native.map(|case| &case.outcome), outcome) {
            (Some(Outcome::Pass), Outcome::Skip(why)) => {
                Outcome::Fail(format!("skipped, and an ordinary directory passes: {why}"))
            }
            (Some(Outcome::Fail(_)), Outcome::Fail(why)) => Outcome::Skip(format!(
                "it fails in an ordinary directory, too: {}",
                end_of(&why, 1)
            )),
            (_, outcome) => outcome,
        };
        // A case of many that has fewer than there: where are the others?
        let fewer = native.map_or(0, |case| case.tests.saturating_sub(tests));
        if fewer > 0 && outcome == Outcome::Pass {
            judged.push(not_run(format!("{name}, the others"), fewer));
        }
        judged.push(Case { name, outcome, tests });
    }
    let missing = before.into_values().filter(|case| case.outcome == Outcome::Pass);
    judged.extend(missing.map(|case| not_run(case.name.clone(), case.tests)));
    judged
}

/// A case that was not there to be judged.
fn not_run(name: String, tests: u64) -> Case {
    Case::many(
        name,
        tests.max(1),
        Outcome::Fail("not run, and an ordinary directory passes".into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_what_an_ordinary_directory_does() {
        let fail = || Outcome::Fail("why".into());
        let skip = || Outcome::Skip("why".into());
        let native = [
            Case::new("a", Outcome::Pass),
            Case::new("b", fail()),
            Case::new("c", Outcome::Pass),
            Case::new("d", skip()),
            Case::new("e", Outcome::Pass),
            Case::many("f", 9, Outcome::Pass),
        ];
        let here = vec![
            Case::new("a", fail()),
            Case::new("b", fail()),
            Case::new("c", skip()),
            Case::new("d", skip()),
            Case::many("f", 7, Outcome::Pass),
        ];
        let judged = judge(&native, here);
        let failed: Vec<_> = judged
            .iter()
            .filter(|case| matches!(case.outcome, Outcome::Fail(_)))
            .map(|case| case.name.as_str())
            .collect();
        assert_eq!(failed, ["a", "c", "f, the others", "e"]);
        let mut counts = Counts::default();
        judged.iter().for_each(|case| counts.add(case));
        assert_eq!(counts.text(), "7/5/2");
    }
}
