// SPDX-License-Identifier: MIT OR Apache-2.0
//! fsx: random operations on one file, every byte checked; three mixes of them. And the
//! same done by two processes in turns, which fsx cannot: `progs/exercise.py`.

use std::{fs, path::Path};

use super::{Job, Scope};

/// Names of mixes, and what each has more of.
const MIXES: [(&str, &str); 3] = [
    (
        "default",
        "[weights]\nclose_open = 1\nread = 10\nwrite = 10\nmapread = 10\nmapwrite = 10\n\
         invalidate = 1\ntruncate = 1\nfsync = 1\nfdatasync = 1\n",
    ),
    (
        "maps",
        "[opsize]\nmin = 1\n[weights]\nclose_open = 1\nread = 5\nwrite = 5\nmapread = 20\nmapwrite = 20\n\
         invalidate = 2\ntruncate = 10\nposix_fallocate = 5\npunch_hole = 5\n",
    ),
    (
        "copies",
        "[opsize]\nmin = 1\n[weights]\nclose_open = 2\nread = 10\nwrite = 10\nmapread = 5\nmapwrite = 5\n\
         truncate = 5\nsendfile = 10\nposix_fadvise = 5\ncopy_file_range = 10\n\
         posix_fallocate = 2\npunch_hole = 2\n",
    ),
];

pub fn jobs(scope: &Scope) -> Vec<Job> {
    let (seeds, operations) = if scope.quick { (1..=2, "2000") } else { (1..=8, "10000") };
    let each = |seed: u32| {
        MIXES.map(|(mix, weights)| {
            Job::single(format!("{mix}_{seed}"), move |room| {
                let configuration = room.aside("fsx.toml");
                fs::write(&configuration, weights).map_err(|error| error.to_string())?;
                let seed = seed.to_string();
                room.run(
                    room.tool("fsx/fsx"),
                    [
                        "-f".as_ref(),
                        configuration.as_os_str(),
                        "-S".as_ref(),
                        seed.as_ref(),
                        "-N".as_ref(),
                        operations.as_ref(),
                        "file".as_ref(),
                    ],
                )
            })
        })
    };
    let turns = if scope.quick { "100" } else { "500" };
    let alone = seeds.clone().flat_map(each);
    alone.chain(seeds.map(|seed| two_processes(seed, turns))).collect()
}

fn two_processes(seed: u32, turns: &'static str) -> Job {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("progs/exercise.py");
    Job::single(format!("two_processes_{seed}"), move |room| {
        let seed = seed.to_string();
        room.run("/usr/bin/python3", [program.as_os_str(), seed.as_ref(), turns.as_ref()])
    })
}
