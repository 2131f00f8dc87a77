// SPDX-License-Identifier: MIT OR Apache-2.0
//! git's own tests, of Debian's git as it is installed: those that have most to do with
//! files, the index, refs, worktrees, packs and clones. As a user who is not root.

use std::path::Path;

use super::Job;
use crate::{
    case::{Case, Outcome, end_of},
    room::Room,
};

const SCRIPTS: [&str; 75] = [
    // Where a repository is, and what names do.
    "t0001-init",
    "t0002-gitfile",
    "t0003-attributes",
    "t0004-unwritable",
    "t0005-signals",
    "t0008-ignores",
    "t0010-racy-git",
    "t0021-conversion",
    "t0050-filesystem",
    "t0055-beyond-symlinks",
    "t0056-git-C",
    "t0060-path-utils",
    "t0066-dir-iterator",
    // Objects, configuration and refs.
    "t1007-hash-object",
    "t1050-large",
    "t1060-object-corruption",
    "t1300-config",
    "t1301-shared-repo",
    "t1400-update-ref",
    "t1404-update-ref-errors",
    "t1407-worktree-ref-store",
    "t1408-packed-refs",
    "t1410-reflog",
    "t1415-worktree-refs",
    "t1450-fsck",
    "t1501-work-tree",
    "t1600-index",
    "t1700-split-index",
    "t1701-racy-split-index",
    // The index and the working tree.
    "t2000-conflict-when-checking-files-out",
    "t2003-checkout-cache-mkdir",
    "t2005-checkout-index-symlinks",
    "t2007-checkout-symlink",
    "t2021-checkout-overwrite",
    "t2080-parallel-checkout-basics",
    "t2102-update-index-symlinks",
    "t2107-update-index-basic",
    "t2108-update-index-refresh-racy",
    "t2200-add-update",
    "t2201-add-update-typechange",
    "t2400-worktree-add",
    "t2401-worktree-prune",
    "t2402-worktree-list",
    "t2403-worktree-move",
    "t2406-worktree-repair",
    "t2501-cwd-empty",
    "t3000-ls-files-others",
    "t3001-ls-files-others-exclude",
    "t3210-pack-refs",
    "t3300-funny-names",
    "t3600-rm",
    "t3700-add",
    "t3903-stash",
    // Packs, and what moves them.
    "t5000-tar-tree",
    "t5300-pack-object",
    "t5301-sliding-window",
    "t5302-pack-index",
    "t5303-pack-corruption-resilience",
    "t5304-prune",
    "t5310-pack-bitmaps",
    "t5351-unpack-large-objects",
    "t5510-fetch",
    "t5601-clone",
    "t5604-clone-reference",
    "t5605-clone-local",
    "t5607-clone-bundle",
    "t6500-gc",
    "t6501-freshen-objects",
    // All of it.
    "t7001-mv",
    "t7063-status-untracked-cache",
    "t7102-reset",
    "t7300-clean",
    "t7508-status",
    "t7700-repack",
    "t7701-repack-unpack-unreachable",
];

pub fn jobs() -> Vec<Job> {
    let job = |script: &'static str| {
        Job::new(script, move |room| {
            run(room, script).unwrap_or_else(|why| vec![Case::new("script", Outcome::Fail(why))])
        })
    };
    SCRIPTS.into_iter().map(job).collect()
}

fn run(room: &Room, script: &str) -> Result<Vec<Case>, String> {
    let tests = room.tool("git/t");
    if !tests.join(format!("{script}.sh")).exists() {
        return Ok(vec![Case::new("script", Outcome::Skip("not in this git".into()))]);
    }
    let results = room.aside_for_user("results")?;
    let said = room.run_as_user("env", words(&tests, &results, room.dir(), script));
    // It ends badly if a case failed; the lines say which.
    let (ended_well, said) = match said {
        Ok(said) => (true, said),
        Err(said) => (false, said),
    };
    // Some say in which directory they are, and that is another one each time.
    let said = said.replace(&*room.dir().to_string_lossy(), "ROOM");
    let mut cases = parse(&said);
    let failed = cases.iter().any(|case| matches!(case.outcome, Outcome::Fail(_)));
    // One that stops in the middle has not run what it would have.
    if cases.is_empty() || !ended_well && !failed {
        cases.push(Case::new("script", Outcome::Fail(end_of(&said, 20))));
    }
    Ok(cases)
}

/// The program `env` with these words runs a script, whose files stay: twz is to see them.
fn words(tests: &Path, results: &Path, room: &Path, script: &str) -> Vec<String> {
    vec![
        "GIT_TEST_INSTALLED=/usr/bin".into(),
        "GIT_TEST_CHAIN_LINT=0".into(),
        format!("TEST_OUTPUT_DIRECTORY={}", results.display()),
        "sh".into(),
        "-c".into(),
        r#"cd "$1" && exec sh "./$2.sh" --debug --root="$3""#.into(),
        "sh".into(),
        tests.display().to_string(),
        script.into(),
        room.display().to_string(),
    ]
}

/// Lines of TAP, with what is known to fail named as such.
fn parse(said: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for line in said.lines() {
        let (failed, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => continue,
        };
        let (name, note) = rest.split_once(" # ").unwrap_or((rest, ""));
        let outcome = match (failed, note) {
            (_, note) if note.to_lowercase().starts_with("skip") => Outcome::Skip(note.into()),
            (true, note) if note.ends_with("known breakage") => Outcome::Skip(note.into()),
            (true, _) => Outcome::Fail(format!("{rest}: run it with --verbose --immediate")),
            (false, _) => Outcome::Pass,
        };
        cases.push(Case::new(name, outcome));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_cases() {
        let said = "ok 1 - plain\nnot ok 2 - no\n#\tsome script\n\
                    not ok 3 - known # a known breakage\n\
                    ok 4 # skip two words (missing SYMLINKS of A,B)\nok 5 - a # b\n1..5\n";
        let cases = parse(said);
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["1 - plain", "2 - no", "3 - known", "4", "5 - a"]);
        assert!(matches!(cases[0].outcome, Outcome::Pass));
        assert!(matches!(cases[1].outcome, Outcome::Fail(_)));
        assert!(matches!(cases[2].outcome, Outcome::Skip(_)));
        assert!(matches!(cases[3].outcome, Outcome::Skip(_)));
        assert!(matches!(cases[4].outcome, Outcome::Pass));
    }
}
