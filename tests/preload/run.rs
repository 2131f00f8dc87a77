// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz run` without a context: where it finds the library, what it keeps, what it counts,
//! and what the README says of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;
use twz_preload_tests::{library, other, traps, twz};

/// An installed command, with the library at `place` or nowhere, and a pool.
struct Installed {
    home: TempDir,
}

impl Installed {
    fn new(place: Option<&str>) -> Self {
        let installed = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir(installed.path("bin")).unwrap();
        fs::create_dir(installed.path("lib")).unwrap();
        fs::copy(twz(), installed.path("bin/twz")).unwrap();
        if let Some(place) = place {
            fs::copy(library(), installed.path(place)).unwrap();
        }
        let made = installed.twz(&["pool", "init"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        installed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn twz(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/twz"));
        command.args(arguments).env("TWZ_POOL", self.path("pool")).env_remove("LD_PRELOAD");
        command
    }

    /// Runs a shell in it; what it said, and what was complained of.
    fn shell(&self, preload: Option<&Path>, script: &str) -> (String, String) {
        let mut command = self.twz(&["run", "--", "sh", "-c", script]);
        if let Some(preload) = preload {
            command.env("LD_PRELOAD", preload);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        texts(&output)
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn it_is_found_beside_the_command_and_where_it_is_installed() {
    for place in ["bin/libtwz_posix.so", "lib/libtwz_posix.so"] {
        let installed = Installed::new(Some(place));
        let (said, complaint) = installed.shell(None, "echo $LD_PRELOAD $TWZ_POSIX");
        let real = |name: &str| installed.path(name).canonicalize().unwrap().display().to_string();
        assert_eq!(said, format!("{} {}", real(place), real("pool/names")));
        assert_eq!(complaint, "");
    }
}

#[test]
fn what_is_preloaded_already_stays() {
    let installed = Installed::new(Some("bin/libtwz_posix.so"));
    let (said, _) = installed.shell(Some(other()), "echo $LD_PRELOAD");
    let both = said.lines().next().unwrap().split(':').collect::<Vec<_>>();
    assert_eq!(both.len(), 2, "{said}");
    assert_eq!(Path::new(both[0]), other());
    assert!(both[1].ends_with("bin/libtwz_posix.so"), "{said}");
}

#[test]
fn without_it_the_program_runs_and_is_told_so() {
    let installed = Installed::new(None);
    let (said, complaint) = installed.shell(None, "echo \"[$LD_PRELOAD]\"");
    assert_eq!(said, "[]");
    assert!(
        complaint.contains("libtwz_posix.so") && complaint.contains("without it"),
        "{complaint}"
    );
}

#[test]
fn what_was_copied_is_counted() {
    let installed = Installed::new(Some("bin/libtwz_posix.so"));
    let names = installed.path("pool/names").display().to_string();
    let traps = traps().display().to_string();
    let run = ["run", "--stats", "--", &traps, "model", &names, "5"];
    let output = installed.twz(&run).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (_, counted) = texts(&output);
    let reads = counted.split("by memory").nth(1).and_then(|rest| rest.split_whitespace().next());
    assert!(reads.unwrap().parse::<u64>().unwrap() > 10_000, "{counted}");

    // What a process did that was killed is counted, too, and its end is handed on.
    let run = ["run", "--stats", "--json", "--", "sh", "-c", "kill -9 $$"];
    let output = installed.twz(&run).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 9));
    let run = ["run", "--stats", "--", "sh", "-c", "exit 7"];
    assert_eq!(installed.twz(&run).output().unwrap().status.code(), Some(7));
}

#[test]
fn what_the_readme_says_of_programs_works_as_typed() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let typed = readme.split("```bash\n").nth(1).and_then(|rest| rest.split("\n```").next());
    // The one line that says where the build put things.
    let (first, rest) = typed.unwrap().split_once('\n').unwrap();
    assert!(first.starts_with("export PATH="), "{first}");
    let installed = Installed::new(Some("bin/libtwz_posix.so"));
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(format!("set -euo pipefail; PATH=$BINARIES:$PATH\n{rest}"));
    bash.env("BINARIES", installed.path("bin")).env("TMPDIR", installed.home.path());
    let output = bash.env_remove("LD_PRELOAD").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (said, counted) = texts(&output);
    assert!(said.contains("/numbers ") && said.contains("/both.tar "), "{said}");
    assert!(said.contains("(1288895 bytes)"), "{said}");
    let reads = counted.split("by memory").nth(1).and_then(|rest| rest.split_whitespace().next());
    assert!(reads.unwrap().parse::<u64>().unwrap() > 100, "{counted}");
}
