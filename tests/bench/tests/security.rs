// SPDX-License-Identifier: MIT OR Apache-2.0
//! That the bench of what enforcing rights costs runs, at a size that measures
//! nothing: every answer is checked, and the report is as it is to be. What is
//! counted and not timed is held to its goal even here.

use std::{fs, process::Command};

use serde_json::Value;

#[test]
fn everything_is_in_the_report() {
    let to = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_twz-bench"))
        .args(["security", "--quick"])
        .env("TWZ_BENCH_DIR", to.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let report = fs::read_to_string(to.path().join("security.json")).unwrap();
    let records: Vec<Value> = serde_json::from_str(&report).unwrap();
    let find = |case: &str, pair: [&str; 2], unit: &str| {
        let found = records.iter().find(|record| {
            record["bench"] == "security"
                && record["case"] == case
                && [&record["subject"], &record["peer"]] == pair
                && record["unit"] == unit
        });
        found.map(|record| record["ratio"].as_f64().filter(|n| n.is_finite() && *n > 0.0).unwrap())
    };
    let timed = [
        ("lookup/hot", ["1k", "10"]),
        ("lookup/random", ["1k", "10"]),
        ("lookup/random_wait", ["1k", "10"]),
        ("lookup/random_wait", ["1k", "memory"]),
        ("lookup/absent", ["1k", "10"]),
        ("verify/judge", ["twz", "dalek"]),
        ("verify/attach", ["twz", "dalek"]),
        ("verify/again", ["twz", "dalek"]),
        ("access", ["context", "none"]),
        ("read_call", ["context", "none"]),
    ];
    for (case, pair) in timed {
        assert!(find(case, pair, "ns").is_some(), "no {case} of {pair:?} in {report}");
    }
    if said.contains("not counted") {
        println!("not counted:\n{said}");
        return;
    }
    assert_eq!(find("access", ["context", "none"], "instructions"), Some(1.0), "{report}");
    let lookup = find("lookup/random", ["1k", "10"], "instructions").unwrap();
    assert!(lookup < 2.0, "a lookup takes {lookup} times as many instructions");
}
