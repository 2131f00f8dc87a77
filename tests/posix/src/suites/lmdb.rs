// SPDX-License-Identifier: MIT OR Apache-2.0
//! LMDB's own tests: a database that is a shared mapping.

use std::fs;

use super::Job;

pub fn jobs() -> Vec<Job> {
    let job = |name: &str| {
        let program = name.to_owned();
        Job::single(name, move |room| {
            // Where they look for it, without being asked.
            fs::create_dir(room.dir().join("testdb")).map_err(|error| error.to_string())?;
            room.run(room.tool(&format!("lmdb/{program}")), [""; 0])
        })
    };
    ["mtest", "mtest2", "mtest3", "mtest4", "mtest5"].into_iter().map(job).collect()
}
