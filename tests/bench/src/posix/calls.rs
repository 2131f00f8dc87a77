// SPDX-License-Identifier: MIT OR Apache-2.0
//! What calls cost an ordinary program (`ops.c`) with the preload library and without it, and
//! what the library costs a process as a whole.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::{
    Size, Turn, Values,
    place::{Place, Tools},
    turns,
};
use crate::{error::Failed, race, report::Record};

/// Runs what each call costs on a file system.
pub fn run(tools: &Tools, place: &Place, size: Size) -> Result<Vec<Record>, Failed> {
    println!("posix: calls on a file of {} ...", place.kind);
    let files = place.below("files")?;
    let on_tmpfs = place.kind == "tmpfs";
    let parts: &[&str] =
        if on_tmpfs { &["calls", "files", "sync", "process"] } else { &["calls", "sync"] };
    // What is durable there waits for the disk, a second and more in a round.
    let rounds = if on_tmpfs { 21 } else { 15 };
    race_ops(tools, place, (size, rounds, "ns"), |with| {
        let mut values = Values::new();
        for part in parts {
            let waits = *part == "sync" && !on_tmpfs;
            let divisor = size.divisor() * if waits { 10 } else { 1 };
            values.extend(said(with(&tools.ops).arg(&files).args([&divisor.to_string(), *part]))?);
        }
        Ok(values)
    })
}

/// Runs what a process costs once: at its first stream, with libc's calls known or to be
/// found, and in memory.
pub fn once(tools: &Tools, place: &Place, size: Size) -> Result<Vec<Record>, Failed> {
    println!("posix: what a process costs ...");
    let files = place.below("files")?;
    let kept = place.below("kept")?;
    let stream = |mut command: Command| {
        let begin = race::children_cpu_ns();
        said(command.arg(&files).args(["1", "stream"]))?;
        Ok::<f64, Failed>((race::children_cpu_ns() - begin) as f64)
    };
    let mut records = race_ops(tools, place, (size, 21, "ns"), |with| {
        let fresh = tempfile::tempdir_in(place.path())?;
        let started = |cache: &Path| {
            let mut command = with(&tools.ops);
            command.env("XDG_CACHE_HOME", cache);
            stream(command)
        };
        started(&kept)?;
        let (listed, unlisted) = (started(&kept)?, started(fresh.path())?);
        Ok(vec![("exec_listed".into(), listed), ("exec_unlisted".into(), unlisted)])
    })?;
    records.extend(race_ops(tools, place, (size, 5, "KiB"), |with| {
        said(with(&tools.ops).arg(&files).args(["1", "memory"]))
    })?);
    Ok(records)
}

/// Races a program with the library against the same without it.
pub fn race_ops(
    tools: &Tools,
    place: &Place,
    (size, rounds, unit): (Size, usize, &str),
    run: impl Fn(&dyn Fn(&Path) -> Command) -> Result<Values, Failed>,
) -> Result<Vec<Record>, Failed> {
    let files = place.below("files")?;
    let with = |program: &Path| {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", &tools.library).env("TWZ_POSIX", &files);
        command
    };
    let without = |program: &Path| Command::new(program);
    let mut both: [Turn<'_>; 2] =
        [("preload", Box::new(|| run(&with))), (place.kind, Box::new(|| run(&without)))];
    turns(size, rounds, unit, &mut both)
}

/// What a program says: lines of a case and its value.
pub fn said(command: &mut Command) -> Result<Values, Failed> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(Failed::new(String::from_utf8_lossy(&output.stderr)));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .map(|line| {
            let (case, value) = line.split_once(' ').ok_or_else(|| Failed::new(line))?;
            Ok((case.to_owned(), value.parse()?))
        })
        .collect()
}
