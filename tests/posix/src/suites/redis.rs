// SPDX-License-Identifier: MIT OR Apache-2.0
//! Redis' own tests of what it keeps in files, run with the server that Debian has
//! installed: append-only files and dumps, whole, cut off, and damaged.
//!
//! `integration/aof-race` is left out: it fails now and then on any directory.

use std::collections::HashMap;

use super::Job;
use crate::{
    case::{Case, Outcome, plain, told},
    room::Room,
};

const UNITS: [&str; 8] = [
    "integration/aof",
    "integration/aof-multi-part",
    "integration/convert-ziplist-hash-on-load",
    "integration/convert-ziplist-zset-on-load",
    "integration/convert-zipmap-hash-on-load",
    "integration/corrupt-dump",
    "integration/rdb",
    "unit/aofrw",
];

pub fn jobs() -> Vec<Job> {
    let job = |unit: &'static str| {
        let name = unit.rsplit('/').next().unwrap_or(unit);
        Job::new(name, move |room| {
            run(room, unit).unwrap_or_else(|why| vec![Case::new(unit, Outcome::Fail(why))])
        })
    };
    UNITS.map(job).into()
}

fn run(room: &Room, unit: &str) -> Result<Vec<Case>, String> {
    // They work below where they are; what servers leave there is kept, for twz to see.
    room.run("cp", ["-r".into(), room.tool("redis/tests"), room.tool("redis/src"), ".".into()])?;
    let options = ["tests/test_helper.tcl", "--clients", "1", "--dont-clean", "--single", unit];
    Ok(told(room.run("tclsh", options), parse))
}

/// A line for each test, in colours, as it comes: its state, its name, and how long it
/// took, or else where it failed. One that waits for others has the others' after it.
fn parse(said: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut seen: HashMap<String, u32> = HashMap::new();
    let said = plain(said);
    // What failed is listed once more behind this.
    let said = said.split("The End").next().unwrap_or_default();
    for line in said.lines() {
        let Some((state, rest)) = line.split_once("]: ") else { continue };
        let (name, outcome) = match state {
            "[ok" => (rest.rsplit_once(" (").map_or(rest, |(name, _)| name), Outcome::Pass),
            "[err" => (
                rest.rsplit_once(" in tests/").map_or(rest, |(name, _)| name),
                Outcome::Fail(after(said, line)),
            ),
            "[skip" | "[ignore" => {
                let (name, why) = rest.rsplit_once(": ").unwrap_or((rest, ""));
                (name, Outcome::Skip(why.into()))
            }
            _ => continue,
        };
        // Some names are those of several tests.
        let nth = seen.entry(name.into()).and_modify(|nth| *nth += 1).or_insert(1);
        let name = if *nth == 1 { name.into() } else { format!("{name} ({nth})") };
        cases.push(Case::new(name, outcome));
    }
    cases
}

/// A line and the few behind it, which say why.
fn after(said: &str, line: &str) -> String {
    let rest = said.split_once(line).map_or("", |(_, rest)| rest);
    let why: Vec<&str> = rest.lines().take_while(|line| !line.starts_with('[')).take(8).collect();
    format!("{line}{}", why.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_cases() {
        let said = "Testing integration/aof\n\
                    [\u{1b}[0;32;49mok\u{1b}[0m]: Short read: Server should start (2 ms)\n\
                    [\u{1b}[0;31;49merr\u{1b}[0m]: It loads in tests/integration/aof.tcl\nExpected 1\n\
                    [ok]: Short read: Server should start (3 ms)\n\
                    [ignore]: wide: large memory flag not provided\n\
                    [1/1 done]: integration/aof (16 seconds)\n   The End\n\
                    *** [err]: It loads in tests/integration/aof.tcl\n";
        let cases = parse(said);
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        let start = "Short read: Server should start";
        assert_eq!(names, [start, "It loads", &format!("{start} (2)"), "wide"]);
        assert_eq!(cases[0].outcome, Outcome::Pass);
        assert!(matches!(&cases[1].outcome, Outcome::Fail(why) if why.ends_with("Expected 1")));
        assert_eq!(cases[3].outcome, Outcome::Skip("large memory flag not provided".into()));
    }
}
