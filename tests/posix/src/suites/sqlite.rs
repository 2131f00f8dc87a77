// SPDX-License-Identifier: MIT OR Apache-2.0
//! SQLite's own tests, the set that it calls "veryquick", as a user who is not root: for
//! root, the files that it must not be able to open can be opened.
//!
//! There are hundreds of thousands, so a case is a file of them that passed, as many as it
//! has. Each test that fails is a case by itself.

use std::collections::BTreeMap;

use super::Job;
use crate::case::{Case, Outcome, end_of, told};

/// How many jobs they are: each is a minute of them or two.
const PARTS: u32 = 16;

pub fn jobs() -> Vec<Job> {
    let job = |part: u32| {
        Job::new(format!("veryquick_{part}"), move |room| {
            let part = format!("TCLTEST_PART={part}/{PARTS}");
            let (program, scripts) = ("sqlite/testfixture", "sqlite/test/veryquick.test");
            let words = [part.into(), room.tool(program), room.tool(scripts)];
            told(room.run_as_user("env", words), parse)
        })
    };
    (1..=PARTS).map(job).collect()
}

/// A line for each test, `NAME... Ok`; after one that is not, what it expected and what it
/// got. A file of tests ends with its time, all of them with their number and that of
/// those that failed.
fn parse(said: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut failed: BTreeMap<&str, String> = BTreeMap::new();
    let (mut in_file, mut passed) = (0, 0);
    for line in said.lines() {
        if line.ends_with(" Ok") {
            in_file += 1;
        } else if let Some(rest) = line.strip_prefix("! ") {
            let name = rest.split_whitespace().next().unwrap_or_default();
            failed.entry(name).or_default().push_str(&format!("{rest}\n"));
        } else if let Some(rest) = line.strip_prefix("Time: ") {
            let name = rest.split_whitespace().next().unwrap_or_default();
            cases.push(Case::many(name, in_file, Outcome::Pass));
            passed += std::mem::take(&mut in_file);
        } else if let Some((errors, tests)) = counts(line) {
            // The line of some has been broken by what their programs said.
            let rest = (tests - errors).saturating_sub(passed);
            cases.push(Case::many("others", rest, Outcome::Pass));
        } else if let Some(names) = line.strip_prefix("!Failures on these tests:") {
            names.split_whitespace().for_each(|name| _ = failed.entry(name).or_default());
        }
    }
    let lines = |(name, why): (&str, String)| Case::new(name, Outcome::Fail(end_of(&why, 20)));
    cases.extend(failed.into_iter().map(lines));
    cases
}

/// "N errors out of M tests on ...".
fn counts(line: &str) -> Option<(u64, u64)> {
    let (errors, rest) = line.split_once(" errors out of ")?;
    let (tests, _) = rest.split_once(" tests")?;
    let (errors, tests) = (errors.parse().ok()?, tests.parse().ok()?);
    (errors <= tests).then_some((errors, tests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_its_tests() {
        let said = "a-1... Ok\na-2...\n! a-2 expected: [1]\n! a-2 got:      [2]\na-3... Ok\n\
                    Time: a.test 12 ms\nb-1...noise\n Ok\nb-2...noise\nOk\nTime: b.test 1 ms\n\
                    1 errors out of 5 tests on vm Linux\n!Failures on these tests: a-2\n";
        let cases = parse(said);
        let all: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.tests)).collect();
        assert_eq!(all, [("a.test", 2), ("b.test", 1), ("others", 1), ("a-2", 1)]);
        let why = "a-2 expected: [1]\na-2 got:      [2]";
        assert_eq!(cases[3].outcome, Outcome::Fail(why.into()));
        assert_eq!(cases.iter().map(|case| case.tests).sum::<u64>(), 5);
    }

    #[test]
    fn only_its_own_count_is_one() {
        assert_eq!(counts("1 errors out of 5 tests on vm"), Some((1, 5)));
        assert_eq!(counts("6 errors out of 5 tests on vm"), None);
        assert_eq!(counts("x errors out of 5 tests on vm"), None);
    }
}
