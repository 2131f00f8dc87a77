// SPDX-License-Identifier: MIT OR Apache-2.0
//! That the bench of files that are objects runs, at a size that measures nothing, and that
//! its report has every row that there is a bound for, with the bound. A row may be missing
//! only if the bench said what it left out and why.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;

/// What each subject is measured at to each peer, and what is held to how many goals.
const ROWS: [(&str, &str, &str); 6] = [
    (
        "preload",
        "tmpfs",
        "pread_1 pread_4k pread_64k pread_1m pwrite_4k pwrite_64k read_1_lseek lseek fstat stat \
         stat_enoent open_close open_read_close create_unlink create_write_unlink append_4k \
         pwrite_fsync foreign exec exec_listed exec_unlisted rss speedtest1_delete speedtest1_wal \
         dbench",
    ),
    (
        "preload",
        "ext4",
        "pread_4k pread_64k pread_1m pwrite_4k pwrite_64k pwrite_fsync speedtest1_delete \
         speedtest1_wal",
    ),
    ("mount_dir", "tmpfs", "pread_4k pwrite_4k open_close create_unlink speedtest1_wall"),
    ("mount_image", "tmpfs", "pread_4k pwrite_4k open_close create_unlink speedtest1_wall"),
    ("mount_alone", "tmpfs", "speedtest1_wall"),
    ("mount_thru", "tmpfs", "pread_4k pwrite_4k"),
];

/// What is measured on one processor besides, and held to nothing.
const SHARED: [&str; 3] = ["dir_1cpu", "image_1cpu", "thru_1cpu"];

#[test]
fn every_bound_has_its_row() {
    let to = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_twz-bench"))
        .args(["posix", "--quick"])
        .env("TWZ_BENCH_DIR", to.path())
        .output()
        .unwrap();
    let (said, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    let report = fs::read_to_string(to.path().join("posix.json")).unwrap();
    let records: Vec<Value> = serde_json::from_str(&report).unwrap();
    let text = |record: &Value, field: &str| record[field].as_str().unwrap_or("").to_owned();
    let mut rows = BTreeMap::new();
    for record in &records {
        assert_eq!(text(record, "bench"), "posix");
        assert!(record["peer_value"].as_f64().is_some_and(|value| value >= 0.0), "{record}");
        let peer = text(record, "peer").replace("xfs", "ext4");
        let goals = record["goals"].as_array().map_or(0, Vec::len);
        rows.insert((text(record, "subject"), peer, text(record, "case")), goals);
    }
    let left_out = |what: &str| said.contains(&format!("posix: {what} left out: "));
    let missing: Vec<_> = ROWS
        .iter()
        .flat_map(|(subject, peer, cases)| {
            cases.split(' ').map(|case| (subject.to_string(), peer.to_string(), case.to_owned()))
        })
        .filter(|row| rows.get(row) != Some(&1))
        .filter(|(subject, peer, case)| {
            let part = if subject.starts_with("mount") { "mount" } else { peer };
            !left_out(part) && !left_out(case.split('_').next().unwrap_or(""))
        })
        .collect();
    assert!(missing.is_empty(), "no row, or without its bound: {missing:?}\n{said}");
    for subject in SHARED.iter().filter(|_| !left_out("mount")) {
        for case in "pread_4k pwrite_4k open_close create_unlink".split(' ') {
            let row = (subject.to_string(), "tmpfs".into(), case.into());
            assert!(rows.contains_key(&row), "no row {row:?}\n{said}");
        }
    }
}
