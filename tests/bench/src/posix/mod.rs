// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench `posix`: what calls on a file cost an ordinary program (`ops.c`) with the
//! preload library, against the same program without it, in turns. Times are CPU time;
//! the case `exec` is that of a program that does nothing, begun and ended.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Failed, machine, race::Race, report::Record};

/// Rounds, and what divides the number of calls.
const FULL: (usize, u32) = (21, 1);
const QUICK: (usize, u32) = (3, 50);

/// Runs it.
pub fn run(quick: bool) -> Result<Vec<Record>, Failed> {
    let (rounds, divisor) = if quick { QUICK } else { FULL };
    let scratch = machine::scratch()?;
    let (library, program) = (library()?, program(scratch.path())?);
    println!("posix: calls on a file ...");
    let run = |with: bool| {
        let mut command = Command::new(&program);
        command.arg(scratch.path()).arg(divisor.to_string());
        if with {
            command.env("LD_PRELOAD", &library).env("TWZ_POSIX", scratch.path());
        }
        times(&mut command)
    };
    let mut all: Vec<(String, Vec<f64>, Vec<f64>)> = Vec::new();
    for round in 0..rounds {
        // Each begins every other round.
        let first = run(round % 2 == 0)?;
        let second = run(round % 2 != 0)?;
        let (ours, theirs) = if round % 2 == 0 { (first, second) } else { (second, first) };
        for (at, ((case, our), (_, their))) in ours.into_iter().zip(theirs).enumerate() {
            if round == 0 {
                all.push((case, Vec::new(), Vec::new()));
            }
            let (_, ours, theirs) = all.get_mut(at).ok_or_else(|| Failed::new("a case is new"))?;
            ours.push(our);
            theirs.push(their);
        }
    }
    let record = |(case, ours, theirs): &(String, Vec<f64>, Vec<f64>)| {
        let race = Race { bench: "posix", case, rounds, operations: 0, warm: 0 };
        Record::from_rounds(&race, "twz", "kernel", ours, theirs)
    };
    Ok(all.iter().map(record).collect())
}

/// What the program says.
fn times(command: &mut Command) -> Result<Vec<(String, f64)>, Failed> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(Failed::new(String::from_utf8_lossy(&output.stderr)));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .map(|line| {
            let (case, time) = line.split_once(' ').ok_or_else(|| Failed::new(line))?;
            Ok((case.to_owned(), time.parse()?))
        })
        .collect()
}

/// The library as it is now, in release.
fn library() -> Result<PathBuf, Failed> {
    let own = std::env::current_exe()?;
    let profile = own.ancestors().find(|dir| dir.join("deps").is_dir());
    let profile = profile.ok_or_else(|| Failed::new("not where cargo builds"))?;
    let target = profile.parent().ok_or_else(|| Failed::new("not where cargo builds"))?;
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "-p", "twz-posix", "--target-dir"]).arg(target);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    match build.status()?.success() {
        true => Ok(target.join("release/libtwz_posix.so")),
        false => Err(Failed::new("the preload library does not build")),
    }
}

/// The program, compiled.
fn program(to: &Path) -> Result<PathBuf, Failed> {
    let program = to.join("ops");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/posix/ops.c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source);
    match cc.status()?.success() {
        true => Ok(program),
        false => Err(Failed::new("ops.c does not compile")),
    }
}
