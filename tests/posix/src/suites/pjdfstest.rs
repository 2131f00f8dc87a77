// SPDX-License-Identifier: MIT OR Apache-2.0
//! pjdfstest: what each system call on names has to do, and which errno it gives. As
//! root, and as a user who is not, which leaves out what only root can set up.

use std::fs;

use super::Job;
use crate::{
    case::{Case, Outcome, end_of, plain},
    room::Room,
};

/// The users are Debian's own.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.01
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

pub fn jobs() -> Vec<Job> {
    let mut jobs = vec![Job::new("as_user", |room| run(room, true))];
    if nix::unistd::geteuid().is_root() {
        jobs.insert(0, Job::new("as_root", |room| run(room, false)));
    }
    jobs
}

fn run(room: &Room, give_up_root: bool) -> Vec<Case> {
    try_run(room, give_up_root)
        .unwrap_or_else(|why| vec![Case::new("pjdfstest", Outcome::Fail(why))])
}

fn try_run(room: &Room, give_up_root: bool) -> Result<Vec<Case>, String> {
    let configuration = room.aside("pjdfstest.toml");
    fs::write(&configuration, CONFIGURATION).map_err(|error| error.to_string())?;
    let tool = room.tool("pjdfstest/pjdfstest");
    let own = ["-c".as_ref(), configuration.as_os_str(), "-p".as_ref(), room.dir().as_os_str()];
    let said = match give_up_root {
        false => room.run(&tool, own),
        true => room.run_as_user(&tool, own),
    };
    // It ends badly if a case failed; the lines say which.
    let said = said.unwrap_or_else(|said| said);
    let cases = parse(&said);
    match cases.is_empty() {
        true => Err(end_of(&said, 20)),
        false => Ok(cases),
    }
}

/// One line a case, in colours; after one that is not ok, indented, the reason.
fn parse(said: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in plain(said).lines() {
        let mut words = line.split_whitespace();
        let (name, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let outcome = match state {
            "ok" => Outcome::Pass,
            "skipped" => Outcome::Skip(String::new()),
            "FAILED" => Outcome::Fail(String::new()),
            _ => {
                if line.starts_with(['\t', ' '])
                    && let Some(Case { outcome: Outcome::Fail(why) | Outcome::Skip(why), .. }) =
                        cases.last_mut()
                {
                    why.push_str(line.trim());
                }
                continue;
            }
        };
        if name.contains("::") {
            cases.push(Case::new(name, outcome));
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_cases() {
        let said = "\u{1b}[34ma::b::c\u{1b}[0m   \u{1b}[32mok\u{1b}[0m\n\
                    a::d   skipped\n\tneeds more\na::e   FAILED\n\tgot EIO\nSummary: 1 failed\n";
        let cases = parse(said);
        let outcomes: Vec<_> = cases.iter().map(|case| case.outcome.clone()).collect();
        let wanted =
            [Outcome::Pass, Outcome::Skip("needs more".into()), Outcome::Fail("got EIO".into())];
        assert_eq!(outcomes, wanted);
        assert_eq!(cases[0].name, "a::b::c");
    }
}
