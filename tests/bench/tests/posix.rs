// SPDX-License-Identifier: MIT OR Apache-2.0
//! That the bench of calls on files runs, at a size that measures nothing, and that its
//! report is as it is to be.

use std::{fs, process::Command};

use serde_json::Value;

#[test]
fn every_call_is_in_the_report() {
    let to = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_twz-bench"))
        .args(["posix", "--quick"])
        .env("TWZ_BENCH_DIR", to.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = fs::read_to_string(to.path().join("posix.json")).unwrap();
    let records: Vec<Value> = serde_json::from_str(&report).unwrap();
    let cases: Vec<&str> = records.iter().filter_map(|record| record["case"].as_str()).collect();
    let want = [
        "pread_1",
        "pread_4k",
        "pread_64k",
        "pread_1m",
        "pwrite_4k",
        "pwrite_64k",
        "read_1_lseek",
        "lseek",
        "fstat",
        "stat",
        "stat_enoent",
        "open_close",
        "open_read_close",
        "create_write_unlink",
        "append_4k",
        "foreign",
        "exec",
    ];
    assert_eq!(cases, want);
    for record in &records {
        assert_eq!((&record["bench"], &record["unit"]), (&"posix".into(), &"ns".into()));
        assert!(record["peer_value"].as_f64().is_some_and(|value| value >= 0.0), "{record}");
    }
}
