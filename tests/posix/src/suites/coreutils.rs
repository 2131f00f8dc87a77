// SPDX-License-Identifier: MIT OR Apache-2.0
//! coreutils' own tests, of Debian's coreutils as they are installed: a job for each of the
//! suite's folders, a case for each script. As a user who is not root.

use std::{fs, path::Path};

use super::Job;
use crate::{
    case::{Case, Outcome, end_of},
    room::Room,
};

const FOLDERS: [&str; 22] = [
    "chgrp", "chmod", "chown", "cp", "dd", "df", "du", "fmt", "id", "install", "ln", "ls", "misc",
    "mkdir", "mv", "pr", "readlink", "rm", "rmdir", "split", "tail-2", "touch",
];

pub fn jobs() -> Vec<Job> {
    let job = |folder: &'static str| {
        Job::new(folder, move |room| {
            run(room, folder).unwrap_or_else(|why| vec![Case::new("folder", Outcome::Fail(why))])
        })
    };
    FOLDERS.into_iter().map(job).collect()
}

fn run(room: &Room, folder: &str) -> Result<Vec<Case>, String> {
    let scripts = room.tool("coreutils/scripts");
    let scripts =
        fs::read_to_string(&scripts).map_err(|error| format!("{}: {error}", scripts.display()))?;
    let own = scripts.lines().filter(|script| name_in(script, folder).is_some());
    let cases = own.map(|script| {
        let name = name_in(script, folder).unwrap_or(script);
        let program = room.tool("coreutils/run");
        let outcome = match room.run_as_user(program, [script]) {
            Ok(_) => Outcome::Pass,
            Err(said) if said.starts_with("exit status: 77\n") => Outcome::Skip(end_of(&said, 1)),
            Err(said) => Outcome::Fail(said),
        };
        Case::new(name, outcome)
    });
    match cases.collect::<Vec<_>>() {
        cases if cases.is_empty() => Err(format!("no scripts in {folder}")),
        cases => Ok(cases),
    }
}

/// What a script of a folder is called: `cp/abuse` of `tests/cp/abuse.sh`.
fn name_in<'a>(script: &'a str, folder: &str) -> Option<&'a str> {
    let name = script.strip_prefix("tests/")?.strip_prefix(folder)?.strip_prefix('/')?;
    Path::new(name).file_stem()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_known_by_their_folder() {
        assert_eq!(name_in("tests/cp/abuse.sh", "cp"), Some("abuse"));
        assert_eq!(name_in("tests/cp/abuse.sh", "c"), None);
        assert_eq!(name_in("tests/misc/cut.pl", "misc"), Some("cut"));
    }
}
