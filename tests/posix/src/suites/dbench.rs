// SPDX-License-Identifier: MIT OR Apache-2.0
//! dbench: what a file server is asked by its clients, from a recording, one and four of
//! them at once. It checks sizes and answers, not bytes.

use super::Job;

/// The recording that Debian has.
const RECORDING: &str = "/usr/share/dbench/client.txt";

pub fn jobs() -> Vec<Job> {
    let job = |(name, clients): (&str, &'static str)| {
        Job::single(name, move |room| {
            let said = room.run("dbench", ["-t", "5", "-c", RECORDING, "-D", ".", clients])?;
            // That a client gave up does not show in how it ends.
            let failed = ["failed", "FAILED", "ERROR"].iter().any(|word| said.contains(word));
            match said.contains("Throughput") && !failed {
                true => Ok(said),
                false => Err(said),
            }
        })
    };
    [("one_client", "1"), ("four_clients", "4")].map(job).into()
}
