// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions of one operation: this program runs itself below valgrind's
//! callgrind, where that is there, and counts within one function.

use std::process::Command;

use crate::error::Failed;

/// Instructions for each of `operations` that this program does with these
/// arguments within `function`, whose own beginning and end are lost in them.
pub fn count(arguments: &[&str], function: &str, operations: u64) -> Result<f64, Failed> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={function}"))
        .arg(std::env::current_exe()?)
        .args(arguments)
        // The processor that valgrind shows has fewer instructions than this one.
        .env_remove("TWZ_PERSIST")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said.lines().find_map(|line| line.split_once("Collected :"));
    let counted = counted.and_then(|(_, count)| count.trim().parse::<u64>().ok());
    match counted.filter(|&count| output.status.success() && count > operations) {
        Some(count) => Ok(count as f64 / operations as f64),
        None => {
            let reason = said.lines().find(|line| line.starts_with("twz-bench:"));
            let reason = reason.or_else(|| said.lines().last());
            Err(Failed::new(reason.unwrap_or("valgrind said nothing")))
        }
    }
}
