// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz run` without a context: where it finds the library, what it keeps, what it counts,
//! and what the README says of it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;
use twz_preload_tests::{library, other, skip, traps, twz};

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

/// A copy of `touch` that begins with the rights of this user and group.
fn elevated(to: &Path, owner: (u32, u32), mode: u32) {
    fs::copy("/usr/bin/touch", to).unwrap();
    chown(to, Some(owner.0), Some(owner.1)).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether files there can give rights at all; said to `skip` if not.
fn gives_rights(path: &Path) -> bool {
    let options = Command::new("findmnt").args(["-no", "OPTIONS", "-T"]).arg(path).output();
    let counts =
        options.is_ok_and(|said| said.status.success() && !texts(&said).0.contains("nosuid"));
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    match (counts, root) {
        (true, true) => return true,
        (true, false) => skip("setuid programs: only root can make one of another user"),
        (false, _) => skip("setuid programs: temporary files are on a file system without them"),
    }
    false
}

const NOBODY: u32 = 65534;
const OTHER: u32 = 12345;

/// A program that makes a file, and may have rights of its own.
struct Rights {
    installed: Installed,
    twz: String,
    program: PathBuf,
}

impl Rights {
    /// Where there can be such programs; said to `skip` if there cannot.
    fn new() -> Option<Self> {
        let installed = Installed::new(Some("bin/libtwz_posix.so"));
        if !gives_rights(installed.home.path()) {
            return None;
        }
        for (name, mode) in [(".", 0o755), ("pool", 0o777), ("pool/names", 0o777)] {
            fs::set_permissions(installed.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let twz = installed.path("bin/twz");
        let mut reaches = Command::new("/usr/bin/test");
        reaches.arg("-x").arg(&twz).uid(NOBODY).gid(NOBODY);
        if !reaches.status().unwrap().success() {
            skip("setuid programs: other users do not get at temporary files here");
            return None;
        }
        let program = installed.path("bin/elevated");
        Some(Self { twz: twz.display().to_string(), program, installed })
    }

    /// Has a user run it: whether it did what it does, the code, and what was said.
    fn run(&self, who: u32, how: &[&str], program: &Path) -> (bool, Option<i32>, String) {
        let marker = self.installed.path("pool/names/marker");
        let words = [how, &[&self.twz]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["run", "--"]).arg(program).arg(&marker);
        command.env("TWZ_POOL", self.installed.path("pool"));
        command.env("PATH", self.installed.path("bin"));
        command.env_remove("LD_PRELOAD").uid(who).gid(who);
        let output = command.output().unwrap();
        let did = fs::remove_file(&marker).is_ok();
        assert_eq!(did, output.status.success(), "{output:?}");
        (did, output.status.code(), texts(&output).1)
    }

    #[track_caller]
    fn refused(&self, who: u32, program: &Path, what: &str) {
        let (did, code, complaint) = self.run(who, &[], program);
        assert!(!did && code == Some(1), "{who} {what}: {code:?} {complaint}");
        assert!(complaint.contains(&format!("elevated is {what}:")), "{complaint}");
        assert!(complaint.contains("run it without 'twz run'"), "{complaint}");
    }

    #[track_caller]
    fn runs(&self, who: u32, how: &[&str], program: &Path) {
        let (did, code, complaint) = self.run(who, how, program);
        assert!(did, "{who} {how:?} {program:?}: {code:?} {complaint}");
    }
}

#[test]
fn a_program_with_rights_of_its_own_is_refused() {
    let Some(rights) = Rights::new() else { return };
    for (owner, mode, who, what) in [
        ((0, 0), 0o4755, NOBODY, "setuid"),
        ((OTHER, 0), 0o4755, NOBODY, "setuid"),
        ((OTHER, 0), 0o4755, 0, "setuid"),
        ((NOBODY, OTHER), 0o2755, NOBODY, "setgid"),
        ((0, OTHER), 0o2755, 0, "setgid"),
    ] {
        elevated(&rights.program, owner, mode);
        rights.refused(who, &rights.program, what);
        // By its name alone, and as what runs a script.
        rights.refused(who, Path::new("elevated"), what);
        let script = rights.installed.path("bin/script");
        fs::write(&script, format!("#! {}\n", rights.program.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        rights.refused(who, &script, what);
    }
}

#[test]
fn a_program_that_is_given_capabilities_is_refused() {
    let Some(rights) = Rights::new() else { return };
    elevated(&rights.program, (0, 0), 0o755);
    match Command::new("setcap").arg("cap_net_raw+p").arg(&rights.program).status() {
        Ok(status) if status.success() => {}
        _ => return skip("file capabilities: no setcap, or a file system without them"),
    }
    rights.refused(NOBODY, &rights.program, "given capabilities");
    // Root has all of them anyway.
    rights.runs(0, &[], &rights.program);
}

#[test]
fn a_program_that_gains_nothing_runs() {
    let Some(rights) = Rights::new() else { return };
    for (owner, mode, who) in [
        ((0, 0), 0o4755, 0),
        ((NOBODY, 0), 0o4755, NOBODY),
        ((NOBODY, OTHER), 0o2745, NOBODY),
        ((NOBODY, NOBODY), 0o2755, NOBODY),
        ((0, 0), 0o755, NOBODY),
    ] {
        elevated(&rights.program, owner, mode);
        rights.runs(who, &[], &rights.program);
        rights.runs(who, &[], Path::new("elevated"));
    }
    elevated(&rights.program, (0, 0), 0o4755);
    rights.runs(NOBODY, &["/usr/bin/setpriv", "--no-new-privs"], &rights.program);
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
