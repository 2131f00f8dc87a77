// SPDX-License-Identifier: MIT OR Apache-2.0
//! That the race of stores runs, at a size that measures nothing: every store
//! does everything it can and is checked, and the report is as it is to be.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

const PEERS: [&str; 9] =
    ["unixkvs", "pmemobj_tx", "hashbrown", "boxed", "lmdb", "redb", "sled", "sqlite", "rocksdb"];
/// What cannot be durable, and what cannot be opened again.
const IN_MEMORY: [&str; 2] = ["hashbrown", "boxed"];

fn run(to: &Path) -> (String, Vec<Value>) {
    let output = Command::new(env!("CARGO_BIN_EXE_twz-bench"))
        .args(["kvs", "--quick"])
        .env("TWZ_BENCH_DIR", to)
        .output()
        .unwrap();
    let (said, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    let report = fs::read_to_string(to.join("kvs.json")).unwrap();
    (said.into_owned(), serde_json::from_str(&report).unwrap())
}

fn has(records: &[Value], case: &str, peer: &str, unit: &str) -> bool {
    let found =
        records.iter().find(|r| r["case"] == case && r["peer"] == peer && r["unit"] == unit);
    found.is_some_and(|record| {
        let number = |field: &str| record[field].as_f64().filter(|n| n.is_finite() && *n > 0.0);
        let whole = ["ratio", "lo", "hi", "subject_value", "peer_value", "rounds"];
        record["bench"] == "kvs" && whole.into_iter().all(|field| number(field).is_some())
    })
}

#[test]
fn every_store_does_everything_it_can() {
    let to = tempfile::tempdir().unwrap();
    let (said, records) = run(to.path());
    let mut missing = Vec::new();
    let mut want = |case: &str, peer: &str, unit: &str| {
        if !has(&records, case, peer, unit) && !said.contains(&format!("kvs: {peer} left out")) {
            missing.push(format!("{case} {peer} {unit}"));
        }
    };
    for pairs in ["8_8", "16_100"] {
        for peer in PEERS {
            for what in ["insert", "get", "get_dep", "miss", "insert_durable", "delete", "reopen"] {
                let lasts = matches!(what, "insert_durable" | "reopen");
                if !(lasts && IN_MEMORY.contains(&peer)) {
                    want(&format!("quick_{pairs}/{what}"), peer, "ns");
                }
            }
            want(&format!("quick_{pairs}/space"), peer, "B/B");
        }
        want(&format!("quick_{pairs}/insert_durable"), "lmdb_sync", "ns");
    }
    want("readers_2", "self_1", "ns");
    want("insert_durable", "pmemobj_tx", "fences");
    want("insert_durable", "pmemobj_tx", "lines");
    assert!(missing.is_empty(), "not in the report:\n{}", missing.join("\n"));
    // An insert of libpmemobj's cannot do without them: they are really counted.
    let fences = records.iter().find(|record| record["unit"] == "fences").unwrap();
    assert!(fences["peer_value"].as_f64().unwrap() >= 2.0, "{fences}");

    let plot = fs::read_to_string(to.path().join("kvs.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.ends_with("</svg>\n"));
    // Subject and five fast peers, in three panels.
    assert_eq!(plot.matches("<polyline").count(), 6 * 3, "{plot}");
}
